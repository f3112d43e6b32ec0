"""Containers that ffmpeg opens, by PyAV: only formats that are known by their first bytes, and no
file but the one given."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from multigen.storage.reading import open_regular

__all__ = ["media_format", "open_media"]

W64 = bytes.fromhex("726966662e91cf11a5d628db04c10000")
MEDIA = (
    (8, b"AVI ", "avi"), (0, b"RIFF", "wav"), (0, b"RF64", "wav"), (0, b"BW64", "wav"), (0, W64, "w64"), (0, b".snd", "au"),
    (0, b"FORM", "aiff"), (0, b"caff", "caf"), (0, b"fLaC", "flac"), (0, b"OggS", "ogg"), (0, b"ID3", "mp3"),
    (0, b"#!AMR", "amr"), (4, b"ftyp", "mov"), (4, b"moov", "mov"), (4, b"mdat", "mov"), (4, b"wide", "mov"),
    (4, b"free", "mov"), (0, bytes.fromhex("1a45dfa3"), "matroska"), (0, bytes.fromhex("3026b2758e66cf11"), "asf"),
    (0, b"FLV", "flv"), (0, bytes.fromhex("000001ba"), "mpeg"), (0, bytes.fromhex("000001b3"), "mpegvideo"),
)  # fmt: skip
"""Offset and bytes at which a format of ffmpeg is known. No other is ever opened: some, such as
playlists, name other files."""
TRANSPORT = ((0, 188), (4, 192))
"""MPEG transport streams: the first of the bytes 0x47 that begin packets, and their distance."""


def media_format(path: Path) -> str:
    """ffmpeg's name of a file's format, from its first bytes; "" for a format that is not
    supported."""
    with open_regular(path) as file:
        head = file.read(1024)
    for at, magic, name in MEDIA:
        if head[at : at + len(magic)] == magic:
            return name
    if any(head[first : first + 4 * step : step] == b"GGGG" for first, step in TRANSPORT):
        return "mpegts"
    if len(head) > 3 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return "aac" if head[1] & 0x16 == 0x10 else "mp3"
    return ""


@contextlib.contextmanager
def open_media(path: Path) -> Iterator[Any]:
    """Opens a file with PyAV: its container, with the format named, and with no protocol by which
    it could open another file.

    Raises ImportError without PyAV, OSError, and the errors of ffmpeg.
    """
    import av

    name = media_format(path)
    with open_regular(path) as file:
        options = {"protocol_whitelist": "none"} | ({"export_xmp": "1"} if name == "mov" else {})
        with av.open(file, format=name or None, options=options, metadata_errors="ignore") as container:
            yield container
