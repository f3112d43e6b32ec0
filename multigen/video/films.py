"""Applies a model to a video frame by frame, and writes it in segments, so that an interrupted job
continues where it stopped."""

import contextlib
import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from multigen.console import Progress, say_once
from multigen.engine.interrupts import interruptible
from multigen.errors import ConfigError, DataError
from multigen.image.decoding import Raster
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

__all__ = ["FilmOptions", "check_file", "restore_file", "restore_film", "weights_hash"]

PART = 50  # frames of a part: what is lost when a job is killed. Each begins with a key frame
HDR = "expected a film of standard dynamic range; convert it, or give --hdr to take its values as they are"


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
        restorer: see `multigen.image.restoration.upscaler.Restorer`.
        options: see `multigen.cli.restoring_options.Options`.
    """
    film = FilmOptions.of(options.film, metadata=options.metadata, overwrite=options.replaces)
    about = {**restorer.origin, "source": source.name} if options.provenance else NO_PROVENANCE
    model = f"{weights_hash(restorer.network)} x{restorer.scale} tile {options.tile} {options.size}"
    restore_film(lambda raster: restorer.restore_raster(raster, options.size), source, target, film, model, about)


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
        restore: the model, a function of one frame.
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
        settings = {name: str(getattr(options, name)) for name in ("codec", "crf", "start", "end", "fps", "hdr")}
        if is_pattern(target):  # each frame states it; of a film, the end
            settings["about"] = hashlib.blake2b(text(about).encode(), digest_size=8).hexdigest()
        about_job = {"source": fingerprint(source), "model": model, "settings": settings, "version": __version__}
        with _finishing(target) as count:
            target.parent.mkdir(parents=True, exist_ok=True)
            if is_pattern(target):
                frames = _write_frames(restore, film, target, options, about_job, about, count)
            else:
                frames = _write_film(restore, film, target, options, about_job, about, count)
    return frames


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
    for name in ("codec", "crf"):
        if (value := getattr(options, name)) not in ("", None):
            raise ConfigError(f"--{name} {value}: {target} names images, which have none; leave it out, or name a film")
    there = existing(target)
    if not (folder_of(target) / "job.json").is_file():  # else they are of a job that continues
        check_targets(there, options.overwrite)


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


class _Frames:
    """The remaining frames of a job, restored, by segments; shows progress."""

    def __init__(
        self, restore: Callable[[Raster], Raster], film: Film, options: FilmOptions, job: Job, said: list[str]
    ):
        self.restore, self.job, self.said, self.count = restore, job, said, job.frames
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
            yield self.restore(frame.raster), frame.pts, frame.duration
            self.count += 1
            if self.each:
                self.progress.show(self.count, "")

    def finish(self, record: dict[str, Any]) -> None:
        self.job.finish(record)
        self.tell()
        if not self.each:
            self.progress.show(self.count, "")

    def tell(self) -> None:
        self.total = max(self.total, self.count)
        self.said.append(f"{self.job.frames:,} of {self.total:,} frames are finished")


def _write_film(
    restore: Callable[[Raster], Raster],
    film: Film,
    target: Path,
    options: FilmOptions,
    about_job: dict[str, Any],
    about: Provenance,
    said: list[str],
) -> int:
    suffix = target.suffix.lower()
    if suffix not in CONTAINERS:
        raise ConfigError(f"--out {target}: a film ends in {', '.join(CONTAINERS)}; numbered frames are like %05d.png")
    encoder, settings = encoder_of(options.codec or default_codec(suffix), options.crf)
    pixels = pixels_of(film.looks.pixels, film.looks.depth, encoder, target)
    form = Format(replace(film.looks, pixels=pixels), encoder, settings)
    given = film.path if is_video_file(film.path) else None
    check_copies(target, given, options.metadata)
    check_codec(target, form)
    with open_job(target, about_job, options.overwrite) as job:
        frames = _Frames(restore, film, options, job, said)
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
            join(file, segments, form, given, _part(film, options, segments[0]), options.metadata, about)
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


def _write_frames(
    restore: Callable[[Raster], Raster],
    film: Film,
    target: Path,
    options: FilmOptions,
    about_job: dict[str, Any],
    about: Provenance,
    said: list[str],
) -> int:
    """Writes numbered frames, from 1."""
    if is_video_file(film.path):
        say_once(f"{target}: sound and subtitles are not kept: frames hold none")
    with open_job(target, about_job, options.overwrite, lambda number: numbered(target, number)) as job:
        frames = _Frames(restore, film, options, job, said)
        try:
            while True:
                first, begins, start, length = frames.count, None, 0, 0
                for raster, pts, duration in frames.part():
                    begins = pts if begins is None else begins
                    start, length = begins, duration
                    with replacing(numbered(target, frames.count + 1)) as file:
                        write_image(file, [raster], None, about)
                if frames.count == first:
                    break
                frames.finish({"start": start, "length": length, "frames": frames.count - first})
        finally:
            frames.progress.close()
        job.remove()
        return frames.count
