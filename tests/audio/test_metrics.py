import math
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

import multigen.audio.metrics
import multigen.audio.spectral
from multigen.audio.metrics import (
    DEFINITIONS,
    METRICS,
    SoundScores,
    log_spectral_distance,
    mel_cepstral_distortion,
    multi_resolution_stft,
    pesq,
    si_sdr,
    snr,
    stoi,
)
from multigen.errors import ConfigError, DataError

QUICK = ("lsd", "multi_stft", "mcd", "si_sdr", "snr")


def pair(count: int = 1, rate: int = 8000, seconds: float = 1.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Something like speech, a voiced tone in syllables with breath, and a noisy copy: float64
    (count, T)."""
    draw = torch.Generator().manual_seed(seed)
    t = torch.arange(int(rate * seconds)).double() / rate
    pitch = 90 + 80 * torch.rand(count, 1, generator=draw).double()
    voice = torch.stack([(2 * math.pi * k * pitch * t).sin() / k for k in range(1, 20)]).sum(dim=0)
    syllables = (2 * math.pi * 3 * t).sin().clamp(min=0)
    target = 0.2 * syllables * (voice + 0.3 * torch.randn(count, len(t), generator=draw).double())
    return target + 0.03 * torch.randn(count, len(t), generator=draw).double(), target


def one(seconds: float = 0.5, rate: int = 8000, seed: int = 0) -> tuple[Tensor, Tensor]:
    prediction, target = pair(1, rate, seconds, seed)
    return prediction[0], target[0]


def power(x: Tensor, size: int, hop: int) -> np.ndarray:
    """Power spectra of periodic Hann windows with mirrored edges, in numpy alone: (T,) -> (size //
    2 + 1, frames)."""
    padded = np.pad(x.numpy(), size // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    return np.abs(np.fft.rfft(frames * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)))).T ** 2


def cepstra(x: Tensor, rate: int, size: int) -> np.ndarray:
    """c_1..c_13 from librosa's mel bands and scipy's cosine transform: (T,) -> (13, frames)."""
    import librosa.filters
    from scipy.fft import dct

    mel = librosa.filters.mel(sr=rate, n_fft=size, n_mels=40) @ power(x, size, size // 4)
    return np.asarray(dct(np.log(np.maximum(mel, 1e-10)), axis=0))[1:14] / (
        2 * 40
    )  # scipy's transform is twice the sum


def test_log_spectral_distance_agrees_with_numpy():
    prediction, target = one()
    p, q = (np.log10(power(x, 2048, 512) + 1e-8) for x in (prediction, target))
    expected = np.sqrt(((p - q) ** 2).mean(axis=0)).mean()
    assert expected > 0.3
    assert log_spectral_distance(prediction, target).item() == pytest.approx(expected, abs=1e-9)


def test_log_spectral_distance_of_a_gain_is_the_gain():
    _, target = one()
    loud = target + 0.1 * torch.randn(target.shape, generator=torch.Generator().manual_seed(1))  # far above eps
    assert log_spectral_distance(loud * math.sqrt(10), loud).item() == pytest.approx(1, abs=1e-3)


def test_multi_resolution_stft_agrees_with_auraloss():
    freq = pytest.importorskip("auraloss.freq")
    prediction, target = pair(2)
    ours = multi_resolution_stft(prediction, target)
    loss = freq.MultiResolutionSTFTLoss(
        [1024, 2048, 512], [120, 240, 50], [600, 1200, 240], w_sc=1.0, w_log_mag=1.0, w_lin_mag=0.0, w_phs=0.0
    )
    for x, y, value in zip(prediction, target, ours, strict=True):  # its spectral convergence is of a whole batch
        assert value.item() == pytest.approx(loss(x.float()[None, None], y.float()[None, None]).item(), abs=1e-4)


def test_multi_resolution_stft_of_a_gain_in_closed_form():
    loud = torch.randn(4000, generator=torch.Generator().manual_seed(0)).double()
    assert multi_resolution_stft(2 * loud, loud).item() == pytest.approx(1 + math.log(2), abs=1e-3)


@pytest.mark.parametrize(("rate", "size"), [(8_000, 256), (16_000, 512), (22_050, 512), (44_100, 1024)])
def test_mel_cepstral_distortion_agrees_with_librosa_and_scipy(rate: int, size: int):
    prediction, target = one(rate=rate)
    squares = (cepstra(prediction, rate, size) - cepstra(target, rate, size)) ** 2
    expected = 10 / math.log(10) * np.sqrt(2 * squares.sum(axis=0)).mean()
    assert expected > 1
    assert mel_cepstral_distortion(prediction, target, rate).item() == pytest.approx(expected, rel=1e-5)


def test_mel_cepstral_distortion_leaves_out_loudness():
    loud = torch.randn(4000, generator=torch.Generator().manual_seed(0)).double()
    assert mel_cepstral_distortion(3 * loud, loud, 8000).item() == pytest.approx(0, abs=1e-5)


def test_mel_cepstral_distortion_is_in_decibels(monkeypatch: pytest.MonkeyPatch):
    """Envelopes that differ by a cosine of 6 dB over the mel bands differ by 6 / sqrt(2) dB in the
    root mean square."""
    cosine = torch.cos(math.pi / 40 * 3 * (torch.arange(40).double() + 0.5))
    bands = iter([10 ** (0.6 * cosine), torch.ones(40).double()])  # powers
    monkeypatch.setattr(multigen.audio.spectral, "mel_spectrogram", lambda *_: next(bands)[:, None].expand(40, 7))
    distance = mel_cepstral_distortion(torch.zeros(400), torch.zeros(400), 8000)
    assert distance.item() == pytest.approx(6 / math.sqrt(2), rel=1e-6)


@pytest.mark.slow  # numba compiles librosa's path search when it first runs
def test_warping_undoes_a_pause():
    from librosa.sequence import dtw

    _, target = one(rate=16_000)
    hop = 512 // 4
    late = torch.cat([torch.zeros(10 * hop).double(), target])
    straight = mel_cepstral_distortion(late[: len(target)], target, 16_000)
    warped = mel_cepstral_distortion(late, target, 16_000, dtw=True)
    assert warped < 0.5 * straight
    assert mel_cepstral_distortion(target, target, 16_000, dtw=True).item() == 0

    a, b = (cepstra(x, 16_000, 512) for x in (late, target))
    path = dtw(a, b, metric="euclidean")[1]
    expected = 10 / math.log(10) * np.mean([math.sqrt(2) * np.linalg.norm(a[:, i] - b[:, j]) for i, j in path])
    assert warped.item() == pytest.approx(expected, rel=1e-5)
    both = mel_cepstral_distortion(torch.stack([late, late]), torch.stack([target, target]), 16_000, dtw=True)
    assert both.tolist() == pytest.approx([warped.item()] * 2, abs=1e-9)
    assert METRICS["mcd_dtw"](late, target, 16_000) == warped


@pytest.mark.slow
def test_signal_ratios_in_closed_form():
    t = torch.arange(8000).double() / 8000
    target, error = (2 * math.pi * 100 * t).sin(), 0.1 * (2 * math.pi * 300 * t).sin()  # orthogonal
    assert snr(target + error, target).item() == pytest.approx(20, abs=1e-9)
    assert snr(2 * target, target).item() == pytest.approx(0, abs=1e-9)
    for gain in (1, 0.2, -3):
        assert si_sdr(gain * (target + error), target).item() == pytest.approx(20, abs=1e-9)


@pytest.mark.parametrize(("rate", "mode"), [(8_000, "nb"), (16_000, "wb")])
def test_pesq_agrees_with_the_package(rate: int, mode: str):
    package = pytest.importorskip("pesq")
    prediction, target = pair(2, rate, seconds=1.5)
    expected = [package.pesq(rate, y.numpy(), x.numpy(), mode) for x, y in zip(prediction, target, strict=True)]
    assert pesq(prediction, target, rate).tolist() == pytest.approx(expected, abs=1e-6)
    assert 1 < expected[0] < pesq(target[0], target[0], rate).item() < 4.7


@pytest.mark.parametrize("rate", [8_000, 10_000, 22_050])
def test_stoi_agrees_with_the_package(rate: int):
    package = pytest.importorskip("pystoi")
    prediction, target = pair(2, rate, seconds=1.5)
    expected = [package.stoi(y.numpy(), x.numpy(), rate) for x, y in zip(prediction, target, strict=True)]
    assert stoi(prediction, target, rate).tolist() == pytest.approx(expected, abs=1e-9)
    assert 0.3 < expected[0] < 0.999 and stoi(target[0], target[0], rate).item() == pytest.approx(1, abs=1e-6)


def test_speech_without_speech_is_named():
    pytest.importorskip("pesq")
    pytest.importorskip("pystoi")
    noise = torch.randn(8000, generator=torch.Generator().manual_seed(0))
    click = torch.zeros(8000)
    click[4000] = 1
    with pytest.raises(DataError, match=r"STOI cannot measure.*less than \.41 seconds"):
        stoi(noise, click, 8000)
    with pytest.raises(DataError, match="prediction: recording 0 of the batch is silent and PESQ"):
        pesq(0 * noise, noise, 8000)
    for metric in (pesq, stoi):
        with pytest.raises(DataError, match="target: recording 1 of the batch is silent and there is no speech in it"):
            metric(torch.stack([noise, noise]), torch.stack([noise, 0 * noise]), 8000)
    with pytest.raises(DataError, match="2000 samples, at least 2001 expected"):
        pesq(noise[:2000], noise[:2000], 8000)
    with pytest.raises(DataError, match="3000 samples, at least 3280 expected"):
        stoi(noise[:3000], noise[:3000], 8000)


def test_the_shortest_recordings_that_are_allowed_are_measured():
    pytest.importorskip("pesq")
    pytest.importorskip("pystoi")
    noise = torch.randn(3280, generator=torch.Generator().manual_seed(0))
    assert stoi(noise, noise, 8000).item() == pytest.approx(1, abs=1e-6)
    assert pesq(noise[:2001], noise[:2001], 8000) > 4


def test_an_error_of_the_pesq_package_is_passed_on_in_words(monkeypatch: pytest.MonkeyPatch):
    package = pytest.importorskip("pesq")

    def fails(*_: object) -> float:
        raise package.NoUtterancesError(b"No utterances detected")

    monkeypatch.setattr(package, "pesq", fails)
    with pytest.raises(DataError, match=r"PESQ cannot measure a recording \(.*No utterances detected.*leave it out"):
        pesq(*one(), 8000)


def test_pesq_knows_two_rates():
    for act in (lambda: pesq(*one(), 22_050), lambda: SoundScores(22_050, ["pesq"])):
        with pytest.raises(ConfigError, match=r"PESQ at 22050 Hz.*8000.*16000.*resample"):
            act()


@pytest.mark.parametrize(
    ("metric", "package", "command"),
    [
        ("pesq", "pesq", r"'multigen\[speech-compiled\]', which needs a C compiler"),
        ("f0_error", "pyworld", r"'multigen\[speech-compiled\]', which needs a C compiler"),
        ("stoi", "pystoi", r"'multigen\[speech\]'"),
        ("si_sdr", "torchmetrics", r"'multigen\[speech\]'"),
        ("snr", "torchmetrics", r"'multigen\[speech\]'"),
    ],
)
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, metric: str, package: str, command: str):
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"package {package} is not installed; pip install {command}"
    with pytest.raises(ConfigError, match=message):
        METRICS[metric](*one(), 8000)
    with pytest.raises(ConfigError, match=message):
        SoundScores(8000, [metric])


@pytest.mark.parametrize("name", QUICK)
def test_a_batch_gives_each_recording_its_own_value(name: str):
    prediction, target = pair(3)
    together = METRICS[name](prediction, target, 8000)
    assert together.shape == (3,) and together.dtype == torch.float64
    for row in range(3):
        alone = METRICS[name](prediction[row], target[row], 8000)
        assert alone.shape == () and alone.item() == pytest.approx(together[row].item(), abs=1e-12)
    single = METRICS[name](prediction.float(), target.float(), 8000)
    torch.testing.assert_close(single, together, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ("lsd", "multi_stft", "mcd"))
def test_equal_recordings_are_at_no_distance(name: str):
    _, target = one()
    assert METRICS[name](target, target, 8000).item() == 0


def test_silence_is_at_no_distance_of_silence():
    silence = torch.zeros(4000)
    assert log_spectral_distance(silence, silence) == 0
    assert mel_cepstral_distortion(silence, silence, 8000) == 0


def test_every_metric_is_defined():
    assert set(DEFINITIONS) == set(METRICS)


def test_scores_do_not_depend_on_how_recordings_are_batched():
    prediction, target = pair(5, seconds=0.5)
    expected = {name: METRICS[name](prediction, target, 8000).mean().item() for name in QUICK}
    for sizes in ([5], [2, 3], [1, 1, 1, 1, 1]):
        scores = SoundScores(8000, QUICK)
        for p, t in zip(prediction.split(sizes), target.split(sizes), strict=True):
            scores.update(p, t)
        assert scores.compute() == pytest.approx(expected, abs=1e-12)


def test_scores_count_recordings_of_different_lengths_alike():
    scores, (long, short) = SoundScores(8000, ["snr"]), (torch.ones(9000), torch.ones(10))
    scores.update(1.1 * long.double(), long.double())  # 20 dB
    scores.update(1.01 * short.double(), short.double())  # 40 dB
    assert scores.compute() == {"snr": pytest.approx(30, abs=1e-5)}


def test_scores_are_summed_over_ranks_even_if_one_has_no_recording(monkeypatch: pytest.MonkeyPatch):
    prediction, target = pair(3, seconds=0.5)
    here, there, idle, last, whole = (SoundScores(8000) for _ in range(5))
    here.update(prediction[:2], target[:2])
    for scores in (there, last):
        scores.update(prediction[2:], target[2:])
    whole.update(prediction, target)
    expected, expected_of_last = whole.compute(), last.compute()
    monkeypatch.setattr(multigen.audio.metrics, "all_sum", lambda x: x + there.totals)
    assert here.compute() == pytest.approx(expected, abs=1e-12)
    assert idle.compute() == pytest.approx(expected_of_last, abs=1e-12)


def test_wrong_scores_are_named():
    with pytest.raises(ConfigError, match="unknown sound metrics psnr; choose from lsd"):
        SoundScores(8000, ["lsd", "psnr"])
    with pytest.raises(DataError, match="no recording was scored"):
        SoundScores(8000).compute()
    with pytest.raises(ConfigError, match="100 Hz, expected 4000 or more"):
        mel_cepstral_distortion(*one(), 100)


@pytest.mark.parametrize("name", QUICK)
def test_wrong_recordings_are_named(name: str):
    def measure(prediction: Tensor, target: Tensor) -> Tensor:
        return METRICS[name](prediction, target, 8000)

    sound, broken = torch.rand(2, 4000), torch.rand(2, 4000)
    broken[1, 7] = math.nan
    with pytest.raises(DataError, match="prediction: a sample is not a finite number"):
        measure(broken, sound)
    with pytest.raises(DataError, match="target: a sample is not a finite number"):
        measure(sound, sound / 0)
    with pytest.raises(DataError, match=r"prediction \(2, 3999\) and target \(2, 4000\) differ in shape; cut both"):
        measure(sound[:, :-1], sound)
    with pytest.raises(DataError, match=r"differ in shape"):
        measure(sound[0], sound)
    with pytest.raises(DataError, match=r"prediction: floats.*torch.int16 \(2, 4000\)"):
        measure(sound.short(), sound)
    with pytest.raises(DataError, match=r"target: floats.*\(2, 1, 4000\); mix it"):
        measure(sound, sound[:, None])
    with pytest.raises(DataError, match="prediction: 0 samples, at least"):
        measure(sound[:, :0], sound[:, :0])


@pytest.mark.parametrize(("name", "least"), [("lsd", 1025), ("multi_stft", 1025), ("mcd", 129)])
def test_recordings_too_short_for_the_analysis_are_named(name: str, least: int):
    sound = torch.rand(least)
    assert METRICS[name](sound, sound, 8000) == 0
    with pytest.raises(DataError, match=f"prediction: {least - 1} samples, at least {least} expected"):
        METRICS[name](sound[1:], sound[1:], 8000)


@pytest.mark.parametrize("name", ["multi_stft", "si_sdr", "snr"])
def test_a_silent_target_is_named_where_the_figure_is_undefined(name: str):
    sound = torch.rand(3, 4000)
    silent = sound.clone()
    silent[1] = 0
    with pytest.raises(DataError, match="target: recording 1 of the batch is silent"):
        METRICS[name](sound, silent, 8000)


def test_a_silent_prediction_has_no_scale():
    with pytest.raises(DataError, match="prediction: recording 0 of the batch is silent"):
        si_sdr(torch.zeros(4000), torch.rand(4000))
    assert snr(torch.zeros(4000), torch.rand(4000)).item() == pytest.approx(0, abs=1e-9)


@pytest.mark.data
def test_resampling_loses_as_much_as_others_measured(data_root):
    """Sentences brought to 8 kHz and back, by a sharp filter: LSD 3.07; the blunter a filter, the
    lower."""
    import soundfile
    from torchaudio.functional import resample

    scores = SoundScores(16_000, ["lsd"])
    for path in sorted((data_root / "audio" / "vcc2016" / "eval").rglob("*.flac")):
        target = torch.from_numpy(soundfile.read(path)[0])
        low = resample(target, 2, 1, lowpass_filter_width=64)
        scores.update(resample(low, 1, 2, lowpass_filter_width=64)[: len(target)], target)
    assert scores.compute() == {"lsd": pytest.approx(3.07, abs=0.02)}
