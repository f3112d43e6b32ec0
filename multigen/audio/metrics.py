"""Full-reference audio metrics: distances of spectra and cepstra, ratios of signal to error,
quality of speech.

Published figures under one name differ by window, hop, logarithm and what is added before it, so
each metric has its definition here (`DEFINITIONS`), and everything is computed in float64. A low
log-spectral distance alone proves little: noise of the right colour lowers it while PESQ falls.
Report both.
"""

import functools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from multigen.audio import spectral, world
from multigen.audio.checks import check_rate, checked, not_silent, require
from multigen.audio.recognition import word_error
from multigen.audio.speech_metrics import (
    aligned,
    distillmos,
    dnsmos,
    f0_error,
    pesq,
    pesq_mode,
    speaker_similarity,
    stoi,
    voicing_error,
    world_mel_cepstral_distortion,
)
from multigen.engine.distributed import all_sum
from multigen.errors import ConfigError, DataError

__all__ = [
    "DEFINITIONS",
    "METRICS",
    "SoundScores",
    "distillmos",
    "dnsmos",
    "f0_error",
    "log_spectral_distance",
    "mel_cepstral_distortion",
    "multi_resolution_stft",
    "pesq",
    "si_sdr",
    "snr",
    "speaker_similarity",
    "stoi",
    "voicing_error",
    "word_error",
    "world_mel_cepstral_distortion",
]

LSD_FFT, LSD_HOP, LSD_EPS = 2048, 512, 1e-8
RESOLUTIONS = ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240))  # FFT, hop and window in samples
STFT_FLOOR = 1e-8  # of the power
MEL_BANDS, CEPSTRA = 40, 13

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
    "pesq_nb": "PESQ of the narrow band (ITU-T P.862.1, MOS-LQO, the pesq package), at 8 or 16 kHz; mean over recordings.",
    "pesq_wb": "PESQ of the wide band (ITU-T P.862.2, MOS-LQO, the pesq package), at 16 kHz; mean over recordings.",
    "stoi": "Short-time objective intelligibility, at most 1 (Taal et al. 2011, not extended, the pystoi package, which "
    "resamples to 10 kHz and leaves out what is 40 dB below the loudest of the reference); mean over recordings.",
    "mcd_world": "Mel-cepstral distortion in dB, (10 / ln 10) sqrt(2 sum_{1..24} (c_k - c^_k)^2), mean over frames of 5 ms as "
    "they stand, silence included: mel-cepstra of order 24 of WORLD's spectral envelope (CheapTrick, f0 by DIO and StoneMask; "
    "the pyworld package), warped by the all-pass constant nearest to the mel scale (.41 at 16 kHz); mean over recordings. Not "
    "comparable with mcd.",
    "mcd_world_dtw": "As mcd_world, but the mean over the steps of the path of dynamic time warping (steps (1,1), (0,1), (1,0), "
    "Euclidean distance of c_1..c_24) that aligns the frames; mean over recordings.",
    "f0_error": "Root mean square error of f0 in cents over the frames of 5 ms that are voiced in both recordings: DIO and "
    "StoneMask of WORLD (the pyworld package), 60 to 800 Hz; mean over recordings.",
    "voicing_error": "Share of the frames of 5 ms that WORLD's DIO calls voiced in one recording and unvoiced in the other (V/UV "
    "error), 60 to 800 Hz; mean over recordings.",
    "speaker_similarity": "Cosine of the speaker embeddings of recording and reference: Resemblyzer's published encoder, mean "
    "over parts of 1.6 s, quiet recordings raised to -30 dB, pauses not cut out, at 16 kHz; mean over recordings.",
    "dnsmos": "DNSMOS P.835, overall (OVRL), a predicted opinion score of 1 to 5 without a reference: the network of the "
    "speechmos package on windows of 9.01 s, shorter recordings repeated, at 16 kHz; mean over recordings.",
    "dnsmos_sig": "As dnsmos, of the speech itself (SIG).",
    "dnsmos_bak": "As dnsmos, of the background (BAK).",
    "dnsmos_p808": "DNSMOS P.808, overall: as dnsmos, by its other network.",
    "word_error": "Share of the words that a recogniser (PocketSphinx's model of US English, at 16 kHz) reads in the reference "
    "and not in the recording: insertions, deletions and replacements over the number of words read in the reference, so that a "
    "recording beside itself has 0; mean over recordings.",
    "distillmos": "DistillMOS (version 7, the distillmos package), a predicted opinion score of 1 to 5 without a reference, "
    "windows of 7.68 s at 16 kHz; mean over recordings.",
}
"""Metric name -> what exactly it measures, for reports."""


def log_spectral_distance(prediction: Tensor, target: Tensor) -> Tensor:
    """Distance of log power spectra; 1 is a factor of 10 in power (10 dB) everywhere.

    Args:
        prediction, target: samples in -1..1, float32 or float64, (B, T) or (T,).

    Returns:
        float64, (B,) or () for a single recording. (So do the functions below, whose arguments are
            the same.)

    Raises:
        DataError: the recordings differ in shape, have values that are not finite, or are too
            short.
    """
    pair = checked(prediction, target, LSD_FFT // 2 + 1)
    p, q = ((_power(x, LSD_FFT, LSD_HOP, LSD_FFT) + LSD_EPS).log10() for x in pair)  # (..., F, frames)
    return (p - q).square().mean(dim=-2).sqrt().mean(dim=-1)


def multi_resolution_stft(prediction: Tensor, target: Tensor) -> Tensor:
    """Distance of magnitudes at three resolutions. Yamamoto et al. 2020, "Parallel WaveGAN",
    arXiv:1910.11480, eq. 6.

    Raises a DataError as above, and for a silent target.
    """
    pair = checked(prediction, target, max(fft for fft, _, _ in RESOLUTIONS) // 2 + 1)
    not_silent(pair[1], "target", "the spectral convergence is a share of it")
    total = torch.zeros(pair[0].shape[:-1], dtype=torch.float64, device=pair[0].device)
    for resolution in RESOLUTIONS:
        m, reference = (_power(x, *resolution).clamp(min=STFT_FLOOR).sqrt() for x in pair)  # (..., F, frames)
        total += torch.linalg.matrix_norm(reference - m) / torch.linalg.matrix_norm(reference)
        total += (reference.log() - m.log()).abs().mean(dim=(-2, -1))
    return total / len(RESOLUTIONS)


def mel_cepstral_distortion(prediction: Tensor, target: Tensor, rate: int, dtw: bool = False) -> Tensor:
    """Distance of spectral envelopes, dB. Kubichek 1993, "Mel-cepstral distance measure for
    objective speech quality".

    The coefficients are scaled such that the distance is the root mean square of the difference of
    the two smoothed envelopes in dB; loudness (c_0) is left out.

    Args:
        rate: samples a second.
        dtw: align the frames by dynamic time warping first; the recordings may then differ in
            length.

    Raises:
        ConfigError: a rate below 4,000 Hz.
        DataError: as above.
    """
    if rate < 4_000:
        raise ConfigError(f"a sampling rate of {rate} Hz, expected 4000 or more for mel cepstra; leave mcd out")
    size = 2 ** round(math.log2(0.032 * rate))
    pair = checked(prediction, target, size // 2 + 1, same_length=not dtw)
    # Coefficients of dB by an orthonormal transform, which keeps squares: their distance over sqrt(40) is the definition's.
    c, d = (
        spectral.mfcc(x, rate, CEPSTRA + 1, size, size // 4, MEL_BANDS)[..., 1:, :] / math.sqrt(MEL_BANDS) for x in pair
    )  # (..., 13, frames) each
    if dtw:
        rows = zip(c.reshape(-1, *c.shape[-2:]), d.reshape(-1, *d.shape[-2:]), strict=True)
        pairs = (aligned(a, b) for a, b in rows)
        distance = torch.stack([torch.linalg.vector_norm(a - b, dim=0).mean() for a, b in pairs]).reshape(c.shape[:-2])
    else:
        distance = (c - d).square().sum(dim=-2).sqrt().mean(dim=-1)
    return distance


def si_sdr(prediction: Tensor, target: Tensor) -> Tensor:
    """Scale-invariant signal-to-distortion ratio, dB. Le Roux et al. 2019, "SDR - half-baked or
    well done?".

    Raises a DataError as above, and if either recording is silent; a ConfigError without the extra
    `speech`.
    """
    require(*PACKAGES["si_sdr"])
    from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio

    x, reference = checked(prediction, target, 1)
    not_silent(x, "prediction", "nothing of the target is in it")
    not_silent(reference, "target", "no scale fits it")
    return scale_invariant_signal_distortion_ratio(x, reference)


def snr(prediction: Tensor, target: Tensor) -> Tensor:
    """Signal-to-noise ratio, dB.

    Raises a DataError as above, and for a silent target; a ConfigError without the extra `speech`.
    """
    require(*PACKAGES["snr"])
    from torchmetrics.functional.audio import signal_noise_ratio

    x, reference = checked(prediction, target, 1)
    not_silent(reference, "target", "the ratio is of its energy")
    return signal_noise_ratio(x, reference)


METRICS: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "lsd": lambda prediction, target, rate: log_spectral_distance(prediction, target),
    "multi_stft": lambda prediction, target, rate: multi_resolution_stft(prediction, target),
    "mcd": mel_cepstral_distortion,
    "mcd_dtw": functools.partial(mel_cepstral_distortion, dtw=True),
    "si_sdr": lambda prediction, target, rate: si_sdr(prediction, target),
    "snr": lambda prediction, target, rate: snr(prediction, target),
    "pesq": pesq,
    "pesq_nb": functools.partial(pesq, mode="nb"),
    "pesq_wb": functools.partial(pesq, mode="wb"),
    "stoi": stoi,
    "mcd_world": world_mel_cepstral_distortion,
    "mcd_world_dtw": functools.partial(world_mel_cepstral_distortion, dtw=True),
    "f0_error": f0_error,
    "voicing_error": voicing_error,
    "speaker_similarity": speaker_similarity,
    "dnsmos": lambda prediction, target, rate: dnsmos(prediction, rate),
    "dnsmos_sig": lambda prediction, target, rate: dnsmos(prediction, rate, "sig"),
    "dnsmos_bak": lambda prediction, target, rate: dnsmos(prediction, rate, "bak"),
    "dnsmos_p808": lambda prediction, target, rate: dnsmos(prediction, rate, "p808"),
    "word_error": word_error,
    "distillmos": lambda prediction, target, rate: distillmos(prediction, rate),
}
"""Metric name -> function of prediction, target and rate."""

PESQ, WORLD, DNSMOS = ("torchmetrics", "pesq"), ("pyworld",), ("onnxruntime", "speechmos")
PACKAGES = {
    **dict.fromkeys(("si_sdr", "snr"), ("torchmetrics",)),
    **dict.fromkeys(("pesq", "pesq_nb", "pesq_wb"), PESQ),
    **dict.fromkeys(("mcd_world", "mcd_world_dtw", "f0_error", "voicing_error"), WORLD),
    **dict.fromkeys(("dnsmos", "dnsmos_sig", "dnsmos_bak", "dnsmos_p808"), DNSMOS),
    "stoi": ("torchmetrics", "pystoi"),
    "speaker_similarity": ("resemblyzer",),
    "word_error": ("pocketsphinx",),
    "distillmos": ("distillmos",),
}
"""Metric name -> the optional packages that it needs."""


class SoundScores:
    """Means over recordings, gathered batch by batch and rank by rank; each recording counts the
    same.

        scores = SoundScores(16_000, ("lsd", "pesq"))
        scores.update(prediction, target)     # as often as there are recordings; lengths may differ
        scores.compute()                      # {"lsd": .95, "pesq": 3.11}

    Args:
        rate: samples a second.
        metrics: names out of `DEFINITIONS`.
        device: of the totals; with NCCL it must be the rank's GPU.

    Raises:
        ConfigError: an unknown metric, or one that is not available at this rate or without a
            package: at construction, not after training.
    """

    def __init__(self, rate: int, metrics: Sequence[str] = ("lsd", "multi_stft"), device: torch.device | str = "cpu"):
        unknown = sorted(set(metrics) - set(METRICS))
        if unknown:
            raise ConfigError(f"unknown sound metrics {', '.join(unknown)}; choose from {', '.join(METRICS)}")
        for metric in metrics:
            _check_defined(metric, rate)
            require(*PACKAGES.get(metric, ()))
        self.rate, self.metrics = rate, tuple(metrics)
        self.totals = torch.zeros(len(self.metrics) + 1, dtype=torch.float64, device=device)  # sums, recordings

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Adds recordings: (B, T) or (T,), samples in -1..1. Raises DataError as the functions
        do."""
        scores = [METRICS[name](prediction, target, self.rate).reshape(-1).cpu() for name in self.metrics]  # (B,) each
        scores.append(torch.ones_like(scores[0]))
        self.totals += torch.stack(scores).sum(dim=1).to(self.totals.device)

    def compute(self) -> dict[str, float]:
        """Means over all recordings of all ranks; every rank must call it. Raises DataError if
        there was none."""
        *sums, count = all_sum(self.totals).tolist()
        if not count:
            raise DataError("no recording was scored: at least one expected; check the evaluation data")
        return {name: total / count for name, total in zip(self.metrics, sums, strict=True)}


def _check_defined(metric: str, rate: int) -> None:
    """Raises ConfigError where a metric is not defined at a rate."""
    if metric.startswith("pesq"):
        pesq_mode(rate, metric.removeprefix("pesq").removeprefix("_"))
    elif PACKAGES.get(metric) == WORLD:
        world.check_rate(rate)
    elif metric.startswith(("dnsmos", "distillmos", "speaker_similarity", "word_error")):
        check_rate(metric, metric, rate, (16_000,))


# ----------------------------------------------------------------------------------------------------- analysis


def _power(x: Tensor, fft: int, hop: int, window: int) -> Tensor:
    """Power spectra of a Hann window in the middle of each frame: (..., T) -> (..., fft // 2 + 1, 1
    + T // hop)."""
    hann = torch.hann_window(window, dtype=x.dtype, device=x.device)
    return torch.view_as_real(spectral.stft(x, fft, hop, hann)).square().sum(-1)
