"""Using a trained generator of pictures: samples by seed and class, and walks between latents."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from multigen.engine.randomness import key
from multigen.errors import ConfigError
from multigen.image.data import to_picture

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["Sampler", "slerp", "to_pictures", "to_uint8"]


class Sampler:
    """A trained generator as a source of pictures.

    Picture i of a seed depends on the seed, i and its class alone: it is the same whichever others are asked for with it. (In
    batches of another size a pixel may differ by one level, since sums are rounded in another order.)

    Args:
        network: z (B, latent), and label (B,) where there are classes -> (B, C, H, W) in -1..1; in eval mode, on its device.
        latent: dimensions of z ~ N(0, I).
        classes: names of the classes that the network was trained with, by label; none for an unconditional one.
        batch: pictures that are made at a time; smaller needs less memory.
    """

    def __init__(self, network: nn.Module, latent: int, classes: tuple[str, ...] = (), batch: int = 64):
        self.network, self.latent, self.classes, self.batch = network, latent, classes, batch

    def latents(self, n: int, seed: int = 0, first: int = 0) -> Tensor:
        """z of pictures `first` to `first` + n - 1 of a seed, float32 (n, latent) on the CPU. Raises ConfigError for n < 1."""
        if n < 1:
            raise ConfigError(f"{n} pictures are asked for; expected 1 or more")
        rows = [torch.Generator().manual_seed(key("latent", seed, i)) for i in range(first, first + n)]
        return torch.stack([torch.randn(self.latent, generator=row) for row in rows])

    def sample(self, n: int, seed: int = 0, label: str | int | Tensor | None = None) -> Tensor:
        """Pictures 0 to n - 1 of a seed, uint8 (n, C, H, W) on the CPU.

        Args:
            label: a class, by name or number, or the number of each picture's class (n,); without one a conditional model shows
                its classes in turn.

        Raises:
            ConfigError: n < 1, a class that was never trained, or any class where the model knows none.
        """
        return self._generate(self.latents(n, seed), self._labels(n, label))

    def pictures(self, n: int, seed: int = 0, label: str | int | None = None) -> "list[Picture]":
        """The same as PIL pictures, of mode L or RGB."""
        return to_pictures(self.sample(n, seed, label))

    def interpolate(self, n: int = 5, frames: int = 16, seed: int = 0, label: str | int | None = None) -> Tensor:
        """A closed walk through the latents of n pictures, uint8 (n * frames, C, H, W): frame i * frames is picture i.

        Args:
            frames: from one picture to the next.
            label: as for `sample`; without one a conditional model shows another class on each stretch of the walk.

        Raises:
            ConfigError: as for `sample`, and for frames < 1.
        """
        if frames < 1:
            raise ConfigError(f"{frames} frames are asked for from one picture to the next; expected 1 or more")
        ends, labels = self.latents(n, seed).double(), self._labels(n, label)
        along = torch.arange(frames, dtype=torch.float64)[:, None] / frames  # (frames, 1)
        walk = slerp(ends[:, None], ends.roll(-1, 0)[:, None], along)  # (n, frames, latent)
        return self._generate(walk.flatten(0, 1), None if labels is None else labels.repeat_interleave(frames))

    def _labels(self, n: int, label: str | int | Tensor | None) -> Tensor | None:
        """(n,) numbers of classes, None for a model without classes."""
        if isinstance(label, Tensor):
            return label
        if not self.classes:
            if label is None:
                return None
            raise ConfigError(f"class {label!r}: the model was trained without classes; ask for none")
        if label is None:
            return torch.arange(n) % len(self.classes)
        number = self.classes.index(label) if label in self.classes else label
        if not isinstance(number, int) or not 0 <= number < len(self.classes):
            raise ConfigError(f"class {label!r} was never trained; choose from {', '.join(self.classes)}")
        return torch.full((n,), number)

    @torch.no_grad()
    def _generate(self, z: Tensor, labels: Tensor | None) -> Tensor:
        weight = next(self.network.parameters())
        z = z.to(weight.device, weight.dtype)
        known = () if labels is None else (labels.to(weight.device),)
        batches = zip(*(t.split(self.batch) for t in (z, *known)), strict=True)
        return torch.cat([to_uint8(self.network(*batch)).cpu() for batch in batches])


def slerp(start: Tensor, end: Tensor, along: Tensor) -> Tensor:
    """Spherical interpolation of vectors (..., D), from `start` at `along` (..., 1) = 0 to `end` at 1.

    Shoemake 1985; for latents White 2016, arXiv:1609.04468: on a straight line between two of them lie shorter vectors than a
    normal distribution gives, which the generator has not seen. Parallel ones are interpolated linearly.
    """
    angle = cosine_similarity(start, end, dim=-1).clamp(-1, 1).acos()[..., None]
    sine = angle.sin()
    curved = (((1 - along) * angle).sin() * start + (along * angle).sin() * end) / sine
    return torch.where(sine > 1e-6, curved, start.lerp(end, along))


def to_uint8(image: Tensor) -> Tensor:
    """-1..1 to the nearest of 0..255, uint8; what lies beyond is clamped."""
    return ((image.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def to_pictures(images: Tensor) -> "list[Picture]":
    """uint8 (N, C, H, W) as PIL pictures: mode L for one channel, RGB for three."""
    from PIL import Image

    return [Image.fromarray(x[0].numpy()) if len(x) == 1 else to_picture(x) for x in images]
