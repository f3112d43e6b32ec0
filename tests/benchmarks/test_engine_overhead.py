"""The benchmarks run and compare what they say they compare. No time is asserted."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import engine_overhead, precision
from benchmarks.engine_overhead import DCGAN, PERCEPTRON, GANConfig, GANTrainer, HandWritten, interleaved
from multigen.engine import Run, Step, TensorSource
from tests.engine.toys import Small, ToyConfig, options

SMALL_DCGAN = replace(DCGAN, batch=2, latent=4, width=2, items=3)


@pytest.mark.parametrize("config", [PERCEPTRON, SMALL_DCGAN], ids=["perceptron", "dcgan"])
@pytest.mark.parametrize("kind", ["fp32", "bf16"])
def test_both_loops_do_the_same_maths(config: GANConfig, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given the same batches and latents, three steps lead to the same weights and running
    averages."""
    monkeypatch.setattr(engine_overhead, "LR", 1e-2)
    monkeypatch.setattr(engine_overhead, "CLIP", 0.1)  # tight, so that it matters
    trainer = GANTrainer(replace(config, steps=3), replace(Run(device="cpu"), precision=kind))
    trainer.prepare()
    assert isinstance(trainer.data, TensorSource)
    x = trainer.data.tensors["x"]
    x.copy_(x[:1].expand_as(x).clone())
    trainer.enter(trainer.stage)
    by_hand = HandWritten(trainer)
    latents = torch.randn(config.batch, config.latent, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(Step, "randn", lambda self, stream, *shape: latents)
    monkeypatch.setattr(by_hand, "latents", lambda: latents)
    monkeypatch.setattr(by_hand, "data", x)
    before = [p.clone() for p in trainer.G.parameters()]
    for index in range(3):
        trainer.advance(index)
        by_hand.step(index)
    for ours, hand in ((trainer.G, by_hand.G), (trainer.D, by_hand.D), (trainer.averages["G"], by_hand.average)):
        for name, value in hand.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[name], value, msg=lambda text, name=name: f"{name}: {text}")
    assert all(not torch.equal(p, b) for p, b in zip(trainer.G.parameters(), before, strict=True))


def test_blocks_are_interleaved() -> None:
    """Pairs are timed as A B, B A, A B, ...; a step's seconds are those of its block; the first
    pair is left out."""
    now, calls = [0.0], list[tuple[str, int]]()

    def loop(name: str, seconds: float):
        def step(index: int) -> None:
            calls.append((name, index))
            now[0] += seconds * (index + 1)

        return step

    pairs = interleaved(loop("a", 1.0), loop("b", 10.0), 3, 2, torch.device("cpu"), clock=lambda: now[0])
    assert "".join(name for name, _ in calls) == "aabb" + "bbaa" + "aabb"
    for name in "ab":
        assert [index for n, index in calls if n == name] == list(range(6))
    assert pairs == [(3.5, 35.0), (5.5, 55.0)]


def test_engine_overhead_writes_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine_overhead, "DCGAN", SMALL_DCGAN)
    engine_overhead.main(blocks=2, steps=2, dcgan_steps=1, device="cpu", out=tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text())
    assert written.keys() == {"perceptron", "dcgan"}
    for name, steps in (("perceptron", 6), ("dcgan", 3)):
        rows = written[name]["rows"]
        assert written[name]["steps"] == {"adversarial": steps}
        assert " thread" in written[name]["machine"] and f"torch {torch.__version__}" in written[name]["machine"]
        assert all(row["min"] <= row["median"] <= row["max"] for row in rows.values())
        assert rows["engine"]["median"] - rows["by hand"]["median"] == pytest.approx(rows["difference"]["median"])
    assert "at most 50 us" in capsys.readouterr().out


@pytest.mark.slow
def test_precision_compares_fp32_with_bf16() -> None:
    config = replace(precision.COMPACT, crop=32, blocks=1, width=4, discriminator_width=1, batch=2, pretrain_steps=4)
    records = precision.compare("net", config, Run(device="cpu"), block=2)
    rows = {row: figures for r in records for row, figures in r["rows"].items()}
    assert list(rows) == ["net fp32", "net bf16"]
    assert [r["machine"].rpartition(" ")[2] for r in records] == ["fp32", "bf16"]
    assert all(figures.keys() == precision.DEFINITIONS.keys() for figures in rows.values())
    assert rows["net fp32"]["speed_ratio_min"] == rows["net fp32"]["speed_ratio_max"] == 1
    fp32, bf16 = (figures["psnr_y"] for figures in rows.values())
    assert 15 < fp32 < 40 and math.isfinite(bf16)
    assert fp32 != bf16  # it was trained in another precision
    assert fp32 == pytest.approx(bf16, abs=1.0)


def test_precision_measures_both_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    requested = []

    def compare(name, config, run, block):
        requested.append((config.generator, config.blocks, config.width, config.pretrain_steps, config.steps, run.seed))
        return [{"rows": {f"{name} {p}": dict.fromkeys(precision.DEFINITIONS, 1.0)}} for p in precision.PRECISIONS]

    monkeypatch.setattr(precision, "compare", compare)
    precision.main(steps=20, seed=3, device="cpu", out=tmp_path / "out.json")
    assert requested == [("compact", 8, 32, 20, 0, 3), ("srresnet", 16, 64, 20, 0, 3)]
    written = json.loads((tmp_path / "out.json").read_text())
    assert len(written["records"]) == 4 and written["native"] in (True, False)
    assert "srresnet 16x64 bf16" in capsys.readouterr().out


def test_what_auto_chose_is_timed_beside_the_two(tmp_path: Path) -> None:
    trainer = Small(ToyConfig(steps=60), options(tmp_path))
    trainer.prepare()
    evaluation, result = precision.measure(trainer, rounds=2)
    figures = evaluation.rows["toy"]
    assert figures.keys() == precision.AUTO.keys()
    assert figures["ratio_min"] <= figures["ratio"] <= figures["ratio_max"] and figures["trial_s"] > 0
    assert result.choice.precision == "fp32"  # of a run that takes less than a second
