"""Using a trained generator: samples by seed and class, walks between latents, files of them. A modality derives its own."""

import copy
import itertools
import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from multigen.catalogue import TASKS
from multigen.console import counted, shortened
from multigen.engine.randomness import key
from multigen.errors import ConfigError, DataError
from multigen.memory import require, size
from multigen.storage.files import writing
from multigen.storage.output import check_folder, check_targets
from multigen.storage.provenance import NOTHING, Provenance
from multigen.tasks.graph import Graph
from multigen.tasks.ready import Ready

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["Sampler", "slerp", "tiled", "truncated"]

SHOWN = 100  # samples shown together beside their files, at most
SENTENCE = 200  # characters of a list of classes, at most
BLOCK = 4096  # bytes of the disk that a file takes at least
FEWER = "ask for fewer: -n"


class Sampler(Ready):
    """A trained generator as a source of samples.

    Sample i of a seed depends on the seed, i and its class alone: it is the same whichever others are asked for with it. (In
    batches of another size a value may differ by a rounding, since sums are rounded in another order.)

    A modality states `task`, `suffix` and `overview`, and overrides `finish`, `write`, `show`, `strip` and `describe_output`.

    Args:
        network: z (B, latent), and label (B,) where there are classes -> (B, ...) in -1..1; in eval mode, on its device.
        latent: dimensions of z ~ N(0, I).
        classes: names of the classes that the network was trained with, by label; none for an unconditional one.
        batch: samples that are made at a time; smaller needs less memory.
        shares: of the clusters that it was trained with in place of classes: so many of the samples are of each.
    """

    suffix: ClassVar[str]
    """Of a sample's file, e.g. ".png"."""
    overview: ClassVar[str]
    """End of the name of the file that shows samples together, e.g. "grid.png"."""

    def __init__(
        self,
        network: nn.Module,
        latent: int,
        classes: tuple[str, ...] = (),
        batch: int = 64,
        shares: tuple[float, ...] = (),
    ):
        self.network, self.latent, self.classes, self.batch, self.shares = network, latent, classes, batch, shares

    def about(self) -> dict[str, str]:
        kind = "classes" if self.classes else "clusters"
        return super().about() | ({kind: shortened(", ".join(self.choices), SENTENCE)} if self.choices else {})

    @property
    def choices(self) -> tuple[str, ...]:
        """What can be asked for: classes by their names, or clusters by their numbers."""
        return self.classes or tuple(str(i) for i in range(len(self.shares)))

    @property
    def items(self) -> str:
        """What the samples are, in the plural, for sentences."""
        return TASKS[self.task].items

    # ---------------------------------------------------------------------------------- what a modality states

    def finish(self, x: Tensor) -> Tensor:
        """What the network gives (B, ...) -> samples (B, ...) as they are handed out and measured."""
        return x

    def write(self, sample: Tensor, path: Path, about: Provenance = NOTHING) -> None:
        """Writes one sample (...) to a file, which says where it comes from. May raise OSError."""
        raise NotImplementedError

    def show(self, samples: Tensor, path: Path, about: Provenance = NOTHING) -> None:
        """Writes samples (N, ...) together to one file, to be taken in at once. May raise OSError."""
        raise NotImplementedError

    def strip(self, samples: Tensor) -> "Picture":
        """Samples (N, ...) side by side in one image."""
        raise NotImplementedError

    def describe_output(self, shape: tuple[int, ...]) -> dict[str, str]:
        """What the network gives, for `graph`: its name -> its shape and range, then whatever else must be known to use it.

        `shape` is that of one item, (...). Raises ValueError for one that a sample of the modality cannot have.
        """
        raise NotImplementedError

    # ---------------------------------------------------------------------------------- what a user calls

    def latents(self, n: int, seed: int = 0, first: int = 0, truncation: float | None = None) -> Tensor:
        """z of samples `first` to `first` + n - 1 of a seed, float32 (n, latent) on the CPU.

        Args:
            truncation: z is conditioned on lying in -truncation..truncation in every dimension (see `truncated`).

        Raises ConfigError for n < 1 and for a truncation that is not above 0, OutOfMemory for more than fit.
        """
        if n < 1:
            raise ConfigError(f"{n} {self.items} are asked for; expected 1 or more")
        require(4 * n * self.latent, f"{n} samples", FEWER)
        z = torch.empty(n, self.latent)
        for i in range(n):
            torch.randn(self.latent, generator=torch.Generator().manual_seed(key("latent", seed, first + i)), out=z[i])
        return z if truncation is None else truncated(z, truncation)

    def sample(
        self,
        n: int,
        seed: int = 0,
        label: str | int | Tensor | None = None,
        truncation: float | None = None,
        first: int = 0,
    ) -> Tensor:
        """Samples `first` to `first` + n - 1 of a seed, (n, ...) on the CPU, as `finish` gives them.

        Args:
            label: a class, by name or number, or the number of each sample's class (n,), or likewise a cluster; without one
                a conditional model shows its classes in turn, and clusters come as often as in the training data.
            truncation: above 0; the smaller, the less samples vary and the more they are like common ones. None: not at all.

        Raises:
            ConfigError: n < 1, a truncation that is not above 0, a class that was never trained, numbers of classes that are
                not int64 (n,), or any class where the model knows none.
        """
        return self._generate(self.latents(n, seed, first, truncation), self._labels(n, label, seed, first))

    def batches(
        self, n: int, seed: int = 0, label: str | int | None = None, truncation: float | None = None
    ) -> Iterator[Tensor]:
        """Samples 0 to n - 1 of a seed as `sample` gives them, `batch` at a time: memory does not grow with n."""
        for first in range(0, max(n, 1), self.batch):
            yield self.sample(min(self.batch, n - first), seed, label, truncation, first)

    def interpolate(
        self,
        n: int = 5,
        frames: int = 16,
        seed: int = 0,
        label: str | int | None = None,
        truncation: float | None = None,
    ) -> Tensor:
        """A closed walk through the latents of n samples, (n * frames, ...): frame i * frames is sample i.

        Args:
            frames: from one sample to the next.
            label: as for `sample`; without one a conditional model shows another class on each stretch of the walk.
            truncation: of the n samples, as for `sample`.

        Raises:
            ConfigError: as for `sample`, and for frames < 1.
        """
        if frames < 1:
            raise ConfigError(
                f"{frames} frames are asked for from one of the {self.items} to the next; expected 1 or more"
            )
        require(64 * max(n, 1) * frames * self.latent, f"{n} x {frames} samples", "lower -n or --frames")
        ends, labels = self.latents(n, seed, truncation=truncation).double(), self._labels(n, label, seed)
        along = torch.arange(frames, dtype=torch.float64)[:, None] / frames  # (frames, 1)
        walk = slerp(ends[:, None], ends.roll(-1, 0)[:, None], along)  # (n, frames, latent)
        return self._generate(walk.flatten(0, 1), None if labels is None else labels.repeat_interleave(frames))

    def check_out(self, n: int, out: Path, overwrite: bool = False, each: int = 0) -> None:
        """Whether `save` may write n samples, of so many bytes each at least, to OUT.

        Raises:
            ConfigError: samples of other runs, of higher numbers, would stay in OUT.
            DataError: OUT cannot be written, or what is there is no earlier result and would be replaced.
        """
        check_folder(out)
        _check_space(n, self.items, out, each)
        there = sorted(p for p in out.glob(f"*{self.suffix}") if p.stem.isdecimal())  # n may be larger than any folder
        if older := [p for p in there if int(p.stem) >= n]:
            raise ConfigError(
                f"--out {out}: {len(older)} other samples would stay in it, such as {older[0].name}; give another "
                "folder"
            )
        files = [out / f"0000{self.suffix}", *(p for p in there if p.stem == f"{int(p.stem):04d}")]
        check_targets([*dict.fromkeys(files), *self.overviews(out)], overwrite, "another folder for --out")

    def overviews(self, out: Path) -> list[Path]:
        """The files beside OUT that show its samples together; not in it, so that none is mistaken for a sample."""
        return [out.with_name(f"{out.name}-{self.overview}") if out.name else out / self.overview]

    def save(
        self,
        samples: Tensor | Iterable[Tensor],
        out: Path,
        about: Provenance = NOTHING,
        show: Callable[..., None] | None = None,
        overwrite: bool = False,
        n: int = 0,
    ) -> str:
        """Writes samples (N, ...) to OUT/0000, OUT/0001, ..., and the first of them together beside it; says so in a sentence.

        Args:
            samples: all of them; or `n` in batches, each written before the next is asked for.
            about: where they come from, for `multigen.storage.provenance`; each file has its number besides.
            show: writes those together, in place of `self.show`.
            overwrite: what is there may be replaced, whatever it is.

        Raises as `check_out`; DataError where OUT cannot be written.
        """
        if isinstance(samples, Tensor):
            samples, n = [samples], len(samples)
        self.check_out(n, out, overwrite)
        sheet, first, i = self.overviews(out)[0], list[Tensor](), 0
        batches = iter(samples)
        begin = next(batches)  # what cannot be drawn raises now, before there is a folder
        with writing(out, "another folder for --out"):
            out.mkdir(parents=True, exist_ok=True)
            for batch in itertools.chain([begin], batches):
                first.append(batch[: max(SHOWN - i, 0)])
                for sample in batch:
                    self.write(sample, out / f"{i:04d}{self.suffix}", {**about, "index": i} if about else about)
                    i += 1
            (show or self.show)(torch.cat(first), sheet, about)
        return f"{counted(n, self.items)} in {out}, the first of them together in {sheet}"

    def save_pieces(
        self,
        n: int,
        seconds: float,
        out: Path,
        seed: int = 0,
        label: str | int | None = None,
        truncation: float | None = None,
        about: Provenance = NOTHING,
        overwrite: bool = False,
    ) -> str:
        """Writes n pieces of so many seconds to OUT/0000, OUT/0001, ...; says so in a sentence. ConfigError where samples have no
        length that could be another."""
        raise ConfigError(f"--seconds {seconds:g}: {self.items} have no length; leave it out")

    def sheet(self, n: int, seed: int = 0) -> "Picture":
        """Samples 0 to n - 1 of a seed side by side in one image. Raises ConfigError as `sample`."""
        return self.strip(self.sample(n, seed))

    def graph(self) -> Graph:
        """A copy of the network for `multigen export`: z (batch, latent), and label (batch,) where there are classes or clusters.

        Raises ValueError where what it gives is no sample of the modality.
        """
        network, known = copy.deepcopy(self.network).cpu().float(), self.choices

        def example(n: int, side: int) -> tuple[Tensor, ...]:
            z = self.latents(n)
            return (z, torch.arange(n) % len(known)) if known else (z,)

        with torch.no_grad():
            shape = tuple(network(*example(1, 0)).shape[1:])
        says = {"z": f"float32 (batch, {self.latent}), numbers of a standard normal distribution"}
        if known:
            what = (
                f"the classes {json.dumps(known)}" if self.classes else f"clusters, whose shares are {[*self.shares]}"
            )
            says["label"] = f"int64 (batch,), numbers of {what}"
        output = self.describe_output(shape)
        inputs = {name: {0: "batch"} for name in says}
        return Graph(network, inputs, example, next(iter(output)), ("batch", *shape), says | output)

    def _labels(self, n: int, label: str | int | Tensor | None, seed: int, first: int = 0) -> Tensor | None:
        """(n,) numbers of classes or clusters, None for a model without."""
        if not self.choices:
            if label is None:
                return None
            asked = "labels" if isinstance(label, Tensor) else f"class {label!r}"
            raise ConfigError(f"{asked}: the model was trained without classes; ask for none")
        if isinstance(label, Tensor):
            return self._checked(n, label)
        if label is None:
            return torch.arange(first, first + n) % len(self.classes) if self.classes else self._drawn(n, seed, first)
        number = self.choices.index(label) if label in self.choices else label
        if not isinstance(number, int) or not 0 <= number < len(self.choices):
            raise ConfigError(f"class {label!r} was never trained; choose from {', '.join(self.choices)}")
        return torch.full((n,), number)

    def _drawn(self, n: int, seed: int, first: int) -> Tensor:
        """Clusters (n,), each as often as its share; of one seed more begin with the same."""
        rows = [torch.Generator().manual_seed(key("cluster", seed, i)) for i in range(first, first + n)]
        ends = torch.tensor(self.shares, dtype=torch.float64).cumsum(0)
        uniform = torch.stack([torch.rand((), dtype=torch.float64, generator=row) for row in rows])
        return torch.bucketize(uniform, ends[:-1] / ends[-1], right=True)

    def _checked(self, n: int, labels: Tensor) -> Tensor:
        """Numbers of classes as they were given."""
        if labels.dtype != torch.int64 or labels.shape != (n,):
            raise ConfigError(
                f"labels {labels.dtype} {tuple(labels.shape)} of {n} {self.items}: expected int64 ({n},); give each its class"
            )
        if not 0 <= labels.min() <= labels.max() < len(self.choices):
            raise ConfigError(
                f"labels from {labels.min()} to {labels.max()}: expected 0 to {len(self.choices) - 1}; give classes that were "
                f"trained: {', '.join(self.choices)}"
            )
        return labels

    @torch.no_grad()
    def _generate(self, z: Tensor, labels: Tensor | None) -> Tensor:
        weight = next(self.network.parameters())
        z = z.to(weight.device, weight.dtype)
        known = () if labels is None else (labels.to(weight.device),)
        batches = zip(*(t.split(self.batch) for t in (z, *known)), strict=True)
        result, done = torch.empty(0), 0
        for batch in batches:
            made = self.finish(self.network(*batch)).cpu()
            if not done:
                require(len(z) * made[0].numel() * made.element_size(), f"{len(z)} samples", FEWER)
                result = torch.empty(len(z), *made.shape[1:], dtype=made.dtype)
            result[done : done + len(made)] = made
            done += len(made)
        return result


def _check_space(n: int, items: str, out: Path, each: int) -> None:
    """Raises DataError where the disk of OUT has no room for n files, even of the least size."""
    place = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    free, least = shutil.disk_usage(place).free, n * max(BLOCK, each)
    files = os.statvfs(place).f_favail if hasattr(os, "statvfs") else 0
    if least > free or 0 < files < n:
        has = f"{size(free)} are free" if least > free else f"{files} more files fit"
        raise DataError(f"--out {out}: {n} {items} take {size(least)} at least, and {has} there; {FEWER}")


def truncated(z: Tensor, truncation: float) -> Tensor:
    """z ~ N(0, I) of any shape as draws of the normal distribution conditioned on |z_i| <= truncation.

    The truncation trick of BigGAN (Brock et al. 2019, arXiv:1809.11096, section 3.1). What lies outside is not drawn again, as
    there: each z_i moves to the same quantile of the narrower distribution, so it keeps its sign and its rank. P(|z_i| <= a) is
    erf(a / sqrt 2), of the narrower distribution erf(a / sqrt 2) / erf(truncation / sqrt 2).

    Raises ConfigError for a truncation that is not above 0.
    """
    if not truncation > 0:
        raise ConfigError(
            f"truncation {truncation:g}: expected a number above 0, such as 0.7; none leaves all as it is"
        )
    share = math.erf(truncation / math.sqrt(2)) * torch.erf(z.double().abs() / math.sqrt(2))
    size = (math.sqrt(2) * torch.erfinv(share)).clamp(max=truncation)
    return size.copysign(z).to(z.dtype)


def slerp(start: Tensor, end: Tensor, along: Tensor) -> Tensor:
    """Spherical interpolation of vectors (..., D), from `start` at `along` (..., 1) = 0 to `end` at 1.

    Shoemake 1985; for latents White 2016, arXiv:1609.04468: on a straight line between two of them lie shorter vectors than a
    normal distribution gives, which the generator has not seen. Parallel ones are interpolated linearly.
    """
    angle = cosine_similarity(start, end, dim=-1).clamp(-1, 1).acos()[..., None]
    sine = angle.sin()
    curved = (((1 - along) * angle).sin() * start + (along * angle).sin() * end) / sine
    return torch.where(sine > 1e-6, curved, start.lerp(end, along))


def tiled(tiles: Tensor, columns: int, gap: int) -> Tensor:
    """Tiles uint8 (N, C, H, W), row by row with white gaps of `gap` pixels, as one sheet, uint8 (C, H', W')."""
    n, c, h, w = tiles.shape
    rows = math.ceil(n / columns)
    sheet = torch.full((c, rows * (h + gap) - gap, columns * (w + gap) - gap), 255, dtype=torch.uint8)
    for i, tile in enumerate(tiles):
        top, left = i // columns * (h + gap), i % columns * (w + gap)
        sheet[:, top : top + h, left : left + w] = tile
    return sheet
