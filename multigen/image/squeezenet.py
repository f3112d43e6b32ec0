"""SqueezeNet 1.1 as an extractor of features. Iandola et al. 2016, arXiv:1602.07360; torchvision's
layers and keys."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from multigen.errors import CheckpointError

__all__ = ["SqueezeNet"]

FIRES = {
    3: (64, 16),
    4: (128, 16),
    6: (128, 32),
    7: (256, 32),
    9: (256, 48),
    10: (384, 48),
    11: (384, 64),
    12: (512, 64),
}
"""Number of a layer -> its channels of the input, and after its squeeze; each of its two parts
expands these four times."""
POOLED = (3, 6, 9)  # layers before which the maximum of 3x3 pixels is taken, at every second one
TAPS = (7, 9, 10, 11, 12)  # those shown besides the first one and the fourth, as in LPIPS
MEAN = (103.939, 116.779, 123.68)  # of blue, green and red
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Fire(nn.Module):
    """1x1 to few channels, and from these 1x1 and 3x3 to many."""

    def __init__(self, before: int, few: int):
        super().__init__()
        self.squeeze = nn.Conv2d(before, few, 1)
        self.expand1x1, self.expand3x3 = nn.Conv2d(few, 4 * few, 1), nn.Conv2d(few, 4 * few, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = relu(self.squeeze(x))
        return torch.cat([relu(self.expand1x1(x)), relu(self.expand3x3(x))], dim=1)


class SqueezeNet(nn.Module):
    """Image (B, 3, H, W), RGB in 0..1 -> the seven feature maps that LPIPS compares.

    Args:
        weights: by torchvision's keys ("features.0.weight", ...); others are ignored.
        convention: of the input that they expect: "oxford", BGR 0..255 less the mean colour, or
            "torchvision".
        where: the file, for errors.

    Raises CheckpointError where a tensor is missing or of another shape.
    """

    def __init__(self, weights: Mapping[str, Tensor], convention: str, where: str):
        super().__init__()
        self.convention = convention
        with torch.device("meta"):
            layers = {0: nn.Conv2d(3, 64, 3, stride=2), **{i: Fire(*sizes) for i, sizes in FIRES.items()}}
            self.features = nn.ModuleDict({str(i): layer for i, layer in layers.items()})
        expected = self.state_dict()
        for key, value in expected.items():
            if key not in weights or weights[key].shape != value.shape:
                raise CheckpointError(
                    f"SqueezeNet's weights {where} hold no tensor {key!r} of shape {tuple(value.shape)}: give a safetensors "
                    "file of torchvision's squeezenet1_1()"
                )
        self.load_state_dict({key: weights[key].float() for key in expected}, assign=True)
        self.requires_grad_(False).to(memory_format=torch.channels_last)

    def forward(self, image: Tensor) -> list[Tensor]:
        x = relu(self.features["0"](self.normalised(image)))
        taps = [x]
        for i in FIRES:
            x = max_pool2d(x, 3, 2, ceil_mode=True) if i in POOLED else x
            x = self.features[str(i)](x)
            taps += [x] if i in (4, *TAPS) else []
        return taps

    def normalised(self, image: Tensor) -> Tensor:
        mean, deviation = IMAGENET if self.convention == "torchvision" else ([m / 255 for m in MEAN], [1 / 255] * 3)
        x = image if self.convention == "torchvision" else image.flip(1)
        a, b = (torch.tensor(each, dtype=x.dtype, device=x.device).view(3, 1, 1) for each in (mean, deviation))
        return ((x - a) / b).contiguous(memory_format=torch.channels_last)
