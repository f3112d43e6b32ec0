"""Weights from files: never unpickled, and to start from."""

import ast
import io
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import multigen.engine
from multigen.engine import Run
from multigen.errors import CheckpointError
from multigen.storage.tensors import load_tensors
from tests.engine.toys import (
    Crash,
    PowerCut,
    Small,
    ToyConfig,
    Wider,
    assert_same,
    go_on,
    options,
    resumed,
    saved_numbers,
)

# ----------------------------------------------------------------------------------------------------------------- pickles


class Trap:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize(
    "name", ["weights.pt", "weights.pth", "weights.ckpt", "weights.bin", "weights.pkl", "weights.safetensors"]
)
@pytest.mark.parametrize("form", ["pickle", "torch"])
def test_a_pickle_is_refused_whatever_its_name(tmp_path: Path, name: str, form: str) -> None:
    buffer = io.BytesIO()
    if form == "torch":
        torch.save({"w": Trap(tmp_path / "sprung")}, buffer)
    else:
        pickle.dump({"w": Trap(tmp_path / "sprung")}, buffer)
    (tmp_path / name).write_bytes(buffer.getvalue())
    what = "no whole safetensors file" if name.endswith(".safetensors") else "a pickle"
    with pytest.raises(CheckpointError, match=f"{name} is {what}"):
        load_tensors(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def test_tensors_are_loaded_from_a_whole_file_only(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"w": torch.arange(3.0)}, path)
    assert load_tensors(path)["w"].tolist() == [0, 1, 2]
    path.write_bytes(path.read_bytes()[:-1])
    for bad in (path, tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(CheckpointError, match=bad.name):
            load_tensors(bad)


def test_the_package_cannot_unpickle() -> None:
    """No call of torch.load without weights_only, none of pickle's or of numpy's with allow_pickle."""
    calls: list[str] = []
    for file in sorted(Path(multigen.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                text = ast.unparse(node)
                safe = any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords)
                if (
                    (ast.unparse(node.func) == "torch.load" and not safe)
                    or "pickle.load" in ast.unparse(node.func)
                    or "allow_pickle=True" in text
                ):
                    calls.append(f"{file.name}: {text}")
    assert calls == []
    assert not any("torch.load" in file.read_text() for file in Path(multigen.engine.__file__).parent.glob("*.py"))


# ------------------------------------------------------------------------------------------------------- starting from weights


def test_a_run_may_start_from_the_weights_of_another(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = go_on(run)
    capsys.readouterr()
    new = Small(ToyConfig(steps=3, lr=0.0), options(tmp_path / "new", start=run.out)).fit()
    # The exported network as it was exported, the running average; the other as it was last; both still, at a rate of 0.
    model = load_file(Path(run.out) / "model" / "G.safetensors")
    assert_same({"G": dict(new.G.state_dict())}, {"G": model})
    assert_same({"G": model}, {"G": dict(old.averages["G"].state_dict())})
    assert_same({"D": dict(new.D.state_dict())}, {"D": dict(old.D.state_dict())})
    assert_same({"G": new.saved("G", "only", "last")}, {"G": model})
    assert (new.step, new.folder) == (3, tmp_path / "new")
    assert "starting from" in capsys.readouterr().err


def test_a_run_may_start_from_a_model_alone(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    go_on(run)
    shutil.copytree(Path(run.out) / "model", tmp_path / "model")
    new = Small(ToyConfig(steps=1, lr=0.0), options(tmp_path / "new", start=str(tmp_path / "model"))).fit()
    assert_same({"G": dict(new.G.state_dict())}, {"G": load_file(tmp_path / "model" / "G.safetensors")})
    assert "untrained: D" in capsys.readouterr().err


def test_another_method_starts_from_the_model_and_from_what_else_fits(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Other(Small):
        name = "other"

        def networks(self) -> dict[str, nn.Module]:
            return {**super().networks(), "D": nn.Linear(3, 7)}

    go_on(run)
    new = Other(ToyConfig(steps=1, lr=0.0), options(tmp_path / "new", start=run.out))
    new.prepare()
    assert_same({"G": dict(new.G.state_dict())}, {"G": load_file(Path(run.out) / "model" / "G.safetensors")})
    assert "untrained: D" in capsys.readouterr().err


def test_weights_that_do_not_fit_cannot_be_started_from(run: Run, tmp_path: Path) -> None:
    go_on(run)
    with pytest.raises(CheckpointError, match=r"G: 0\.weight.*\(8, 3\).*\(9, 3\)"):
        Wider(ToyConfig(), options(tmp_path / "new", start=run.out)).fit()
    with pytest.raises(CheckpointError, match="nothing"):
        Small(ToyConfig(), options(tmp_path / "new", start=str(tmp_path / "nothing"))).fit()


def test_a_resumed_run_does_not_start_again_from_weights(run: Run, tmp_path: Path) -> None:
    go_on(run)
    start = options(tmp_path / "new", start=run.out, save_every=2)
    with pytest.raises(PowerCut):
        Small(ToyConfig(), start, [Crash(3)]).fit()
    shutil.rmtree(run.out)  # no longer needed
    assert Small(ToyConfig(), resumed(start)).fit().step == 6
    assert saved_numbers(start.out)["step"] == 6
