"""The vocoder: where its network begins, settings, losses, a run."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

import multigen
from multigen.audio.restoration import vocoding
from multigen.audio.restoration.vocoder import PRESETS, Generator, VocoderConfig, VocoderTrainer
from multigen.audio.voice import utterance
from multigen.engine import Run
from multigen.engine.batches import Stream
from multigen.errors import ConfigError, DataError
from tests.audio.restoration.toys import RUN, untrained, vocoder
from tests.tiny import Stop

SPEC = PRESETS["tiny"].spec


def sentence(count: int = 8_000) -> torch.Tensor:
    return utterance("M1", 3, 8_000).sound[1_000 : 1_000 + count]


def value(term: Any) -> float:
    return term.item()


# -- the network ---------------------------------------------------------------------------------------------------


def test_networks_have_the_parameters_of_their_tables() -> None:
    def millions(c: VocoderConfig) -> float:
        with torch.device("meta"):
            return sum(p.numel() for p in VocoderTrainer(c).generator().parameters()) / 1e6

    assert millions(VocoderConfig()) == pytest.approx(1.75, abs=0.01)
    # the paper's 13.5 million, and a third output for each frequency: 512 * 513 more, and its bias
    assert millions(PRESETS["paper"]) == pytest.approx(13.53 + 0.26, abs=0.05)


def test_it_begins_at_the_magnitudes_of_the_pseudo_inverse() -> None:
    torch.manual_seed(0)
    network, mels = Generator(SPEC, 8, 1), SPEC(sentence())[None]
    magnitude, real, imaginary = network.parts(mels)
    torch.testing.assert_close(magnitude, SPEC.to_magnitudes(mels), rtol=1e-5, atol=0)
    length = real.square() + imaginary.square()
    assert length.max() < 1.0001 and length.median() > 0.99
    assert network(mels).shape == (1, mels.shape[2] * SPEC.hop)


def test_an_output_depends_on_no_more_than_the_stated_frames() -> None:
    torch.manual_seed(0)
    network = Generator(SPEC, 8, 2)
    mels = SPEC(sentence())[None].requires_grad_()
    magnitude, real, _ = network.parts(mels)
    (magnitude + real)[..., 40].sum().backward()
    assert mels.grad is not None
    reached = mels.grad[0].abs().sum(0).nonzero().flatten()
    assert network.backbone.radius == 9 and (int(reached.min()), int(reached.max())) == (31, 49)


@pytest.mark.parametrize("size", [90, 777, 8_000])
def test_a_stream_is_the_whole_whatever_its_chunks(size: int, tmp_path: Path) -> None:
    model = multigen.load(untrained(tmp_path))
    sound = torch.randn(2, 8_011, generator=torch.Generator().manual_seed(0)) / 10
    whole = torch.stack([model(channel) for channel in sound])
    torch.testing.assert_close(torch.cat([*model.stream(sound.split(size, 1))], 1), whole, rtol=0, atol=1e-5)
    assert model.latency == model.radius / 8_000 and model.radius % SPEC.hop == 0
    torch.testing.assert_close(model.vocode(SPEC(sound[0])), whole[0, :8_000], rtol=0, atol=1e-5)


def test_long_mels_in_parts_are_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = multigen.load(untrained(tmp_path))
    mels = SPEC(torch.randn(20_000, generator=torch.Generator().manual_seed(0)) / 10)
    whole = model.vocode(mels)
    monkeypatch.setattr(vocoding, "PART", 1_300)
    torch.testing.assert_close(model.vocode(mels), whole, rtol=0, atol=1e-5)


# -- settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 11_025}, "does not divide into 80 frames a second: 137.812 samples each; choose a rate"),
        ({"segment": 2_050}, "expected a multiple of the hop"),
        ({"segment": 1_000}, "discriminators of spectra need more than 1024 samples"),
        (
            {"rate": 4_000, "hop": 16, "n_fft": 64, "segment": 64, "bands": 4, "spectrum_width": 0},
            "segment 64: the loss of mels needs more than 64",
        ),
        ({"bands": 300}, "hold no frequency"),
        ({"pretrain_steps": 0, "steps": 0}, "nothing to train"),
        ({"discriminator_width": 0, "spectrum_width": 0}, "no discriminator for the second stage"),
        ({"mel_weight": 0.0, "magnitude_weight": 0.0, "phase_weight": 0.0}, "the first stage has no loss"),
        ({"test_files": "*_1.wav", "test": ("other",)}, "each names the test data"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(PRESETS["tiny"], **settings)


def test_another_hop_makes_another_rate_possible() -> None:
    assert replace(PRESETS["tiny"], rate=22_050, hop=256, segment=2_560).spec.n_fft == 1024


# -- losses --------------------------------------------------------------------------------------------------------


def test_losses_are_their_terms_by_their_weights(voices: Path, tmp_path: Path) -> None:
    trainer = vocoder(tmp_path, voices)
    trainer.prepare()
    batch = Stream(trainer.data, 2, slice(0, 2), ("a",)).at(0)
    step = trainer.updater.step_at((0, 0, "pretrain", "generator", 0, 0), 0.0, slice(0, 2))
    terms = trainer.reconstruction_loss(batch, step)
    assert [*terms] == ["mel", "magnitude", "phase", "group_delay", "frequency"]
    # Random phases are pi / 2 away on average.
    assert value(terms["phase"]) == pytest.approx(10 * math.pi / 2, rel=0.1)
    assert trainer.weighted([torch.tensor(1.0)] * 8).item() == 1 + trainer.config.spectrum_weight
    assert [*trainer.generator_loss(batch, step)][-2:] == ["adversarial", "matching"]
    # At first D gives about 0 everywhere: a hinge of 1 for both, of two kinds of discriminators.
    assert value(trainer.discriminator_loss(batch, step)["adversarial"]) == pytest.approx(4, abs=0.2)


# -- runs ----------------------------------------------------------------------------------------------------------


def test_a_run_leaves_a_model_that_makes_sound_of_mels(voices: Path, tmp_path: Path) -> None:
    trainer = vocoder(tmp_path, voices).fit()
    rows = trainer.evaluate().rows
    assert next(iter(rows)) == "griffin_lim" and [*rows][-2:] == ["pretrain/last", "adversarial/last"]
    assert {"test/lsd", "test/multi_stft", "test/mcd"} <= rows["adversarial/last"].keys()
    assert rows["griffin_lim"]["test/multi_stft"] < 2
    files = {file.name for file in (tmp_path / "run").iterdir()}
    assert {"evaluation.json", "comparison.png", "comparison.wav", "model"} <= files
    model = multigen.load(tmp_path / "run")
    mels = model.spec(sentence())
    assert model.vocode(mels).shape == (8_000,)
    assert "Makes sound of mel spectrograms" in (tmp_path / "run" / "model" / "README.md").read_text()
    assert json.loads((tmp_path / "run" / "evaluation.json").read_text())["rows"].keys() == rows.keys()


def test_a_run_stopped_between_its_stages_ends_as_one_that_was_not(voices: Path, tmp_path: Path) -> None:
    def weights(run: Path) -> bytes:
        return (run / "model" / "G.safetensors").read_bytes()

    whole = vocoder(tmp_path / "whole", voices).fit()
    stopped = vocoder(tmp_path / "cut", voices, replace(RUN, save_every=1))
    stopped.callbacks = [cast(Any, Stop(after=3))]
    with pytest.raises(KeyboardInterrupt):
        stopped.fit()
    again = VocoderTrainer(stopped.config, replace(RUN, save_every=1, resume=str(tmp_path / "cut" / "run"))).fit()
    assert weights(whole.folder) == weights(again.folder)


def write_mels(recordings: Path, folder: Path) -> None:
    """Those of each recording."""
    from multigen.audio.files import read_sound

    for path in recordings.rglob("*.wav"):
        target = (folder / path.relative_to(recordings)).with_suffix(".npy")
        target.parent.mkdir(parents=True, exist_ok=True)
        np.save(target, SPEC(read_sound(path)[0][0]).numpy())


def test_pairs_of_mels_and_recordings_are_trained_on(voices: Path, tmp_path: Path) -> None:
    write_mels(voices, tmp_path / "mels")
    trainer = vocoder(tmp_path, voices, mels=str(tmp_path / "mels"))
    trainer.prepare()
    batch = Stream(trainer.data, 4, slice(0, 4), ("a",)).at(0)
    assert batch["mels"].shape == (4, 40, 2_000 // SPEC.hop + 1)
    # Of the middle of a segment, mels of the recording are those of the segment.
    torch.testing.assert_close(batch["mels"][:, :, 4:-4], SPEC(batch["target"])[:, :, 4:-4], rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_a_trained_vocoder_is_tuned_on_pairs(voices: Path, tmp_path: Path) -> None:
    write_mels(voices, tmp_path / "mels")
    tuned = replace(Run(device="cpu", precision="fp32"), start=str(vocoder(tmp_path / "first", voices).fit().folder))
    rows = vocoder(tmp_path, voices, tuned, mels=str(tmp_path / "mels"), pretrain_steps=0).fit().evaluate().rows
    assert "start" in rows


@pytest.mark.parametrize(
    ("mels", "message"),
    [
        (None, "no such file, for F1/"),
        (np.full((40, 81), 0.5), "none below 0"),
        (np.full((80, 81), -3.0), r"an array \(80, 81\), expected \(40, frames\); give mels of 40 bands"),
        (np.full((40, 60), -3.0), "60 frames, but .* has 81 of 100 samples"),
        (np.zeros((40, 81), np.int16), "int16, expected an array of floats"),
    ],
)
def test_mels_that_do_not_fit_their_recordings_are_refused(voices: Path, tmp_path: Path, mels, message: str) -> None:
    for path in voices.rglob("*.wav"):
        target = (tmp_path / "mels" / path.relative_to(voices)).with_suffix(".npy")
        target.parent.mkdir(parents=True, exist_ok=True)
        if mels is not None:
            np.save(target, mels)
    with pytest.raises(DataError, match=message):
        vocoder(tmp_path, voices, mels=str(tmp_path / "mels")).prepare()
