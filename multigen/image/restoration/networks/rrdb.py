"""RRDBNet, the generator of ESRGAN and Real-ESRGAN. Wang et al. 2018, arXiv:1809.00219; 2021,
arXiv:2107.10833."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from multigen.image.restoration.networks.unshuffle import unshuffled

__all__ = ["RRDB"]


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees all before it; a fifth of the result is added to the
    input."""

    def __init__(self, width: int, growth: int):
        super().__init__()
        for i in range(1, 6):
            out = growth if i < 5 else width
            self.add_module(f"conv{i}", nn.Conv2d(width + (i - 1) * growth, out, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        features = x
        for i in range(1, 5):
            features = torch.cat(
                [features, F.leaky_relu(self.get_submodule(f"conv{i}")(features), 0.2)], dim=1
            )  # + growth channels
        return x + 0.2 * self.get_submodule("conv5")(features)


class Block(nn.Module):
    """A residual-in-residual dense block: three dense blocks; a fifth of the result is added to the
    input."""

    def __init__(self, width: int, growth: int):
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (DenseBlock(width, growth) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.2 * self.rdb3(self.rdb2(self.rdb1(x)))


class RRDB(nn.Module):
    """RGB (B, 3, H, W) in 0..1 -> (B, 3, scale H, scale W). Parameters are named as in the
    published weights of Real-ESRGAN.

    Args:
        scale: 1, 2, 4 or 8.
        unshuffle: side of the squares of pixels that become channels first, 1, 2 or 4: the body
            then works at a lower resolution, and enlarges `scale * unshuffle` times.
    """

    def __init__(self, scale: int = 4, blocks: int = 23, width: int = 64, growth: int = 32, unshuffle: int = 1):
        super().__init__()
        self.unshuffle = unshuffle
        self.doublings = (scale * unshuffle).bit_length() - 1
        self.conv_first = nn.Conv2d(3 * unshuffle**2, width, 3, padding=1)
        self.body = nn.Sequential(*(Block(width, growth) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(width, width, 3, padding=1)
        for i in range(1, self.doublings + 1):
            self.add_module(f"conv_up{i}", nn.Conv2d(width, width, 3, padding=1))
        self.conv_hr = nn.Conv2d(width, width, 3, padding=1)
        self.conv_last = nn.Conv2d(width, 3, 3, padding=1)
        # Pixels of the body's input, on each side, that an output may depend on: 15 a block, the first convolution, that
        # after the body, and those of the upper resolutions, at most one and a half and then two halves.
        self.radius = unshuffle * (15 * blocks + 2 + (3 if self.doublings else 2))
        with torch.no_grad():  # section 3.1 of ESRGAN: a tenth of He's initialisation
            for layer in self.body.modules():
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight).mul_(0.1)
                    nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        x = self.conv_first(unshuffled(image, self.unshuffle))  # (B, C, H / unshuffle, W / unshuffle)
        x = x + self.conv_body(self.body(x))
        for i in range(1, self.doublings + 1):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = F.leaky_relu(self.get_submodule(f"conv_up{i}")(x), 0.2)
        x = self.conv_last(F.leaky_relu(self.conv_hr(x), 0.2))
        scale = 2**self.doublings // self.unshuffle
        return x[..., : scale * height, : scale * width]  # (B, 3, scale H, scale W)
