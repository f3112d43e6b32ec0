"""Sound files: reading any that libsndfile decodes, whole or in part, writing them, and changing their rate.

What users' folders hold goes wrong in silence with most readers: a .wav that was cut off is shortened, a broken .ogg ends
early, one NaN spoils a training run. Here each is a DataError that names the file.
"""

import contextlib
import io
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from multigen.catalogue import MODALITIES
from multigen.console import say
from multigen.data.unread import check_readable
from multigen.errors import ConfigError, DataError
from multigen.storage.output import replacing
from multigen.storage.reading import check_file

if TYPE_CHECKING:
    from soundfile import SoundFile

__all__ = ["AUDIO", "Info", "check_rates", "read_info", "read_sound", "resample", "write_sound"]

AUDIO = MODALITIES["audio"]

BITS = {"PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
WRITES = {
    ".flac": ("FLAC", ("PCM_16", "PCM_24"), 8),
    ".mp3": ("MP3", ("MPEG_LAYER_III",), 2),
    ".ogg": ("OGG", ("VORBIS",), 8),
    ".wav": ("WAV", ("PCM_16", "PCM_24", "PCM_32", "FLOAT"), 8),
}
"""Suffix -> libsndfile's format, subtypes, and most channels: with hundreds in an .ogg libsndfile 1.2 crashes."""

FILTER_WIDTH = 64
"""Zero crossings on each side of the resampler's windowed sinc. With torchaudio's 6 a tone at 1.05 of the new Nyquist
frequency comes back as a third of its amplitude and one at .9 loses a quarter; with 64, under .001 both; as fast."""
BLOCK = 1 << 16  # frames encoded at once: libsndfile's Vorbis encoder overflows the stack on minutes in one piece
KERNEL = 1 << 27  # numbers in a resampler's filters, at most: a gigabyte
RAISED = 64  # times that a rate is raised at most
LONGEST = 1 << 31  # frames, 12 hours at 48 kHz: more is a damaged header
SPARSE, USUAL, DENSE = 1 << 26, 64, {"OPUS": 512}
"""Samples, and samples for each byte of a file, by its subtype: a header that promises more of both is damaged, or the file holds
nothing but silence."""
CHUNKS = 10_000  # of a .wav or .aiff that are searched for the samples
UNKNOWN = 0x7FFF0000  # bytes: from here on, the size that programs write which do not know it yet (into a pipe)
TAIL = 1 << 16  # bytes: the most that a page of Ogg has is 65,307


@dataclass(frozen=True)
class Info:
    """What the header of a sound file says. `rate` is in Hz; `subtype` is libsndfile's name, such as PCM_16 or VORBIS."""

    rate: int
    channels: int
    frames: int
    subtype: str

    @property
    def seconds(self) -> float:
        return self.frames / self.rate


# ---------------------------------------------------------------------------------------------------- reading


def read_info(path: str | Path) -> Info:
    """What a file holds, by its header (and the end of an .ogg); nothing is decoded.

    Raises:
        DataError: no such file, a folder, not audio, no frames, or a .wav, .aiff or .ogg that was cut off.
    """
    with _open(path) as file:
        return Info(file.samplerate, file.channels, file.frames, file.subtype)


def read_sound(
    path: str | Path, rate: int = 0, *, mono: bool = True, start: int = 0, frames: int = -1
) -> tuple[Tensor, int]:
    """A sound, float32 (C, T), and its rate in Hz. Full scale is -1..1; floats beyond it in a file stay as they are.

    Args:
        path: a file of a kind that libsndfile reads, whatever its name.
        rate: Hz to resample to; 0 leaves it. A part is resampled as if silence lay around it.
        mono: the channels' mean, C = 1.
        start: first frame to read, counted at the file's own rate.
        frames: how many from there, at the file's own rate; -1 for all. Only this part is decoded (of an .mp3, also what
            lies before it).

    Raises:
        DataError: as `read_info`; data that end early or cannot be decoded, NaN or infinite samples, or a part that does
            not lie in the file; a rate that cannot be brought to `rate` (`check_rates`).
    """
    import soundfile

    with _open(path) as file:
        count = file.frames - start if frames < 0 else frames
        if start < 0 or count < 1 or start + count > file.frames:
            raise DataError(
                f"{path}: frames {start} to {start + count} are asked for, expected some of 0 to {file.frames}; ask for "
                "others, or skip this file: --skip-bad"
            )
        before = file.samplerate
        try:
            # After a jump in an .mp3 libsndfile 1.2.2 gives wrong samples, often silence (tones: 26 of 29 places tried).
            # soundfile jumps after every read, so that only one read from the beginning is right.
            passed = start if file.format == "MP3" else 0
            file.seek(start - passed)
            samples = file.read(passed + count, dtype="float32", always_2d=True)[passed:]  # (T, C)
        except (soundfile.SoundFileError, MemoryError, OSError) as error:
            raise _bad(path, f"it cannot be decoded ({_reason(error)})") from error
    if len(samples) < count:
        raise _bad(path, f"it ends before frame {start + count}, which its header promises")
    if not np.isfinite(samples).all():
        raise _bad(path, f"{np.count_nonzero(~np.isfinite(samples))} of its samples are NaN or infinite")
    sound = torch.from_numpy(np.ascontiguousarray(samples.T))  # (C, T)
    if mono:
        sound = sound.mean(0, keepdim=True)  # (1, T)
    if not rate:
        return sound, before
    check_rates(path, before, rate)
    return resample(sound, before, rate), rate


@contextlib.contextmanager
def _open(path: str | Path) -> Iterator["SoundFile"]:
    """An opened file that has frames and was not cut off, as far as its header and its end tell."""
    import soundfile

    place = Path(path)
    if place.is_dir() or not place.exists():
        what = "this is a folder" if place.is_dir() else "there is no such file"
        raise DataError(f"{path}: {what}; expected a sound file; check the path, or skip it: --skip-bad")
    check_readable(place, AUDIO)
    try:
        check_file(place)
        cut = _cut_off(place)
        file = soundfile.SoundFile(place)
    except (soundfile.SoundFileError, OSError, TypeError) as error:  # TypeError: of .raw files, which have no header
        raise _bad(path, f"it cannot be decoded ({_reason(error)})") from error
    with file:
        if cut:
            raise _bad(path, f"it was cut off after about {file.frames} frames")
        samples, size = file.frames * file.channels, place.stat().st_size
        spread = samples > max(SPARSE, DENSE.get(file.subtype, USUAL) * size)
        if not 0 < file.frames <= LONGEST or spread:
            within = f" in {size:,} bytes" if spread else ""
            raise _bad(path, f"its header promises {file.frames} frames{within}")
        yield file


def _cut_off(path: Path) -> bool:
    """Whether a .wav or .aiff lacks bytes that its header promises, or an .ogg its last page. libsndfile reports neither."""
    with path.open("rb") as file:
        head, length = file.read(12), file.seek(0, os.SEEK_END)
        if head[:4] == b"OggS":
            file.seek(max(length - TAIL, 0))
            page = file.read().rpartition(b"OggS")[2]  # flags at byte 1, the segments' sizes from byte 23 (RFC 3533, 6)
            if len(page) < 23 or not page[1] & 4:  # 4: the last of its stream, which may be empty
                return True
            return len(page) < 23 + page[22] + sum(page[23 : 23 + page[22]])
        order, wanted = ("big", b"SSND") if head[:4] == b"FORM" else ("little", b"data")
        file.seek(12)
        for _ in range(CHUNKS if head[:4] in (b"RIFF", b"FORM") else 0):
            if len(chunk := file.read(8)) < 8:
                break
            size = int.from_bytes(chunk[4:], order)
            if chunk[:4] == wanted:
                return length < file.tell() + size and size < UNKNOWN
            file.seek(size + size % 2, os.SEEK_CUR)
    return False


def _bad(path: str | Path, reason: str) -> DataError:
    return DataError(f"{path}: expected a whole sound file, but {reason}; repair or remove it, or skip it: --skip-bad")


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", str(error)).removeprefix("Error : ").strip(" .")
    # What libsndfile says of any file named .mp3 that is none.
    return "no MPEG audio in it" if "not a regular file" in text else text or type(error).__name__


# ---------------------------------------------------------------------------------------------------- writing


def write_sound(path: str | Path, sound: Tensor, rate: int, subtype: str = "PCM_16", comment: str = "") -> None:
    """Writes a sound, whole or not at all, in the format of the suffix: .wav, .flac, .ogg (Vorbis) or .mp3.

    Samples beyond -1..1 are clipped, and a message says so. Integers are rounded to the nearest, so that what was read from
    a file of as many bits is written as it was.

    Args:
        path: of the file; one that is there is replaced.
        sound: (T,) or (C, T), floats.
        rate: Hz; .mp3 knows 8, 11.025, 12, 16, 22.05, 24, 32, 44.1 and 48 kHz alone.
        subtype: PCM_16 or PCM_24, in .wav also PCM_32 and FLOAT; .ogg and .mp3 have one kind and pass it over.
        comment: for the file's comment tag.

    Raises:
        ConfigError: a suffix, subtype, rate or number of channels that cannot be written.
        DataError: a sound with no samples, of another shape, or with NaN or infinite ones; the disk refuses the file.
    """
    path = Path(path)
    samples = np.atleast_2d(sound.detach().to("cpu", torch.float64).numpy()).T  # (T, C)
    if samples.ndim != 2 or not samples.size or not np.isfinite(samples).all():
        raise DataError(
            f"{path}: a sound of shape {tuple(sound.shape)} with {np.count_nonzero(~np.isfinite(samples))} NaN or infinite "
            "samples; expected (T,) or (C, T), T at least 1, and finite samples; look at what made it"
        )
    encoded = _encode(path, samples, rate, subtype, comment)
    try:
        with replacing(path) as file:
            file.write_bytes(encoded)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror}); expected a folder with room in it; make room, or name another"
        ) from error
    peak, beyond = np.abs(samples).max(), np.count_nonzero(np.abs(samples) > 1)
    if beyond:
        say(f"{path}: {beyond} of {samples.size} samples beyond -1..1 (peak {peak:.3g}) were clipped")


def _encode(path: Path, samples: np.ndarray, rate: int, subtype: str, comment: str) -> bytes:
    """The file's bytes; encoding in memory leaves faults of the disk to `open`, which tells them from bad settings."""
    import soundfile

    if path.suffix.lower() not in WRITES:
        raise ConfigError(f"{path}: suffix {path.suffix!r}, expected one of {' '.join(WRITES)}; name the file so")
    kind, subtypes, most = WRITES[path.suffix.lower()]
    if kind in ("OGG", "MP3"):
        subtype = subtypes[0]
    if subtype not in subtypes or samples.shape[1] > most:
        raise ConfigError(
            f"{path}: {samples.shape[1]} channels of {subtype} in {kind}, expected at most {most} of "
            f"{' or '.join(subtypes)}; choose another subtype or suffix"
        )
    samples = samples.clip(-1, 1)
    if subtype in BITS:
        # As integers of 32 bits, of which libsndfile writes the upper ones; floats it would round down.
        bits = BITS[subtype]
        whole = (samples * 2.0 ** (bits - 1)).round().clip(max=2.0 ** (bits - 1) - 1)
        samples = (whole * 2.0 ** (32 - bits)).astype(np.int32)
    held = io.BytesIO()
    try:
        with soundfile.SoundFile(held, "w", rate, samples.shape[1], subtype, format=kind) as file:
            if comment:
                file.comment = comment
            for i in range(0, len(samples), BLOCK):
                file.write(samples[i : i + BLOCK])
    except (soundfile.SoundFileError, ValueError) as error:
        raise ConfigError(
            f"{path}: {kind} at {rate} Hz cannot be encoded ({_reason(error)}); expected a rate that it knows, such as 16000"
        ) from error
    return held.getvalue()


# ---------------------------------------------------------------------------------------------------- rates


def check_rates(path: str | Path, before: int, after: int) -> None:
    """Raises DataError for a rate of a file, in a damaged header as a rule, from which `resample` would take gigabytes."""
    shared = math.gcd(before, after)
    old, new = before // shared, after // shared
    if old * new + 2 * FILTER_WIDTH * max(old, new) > KERNEL or after > RAISED * before:
        raise _bad(path, f"its rate of {before} Hz cannot be brought to the {after} Hz that are wanted")


def resample(sound: Tensor, before: int, after: int) -> Tensor:
    """Changes the rate, (..., T) -> (..., ceil(T * after / before)), on the sound's device, by a windowed sinc.

    Flat within .1 % up to .95 of the lower Nyquist frequency; 1.05 of it and more are damped by 60 dB. Differentiable. Around
    the sound lies silence. Equal rates give a copy.

    Args:
        sound: floats, T at least 1.
        before: Hz.
        after: Hz.

    Raises ConfigError if a rate is below 1.
    """
    if before < 1 or after < 1:
        raise ConfigError(
            f"resampling from {before} to {after} Hz, expected rates of at least 1; correct the lower one"
        )
    if before == after:
        return sound.clone()
    from torchaudio import functional

    resampled = functional.resample(sound.contiguous(), before, after, lowpass_filter_width=FILTER_WIDTH)
    # torchaudio rounds the length as a float32, which beyond 2**24 samples loses some of the last.
    missing = -(-sound.shape[-1] * after // before) - resampled.shape[-1]
    return nn.functional.pad(resampled, (0, missing))
