"""Bandwidth extension: settings, inputs, losses, a run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import multigen
from multigen.audio.restoration.extend import PRESETS, ExtendConfig, ExtendTrainer
from multigen.audio.restoration.waves import Extender
from multigen.audio.voice import utterance
from multigen.engine import Run
from multigen.engine.batches import Stream
from multigen.errors import ConfigError

RUN = Run(device="cpu", precision="fp32", log_every=1)
SMALL: dict[str, Any] = {"width": 4, "batch": 2, "pretrain_steps": 2, "steps": 1, "ema": 0.5, "test_size": 1}


def extend(place: Path, data: Path, **settings: Any) -> ExtendTrainer:
    config = replace(PRESETS["tiny"], data=str(data), **{**SMALL, **settings})
    return ExtendTrainer(config, replace(RUN, out=str(place / "run")))


def test_networks_have_the_parameters_of_their_table() -> None:
    def millions(c: ExtendConfig) -> float:
        with torch.device("meta"):
            return sum(p.numel() for p in ExtendTrainer(c).generator().parameters()) / 1e6

    assert millions(ExtendConfig()) == pytest.approx(1.19, abs=0.01)
    assert millions(PRESETS["paper"]) == pytest.approx(27.0, abs=0.5)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"bandwidth": (4_000, 2_000)}, "bandwidth 4000 2000: expected the smaller one first"),
        ({"bandwidth": (2_000, 8_000)}, "both below 8000 Hz, half the rate"),
        ({"bandwidth": (10, 4_000)}, "bandwidth"),
        ({"rate": 11_025}, "rate 11025: it does not divide into 160 frames a second"),
        ({"amplitude_weight": 0, "complex_weight": 0}, "no loss of amplitudes"),
        ({"pretrain_steps": 0, "steps": 0}, "nothing to train"),
        ({"discriminator_width": 0, "spectrum_width": 0}, "no discriminator for the second stage"),
        ({"segment": 128, "spectrum_width": 0}, "shorter than the generator's .* expected"),
        ({"segment": 1_000}, "segment 1000: the discriminators of spectra need more than 1024"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        ExtendConfig(**settings)


def test_inputs_are_narrow_and_aligned_with_their_targets() -> None:
    trainer = ExtendTrainer(replace(PRESETS["tiny"], bandwidth=(1_000, 1_000), segment=4_000))
    sound = utterance("M1", 3, 8_000).sound[: 4_000 + 2 * trainer.margin]
    batch = trainer.corrupt(sound, np.random.default_rng(0))
    assert torch.equal(batch["target"], sound[trainer.margin : -trainer.margin])
    spectra = {name: torch.fft.rfft(x * torch.hann_window(4_000)).abs() for name, x in batch.items()}
    assert spectra["input"][700:].max() < 1e-3 * spectra["target"][700:].max()  # above 1,400 Hz
    low = slice(0, 250)  # below 500 Hz
    torch.testing.assert_close(spectra["input"][low], spectra["target"][low], rtol=0.2, atol=0.2)


def test_bandwidths_are_drawn_from_the_whole_range() -> None:
    trainer = ExtendTrainer(replace(PRESETS["tiny"], bandwidth=(500, 2_000), segment=4_000))
    sound = torch.randn(4_000 + 2 * trainer.margin, generator=torch.Generator().manual_seed(0))
    rng, tops = np.random.default_rng(0), []
    for _ in range(24):
        spectrum = torch.fft.rfft(trainer.corrupt(sound, rng)["input"] * torch.hann_window(4_000)).abs()
        tops.append(int((spectrum > 1e-2 * spectrum.max()).nonzero().max()) * 2)  # Hz
    assert min(tops) < 900 and max(tops) > 1_500


def test_batches_do_not_depend_on_how_they_are_divided(tmp_path: Path, voices: Path) -> None:
    source = extend(tmp_path, voices).open_data()
    whole, half = (Stream(source, 4, rows, (0, "x")).at(2) for rows in (slice(0, 4), slice(2, 4)))
    assert {*whole} == {"target", "input"}
    assert all(torch.equal(whole[name][2:], half[name]) for name in whole)


def test_sets_are_named_by_the_rates_of_their_recordings(tmp_path: Path, voices: Path) -> None:
    trainer = extend(tmp_path, voices)
    trainer.open_data()
    assert [test.name for test in trainer.tests] == ["test-4000", "test-2000"]
    assert [test.name for test in extend_variants(bandwidth=(1_000, 1_000))] == ["x-2000"]


def extend_variants(**settings: Any) -> list[Any]:
    from multigen.audio.restoration.test_sets import TestSet

    trainer = ExtendTrainer(replace(PRESETS["tiny"], **settings))
    return [*trainer.test_variants(TestSet("x", 8_000, ("a",), (torch.ones(100),), (torch.ones(100),)))]


def test_the_losses_of_the_right_answer_are_zero_and_of_others_not(tmp_path: Path, voices: Path) -> None:
    trainer = extend(tmp_path, voices)
    trainer.prepare()
    noise = torch.randn(2_000, generator=torch.Generator().manual_seed(0))  # so that nothing is as quiet as the floor
    target = (utterance("M1", 3, 8_000).sound[1_000:3_000] + 0.02 * noise)[None]

    class Now:
        dtype = torch.float32

    terms, fake = trainer.reconstruct({"target": target, "input": target}, Now())  # pyright: ignore[reportArgumentType]
    assert torch.equal(fake, target)
    assert terms.keys() == {"amplitude", "phase", "group_delay", "frequency", "complex", "consistency"}
    assert all(float(term.detach()) < 0.05 for term in terms.values())
    terms, _ = trainer.reconstruct({"target": target, "input": target.flip(1)}, Now())  # pyright: ignore[reportArgumentType]
    assert all(float(terms[name].detach()) > 1 for name in ("amplitude", "phase", "complex"))


def test_a_run_measures_the_model_beside_resampling(tmp_path: Path, voices: Path) -> None:
    trainer = extend(tmp_path, voices)
    trainer.metrics = ("lsd", "multi_stft")  # pyright: ignore[reportAttributeAccessIssue]
    trainer.fit()
    rows = trainer.evaluate().rows
    assert {*rows} == {"resampled", "pretrain/last", "adversarial/last"}
    assert {*rows["resampled"]} == {f"test-{rate}/{metric}" for rate in (4_000, 2_000) for metric in trainer.metrics}
    model: Any = multigen.load(tmp_path / "run")
    assert isinstance(model, Extender) and model.bandwidth == 2_000
    made = model.restore(utterance("M1", 0, 8_000).sound[:8_000:2], 4_000)
    assert made.shape == (8_000,) and made.isfinite().all()
    assert model.sheet(2).size[0] > model.sheet(1).size[0]
