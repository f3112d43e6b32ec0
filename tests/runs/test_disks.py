"""Disks that refuse, and folders that vanish: one line, and what a run can do without does not end
it."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from multigen.console import messages
from multigen.engine import Callback, Run, Trainer
from multigen.engine.evaluation import Evaluation
from multigen.errors import CheckpointError, ConfigError
from multigen.runs import card
from multigen.runs.card import Card
from multigen.runs.runner import train
from multigen.storage import lines as storage_lines
from tests.cases import few
from tests.engine.toys import AtStep, ToyConfig, Whole, checkpoints, lines, options, resumed


class Shown(Whole):
    """Has previews, and figures."""

    def preview(self, nets: Any, folder: Path) -> None:
        (folder / f"step-{self.step:09d}.txt").write_text("a preview")

    def score(self) -> Evaluation:
        return Evaluation({"only/last": {"loss": 1.0}}, {"loss": "a number"})


@pytest.fixture(autouse=True)
def new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages.output, "once", set())


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return options(tmp_path / "run", log_every=2, save_every=4, preview_every=2)


def refused(said: str) -> list[str]:
    return [line for line in said.splitlines() if "cannot be written" in line]


class Refusing:
    """Stands in for a function that writes: a path with `part` in it is refused."""

    def __init__(self, real: Callable[..., Any], part: str, number: int):
        self.real, self.part, self.number = real, part, number

    def __call__(self, path: Any, *more: Any, **options: Any) -> Any:
        if self.part in str(path):
            raise OSError(self.number, os.strerror(self.number))
        return self.real(path, *more, **options)


NUMBERS = [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO]


@pytest.mark.parametrize("number", few(NUMBERS, errno.ENOSPC), ids=errno.errorcode.get)
@pytest.mark.parametrize("part", ["metrics.jsonl", "log.jsonl", "previews", "README.md"])
def test_what_a_run_can_do_without_costs_one_line(
    run: Run, part: str, number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(storage_lines, "open", Refusing(open, part, number), raising=False)
    monkeypatch.setattr(
        Path, "write_text", lambda path, *a, real=Path.write_text: Refusing(real, part, number)(path, *a)
    )
    monkeypatch.setattr(card, "write_whole", Refusing(card.write_whole, part, number))
    train(Shown, ToyConfig(), run)
    message = refused(capsys.readouterr().err)
    assert len(message) == 1
    assert part in message[0] and os.strerror(number) in message[0] and "the run continues without; " in message[0]
    folder = Path(run.out)
    assert (folder / "evaluation.json").exists() and (folder / "report.html").exists()
    assert (folder / "model" / "G.safetensors").exists()


def test_lines_that_had_no_room_are_written_when_there_is_some(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:

        def room(trainer: Trainer) -> None:
            if trainer.step == 5:
                patch.undo()

        patch.setattr(storage_lines, "open", Refusing(open, "metrics.jsonl", errno.ENOSPC), raising=False)
        Shown(ToyConfig(), run, [AtStep(room)]).fit()
    assert [line["step"] for line in lines(run.out) if "stage" in line] == [2, 4, 6, 7, 9, 11, 13]


def test_a_full_disk_loses_no_error_of_the_checkpoint(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a log that is full too nor the report hide it."""

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    class Fill(Callback):
        def on_step(self, trainer: Trainer) -> None:
            if trainer.step == 3:
                monkeypatch.setattr("multigen.engine.checkpoint.write_flushed", full)
                monkeypatch.setattr("multigen.storage.files.write_flushed", full)
                for file in (trainer.log.file, trainer.callbacks[0]._file):  # pyright: ignore
                    assert file is not None
                    monkeypatch.setattr(file, "_file", FullFile(file._file))

    monkeypatch.setattr(Shown, "default_callbacks", lambda self: [Fill()])
    with pytest.raises(
        CheckpointError, match=r"step-000000004: No space left.*resume from step-000000000 with --resume"
    ):
        train(Shown, ToyConfig(), run)
    message = capsys.readouterr().err
    assert [name in line for line, name in zip(refused(message), ("metrics", "log", "report"), strict=True)] == [
        True
    ] * 3


class FullFile:
    def __init__(self, file: Any):
        self.file, self.fileno = file, file.fileno

    def write(self, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        self.file.close()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("to_resume", [False, True])
def test_a_configuration_that_cannot_be_written_is_one_line(
    run: Run, to_resume: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if to_resume:
        Shown(ToyConfig(), run).fit()
        (Path(run.out) / "config.toml").write_text((Path(run.out) / "config.toml").read_text() + "# another\n")
    monkeypatch.setattr("multigen.config.write_whole", Refusing(print, "config.toml", errno.EROFS))
    remedy = f"make it writable, then {'resume with: --resume' if to_resume else 'start again'}"
    with pytest.raises(CheckpointError, match=rf"config\.toml cannot be written \(Read-only file system\); {remedy}"):
        Shown(ToyConfig(), resumed(run) if to_resume else run).fit()


def test_figures_that_cannot_be_written_are_measured_again_by_a_resume(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(card, "write_json", Refusing(card.write_json, "evaluation.json", errno.ENOSPC))
        with pytest.raises(
            CheckpointError, match=r"evaluation\.json cannot be .*free space there, then evaluate again with: "
        ):
            train(Shown, ToyConfig(), run)
    evaluation, _, content = train(Shown, ToyConfig(), resumed(run))
    assert content["rows"] == evaluation.rows


@pytest.mark.parametrize("at", [3, 4, 6, 13])
def test_a_folder_that_vanished_is_not_made_again(
    run: Run, at: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Vanish(Callback):
        def on_step(self, trainer: Trainer) -> None:
            if trainer.step == at:
                shutil.rmtree(trainer.folder)

    monkeypatch.setattr(Shown, "default_callbacks", lambda self: [Vanish()])
    with pytest.raises(CheckpointError, match=r"No such file or directory; its folder is gone: restore it"):
        train(Shown, ToyConfig(), run)
    assert not Path(run.out).exists()
    message = capsys.readouterr().err
    assert "Traceback" not in message
    assert (
        "could not be written" not in message and "cannot be written" not in message
    )  # the error's own line is enough


def test_a_folder_of_somebody_elses_in_its_place_is_not_written_to(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Replace(Callback):
        def on_step(self, trainer: Any) -> None:
            if trainer.step == 4:
                trainer.folder.rename(trainer.folder.with_name("moved"))
                trainer.folder.mkdir()
                (trainer.folder / "thesis.bin").write_bytes(b"mine")

    monkeypatch.setattr(Shown, "default_callbacks", lambda self: [Replace()])
    with pytest.raises(
        CheckpointError, match=r"is another folder now, .*; bring the run back, or choose another --out$"
    ):
        train(Shown, ToyConfig(), run)
    assert [path.name for path in Path(run.out).iterdir()] == ["thesis.bin"]
    assert "report.html could not" not in capsys.readouterr().err


def test_a_file_in_the_place_of_the_checkpoints_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Replace(Callback):
        def on_step(self, trainer: Any) -> None:
            if trainer.step == 4:
                shutil.rmtree(trainer.folder / "checkpoints")
                (trainer.folder / "checkpoints").write_bytes(b"mine")

    monkeypatch.setattr(Shown, "default_callbacks", lambda self: [Replace()])
    with pytest.raises(CheckpointError, match=r"checkpoints is no folder; move it elsewhere; or choose another --out$"):
        train(Shown, ToyConfig(), run)
    assert (Path(run.out) / "checkpoints").read_bytes() == b"mine"


@pytest.mark.parametrize("when", ["on_end", "on_evaluation"])
def test_a_folder_that_vanished_at_the_end_is_not_made_again(
    run: Run, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vanish = type("Vanish", (Callback,), {when: lambda self, trainer, *more: shutil.rmtree(trainer.folder)})
    monkeypatch.setattr(Shown, "default_callbacks", lambda self: [vanish(), Card()])
    with pytest.raises((CheckpointError, ConfigError), match=r"is gone: restore it|holds no run"):
        train(Shown, ToyConfig(), run)
    assert not Path(run.out).exists()


def test_a_closed_checkpoint_is_named_where_a_rollback_must_remove_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    Shown(ToyConfig(), run).fit()
    (checkpoints(run.out)[-1] / "run.json").write_bytes(b"damaged")
    refuse = Refusing(Path.rename, "step-", errno.EROFS)
    monkeypatch.setattr(Path, "rename", lambda path, target: refuse(path, target))
    with pytest.raises(CheckpointError, match=r"step-000000013 cannot be renamed \(Read-only file system\)"):
        Shown(ToyConfig(), resumed(run)).fit()


def test_tensorboard_costs_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = pytest.importorskip("tensorboard.summary.writer.record_writer").RecordWriter
    real, left = writer.write, iter([True] * 5)

    def write(self: Any, data: bytes) -> None:
        if not next(left, False):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(self, data)

    monkeypatch.setattr(writer, "write", write)
    Shown(ToyConfig(), options(Path(run.out), log_every=1, tensorboard=True)).fit()
    message = capsys.readouterr().err
    assert "Traceback" not in message
    assert len(refused(message)) == 1 and "TensorBoard" in refused(message)[0]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.system(f"mount -t tmpfs -o size=200k tmpfs '{disk}' 2> {os.devnull}"):
        pytest.skip("only root may mount a disk")
    yield disk
    os.system(f"umount '{disk}'")


class Large(Shown):
    def networks(self) -> dict[str, nn.Module]:
        return super().networks() | {"big": nn.Linear(80, 80)}  # 26 kB


def test_a_disk_that_is_really_full(small_disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It keeps all checkpoints until there is no room. A resume on a disk with room then ends with
    all lines."""
    torch.manual_seed(0)
    run = options(small_disk / "run", log_every=1, save_every=1, preview_every=1, keep=100)
    with pytest.raises(
        CheckpointError, match=r"No space left on device; free space there, then resume from step-\d+ with"
    ):
        train(Large, ToyConfig(), run)
    kept = checkpoints(run.out)
    assert 0 < len(kept) < 13
    room = small_disk.parent / "room"
    shutil.copytree(run.out, room)
    train(Large, ToyConfig(), resumed(options(room, log_every=1, save_every=1, preview_every=1, keep=100)))
    assert [line["step"] for line in lines(room) if "stage" in line] == [*range(1, 14)]
