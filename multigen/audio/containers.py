"""Sound file headers, parsed without decoding: the format, truncation, and files of several
recordings in a row, of which libsndfile would silently read only the first.
"""

import io
import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from multigen.storage.reading import open_regular

__all__ = ["Links", "Mpeg", "Parts", "cut_off", "mpeg", "ogg_links", "open_riff"]

CHUNKS = 10_000  # of a .wav or .aiff that are searched for the samples
UNKNOWN = 0x7FFF0000  # bytes: from here on, the size that programs write which do not know it yet (into a pipe)
TAIL = 1 << 16  # bytes: the most that a page of Ogg has is 65,307

GSM = b"\x31\x00"  # a .wav's format, where its first chunk says so
W64 = bytes.fromhex("726966662e91cf11a5d628db04c10000")


class Parts(io.RawIOBase):
    """Parts of a file, one after another, as a file of its own.

    Args:
        parts: first byte of each, and the one behind its last.
        patches: byte of this file -> what is read there in place of what it holds.
    """

    def __init__(self, path: Path, parts: Sequence[tuple[int, int]], patches: dict[int, bytes] | None = None):
        self.file, self.parts, self.patches, self.at = open_regular(path), list(parts), patches or {}, 0
        self.length = sum(end - first for first, end in parts)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.at = max(offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self.length}[whence], 0)
        return self.at

    def readinto(self, buffer) -> int:
        view, filled, begin = memoryview(buffer).cast("B"), 0, 0
        for first, end in self.parts:
            if begin <= self.at < begin + end - first and filled < len(view):
                self.file.seek(first + self.at - begin)
                count = self.file.readinto(
                    view[filled : filled + min(len(view) - filled, begin + end - first - self.at)]
                )
                filled += count
                self.at += count
            begin += end - first
        for at, patch in self.patches.items():
            for i, byte in enumerate(patch, at - (self.at - filled)):
                if 0 <= i < filled:
                    view[i] = byte
        return filled

    def close(self) -> None:
        self.file.close()
        super().close()


# ---------------------------------------------------------------------------------------------------- cut off, or not closed


def cut_off(path: Path) -> bool:
    """Whether a .wav, .aiff, .w64, .caf or .au lacks bytes that its header promises, or an .ogg its
    last page: libsndfile reports neither."""
    with open_regular(path) as file:
        head, length = file.read(24), file.seek(0, os.SEEK_END)
        if head[:4] == b"OggS":
            file.seek(max(length - TAIL, 0))
            page = file.read().rpartition(b"OggS")[2]  # flags at byte 1, the segments' sizes from byte 23 (RFC 3533, 6)
            if len(page) < 23 or not page[1] & 4:  # 4: the last of its stream, which may be empty
                return True
            return len(page) < 23 + page[22] + sum(page[23 : 23 + page[22]])
        if head[:4] == b".snd":
            first, size = (int.from_bytes(head[i : i + 4], "big") for i in (4, 8))
            return length < first + size and size < UNKNOWN
        if head[:16] == W64:
            return _w64_end(file) > length
        if head[:4] == b"caff":
            return _caf_end(file) > length
        at, size = _samples(file)
        return length < at + size and (size < UNKNOWN or head[:4] in (b"RF64", b"BW64"))


def _samples(file: io.BufferedReader) -> tuple[int, int]:
    """Where the samples of a .wav or .aiff begin, and how many bytes they have by its header; (0,
    0) without any.

    The 64 bits of an RF64's size are where its own 32 are all set.
    """
    file.seek(0)
    head, big = file.read(12)[:4], 0
    order, chunk_id = ("big", b"SSND") if head == b"FORM" else ("little", b"data")
    for _ in range(CHUNKS if head in (b"RIFF", b"FORM", b"RF64", b"BW64") else 0):
        if len(chunk := file.read(8)) < 8:
            break
        size = int.from_bytes(chunk[4:], order)
        if chunk[:4] == chunk_id:
            return file.tell(), big if big and size == 0xFFFFFFFF else size
        if chunk[:4] == b"ds64":
            big = int.from_bytes(file.read(16)[8:], "little")
            size -= 16
        file.seek(size + size % 2, os.SEEK_CUR)
    return 0, 0


def _w64_end(file: io.BufferedReader) -> int:
    """Where the samples of a .w64 end by its header; 0 without any."""
    file.seek(40)
    for _ in range(CHUNKS):
        at, chunk = file.tell(), file.read(24)
        size = int.from_bytes(chunk[16:], "little")
        if len(chunk) < 24 or size < 24 or size >= 1 << 62:
            break
        if chunk[:4] == b"data":
            return at + size
        file.seek(at + size + -size % 8)
    return 0


def _caf_end(file: io.BufferedReader) -> int:
    """Where the samples of a .caf end by its header; 0 where it does not say."""
    file.seek(8)
    for _ in range(CHUNKS):
        chunk = file.read(12)
        size = int.from_bytes(chunk[4:], "big")
        if len(chunk) < 12 or size >= 1 << 62:  # -1: unknown
            break
        if chunk[:4] == b"data":
            return file.tell() + size
        file.seek(size, os.SEEK_CUR)
    return 0


def open_riff(path: Path) -> Parts | None:
    """A .wav as libsndfile can read it; None where it can as it stands.

    A BW64 has its older name there; a GSM file of an odd number of bytes, which libsndfile would
    round up to a block more, one less; and samples of size 0 that are there all the same, as of a
    file that was never closed, the size that says "unknown".
    """
    with open_regular(path) as file:
        head = file.read(22)
        if head[:4] == b"BW64":
            return Parts(path, [(0, file.seek(0, os.SEEK_END))], {0: b"RF64"})
        if head[:4] != b"RIFF":
            return None
        (at, size), length = _samples(file), file.seek(0, os.SEEK_END)
        if head[20:22] == GSM and size % 2:
            return Parts(path, [(0, length)], {at - 4: (size - 1).to_bytes(4, "little")})
        if not at or size or at == length:
            return None
        file.seek(at)
        chunk = file.read(8)  # of an empty recording others may follow
        if chunk[:4].isalnum() and int.from_bytes(chunk[4:], "little") <= length - at - 8:
            return None
    return Parts(path, [(0, length)], {at - 4: b"\xff" * 4})


# ---------------------------------------------------------------------------------------------------- Ogg


@dataclass
class Links:
    """The recordings of an Ogg file, one after another ("links" in RFC 3533), each the parts of the
    file that its sound has."""

    links: list[list[tuple[int, int]]] = field(default_factory=list)
    streams: int = 0
    """The most that one has at once: with pictures or several sounds, of which the first is
    read."""


SOUNDS = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"fLaC", b"Speex   ")


def ogg_links(path: Path) -> Links:
    """The links of an Ogg file; none where it is no Ogg file, or no sound in it."""
    links = Links()
    with open_regular(path) as file:
        if file.read(4) != b"OggS":
            return links
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pages:
            at, began, serial, streams = 0, False, b"", 0
            while (at := pages.find(b"OggS", at)) >= 0 and at + 27 <= len(pages):
                count = pages[at + 26]
                data = at + 27 + count
                end = data + sum(pages[at + 27 : data])
                if pages[at + 5] & 2:  # the first page of a stream
                    if not began:
                        began, serial, streams = True, b"", 0
                    streams += 1
                    links.streams = max(links.streams, streams)
                    if not serial and pages[data:end].startswith(SOUNDS):
                        serial = pages[at + 14 : at + 18]
                        links.links.append([])
                else:
                    began = False
                if serial and serial == pages[at + 14 : at + 18]:
                    parts = links.links[-1]
                    if parts and parts[-1][1] == at:
                        parts[-1] = (parts[-1][0], end)
                    else:
                        parts.append((at, end))
                at = end
    return links


# ---------------------------------------------------------------------------------------------------- MP3

KILOBITS = {
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""By version, 3 for MPEG 1 and 2 for the half rates of MPEG 2 and 2.5, and the four bits of a
frame's header."""
RATES = (44_100, 48_000, 32_000)
TRIES = 1 << 16  # bytes that might begin a frame, and do not, behind each other


@dataclass(frozen=True)
class Mpeg:
    """The frames of an MPEG audio file, layer III, by their headers."""

    frames: int
    promised: int
    """By the Xing, Info or VBRI header in the first; -1 without one."""
    constant: bool
    """Whether all have one rate of bits, and nothing stands between or behind them but a tag at the
    end."""
    end: int
    """The byte behind the last."""


def mpeg(path: Path) -> Mpeg | None:
    """Parses the frame headers of an MP3; None for another file, or for unusual frames, which are
    left to the decoder."""
    with open_regular(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = _after_tag(content, 0)
        first = _frame(content, at)
        if first is None:
            return None
        header = content[at : at + 200]
        promised = -1
        for tag, place in ((b"Xing", 8), (b"Info", 8), (b"VBRI", 14)):
            if (where := header.find(tag)) >= 0 and (tag == b"VBRI" or header[where + 7] & 1):
                promised = int.from_bytes(header[where + place : where + place + 4], "big")
        frames, constant, kinds = -(promised >= 0), True, set()
        end = length = len(content)
        while at < length:
            if (frame := _frame(content, at)) and at + frame[0] <= length:
                frames += 1
                kinds.add(frame[1])
                at += frame[0]
                end = at
                continue
            constant &= content[at : at + 3] == b"TAG" and length - at == 128
            after = _after_tag(content, at)
            at = after if after > at else _next(content, at + 1)
    return Mpeg(frames, promised, constant and len(kinds) == 1, end)


def _frame(content: mmap.mmap, at: int) -> tuple[int, tuple[int, ...]] | None:
    """Size in bytes, version, bit rate and sampling rate of the layer III frame that begins here;
    None if none does."""
    head = content[at : at + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return None
    version, bits, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or bits in (0, 15) or rate == 3:
        return None
    kilobits = KILOBITS[3 if version == 3 else 2][bits]
    hertz = RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    return (144 if version == 3 else 72) * kilobits * 1000 // hertz + (head[2] >> 1 & 1), (version, bits, hertz)


def _after_tag(content: mmap.mmap, at: int) -> int:
    """The end of the ID3 tag, or of the zeros, that begins here."""
    if content[at : at + 3] == b"ID3" and at + 10 <= len(content):
        size = 0
        for byte in content[at + 6 : at + 10]:
            size = size << 7 | byte & 127
        return at + 10 + size
    return at + 128 if content[at : at + 3] == b"TAG" else at


def _next(content: mmap.mmap, at: int) -> int:
    """Start of the next frame that another frame or a tag follows; the end of the file if there is
    none."""
    for _ in range(TRIES):
        if (at := content.find(b"\xff", at)) < 0:
            break
        frame = _frame(content, at)
        if frame and (at + frame[0] >= len(content) - 128 or _frame(content, at + frame[0])):
            return at
        at += 1
    return len(content)
