"""Files of PyTorch from anywhere: weights are found in the wrappers of training scripts, and
nothing is run."""

import os
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from multigen.errors import CheckpointError
from multigen.storage.pth import read_pth

W = torch.arange(6.0).reshape(2, 3)


def save(path: Path, content: Any, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


@pytest.mark.parametrize(
    "content",
    [
        {"a.weight": W},
        {"params": {"a.weight": W + 1}, "params_ema": {"a.weight": W}},
        {"epoch": 3, "state_dict": {"module.a.weight": W}},
        {"model": {"params": {"a.weight": W}}},
        {"anything": {"netG.a.weight": W}},
        {"a.weight": torch.nn.Parameter(W), "note": "of no use"},
    ],
)
def test_weights_are_found_in_what_training_scripts_write(tmp_path: Path, content: Any) -> None:
    for options in ({}, {"_use_new_zipfile_serialization": False}):
        tensors = read_pth(save(tmp_path / "net.pth", content, **options))
        assert tensors.keys() == {"a.weight"} and torch.equal(tensors["a.weight"], W)


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("owned",)


def scripted(path: Path) -> Path:
    class Net(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated, and files of it remain
        torch.jit.save(torch.jit.script(Net()), str(path))
    return path


def compressed(path: Path) -> Path:
    save(path, {"a.weight": torch.zeros(1 << 20)})
    with zipfile.ZipFile(path) as old:
        files = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, data in files.items():
            new.writestr(name, data)
    return path


def pickled(path: Path) -> Path:
    path.write_bytes(pickle.dumps({"a.weight": Evil()}))
    return path


def expanded(path: Path) -> Path:
    return save(path, {"a.weight": torch.zeros(1).expand(1 << 40)})


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: save(path, {"a.weight": Evil()}), "other objects than tensors"),
        (lambda path: save(path, {"a": Evil()}, _use_new_zipfile_serialization=False), "other objects than tensors"),
        (pickled, "other objects than tensors"),
        (scripted, "it is TorchScript, which holds code"),
        (compressed, "its content is compressed"),
        (expanded, "tensors of 4,398,046,511,104 bytes in a file of"),
        (lambda path: save(path, {"a": 1}), "it holds no network"),
        (lambda path: save(path, [W]), "it holds no network"),
        (lambda path: save(path, {"a": W.to_sparse()}), "other objects than tensors"),
    ],
)
def test_other_files_are_refused_in_one_line_and_nothing_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Any, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = make(tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match=r"net\.pth: no weights can be read from it") as raised:
        read_pth(path)
    assert reason in str(raised.value) and "\n" not in str(raised.value)
    assert not (tmp_path / "owned").exists()


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    for options in ({}, {"_use_new_zipfile_serialization": False}):
        path = save(tmp_path / "net.pth", {"a.weight": W}, **options)
        whole = path.read_bytes()
        for end in (0, 1, 20, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:end])
            with pytest.raises(CheckpointError, match="no weights can be read"):
                read_pth(path)
    with pytest.raises(CheckpointError, match="expected a regular file"):
        read_pth(tmp_path)


def test_a_marker_beside_the_tensors_is_kept(tmp_path: Path) -> None:
    for value in ("", True, None):
        tensors = read_pth(save(tmp_path / "net.pth", {"module.a.weight": W, "pro": value}))
        assert tensors.keys() == {"a.weight", "pro"} and torch.equal(tensors["a.weight"], W)
