"""The benchmark of memory that is kept: what it measures, on a tiny network."""

import json
from pathlib import Path

import pytest

from benchmarks import allocation
from benchmarks.engine_overhead import PERCEPTRON, GANTrainer
from multigen.engine import Run
from multigen.engine.device import keep_memory


def test_both_ways_train_one_network_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    requested: list[bool] = []

    def build(run: Run) -> GANTrainer:
        return GANTrainer(PERCEPTRON, run)

    def noted(keep: bool) -> None:
        requested.append(keep)
        keep_memory()

    monkeypatch.setattr(allocation, "METHODS", {"perceptron": build})
    monkeypatch.setattr(allocation, "keep_memory", noted)
    allocation.main(blocks=2, steps=2, out=tmp_path / "out.json")
    pairs = [True, True, False, False]
    assert requested == [*pairs, *pairs[::-1], *pairs]  # the first pair warms up
    rows = json.loads((tmp_path / "out.json").read_text())["perceptron"]["rows"]
    assert list(rows) == ["kept", "given back", "ratio"]
    for row in rows.values():
        assert 0 < row["min"] <= row["median"] <= row["max"]
    low, high = rows["ratio"]["min"] * rows["kept"]["min"], rows["ratio"]["max"] * rows["kept"]["max"]
    assert low <= rows["given back"]["median"] <= high
    assert "perceptron" in capsys.readouterr().out
