"""Video encoders and the pixel formats they accept."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from multigen.console import did_you_mean, say_once
from multigen.errors import ConfigError

__all__ = ["CONTAINERS", "ENCODERS", "Encoder", "default_codec", "encoder_of", "pixels_of"]


@dataclass(frozen=True)
class Encoder:
    """A video encoder of ffmpeg."""

    name: str
    crf: int
    """Default constant rate factor (--crf), 0 is best quality; -1: a lossless encoder without
    it."""
    worst: int = 63
    options: tuple[tuple[str, str], ...] = ()
    tag: str = ""
    """Codec tag in MP4 files, where players expect another than ffmpeg's default."""

    @property
    def codec(self) -> str:
        """Its name for --codec."""
        return next(name for name, each in ENCODERS.items() if each == self)


ENCODERS = {
    "h264": Encoder("libx264", 17, 51),
    "hevc": Encoder("libx265", 16, 51, (("x265-params", "log-level=none:info=0"),), "hvc1"),
    "av1": Encoder("libsvtav1", 23, 63, (("preset", "6"),)),
    "vp9": Encoder("libvpx-vp9", 22, 63, (("b", "0"), ("row-mt", "1"))),
    "ffv1": Encoder("ffv1", -1, -1, (("level", "3"), ("slicecrc", "1"))),
}
"""Name for --codec -> encoder."""
ALIASES = {encoder.name: name for name, encoder in ENCODERS.items()} | {"h265": "hevc", "x264": "h264", "x265": "hevc"}
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""Suffix of an output video -> ffmpeg's container format."""


def default_codec(suffix: str) -> str:
    """The default codec: H.264, which plays everywhere; VP9 in WebM."""
    return "vp9" if suffix == ".webm" else "h264"


def encoder_of(codec: str, crf: int | None) -> tuple[Encoder, dict[str, str]]:
    """The encoder of a name, ours or ffmpeg's, and its options. Raises ConfigError."""
    name = ALIASES.get(codec, codec)
    if name not in ENCODERS:
        raise ConfigError(
            f"--codec {codec}: expected {', '.join(ENCODERS)}{did_you_mean(codec, (*ENCODERS, *ALIASES))}"
        )
    encoder = ENCODERS[name]
    if crf is not None and not 0 <= crf <= encoder.worst:
        expected = f"0 (best) to {encoder.worst}" if encoder.worst > 0 else "none: it is lossless"
        raise ConfigError(f"--crf {crf}: of {name} expected {expected}")
    quality = {} if encoder.crf < 0 else {"crf": str(encoder.crf if crf is None else crf)}
    return encoder, {**dict(encoder.options), **quality}


def pixels_of(source: str, depth: int, encoder: Encoder, path: Path) -> str:
    """The encoder's pixel format that keeps the bit depth and chroma subsampling of the source, as
    far as it has one."""
    import av

    given: Any = av.VideoFormat(source, 64, 64)
    planes = [component for component in given.components if not component.is_alpha]
    reduced = [(component.width, component.height) for component in planes if component.is_chroma]
    full = (planes[0].width, planes[0].height)
    chroma = "420"
    if given.is_rgb or len(planes) < 3:
        chroma = "444" if encoder.crf < 0 else "420"
    elif not reduced:
        chroma = "444"
    elif reduced[0][1] == full[1]:
        chroma = "422"
    bits = 8 if depth <= 8 else 10 if depth <= 10 else 12
    try:
        known = {each.name for each in av.Codec(encoder.name, "w").video_formats or ()}
    except ValueError as error:  # UnknownCodecError
        raise ConfigError(
            f"--codec {encoder.codec}: the installed PyAV has no {encoder.name}; give another: {', '.join(ENCODERS)}"
        ) from error
    choices = [(chroma, bits), (chroma, 10), ("420", bits), ("420", 10), ("420", 8)]
    names = [f"yuv{c}p{'' if b == 8 else f'{b}le'}" for c, b in choices if b <= bits]
    made = next(name for name in names if name in known)
    if made != names[0]:
        say_once(f"{path}: {encoder.name} has no {names[0]}: written as {made}; for all of it, --codec ffv1")
    return made
