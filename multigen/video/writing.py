"""Encodes a segment of a video."""

import contextlib
import errno
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from multigen.console import shell_word
from multigen.errors import ConfigError, one_line
from multigen.image.decoding import Raster
from multigen.video.encoders import CONTAINERS, Encoder, default_codec
from multigen.video.files import FULL, HIGH, LIMITED, Looks, swscale

__all__ = ["Format", "Segment", "check_codec", "write_segment", "writing_errors"]


@dataclass(frozen=True)
class Format:
    """The output format of a video."""

    looks: Looks
    """Properties of the source, with the encoder's pixel format."""
    encoder: Encoder
    options: dict[str, str]


@dataclass(frozen=True)
class Segment:
    """An encoded segment of a video."""

    path: Path
    start: int
    """Time stamp of its first frame in units of the time base; in the file it is 0."""
    length: int
    """Duration of its last frame in units of the time base."""
    frames: int


@contextlib.contextmanager
def writing_errors() -> Iterator[None]:
    """Turns PyAV's errors into OSError."""
    from av.error import FFmpegError

    try:
        yield
    except FFmpegError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or one_line(error)) from error


def write_segment(path: Path, frames: Iterator[tuple[Raster, int, int]], form: Format) -> Segment | None:
    """Encodes frames (pixels, time stamp, duration) into an MP4 file; without frames writes nothing
    and returns None.

    Raises OSError.
    """
    import av

    os.environ.setdefault("SVT_LOG", "1")  # errors alone: SVT-AV1 would print its settings
    first = next(frames, None)
    if first is None:
        return None
    start, count, length, form = first[1], 0, 0, _fitted(form, first[0])
    with writing_errors(), av.open(str(path.absolute()), "w", format="mp4", options={"strict": "experimental"}) as file:
        stream = _encoder_stream(file, form)
        for raster, pts, duration in _chain(first, frames):
            frame = _coded(raster, form)
            frame.pts, frame.duration, frame.time_base = pts - start, duration, form.looks.time_base
            length, count = duration, count + 1
            file.mux(stream.encode(frame))
        last = stream.encode(None)
        if count <= 2:  # of fewer frames than it delays x265 gives decoding times that it has not set
            for packet in last:
                packet.dts = packet.pts  # two frames are in order
        file.mux(last)
    return Segment(path, start, length, count)


def check_codec(target: Path, form: Format) -> None:
    """Raises ConfigError if the container format cannot hold the codec, or the encoder does not
    open."""
    import av
    from av.error import FFmpegError

    os.environ.setdefault("SVT_LOG", "1")
    suffix = target.suffix.lower()
    tried = replace(form, looks=replace(form.looks, width=64, height=64))
    try:
        with av.open(io.BytesIO(), "w", format=CONTAINERS[suffix]) as file:
            _encoder_stream(file, tried)
            file.start_encoding()
    except (FFmpegError, ValueError) as error:
        codec = form.encoder.codec
        raise ConfigError(
            f"--codec {codec}: {suffix} cannot hold it ({one_line(error)}); give --out "
            f"{shell_word(str(target.with_suffix('.mkv')))}, or --codec {default_codec(suffix)}"
        ) from error


def _fitted(form: Format, raster: Raster) -> Format:
    """The format for frames of this size: even sides where chroma is subsampled, and an explicit
    matrix where players would assume another for the size."""
    looks = form.looks
    height, width = raster.pixels.shape[:2]
    matrix = looks.matrix if (height >= HIGH) == (looks.height >= HIGH) else looks.conversion
    if "420" in looks.pixels or "422" in looks.pixels:
        height, width = (height + 1) // 2 * 2, (width + 1) // 2 * 2
    return replace(form, looks=replace(looks, height=height, width=width, matrix=matrix))


def _chain(first: Any, others: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from others


def _encoder_stream(file: Any, form: Format) -> Any:
    looks = form.looks
    stream = file.add_stream(form.encoder.name, options=form.options)
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = looks.width, looks.height, looks.pixels
    stream.time_base = context.time_base = looks.time_base
    context.framerate = looks.rate
    context.color_primaries, context.color_trc = looks.primaries, looks.transfer
    context.colorspace, context.color_range = looks.matrix, looks.range
    if looks.aspect:
        context.sample_aspect_ratio = looks.aspect
    return stream


def _coded(raster: Raster, form: Format) -> Any:
    """A PyAV frame in the encoder's pixel format, padded to its size by repeating the last row and
    column."""
    import av

    looks, pixels = form.looks, raster.colour
    if pixels.shape[-1] == 1:
        pixels = pixels.repeat(3, -1)
    below, beside = looks.height - pixels.shape[0], looks.width - pixels.shape[1]
    if below or beside:
        pixels = np.pad(pixels, ((0, below), (0, beside), (0, 0)), "edge")
    given = av.VideoFrame.from_ndarray(
        np.ascontiguousarray(pixels), format="rgb24" if pixels.dtype == np.uint8 else "rgb48le"
    )
    frame = swscale(
        given,
        looks.pixels,
        src_color_range=FULL,
        dst_colorspace=looks.conversion,
        dst_color_range=looks.range or LIMITED,
    )
    frame.colorspace, frame.color_range = looks.matrix, looks.range
    frame.color_primaries, frame.color_trc = looks.primaries, looks.transfer
    return frame
