"""Enhancement: settings, mixes, losses, a run beside its baselines."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import multigen
from multigen.audio.restoration.enhance import PRESETS, EnhanceConfig, EnhanceTrainer
from multigen.audio.restoration.segments import SegmentSource
from multigen.audio.restoration.waves import WaveRestorer
from multigen.audio.voice import utterance
from multigen.engine import Run
from multigen.engine.batches import Stream
from multigen.errors import ConfigError

RUN = Run(device="cpu", precision="fp32", log_every=1)
SMALL: dict[str, Any] = {"width": 4, "batch": 2, "pretrain_steps": 2, "steps": 1, "ema": 0.5, "test_size": 3}


def enhance(place: Path, data: Path, **settings: Any) -> EnhanceTrainer:
    config = replace(PRESETS["tiny"], data=str(data), **{**SMALL, **settings})
    return EnhanceTrainer(config, replace(RUN, out=str(place / "run")))


def ratio(mixed: Tensor, clean: Tensor) -> float:
    return float(10 * torch.log10(clean.square().sum() / (mixed - clean).square().sum()))


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"snr": (15, 0)}, "snr 15 0: expected the smaller one first"),
        ({"snr": (-30, 0)}, "snr"),
        ({"segment": 64, "spectrum_width": 0}, "segment 64: shorter than the generator's .* expected"),
        ({"noise": ()}, "noise of no kind: expected some of drums, coloured, babble"),
        ({"noise": ("babble", "babble")}, "noise babble babble: .* each once"),
        ({"amplitude_weight": 0, "complex_weight": 0, "wave_weight": 0}, "no loss"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        EnhanceConfig(**settings)


def test_segments_are_mixed_at_ratios_of_the_range(tmp_path: Path, voices: Path) -> None:
    trainer = enhance(tmp_path, voices, snr=(3, 9))
    trainer.open_data()
    sound, rng = utterance("M1", 3, 8_000).sound[1_000:3_000], np.random.default_rng(0)
    batches = [trainer.corrupt(sound, rng) for _ in range(20)]
    assert all(torch.equal(batch["target"], sound) for batch in batches)
    ratios = [ratio(batch["input"], sound) for batch in batches]
    assert 3 - 1e-3 <= min(ratios) < 4.5 and 7.5 < max(ratios) <= 9 + 1e-3


def test_a_segment_is_never_mixed_with_its_own_recording(tmp_path: Path, voices: Path) -> None:
    trainer = enhance(tmp_path, voices, noise=("babble",))
    source = trainer.open_data()
    assert isinstance(source, SegmentSource)
    left_out: list[int] = []
    draw = trainer.noises.draw

    def seen(length: int, rng: np.random.Generator, kind: str = "", without: int = -1) -> Tensor:
        left_out.append(without)
        return draw(length, rng, kind, without)

    trainer.noises.draw = seen  # pyright: ignore[reportAttributeAccessIssue]
    for number in range(len(source.recordings)):
        source._segment(number, np.random.default_rng(0))
    own = [trainer.noises.voices[number][:100] for number in left_out]
    assert len(own) == len(source.recordings) > 1
    assert all(torch.equal(a, b.part(0, 100)[0]) for a, b in zip(own, source.recordings, strict=True))


def test_batches_do_not_depend_on_how_they_are_divided(tmp_path: Path, voices: Path) -> None:
    source = enhance(tmp_path, voices).open_data()
    whole, half = (Stream(source, 4, rows, (0, "x")).at(2) for rows in (slice(0, 4), slice(2, 4)))
    assert {*whole} == {"target", "input"}
    assert all(torch.equal(whole[name][2:], half[name]) for name in whole)


def test_sets_are_one_for_each_kind_and_the_same_each_time(tmp_path: Path, voices: Path) -> None:
    trainers = [enhance(tmp_path, voices, test=(str(voices / "F1"),)) for _ in range(2)]
    for trainer in trainers:
        trainer.open_data()
    one, other = (trainer.tests for trainer in trainers)
    assert [test.name for test in one] == ["F1-drums", "F1-coloured", "F1-babble"]
    for test, again in zip(one, other, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(test.inputs, again.inputs, strict=True))
        assert all(-1e-3 <= ratio(a, b) <= 15 + 1e-3 for a, b in zip(test.inputs, test.targets, strict=True))
    assert not torch.equal(one[0].inputs[0], one[1].inputs[0])


def test_kinds_that_are_not_wanted_are_not_measured(tmp_path: Path, voices: Path) -> None:
    trainer = enhance(tmp_path, voices, noise=("coloured",), test=(str(voices / "F1"),))
    trainer.open_data()
    assert [test.name for test in trainer.tests] == ["F1-coloured"]


def test_the_losses_of_the_right_answer_are_zero_and_of_others_not(tmp_path: Path, voices: Path) -> None:
    trainer = enhance(tmp_path, voices)
    trainer.prepare()
    target = utterance("M1", 3, 8_000).sound[None, 1_000:3_000]

    class Now:
        dtype = torch.float32

    terms, fake = trainer.reconstruct({"target": target, "input": target}, Now())  # pyright: ignore[reportArgumentType]
    assert torch.equal(fake, target)
    assert {name: float(term.detach()) for name, term in terms.items()} == {"amplitude": 0, "complex": 0, "wave": 0}
    terms, _ = trainer.reconstruct({"target": target, "input": target.flip(1)}, Now())  # pyright: ignore[reportArgumentType]
    assert all(float(term.detach()) > 0.1 for term in terms.values())


def test_a_run_measures_the_model_beside_the_noisy_and_a_wiener_filter(tmp_path: Path, voices: Path) -> None:
    trainer = enhance(tmp_path, voices, test=(str(voices / "F1"),), noise=("coloured", "babble"))
    trainer.metrics = ("lsd", "multi_stft")  # pyright: ignore[reportAttributeAccessIssue]
    trainer.fit()
    rows = trainer.evaluate().rows
    assert {*rows} == {"noisy", "wiener", "pretrain/last", "adversarial/last"}
    assert {*rows["wiener"]} == {f"F1-{kind}/{m}" for kind in trainer.config.noise for m in trainer.metrics}
    model: Any = multigen.load(tmp_path / "run")
    assert isinstance(model, WaveRestorer)
    sound = utterance("M1", 0, 16_000).sound[:5_001]
    assert model.restore(sound, 16_000).shape == sound.shape
    assert model.sheet(1).size[0] > 0
