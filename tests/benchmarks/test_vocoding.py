"""The benchmark of vocoders compares what it says it compares. No time is asserted."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import vocoding
from benchmarks.vocoding import V1, V3, HiFiGAN, PlainLoop, makers, prepared, speeds
from multigen.audio.restoration.vocoder import PRESETS

SMALL = replace(PRESETS["tiny"], width=2, batch=2)


@pytest.mark.parametrize(("settings", "millions", "hop"), [(V1, 13.94, 256), (V3, 1.46, 256)])
def test_hifigan_has_the_parameters_of_its_paper(settings, millions: float, hop: int) -> None:
    with torch.device("meta"):
        network = HiFiGAN(settings)
        assert network(torch.zeros(1, 80, 5)).shape == (1, 1, 5 * hop)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.02)


def test_all_make_the_seconds_that_are_counted() -> None:
    made = makers(0.1, SMALL)
    assert [*made] == ["vocoder", "griffin_lim", "hifigan_v1", "hifigan_v3"]
    rates = {"vocoder": 8_000, "griffin_lim": 8_000}
    for name in ("vocoder", "griffin_lim", "hifigan_v3"):
        assert made[name]().numel() / rates.get(name, 22_050) == pytest.approx(0.1, rel=0.13), name
    found = speeds(0.1, 1, {"griffin_lim": made["griffin_lim"]})
    assert found["griffin_lim"][0] > 0


def test_the_plain_loop_is_the_trainer_s_step(tmp_path: Path) -> None:
    trainer = prepared(tmp_path, SMALL, "adversarial")
    assert [stage.name for stage in trainer.plan] == ["adversarial"]
    plain = PlainLoop(trainer)
    batch = torch.stack([plain.sound[at : at + SMALL.segment] for at in (0, 5_000)])
    step = trainer.updater.step_at((0, 0, "adversarial", "generator", 0, 0), 0.0, slice(0, 2))
    terms = trainer.generator_loss({"target": batch}, step)
    total = sum(torch.as_tensor(term).item() for term in terms.values())
    plain.segments = lambda: batch  # type: ignore[method-assign]
    plain.adam_d.param_groups[0]["lr"] = 0.0
    plain.adam_d.param_groups[0]["weight_decay"] = 0.0
    assert plain.step(0) == pytest.approx(total, rel=1e-5)


@pytest.mark.slow
def test_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(vocoding.PRESETS, "default", SMALL)
    made = makers(0.1, SMALL)
    monkeypatch.setattr(vocoding, "makers", lambda seconds: {name: made[name] for name in ("vocoder", "griffin_lim")})
    threads = torch.get_num_threads()
    try:
        vocoding.main(seconds=0.1, rounds=1, training_rounds=1)
    finally:
        torch.set_num_threads(threads)
    lines = capsys.readouterr().out.splitlines()
    assert [line[:28].strip() for line in lines[2:4]] == ["vocoder", "griffin_lim"]
    assert [line[:28].strip() for line in lines[5:8]] == ["plain loop", "ours", "without D"]
    assert lines[-1].startswith("D's share of a step: ")
