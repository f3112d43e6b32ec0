"""The benchmark of image training compares what it says it compares. No time is asserted."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks import image_training
from benchmarks.image_training import PlainLoop, measure, noise, prepared, profile
from multigen.engine import Run, Step, TensorSource
from multigen.image.synthesis.dcgan import DCGANConfig, DCGANTrainer

SMALL = DCGANConfig(size=16, width=4, batch=4, latent=8, steps=6, lr=(1e-3, 1e-3), validation_size=0, samples=8)


@pytest.fixture
def trainer(tmp_path: Path) -> DCGANTrainer:
    return prepared(noise(tmp_path, 16, 16), SMALL, Run(device="cpu", precision="fp32"))


def test_both_loops_do_the_same_maths(trainer: DCGANTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given the same batch and latents, three steps have the same losses and lead to the same
    weights."""
    plain = PlainLoop(trainer)
    latents = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(Step, "randn", lambda self, stream, *shape: latents)
    monkeypatch.setattr(torch, "randn", lambda *shape, device=None: latents)
    assert isinstance(trainer.data, TensorSource)
    images = trainer.data.tensors["image"][:4]
    monkeypatch.setattr(plain, "real", lambda: images.float() / 127.5 - 1)
    monkeypatch.setattr(trainer.updater, "move", lambda batch: {"image": images})
    before = [p.clone() for name in "GD" for p in trainer.nets[name].parameters()]
    for index in range(3):
        loss_d, loss_g = plain.step(index)
        trainer.advance(index)
        result = trainer.updater.meter.read()
        torch.testing.assert_close(result["discriminator/adversarial"], loss_d, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(result["generator/adversarial"], loss_g, rtol=1e-3, atol=1e-3)
    ours = [p for name in "GD" for p in trainer.nets[name].parameters()]
    theirs = [*plain.G.parameters(), *plain.D.parameters()]
    for p, q, start in zip(ours, theirs, before, strict=True):
        assert (p - q).norm() < 0.05 * (p - start).norm()
    assert all(p.is_contiguous() for p in theirs)


def test_both_loops_train(trainer: DCGANTrainer) -> None:
    plain = PlainLoop(trainer)
    networks = [*trainer.nets.values(), plain.G, plain.D]
    before = [[p.clone() for p in network.parameters()] for network in networks]
    for index in range(3):
        plain.step(index)
        trainer.advance(index)
    for network, old in zip(networks, before, strict=True):
        assert all(p.isfinite().all() for p in network.parameters())
        assert any(not torch.equal(p, q) for p, q in zip(network.parameters(), old, strict=True))


def test_the_table_and_the_profile(trainer: DCGANTrainer) -> None:
    rows = measure(trainer, 2, 1).rows
    assert list(rows) == ["plain fp32", "ours fp32"]
    ours = rows["ours fp32"]
    assert 0 < ours["ratio_min"] <= ours["ratio"] <= ours["ratio_max"]
    speeds = [row["images_per_second"] for row in rows.values()]
    assert ours["ratio_min"] / 2 < speeds[1] / speeds[0] < 2 * ours["ratio_max"]
    shares = [share for _, share in profile(trainer, 1)]
    assert len(shares) == 3 and shares == sorted(shares, reverse=True) and 0 < sum(shares) <= 1


def test_the_command_writes_a_record_a_precision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "found.json"
    image_training.main(blocks=1, steps=1, batch=4, width=4, size=16, device="cpu", out=out)
    records = json.loads(out.read_text())["records"]
    assert [[*r["rows"]] for r in records] == [["plain fp32", "ours fp32"], ["plain fp32", "ours bf16"]]
    assert "ratio" in capsys.readouterr().out
