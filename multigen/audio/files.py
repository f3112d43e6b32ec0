"""Sound files: reading them, whole, in part or block by block, and writing them.

Most readers accept damaged files silently: a truncated .wav is shortened, a broken .ogg ends early,
one NaN spoils a training run. Here each is a DataError that names the file.
"""

import contextlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from multigen.audio.decoding import Decoder, damaged, decoder, reason
from multigen.audio.rates import check_rates, resample
from multigen.catalogue import MODALITIES
from multigen.console import say, say_once
from multigen.data.unread import check_readable
from multigen.errors import ConfigError, DataError
from multigen.storage.output import replacing
from multigen.storage.reading import check_file

__all__ = [
    "AUDIO",
    "Info",
    "OpenSound",
    "check_rates",
    "check_written",
    "open_sound",
    "read_info",
    "read_sound",
    "resample",
    "write_blocks",
    "write_sound",
]

AUDIO = MODALITIES["audio"]

BITS = {"PCM_16": 16, "PCM_24": 24, "PCM_32": 32}
DEEPER = {
    "PCM_24": ("PCM_24",),
    "PCM_32": ("PCM_32", "PCM_24"),
    "FLOAT": ("FLOAT", "PCM_24"),
    "DOUBLE": ("FLOAT", "PCM_24"),
}
"""Subtypes of more than 16 bits -> those that hold as much, or nearly."""
WRITES = {
    ".flac": ("FLAC", ("PCM_16", "PCM_24"), 8),
    ".mp3": ("MP3", ("MPEG_LAYER_III",), 2),
    ".ogg": ("OGG", ("VORBIS",), 8),
    ".wav": ("WAV", ("PCM_16", "PCM_24", "PCM_32", "FLOAT"), 8),
}
"""Suffix -> libsndfile's format, subtypes, and most channels: with hundreds in an .ogg libsndfile
1.2 crashes."""

BLOCK = 1 << 16  # frames encoded at once: libsndfile's Vorbis encoder overflows the stack on minutes in one piece
LARGEST = (1 << 32) - (1 << 16)  # bytes of samples in a .wav
LONGEST = 1 << 31  # frames, 12 hours at 48 kHz: more is a damaged header
SPARSE, USUAL, DENSE = 1 << 26, 64, {"OPUS": 512}
"""Samples, and samples for each byte of a file, by its subtype: a header that promises more of both
is damaged, or the file holds nothing but silence."""


@dataclass(frozen=True)
class Info:
    """Header of a sound file. `rate` is in Hz; `subtype` is libsndfile's name, such as PCM_16 or
    VORBIS."""

    rate: int
    channels: int
    frames: int
    subtype: str

    @property
    def seconds(self) -> float:
        return self.frames / self.rate


# ---------------------------------------------------------------------------------------------------- reading


def read_info(path: str | Path) -> Info:
    """What a file holds, by its header (and the end of an .ogg); decoded only where it does not say
    how long it is.

    Raises:
        DataError: no such file, a folder, not audio, no frames, or a .wav, .aiff, .au, .mp3 or .ogg
            that was cut off; NeedsMedia for one that only PyAV reads, where it is not installed.
    """
    with open_sound(path) as sound:
        return sound.info()


def read_sound(
    path: str | Path, rate: int = 0, *, mono: bool = True, start: int = 0, frames: int = -1
) -> tuple[Tensor, int]:
    """A sound, float32 (C, T), and its rate in Hz. Full scale is -1..1; floats beyond it in a file
    stay as they are.

    Args:
        path: a file of a kind that libsndfile or, where it is installed, PyAV reads, whatever its
            name.
        rate: Hz to resample to; 0 leaves it. A part is resampled as if silence lay around it.
        mono: the channels' mean, C = 1.
        start: first frame to read, counted at the file's own rate.
        frames: how many from there, at the file's own rate; -1 for all. Only this part is decoded
            (of an .mp3, also what lies before it).

    Raises:
        DataError: as `read_info`; data that end early or cannot be decoded, NaN or infinite
            samples, or a part that does not lie in the file; a rate that cannot be brought to
            `rate` (`check_rates`).
    """
    with open_sound(path) as sound:
        total = sound.info().frames if sound.frames is not None or start or frames >= 0 else 0
        count = total - start if frames < 0 else frames
        if total and (start < 0 or count < 1 or start + count > total):
            raise DataError(
                f"{path}: frames {start} to {start + count} are requested, expected some of 0 to {total}; ask for "
                "others, or skip this file: --skip-bad"
            )
        blocks = [
            block.mean(0, keepdim=True) if mono else block for block in sound.blocks(start, count if total else -1)
        ]
        before = sound.rate
    whole = torch.cat(blocks, 1) if len(blocks) > 1 else blocks[0]  # (C, T)
    if not rate:
        return whole, before
    check_rates(path, before, rate)
    return resample(whole, before, rate), rate


@dataclass(frozen=True)
class OpenSound:
    """An opened sound file, which is decoded block by block. `frames` is None where only decoding
    tells how many there are."""

    path: Path
    decoder: Decoder
    rate: int
    channels: int
    frames: int | None

    def info(self) -> Info:
        """Header of the file; the frames are counted where it does not give their number."""
        frames = self.frames
        if frames is None:
            with open_sound(self.path) as again:  # what is decoded to be counted is not there to be read any more
                frames = sum(block.shape[1] for block in again.blocks())
        return Info(self.rate, self.channels, frames, self.decoder.subtype)

    def blocks(self, start: int = 0, frames: int = -1) -> Iterator[Tensor]:
        """Its samples from frame `start`, so many or all, float32 (C, T) each.

        Raises DataError for data that end early or cannot be decoded, and for NaN or infinite
        samples.
        """
        import soundfile

        limit = frames if frames >= 0 else None if self.frames is None else self.frames - start
        count, size = 0, self.path.stat().st_size
        blocks = self.decoder.blocks(start)
        while limit is None or count < limit:
            try:
                block = next(blocks, None)
            except (
                soundfile.SoundFileError,
                MemoryError,
                OSError,
                ValueError,
            ) as error:  # PyAV's are OSError or ValueError
                raise damaged(self.path, f"it cannot be decoded ({reason(error)})") from error
            if block is None:
                break
            block = block if limit is None else block[:, : limit - count]
            count += block.shape[1]
            _check_promise(self.path, count, self.channels, self.decoder.subtype, size, "holds more than")
            if not block.isfinite().all():
                raise damaged(self.path, f"{int((~block.isfinite()).sum())} of its samples are NaN or infinite")
            yield block
        if limit is not None and count < limit:
            raise damaged(self.path, f"it ends before frame {start + limit}, which its header promises")
        if not count:
            raise damaged(self.path, "there are no samples in it")


@contextlib.contextmanager
def open_sound(path: str | Path) -> Iterator[OpenSound]:
    """An opened file that has frames and was not cut off, as far as its header and its end tell.
    Raises as `read_info`."""
    import soundfile

    place = Path(path)
    if place.is_dir() or not place.exists():
        fault = "this is a folder" if place.is_dir() else "there is no such file"
        raise DataError(f"{path}: {fault}; expected a sound file; check the path, or skip it: --skip-bad")
    check_readable(place, AUDIO)
    with contextlib.ExitStack() as stack:
        try:
            check_file(place)
            opened = stack.enter_context(decoder(place))
        except (soundfile.SoundFileError, OSError, TypeError, ValueError) as error:
            raise damaged(path, f"it cannot be decoded ({reason(error)})") from error
        if opened.frames is not None:
            _check_promise(
                path, opened.frames, opened.channels, opened.subtype, place.stat().st_size, "its header promises"
            )
        for remark in opened.remarks:
            say_once(f"{path}: {remark}")
        yield OpenSound(place, opened, opened.rate, opened.channels, opened.frames)


def _check_promise(path: str | Path, frames: int, channels: int, subtype: str, size: int, what: str) -> None:
    """Raises DataError for a sound of no frames, or of more than a file of so many bytes can
    plausibly hold."""
    spread = frames * channels > max(SPARSE, DENSE.get(subtype, USUAL) * size)
    if not 0 < frames <= LONGEST or spread:
        within = f" in {size:,} bytes" if spread else ""
        raise damaged(path, f"{what} {frames} frames{within}")


# ---------------------------------------------------------------------------------------------------- writing


def write_sound(path: str | Path, sound: Tensor, rate: int, subtype: str = "PCM_16", comment: str = "") -> None:
    """Writes a sound, whole or not at all, in the format of the suffix: .wav, .flac, .ogg (Vorbis)
    or .mp3.

    Samples beyond -1..1 are clipped, and a message says so. Integers are rounded to the nearest, so
    that what was read from a file of as many bits is written as it was.

    Args:
        path: of the file; one that is there is replaced.
        sound: (T,) or (C, T), floats.
        rate: Hz; .mp3 knows 8, 11.025, 12, 16, 22.05, 24, 32, 44.1 and 48 kHz alone.
        subtype: PCM_16 or PCM_24, in .wav also PCM_32 and FLOAT; ignored by .ogg and .mp3, which
            have one kind.
        comment: for the file's comment tag.

    Raises:
        ConfigError: a suffix, subtype, rate or number of channels that cannot be written.
        DataError: a sound with no samples, of another shape, or with NaN or infinite ones; the disk
            refuses the file.
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


def write_blocks(
    path: Path, blocks: Iterable[Tensor], rate: int, channels: int, comment: str = "", source: str = ""
) -> None:
    """Writes a sound, whole or not at all, in the format of the suffix, from blocks (C, T) in
    -1..1, each written before the next is made: of 16 bits, or as deep as `source`, the subtype of
    what it was made of, as far as the format goes.

    Raises ConfigError as `check_written`; DataError where the disk refuses it, or a .wav would be
    too large; what `blocks` raises.
    """
    import soundfile

    check_written(path, rate, channels)
    kind, subtypes, _ = WRITES[path.suffix.lower()]
    subtype = next((each for each in DEEPER.get(source, ()) if each in subtypes), subtypes[0])
    size = 0  # bytes of samples
    try:
        with replacing(path) as place, soundfile.SoundFile(place, "w", rate, channels, subtype, format=kind) as file:
            if comment:
                file.comment = comment
            for block in blocks:
                size += block.numel() * BITS.get(subtype, 32) // 8
                if kind == "WAV" and size > LARGEST:
                    raise DataError(
                        f"{path}: more than {LARGEST:,} bytes, which a .wav has at most; name the result .flac"
                    )
                for part in block.split(BLOCK, 1):
                    samples = part.to(torch.float64).numpy().T
                    file.write(_whole(samples, BITS[subtype]) if subtype in BITS else samples)
    except (OSError, soundfile.SoundFileError) as error:
        raise DataError(
            f"{path}: cannot be written ({reason(error)}); expected a folder with room in it; make room, or name another"
        ) from error


def check_written(path: Path, rate: int, channels: int) -> None:
    """Raises ConfigError for a suffix, a rate or a number of channels that is not written."""
    import soundfile

    if path.suffix.lower() not in WRITES:
        raise ConfigError(f"{path}: suffix {path.suffix!r}, expected one of {' '.join(WRITES)}; name the file so")
    kind, subtypes, most = WRITES[path.suffix.lower()]
    if channels > most:
        more = max(WRITES, key=lambda suffix: WRITES[suffix][2])
        advice = f"write {more}" if channels <= WRITES[more][2] else "mix some of them first"
        raise ConfigError(f"{path}: {channels} channels in {kind}, expected at most {most}; {advice}")
    try:
        soundfile.SoundFile(io.BytesIO(), "w", rate, channels, subtypes[0], format=kind).close()
    except (soundfile.SoundFileError, ValueError, OverflowError, TypeError) as error:
        raise ConfigError(
            f"{path}: {kind} at {rate} Hz cannot be encoded ({reason(error)}); expected a rate that it knows, such as 16000"
        ) from error


def _whole(samples: np.ndarray, bits: int) -> np.ndarray:
    """As integers of 32 bits, of which libsndfile writes the upper ones; floats it would round
    down."""
    whole = (samples * 2.0 ** (bits - 1)).round().clip(max=2.0 ** (bits - 1) - 1)
    return (whole * 2.0 ** (32 - bits)).astype(np.int32)


def _encode(path: Path, samples: np.ndarray, rate: int, subtype: str, comment: str) -> bytes:
    """The file's bytes; encoding in memory separates errors of the disk from bad settings."""
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
        samples = _whole(samples, BITS[subtype])
    buffer = io.BytesIO()
    try:
        with soundfile.SoundFile(buffer, "w", rate, samples.shape[1], subtype, format=kind) as file:
            if comment:
                file.comment = comment
            for i in range(0, len(samples), BLOCK):
                file.write(samples[i : i + BLOCK])
    except (soundfile.SoundFileError, ValueError) as error:
        raise ConfigError(
            f"{path}: {kind} at {rate} Hz cannot be encoded ({reason(error)}); expected a rate that it knows, such as 16000"
        ) from error
    return buffer.getvalue()
