"""Fast Fourier convolutions, whose outputs see the whole image, and the generator of LaMa made of
them. Suvorov et al. 2021, arXiv:2109.07161, section 2.1; Chi et al. 2020, "Fast Fourier
Convolution"."""

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

__all__ = ["FFC", "FFCGenerator", "FourierUnit"]

SHARE = 4  # one channel in four is local, the rest are global


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
    """Masked image and mask -> image: (B, 4, H, W) in 0..1 -> (B, 3, H, W) in 0..1, H and W
    multiples of `multiple`.

    Args:
        width: channels of the first layer, which every halving doubles.
        blocks: residual blocks of fast Fourier convolutions.
        halvings: of height and width, before the blocks; undone after them.
    """

    def __init__(self, width: int = 32, blocks: int = 6, halvings: int = 2):
        super().__init__()
        self.multiple = 2**halvings
        widths = [width * 2**i for i in range(halvings + 1)]
        layers: list[nn.Module] = [nn.Conv2d(4, width, 7, padding=3, padding_mode="reflect", bias=False), *after(width)]
        for wide in widths[1:]:
            layers += [conv3(wide // 2, wide, stride=2), *after(wide)]
        layers += [FFCBlock(widths[-1]) for _ in range(blocks)]  # (B, C, H / multiple, W / multiple)
        for wide in reversed(widths[:-1]):
            layers += [nn.ConvTranspose2d(2 * wide, wide, 3, 2, padding=1, output_padding=1, bias=False), *after(wide)]
        layers += [nn.Conv2d(width, 3, 7, padding=3, padding_mode="reflect"), nn.Sigmoid()]
        self.layers = nn.Sequential(*layers)

    def forward(self, masked: Tensor) -> Tensor:
        return self.layers(masked)


def after(width: int) -> tuple[nn.Module, nn.Module]:
    """What follows a convolution."""
    return nn.BatchNorm2d(width), nn.ReLU()
