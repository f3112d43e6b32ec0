"""Log-mel spectrograms: their definition, stored with a model, and a check of mels from other
sources against it."""

import functools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

import torch
from torch import Tensor

from multigen.audio import spectral
from multigen.errors import ConfigError, DataError

__all__ = ["MelSpec"]

FRAMES = 80  # a second, where the hop is not given: 12.5 ms
WINDOW = 0.064  # seconds, where n_fft is not given: the nearest power of two samples


@dataclass(frozen=True)
class MelSpec:
    """log(max(mel, clip)): natural logarithm of mel-band magnitudes or powers; frame i is
    centred on sample i * hop, with reflect padding, so that T samples have T
    // hop + 1 frames.

    A field that is 0 is derived from the rate at construction: `hop` as rate / 80, `n_fft`
    as the power of two nearest to 64 ms, `window` as n_fft, `high` as rate / 2.

    Raises:
        ConfigError: a rate without an integer hop, or fields that contradict each other.
    """

    rate: int = 16_000
    """Sample rate, Hz."""
    hop: int = 0
    """Samples between frames."""
    n_fft: int = 0
    window: int = 0
    """Length of the Hann window in samples, centred in a frame."""
    bands: int = 80
    """Number of triangular filters, evenly spaced on Slaney's mel scale."""
    low: float = 0
    """Lower edge of the lowest filter, Hz."""
    high: float = 0
    """Upper edge of the highest filter, Hz."""
    clip: float = 1e-5
    """Floor: smaller values are clipped to it."""
    power: Literal[1, 2] = 1
    """Exponent: 1, magnitudes, as in most vocoders; 2, powers."""
    normalisation: Literal["slaney", "none"] = "slaney"
    """Normalisation of the filters: area 1 (in Hz), or height 1."""

    def __post_init__(self) -> None:
        if self.rate < 1:
            raise ConfigError(f"mels at a rate of {self.rate} Hz, expected 1 or more; give the recordings' rate")
        if not self.hop and self.rate % FRAMES:
            raise ConfigError(
                f"a rate of {self.rate} Hz does not divide into {FRAMES} frames a second: {self.rate / FRAMES:g} samples each; "
                f"choose a rate that is a multiple of {FRAMES}, or a hop in samples (256 is usual at 22050 Hz)"
            )
        n_fft = self.n_fft or 1 << max(round(math.log2(WINDOW * self.rate)), 1)
        derived = {"hop": self.hop or self.rate // FRAMES, "n_fft": n_fft, "window": self.window or n_fft}
        for name, value in {**derived, "high": self.high or self.rate / 2}.items():
            object.__setattr__(self, name, value)
        if not 1 <= 2 * self.hop <= self.window <= self.n_fft or self.n_fft % 2:
            raise ConfigError(
                f"mels with hop {self.hop}, window {self.window}, n_fft {self.n_fft}: expected an even n_fft of at least the "
                "window, and a hop of at most half of it; correct what is not"
            )
        if not self.clip > 0 or self.power not in (1, 2) or self.normalisation not in ("slaney", "none"):
            raise ConfigError(
                f"mels with clip {self.clip:g}, power {self.power}, normalisation {self.normalisation!r}: expected a clip above "
                "0, a power of 1 or 2, and slaney or none; correct what is not"
            )
        self.weights(torch.empty(0, device="cpu"))  # checks the bands

    # ---------------------------------------------------------------------------------------------- analysis

    def __call__(self, sound: Tensor) -> Tensor:
        """Log-mels of sounds, (..., T) -> (..., bands, T // hop + 1). Raises DataError for a sound
        of n_fft / 2 or less."""
        return self.log(self.of_magnitudes(self.magnitude(sound)))

    def magnitude(self, sound: Tensor) -> Tensor:
        """|STFT|, (..., T) -> (..., F, frames), with the window centred in the frame."""
        return spectral.magnitude(sound, self.n_fft, self.hop, torch.hann_window(self.window, device=sound.device))

    def of_magnitudes(self, magnitudes: Tensor) -> Tensor:
        """Mels of magnitudes, (..., F, frames) -> (..., bands, frames)."""
        with torch.autocast(magnitudes.device.type, enabled=False):
            return self.weights(magnitudes) @ magnitudes**self.power

    def log(self, mels: Tensor) -> Tensor:
        return mels.clamp(min=self.clip).log()

    def to_magnitudes(self, log_mels: Tensor) -> Tensor:
        """Approximate inverse by the pseudo-inverse of the filter bank: (..., bands, frames) ->
        magnitudes (..., F, frames), at least the clip's share of a band."""
        inverse, least = _inverse(self, log_mels.dtype, log_mels.device)
        return (inverse @ log_mels.exp()).clamp(min=least) ** (1 / self.power)

    def weights(self, like: Tensor) -> Tensor:
        """Filter bank (bands, F), with the dtype and device of `like`."""
        normalised = self.normalisation == "slaney"
        return spectral.mel_weights(
            self.rate, self.n_fft, self.bands, self.low, self.high, normalised=normalised, like=like
        )

    def frames(self, length: int) -> int:
        """Number of frames for a number of samples."""
        return length // self.hop + 1

    def check_segment(self, length: int) -> None:
        """Raises ConfigError for training segments that are not a multiple of the hop, or too short
        for a frame."""
        if length % self.hop or length <= self.n_fft // 2:
            whole = max(round(length / self.hop), self.n_fft // 2 // self.hop + 1) * self.hop
            raise ConfigError(
                f"segments of {length} samples with a hop of {self.hop} and n_fft {self.n_fft}: expected a multiple of the hop, "
                f"above half of n_fft; take {whole}"
            )

    # ------------------------------------------------------------------------------------ mels from elsewhere

    def to_dict(self) -> dict[str, Any]:
        """Its fields, for a JSON file; `from_dict` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], name: str = "the mel definition") -> Self:
        """The definition from a dictionary with all its fields. Raises DataError, which gives
        `name`, for any other."""
        expected = {field.name: field for field in fields(cls)}
        if wrong := sorted(expected.keys() ^ values.keys()):
            raise DataError(f"{name}: {', '.join(wrong)} missing or unknown; expected exactly {', '.join(expected)}")
        for key, value in values.items():
            kind = str if key == "normalisation" else (int, float) if key in ("low", "high", "clip") else int
            if not isinstance(value, kind) or isinstance(value, bool):
                raise DataError(f"{name}: {key} is {value!r}, expected {'text' if kind is str else 'a number'}")
        try:
            return cls(**values)
        except ConfigError as error:
            raise DataError(f"{name}: {error}") from error

    def check(self, log_mels: Tensor, name: str, definition: "MelSpec | None" = None) -> None:
        """Validates log-mels (bands, frames) of other software, and their definition if known.

        Raises DataError, which gives `name`, for another definition or shape, non-finite values,
        and values out of the range of sounds in -1..1, such as decibels, or mels scaled to 0..1.
        Values may be rounded as their type rounds them: float16 turns a clip of 1e-5 into -11.516.
        """
        if definition is not None and definition != self:
            theirs, ours = definition.to_dict(), self.to_dict()
            differing = ", ".join(f"{key} {theirs[key]} for {ours[key]}" for key in ours if ours[key] != theirs[key])
            raise DataError(
                f"{name}: mels of another definition than the model's: {differing}; make them by the model's"
            )
        if log_mels.ndim != 2 or len(log_mels) != self.bands or not log_mels.shape[1]:
            turned = log_mels.ndim == 2 and log_mels.shape[1] == self.bands
            raise DataError(
                f"{name}: an array {tuple(log_mels.shape)}, expected ({self.bands}, frames); "
                + ("transpose it" if turned else f"give mels of {self.bands} bands")
            )
        if not log_mels.is_floating_point() or not log_mels.isfinite().all():
            raise DataError(f"{name}: a value is not a finite number; expected log-mels: look for what made them")
        low, high = float(log_mels.min()), float(log_mels.max())
        least, most = math.log(self.clip), math.log(self.greatest())
        rounding = max(1e-3, torch.finfo(log_mels.dtype).eps * max(-least, most))
        if low < least - rounding or high > most + rounding:
            raise DataError(
                f"{name}: values from {low:.4g} to {high:.4g}, expected natural logarithms of {'magnitudes' * (2 - self.power)}"
                f"{'powers' * (self.power - 1)} clipped at {self.clip:g}, {least:.4g} to {most:.4g}: mels of another definition; "
                "make them by the model's"
            )
        if low >= 0:
            raise DataError(
                f"{name}: values from {low:.4g} to {high:.4g}, none below 0: mels before the logarithm, or scaled to 0..1, as "
                f"it seems; expected their natural logarithm, clipped at {self.clip:g}; take it"
            )

    def greatest(self) -> float:
        """Upper bound of the mels of a sound in -1..1."""
        strongest = float(torch.hann_window(self.window).sum()) ** self.power
        return strongest * float(self.weights(torch.empty(0)).sum(1).max())


@functools.lru_cache(maxsize=16)
def _inverse(spec: MelSpec, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, float]:
    """The pseudo-inverse of the triangles (F, bands), and the least that counts: the clip's share
    of a band."""
    with torch.inference_mode(False), torch.no_grad():
        weights = spec.weights(torch.empty(0, dtype=torch.float64, device="cpu"))
        return torch.linalg.pinv(weights).to(device, dtype), spec.clip / float(weights.sum(1).max())
