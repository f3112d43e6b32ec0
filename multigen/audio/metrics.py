"""Full-reference audio metrics: distances of spectra and cepstra, ratios of signal to error, quality of speech.

Published figures under one name differ by window, hop, logarithm and what is added before it, so each metric has its
definition here (`DEFINITIONS`), and everything is computed in float64. A low log-spectral distance alone proves little:
noise of the right colour lowers it while PESQ falls. Report both.
"""

import functools
import importlib
import math
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from multigen.audio import spectral
from multigen.engine.distributed import all_sum
from multigen.errors import ConfigError, DataError

__all__ = [
    "DEFINITIONS",
    "METRICS",
    "SoundScores",
    "log_spectral_distance",
    "mel_cepstral_distortion",
    "multi_resolution_stft",
    "pesq",
    "si_sdr",
    "snr",
    "stoi",
]

LSD_FFT, LSD_HOP, LSD_EPS = 2048, 512, 1e-8
RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))  # FFT, hop and window in samples
STFT_FLOOR = 1e-8  # of the power
MEL_BANDS, CEPSTRA = 40, 13
PESQ_MODES = {8_000: "nb", 16_000: "wb"}

DEFINITIONS = {
    "lsd": "Log-spectral distance, mean_t sqrt(mean_f (log10 P - log10 P^)^2), P = |STFT|^2 + 1e-8 of samples in -1..1: "
    "n_fft 2048, hop 512, Hann window, edges mirrored; mean over recordings.",
    "multi_stft": "Mean over three STFTs (FFT 1024/2048/512, hop 120/240/50, Hann window 600/1200/240, edges mirrored) of "
    "the spectral convergence |M - M^|_F / |M|_F plus the mean of |ln M - ln M^|, M^2 = max(|STFT|^2, 1e-8), M being the "
    "reference; each recording by itself, mean over recordings.",
    "mcd": "Mel-cepstral distortion in dB, (10 / ln 10) sqrt(2 sum_{1..13} (c_k - c^_k)^2), mean over frames: c_k = mean_m "
    "ln(P_m) cos(pi k (m + 1/2) / 40) of 40 mel bands (Slaney's, up to half the rate) of power at least 1e-10, Hann "
    "window of 2^round(log2(.032 rate)) samples, hop a quarter of it; frames as they stand; mean over recordings.",
    "mcd_dtw": "As mcd, but the mean over the steps of the path of dynamic time warping (steps (1,1), (0,1), (1,0), "
    "Euclidean distance of c_1..c_13) that aligns the frames; mean over recordings.",
    "si_sdr": "Scale-invariant signal-to-distortion ratio in dB, of the projection of the recording on the reference to "
    "the rest; means are not removed; mean over recordings.",
    "snr": "Signal-to-noise ratio in dB, of the reference's energy to that of the difference; means are not removed; mean "
    "over recordings.",
    "pesq": "PESQ as a mean opinion score (MOS-LQO, the pesq package): at 8 kHz narrow band (ITU-T P.862.1), at 16 kHz "
    "wide band (P.862.2); mean over recordings.",
    "stoi": "Short-time objective intelligibility, at most 1 (Taal et al. 2011, not extended, the pystoi package, which "
    "resamples to 10 kHz and leaves out what is 40 dB below the loudest of the reference); mean over recordings.",
}
"""Metric name -> what exactly it measures, for reports."""


def log_spectral_distance(prediction: Tensor, target: Tensor) -> Tensor:
    """Distance of log power spectra; 1 is a factor of 10 in power (10 dB) everywhere.

    Args:
        prediction, target: samples in -1..1, float32 or float64, (B, T) or (T,).

    Returns:
        float64, (B,) or () for a single recording. (So do the functions below, whose arguments are the same.)

    Raises:
        DataError: the recordings differ in shape, have values that are not finite, or are too short.
    """
    pair = _checked(prediction, target, LSD_FFT // 2 + 1)
    p, q = ((_power(x, LSD_FFT, LSD_HOP, LSD_FFT) + LSD_EPS).log10() for x in pair)  # (..., F, frames)
    return (p - q).square().mean(dim=-2).sqrt().mean(dim=-1)


def multi_resolution_stft(prediction: Tensor, target: Tensor) -> Tensor:
    """Distance of magnitudes at three resolutions. Yamamoto et al. 2020, "Parallel WaveGAN", arXiv:1910.11480, eq. 6.

    Raises a DataError as above, and for a silent target.
    """
    pair = _checked(prediction, target, max(fft for fft, _, _ in RESOLUTIONS) // 2 + 1)
    _heard(pair[1], "target", "the spectral convergence is a share of it")
    total = torch.zeros(pair[0].shape[:-1], dtype=torch.float64, device=pair[0].device)
    for resolution in RESOLUTIONS:
        m, reference = (_power(x, *resolution).clamp(min=STFT_FLOOR).sqrt() for x in pair)  # (..., F, frames)
        total += torch.linalg.matrix_norm(reference - m) / torch.linalg.matrix_norm(reference)
        total += (reference.log() - m.log()).abs().mean(dim=(-2, -1))
    return total / len(RESOLUTIONS)


def mel_cepstral_distortion(prediction: Tensor, target: Tensor, rate: int, dtw: bool = False) -> Tensor:
    """Distance of spectral envelopes, dB. Kubichek 1993, "Mel-cepstral distance measure for objective speech quality".

    The coefficients are scaled such that the distance is the root mean square of the difference of the two smoothed
    envelopes in dB; loudness (c_0) is left out.

    Args:
        rate: samples a second.
        dtw: align the frames by dynamic time warping first; the recordings may then differ in length.

    Raises:
        ConfigError: a rate below 4,000 Hz.
        DataError: as above.
    """
    if rate < 4_000:
        raise ConfigError(f"a sampling rate of {rate} Hz, expected 4000 or more for mel cepstra; leave mcd out")
    size = 2 ** round(math.log2(0.032 * rate))
    pair = _checked(prediction, target, size // 2 + 1, same_length=not dtw)
    # Coefficients of dB by an orthonormal transform, which keeps squares: their distance over sqrt(40) is the definition's.
    c, d = (
        spectral.mfcc(x, rate, CEPSTRA + 1, size, size // 4, MEL_BANDS)[..., 1:, :] / math.sqrt(MEL_BANDS) for x in pair
    )  # (..., 13, frames) each
    if dtw:
        rows = zip(c.reshape(-1, *c.shape[-2:]), d.reshape(-1, *d.shape[-2:]), strict=True)
        distance = torch.stack([_aligned(a, b) for a, b in rows]).reshape(c.shape[:-2]).to(c.device)
    else:
        distance = (c - d).square().sum(dim=-2).sqrt().mean(dim=-1)
    return distance


def si_sdr(prediction: Tensor, target: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio, dB. Le Roux et al. 2019, "SDR - half-baked or well done?".

    Raises a DataError as above, and if either recording is silent; a ConfigError without the extra `speech`.
    """
    _require(*PACKAGES["si_sdr"])
    from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

    x, reference = _checked(prediction, target, 1)
    _heard(x, "prediction", "nothing of the target is in it")
    _heard(reference, "target", "no scale fits it")
    return scale_invariant_signal_distortion_ratio(x, reference)


def snr(prediction: Tensor, target: Tensor) -> Tensor:
    """Signal-to-noise ratio, dB.

    Raises a DataError as above, and for a silent target; a ConfigError without the extra `speech`.
    """
    _require(*PACKAGES["snr"])
    from torchmetrics.functional.audio import signal_noise_ratio

    x, reference = _checked(prediction, target, 1)
    _heard(reference, "target", "the ratio is of its energy")
    return signal_noise_ratio(x, reference)


def pesq(prediction: Tensor, target: Tensor, rate: int) -> Tensor:
    """Perceived quality of speech, a mean opinion score from about 1 to 4.6. ITU-T P.862.1 (8 kHz), P.862.2 (16 kHz).

    Raises:
        ConfigError: another rate, or the package `pesq` (extra `speech`) is not installed.
        DataError: as above, a quarter of a second or less, a silent recording, or one without an utterance.
    """
    mode = _pesq_mode(rate)
    _require(*PACKAGES["pesq"])
    from torchmetrics.functional.audio.pesq import perceptual_evaluation_speech_quality

    x, reference = _checked(prediction, target, rate // 4 + 1)
    _heard(x, "prediction", "PESQ cannot bring it to its level")
    _heard(reference, "target", "there is no speech in it")
    rows = zip(x.reshape(-1, x.shape[-1]), reference.reshape(-1, x.shape[-1]), strict=True)
    try:
        scores = [float(perceptual_evaluation_speech_quality(*row, rate, mode)) for row in rows]
    except RuntimeError as error:  # what all errors of the package are
        raise DataError(f"PESQ cannot measure a recording ({error}); leave it out, or leave out pesq") from error
    return torch.tensor(scores, dtype=torch.float64).reshape(x.shape[:-1])


def stoi(prediction: Tensor, target: Tensor, rate: int) -> Tensor:
    """Intelligibility of speech, at most 1. Taal et al. 2011, IEEE Trans. Audio, Speech and Language Processing 19(7).

    Raises:
        ConfigError: the package `pystoi` (extra `speech`) is not installed.
        DataError: as above, a silent target, or one with less than .41 seconds that are no pause.
    """
    _require(*PACKAGES["stoi"])
    from torchmetrics.functional.audio.stoi import short_time_objective_intelligibility

    x, reference = _checked(prediction, target, math.ceil(0.41 * rate))
    _heard(reference, "target", "there is no speech in it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # in the place of a score of 1e-5
            return short_time_objective_intelligibility(x, reference, rate).double()
    except RuntimeWarning as error:
        reason = "less than .41 seconds of a target are within 40 dB of its loudest part"
        raise DataError(f"STOI cannot measure a recording ({reason}); leave it out, or leave out stoi") from error


METRICS: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "lsd": lambda prediction, target, rate: log_spectral_distance(prediction, target),
    "multi_stft": lambda prediction, target, rate: multi_resolution_stft(prediction, target),
    "mcd": mel_cepstral_distortion,
    "mcd_dtw": functools.partial(mel_cepstral_distortion, dtw=True),
    "si_sdr": lambda prediction, target, rate: si_sdr(prediction, target),
    "snr": lambda prediction, target, rate: snr(prediction, target),
    "pesq": pesq,
    "stoi": stoi,
}
"""Metric name -> function of prediction, target and rate."""

PACKAGES = {
    "si_sdr": ("torchmetrics",),
    "snr": ("torchmetrics",),
    "pesq": ("pesq", "torchmetrics"),
    "stoi": ("pystoi", "torchmetrics"),
}
"""Metric name -> the packages of the extra `speech` that it needs."""


class SoundScores:
    """Means over recordings, gathered batch by batch and rank by rank; each recording counts the same.

        scores = SoundScores(16_000, ("lsd", "pesq"))
        scores.update(prediction, target)                   # as often as there are recordings; lengths may differ
        scores.compute()                                    # {"lsd": .95, "pesq": 3.11}

    Args:
        rate: samples a second.
        metrics: names out of `DEFINITIONS`.
        device: of the totals; with NCCL it must be the rank's GPU.

    Raises:
        ConfigError: an unknown metric, or one that is not available at this rate or without a package: at
            construction, not after training.
    """

    def __init__(self, rate: int, metrics: Sequence[str] = ("lsd", "multi_stft"), device: torch.device | str = "cpu"):
        unknown = sorted(set(metrics) - set(METRICS))
        if unknown:
            raise ConfigError(f"unknown sound metrics {', '.join(unknown)}; choose from {', '.join(METRICS)}")
        if "pesq" in metrics:
            _pesq_mode(rate)
        for metric in metrics:
            _require(*PACKAGES.get(metric, ()))
        self.rate, self.metrics = rate, tuple(metrics)
        self.totals = torch.zeros(len(self.metrics) + 1, dtype=torch.float64, device=device)  # sums, recordings

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Adds recordings: (B, T) or (T,), samples in -1..1. Raises DataError as the functions do."""
        scores = [METRICS[name](prediction, target, self.rate).reshape(-1).cpu() for name in self.metrics]  # (B,) each
        scores.append(torch.ones_like(scores[0]))
        self.totals += torch.stack(scores).sum(dim=1).to(self.totals.device)

    def compute(self) -> dict[str, float]:
        """Means over all recordings of all ranks; every rank must call it. Raises DataError if there was none."""
        *sums, count = all_sum(self.totals).tolist()
        if not count:
            raise DataError("no recording was scored: at least one expected; check the evaluation data")
        return {name: total / count for name, total in zip(self.metrics, sums, strict=True)}


# ------------------------------------------------------------------------------------------------------ checks


def _checked(prediction: Tensor, target: Tensor, least: int, same_length: bool = True) -> tuple[Tensor, Tensor]:
    """Both recordings in float64, after the checks; at least `least` samples long."""
    for name, x in (("prediction", prediction), ("target", target)):
        if not x.is_floating_point() or x.ndim not in (1, 2):
            raise DataError(
                f"{name}: floats (B, T) or (T,) expected, got {x.dtype} {tuple(x.shape)}; mix it to one channel"
            )
        if x.shape[-1] < least:
            raise DataError(
                f"{name}: {x.shape[-1]} samples, at least {least} expected; leave it out, or fill it with silence"
            )
        if not x.isfinite().all():
            raise DataError(
                f"{name}: a sample is not a finite number; leave the recording out, or look for what made it"
            )
    a, b = tuple(prediction.shape), tuple(target.shape)
    if a != b if same_length else a[:-1] != b[:-1]:
        raise DataError(f"prediction {a} and target {b} differ in shape; cut both to the shorter")
    return prediction.detach().double(), target.detach().double()


def _heard(x: Tensor, name: str, why: str) -> None:
    silent = torch.nonzero((x == 0).all(dim=-1).reshape(-1)).flatten().tolist()
    if silent:
        raise DataError(f"{name}: recording {silent[0]} of the batch is silent and {why}; leave it out")


def _pesq_mode(rate: int) -> str:
    if rate not in PESQ_MODES:
        raise ConfigError(
            f"PESQ at {rate} Hz: it is defined at 8000 (narrow band) and 16000 (wide band); resample prediction and "
            "target to one of them, or leave pesq out"
        )
    return PESQ_MODES[rate]


def _require(*packages: str) -> None:
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ConfigError(f"the package {package} is not installed; pip install 'multigen[speech]'") from error


# ----------------------------------------------------------------------------------------------------- analysis


def _power(x: Tensor, fft: int, hop: int, window: int) -> Tensor:
    """Power spectra of a Hann window in the middle of each frame: (..., T) -> (..., fft // 2 + 1, 1 + T // hop)."""
    hann = torch.hann_window(window, dtype=x.dtype, device=x.device)
    return torch.view_as_real(spectral.stft(x, fft, hop, hann)).square().sum(-1)


def _aligned(c: Tensor, d: Tensor) -> Tensor:
    """Mean distance along the path that aligns two rows of cepstra, (13, frames) each."""
    from librosa.sequence import dtw

    a, b = c.cpu().numpy(), d.cpu().numpy()
    _, path = dtw(a, b, metric="euclidean")  # path (steps, 2): frames of a and b
    return torch.tensor(np.linalg.norm(a[:, path[:, 0]] - b[:, path[:, 1]], axis=0).mean())
