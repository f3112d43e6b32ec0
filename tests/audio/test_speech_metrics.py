"""Metrics of speech, against the packages that define them and cases whose values are known."""

import importlib
import sys
import types
from importlib import metadata

import pytest
import torch
from torch import Tensor

from multigen.audio import world
from multigen.audio.checks import packaged, require
from multigen.audio.metrics import (
    DEFINITIONS,
    METRICS,
    SoundScores,
    distillmos,
    dnsmos,
    f0_error,
    pesq,
    speaker_similarity,
    voicing_error,
    world_mel_cepstral_distortion,
)
from multigen.audio.speakers import speaker_encoder
from multigen.audio.voice import SPEAKERS, Utterance, utterance
from multigen.errors import CheckpointError, ConfigError, DataError

RATE = 16_000
BY_WORLD = ("f0_error", "voicing_error", "mcd_world", "mcd_world_dtw")
WIDE_ONLY = ("dnsmos", "dnsmos_sig", "dnsmos_bak", "dnsmos_p808", "distillmos", "speaker_similarity")


def has(package: str) -> None:
    """Skips the test where a package is missing, by name."""
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        pytest.importorskip(package)


def needs(metric: str) -> None:
    for package in {
        **dict.fromkeys(BY_WORLD, ("pyworld",)),
        **dict.fromkeys(WIDE_ONLY[:4], ("speechmos", "onnxruntime")),
        "distillmos": ("distillmos",),
        "speaker_similarity": ("resemblyzer",),
    }[metric]:
        has(package)


@pytest.fixture(scope="module")
def spoken() -> Utterance:
    return utterance("F1", 3)


@pytest.fixture(scope="module")
def sound(spoken: Utterance) -> Tensor:
    return spoken.sound


def noisy(sound: Tensor, level: float) -> Tensor:
    return sound + level * torch.randn(sound.shape, generator=torch.Generator().manual_seed(0))


# ------------------------------------------------------------------------------------------------------------ WORLD


def test_the_pitch_is_the_one_that_was_spoken(spoken: Utterance) -> None:
    has("pyworld")
    result = world.pitch_of(spoken.sound.double(), RATE)[: len(spoken.pitch)]
    both = (result > 0) & (spoken.pitch > 0)
    assert both.double().mean() > 0.5
    assert (1200 * (result[both] / spoken.pitch[both]).log2()).abs().median() < 10


def test_a_higher_voice_is_as_many_cents_away(spoken: Utterance) -> None:
    """The same sentence by the same speaker, two semitones up: 200 cents."""
    has("pyworld")
    higher = utterance(SPEAKERS["F1"]._replace(pitch=SPEAKERS["F1"].pitch * 2 ** (2 / 12)), 3)
    assert f0_error(higher.sound, spoken.sound, RATE).item() == pytest.approx(200, abs=15)
    assert voicing_error(higher.sound, spoken.sound, RATE) < 0.05
    assert f0_error(spoken.sound, spoken.sound, RATE) == voicing_error(spoken.sound, spoken.sound, RATE) == 0


def test_what_is_voiced_in_one_alone_is_an_error(sound: Tensor) -> None:
    has("pyworld")
    half = torch.cat([sound[: len(sound) // 2], torch.zeros(len(sound) - len(sound) // 2)])
    voiced = (world.pitch_of(sound.double(), RATE) > 0).double()
    share = float(voiced[len(voiced) // 2 :].sum() / len(voiced))
    assert voicing_error(half, sound, RATE).item() == pytest.approx(share, abs=0.03)


def test_recordings_without_a_voiced_frame_in_common_are_named(sound: Tensor) -> None:
    has("pyworld")
    parts = torch.zeros(2, len(sound))
    parts[0, : len(sound) // 2], parts[1, len(sound) // 2 :] = sound[: len(sound) // 2], sound[len(sound) // 2 :]
    parts[:, len(sound) // 2 - 2_000 : len(sound) // 2 + 2_000] = 0
    with pytest.raises(DataError, match=r"no frame is voiced in both recordings.*leave out f0_error"):
        f0_error(parts[0], parts[1], RATE)


def test_mel_cepstra_are_those_of_the_envelope(sound: Tensor) -> None:
    """The sum of c_m cos(m w~), w~ being the warped frequency, is the logarithm of the smoothed
    envelope."""
    has("pyworld")
    pyworld, x = importlib.import_module("pyworld"), sound.double().numpy()
    pitch, times = pyworld.dio(x, RATE, f0_floor=60, f0_ceil=800, frame_period=5.0)
    envelope = torch.from_numpy(
        pyworld.cheaptrick(x, pyworld.stonemask(x, pitch, times, RATE), times, RATE, f0_floor=60)
    )
    cepstra, alpha = world.cepstra_of(sound.double(), RATE), world.alpha_of(RATE)
    omega = torch.linspace(0, torch.pi, envelope.shape[1], dtype=torch.float64)
    warped = omega + 2 * torch.atan(alpha * omega.sin() / (1 - alpha * omega.cos()))
    smooth = torch.cos(warped[:, None] * torch.arange(25)) @ cepstra  # (F, frames)
    loud = envelope.mean(1) > envelope.mean(1).max() / 1000
    error = (smooth.T - envelope.log() / 2)[loud]
    assert cepstra.shape == (25, len(envelope)) and error.square().mean().sqrt() < 0.6
    assert error.mean().abs() < 0.05


@pytest.mark.parametrize(("rate", "alpha"), [(8_000, 0.312), (16_000, 0.41), (22_050, 0.455), (48_000, 0.554)])
def test_the_warping_is_the_one_of_sptk(rate: int, alpha: float) -> None:
    assert world.alpha_of(rate) == pytest.approx(alpha, abs=0.002)


def test_loudness_is_no_distortion_and_another_voice_is(sound: Tensor) -> None:
    has("pyworld")
    assert world_mel_cepstral_distortion(sound, sound, RATE) == 0
    assert world_mel_cepstral_distortion(sound / 2, sound, RATE) < 0.05
    slow = utterance(SPEAKERS["F1"]._replace(tempo=0.8), 3).sound
    other = utterance(SPEAKERS["M2"]._replace(tempo=0.8), 3).sound
    same, different = (world_mel_cepstral_distortion(x, sound, RATE, dtw=True) for x in (slow, other))
    assert 0 < same < 0.75 * different


# ---------------------------------------------------------------------------------------------- PESQ's two bands


def test_pesq_of_the_narrow_band_at_both_rates(sound: Tensor) -> None:
    package = pytest.importorskip("pesq")
    prediction = noisy(sound, 0.02)
    expected = package.pesq(RATE, sound.double().numpy(), prediction.double().numpy(), "nb")
    assert METRICS["pesq_nb"](prediction, sound, RATE).item() == pytest.approx(expected, abs=1e-6)
    assert (
        pesq(prediction, sound, RATE, "wb")
        == METRICS["pesq"](prediction, sound, RATE)
        != pytest.approx(expected, abs=0.01)
    )
    for act in (lambda: METRICS["pesq_wb"](sound, sound, 8_000), lambda: SoundScores(8_000, ["pesq_wb"])):
        with pytest.raises(ConfigError, match="PESQ of the wide band at 8000 Hz: it is defined at 16000; take pesq_nb"):
            act()


# ---------------------------------------------------------------------------------------------- voices and opinions


def test_the_encoder_agrees_with_the_package(monkeypatch: pytest.MonkeyPatch, sound: Tensor) -> None:
    has("resemblyzer")
    for name in ("webrtcvad", "scipy.ndimage.morphology"):  # it asks for them to cut pauses out, which is not done here
        module = types.ModuleType(name)
        module.__dict__["binary_dilation"] = None
        monkeypatch.setitem(sys.modules, name, module)
    voice_encoder = importlib.import_module("resemblyzer.voice_encoder")
    audio = importlib.import_module("resemblyzer.audio")
    theirs = voice_encoder.VoiceEncoder("cpu", verbose=False)
    for x in (sound, sound[:8_000], torch.cat([sound, sound, sound]), sound / 100):
        expected = torch.from_numpy(theirs.embed_utterance(audio.normalize_volume(x.numpy(), -30, increase_only=True)))
        torch.testing.assert_close(speaker_encoder().embed(x), expected, rtol=0, atol=1e-4)


def test_one_voice_is_more_like_itself_than_another(sound: Tensor) -> None:
    has("resemblyzer")
    again, other = (utterance(name, 5).sound for name in ("F1", "M2"))
    same, different = (speaker_similarity(x, sound, RATE) for x in (again, other))
    assert speaker_similarity(sound, sound, RATE).item() == pytest.approx(1, abs=1e-5)
    assert same > different + 0.05


def test_dnsmos_agrees_with_the_package(sound: Tensor) -> None:
    has("speechmos")
    package = pytest.importorskip("speechmos.dnsmos")
    expected = package.run(sound.numpy(), sr=RATE)  # repeated to 9.01 s
    for ours, theirs in (("ovrl", "ovrl_mos"), ("sig", "sig_mos"), ("bak", "bak_mos"), ("p808", "p808_mos")):
        assert dnsmos(sound, RATE, ours).item() == pytest.approx(float(expected[theirs]), abs=1e-4)
    long = noisy(torch.cat([sound] * 6), 0.01).clamp(-1, 1)[: round(10.5 * RATE)]  # two windows
    assert dnsmos(long, RATE).item() == pytest.approx(float(package.run(long.numpy(), sr=RATE)["ovrl_mos"]), abs=1e-4)


def test_distillmos_agrees_with_the_package(sound: Tensor, capsys: pytest.CaptureFixture[str]) -> None:
    package = pytest.importorskip("distillmos")
    ours = distillmos(torch.stack([sound, noisy(sound, 0.05)]), RATE)
    assert capsys.readouterr().out == ""
    theirs = package.ConvTransformerSQAModel().eval()
    with torch.no_grad():
        assert ours[0].item() == pytest.approx(theirs(sound[None]).item(), abs=1e-5)
    assert ((ours >= 1) & (ours <= 5)).all() and ours[0] != ours[1]


# ------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize("metric", (*BY_WORLD, *WIDE_ONLY))
def test_silence_and_short_recordings_are_named(metric: str) -> None:
    needs(metric)
    silence, noise = torch.zeros(RATE), torch.randn(RATE, generator=torch.Generator().manual_seed(0)) / 10
    with pytest.raises(DataError, match="prediction: recording 0 of the batch is silent and"):
        METRICS[metric](silence, noise, RATE)
    with pytest.raises(DataError, match="prediction: 3999 samples, at least 4000 expected"):
        METRICS[metric](noise[:3_999], noise[:3_999], RATE)
    if metric in (*BY_WORLD, "speaker_similarity"):
        with pytest.raises(DataError, match="target: recording 0 of the batch is silent and"):
            METRICS[metric](noise, silence, RATE)
    with pytest.raises(DataError, match="prediction: a sample is not a finite number"):
        METRICS[metric](noise * float("nan"), noise, RATE)


@pytest.mark.parametrize("metric", WIDE_ONLY)
def test_another_rate_is_named(metric: str, sound: Tensor) -> None:
    needs(metric)
    for act in (lambda: METRICS[metric](sound, sound, 8_000), lambda: SoundScores(8_000, [metric])):
        with pytest.raises(ConfigError, match=rf"at 8000 Hz: it is defined at 16000; .*leave {metric} out"):
            act()


@pytest.mark.parametrize("metric", BY_WORLD)
def test_a_rate_without_an_analysis_is_named(metric: str, sound: Tensor) -> None:
    has("pyworld")
    for act in (lambda: METRICS[metric](sound, sound, 4_000), lambda: SoundScores(4_000, [metric])):
        with pytest.raises(ConfigError, match="at 4000 Hz, expected 8000 to 48000; resample"):
            act()


@pytest.mark.parametrize("metric", ("f0_error", "mcd_world", "speaker_similarity"))
def test_a_batch_gives_each_recording_its_own_value(metric: str, sound: Tensor) -> None:
    needs(metric)
    prediction, target = torch.stack([sound, noisy(sound, 0.01)]), torch.stack([sound, sound])
    together = METRICS[metric](prediction, target, RATE)
    assert together.shape == (2,) and together.dtype == torch.float64
    assert METRICS[metric](prediction[1], target[1], RATE).item() == pytest.approx(together[1].item(), abs=1e-6)
    assert METRICS[metric](prediction[1], target[1], RATE).shape == ()


@pytest.mark.parametrize("package", ["resemblyzer", "speechmos"])
def test_weights_whose_package_is_missing_are_named(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    def missing(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr("multigen.audio.checks.metadata.distribution", missing)
    how = "--no-deps resemblyzer" if package == "resemblyzer" else r"'multigen\[speech\]'"
    with pytest.raises(ConfigError, match=rf"the package {package} is not installed; pip install {how}"):
        packaged(package, "weights.pt", "")


def test_other_weights_than_the_known_ones_are_refused() -> None:
    with pytest.raises(
        CheckpointError, match="not the weights that this version knows, by their SHA-256; reinstall torch"
    ):
        packaged("torch", "torch/version.py", "0" * 64)


def test_a_package_that_lacks_another_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> None:
        raise ModuleNotFoundError("No module named 'pkg_resources'", name="pkg_resources")

    monkeypatch.setattr("multigen.audio.checks.importlib.import_module", fails)
    with pytest.raises(
        ConfigError, match=r"pyworld cannot be imported \(No module named 'pkg_resources'\); pip install"
    ):
        require("pyworld")


def test_every_metric_of_speech_is_defined() -> None:
    assert {*BY_WORLD, *WIDE_ONLY, "pesq_nb", "pesq_wb"} <= set(DEFINITIONS)
