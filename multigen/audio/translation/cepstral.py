"""Mel-cepstra as the features of a conversion, and their sound by the WORLD vocoder."""

from dataclasses import dataclass

import torch
from torch import Tensor

from multigen.audio import pitch as pitches
from multigen.audio import world
from multigen.audio.checks import require
from multigen.audio.envelopes import stretched
from multigen.audio.mels import MelSpec
from multigen.audio.translation.features import Analysis, Features, Voice

__all__ = ["CepstralFeatures"]

WINDOW = 0.05  # seconds on each side that CheapTrick and D4C look at, at most
PIECE = 1.0  # seconds: in each of so many a piece of the synthesis ends, at its quietest frame
OVERLAP = 4  # frames by which pieces overlap on each side of a cut


@dataclass(frozen=True)
class CepstralFeatures(Features):
    """Mel-cepstra c_0..c_(rows - 1) of CheapTrick's envelope at the frames of a `MelSpec`; their
    sound is made with the moved pitch and the recording's aperiodicity (D4C).

    WORLD's synthesis adds up phase from its first sample on. It is done piece by piece, each from
    the quietest frame of a second to that of the next, so that parts of a recording are equal to
    the whole. Raises ConfigError without the package `pyworld`, or at a rate that it does not
    have.
    """

    spec: MelSpec
    coefficients: int

    def __post_init__(self) -> None:
        require("pyworld")
        world.check_rate(self.spec.rate)

    @property
    def rows(self) -> int:
        return self.coefficients

    @property
    def radius(self) -> int:
        analysis = max(round(WINDOW * self.spec.rate), pitches.radius_of(self.spec.rate, self.spec.hop))
        return analysis + (2 * self._piece + 2 * OVERLAP) * self.spec.hop

    @property
    def says(self) -> str:
        rate, hop = self.spec.rate, self.spec.hop
        return (
            f"mel-cepstra of WORLD's envelope at {rate} Hz, a frame every {hop} samples, alpha {world.alpha_of(rate):g}"
        )

    def analyse(self, sound: Tensor) -> Analysis:
        pitch = pitches.pitch_of(sound, self.spec.rate, self.spec.hop)
        return Analysis(world.envelope_of(sound, pitch, self.spec.rate, self.spec.hop), pitch)

    def envelopes(self, analysis: Analysis) -> Tensor:
        return analysis.magnitudes[:, analysis.pitch > 0].clamp(min=self.spec.clip).log().T

    def of(self, analysis: Analysis, source: Voice | None = None, target: Voice | None = None) -> Tensor:
        log = analysis.magnitudes.clamp(min=self.spec.clip).log()
        voiced = analysis.pitch > 0
        if source is not None and target is not None and source != target:
            log = log.clone()
            log[:, voiced] = stretched(log[:, voiced].T, target.tract / source.tract).T
        return world.to_cepstra(log, self.spec.rate, self.rows - 1).float()

    def sound(self, features: Tensor, spoken: Tensor, analysis: Analysis, pitch: Tensor, first: int = 0) -> Tensor:
        rate, hop = self.spec.rate, self.spec.hop
        magnitudes = world.from_cepstra(features, rate, len(analysis.magnitudes)).clamp(max=10).exp()
        noise = world.noise_of(spoken, analysis.pitch, rate, hop)
        frames = len(pitch)
        cuts = self._cuts(features[0], first)
        made = torch.zeros(frames * hop)
        for start, end in zip([0, *cuts], [*cuts, frames], strict=True):
            here = slice(max(start - OVERLAP, 0), min(end + OVERLAP, frames))
            piece = world.spoken(pitch[here], magnitudes[:, here], noise[:, here], rate, hop)
            made[here.start * hop : here.stop * hop] += piece * _fade(len(piece), start > 0, end < frames, hop)
        return made[: len(spoken)]

    @property
    def _piece(self) -> int:
        """Frames."""
        return round(PIECE * self.spec.rate / self.spec.hop)

    def _cuts(self, level: Tensor, first: int) -> list[int]:
        """The quietest frame of each second, of frames of which the first is number `first`,
        but for those at the ends."""
        size, frames = self._piece, len(level)
        starts = range(-(first % size), frames, size)
        parts = [(max(start, 0), min(start + size, frames)) for start in starts]
        cuts = [begin + int(level[begin:end].argmin()) for begin, end in parts]
        return [cut for cut in cuts if OVERLAP < cut < frames - OVERLAP]


def _fade(length: int, rises: bool, falls: bool, hop: int) -> Tensor:
    """1, but for a rise and a fall over the frames in which pieces overlap."""
    slope, result = (torch.arange(2 * OVERLAP * hop) + 0.5) / (2 * OVERLAP * hop), torch.ones(length)
    if rises:
        result[: len(slope)] *= slope
    if falls:
        result[length - len(slope) :] *= slope.flip(0)
    return result
