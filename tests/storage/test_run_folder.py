"""Folders of runs: finding them, claiming them, and the model that inference takes from them."""

import errno
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from multigen.errors import CheckpointError, ConfigError
from multigen.storage import files, model_folder
from multigen.storage.model_folder import find_model, read_model, write_model
from multigen.storage.provenance import origin
from multigen.storage.run_folder import find_run, new_folder


def make_run(folder: Path, *, moment: float = 0, model: bool = True) -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.toml").write_text("")
    if model:
        write_model(folder / "model", "toy", {"batch": 4}, {"G": {"w": torch.arange(3.0)}}, {})
        os.utime(folder / "model" / "config.json", (moment, moment))
    os.utime(folder / "config.toml", (moment, moment))
    return folder


def test_a_run_is_found_where_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run")
    assert find_run(run) == find_run(str(run)) == run
    assert find_model(run) == find_model(run / "model") == run / "model"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("below", ["", "srgan"])
def test_of_a_folder_of_runs_the_newest_is_taken_and_named(
    tmp_path: Path, below: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path / below / "c", moment=1)
    newest = make_run(tmp_path / below / "a", moment=3)
    make_run(tmp_path / below / "b", moment=2)
    assert find_run(tmp_path) == newest
    assert str(newest) in capsys.readouterr().err
    assert find_model(tmp_path) == newest / "model"
    assert str(newest) in capsys.readouterr().err


def test_the_newest_complete_model_is_taken(tmp_path: Path) -> None:
    complete = make_run(tmp_path / "a", moment=1)
    make_run(tmp_path / "b", moment=2, model=False)
    (tmp_path / "c" / "model").mkdir(parents=True)  # broken off while it was written: config.json comes last
    (tmp_path / "c" / "model" / "G.safetensors").write_bytes(b"half")
    assert find_model(tmp_path) == complete / "model"
    assert find_run(tmp_path) == tmp_path / "b"


class Killed(BaseException):
    pass


def kill_at(patch: pytest.MonkeyPatch, moment: int) -> None:
    """The process "dies" as it would call the moment-th function that changes the disk; none works
    any more after that."""
    calls = iter(range(10**6))

    def mortal(function: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            if next(calls) >= moment:
                raise Killed
            return function(*arguments, **named)

        return call

    for owner, name in ((Path, "mkdir"), (Path, "rename"), (files.shutil, "rmtree"), (model_folder, "write_flushed")):
        patch.setattr(owner, name, mortal(getattr(owner, name)))


@pytest.mark.parametrize("there", [True, False])
def test_a_process_killed_as_it_writes_a_model_leaves_the_old_one_or_the_new_one(tmp_path: Path, there: bool) -> None:
    survived, result = False, set[float]()
    for moment in range(100):
        run = tmp_path / "runs" / str(moment)
        if there:
            write_model(run / "model", "old", {"a": 1}, {"G": {"w": torch.ones(3)}, "E": {"w": torch.ones(1)}}, {})
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, moment)
            try:
                write_model(run / "model", "new", {"a": 2}, {"G": {"w": torch.full((3,), 2.0)}}, {"words": "w"})
                survived = True
            except Killed:
                pass
        if there or survived:
            for place in (run, run / "model", tmp_path / "runs"):
                folder = read_model(find_model(place))
                method, config, weights = folder.method, folder.config, folder.weights
                assert (method, config["a"]) in (("old", 1), ("new", 2))
                assert weights.keys() == ({"G", "E"} if method == "old" else {"G"})
                assert (weights["G"]["w"] == config["a"]).all()
                assert origin("", find_model(place), method)["model"] == str(moment)
                result.add(config["a"])
        write_model(run / "model", "new", {"a": 2}, {"G": {"w": torch.full((3,), 2.0)}}, {})
        assert [path.name for path in run.iterdir()] == ["model"]
        if survived:
            break
        shutil.rmtree(run)
    assert survived and moment > 5 and result == ({1, 2} if there else {2})


def test_a_missing_run_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    make_run(tmp_path / "run", model=False)
    for path in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(CheckpointError, match=f"{path.name} is not a folder.*run"):
            find_run(path)
    with pytest.raises(CheckpointError, match="none is not a folder"):
        find_model(tmp_path / "none")
    with pytest.raises(CheckpointError, match="file is a file and no model"):
        find_model(tmp_path / "file")
    with pytest.raises(CheckpointError, match=r"run.*holds no.*model"):
        find_model(tmp_path / "run")


def test_a_new_run_has_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    moment = time.mktime((2031, 2, 3, 4, 5, 6, 0, 0, -1))
    assert new_folder("", "srgan", moment) == Path("runs/srgan/2031-02-03-040506")
    assert new_folder("", "srgan", moment) == Path("runs/srgan/2031-02-03-040506-2")
    assert new_folder("empty", "srgan", moment) == Path("empty")
    with pytest.raises(ConfigError, match=rf"--resume {tmp_path}/run, .*--out"):
        run = make_run(tmp_path / "run")
        (run / "config.toml").write_text('method = "srgan"\n[config]\n')
        new_folder(str(run), "srgan", moment)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.toml").write_text("[server]\nport = 80\n")
    with pytest.raises(ConfigError, match=r"is not empty \(config.toml\); .* --out$"):
        new_folder(str(tmp_path / "other"), "srgan", moment)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file .*--out"):
        new_folder(str(tmp_path / "file"), "srgan", moment)


def test_a_model_is_read_as_it_was_written(tmp_path: Path) -> None:
    weights = {"G": {"w": torch.randn(2, 3).T, "n": torch.tensor(4)}, "D": {"b": torch.ones(1, dtype=torch.bfloat16)}}
    write_model(
        tmp_path, "toy", {"batch": 4, "betas": [0.5, 0.9]}, weights, {"README.md": "# toy\n", "words.json": "{}"}
    )
    folder = read_model(tmp_path)
    method, config, result = folder.method, folder.config, folder.weights
    assert (method, config) == ("toy", {"batch": 4, "betas": [0.5, 0.9]})
    assert result.keys() == weights.keys()
    assert all(torch.equal(result[n][k], t) for n, tensors in weights.items() for k, t in tensors.items())
    assert (tmp_path / "README.md").read_text() == "# toy\n"
    assert (tmp_path / "words.json").read_text() == "{}"


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"method": "toy"}', '"toy"'])
def test_a_model_without_a_description_is_refused(tmp_path: Path, content: str | None) -> None:
    write_model(tmp_path, "toy", {}, {"G": {"w": torch.ones(1)}}, {})
    (tmp_path / "config.json").unlink()
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"config\.json.*model folder"):
        read_model(tmp_path)


def test_a_model_whose_weights_are_damaged_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path, "toy", {}, {"G": {"w": torch.ones(9)}}, {})
    path = tmp_path / "G.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"G\.safetensors"):
        read_model(tmp_path)


def test_a_model_folder_that_cannot_be_written_says_how_to_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("multigen.storage.model_folder.write_flushed", refuse)
    message = (
        rf"model cannot be written \(Read-only file system\); make it writable, then resume with: --resume {tmp_path}$"
    )
    with pytest.raises(CheckpointError, match=message):
        write_model(tmp_path / "model", "toy", {}, {"G": {"w": torch.zeros(1)}}, {})
    assert not [*tmp_path.iterdir()]
