"""Spectral envelopes of voiced speech, and their stretching along frequency by which one vocal
tract stands for another.

All formants of a longer vocal tract are lower by about one factor. Lee and Rose 1998, "A frequency
warping approach to speaker normalization", doi:10.1109/89.650310, find it by maximum likelihood
under a recogniser; here it is found without words, as that which makes the mean and the covariance
of a speaker's envelopes most like another's.
"""

import math
from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from multigen.audio.spectral import mel_weights

__all__ = ["envelopes_of", "factor_between", "stretched", "tracts_of"]

KEPT, GONE = 0.6, 0.9  # of a period: quefrencies of the envelope, and those that are none of it
FACTORS = tuple(1.01**i for i in range(-24, 25))  # .79 to 1.27, as between .88 and 1.12 of the average, the usual range
BANDS, LOWEST, HIGHEST = 40, 100.0, 5_500.0  # mel bands that are compared, Hz
SHARE = 0.75  # of half the rate: above, a stretched envelope may have come to its end
FLOOR = -11.5  # least logarithm of a magnitude: 1e-5


def envelopes_of(log: Tensor, pitch: Tensor, rate: int) -> Tensor:
    """The envelopes of log-spectra (n, F) of voiced frames with a pitch (n,), Hz: their part below
    .6 to .9 of a period in quefrency."""
    cepstrum = torch.fft.irfft(log)  # (n, 2 (F - 1))
    quefrency = torch.arange(log.shape[1], device=log.device, dtype=log.dtype)
    quefrency = torch.cat([quefrency, quefrency[1:-1].flip(0)])
    share = (quefrency * pitch[:, None] / rate - KEPT) / (GONE - KEPT)
    return torch.fft.rfft(cepstrum * (0.5 + 0.5 * torch.cos(math.pi * share.clamp(0, 1)))).real


def stretched(log: Tensor, factor: Tensor | float, reflect: bool = False) -> Tensor:
    """Log-spectra (n, F) stretched along frequency by a factor, or one for each (n, 1). What lies
    above the highest frequency is as that, or, for harmonics, is reflected."""
    top = log.shape[1] - 1
    place = torch.arange(top + 1, device=log.device, dtype=log.dtype).expand(len(log), -1) / factor
    if reflect:
        place = top - (top - place % (2 * top)).abs()
    place = place.clamp(0, top)
    low = place.long().clamp(max=top - 1)
    share = place - low
    return log.gather(1, low) * (1 - share) + log.gather(1, low + 1) * share


def factor_between(a: Tensor, b: Tensor, rate: int) -> float:
    """The factor by which envelopes (n, F) of one speaker are to be stretched to be most like those
    of another (m, F): in the covariance of their bands, and in the mean apart from level and
    slope."""
    weights = mel_weights(rate, 2 * (a.shape[1] - 1), BANDS, LOWEST, min(HIGHEST, SHARE * rate / 2), like=a)
    mean, covariance = _moments(b, weights)
    spread, size = float(_bent(mean).square().sum()), float(covariance.square().sum())
    distances: list[float] = []
    for factor in FACTORS:
        own, other = _moments(a, stretched(weights, 1 / factor))  # for the envelopes, which are many more
        level = float(_bent(own - mean).square().sum()) / max(spread, 1e-9)
        distances.append(level + float((other - covariance).square().sum()) / max(size, 1e-9))
    return FACTORS[min(range(len(FACTORS)), key=distances.__getitem__)]


def tracts_of(envelopes: Sequence[Tensor], rate: int) -> list[float]:
    """A factor on the formants of each speaker, of whom there are envelopes (n, F), such that
    their ratios are those between the speakers and their geometric mean is 1."""
    n = len(envelopes)
    logs = torch.zeros(n, n)
    for i, j in combinations(range(n), 2):
        logs[i, j] = math.log(factor_between(envelopes[i], envelopes[j], rate))
    return (logs - logs.T).mean(0).exp().tolist()


def _moments(envelopes: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (bands,) and covariance (bands, bands) of the log-levels of bands."""
    levels = (envelopes.exp() @ weights.T).log().clamp(min=FLOOR).double()
    mean = levels.mean(0)
    return mean, (levels - mean).T @ (levels - mean) / len(levels)


def _bent(mean: Tensor) -> Tensor:
    """Without level and slope, which come from the voice and the microphone."""
    x = torch.linspace(-1, 1, len(mean), dtype=mean.dtype)
    mean = mean - mean.mean()
    return mean - x * (mean @ x / (x @ x))
