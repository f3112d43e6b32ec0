"""Metrics of speech: quality, intelligibility, pitch and speaker similarity, with or without a
reference recording.

Each is the reference implementation, or tested against it; for exact definitions see
`multigen.audio.metrics.DEFINITIONS`. Functions return float64, (B,) or () for a single recording.
"""

import functools
import math
import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from multigen.audio import world
from multigen.audio.checks import check_rate, checked, checked_one, not_silent, packaged, require
from multigen.audio.speakers import RATE as WIDE
from multigen.audio.speakers import speaker_encoder
from multigen.errors import ConfigError, DataError

__all__ = [
    "aligned",
    "distillmos",
    "dnsmos",
    "f0_error",
    "path_between",
    "pesq",
    "pesq_mode",
    "speaker_similarity",
    "stoi",
    "voicing_error",
    "world_mel_cepstral_distortion",
]

PESQ_MODES = {8_000: "nb", 16_000: "wb"}
SHORTEST = 0.25  # seconds, of what is analysed


# ---------------------------------------------------------------------------------------------- with a reference


def pesq(prediction: Tensor, target: Tensor, rate: int, mode: str = "") -> Tensor:
    """Perceived quality of speech, a mean opinion score from about 1 to 4.6. ITU-T P.862.1 (narrow
    band), P.862.2 (wide band).

    Args:
        mode: "nb" at 8 or 16 kHz, "wb" at 16 kHz; "": narrow band at 8 kHz and wide band at 16 kHz.

    Raises:
        ConfigError: another rate, or the package `pesq` (extra `speech-compiled`) is not installed.
        DataError: different shapes, a quarter of a second or less, a silent recording, or one
            without an utterance.
    """
    mode = pesq_mode(rate, mode)
    require("torchmetrics", "pesq")
    from torchmetrics.functional.audio.pesq import perceptual_evaluation_speech_quality

    x, reference = checked(prediction, target, rate // 4 + 1)
    not_silent(x, "prediction", "PESQ cannot bring it to its level")
    not_silent(reference, "target", "there is no speech in it")
    rows = zip(x.reshape(-1, x.shape[-1]), reference.reshape(-1, x.shape[-1]), strict=True)
    try:
        scores = [float(perceptual_evaluation_speech_quality(*row, rate, mode)) for row in rows]
    except RuntimeError as error:  # what all errors of the package are
        raise DataError(f"PESQ cannot measure a recording ({error}); leave it out, or leave out pesq") from error
    return torch.tensor(scores, dtype=torch.float64).reshape(x.shape[:-1])


def pesq_mode(rate: int, mode: str = "") -> str:
    """The mode of PESQ at a rate; raises ConfigError where there is none, or not this one."""
    if rate not in PESQ_MODES:
        raise ConfigError(
            f"PESQ at {rate} Hz: it is defined at 8000 (narrow band) and 16000 (wide band); resample prediction and "
            "target to one of them, or leave pesq out"
        )
    if mode == "wb" and rate != 16_000:
        raise ConfigError(f"PESQ of the wide band at {rate} Hz: it is defined at 16000; take pesq_nb, or leave it out")
    return mode or PESQ_MODES[rate]


def stoi(prediction: Tensor, target: Tensor, rate: int) -> Tensor:
    """Intelligibility of speech, at most 1. Taal et al. 2011, IEEE Trans. Audio, Speech and
    Language Processing 19(7).

    Raises:
        ConfigError: the package `pystoi` (extra `speech`) is not installed.
        DataError: different shapes, a silent target, or one with less than .41 seconds of
            speech.
    """
    require("torchmetrics", "pystoi")
    from torchmetrics.functional.audio.stoi import short_time_objective_intelligibility

    x, reference = checked(prediction, target, math.ceil(0.41 * rate))
    not_silent(reference, "target", "there is no speech in it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # in the place of a score of 1e-5
            return short_time_objective_intelligibility(x, reference, rate).double()
    except RuntimeWarning as error:
        reason = "less than .41 seconds of a target are within 40 dB of its loudest part"
        raise DataError(f"STOI cannot measure a recording ({reason}); leave it out, or leave out stoi") from error


def f0_error(prediction: Tensor, target: Tensor, rate: int) -> Tensor:
    """RMSE of f0 in cents, over the frames that are voiced in both recordings.

    Raises:
        ConfigError: a rate outside of `world.RATES`, or the package `pyworld` (extra
            `speech-compiled`) is not installed.
        DataError: different shapes, less than a quarter of a second, or no frame voiced in
            both.
    """

    def error(f: Tensor, reference: Tensor) -> float:
        both = (f > 0) & (reference > 0)
        if not both.any():
            raise DataError(
                "no frame is voiced in both recordings, and f0 can be compared in none; leave the recording out, or leave out "
                "f0_error"
            )
        return float((1200 * (f[both] / reference[both]).log2()).square().mean().sqrt())

    return _by_pitch(prediction, target, rate, error)


def voicing_error(prediction: Tensor, target: Tensor, rate: int) -> Tensor:
    """Share of frames that are voiced in one recording and unvoiced in the other (V/UV error).
    Raises as `f0_error`, except for unvoiced recordings."""
    return _by_pitch(prediction, target, rate, lambda f, g: float(((f > 0) != (g > 0)).double().mean()))


def _by_pitch(prediction: Tensor, target: Tensor, rate: int, error: Callable[[Tensor, Tensor], float]) -> Tensor:
    pair = _for_world(prediction, target, rate)
    rows = zip(*(x.reshape(-1, x.shape[-1]) for x in pair), strict=True)
    errors = [error(*(world.pitch_of(x, rate) for x in row)) for row in rows]
    return torch.tensor(errors, dtype=torch.float64).reshape(pair[0].shape[:-1])


def world_mel_cepstral_distortion(prediction: Tensor, target: Tensor, rate: int, dtw: bool = False) -> Tensor:
    """Mel-cepstral distortion (MCD), dB, from the mel-cepstra of WORLD's spectral envelopes, as in
    the literature on vocoders and voice conversion. Not comparable with
    `mel_cepstral_distortion`, which uses other cepstra.

    Args:
        dtw: align the frames by dynamic time warping first; the recordings may then differ in
            length.

    Raises:
        ConfigError: as `f0_error`.
        DataError: different shapes, less than a quarter of a second, or a silent recording.
    """
    pair = _for_world(prediction, target, rate, same_length=not dtw)
    distances = []
    for row in zip(*(x.reshape(-1, x.shape[-1]) for x in pair), strict=True):
        c, d = (world.cepstra_of(x, rate)[1:] for x in row)  # (24, frames)
        if dtw:
            c, d = aligned(c, d)
        distances.append(10 / math.log(10) * (2 * (c - d).square().sum(0)).sqrt().mean())
    return torch.stack(distances).reshape(pair[0].shape[:-1])


def _for_world(prediction: Tensor, target: Tensor, rate: int, same_length: bool = True) -> tuple[Tensor, Tensor]:
    world.check_rate(rate)
    pair = checked(prediction, target, math.ceil(SHORTEST * rate), same_length)
    not_silent(pair[0], "prediction", "has no pitch")
    not_silent(pair[1], "target", "has no pitch")
    return pair


def aligned(c: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """Two sequences of cepstra (C, frames) along their dynamic time warping path: (C, steps)
    each."""
    first, second = path_between(c, d).flip(0).unbind(1)
    return c[:, first], d[:, second]


def path_between(c: Tensor, d: Tensor) -> Tensor:
    """The dynamic time warping path of two sequences (C, frames), from their first frames to their
    last: (steps, 2), frames of c and of d; steps (1,1), (0,1), (1,0), Euclidean distance."""
    from librosa.sequence import dtw

    _, path = dtw(c.cpu().numpy(), d.cpu().numpy(), metric="euclidean")
    return torch.from_numpy(path[::-1].copy()).long()


def speaker_similarity(prediction: Tensor, target: Tensor, rate: int) -> Tensor:
    """Cosine similarity of speaker embeddings (`multigen.audio.speakers`): 1 for equal recordings,
    about .8 for two sentences of one speaker. The recordings may differ in length.

    Raises:
        ConfigError: a rate other than 16,000 Hz, or the package `resemblyzer` is not installed.
        DataError: less than a quarter of a second, or a silent recording.
    """
    check_rate("speaker_similarity", "the speaker encoder", rate, (WIDE,))
    pair = checked(prediction, target, math.ceil(SHORTEST * rate), same_length=False)
    encoder, embeddings = speaker_encoder(), []
    for name, x in zip(("prediction", "target"), pair, strict=True):
        not_silent(x, name, "nobody speaks in it")
        embeddings.append(torch.stack([encoder.embed(row) for row in x.reshape(-1, x.shape[-1])]))
    return (embeddings[0] * embeddings[1]).sum(1).double().reshape(pair[0].shape[:-1])


# -------------------------------------------------------------------------------------------- without a reference

DNSMOS_SECONDS = 9.01
DNSMOS_MODELS = {
    "p835": ("sig_bak_ovr.onnx", "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd"),
    "p808": ("model_v8.onnx", "9246480c58567bc6affd4200938e77eef49468c8bc7ed3776d109c07456f6e91"),
}
DNSMOS_SCALES = {
    "sig": (-0.08397278, 1.22083953, 0.0052439),
    "bak": (-0.13166888, 1.60915514, -0.39604546),
    "ovrl": (-0.06766283, 1.11546468, 0.04602535),
}
"""Polynomials that map the network's outputs to mean opinion scores, in its order, the highest
power first."""


def dnsmos(sound: Tensor, rate: int, which: str = "ovrl") -> Tensor:
    """Predicted mean opinion score (DNSMOS), 1 to 5, of noisy or processed speech. Reddy et al.
    2022, "DNSMOS P.835", arXiv:2110.01763.

    Args:
        which: "ovrl" (overall), "sig" (the speech), "bak" (the background), or "p808" (overall,
            another network).

    Raises:
        ConfigError: a rate other than 16,000 Hz, or a package (extra `speech`) is not installed.
        DataError: less than a quarter of a second, or a silent recording.
    """
    x = _unreferenced(sound, rate, "dnsmos" if which == "ovrl" else f"dnsmos_{which}", "DNSMOS")
    size, scores = int(DNSMOS_SECONDS * rate), []
    session = _dnsmos_session("p808" if which == "p808" else "p835")
    for row in x.reshape(-1, x.shape[-1]).clamp(-1, 1).numpy():
        while len(row) < size:
            row = np.append(row, row)
        hops = max(int(len(row) // rate - DNSMOS_SECONDS) + 1, 1)
        parts = [row[at * rate : at * rate + size].astype(np.float32) for at in range(hops)]
        scores.append(np.mean([_dnsmos_of(session, part, which) for part in parts if len(part) == size]))
    return torch.tensor(scores, dtype=torch.float64).reshape(x.shape[:-1])


def _dnsmos_of(session, part: np.ndarray, which: str) -> float:
    if which == "p808":
        import librosa

        power = librosa.feature.melspectrogram(y=part[:-160], sr=WIDE, n_fft=321, hop_length=160, n_mels=120)
        scaled = (librosa.power_to_db(power, ref=np.max) + 40) / 40
        return float(session.run(None, {"input_1": scaled.T[None].astype(np.float32)})[0][0][0])
    raw = session.run(None, {"input_1": part[None]})[0][0][list(DNSMOS_SCALES).index(which)]
    return float(np.polyval(DNSMOS_SCALES[which], raw))


@functools.lru_cache(maxsize=2)
def _dnsmos_session(which: str):
    require("onnxruntime")
    import onnxruntime

    file, sha256 = DNSMOS_MODELS[which]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # which takes processors from others
    model = packaged("speechmos", f"speechmos/dnsmos_models/{file}", sha256).getvalue()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


DISTILLMOS_SHA256 = "b18b3ac60227267cfb91e5d00ce22cc7b73716fd92f269484da1446e27031a40"


def distillmos(sound: Tensor, rate: int) -> Tensor:
    """Predicted mean opinion score, 1 to 5, of speech. Stahl and Gamper 2025, "Distillation and
    pruning for scalable self-supervised representation-based speech quality assessment",
    arXiv:2502.05356. Raises as `dnsmos`."""
    x = _unreferenced(sound, rate, "distillmos", "DistillMOS")
    with torch.no_grad():
        scores = [_distillmos_model()(row[None].float()) for row in x.reshape(-1, x.shape[-1])]
    return torch.stack(scores).double().reshape(x.shape[:-1])


@functools.lru_cache(maxsize=1)
def _distillmos_model() -> torch.nn.Module:
    require("distillmos")
    import distillmos  # pyright: ignore[reportMissingImports]

    network = distillmos.ConvTransformerSQAModel(load_weights=False)
    weights = packaged("distillmos", "distillmos/weights/distill_mos_v7.pt", DISTILLMOS_SHA256)
    network.load_state_dict(torch.load(weights, "cpu", weights_only=True)["model"])
    return network.eval()


def _unreferenced(sound: Tensor, rate: int, metric: str, name: str) -> Tensor:
    check_rate(metric, name, rate, (WIDE,))
    x = checked_one(sound, "prediction", math.ceil(SHORTEST * rate)).cpu()
    not_silent(x, "prediction", "nobody speaks in it")
    return x
