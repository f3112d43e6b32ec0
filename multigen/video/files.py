"""Reads video files with PyAV (extra `media`), one frame at a time, with the properties that a
processed copy must keep."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from multigen.console import say_once
from multigen.data.locate import no_path
from multigen.errors import DataError, one_line
from multigen.image.decoding import Raster
from multigen.memory import require
from multigen.storage.media import media_format, open_media
from multigen.video.times import clock

__all__ = ["Film", "Frame", "Looks", "decoding_errors", "film_in", "open_film", "swscale"]

MATRICES = {1, 2, 4, 5, 6, 7, 9}
"""Supported RGB-YCbCr matrices (ITU-T H.273, table 4): BT.709, unspecified,
FCC, BT.601 twice, SMPTE 240M, BT.2020."""
HDR = {16: "PQ, SMPTE ST 2084", 18: "HLG, ARIB STD-B67"}
"""HDR transfer functions (H.273, table 3)."""
UNSTATED = 2  # "unspecified" in H.273
RGB, BT709, BT601 = 0, 1, 6  # matrices
LIMITED, FULL = 1, 2  # ranges, as ffmpeg numbers them
HIGH = 720  # lines from which players take a film that states no matrix for BT.709
SHORT = Fraction(1, 2)  # seconds that a film may end before its header says
TIMED = ("mov", "matroska", "avi")
"""Container formats whose header states the duration."""


@dataclass(frozen=True)
class Looks:
    """How the frames of a video are stored and displayed; a processed copy keeps all of it."""

    width: int
    height: int
    pixels: str
    """Pixel format by ffmpeg's name, such as yuv420p."""
    depth: int
    """Bits per channel."""
    rate: Fraction
    """Average frames per second."""
    time_base: Fraction
    """Time base: seconds per unit of the time stamps."""
    aspect: Fraction | None = None
    """Pixel aspect ratio, width to height."""
    turn: tuple[int, ...] = ()
    """Display matrix of nine numbers, by which players rotate the video; empty: none."""
    primaries: int = UNSTATED
    transfer: int = UNSTATED
    matrix: int = UNSTATED
    range: int = 0
    """The last two: of YCbCr; frames of RGB become BT.709, limited."""

    @property
    def conversion(self) -> int:
        """The conversion matrix; where none is stated, the one that players assume."""
        if self.matrix != UNSTATED:
            return self.matrix
        return BT709 if self.height >= HIGH else BT601

    @property
    def hdr(self) -> str:
        """The name of its transfer function if it is HDR; else ""."""
        return HDR.get(self.transfer, "")


@dataclass(frozen=True)
class Frame:
    """A frame: its pixels, uint8 or uint16 RGB, and its time stamps in units of the film's time
    base."""

    raster: Raster
    pts: int
    duration: int


class Film:
    """An opened video.

    `frames`: number of frames, about; `seconds`: length of the video; `begins`: time stamp of its
    first frame, seconds; `xmp`: the packet that the file has, if it has one.
    """

    def __init__(self, path: Path, looks: Looks, frames: int, begins: Fraction, seconds: Fraction):
        self.path, self.looks, self.frames, self.begins, self.seconds = path, looks, frames, begins, seconds
        self.xmp = b""

    def read(self, start: Fraction = Fraction(0), end: Fraction | None = None, skip: int = 0) -> Iterator[Frame]:
        """The frames shown from `start` seconds after the beginning, before `end`, without the
        first `skip` of them.

        Raises DataError for a frame that cannot be decoded.
        """
        raise NotImplementedError
        yield

    def check_whole(self, end: Fraction | None) -> None:
        """Raises DataError where frames are missing at the end, unless all up to `end` are
        there."""


@contextlib.contextmanager
def decoding_errors(path: Path, when: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Turns errors of PyAV and of the file system into DataError. `when`: a phrase for the
    message, such as the time."""
    try:
        from av.error import FFmpegError
    except ImportError as error:
        raise DataError(f"{path}: films need PyAV; pip install 'multigen[media]'") from error
    try:
        yield
    except (FFmpegError, OSError) as error:
        reason = error.strerror or one_line(error)
        raise DataError(f"{path}: cannot be decoded{when()} ({reason}); copy or download it again") from error


@contextlib.contextmanager
def open_film(path: Path) -> Iterator[Film]:
    """Opens a video file, and reads through it once, without decoding, to know whether it is whole.

    Raises DataError: no such file, no video in it, cut off, of a kind that is not converted;
    OutOfMemory.
    """
    if not path.exists():
        raise DataError(f"{path}: {no_path(path) or 'no such file; expected a film, check the path'}")
    with contextlib.ExitStack() as stack:
        with decoding_errors(path):
            if not media_format(path):
                raise DataError(f"{path}: not a video file; expected MP4, MOV, Matroska, WebM, AVI, MPEG or Ogg")
            film = film_in(stack.enter_context(open_media(path)), path)
        yield film


def film_in(container: Any, path: Path) -> "VideoFile":
    """The film in an opened container; see `open_film`."""
    streams = [stream for stream in container.streams.video if not is_cover(stream)]
    if not streams:
        raise DataError(f"{path}: no video stream in it; expected a film")
    stream = streams[0]
    if stream.codec_context is None or not stream.codec_context.width:
        raise DataError(f"{path}: its video is of a kind that ffmpeg does not decode; convert it to H.264")
    context = stream.codec_context
    require(24 * context.width * context.height, f"{path}: {context.width:,} x {context.height:,} pixels", "shrink it")
    return VideoFile(container, stream, path)


def is_cover(stream: Any) -> bool:
    """Whether a video stream is a still image, such as an album cover."""
    return bool(stream.disposition & type(stream.disposition).attached_pic)


class VideoFile(Film):
    """A video stream in a container."""

    def __init__(self, container: Any, stream: Any, path: Path):
        self.container, self.stream = container, stream
        frames, first, last, length, self.stamps = _through(container, stream)
        self.last, self.last_length, self.promised = last, length, _promised(container, stream)
        seconds = (last + length - first) * stream.time_base
        container.seek(0)
        looks = _looks(container, stream, path, frames / seconds if seconds else Fraction(25))
        super().__init__(path, looks, frames, first * stream.time_base, seconds)
        self.xmp = container.metadata.get("xmp", "").encode()

    def check_whole(self, end: Fraction | None) -> None:
        missing = self.promised - self.seconds
        if missing > SHORT and missing > self.promised / 100 and (end is None or end > self.seconds):
            raise DataError(
                f"{self.path}: cut off: it ends after {clock(self.seconds)} of {clock(self.promised)}; copy or download it "
                f"again, or take what is there: --to {clock(self.seconds)}"
            )

    def read(self, start: Fraction = Fraction(0), end: Fraction | None = None, skip: int = 0) -> Iterator[Frame]:
        base, looks, last = self.looks.time_base, self.looks, None
        first = self.begins + start

        def when() -> str:
            return "" if last is None else f" after {clock(last * base - self.begins)}"

        with decoding_errors(self.path, when):
            self._seek(first if start and not self.stamps else None)
            for number, frame in enumerate(self.container.decode(self.stream)):
                stamp = self.stamps[number] if number < len(self.stamps) else frame.pts
                pts = stamp if stamp is not None else last + self._length(frame, -1) if last is not None else 0
                if (frame.width, frame.height) != (looks.width, looks.height):
                    at = clock((pts if last is None else last + self._length(frame, -1)) * base - self.begins)
                    raise DataError(
                        f"{self.path}: its frames change from {looks.width} x {looks.height} to {frame.width} x {frame.height} "
                        f"pixels at {at}; take the parts one by one: --to {at}, and --from {at}"
                    )
                if last is not None and pts < last:
                    at = clock(last * base - self.begins)
                    raise DataError(f"{self.path}: its time stamps go back after {at}; take what is before: --to {at}")
                if pts == last or pts * base < first:
                    continue
                if end is not None and pts * base >= self.begins + end:
                    return
                if frame.interlaced_frame:
                    say_once(f"{self.path}: interlaced: for good results deinterlace it first: ffmpeg -vf bwdif")
                last, skip = pts, skip - 1
                if skip >= 0:
                    continue
                yield Frame(_raster(frame, looks), pts, self._length(frame, pts))

    def _length(self, frame: Any, pts: int) -> int:
        """Duration of a frame in units of the time base, at least one."""
        if pts == self.last and self.last_length:
            return self.last_length
        return frame.duration or max(1, round(1 / (self.looks.rate * self.looks.time_base)))

    def _seek(self, first: Fraction | None) -> None:
        """Seeks to the last key frame before a time; to the beginning if that fails."""
        self.container.seek(0)
        if first is None:
            return
        expected = int(first / self.looks.time_base)
        self.container.seek(expected, stream=self.stream, backward=True)
        packet = next((p for p in self.container.demux(self.stream) if p.pts is not None), None)
        result = packet is not None and packet.pts <= expected
        self.container.seek(expected, stream=self.stream, backward=True) if result else self.container.seek(0)


def _through(container: Any, stream: Any) -> tuple[int, int, int, int, list[int]]:
    """Packets of a video stream, the time stamps of its first and last frame, how long the last is
    shown, and, where the format holds none of frames that are stored in another order, those of all
    frames."""
    count, first, last, length = 0, None, 0, 0
    unordered, stamps = container.format.name == "avi" and stream.codec_context.has_b_frames, []
    for packet in container.demux(stream):
        if unordered and packet.size:
            packet.pts = packet.dts  # the place in the file, by which AVI tells times
            stamps.append(packet.pts if packet.pts is not None else (stamps or [-1])[-1] + 1)
        if packet.size and packet.pts is not None and not packet.is_corrupt:
            first = packet.pts if first is None else min(first, packet.pts)
            if first == packet.pts or packet.pts >= last:
                last, length = packet.pts, packet.duration or 0
        count += bool(packet.size)
    return count, first or 0, last, length, sorted(stamps)


def _promised(container: Any, stream: Any) -> Fraction:
    """Duration by the header, seconds; 0 where it does not say."""
    if not any(name in container.format.name for name in TIMED):
        return Fraction(0)
    if stream.duration:
        return stream.duration * stream.time_base
    alone = len(container.streams) == 1
    return Fraction(container.duration or 0, 1_000_000) if alone else Fraction(0)


def _looks(container: Any, stream: Any, path: Path, average: Fraction) -> Looks:
    with decoding_errors(path):
        frame = next(container.decode(stream), None)
    if frame is None:
        raise DataError(f"{path}: no frame in its video stream; copy or download it again")
    components = frame.format.components
    if any(component.is_alpha for component in components):
        say_once(f"{path}: its transparency is not kept")
    rgb = _is_rgb(frame) or frame.colorspace == RGB
    matrix = BT709 if rgb else frame.colorspace
    if matrix not in MATRICES:
        raise DataError(f"{path}: colours of matrix {matrix} of H.273 are not converted; convert it to BT.709")
    turn = frame.side_data.get("DISPLAYMATRIX")
    aspect = stream.sample_aspect_ratio
    return Looks(
        width=frame.width,
        height=frame.height,
        pixels=frame.format.name,
        depth=max(component.bits for component in components),
        rate=stream.average_rate or average,
        time_base=stream.time_base,
        aspect=aspect if aspect and aspect != 1 else None,
        turn=() if turn is None else tuple(int(value) for value in np.frombuffer(bytes(turn), np.int32)),
        primaries=frame.color_primaries,
        transfer=frame.color_trc,
        matrix=matrix,
        range=LIMITED if _is_rgb(frame) else frame.color_range or (FULL if "yuvj" in frame.format.name else 0),
    )


def _is_rgb(frame: Any) -> bool:
    return frame.format.is_rgb or frame.format.has_palette


def swscale(frame: Any, to: str, **colours: Any) -> Any:
    """A PyAV frame in another pixel format, by ffmpeg's most accurate conversion."""
    from av.video.reformatter import Interpolation

    exact = (
        Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
    )
    return frame.reformat(format=to, interpolation=exact, threads=1, **colours)  # the same whatever the number of cores


def _raster(frame: Any, looks: Looks) -> Raster:
    """RGB pixels of a decoded frame: 8 bits, or 16 where the source has more than 8."""
    to = "rgb24" if looks.depth <= 8 else "rgb48le"
    given = FULL if _is_rgb(frame) else looks.range or LIMITED
    made = swscale(frame, to, src_colorspace=looks.conversion, src_color_range=given, dst_color_range=FULL)
    return Raster(made.to_ndarray())
