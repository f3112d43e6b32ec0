"""Sound files decoded block by block: by libsndfile where it reads them whole, else by ffmpeg
(PyAV, extra `media`).

libsndfile reads one recording of a chained Ogg file and of joined MP3s, and seeks where a file
cannot be sought in. So an Ogg file is given to it link by link, and what it would read in part is
left to ffmpeg, whose formats are a fixed few.
"""

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from multigen.audio import containers
from multigen.audio.rates import uniform
from multigen.errors import DataError
from multigen.storage.media import media_format, open_media

if TYPE_CHECKING:
    from soundfile import SoundFile

__all__ = ["Decoder", "NeedsMedia", "damaged", "decoder", "reason"]

BLOCK = 1 << 18  # frames decoded at once
MALFORMED = 3  # libsndfile's code of a damaged file of a format that it knows
ESTIMATED = ("mp3", "aac", "amr")  # formats whose length ffmpeg estimates
SHORT = 0.5  # seconds that may be missing of the length that a header promises, or a tenth of it
SCALES = {"u8": 1 << 7, "s16": 1 << 15, "s32": 1 << 31, "s64": 1 << 63, "flt": 1, "dbl": 1}
"""What full scale is in ffmpeg's sample formats."""


class NeedsMedia(DataError):
    """A file that can be read with the extra `media` alone, which is not installed."""


@dataclass(frozen=True)
class Decoder:
    """An opened sound file. `frames` is None where only decoding tells how many there are."""

    rate: int
    channels: int
    frames: int | None
    subtype: str

    remarks: tuple[str, ...] = ()
    """What of the file is not read, or was changed."""

    def blocks(self, start: int = 0) -> Iterator[Tensor]:
        """Float32 (C, T) from frame `start` to the end. Raises DataError and what the library
        raises."""
        raise NotImplementedError
        yield


@contextlib.contextmanager
def decoder(path: Path) -> Iterator[Decoder]:
    """The decoder of a regular file.

    Raises NeedsMedia, DataError for a file that was cut off, otherwise what soundfile or PyAV
    raises, or OSError.
    """
    import soundfile

    with contextlib.ExitStack() as stack:
        cut = containers.cut_off(path)
        ogg = containers.ogg_links(path)
        mpeg = containers.mpeg(path) if not ogg.links and media_format(path) == "mp3" else None
        if mpeg and mpeg.promised > mpeg.frames:
            raise damaged(path, f"it was cut off: {mpeg.frames} of its {mpeg.promised} MPEG frames are there")
        if mpeg and mpeg.promised != mpeg.frames and not mpeg.constant:
            yield stack.enter_context(_media(path, "its length is not in its header, or it holds several recordings"))
            return
        # libsndfile reads any file named .au or .snd as samples, so it does not get the name of a
        # file of unknown kind; nor an MP3's data after its frames, of which its decoder would warn.
        part = ogg.links[0] if ogg.links else [(0, mpeg.end)] if mpeg else None
        if not media_format(path):
            part = [(0, path.stat().st_size)]
        opened: Any = containers.Parts(path, part) if part else containers.open_riff(path)
        try:
            file = stack.enter_context(_forward()(stack.enter_context(opened) if opened else path))
        except (soundfile.SoundFileError, TypeError) as error:  # TypeError: of .raw files, which have no header
            file_format = media_format(path)
            if file_format in ("", "mp3", "flac", "ogg") or getattr(error, "code", 0) == MALFORMED:
                raise
            yield stack.enter_context(_media(path, reason(error)))
            return
        if cut:
            raise damaged(path, f"it was cut off after about {file.frames} frames")
        if file.format != "MP3" and file.subtype.startswith("MPEG"):
            yield stack.enter_context(_media(path, "MP3 in another format"))
            return
        if len(ogg.links) > 1 or ogg.streams > 1:
            yield _chain(path, ogg)
            return
        # What libsndfile makes of a length of 0, and its estimate for an MP3 without a header, which is never too short.
        unknown = (file.format == "FLAC" and file.frames > 1 << 36) or bool(mpeg and mpeg.promised < 0)
        yield _Sndfile(file.samplerate, file.channels, None if unknown else file.frames, file.subtype, file=file)


def damaged(path: str | Path, why: str) -> DataError:
    return DataError(f"{path}: expected a whole sound file, but {why}; repair or remove it, or skip it: --skip-bad")


def reason(error: BaseException) -> str:
    """A library's error message about a file, without its path."""
    text = getattr(error, "error_string", "") or getattr(error, "strerror", "") or str(error)
    text = text.removeprefix("Error : ").strip(" .")
    # What libsndfile says of any file named .mp3 that is none.
    return "no MPEG audio in it" if "not a regular file" in text else text or type(error).__name__


# ---------------------------------------------------------------------------------------------------- libsndfile


@functools.cache
def _forward() -> type["SoundFile"]:
    import soundfile

    class Forward(soundfile.SoundFile):
        """Read from the beginning on: soundfile else jumps to where it is after each read, which a
        GSM file and a FLAC stream refuse, and after which libsndfile 1.2.2 gives wrong samples of
        an .mp3, often silence (tones: 26 of 29 places tried)."""

        def seekable(self) -> bool:
            return False

        def skip(self, frames: int) -> bool:
            """Jumps there, if the format can; whether it did."""
            if self.format == "MP3" or not super().seekable():
                return False
            self.seek(frames)
            return True

    return Forward


@dataclass(frozen=True)
class _Sndfile(Decoder):
    file: Any = None

    def blocks(self, start: int = 0) -> Iterator[Tensor]:
        yield from _from(0 if start and self.file.skip(start) else start, iter(self._read, None))

    def _read(self) -> Tensor | None:
        block = self.file.read(BLOCK, dtype="float32", always_2d=True)
        return torch.from_numpy(np.ascontiguousarray(block.T)) if len(block) else None  # (C, T)


@dataclass(frozen=True)
class _Chain(Decoder):
    path: Path = Path()
    links: tuple[tuple[tuple[int, int], ...], ...] = ()

    def blocks(self, start: int = 0) -> Iterator[Tensor]:
        yield from _from(start, uniform(self.path, self._parts(), self.rate, self.channels))

    def _parts(self) -> Iterator[tuple[int, Tensor]]:
        for link in self.links:
            with _open_part(self.path, link) as file:
                for block in _Sndfile(0, 0, 0, "", file=file).blocks():
                    yield file.samplerate, block


@contextlib.contextmanager
def _open_part(path: Path, link: tuple[tuple[int, int], ...]) -> Iterator["SoundFile"]:
    with containers.Parts(path, link) as part, _forward()(part) as file:  # pyright: ignore[reportArgumentType]
        yield file


def _chain(path: Path, ogg: containers.Links) -> Decoder:
    """The links of an Ogg file one after another, at the first one's rate."""
    links, infos = tuple(tuple(link) for link in ogg.links), []
    for link in links:
        with _open_part(path, link) as file:
            infos.append((file.samplerate, file.channels, file.frames, file.subtype))
    rate, channels, _, subtype = infos[0]
    remarks = []
    if ogg.streams > 1:
        remarks.append(f"{ogg.streams} streams at once, of which the first sound is read")
    if other_rates := sorted({info[0] for info in infos} - {rate}):
        remarks.append(f"parts of {', '.join(map(str, other_rates))} Hz brought to the {rate} Hz of its first")
    frames = sum(-(-n * rate // before) for before, _, n, _ in infos)
    return _Chain(rate, channels, frames, subtype, tuple(remarks), path=path, links=links)


def _from(start: int, blocks: Iterator[Tensor]) -> Iterator[Tensor]:
    """Without the first `start` frames."""
    for block in blocks:
        if start < block.shape[1]:
            yield block[:, start:]
        start = max(start - block.shape[1], 0)


# ---------------------------------------------------------------------------------------------------- ffmpeg


@contextlib.contextmanager
def _media(path: Path, why: str) -> Iterator[Decoder]:
    """Decodes by ffmpeg: from an opened file, with the format named, and with no protocol by which
    it could open another file."""
    try:
        import av.error
    except ImportError as error:
        raise NeedsMedia(
            f"{path}: libsndfile does not read it whole ({why}); expected a .wav, .flac, .ogg, .mp3 or .aiff file, or PyAV: pip "
            "install 'multigen[media]', or convert it, or skip it: --skip-bad"
        ) from error
    with contextlib.ExitStack() as stack:
        try:
            container = stack.enter_context(open_media(path))
        except av.error.FFmpegError as error:
            raise damaged(path, f"it cannot be decoded ({reason(error)})") from error
        if not container.streams.audio:
            raise damaged(path, "there is no sound in it")
        stream = container.streams.audio[0]
        if stream.codec_context is None or not stream.rate or not stream.channels:
            raise damaged(path, "its sound is of a kind that ffmpeg does not decode")
        remarks = []
        if len(container.streams.audio) > 1:
            remarks.append(f"{len(container.streams.audio)} sound tracks, of which the first is read")
        yield _Media(
            stream.rate,
            stream.channels,
            None,
            stream.codec_context.codec.canonical_name.upper(),
            tuple(remarks),
            path=path,
            container=container,
            stream=stream,
        )


@dataclass(frozen=True)
class _Media(Decoder):
    path: Path = Path()
    container: Any = None
    stream: Any = None

    def blocks(self, start: int = 0) -> Iterator[Tensor]:
        position = 0
        for block in _larger(uniform(self.path, self._frames(), self.rate, self.channels)):
            position += block.shape[1]
            yield from _from(max(start - position + block.shape[1], 0), iter([block]))
        promised, seconds = self._promised(), position / self.rate
        if promised - seconds > min(SHORT, promised / 10):
            raise damaged(
                self.path, f"it ends after {seconds:.2f} of the {promised:.2f} seconds that its header promises"
            )

    def _promised(self) -> float:
        """Seconds of sound by the header; 0 where it does not say."""
        if self.container.format.name in ESTIMATED:
            return 0.0
        if self.stream.duration:
            return float(self.stream.duration * self.stream.time_base)
        alone = len(self.container.streams) == 1
        return (self.container.duration or 0) / 1_000_000 if alone else 0.0

    def _frames(self) -> Iterator[tuple[int, Tensor]]:
        from av.error import FFmpegError, InvalidDataError

        packets, mixed = self.container.demux(self.stream), self.container.format.name == "mp3"
        while True:
            try:
                packet = next(packets, None)
                frames = packet.decode() if packet is not None else []
            except FFmpegError as error:
                # Between joined MP3s are tags and headers, which players skip; elsewhere it is damage.
                if mixed and isinstance(error, InvalidDataError):
                    continue
                raise damaged(self.path, f"it cannot be decoded ({reason(error)})") from error
            if packet is None:
                return
            for frame in frames:
                yield frame.sample_rate, _samples(frame)


def _samples(frame: Any) -> Tensor:
    """Float32 (C, T) of a frame of ffmpeg's, whatever its sample format."""
    name, samples = frame.format.name, np.atleast_2d(frame.to_ndarray())
    if not name.endswith("p"):
        samples = samples.reshape(-1, len(frame.layout.channels)).T
    kind = name.removesuffix("p")
    scaled = (samples.astype(np.float64) - (SCALES[kind] if kind == "u8" else 0)) / SCALES[kind]
    return torch.from_numpy(np.ascontiguousarray(scaled, dtype=np.float32))


def _larger(blocks: Iterator[Tensor]) -> Iterator[Tensor]:
    """Joined to blocks of about `BLOCK` frames."""
    pending: list[Tensor] = []
    for block in blocks:
        pending.append(block)
        if sum(part.shape[1] for part in pending) >= BLOCK:
            yield torch.cat(pending, 1)
            pending = []
    if pending:
        yield torch.cat(pending, 1)
