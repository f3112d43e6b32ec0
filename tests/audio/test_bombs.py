"""Sound files whose headers promise what they do not hold, and what is no file: one line, and no
memory taken."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from multigen.audio.datasets import open_sounds
from multigen.audio.files import read_info, read_sound
from multigen.audio.inspection import inspect_sounds
from multigen.errors import DataError
from multigen.storage import provenance
from tests.special import SPECIAL

RATE = 8000


def tone(path: Path, hertz: float = 440.0) -> Path:
    soundfile.write(path, np.sin(np.arange(4000) * hertz * 2 * np.pi / RATE) / 2, RATE)
    return path


def flac(path: Path, frames: int, channels: int = 1) -> None:
    """A whole .flac whose header says that it has so many frames."""
    soundfile.write(path, np.random.default_rng(0).normal(size=(4000, channels)) / 9, RATE, format="FLAC")
    result = bytearray(path.read_bytes())
    low = struct.unpack(">Q", result[18:26])[0] & ~((1 << 36) - 1)
    result[18:26] = struct.pack(">Q", low | frames)
    path.write_bytes(result)


def wav(path: Path, *chunks: bytes, data: int = 8) -> None:
    body = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    body += b"".join(chunks) + b"data" + struct.pack("<I", data) + bytes(8)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)


def ogg(path: Path, frames: int) -> None:
    """A whole .ogg whose last page says that it ends at this frame."""
    soundfile.write(path, np.random.default_rng(0).normal(size=4000) / 9, RATE, format="OGG", subtype="VORBIS")
    result = bytearray(path.read_bytes())
    at = result.rindex(b"OggS")
    result[at + 6 : at + 14] = struct.pack("<Q", frames)
    path.write_bytes(result)


BOMBS = {
    "FLAC of 2**36 frames": ("x.flac", lambda path: flac(path, (1 << 36) - 1)),
    "FLAC of 2**30 frames of 8 channels": ("x.flac", lambda path: flac(path, 1 << 30, 8)),
    "FLAC of 10**8 frames": ("x.flac", lambda path: flac(path, 10**8)),
    "FLAC of ten times its frames": ("x.flac", lambda path: flac(path, 40_000)),
    "WAV of 2 GB in 60 bytes": ("x.wav", lambda path: wav(path, data=0x7FFEFFFF)),
    "OGG of 2**62 frames": ("x.ogg", lambda path: ogg(path, 1 << 62)),
    "OGG of 2**30 frames": ("x.ogg", lambda path: ogg(path, 1 << 30)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_sound_that_promises_too_much_is_named_or_skipped(name: str, tmp_path: Path) -> None:
    called, make = BOMBS[name]
    make(path := tmp_path / called)
    for i in range(3):
        tone(tmp_path / f"{i}.wav", 200.0 + 50 * i)
    with pytest.raises(DataError, match=rf"^[^\n]*{called}: [^\n]*--skip-bad$"):
        read_sound(path)
    with pytest.raises(DataError, match=called):
        open_sounds(str(tmp_path), RATE, 256)
    result = open_sounds(str(tmp_path), RATE, 256, skip_bad=True)
    assert len(result) == 3 and [path for path, _ in result.skipped] == [path]
    assert [path for path, _ in inspect_sounds(str(tmp_path)).unreadable] == [path]


def test_chunks_without_number_end_the_search(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    wav(path, struct.pack("<4sI", b"junk", 0) * 1000)
    assert read_info(path).frames == 4
    wav(path, struct.pack("<4sI", b"junk", 0) * 20_000)
    try:
        assert read_info(path).frames == 4
    except DataError as error:
        assert str(path) in str(error)


def test_long_silence_is_still_a_sound(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.flac", np.zeros(3_000_000, np.int16), 48_000)
    assert (tmp_path / "x.flac").stat().st_size * 64 < 3_000_000
    assert read_info(tmp_path / "x.flac").frames == 3_000_000


@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a device"])
def test_what_is_no_regular_file_is_named_alone_and_skipped_in_a_folder(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    SPECIAL[kind](path)
    for i in range(3):
        tone(tmp_path / f"{i}.wav", 200.0 + 50 * i)
    assert len(open_sounds(str(tmp_path), RATE, 256)) == 3
    for act in (read_sound, read_info, provenance.read, lambda p: open_sounds(str(p), RATE, 256)):
        with pytest.raises(DataError, match=rf"^[^\n]*x\.wav[^\n]*{kind}[^\n]*$"):
            act(path)
