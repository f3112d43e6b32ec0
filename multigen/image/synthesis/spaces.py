"""The codes of a trained generator, in which its images are edited: latents z, or the styles w of a
generator that has them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from multigen.errors import ConfigError
from multigen.image.synthesis.sampler import ImageSampler, StyleSampler

__all__ = ["Codes", "Latents", "Space", "Styles", "space_of"]

SPREAD = 10_000  # styles whose mean and covariance are taken


class Codes(NamedTuple):
    """Codes of images, on the network's device."""

    codes: Tensor
    """(n, ..., width)"""
    labels: Tensor | None
    """(n,), of their classes or clusters."""


class Space:
    """Codes (n, ..., width) and their images.

    Args:
        sampler: the trained generator.
    """

    name: str
    layers = 1
    """Layers that have a code of their own."""
    spread = 1.0
    """Root mean square deviation of a dimension of the codes."""

    def __init__(self, sampler: ImageSampler):
        self.sampler, self.network = sampler, sampler.network
        weight = next(self.network.parameters())
        self.device, self.dtype, self.width = weight.device, weight.dtype, sampler.latent

    def codes(self, z: Tensor, labels: Tensor | None, truncation: float | None = None) -> Tensor:
        """z (n, latent), truncated already, and labels (n,) -> codes (n, ..., width)."""
        raise NotImplementedError

    def images(self, codes: Tensor, labels: Tensor | None) -> Tensor:
        """Codes (n, ..., width) -> images (n, C, H, W), about -1..1, differentiable."""
        raise NotImplementedError

    def matrix(self, layers: slice) -> Tensor:
        """What the first layers that see a code multiply it by, (outputs, width)."""
        raise NotImplementedError

    def moved(self, codes: Tensor, by: Tensor, layers: slice) -> Tensor:
        """Codes, moved by (..., width) in some layers."""
        raise NotImplementedError

    def deviation(self, direction: Tensor) -> float:
        """Standard deviation of the codes of samples along a direction (width,) of length 1."""
        raise NotImplementedError

    def legal(self, codes: Tensor) -> Tensor:
        """The nearest codes that samples could have, for a projection."""
        return codes

    def draw(
        self, n: int, seed: int = 0, label: str | int | None = None, truncation: float | None = None, first: int = 0
    ) -> Codes:
        """The codes and the labels of samples `first` to `first` + n - 1 of a seed, on the
        network's device; see `ImageSampler.sample`."""
        z, labels = self.sampler.latents(n, seed, first, truncation), self.sampler.labels(n, label, seed, first)
        labels = None if labels is None else labels.to(self.device)
        with torch.no_grad():
            return Codes(self.codes(z.to(self.device, self.dtype), labels, truncation), labels)

    @torch.no_grad()
    def render(self, codes: Tensor, labels: Tensor | None) -> Tensor:
        """Images of codes as they are saved, uint8 (n, C, H, W), on the CPU."""
        parts = codes.split(self.sampler.batch)
        numbers = [None] * len(parts) if labels is None else labels.split(self.sampler.batch)
        return torch.cat([self.sampler.finish(self.images(*part)).cpu() for part in zip(parts, numbers, strict=True)])


class Latents(Space):
    """z (n, width), each dimension N(0, 1)."""

    name = "z"

    def codes(self, z: Tensor, labels: Tensor | None, truncation: float | None = None) -> Tensor:
        return z

    def images(self, codes: Tensor, labels: Tensor | None) -> Tensor:
        return self.network(codes) if labels is None else self.network(codes, labels)

    def matrix(self, layers: slice) -> Tensor:
        for layer in self.network.modules():
            match layer:
                case nn.Linear():
                    weight = layer.weight
                case nn.ConvTranspose2d():
                    weight = layer.weight.flatten(1).T
                case nn.Conv2d():
                    weight = layer.weight.transpose(0, 1).flatten(1).T
                case _:
                    continue
            if weight.shape[1] >= self.width:
                return weight[:, : self.width].detach()
        raise ConfigError(
            f"sefa: the generator has no layer that takes the {self.width} latents; take directions from its images: --by pca"
        )

    def moved(self, codes: Tensor, by: Tensor, layers: slice) -> Tensor:
        return codes + by

    def deviation(self, direction: Tensor) -> float:
        return 1.0

    def legal(self, codes: Tensor) -> Tensor:
        """No longer than nearly all latents are: their length is about sqrt(width), +- .7."""
        longest = self.width**0.5 + 2
        return codes * (longest / codes.norm(dim=-1, keepdim=True).clamp(min=longest))


class Styles(Space):
    """w (n, layers, width), which a sample has the same for all layers."""

    name = "w"

    def __init__(self, sampler: ImageSampler):
        super().__init__(sampler)
        network: Any = self.network
        self.mapping: Callable[..., Tensor] = network.mapping
        self.synthesis: Callable[[Tensor], Tensor] = network.synthesis
        self.layers = int(network.synthesis.styles)
        self.affine: Callable[[int], Tensor] = network.synthesis.affine
        codes, _ = self.draw(SPREAD)
        self.mean = codes.mean(0)  # (layers, width)
        centred = (codes[:, 0] - self.mean[0]).double()
        self.covariance = centred.T @ centred / len(centred)  # (width, width)
        self.spread = float(self.covariance.diagonal().mean().sqrt())

    def codes(self, z: Tensor, labels: Tensor | None, truncation: float | None = None) -> Tensor:
        return self.mapping(z, labels, 1.0 if truncation is None else truncation)

    def images(self, codes: Tensor, labels: Tensor | None) -> Tensor:
        return self.synthesis(codes)

    def matrix(self, layers: slice) -> Tensor:
        return torch.cat([self.affine(i).detach() for i in range(self.layers)[layers]])

    def moved(self, codes: Tensor, by: Tensor, layers: slice) -> Tensor:
        result = codes.clone()
        result[..., layers, :] += by[..., None, :]
        return result

    def deviation(self, direction: Tensor) -> float:
        direction = direction.to(self.covariance)
        return float(direction @ self.covariance @ direction) ** 0.5


def space_of(sampler: ImageSampler) -> Space:
    """The space in which a generator's images are edited: of styles, where it has them."""
    return Styles(sampler) if isinstance(sampler, StyleSampler) else Latents(sampler)
