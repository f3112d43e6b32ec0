"""Folders and files of a user's: a new run touches none, and a run that goes on keeps those that
lie among its own."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from multigen.engine import Run, checkpoint
from multigen.errors import CheckpointError, ConfigError
from multigen.storage import files
from multigen.storage.model_folder import find_model, read_model, write_model
from multigen.storage.run_folder import new_folder
from tests.engine.toys import PowerCut, Small, ToyConfig, cut, go_on, options, resumed

USERS = [
    "model/thesis.bin",
    "checkpoints/step-000000001/my.ckpt",
    "checkpoints/.step-000000001.new/my.ckpt",
    "metrics.jsonl",
    "report.html",
    "README.md",
    ".git/config",
    "previews/step-000000001.png",
    "seed-0/notes.txt",
]
"""Files of a user's, whose names a run also has or that are like them."""


def write(file: Path, content: str = "work of years") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    return file


def tree(folder: Path) -> dict[str, bytes | None]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


# ------------------------------------------------------------------------------------------------------- a new run's folder


@pytest.mark.parametrize("name", USERS)
def test_a_folder_with_anything_in_it_is_refused_and_nothing_touched(tmp_path: Path, name: str) -> None:
    write(tmp_path / name)
    before = tree(tmp_path)
    with pytest.raises(ConfigError, match=r"is not empty .*another --out") as caught:
        Small(ToyConfig(), options(tmp_path)).fit()
    assert "\n" not in str(caught.value) and name.split("/")[0] in str(caught.value)
    assert tree(tmp_path) == before


def test_a_config_of_another_program_is_neither_replaced_nor_resumed(tmp_path: Path) -> None:
    write(tmp_path / "config.toml", '[package]\nname = "mine"\n')
    before = tree(tmp_path)
    with pytest.raises(ConfigError, match="another --out"):
        Small(ToyConfig(), options(tmp_path)).fit()
    with pytest.raises(CheckpointError, match=r"config.toml is not that of a run"):
        Small(ToyConfig(), resumed(options(tmp_path))).fit()
    assert tree(tmp_path) == before


def test_a_link_to_a_folder_is_that_folder(tmp_path: Path) -> None:
    write(tmp_path / "theirs" / "model" / "thesis.bin")
    (tmp_path / "link").symlink_to("theirs")
    (tmp_path / "nowhere").symlink_to("none")
    for name in ("link", "nowhere"):
        with pytest.raises(ConfigError, match="another --out"):
            new_folder(str(tmp_path / name), "toy", 0.0)
    (tmp_path / "empty").mkdir()
    (tmp_path / "link-2").symlink_to("empty")
    assert new_folder(str(tmp_path / "link-2"), "toy", 0.0) == tmp_path / "link-2"


def test_what_systems_leave_in_folders_does_not_count(tmp_path: Path) -> None:
    write(tmp_path / ".DS_Store")
    assert new_folder(str(tmp_path), "toy", 0.0) == tmp_path
    for content in ('{"pid": 1, "host": "h", "since": 0}', ""):  # of a run that was killed before it began
        write(tmp_path / ".lock", content)
        assert new_folder(str(tmp_path), "toy", 0.0) == tmp_path
    write(tmp_path / ".lock")
    with pytest.raises(ConfigError, match=r"\.lock"):
        new_folder(str(tmp_path), "toy", 0.0)
    write(tmp_path / ".hidden")
    with pytest.raises(ConfigError, match=r"\.hidden"):
        new_folder(str(tmp_path), "toy", 0.0)


def test_the_home_folder_by_its_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert new_folder("~/a/run", "toy", 0.0) == tmp_path / "a" / "run"
    assert not (tmp_path / "~").exists()


def test_runs_that_begin_in_one_second_get_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [new_folder("", "toy", 0.0).name for _ in range(3)]
    assert names == [names[0], f"{names[0]}-2", f"{names[0]}-3"]


def test_a_run_that_fails_before_it_begins_removes_no_folder_but_its_own(tmp_path: Path) -> None:
    class Broken(Small):
        def open_data(self):
            raise PowerCut

    (tmp_path / "theirs").mkdir()
    for name, stays in (("theirs", True), ("new", False)):
        with pytest.raises(PowerCut):
            Broken(ToyConfig(), options(tmp_path / name)).fit()
        assert (tmp_path / name).exists() is stays


# ------------------------------------------------------------------------------------------------ files among those of a run


def test_what_a_user_put_into_a_checkpoint_stays_where_it_is(tmp_path: Path) -> None:
    run = options(tmp_path, save_every=1, keep=1)
    cut(run, 3, Small)
    mine = [write(tmp_path / "checkpoints" / name) for name in ("step-000000002/my.ckpt", "step-notes/a.txt")]
    mine += [write(tmp_path / "checkpoints" / name) for name in (".step-notes/a.txt", ".step-000000001.new/my.ckpt")]
    other = tmp_path / "checkpoints" / "step-000000001"
    write(tmp_path / "elsewhere" / "G.safetensors")
    other.symlink_to(tmp_path / "elsewhere")
    go_on(run)
    assert all(file.read_text() == "work of years" for file in [*mine, tmp_path / "elsewhere" / "G.safetensors"])
    assert [p.name for p in mine[0].parent.iterdir()] == ["my.ckpt"]  # of the checkpoint itself nothing is left
    assert [p.name for p in checkpoint.saved(tmp_path / "checkpoints")] == ["step-000000006"]
    assert go_on(run).step == 6


def test_a_checkpoint_that_takes_the_place_of_another_keeps_what_is_not_its_own(run: Run) -> None:
    folder = Path(run.out) / "checkpoints" / "step-000000004"
    mine = [write(folder / "my.ckpt"), write(folder / "notes" / "a.txt")]
    saved, record = checkpoint.read(folder)
    checkpoint.write(folder, {"G": saved["G"]}, {key: value for key, value in record.items() if key != "files"})
    assert checkpoint.read(folder)[0].keys() == {"G"}  # of the others, which it had written, nothing is left
    assert all(file.read_text() == "work of years" for file in mine)


def test_newer_checkpoints_are_dropped_but_not_what_a_user_put_into_them(run: Run) -> None:
    folder = Path(run.out) / "checkpoints"
    mine = write(folder / "step-000000004" / "my.ckpt")
    (folder / "step-000000002" / "run.json").write_text("torn")
    checkpoint.drop_newer(folder / "step-000000000")
    assert sorted(p.name for p in folder.iterdir()) == ["damaged-step-000000002", "step-000000000", "step-000000004"]
    assert [*mine.parent.iterdir()] == [mine]
    assert checkpoint.saved(folder) == [folder / "step-000000000"]


def test_a_record_that_names_files_elsewhere_removes_none(tmp_path: Path) -> None:
    victim = write(tmp_path / "thesis.safetensors")
    folder = tmp_path / "checkpoints" / "step-000000001"
    folder.mkdir(parents=True)
    (folder / "run.json").write_bytes(
        files.with_checksum({"files": {"../../thesis.safetensors": [0, 0], "my.ckpt": [0, 0]}})
    )
    write(folder / "my.ckpt")
    checkpoint.drop_newer(tmp_path / "checkpoints" / "step-000000000")
    assert victim.exists() and [p.name for p in folder.iterdir()] == ["my.ckpt"]


def weights(value: float) -> dict[str, dict[str, torch.Tensor]]:
    return {"G": {"w": torch.full((3,), value)}}


def test_what_a_user_put_into_a_model_folder_stays(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_model(folder, "toy", {"a": 1}, weights(1.0) | {"E": {"w": torch.ones(1)}}, {})
    mine = [write(folder / name) for name in ("thesis.bin", "notes/a.txt", "Z.safetensors", "README.md")]
    (folder / "link").symlink_to("/nowhere")
    write_model(folder, "toy", {"a": 2}, weights(2.0), {})
    assert all(file.read_text() == "work of years" for file in mine) and (folder / "link").is_symlink()
    assert not (folder / "E.safetensors").exists() and not (folder / ".multigen").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_model_folder_of_an_earlier_version_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"recipe": "toy", "config": {}}')
    write(folder / "G.safetensors", "old")
    write(folder / "thesis.bin")
    write_model(folder, "toy", {"a": 2}, weights(2.0), {})
    assert (folder / "thesis.bin").exists()
    assert (read_model(folder).weights["G"]["w"] == 2).all()


@pytest.mark.parametrize("name", ["config.json", "G.safetensors"])
def test_a_model_folder_of_another_program_is_not_written_into(tmp_path: Path, name: str) -> None:
    write(tmp_path / "model" / name, "{}")
    before = tree(tmp_path)
    with pytest.raises(
        CheckpointError, match=rf"{name} in it was not written by multigen; move it elsewhere, then resume"
    ):
        write_model(tmp_path / "model", "toy", {}, weights(1.0), {})
    assert tree(tmp_path) == before


def test_a_link_in_the_place_of_a_model_folder_is_kept(tmp_path: Path) -> None:
    write(tmp_path / "theirs" / "thesis.bin")
    (tmp_path / "model").symlink_to("theirs")
    with pytest.raises(CheckpointError, match="it is a link"):
        write_model(tmp_path / "model", "toy", {}, weights(1.0), {})
    assert (tmp_path / "model").is_symlink() and tree(tmp_path / "theirs") == {"thesis.bin": b"work of years"}


def test_folders_of_a_user_with_the_names_of_temporary_ones_stay(tmp_path: Path) -> None:
    write_model(tmp_path / "model", "toy", {}, weights(1.0), {})
    mine = [write(tmp_path / name / "thesis.bin") for name in (".model.new", ".model.old")]
    write_model(tmp_path / "model", "toy", {}, weights(2.0), {})
    assert all(file.read_text() == "work of years" for file in mine)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".model.new", ".model.old", "model"]


class Killed(BaseException):
    pass


def mortal(function: Any, calls: Iterator[int], moment: int) -> Any:
    def call(*arguments: Any, **named: Any) -> Any:
        if next(calls) >= moment:
            raise Killed
        return function(*arguments, **named)

    return call


def test_a_process_killed_at_any_moment_loses_no_file_of_a_users(tmp_path: Path) -> None:
    for moment in range(100):
        run, done = tmp_path / str(moment), False
        write_model(run / "model", "toy", {"a": 1}, weights(1.0), {})
        write(run / "model" / "thesis.bin")
        calls = itertools.count()
        with pytest.MonkeyPatch.context() as patch:
            for owner, name in (
                (Path, "mkdir"),
                (Path, "rename"),
                (Path, "touch"),
                (Path, "unlink"),
                (files.os, "link"),
            ):
                whole = getattr(owner, name)

                patch.setattr(owner, name, mortal(whole, calls, moment))
            try:
                write_model(run / "model", "toy", {"a": 2}, weights(2.0), {})
                done = True
            except Killed:
                pass
        assert (find_model(run) / "thesis.bin").read_text() == "work of years"
        write_model(run / "model", "toy", {"a": 3}, weights(3.0), {})
        assert (run / "model" / "thesis.bin").read_text() == "work of years"
        assert [p.name for p in run.iterdir()] == ["model"]
        if done:
            break
    assert done and moment > 5
