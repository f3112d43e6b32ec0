"""Samplers: samples by seed and class, latent interpolation, files. Modalities derive theirs."""

import copy
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from multigen.catalogue import TASKS
from multigen.console import counted, shortened
from multigen.engine.randomness import key
from multigen.errors import ConfigError
from multigen.memory import require
from multigen.storage.files import writing
from multigen.storage.output import check_folder, check_space, check_targets
from multigen.storage.provenance import NO_PROVENANCE, Provenance
from multigen.tasks.graph import Graph
from multigen.tasks.ready import Ready
from multigen.tasks.synthesis.conditioning import checked_labels, draw_clusters
from multigen.tasks.synthesis.latents import slerp, truncated
from multigen.tasks.synthesis.rejection import Rejection

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["Sampler", "tiled"]

SHOWN = 100  # maximum number of samples in the overview
SENTENCE = 200  # maximum characters of a list of classes
FEWER = "request fewer: -n"


class Sampler(Ready):
    """A trained generator as a source of samples.

    Sample i of a seed depends only on the seed, i and its class, not on the other samples (apart
    from rounding in batches of another size).

    A modality sets `task`, `suffix` and `overview`, and overrides `finish`, `write`, `show`,
    `strip` and `describe_output`.

    Args:
        network: z (B, latent), and label (B,) where there are classes -> (B, ...) in -1..1; in eval
            mode, on its device.
        latent: dimensions of z ~ N(0, I).
        classes: names of the classes that the network was trained with, by label; () for an
            unconditional one.
        batch: samples generated at a time; smaller needs less memory.
        shares: proportions of the clusters that it was trained with in place of classes; samples
            have the same.
    """

    suffix: ClassVar[str]
    """Suffix of a sample's file, e.g. ".png"."""
    overview: ClassVar[str]
    """End of the name of the overview file, which shows samples together, e.g. "grid.png"."""

    truncations: ClassVar[Sequence[float]] = (2.0, 1.0, 0.5)
    """Truncations at which an evaluation measures distance and coverage."""
    untruncated: ClassVar[float] = math.inf
    """The truncation that changes nothing."""
    open_rejection: Callable[[], Rejection] | None = None
    """Loads the D that the model folder keeps, where it does."""
    rejection: Rejection | None = None
    """Where set, samples are those that D keeps, and are counted."""

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
        """The conditions that can be requested: class names, or cluster numbers."""
        return self.classes or tuple(str(i) for i in range(len(self.shares)))

    @property
    def items(self) -> str:
        """Noun for the samples, in the plural, for messages."""
        return TASKS[self.task].items

    # ---------------------------------------------------------------------------------- what a modality states

    def finish(self, x: Tensor) -> Tensor:
        """The network's output (B, ...) -> samples (B, ...) as returned and evaluated."""
        return x

    def run(self, z: Tensor, label: Tensor | None, truncation: float | None) -> Tensor:
        """The network's output (B, ...) for z (B, latent), truncated already, and label (B,)."""
        return self.network(z) if label is None else self.network(z, label)

    def truncate(self, z: Tensor, truncation: float) -> Tensor:
        """z (n, latent), truncated. Raises ConfigError for a truncation that is out of range."""
        return truncated(z, truncation)

    def write(self, sample: Tensor, path: Path, about: Provenance = NO_PROVENANCE) -> None:
        """Writes one sample (...) to a file, with provenance metadata. May raise OSError."""
        raise NotImplementedError

    def show(self, samples: Tensor, path: Path, about: Provenance = NO_PROVENANCE) -> None:
        """Writes samples (N, ...) together to one overview file. May raise OSError."""
        raise NotImplementedError

    def strip(self, samples: Tensor) -> "Picture":
        """Samples (N, ...) side by side in one image."""
        raise NotImplementedError

    def describe_output(self, shape: tuple[int, ...]) -> dict[str, str]:
        """The network's output, for `graph`: its name -> its shape and range, then other facts
        needed to use it.

        `shape` is that of one item, (...). Raises ValueError for a shape that is impossible in the
        modality.
        """
        raise NotImplementedError

    # ---------------------------------------------------------------------------------- what a user calls

    def latents(self, n: int, seed: int = 0, first: int = 0, truncation: float | None = None) -> Tensor:
        """z of samples `first` to `first` + n - 1 of a seed, float32 (n, latent) on the CPU.

        Args:
            truncation: z is conditioned on -truncation..truncation in every dimension (see
                `truncated`); networks with styles truncate these instead.

        Raises ConfigError for n < 1 or a truncation that is not positive, OutOfMemory for too large
        an n.
        """
        if n < 1:
            raise ConfigError(f"{n} {self.items} requested; expected 1 or more")
        require(4 * n * self.latent, f"{n} samples", FEWER)
        z = torch.empty(n, self.latent)
        for i in range(n):
            torch.randn(self.latent, generator=torch.Generator().manual_seed(key("latent", seed, first + i)), out=z[i])
        return z if truncation is None else self.truncate(z, truncation)

    def sample(
        self,
        n: int,
        seed: int = 0,
        label: str | int | Tensor | None = None,
        truncation: float | None = None,
        first: int = 0,
    ) -> Tensor:
        """Samples `first` to `first` + n - 1 of a seed, (n, ...) on the CPU, as `finish` returns
        them.

        Args:
            label: a class, by name or number, or the number of each sample's class (n,); likewise a
                cluster. None: classes in turn, clusters in the proportions of the training data.
            truncation: positive; smaller values give less varied, more typical samples. None: no
                truncation.

        Raises:
            ConfigError: n < 1, a truncation that is not positive, an unknown class, class numbers
                that are not int64 (n,), or any class for a model without classes.
        """
        labels = self.labels(n, label, seed, first)
        if self.rejection is not None:
            return self.rejection.sample(self, n, seed, labels, truncation, first)
        return self._generate(self.latents(n, seed, first, truncation), labels, truncation)

    def with_rejection(self) -> "Sampler":
        """This sampler with discriminator rejection. Raises ConfigError for a model without D."""
        if self.open_rejection is None:
            raise ConfigError(
                "rejection: the model folder holds no D; train with --keep-discriminator, or sample without --reject"
            )
        selective = copy.copy(self)
        selective.rejection = self.open_rejection()
        return selective

    def outputs(self, z: Tensor, labels: Tensor | None, truncation: float | None) -> tuple[Tensor, Tensor | None]:
        """The network's output (B, ...) for z (B, latent), and the labels (B,), on its device."""
        weight = next(self.network.parameters())
        z, labels = z.to(weight.device, weight.dtype), None if labels is None else labels.to(weight.device)
        return self.run(z, labels, truncation), labels

    def batches(
        self, n: int, seed: int = 0, label: str | int | None = None, truncation: float | None = None
    ) -> Iterator[Tensor]:
        """Yields samples 0 to n - 1 of a seed, `batch` at a time: memory does not grow with n."""
        for first in range(0, max(n, 1), self.batch):
            yield self.sample(min(self.batch, n - first), seed, label, truncation, first)

    def interpolate(
        self,
        n: int = 5,
        frames: int = 16,
        seed: int = 0,
        label: str | int | None = None,
        truncation: float | None = None,
        through: Sequence[int] = (),
    ) -> Tensor:
        """Latent interpolation along a closed path through n samples, (n * frames, ...): frame i *
        frames is sample i.

        Args:
            frames: number of frames from one sample to the next.
            label: as for `sample`; None: each segment of the path has another class.
            truncation: of the n samples, as for `sample`.
            through: numbers of the samples, in place of the first n.

        Raises:
            ConfigError: as for `sample`, and for frames < 1 or negative numbers.
        """
        if frames < 1:
            raise ConfigError(f"{frames} frames requested from one of the {self.items} to the next; expected 1 or more")
        if min(through, default=0) < 0:
            raise ConfigError(f"sample {min(through)}: expected numbers of 0 or more, as files of samples have them")
        n = len(through) or n
        require(64 * max(n, 1) * frames * self.latent, f"{n} x {frames} samples", "lower -n or --frames")
        ends, labels = self.latents(n, seed, truncation=truncation).double(), self.labels(n, label, seed)
        for i, number in enumerate(through):
            ends[i] = self.latents(1, seed, number, truncation)[0]
            if (own := self.labels(1, label, seed, number)) is not None and labels is not None:
                labels[i] = own[0]
        along = torch.arange(frames, dtype=torch.float64)[:, None] / frames  # (frames, 1)
        walk = slerp(ends[:, None], ends.roll(-1, 0)[:, None], along)  # (n, frames, latent)
        labels = None if labels is None else labels.repeat_interleave(frames)
        return self._generate(walk.flatten(0, 1), labels, truncation)

    def check_out(self, n: int, out: Path, overwrite: bool = False, each: int = 0) -> None:
        """Checks that `save` may write n samples, of at least `each` bytes, to OUT.

        Raises:
            ConfigError: samples of other runs, with higher numbers, would remain in OUT.
            DataError: OUT cannot be written, or would replace a file that is no earlier result.
        """
        check_folder(out)
        check_space(n, self.items, out, each, FEWER)
        existing = sorted(p for p in out.glob(f"*{self.suffix}") if p.stem.isdecimal())
        if older := [p for p in existing if int(p.stem) >= n]:
            raise ConfigError(
                f"--out {out}: {len(older)} other samples would remain in it, such as {older[0].name}; choose another "
                "folder"
            )
        files = [out / f"0000{self.suffix}", *(p for p in existing if p.stem == f"{int(p.stem):04d}")]
        check_targets([*dict.fromkeys(files), *self.overviews(out)], overwrite, "another folder for --out")

    def overviews(self, out: Path) -> list[Path]:
        """The overview files of OUT: next to it, so that none is mistaken for a sample."""
        return [out.with_name(f"{out.name}-{self.overview}") if out.name else out / self.overview]

    def save(
        self,
        samples: Tensor | Iterable[Tensor],
        out: Path,
        about: Provenance = NO_PROVENANCE,
        overwrite: bool = False,
        n: int = 0,
    ) -> str:
        """Writes samples (N, ...) to OUT/0000, OUT/0001, ..., and an overview of the first ones
        next to it; returns a sentence that says so.

        Args:
            samples: all samples; or `n` of them in batches, each written before the next is
                requested.
            about: provenance metadata (`multigen.storage.provenance`); each file also has its
                number.
            overwrite: allow replacing any existing file.

        Raises as `check_out`; DataError where OUT cannot be written.
        """
        if isinstance(samples, Tensor):
            samples, n = [samples], len(samples)
        self.check_out(n, out, overwrite)
        sheet, first, i = self.overviews(out)[0], list[Tensor](), 0
        batches = iter(samples)
        begin = next(batches)  # errors are raised now, before the folder is made
        with writing(out, "another folder for --out"):
            out.mkdir(parents=True, exist_ok=True)
            for batch in itertools.chain([begin], batches):
                first.append(batch[: max(SHOWN - i, 0)])
                for sample in batch:
                    self.write(sample, out / f"{i:04d}{self.suffix}", {**about, "index": i} if about else about)
                    i += 1
            remark = self.show_first(torch.cat(first), sheet, about)
        return f"{counted(n, self.items)} in {out}, the first of them together in {sheet}{remark and f'; {remark}'}"

    def show_first(self, samples: Tensor, path: Path, about: Provenance) -> str:
        """Writes the overview of saved samples, by `show`; returns a remark about it, or ""."""
        self.show(samples, path, about)
        return ""

    def show_beside(self, data: str) -> None:
        """Shows samples with what is nearest to each in a data argument, where the modality can.

        Raises ConfigError where it cannot.
        """
        raise ConfigError(f"--recordings {data}: these are {self.items}, which are shown alone; leave it out")

    def save_pieces(
        self,
        n: int,
        seconds: float,
        out: Path,
        seed: int = 0,
        label: str | int | None = None,
        truncation: float | None = None,
        about: Provenance = NO_PROVENANCE,
        overwrite: bool = False,
    ) -> str:
        """Writes n pieces of a length to OUT/0000, ...; says so. ConfigError for a fixed length."""
        raise ConfigError(f"--seconds {seconds:g}: {self.items} have no length; leave it out")

    def sheet(self, n: int, seed: int = 0) -> "Picture":
        """Samples 0 to n - 1 of a seed side by side in one image. Raises as `sample`."""
        return self.strip(self.sample(n, seed))

    def graph(self) -> Graph:
        """A copy of the network for `multigen export`: z (batch, latent), and label (batch,) where
        there are classes or clusters.

        Raises ValueError where its output is impossible in the modality.
        """
        network, choices = copy.deepcopy(self.network).cpu().float(), self.choices

        def example(n: int, side: int) -> tuple[Tensor, ...]:
            z = self.latents(n)
            return (z, torch.arange(n) % len(choices)) if choices else (z,)

        with torch.no_grad():
            shape = tuple(network(*example(1, 0)).shape[1:])
        says = {"z": f"float32 (batch, {self.latent}), standard normal"}
        if choices:
            what = (
                f"the classes {json.dumps(choices)}" if self.classes else f"clusters, whose shares are {[*self.shares]}"
            )
            says["label"] = f"int64 (batch,), numbers of {what}"
        output = self.describe_output(shape)
        inputs = {name: {0: "batch"} for name in says}
        return Graph(network, inputs, example, next(iter(output)), ("batch", *shape), says | output)

    def labels(self, n: int, label: str | int | Tensor | None, seed: int, first: int = 0) -> Tensor | None:
        """Numbers of classes or clusters, (n,); None for a model without."""
        if not self.choices:
            if label is None:
                return None
            request = "labels" if isinstance(label, Tensor) else f"class {label!r}"
            raise ConfigError(f"{request}: the model was trained without classes; leave the class out")
        if isinstance(label, Tensor):
            return checked_labels(label, n, self.choices, self.items)
        if label is None:
            return (
                torch.arange(first, first + n) % len(self.classes)
                if self.classes
                else draw_clusters(self.shares, n, seed, first)
            )
        number = self.choices.index(label) if label in self.choices else label
        if not isinstance(number, int) or not 0 <= number < len(self.choices):
            raise ConfigError(f"class {label!r} is unknown; choose from {', '.join(self.choices)}")
        return torch.full((n,), number)

    @torch.no_grad()
    def _generate(self, z: Tensor, labels: Tensor | None, truncation: float | None = None) -> Tensor:
        result, count = torch.empty(0), 0
        for first in range(0, len(z), self.batch):
            part = slice(first, first + self.batch)
            items, _ = self.outputs(z[part], None if labels is None else labels[part], truncation)
            samples = self.finish(items).cpu()
            if not count:
                require(len(z) * samples[0].numel() * samples.element_size(), f"{len(z)} samples", FEWER)
                result = torch.empty(len(z), *samples.shape[1:], dtype=samples.dtype)
            result[count : count + len(samples)] = samples
            count += len(samples)
        return result


def tiled(tiles: Tensor, columns: int, gap: int) -> Tensor:
    """Tiles uint8 (N, C, H, W), row by row with white gaps, as one sheet uint8 (C, H', W')."""
    n, c, h, w = tiles.shape
    rows = math.ceil(n / columns)
    sheet = torch.full((c, rows * (h + gap) - gap, columns * (w + gap) - gap), 255, dtype=torch.uint8)
    for i, tile in enumerate(tiles):
        top, left = i // columns * (h + gap), i % columns * (w + gap)
        sheet[:, top : top + h, left : left + w] = tile
    return sheet
