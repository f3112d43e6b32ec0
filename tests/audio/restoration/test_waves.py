"""Ready objects of sounds to sounds: the low band, parts and the whole, lengths, rates, channels,
export."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from torch import Tensor

from multigen.audio.files import write_sound
from multigen.audio.networks.amplitude_phase import AmplitudePhaseGenerator
from multigen.audio.rates import resample
from multigen.audio.restoration import enhance as enhancing
from multigen.audio.restoration import extend as extending
from multigen.audio.restoration.degradations import narrowed
from multigen.audio.restoration.enhance import EnhanceTrainer
from multigen.audio.restoration.extend import ExtendTrainer
from multigen.audio.restoration.vocoder import PRESETS, Generator, VocoderTrainer
from multigen.audio.restoration.waves import CROSSOVER, Extender, WaveRestorer
from multigen.audio.sound_to_sound import SoundRestorer
from multigen.audio.voice import utterance
from multigen.audio.writing import restore_file
from multigen.engine import Run
from multigen.errors import CheckpointError, ConfigError, DataError
from multigen.tasks.restoration.base import RestorationTrainer
from multigen.tasks.restoration.blending import blend
from multigen.tasks.restoration.same import check_start
from tests import tiny

RATE = 8_000


@pytest.fixture(scope="module")
def network() -> AmplitudePhaseGenerator:
    """One that changes a lot."""
    torch.manual_seed(0)
    network = AmplitudePhaseGenerator(RATE, 8, 1, fills=True).eval()
    for layer in (network.write_amplitude, network.write_phase):
        torch.nn.init.normal_(layer.weight, std=0.1)
    with torch.no_grad():
        network.write_amplitude.bias[66:].add_(2.4)  # much is added above 2 kHz
    return network


@pytest.fixture(scope="module")
def sentence() -> Tensor:
    return utterance("F1", 3, RATE).sound


@pytest.fixture(scope="module")
def narrow(sentence: Tensor) -> Tensor:
    return narrowed(sentence, RATE, 2_000)


def chunks(sound: Tensor, *sizes: int) -> Iterator[Tensor]:
    """(C, T) in chunks of these sizes in turn."""
    at, i = 0, 0
    while at < sound.shape[1]:
        size = sizes[i % len(sizes)]
        yield sound[:, at : at + size]
        at, i = at + size, i + 1


def band(x: Tensor, low: float, high: float) -> Tensor:
    """What of a sound, faded in and out, lies between two frequencies."""
    faded = x.double() * torch.hann_window(x.shape[-1], dtype=torch.float64)
    spectrum, frequency = torch.fft.rfft(faded), torch.fft.rfftfreq(x.shape[-1], 1 / RATE)
    return torch.fft.irfft(spectrum * ((frequency >= low) & (frequency < high)), n=x.shape[-1])


def decibels(x: Tensor, reference: Tensor) -> float:
    return float(10 * torch.log10(x.double().square().sum() / reference.double().square().sum()))


def test_below_the_bandwidth_a_sound_comes_out_as_it_came_in(network: AmplitudePhaseGenerator, narrow: Tensor) -> None:
    made = Extender(network, 2_000).extended(narrow[None], 2_000)[0]
    below, above = (band(made - narrow, *ends) for ends in ((0, 2_000 - CROSSOVER), (2_000, 4_000)))
    assert decibels(below, narrow) < -70 < -40 < decibels(above, narrow)


def test_the_bandwidth_is_measured(network: AmplitudePhaseGenerator, narrow: Tensor, sentence: Tensor) -> None:
    extender = Extender(network, 1_000)
    assert decibels(band(extender(narrow) - narrow, 0, 1_700), narrow) < -65
    assert decibels(band(extender(narrow) - narrow, 2_200, 4_000), narrow) > -40
    assert torch.equal(extender(sentence), sentence)  # wide already


def test_silence_stays_silence(network: AmplitudePhaseGenerator) -> None:
    silence = torch.zeros(3_000)
    assert torch.equal(Extender(network, 2_000)(silence), silence)
    assert torch.equal(Extender(network, 2_000).restore(silence, 4_000), torch.zeros(6_000))


@pytest.mark.parametrize("kind", [WaveRestorer, Extender])
@pytest.mark.parametrize("sizes", [(10_000,), (800, 37), (3_001,)])
def test_parts_are_equal_to_the_whole(
    network: AmplitudePhaseGenerator, narrow: Tensor, kind: type[WaveRestorer], sizes: tuple[int, ...]
) -> None:
    model = Extender(network, 2_000) if kind is Extender else WaveRestorer(network)
    sound = torch.stack([narrow, narrow.flip(0)])
    whole = model.extended(sound, 2_000) if isinstance(model, Extender) else model._window(sound)
    torch.testing.assert_close(torch.cat([*model.stream(chunks(sound, *sizes))], 1), whole, atol=1e-5, rtol=1e-4)


def test_a_file_in_parts_is_equal_to_the_whole(
    network: AmplitudePhaseGenerator, narrow: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Extender(network, 2_000)
    whole = model.restore(narrow)
    monkeypatch.setattr("multigen.audio.restoration.waves.PART", 900)
    torch.testing.assert_close(model.restore(narrow), whole, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(whole, model(narrow), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("rate", "out"), [(8_000, 8_000), (4_000, 8_000), (11_025, 11_025), (6_000, 8_000)])
@pytest.mark.parametrize("channels", [1, 3])
def test_sounds_of_any_rate_and_channels_keep_their_length(
    network: AmplitudePhaseGenerator, narrow: Tensor, rate: int, out: int, channels: int
) -> None:
    model = Extender(network, 2_000)
    sound = resample(narrow, RATE, rate)[:5_001].expand(channels, -1)
    made = model.restore(sound, rate)
    assert model.rate_for(rate) == out
    assert made.shape == (channels, -(-sound.shape[1] * out // rate))
    assert WaveRestorer(network).restore(sound, rate).shape == sound.shape


def test_a_recording_at_its_own_low_rate_is_extended(network: AmplitudePhaseGenerator, narrow: Tensor) -> None:
    sound = resample(narrow, RATE, 4_000)
    made = Extender(network, 1_000).restore(sound, 4_000)
    given = resample(sound, 4_000, RATE)
    assert decibels(band(made - given, 0, 1_700), given) < -60 < -40 < decibels(band(made - given, 2_100, 4_000), given)


def test_what_is_wide_comes_out_as_it_came_in(
    network: AmplitudePhaseGenerator, sentence: Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = resample(sentence, RATE, 11_025)
    wide = sound + 0.05 * torch.randn(len(sound), generator=torch.Generator().manual_seed(0))
    assert torch.equal(Extender(network, 2_000).restore(wide, 11_025), wide)
    assert "nothing is added" in "".join(capsys.readouterr())


@pytest.mark.parametrize("length", [1, 50, 128, 129])
def test_the_shortest_sounds_keep_their_length(network: AmplitudePhaseGenerator, length: int) -> None:
    sound = 0.1 * torch.randn(length, generator=torch.Generator().manual_seed(0))
    assert WaveRestorer(network).restore(sound).shape == Extender(network, 2_000).restore(sound).shape == (length,)


def test_the_latency_is_what_the_network_looks_ahead(network: AmplitudePhaseGenerator, narrow: Tensor) -> None:
    model = Extender(network, 2_000)
    given = 0

    def arriving() -> Iterator[Tensor]:
        nonlocal given
        for chunk in chunks(narrow[None], 50):
            given += chunk.shape[1]
            yield chunk

    first = next(model.stream(arriving()))
    assert model.latency == model.radius / RATE and model.radius >= network.radius + RATE // 100
    assert given - first.shape[1] <= model.latency * RATE + 50


@torch.no_grad()
def test_the_exported_graph_is_the_network(network: AmplitudePhaseGenerator) -> None:
    graph = WaveRestorer(network).graph()
    (x,) = graph.example(2, 5)
    torch.testing.assert_close(graph.network(x), network(x), atol=1e-5, rtol=1e-4)
    assert graph.shape == ("batch", "samples") and x.shape[0] == 2


def test_models_whose_networks_are_two_functions_are_neither_mixed_nor_started_from(tmp_path: Path) -> None:
    small: dict[str, Any] = {"width": 4, "data": str(tmp_path / "data")}
    enhance = EnhanceTrainer(replace(enhancing.PRESETS["tiny"], **small))
    extend = ExtendTrainer(replace(extending.PRESETS["tiny"], **small))
    a, b = tiny.untrained(tmp_path / "a", enhance), tiny.untrained(tmp_path / "b", extend)
    with pytest.raises(ConfigError, match="not of one network: fills is False in the first, True in the second"):
        blend(a, b, 0.5)
    blend(a, a, 0.5)
    with pytest.raises(CheckpointError, match="of another function: fills is False in the first, True in the second"):
        check_start(str(a), extend.generator(), RestorationTrainer)
    check_start(str(b), extend.generator(), RestorationTrainer)
    (tmp_path / "data").mkdir()
    for i in range(3):
        write_sound(tmp_path / "data" / f"{i}.wav", utterance("F1", i, RATE).sound[1_000:9_000], RATE)
    run = Run(out=str(tmp_path / "run"), start=str(b), device="cpu", precision="fp32")
    with pytest.raises(CheckpointError, match="its weights fit, but are of another function: fills"):
        EnhanceTrainer(enhance.config, run).prepare()


def models(network: AmplitudePhaseGenerator) -> list[SoundRestorer]:
    config = replace(PRESETS["tiny"], width=4)
    return [
        WaveRestorer(network),
        Extender(network, 2_000),
        VocoderTrainer(config).restorer_of(Generator(config.spec, 4, 1)),
    ]


@pytest.mark.parametrize(
    "sound",
    [torch.zeros(2, 500), torch.full((500,), torch.nan), torch.zeros(500, dtype=torch.int16), torch.zeros(0)],
    ids=["two channels", "NaN", "integers", "nothing"],
)
def test_what_is_no_sound_is_refused_wherever_it_is_passed(network: AmplitudePhaseGenerator, sound: Tensor) -> None:
    for model in models(network):
        with pytest.raises(DataError, match=r"a sound torch\..*: expected finite floats \(T,\) in -1..1"):
            model(sound)
        with pytest.raises(DataError, match=r"expected finite floats \(C, T\) in -1..1"):
            list(model.stream([torch.zeros(1, 900), sound if sound.ndim == 1 else sound[None]]))


def test_chunks_of_double_precision_are_taken(network: AmplitudePhaseGenerator, narrow: Tensor) -> None:
    for model in models(network):
        made = torch.cat([*model.stream([narrow[None].double()[:, :3_000]])], 1)
        assert made.dtype == torch.float32 and made.shape == (1, 3_000)


def test_mels_are_not_for_a_model_of_sounds(network: AmplitudePhaseGenerator, tmp_path: Path) -> None:
    model = WaveRestorer(network)
    with pytest.raises(DataError, match=r"a.npy: mels, of which a vocoder"), model.restored(tmp_path / "a.npy"):
        pass


def test_a_file_that_is_wide_already_is_named_and_known_as_untouched(
    network: AmplitudePhaseGenerator,
    sentence: Tensor,
    narrow: Tensor,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_sound(tmp_path / "wide.wav", sentence, RATE)
    write_sound(tmp_path / "narrow.wav", narrow, RATE)
    about: dict[str, Any] = {"model": "m", "method": "extend", "source": "x"}
    for name in ("wide", "narrow"):
        restore_file(Extender(network, 2_000), tmp_path / f"{name}.wav", tmp_path / f"{name}-made.wav", about=about)
    assert f"{tmp_path / 'wide.wav'}: a bandwidth of" in capsys.readouterr().err
    with (
        soundfile.SoundFile(tmp_path / "wide-made.wav") as wide,
        soundfile.SoundFile(tmp_path / "narrow-made.wav") as made,
    ):
        assert "extend" not in wide.comment and "extend" in made.comment
