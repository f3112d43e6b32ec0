"""Applies a model to a video frame by frame, and writes it in segments, so that an interrupted job
continues where it stopped."""

import contextlib
import hashlib
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from multigen.console import Progress, say_once
from multigen.engine.interrupts import interruptible
from multigen.errors import ConfigError, DataError
from multigen.image.decoding import Raster
from multigen.image.metadata import Metadata
from multigen.image.writing import write_image
from multigen.storage.files import fingerprint, flush_folder, remedy
from multigen.storage.output import check_targets, replacing
from multigen.storage.provenance import NO_PROVENANCE, Provenance, text
from multigen.version import __version__
from multigen.video.encoders import CONTAINERS, default_codec, encoder_of, pixels_of
from multigen.video.files import Film
from multigen.video.jobs import Job, folder_of, open_job
from multigen.video.joining import check_copies, join
from multigen.video.sources import existing, is_pattern, is_video_file, numbered, open_source
from multigen.video.times import clock, rate_of, seconds_of
from multigen.video.writing import Format, Segment, check_codec, write_segment

__all__ = ["FilmOptions", "check_file", "existing_files", "restore_file", "restore_film", "weights_hash"]

PART = 50  # frames of a part: what is lost when a job is killed. Each begins with a key frame
HDR = "expected a film of standard dynamic range; convert it, or give --hdr to take its values as they are"


@runtime_checkable
class Recurrent(Protocol):
    """A model whose frames depend on those before, by a state that can be stored."""

    def __call__(self, raster: Raster) -> Raster: ...

    def state(self) -> dict[str, np.ndarray]: ...

    def resume(self, state: Mapping[str, np.ndarray]) -> None: ...


@dataclass(frozen=True)
class FilmOptions:
    """Which part of a video is processed, and how the result is written."""

    codec: str = ""
    """A name of `multigen.video.encoders.ENCODERS`; "": chosen by suffix and bit depth."""
    crf: int | None = None
    start: Fraction = Fraction(0)
    """Seconds after the beginning."""
    end: Fraction | None = None
    fps: Fraction | None = None
    """Frames per second of numbered frames."""
    hdr: bool = False
    metadata: bool = True
    overwrite: bool = False

    @classmethod
    def of(cls, words: Any, **more: Any) -> "FilmOptions":
        """From the words of the command line (`multigen.cli.film_options.FilmWords`). Raises
        ConfigError."""
        start = seconds_of(words.start, "--from") if words.start else Fraction(0)
        end = seconds_of(words.to, "--to") if words.to else None
        if words.preview:
            if words.to:
                raise ConfigError(
                    f"--preview {words.preview} and --to {words.to}: expected one of them, both say where to stop"
                )
            end = start + seconds_of(words.preview, "--preview")
        if end is not None and end <= start:
            option = f"--preview {words.preview}" if words.preview else f"--to {words.to}"
            raise ConfigError(f"{option}: expected a time after {clock(start)}, where the part begins")
        return cls(words.codec, words.crf, start, end, rate_of(words.fps) if words.fps else None, words.hdr, **more)


def check_file(source: Path, target: Path, options: Any) -> None:
    """Validates options and targets of `restore_file` before a model is loaded. Raises ConfigError
    and DataError."""
    _check_target(source, target, FilmOptions.of(options.film, overwrite=options.replaces))


def restore_file(restorer: Any, source: Path, target: Path, options: Any) -> None:
    """`restore_film` with an image model, for commands (see `multigen.catalogue.Container`).

    Args:
        restorer: see `multigen.image.image_to_image.ImageToImage`.
        options: see `multigen.cli.restoring_options.Options`.
    """
    film = FilmOptions.of(options.film, metadata=options.metadata, overwrite=options.replaces)
    about = {**restorer.origin, "source": source.name} if options.provenance else NO_PROVENANCE
    model = f"{weights_hash(restorer.network)} x{restorer.scale} tile {options.tile} {options.size}"
    if hasattr(restorer, "running"):
        model += f" recurrent {restorer.network.recurrent}"
        restore = restorer.running(options.size)
    else:
        restore = partial(restorer.restore_raster, size=options.size)
    restore_film(restore, source, target, film, model, about)


def restore_film(
    restore: Callable[[Raster], Raster],
    source: Path,
    target: Path,
    options: FilmOptions,
    model: str = "",
    about: Provenance = NO_PROVENANCE,
) -> int:
    """Applies a model to each frame of a video file, an animation or a folder of numbered frames.
    Returns the number of frames.

    Args:
        restore: the model, a function of frames; one that is `Recurrent` is given them in turn, and
            continues from its state.
        target: a video file, .mp4 .m4v .mov .mkv .webm, or numbered frames, such as
            frames/%05d.png.
        model: identifies the model and its settings: a job with another one is not continued.
        about: provenance, written as the comment of the video.

    Raises DataError and ConfigError; Interrupted on a signal. What is finished by then stays, and
    the same call continues.
    """
    _check_target(source, target, options)
    with open_source(source, options.fps) as film:
        _check(film, options)
        with _finishing(target) as finished:
            target.parent.mkdir(parents=True, exist_ok=True)
            order = _Order(restore, film, target, options, model, about, finished)
            return _write_frames(order) if is_pattern(target) else _write_film(order)


def existing_files(target: Path) -> list[Path]:
    """The files of a finished result that are there: the film, or the numbered frames of a pattern,
    unless a job on them was stopped. Raises ConfigError for another pattern."""
    if not is_pattern(target):
        return [target] if os.path.lexists(target) else []
    return [] if _is_stopped(target) else existing(target)


def _is_stopped(target: Path) -> bool:
    """Whether there is a job, which continues, on a result."""
    return (folder_of(target) / "job.json").is_file()


def weights_hash(network: Any) -> str:
    """Hash of a network's weights."""
    import torch

    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(repr((name, str(tensor.dtype), tuple(tensor.shape))).encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _check_target(source: Path, target: Path, options: FilmOptions) -> None:
    """Raises ConfigError for an option that would be ignored, DataError for existing numbered
    frames that would be replaced."""
    if options.fps is not None and not source.is_dir():
        raise ConfigError(
            f"--fps: {source} states its own times, the rate is of a folder of numbered frames; leave it out"
        )
    if not is_pattern(target):
        return
    inside = source.is_dir() and os.path.realpath(source) == os.path.realpath(target.parent)
    if inside or os.path.realpath(source) in map(os.path.realpath, existing(target)):
        raise DataError(f"{target}: its frames would be among those of {source}; give another folder for --out")
    for name in ("codec", "crf"):
        if (value := getattr(options, name)) not in ("", None):
            raise ConfigError(f"--{name} {value}: {target} names images, which have none; leave it out, or name a film")
    check_targets(existing_files(target), options.overwrite)


def _check(film: Film, options: FilmOptions) -> None:
    """Raises DataError for a video, or a part of one, that cannot be processed."""
    if film.looks.hdr and not options.hdr:
        raise DataError(f"{film.path}: high dynamic range ({film.looks.hdr}); {HDR}")
    if film.looks.hdr:
        say_once(f"{film.path}: the brightness of its mastering display, if it states one, is not kept")
    if options.start >= film.seconds > 0:
        raise ConfigError(
            f"--from {clock(options.start)}: {film.path} is {clock(film.seconds)} long; give an earlier time"
        )
    film.check_whole(options.end)


@contextlib.contextmanager
def _finishing(target: Path) -> Iterator[list[str]]:
    """Turns errors of writing into DataError, and signals into Interrupted: both say what is
    finished, which is the last of the list that is yielded."""
    finished = ["nothing is finished yet"]

    def how() -> str:
        return f"{finished[-1]}, and the same command continues"

    try:
        with interruptible(lambda: f"stopped: {how()}"):
            yield finished
    except OSError as error:
        raise DataError(f"{target} cannot be written ({error.strerror or error}); {remedy(error)}: {how()}") from error


@dataclass(frozen=True)
class _Order:
    """What is to be made of a film; see `restore_film`."""

    restore: Callable[[Raster], Raster]
    film: Film
    target: Path
    options: FilmOptions
    model: str
    about: Provenance
    finished: list[str]
    """Says at its end what is finished."""

    @property
    def identity(self) -> dict[str, Any]:
        """What the finished parts of a job depend on."""
        names = ("codec", "crf", "start", "end", "fps", "hdr")
        settings = {name: str(getattr(self.options, name)) for name in names}
        if is_pattern(self.target):  # each frame states it; of a film, the end
            settings["about"] = hashlib.blake2b(text(self.about).encode(), digest_size=8).hexdigest()
        source = fingerprint(self.film.path)
        return {"source": source, "model": self.model, "settings": settings, "version": __version__}

    @property
    def metadata(self) -> Metadata:
        """XMP of the result, which is marked as made by a model."""
        given = Metadata(xmp=self.film.xmp)
        given = given if self.options.metadata else given.without_private()
        return given.enlarged(self.about, self.film.path)


class _Frames:
    """The remaining frames of a job, restored, by segments; shows progress."""

    def __init__(self, order: _Order, job: Job):
        self.restore, self.job, self.said, self.count = order.restore, job, order.finished, job.frames
        self.fits = False  # whether states are known to have space on the disk
        if isinstance(self.restore, Recurrent):
            self.restore.resume(job.state())
        film, options = order.film, order.options
        end = film.seconds if options.end is None else min(options.end, film.seconds)
        share = (end - options.start) / film.seconds if film.seconds else Fraction(1)
        self.total = max(round(film.frames * share), 1)
        self.source = film.read(options.start, options.end, job.frames)
        self.progress = Progress(film.path.name, self.total, self.count)
        self.each = self.progress.live is not None or self.progress.line is not None
        self.tell()

    def part(self) -> Iterator[tuple[Raster, int, int]]:
        """The frames of the next segment: pixels, time stamp, duration."""
        for frame in itertools.islice(self.source, PART):
            restored = self.restore(frame.raster)
            if not self.fits and isinstance(self.restore, Recurrent):
                self.job.check_space(self.restore.state(), -(-max(self.total - self.count, 1) // PART))
            self.fits = True
            yield restored, frame.pts, frame.duration
            self.count += 1
            if self.each:
                self.progress.show(self.count, "")

    def finish(self, record: dict[str, Any]) -> None:
        self.job.finish(record, self.restore.state() if isinstance(self.restore, Recurrent) else None)
        self.tell()
        if not self.each:
            self.progress.show(self.count, "")

    def tell(self) -> None:
        self.total = max(self.total, self.count)
        self.said.append(f"{self.job.frames:,} of {self.total:,} frames are finished")


def _write_film(order: _Order) -> int:
    film, target, options = order.film, order.target, order.options
    suffix = target.suffix.lower()
    if suffix not in CONTAINERS:
        raise ConfigError(f"--out {target}: a film ends in {', '.join(CONTAINERS)}; numbered frames are like %05d.png")
    encoder, settings = encoder_of(options.codec or default_codec(suffix), options.crf)
    pixels = pixels_of(film.looks.pixels, film.looks.depth, encoder, target)
    form = Format(replace(film.looks, pixels=pixels), encoder, settings)
    given = film.path if is_video_file(film.path) else None
    check_copies(target, given, options.metadata)
    check_codec(target, form)
    with open_job(target, order.identity, options.overwrite) as job:
        frames = _Frames(order, job)
        try:
            while _encode_part(job, frames, form):
                pass
        finally:
            frames.progress.close()
        if not job.finished:
            raise DataError(f"{film.path}: no frame in the part that was asked for; give another --from or --to")
        segments = [
            Segment(job.file(i), each["start"], each["length"], each["frames"]) for i, each in enumerate(job.finished)
        ]
        with replacing(target) as file:
            part = _part(film, options, segments[0])
            join(file, segments, form, given, part, options.metadata, order.about, order.metadata.xmp)
        job.remove()
        return frames.count


def _encode_part(job: Job, frames: _Frames, form: Format) -> bool:
    """Encodes the next segment; False if there is none."""
    number = len(job.finished)
    with replacing(job.file(number)) as file:
        segment = write_segment(file, frames.part(), form)
        if segment is None:
            file.touch()
    if segment is None:
        job.file(number).unlink()
        return False
    flush_folder(job.folder)
    frames.finish({"start": segment.start, "length": segment.length, "frames": segment.frames})
    return True


def _part(film: Film, options: FilmOptions, first: Segment) -> tuple[Fraction, Fraction | None] | None:
    """The time range of the source's other streams to copy: all, or that of the requested part."""
    if not options.start and options.end is None:
        return None
    end = None if options.end is None else film.begins + options.end
    return (first.start * film.looks.time_base if options.start else film.begins), end


def _write_frames(order: _Order) -> int:
    """Writes numbered frames, from 1."""
    film, target, message = order.film, order.target, order.metadata
    if is_video_file(film.path):
        say_once(f"{target}: sound and subtitles are not kept: frames hold none")
    with open_job(target, order.identity, order.options.overwrite, lambda number: numbered(target, number)) as job:
        frames = _Frames(order, job)
        try:
            while True:
                first, begins, start, length = frames.count, None, 0, 0
                for raster, pts, duration in frames.part():
                    begins = pts if begins is None else begins
                    start, length = begins, duration
                    with replacing(numbered(target, frames.count + 1)) as file:
                        write_image(file, [raster], message, order.about)
                if frames.count == first:
                    break
                frames.finish({"start": start, "length": length, "frames": frames.count - first})
        finally:
            frames.progress.close()
        job.remove()
        return frames.count
