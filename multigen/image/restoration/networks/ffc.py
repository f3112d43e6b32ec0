"""Fast Fourier convolutions, whose outputs see the whole image, and the generator of LaMa made of
them. Suvorov et al. 2021, arXiv:2109.07161, section 2.1; Chi et al. 2020, "Fast Fourier
Convolution"."""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, pad, relu

__all__ = ["FFC", "FFCGenerator", "FourierUnit", "SmoothFFCGenerator", "smoothly_filled"]

SHARE = 4  # one channel in four is local, the rest are global
LEVELS = 7  # halvings of an image for its smooth filling: of holes up to some 250 pixels
SWEEPS = 4  # over that filling, at each level


class FourierUnit(nn.Module):
    """A 1x1 convolution of the real and imaginary parts of the spectrum: (B, C, H, W) -> the same
    shape, each of whose pixels depends on all. Fourier transforms are never computed in less than
    float32: not every device has one."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(2 * width, 2 * width, 1, bias=False)
        self.norm = nn.BatchNorm2d(2 * width)

    def forward(self, x: Tensor) -> Tensor:
        whole = torch.promote_types(x.dtype, torch.float32)
        last = x.permute(0, 2, 3, 1).to(whole)  # (B, H, W, C): channels lie last in memory, and stay there
        spectrum = torch.view_as_real(torch.fft.rfft2(last, dim=(1, 2), norm="ortho"))  # (B, H, W / 2 + 1, C, 2)
        parts = self.norm(self.conv(spectrum.flatten(3).permute(0, 3, 1, 2).to(x.dtype)))  # (B, 2 C, H, W / 2 + 1)
        spectrum = relu(parts).permute(0, 2, 3, 1).to(whole).unflatten(3, (-1, 2)).contiguous()
        y = torch.fft.irfft2(torch.view_as_complex(spectrum), s=x.shape[2:], dim=(1, 2), norm="ortho")
        return y.permute(0, 3, 1, 2).to(x.dtype)


class SpectralTransform(nn.Module):
    """A Fourier unit at half the channels, between two 1x1 convolutions: (B, C, H, W) -> the same
    shape."""

    def __init__(self, width: int):
        super().__init__()
        half = width // 2
        self.reduce = nn.Sequential(nn.Conv2d(width, half, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU())
        self.fourier = FourierUnit(half)
        self.expand = nn.Conv2d(half, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce(x)
        return self.expand(x + self.fourier(x))


class FFC(nn.Module):
    """A fast Fourier convolution, batch norm and ReLU: local (B, L, H, W) and global (B, G, H, W)
    channels -> the same shapes.

    Local channels come of both by a 3x3 convolution, global ones of local ones by a 3x3 convolution
    and of global ones by a spectral transform.
    """

    def __init__(self, local: int, whole: int):
        super().__init__()
        self.to_local = conv3(local + whole, local)
        self.to_global = conv3(local, whole)
        self.spectral = SpectralTransform(whole)
        self.norm_local, self.norm_global = nn.BatchNorm2d(local), nn.BatchNorm2d(whole)

    def forward(self, local: Tensor, whole: Tensor) -> tuple[Tensor, Tensor]:
        near = self.to_local(torch.cat([local, whole], dim=1))
        far = self.to_global(local) + self.spectral(whole)
        return relu(self.norm_local(near)), relu(self.norm_global(far))


class FFCBlock(nn.Module):
    """Two fast Fourier convolutions + input, (B, C, H, W) -> the same shape; the first quarter of
    the channels is local."""

    def __init__(self, width: int):
        super().__init__()
        self.local = width // SHARE
        self.first, self.second = (FFC(self.local, width - self.local) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        local, whole = x[:, : self.local], x[:, self.local :]
        return x + torch.cat(self.second(*self.first(local, whole)), dim=1)


def conv3(before: int, after: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, stride, padding=1, padding_mode="reflect", bias=False)


class FFCGenerator(nn.Module):
    """The generator of LaMa: masked image and mask (B, 4, H, W) in 0..1 -> image (B, 3, H, W) in
    0..1, H and W multiples of `multiple`.

    Args:
        width: channels of the first layer, which every halving doubles.
        blocks: residual blocks of fast Fourier convolutions.
        halvings: of height and width, before the blocks; undone after them.
    """

    def __init__(self, width: int = 32, blocks: int = 6, halvings: int = 2):
        super().__init__()
        self.multiple = 2**halvings
        layers = body(width, blocks, halvings)
        for wide in widths(width, halvings):
            layers += [nn.ConvTranspose2d(2 * wide, wide, 3, 2, padding=1, output_padding=1, bias=False), *after(wide)]
        layers += [nn.Conv2d(width, 3, 7, padding=3, padding_mode="reflect"), nn.Sigmoid()]
        self.layers = nn.Sequential(*layers)

    def forward(self, masked: Tensor) -> Tensor:
        return self.layers(masked)


class SmoothFFCGenerator(nn.Module):
    """As `FFCGenerator`, but what it makes is added to a smooth filling of the hole, so that it
    begins with the colours of the surroundings; known pixels pass unchanged.

    A transposed convolution gives each of the four pixels of a square weights of its own, of which
    a discriminator's gradients make a grid. Here features are enlarged first, and convolved then,
    with the same weights for all (Odena et al. 2016, "Deconvolution and checkerboard artifacts"):
    enlarged by linear interpolation, since of squares of equal pixels stripes of their period grew.
    """

    def __init__(self, width: int = 32, blocks: int = 6, halvings: int = 2):
        super().__init__()
        self.multiple = 2**halvings
        layers = body(width, blocks, halvings)
        for wide in widths(width, halvings):
            layers += [nn.Upsample(scale_factor=2, mode="bilinear"), conv3(2 * wide, wide), *after(wide)]
        tail = nn.Conv2d(width, 3, 7, padding=3, padding_mode="reflect")
        with torch.no_grad():  # begins near the smooth filling
            tail.weight.mul_(0.1)
        self.layers = nn.Sequential(*layers, tail)

    def forward(self, masked: Tensor) -> Tensor:
        hole = masked[:, 3:]
        smooth = smoothly_filled(masked[:, :3], hole)
        return smooth + hole * self.layers(torch.cat([smooth, hole], dim=1))  # (B, 3, H, W)


def widths(width: int, halvings: int) -> list[int]:
    """The channels after each doubling of height and width."""
    return [width * 2**i for i in reversed(range(halvings))]


def body(width: int, blocks: int, halvings: int) -> list[nn.Module]:
    """The layers up to the last block: (B, 4, H, W) -> (B, 2^halvings width, H / 2^halvings, W /
    2^halvings)."""
    layers: list[nn.Module] = [nn.Conv2d(4, width, 7, padding=3, padding_mode="reflect", bias=False), *after(width)]
    for _ in range(halvings):
        width *= 2
        layers += [conv3(width // 2, width, stride=2), *after(width)]
    return layers + [FFCBlock(width) for _ in range(blocks)]


def after(width: int) -> tuple[nn.Module, nn.Module]:
    """What follows a convolution."""
    return nn.BatchNorm2d(width), nn.ReLU()


@torch.no_grad()
def smoothly_filled(image: Tensor, hole: Tensor) -> Tensor:
    """Images (B, 3, H, W) whose hole, 1 in (B, 1, H, W) of 0 and 1, is a surface stretched between
    the known pixels, from coarse to fine; what the image has in the hole does not matter."""
    known = 1 - hole
    levels = [torch.cat([image * known, known], dim=1)]  # colours by their share of known pixels, that share
    for _ in range(LEVELS):
        levels.append(avg_pool2d(levels[-1], 2, ceil_mode=True))
    mean = levels[-1].mean((2, 3), keepdim=True)
    x = mean[:, :3] / mean[:, 3:].clamp(min=1e-6)
    for level in reversed(levels):
        colours, unknown = level[:, :3], 1 - level[:, 3:]
        x = colours + unknown * interpolate(x, size=level.shape[2:], mode="bilinear", align_corners=False)
        for _ in range(SWEEPS):
            x = colours + unknown * avg_pool2d(pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return x
