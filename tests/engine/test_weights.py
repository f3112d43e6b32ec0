"""Weights that cannot be used are refused by name: of another type, or not finite; in models and in
all of a checkpoint."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from multigen.engine import Run, checkpoint
from multigen.errors import CheckpointError
from tests.engine.toys import Small, ToyConfig, Whole, checkpoints, cut, go_on, options, perceptron, saved_files


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = options(tmp_path / "run")
    Small(ToyConfig(), run).fit()
    return run


@pytest.mark.parametrize(
    "dtype", [torch.int8, torch.int64, torch.bool, torch.uint8, torch.complex64, torch.float8_e4m3fn]
)
def test_weights_of_another_kind_are_refused(run: Run, dtype: torch.dtype) -> None:
    tensors = saved_files(run.out)["G"]
    tensors["0.weight"] = tensors["0.weight"].to(dtype)
    G = perceptron(3, 2)
    before = G.state_dict()["0.weight"].clone()
    with pytest.raises(CheckpointError, match=rf"a file: 0\.weight is of {dtype}, expected torch\.float32"):
        checkpoint.load_strict(G.state_dict(), tensors, "a file")
    assert torch.equal(G.state_dict()["0.weight"], before)


def test_counters_are_not_floats(run: Run) -> None:
    norm = nn.BatchNorm1d(2)
    tensors = {**norm.state_dict(), "num_batches_tracked": torch.tensor(1.0)}
    with pytest.raises(CheckpointError, match=r"num_batches_tracked is of torch\.float32, expected torch\.int64"):
        checkpoint.load_strict(norm.state_dict(), tensors, "a file")


@pytest.mark.parametrize(("value", "kind"), [(torch.nan, "NaN"), (torch.inf, "infinities"), (-torch.inf, "infinities")])
def test_weights_that_are_not_finite_are_refused_by_name(run: Run, value: float, kind: str) -> None:
    tensors = saved_files(run.out)["G"]
    tensors["2.bias"][1] = value
    G = perceptron(3, 2)
    before = G.state_dict()["0.weight"].clone()
    with pytest.raises(CheckpointError, match=rf"a file: 2\.bias holds {kind}; copy"):
        checkpoint.load_strict(G.state_dict(), tensors, "a file")
    assert torch.equal(G.state_dict()["0.weight"], before)


def test_large_weights_are_no_infinities() -> None:
    """Though the sum of them is one."""
    assert checkpoint.not_finite({"w": torch.full((4,), 3e38), "n": torch.tensor([1]), "empty": torch.empty(0)}) == ""


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (
            "G.optim",
            {"0.weight/exp_avg": lambda t: t.double()},
            r"exp_avg is of torch\.float64, expected torch\.float32",
        ),
        ("G.optim", {"0.weight/step": lambda t: t.int()}, r"step is of torch\.int32"),
        ("D.optim", {"0.bias/exp_avg_sq": lambda t: t * torch.nan}, r"D\.optim: 0\.bias/exp_avg_sq holds NaN"),
        ("G.ema", {"0.bias": lambda t: t * torch.nan}, r"G\.ema: 0\.bias holds NaN"),
        ("state", {"pool/replay/fake": lambda t: t * torch.nan}, r"state: pool/replay/fake holds NaN"),
    ],
)
def test_all_of_a_checkpoint_is_looked_at(
    tmp_path: Path, file: str, change: dict[str, Callable[[Tensor], Tensor]], message: str
) -> None:
    run = options(tmp_path / "run", save_every=4)
    cut(run, 12)
    newest = checkpoints(run.out)[-1]
    files, record = checkpoint.read(newest)
    files[file] |= {name: make(files[file][name]) for name, make in change.items()}
    checkpoint.write(newest, files, record)
    with pytest.raises(CheckpointError, match=message):
        go_on(run, Whole)
