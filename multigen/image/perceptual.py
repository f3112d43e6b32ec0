"""Perceptual distances: how far two images are apart in the features of a frozen, pretrained
network.

The distances, each named after its extractor:
- `vgg22`, `vgg54`: VGG19 at conv2_2 and conv5_4, the content losses of SRGAN (Ledig et al. 2017,
  arXiv:1609.04802, section 2.2.1). VGG19 itself: Simonyan & Zisserman 2015, arXiv:1409.1556,
  configuration E.
- `vgg34`: VGG19 at conv3_4, which is in no loss.
- `vgg22_preactivation`, `vgg54_preactivation`: the same layers before their ReLU, as in ESRGAN
  (Wang et al. 2018, arXiv:1809.00219, section 3.3), absolute and unscaled as in its released code.
- `efficientnet_lite0`: needs no download, because the weights come with a package. Unit-length
  features as in LPIPS (Zhang et al. 2018, arXiv:1801.03924, equation 1), without the weights which
  LPIPS learns for its channels.
- `squeezenet1_1`: the same of SqueezeNet 1.1, whose weights the user gives.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from multigen.data.locate import locate
from multigen.errors import CheckpointError, ConfigError
from multigen.image.backbones import EfficientNetLite0, Normalise
from multigen.image.squeezenet import SqueezeNet
from multigen.storage.files import expanded
from multigen.storage.reading import WEIGHTS, check_file

__all__ = [
    "DEFINITIONS",
    "VGG19",
    "WEIGHTS_OF",
    "PerceptualDistance",
    "given_weights",
    "open_distances",
    "open_perceptual",
]

DEFINITIONS = {
    "vgg22": "mean squared difference of VGG19 features at conv2_2 (after its ReLU, divided by 12.75), RGB, no border "
    "cropped; comparable only with results of the same VGG19 weights",
    "vgg34": "mean squared difference of VGG19 features at conv3_4 (after its ReLU, divided by 12.75), RGB, no border "
    "cropped; comparable only with results of the same VGG19 weights",
    "vgg54": "mean squared difference of VGG19 features at conv5_4 (after its ReLU, divided by 12.75), RGB, no border "
    "cropped; comparable only with results of the same VGG19 weights",
    "efficientnet_lite0": "squared distance of EfficientNet-lite0 feature vectors, scaled to unit length along the "
    "channels, mean over positions and then over three stages (strides 2, 4, 8), RGB, no border cropped; not LPIPS",
    "squeezenet1_1": "squared distance of SqueezeNet 1.1 feature vectors, scaled to unit length along the channels, mean over "
    "positions and then over the seven layers of LPIPS, RGB, no border cropped; without LPIPS's weights of channels",
    "vgg22_preactivation": "mean absolute difference of VGG19 features at conv2_2 (before its ReLU), RGB, no border "
    "cropped; comparable only with results of the same VGG19 weights",
    "vgg54_preactivation": "mean absolute difference of VGG19 features at conv5_4 (before its ReLU), RGB, no border "
    "cropped; comparable only with results of the same VGG19 weights",
}

WEIGHTS_OF = {"vgg22": "perceptual_weights", "vgg34": "perceptual_weights", "squeezenet1_1": "squeezenet_weights"}
"""Networks that images are measured with where a setting names their weights: that setting."""

VGG19_BLOCKS = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))  # (convolutions, channels) of each block
# Layers up to and with that convolution's ReLU, or up to and with the convolution.
VGG19_DEPTHS = {"vgg22": 9, "vgg34": 18, "vgg54": 36, "vgg22_preactivation": 8, "vgg54_preactivation": 35}

# An image x in 0..1 enters a network as (x - mean) / std; Oxford's VGG takes 0..255 minus the mean colour.
VGG19_INPUTS = {
    "oxford": ((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255, 1 / 255, 1 / 255)),
    "torchvision": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}

# Added to the mean square of a feature vector before it is scaled to unit length, so that the gradient stays bounded
# at zero. Of photographs the mean square is above 1.5 everywhere (measured): there this changes next to nothing.
UNIT_LENGTH_EPS = 1e-2


class VGG19(nn.Module):
    """VGG19 up to the layer of a content loss: image (B, 3, H, W), RGB in 0..1 -> list of one
    feature map.

    `vgg22` gives (B, 128, H/2, W/2), `vgg34` (B, 256, H/4, W/4), `vgg54` (B, 512, H/16, W/16), all
    after the ReLU, unscaled; with `_preactivation` before it.

    `weights` is a safetensors file with torchvision's keys (`features.0.weight` or `0.weight`,
    ...). It may hold more layers than are needed. Its input is taken to be that of Oxford's
    network, RGB 0..255 minus (123.68, 116.779, 103.939), unless its metadata say `{"input":
    "torchvision"}`: RGB 0..1 normalised with ImageNet's mean and deviation. Without a file,
    torchvision's weights (575 MB) are downloaded once and kept in torch's cache.

    Raises CheckpointError where weights cannot be read, lack a layer, or cannot be downloaded.
    """

    def __init__(self, layer: str, weights: str | None = None):
        super().__init__()
        if layer not in VGG19_DEPTHS:
            raise ConfigError(f"VGG19 layer {layer!r}: expected {' or '.join(VGG19_DEPTHS)}")
        state, convention = _read_weights(expanded(weights)) if weights else (_download_vgg19(), "torchvision")
        state = {key.removeprefix("features."): value for key, value in state.items()}
        self.normalise = Normalise(*VGG19_INPUTS[convention])
        self.features = _vgg19_layers(VGG19_DEPTHS[layer])
        expected = self.features.state_dict()
        for key, value in expected.items():
            if key not in state or state[key].shape != value.shape:
                raise CheckpointError(
                    f"perceptual weights {weights} hold no tensor {key!r} of shape {tuple(value.shape)}, which {layer} "
                    "needs: give a safetensors file with the layers of torchvision's vgg19().features at least to there"
                )
        self.features.load_state_dict({key: state[key].float() for key in expected}, assign=True)
        self.requires_grad_(False).to(memory_format=torch.channels_last)

    def forward(self, image: Tensor) -> list[Tensor]:
        return [self.features(self.normalise(image))]


def _vgg19_layers(depth: int) -> nn.Sequential:
    """The first `depth` layers of torchvision's vgg19().features, on the meta device: no memory, no
    random numbers."""
    layers: list[nn.Module] = []
    channels = 3
    with torch.device("meta"):
        for convolutions, width in VGG19_BLOCKS:
            for _ in range(convolutions):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
            layers += [nn.MaxPool2d(2)]
    return nn.Sequential(*layers[:depth])


def _read_weights(path: Path) -> tuple[dict[str, Tensor], str]:
    """Tensors of a safetensors file, and the name of the input that they expect."""
    from safetensors import SafetensorError, safe_open

    if path.suffix != ".safetensors":
        raise CheckpointError(
            f"perceptual weights {path}: expected a .safetensors file, since other formats may run code when read; "
            'convert weights of torchvision once with safetensors.torch.save_file(torch.load("vgg19.pth", '
            'weights_only=True), "vgg19.safetensors", metadata={"input": "torchvision"})'
        )
    try:
        check_file(path, WEIGHTS)
        with safe_open(path, "pt") as file:
            convention = (file.metadata() or {}).get("input", "oxford")
            keys = [key for key in file.keys() if not key.startswith("classifier.")]  # noqa: SIM118 (not a dict)
            state = {key: file.get_tensor(key) for key in keys}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"perceptual weights {path} cannot be read as safetensors ({error}): check the path, or copy the file again"
        ) from error
    if convention not in VGG19_INPUTS:
        raise CheckpointError(
            f"perceptual weights {path}: their metadata call the input {convention!r}, expected "
            f"{' or '.join(VGG19_INPUTS)}: save the file again with one of them"
        )
    return state, convention


def _download_vgg19() -> dict[str, Tensor]:
    """torchvision's weights, from torch's cache or from the network."""
    from torchvision.models import VGG19_Weights

    try:
        return dict(VGG19_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True, weights_only=True))
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"torchvision's VGG19 weights are not available ({error}): connect to a network, give a safetensors file with "
            "--perceptual-weights FILE, or take the distance efficientnet_lite0, which needs no download"
        ) from error


class PerceptualDistance(nn.Module):
    """Mean squared or absolute difference of scaled features of a frozen extractor, differentiable
    in the first image.

    fake, real (B, 3, H, W), RGB in 0..1 -> (B,), at least 0 and 0 for equal images; no gradient
    reaches `real`. Taps count equally. Its value is computed in float32 or better, also where
    autocast runs the extractor in bfloat16. Use `open_perceptual` to make one by name; DEFINITIONS
    says what each name stands for.
    """

    def __init__(
        self,
        name: str,
        extractor: nn.Module,
        scale: Callable[[Tensor], Tensor],
        size: Callable[[Tensor], Tensor] = torch.square,
    ):
        super().__init__()
        self.name = name
        self.extractor = extractor
        self.scale = scale
        self.size = size  # of each difference: its square, or its absolute value

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        if fake.shape != real.shape or fake.dim() != 4 or fake.shape[1] != 3 or min(fake.shape[2:]) < 16:
            raise ValueError(
                f"{self.name}: expected two batches (B, 3, H, W) of one shape, H and W at least 16, got "
                f"{tuple(fake.shape)} and {tuple(real.shape)}"
            )
        with torch.no_grad():
            targets = self.features(real)
        return self.between(self.features(fake), targets)

    def between(self, fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
        """(B,) from precomputed `features`, so that those of an image compared with many are
        computed once."""
        distances = [self.size(x - y).mean((1, 2, 3)) for x, y in zip(fake, real, strict=True)]
        return torch.stack(distances).mean(0)  # (taps, B) -> (B,)

    def features(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W), RGB in 0..1 -> the extractor's feature maps as the distance compares
        them."""
        return [self.scale(x.to(torch.promote_types(x.dtype, torch.float32))) for x in self.extractor(image)]


def _srgan_scale(x: Tensor) -> Tensor:
    """SRGAN, section 3.2: features are divided by 12.75, so that the loss (x 0.006) is of a pixel
    loss's size."""
    return x / 12.75


def _unit_length(x: Tensor) -> Tensor:
    """Feature vectors (the C channels at a position) of root mean square 1.

    The mean over channels that follows thus is the squared distance of vectors of length 1, for any
    C: 2 - 2 cos.
    """
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + UNIT_LENGTH_EPS)


def open_perceptual(name: str, weights: str | None = None) -> PerceptualDistance:
    """The distance called `name`, a key of DEFINITIONS. `weights`: see VGG19; of squeezenet1_1, a
    file of the same kind.

    Raises ConfigError for another name and for weights with efficientnet_lite0, CheckpointError as
    VGG19 does.
    """
    if name not in DEFINITIONS:
        raise ConfigError(f"perceptual distance {name!r}: expected one of {', '.join(DEFINITIONS)}")
    if name == "squeezenet1_1":
        if not weights:
            raise ConfigError(
                "squeezenet1_1: its weights do not come with a package; give a file: --squeezenet-weights FILE"
            )
        return PerceptualDistance(name, SqueezeNet(*_read_weights(expanded(weights)), weights), _unit_length)
    if name.endswith("_preactivation"):
        return PerceptualDistance(name, VGG19(name, weights), lambda x: x, torch.abs)
    if name != "efficientnet_lite0":
        return PerceptualDistance(name, VGG19(name, weights), _srgan_scale)
    if weights:
        raise ConfigError(
            f"perceptual weights {weights}: efficientnet_lite0 brings its own; leave them out, or take vgg22"
        )
    return PerceptualDistance(name, EfficientNetLite0(), _unit_length)


def given_weights(settings: Mapping[str, Any]) -> dict[str, Path]:
    """Setting -> file, of the settings in `WEIGHTS_OF` that name one.

    Raises DataError where there is no such file.
    """
    names = dict.fromkeys(WEIGHTS_OF.values())
    return {name: locate(settings[name], "a safetensors file") for name in names if settings.get(name)}


def open_distances(
    name: str, weights: Mapping[str, Path], device: torch.device, dtype: torch.dtype = torch.float32
) -> list[PerceptualDistance]:
    """The distance called `name`, then those of `WEIGHTS_OF` whose weights are given; `vgg34` only
    if the file goes as far.

    Raises as `open_perceptual`.
    """
    given = [each for each, setting in WEIGHTS_OF.items() if setting in weights]
    if "vgg34" in given and not _reaches(weights["perceptual_weights"], "vgg34"):
        given.remove("vgg34")
    distances = []
    for each in dict.fromkeys([name, *given]):
        setting = "" if each == "efficientnet_lite0" else WEIGHTS_OF.get(each, "perceptual_weights")
        file = str(weights[setting]) if setting in weights else None
        distances.append(open_perceptual(each, file).to(device, dtype))
    return distances


def _reaches(file: Path, layer: str) -> bool:
    """Whether a file of VGG19's weights, which may end with those for `vgg22`, goes as far as a
    layer."""
    convolution = VGG19_DEPTHS[layer] - 2
    return not {f"{convolution}.weight", f"features.{convolution}.weight"}.isdisjoint(_read_weights(file)[0])
