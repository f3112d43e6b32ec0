"""Layers of StyleGAN2 (Karras et al. 2020, arXiv:1912.04958).

Their weights are N(0, 1), and are scaled each time they are used (Karras et al. 2018,
arXiv:1710.10196, section 4.1): Adam then moves all of them at one relative speed.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, linear, one_hot

from multigen.data.clusters import find_centres, nearest
from multigen.engine.distributed import all_rows
from multigen.image.resample import Blur, Downsample

__all__ = [
    "GAIN",
    "Deviation",
    "DownBlock",
    "EqualConv",
    "EqualLinear",
    "MappingNetwork",
    "StyleCentres",
    "StyleConv",
    "ToImage",
    "leaky",
    "normalised",
]

SLOPE = 0.2  # of the leaky rectifier
GAIN = math.sqrt(2)
"""Of layers before a leaky rectifier, which then keeps the size of activations."""
MAPPED = 10_000  # styles whose centres are found
LARGEST = 256.0  # activation in fp16, whose range ends at 65,504


def leaky(x: Tensor) -> Tensor:
    """The leaky rectifier. In fp16 activations are clamped (Karras et al. 2020, arXiv:2006.06676,
    appendix D)."""
    x = leaky_relu(x, SLOPE)
    return x.clamp(-LARGEST, LARGEST) if x.dtype == torch.float16 else x


def normalised(x: Tensor) -> Tensor:
    """Vectors (B, D), each scaled to a mean square of 1."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class EqualLinear(nn.Module):
    """(B, before) -> (B, after).

    Args:
        bias: its initial value.
        rate: learning rate of the layer, relative to the optimiser's.
        gain: of the result, such as `GAIN`.
    """

    def __init__(self, before: int, after: int, bias: float = 0.0, rate: float = 1.0, gain: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before) / rate)
        self.bias = nn.Parameter(torch.full((after,), bias / rate))
        self.scale, self.shift = gain * rate / math.sqrt(before), gain * rate

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight * self.scale, self.bias * self.shift)


class EqualConv(nn.Module):
    """(B, before, H, W) -> (B, after, H, W), or with `down` half the size, after a low-pass filter.

    A 1x1 convolution is the matrix product that it is with channels last, whose second derivative
    is fast on a CPU (see `multigen.image.resample.Pointwise`).
    """

    def __init__(self, before: int, after: int, side: int, down: bool = False, bias: bool = True, gain: float = GAIN):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(after, before, side, side))
        self.bias = nn.Parameter(torch.zeros(after)) if bias else None
        self.side, self.down, self.gain = side, down, gain
        self.scale = gain / math.sqrt(before * side**2)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight * self.scale, None if self.bias is None else self.bias * self.gain
        if self.side == 1:
            x = Downsample.apply(x) if self.down else x
            return linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)
        if self.down:
            return conv2d(Blur.apply(x, 2), weight, bias, stride=2)
        return conv2d(x, weight, bias, padding=self.side // 2)


# ---------------------------------------------------------------------------------------------------- generator


class MappingNetwork(nn.Module):
    """z (B, latent) and label (B,), each if any -> (B, width)."""

    def __init__(self, latent: int, classes: int, width: int, layers: int):
        super().__init__()
        self.latent, self.classes = latent, classes
        self.embed = EqualLinear(classes, width) if classes else None
        befores = [latent + (width if classes else 0)] + [width] * (layers - 1)
        self.layers = nn.ModuleList(EqualLinear(before, width, rate=0.01, gain=GAIN) for before in befores[:layers])

    def forward(self, z: Tensor, label: Tensor | None) -> Tensor:
        parts = [normalised(z)] if self.latent else []
        if self.embed is not None and label is not None:
            parts.append(normalised(self.embed(one_hot(label, self.classes).to(z))))
        w = torch.cat(parts, 1)
        for layer in self.layers:
            w = leaky(layer(w))
        return w


class StyleConv(nn.Module):
    """A 3x3 convolution whose input channels are scaled by a style, and whose result is scaled to
    unit variance: features (B, before, H, W), w (B, latent) -> (B, after, H, W), or twice as large.

    The style scales the weights in the paper (eq. 1 and 3); scaling the features before and after
    one convolution of the whole batch is the same, and on a CPU up to five times as fast as a
    convolution for each image.
    """

    noise: Tensor

    def __init__(self, latent: int, before: int, after: int, shape: tuple[int, int], up: bool):
        super().__init__()
        self.style = EqualLinear(latent, before, bias=1.0)
        self.weight = nn.Parameter(torch.randn(after, before, 3, 3))
        self.bias, self.strength = nn.Parameter(torch.zeros(after)), nn.Parameter(torch.zeros(()))
        self.register_buffer("noise", torch.randn(1, 1, *shape))  # that of samples
        self.up, self.scale = up, 1 / math.sqrt(9 * before)

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        style, weight = self.style(w), self.weight * self.scale
        deviation = (style.square() @ weight.square().sum((2, 3)).T + 1e-8).sqrt()  # (B, after)
        x = self.conv(x * style[:, :, None, None], weight)
        added = (self.noise if noise is None else noise) * self.strength + self.bias[:, None, None]
        return leaky(x * (GAIN / deviation)[:, :, None, None] + (GAIN * added).to(x))

    def conv(self, x: Tensor, weight: Tensor) -> Tensor:
        if not self.up:
            return conv2d(x, weight, padding=1)
        return 4 * Blur.apply(conv_transpose2d(x, weight.transpose(0, 1), stride=2), 1)  # (B, after, 2H, 2W)


class ToImage(nn.Module):
    """Features (B, before, H, W), w (B, latent) -> image (B, channels, H, W), by a 1x1 convolution
    with a style, whose result is not scaled."""

    def __init__(self, latent: int, before: int, channels: int):
        super().__init__()
        self.style = EqualLinear(latent, before, bias=1.0)
        self.weight, self.bias = nn.Parameter(torch.randn(channels, before)), nn.Parameter(torch.zeros(channels))
        self.scale = 1 / math.sqrt(before)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        scaled = x.permute(0, 2, 3, 1) * (self.style(w) * self.scale)[:, None, None]
        return linear(scaled, self.weight, self.bias).permute(0, 3, 1, 2)


# ---------------------------------------------------------------------------------------------------- discriminator


class DownBlock(nn.Module):
    """Two 3x3 convolutions, the second of which halves the size: (B, before, H, W) -> (B, after,
    H/2, W/2). A `residual` one adds its input, halved by a 1x1 convolution, both times sqrt(1/2).
    """

    def __init__(self, before: int, after: int, residual: bool = True):
        super().__init__()
        half = math.sqrt(0.5) if residual else 1.0
        self.conv1 = EqualConv(before, before, 3)
        self.conv2 = EqualConv(before, after, 3, down=True, gain=GAIN * half)
        self.skip = EqualConv(before, after, 1, down=True, bias=False, gain=half) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        h = leaky(self.conv2(leaky(self.conv1(x))))
        return h if self.skip is None else h + self.skip(x)


class StyleCentres:
    """The k-means centres of a mapping's w of `MAPPED` fixed z, found when they are first asked
    for, and again when the weights have changed since."""

    def __init__(self, count: int):
        self.count = count
        self.found: tuple[Tensor, Tensor] | None = None  # w of the first z, and the centres of all

    @torch.no_grad()
    def nearest(self, w: Tensor, mapping: "MappingNetwork") -> Tensor:
        """The centre nearest to each w (B, latent)."""
        z = torch.randn(MAPPED, w.shape[1], generator=torch.Generator().manual_seed(0)).to(w)
        first = mapping(z[:16], None)
        if self.found is None or not torch.equal(self.found[0], first):
            self.found = first, find_centres(mapping(z, None).float().cpu(), self.count)
        centres = self.found[1].to(w.device)
        return centres[nearest(w, centres)].to(w)


class Deviation(nn.Module):
    """A further channel that tells D how much the images of a group differ: (B, C, H, W) -> (B, C +
    1, H, W), with the deviation over the group, averaged over channels and positions; Karras et al.
    2018, arXiv:1710.10196, section 3.

    In training the groups are of the whole batch, over all ranks. In use an image has the running
    mean of these deviations, so that its score does not depend on the images beside it.
    """

    typical: Tensor
    seen: Tensor

    def __init__(self, group: int):
        super().__init__()
        self.group = group
        self.register_buffer("typical", torch.zeros(()))
        self.register_buffer("seen", torch.zeros(()))  # batches behind it

    def forward(self, x: Tensor) -> Tensor:
        values = self.differences(x) if self.training else self.typical.expand(len(x))
        return torch.cat([x, values[:, None, None, None].to(x).expand(-1, 1, *x.shape[2:])], 1)

    def differences(self, x: Tensor) -> Tensor:
        """That of each image's group, (B,)."""
        rows, own = all_rows(x)
        groups = rows.float().tensor_split(math.ceil(len(rows) / self.group))
        values = torch.cat([(g.var(0, correction=0) + 1e-8).sqrt().mean().expand(len(g)) for g in groups])
        with torch.no_grad():
            self.seen.add_(1)
            self.typical.lerp_(values.mean().to(self.typical), (1 / self.seen).clamp(min=0.01))
        return values[own]
