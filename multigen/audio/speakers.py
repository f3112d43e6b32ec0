"""Speaker encoder for speaker similarity: Resemblyzer's published weights in a network of ours
(GE2E, Wan et al. 2018, arXiv:1710.10467)."""

import functools
import math

import torch
from torch import Tensor, nn

from multigen.audio import spectral
from multigen.audio.checks import packaged

__all__ = ["RATE", "SpeakerEncoder", "speaker_encoder"]

RATE = 16_000
BANDS, WINDOW, HOP = 40, 400, 160  # mel bands; samples: 25 and 10 ms
FRAMES = 160  # of a part, 1.6 s
STEP = round(RATE / 1.3 / HOP)  # frames between parts: 1.3 parts a second
COVERED = 0.75  # share of the last part that must be sound
LEVEL = 10 ** (-30 / 20)  # RMS to which quieter recordings are brought
SHA256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"


class SpeakerEncoder(nn.Module):
    """Three LSTM layers over mels of 1.6 s; the last hidden state gives a unit vector of 256
    numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(BANDS, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, 256)

    def forward(self, mels: Tensor) -> Tensor:
        """(N, 160, 40) -> (N, 256)"""
        _, (hidden, _) = self.lstm(mels)  # hidden (3, N, 256)
        return nn.functional.normalize(self.linear(hidden[-1]).relu())

    @torch.no_grad()
    def embed(self, sound: Tensor) -> Tensor:
        """Speaker embedding of a recording at 16 kHz, (T,) -> (256,): the mean over its windows.
        Pauses are not removed."""
        x = sound.float()
        rms = float(x.square().mean().sqrt())
        x = x * max(LEVEL / rms, 1)
        starts = _starts(len(x))
        x = nn.functional.pad(x, (0, max((starts[-1] + FRAMES) * HOP - len(x), 0)))
        around = nn.functional.pad(x, (2 * HOP, 2 * HOP))  # silence, where a spectrogram of ours would mirror the sound
        mels = spectral.mel_spectrogram(around, RATE, WINDOW, HOP, BANDS)[:, 2:]  # (40, frames)
        parts = torch.stack([mels[:, at : at + FRAMES].T for at in starts])  # (N, 160, 40)
        return nn.functional.normalize(self(parts).mean(0), dim=0)


def _starts(length: int) -> list[int]:
    """First frames of the windows of a recording."""
    frames = math.ceil((length + 1) / HOP)
    starts = list(range(0, max(1, frames - FRAMES + STEP + 1), STEP))
    covered = (length - starts[-1] * HOP) / (FRAMES * HOP)
    return starts[:-1] if covered < COVERED and len(starts) > 1 else starts


@functools.lru_cache(maxsize=1)
def speaker_encoder() -> SpeakerEncoder:
    """The pretrained encoder, on the CPU. Raises ConfigError without the package
    `resemblyzer`, and CheckpointError if its weights are not the published ones."""
    content = torch.load(packaged("resemblyzer", "resemblyzer/pretrained.pt", SHA256), "cpu", weights_only=True)
    weights = {name: value for name, value in content["model_state"].items() if not name.startswith("similarity_")}
    encoder = SpeakerEncoder()
    encoder.load_state_dict(weights)
    return encoder.eval()
