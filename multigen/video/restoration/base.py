"""Base trainer of restoring films: settings, clips and their degradation, figures of frames and of
motion, losses of clips.

A method derives from `VideoRestorationTrainer`, and states only what differs: networks, losses,
stages."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from multigen.data.folders import files_in
from multigen.data.locate import locate
from multigen.data.parts import Parts, find_parts
from multigen.engine import Batch, DataInfo, Step, Terms
from multigen.engine.batches import Source
from multigen.errors import ConfigError
from multigen.image.files import EMBEDDED_NAMES, IMAGE, Photo, Photos
from multigen.image.restoration.adversarial import AdversarialRestorationConfig, AdversarialRestorationTrainer
from multigen.storage.output import replacing
from multigen.tasks.restoration.base import RANGES, Restore, Skipped
from multigen.video.restoration.clips import ClipSource
from multigen.video.restoration.degradations import Degradation, compressed, degrade, interpolated
from multigen.video.restoration.evaluator import comparison, definitions, score
from multigen.video.restoration.footage import (
    Footage,
    Footages,
    film_files,
    find_footage,
    fingerprint,
    is_film,
    opened,
)
from multigen.video.restoration.networks import TripleDiscriminator
from multigen.video.restoration.test_films import FilmSet, items_of, open_test_films
from multigen.video.restoration.upscaler import FilmUpscaler

__all__ = ["VideoRestorationConfig", "VideoRestorationTrainer"]

EPS = 1e-3  # of the Charbonnier loss, of 0..1
CRF = (20, 36)  # of H.264: from hardly visible to blocks
CLIP = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)


@dataclass(frozen=True)
class VideoRestorationConfig(AdversarialRestorationConfig):
    """Settings common to all methods that restore films."""

    data: str = "embedded"
    """Photographs, which are made to move, and films: a folder, a file, or "embedded"."""
    clips: str = ""
    """Films that are trained on besides: a file, a folder of films, or of numbered frames; empty:
    none."""
    test: tuple[str, ...] = ("embedded-held-out",)
    """Films that are measured in the end and never trained on: files, folders of films or of
    numbered frames, or photographs, which are made to move."""
    test_frames: int = 30
    """First frames of a test film that are measured, at least 2; photographs that move have 8."""
    scale: int = 4
    """Factor between the resolutions: 2, 3, 4 or 8."""
    crop: int = 96
    """Side of the clips that are trained on, pixels of the high resolution; a multiple of the
    scale, and of 16."""
    length: int = 7
    """Frames of a clip, at least 3."""
    speed: float = 2.0
    """Pixels of the high resolution that the window over a photograph moves from frame to frame, at
    most."""
    degradation: Degradation = "bi"
    """What inputs are made by: bicubic reduction (bi), a Gaussian blur and every fourth pixel (bd),
    or blind degradation whose parameters wander from frame to frame: of messengers and phones
    (mild), or Real-ESRGAN's (strong)."""
    h264: bool = False
    """Compress inputs with H.264 at low rates, drawn for each clip; needs PyAV."""
    batch: int = 4
    """Clips per step, over all processes."""
    pixel: Literal["charbonnier", "l1"] = "charbonnier"
    """Pixel loss."""
    ping_pong_weight: float = 0.5
    """Weight of the ping-pong loss in the second stage: clips that are played forth and back must
    agree."""

    ranges = AdversarialRestorationConfig.ranges | RANGES | {
        **{"steps": 0, "length": (3, 1000), "test_frames": (2, 1000), "speed": (0, 64), "ping_pong_weight": 0},
    }  # fmt: skip

    def __post_init__(self):
        super().__post_init__()
        for name in ("shift", "gradient_weight", "grid_weight", "low"):
            if value := getattr(self, name):
                raise ConfigError(f"{name} {value}: not of films; leave it out")

    @property
    def scales(self) -> tuple[int, ...]:
        return (2, 3, 4, 8)


C = TypeVar("C", bound=VideoRestorationConfig)


class VideoRestorationTrainer(AdversarialRestorationTrainer[C]):
    """Trains G to restore clips, (B, T, 3, h, w) in 0..1 -> (B, T, 3, scale h, scale w): for the
    least pixel error; then, with `steps`, so that D takes three frames of it for a real film's."""

    task = "video-super-resolution"
    degrades_whole = False
    sizes = ("crop", "width", "length")
    metrics = ("psnr_y", "ssim_y")
    data: ClipSource  # pyright: ignore[reportIncompatibleVariableOverride]

    # ---------------------------------------------------------------------------------- data

    def items(self) -> int:
        """Number of photographs and of clips of films, of which batches are windows."""
        return len(self.data.pieces)

    def open_data(self) -> Source:
        if self.config.h264:
            compressed(CLIP, CRF[0])  # so that a missing package is reported first
        return super().open_data()

    def open_items(self) -> Any:
        """The photographs and the films to train on."""
        c = self.config
        result: Any = Photos()
        if self._has_images():
            result = super().open_items() if c.data in EMBEDDED_NAMES else self._open_split("train")
        for films in self._films():
            result += films
            result.skipped += films.skipped
        return result

    def open_validation(self) -> Photos | None:
        return super().open_validation() if self._has_images() else None

    def parts(self) -> Parts | None:
        return super().parts() if self._has_images() else None

    def _has_images(self) -> bool:
        """Whether the data hold photographs."""
        data = self.config.data
        if data in EMBEDDED_NAMES:
            return True
        place = self._place()
        files = files_in(place) if place.is_dir() else [place]
        return any(path.suffix.lower() in IMAGE.readable for path in files) or not any(map(is_film, files))

    def _films(self) -> list[Footages]:
        """The films among the data, without those of their test split, and those of `clips`."""
        c, result = self.config, []
        if c.data not in EMBEDDED_NAMES:
            place = self._place()
            paths = film_files(place) if place.is_dir() else [place] if is_film(place) else []
            kept = find_parts(place, paths).of("train") if c.splits else paths
            result += [opened(kept, place, c.skip_bad)] if paths else []
        return result + ([find_footage(c.clips, c.skip_bad)] if c.clips else [])

    def _place(self) -> Path:
        return locate(self.config.data, "a folder of photographs or films, a file, or embedded")

    def open_tests(self) -> list[FilmSet]:
        return open_test_films([*self.config.test, *self.own_tests()], self.scale, self.reduce, self.config.test_frames)

    def to_source(self, items: Sequence[Photo | Footage]) -> Any:
        c = self.config
        return ClipSource(items, c.crop, c.scale, c.length, c.speed, self.reduce, skip_bad=c.skip_bad)

    def to_set(self, name: str, items: Sequence[Photo | Footage], skipped: Skipped | None) -> FilmSet | None:
        return FilmSet.of(name, items, self.scale, self.reduce, self.config.test_frames, skipped)

    def describe_data(self, source: Any) -> DataInfo:
        return DataInfo(fingerprint(source.items, contents=self.config.data not in EMBEDDED_NAMES))

    def fingerprint_held_out(self, held: Sequence[Photo | Footage]) -> str:
        c = self.config
        sets = [(held, c.data), *((items_of(name), name) for name in (*c.test, *self.own_tests()))]
        return " ".join(fingerprint(items, contents=name not in EMBEDDED_NAMES) for items, name in sets)

    def reduce(self, clip: Tensor, rng: np.random.Generator) -> Tensor:
        """The input, uint8 (T, 3, H / scale, W / scale), of a clip, uint8 (T, 3, H, W)."""
        small = degrade(clip, self.scale, self.config.degradation, rng)
        return compressed(small, int(rng.integers(CRF[0], CRF[1] + 1))) if self.config.h264 else small

    # ---------------------------------------------------------------------------------- losses

    def discriminator(self) -> nn.Module | None:
        """None where there is no second stage."""
        return TripleDiscriminator(self.config.discriminator_width) if self.config.steps else None

    def pixel_error(self, fake: Tensor, reference: Tensor) -> Tensor:
        error = fake - reference
        return (error.square() + EPS**2).sqrt().mean() if self.config.pixel == "charbonnier" else error.abs().mean()

    def content_error(self, fake: Tensor, reference: Tensor) -> Tensor:
        return self.distance(fake.flatten(0, 1), reference.flatten(0, 1)).mean()

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        """Loss of D: clips of films are real, G's are not, each beside its input."""
        inputs = self.inputs(batch, step)
        with torch.no_grad():
            fake = self.G(inputs)
        real = self.D(self.targets(batch, step), inputs)
        return {"adversarial": self.adversarial.discriminator(real, self.D(fake, inputs))}

    def generator_loss(self, batch: Batch, step: Step) -> Terms:
        """Loss of G in the second stage. The clip is played forth and back; on the way back, when
        the state has seen all frames, G must give what it gave before: so there is no use for
        detail that drifts."""
        c, inputs, reference = self.config, self.inputs(batch, step), self.reference(batch, step)
        both = self.G(torch.cat([inputs, inputs.flip(1)[:, 1:]], 1)).to(reference.dtype)
        forth, back = both[:, : c.length], both[:, c.length - 1 :].flip(1)
        terms = {
            "content": self.content_error(forth, reference) * c.content_weight,
            "adversarial": self.adversarial.generator(self.D(forth, inputs), None) * c.adversarial_weight,
            "ping_pong": (forth - back).abs().mean() * c.ping_pong_weight,
        }
        return {**terms, "pixel": self.pixel_error(forth, reference) * c.pixel_weight} if c.pixel_weight else terms

    # ---------------------------------------------------------------------------------- evaluation

    def restorer_of(self, network: Any) -> FilmUpscaler:
        return FilmUpscaler(network)

    def baselines(self) -> dict[str, Restore]:
        """Bicubic interpolation, and the model that training started from; `measure` adds the
        blurred originals."""
        start = self._start() if self.run.start else {}
        bicubic = partial(interpolated, scale=self.scale, degradation=self.config.degradation)
        return {"bicubic": bicubic, **start}

    def measure(
        self, restorers: Mapping[str, Restore], sets: Sequence[FilmSet], needed: Collection[str] | None = None
    ) -> dict[str, dict[str, float]]:
        """PSNR and SSIM of frames, and the distances `needed`; the metrics of motion where all
        are."""
        distances = [d for d in self.distances if needed is None or d.name in needed]
        return score(restorers, sets, distances, self.device, temporal=needed is None)

    def definitions(self) -> dict[str, str]:
        return definitions(self.distances)

    def compare(self, restorers: Mapping[str, Restore], sets: Sequence[FilmSet], path: Path) -> None:
        with replacing(path.with_name(f"{path.name}.png")) as file:
            comparison(restorers, *sets).save(file)
