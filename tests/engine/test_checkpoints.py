"""Checkpoints: written whole or not at all, read strictly, the right ones kept, nothing ever
unpickled."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from multigen.engine import Best, Run, Stage, Update, checkpoint
from multigen.errors import CheckpointError
from tests.engine.toys import (
    Crash,
    Numbers,
    PowerCut,
    Small,
    Toy,
    ToyConfig,
    Whole,
    Wider,
    assert_same,
    checkpoints,
    go_on,
    options,
    perceptron,
    resumed,
    saved_files,
)

ROOT = Path(__file__).resolve().parents[2]


def steps(folder: Path | str) -> list[int]:
    return [int(path.name.removeprefix("step-")) for path in checkpoints(folder)]


# ----------------------------------------------------------------------------------------------------------- what they hold


def test_a_checkpoint_is_safetensors_by_name_and_a_record(tmp_path: Path) -> None:
    trainer = Whole(ToyConfig(), options(tmp_path)).fit()
    files = saved_files(tmp_path)
    assert files.keys() == {"G", "G.ema", "G.optim", "D", "D.optim", "lagged.copy", "state"}
    for name in "GD":
        assert files[name].keys() == trainer.nets[name].state_dict().keys()
        assert all(torch.equal(t, files[name][key]) for key, t in trainer.nets[name].state_dict().items())
        weights = {key for key, _ in trainer.nets[name].named_parameters()}
        assert files[f"{name}.optim"].keys() == {
            f"{w}/{kind}" for w in weights for kind in ("exp_avg", "exp_avg_sq", "step")
        }
    assert {"mean", "pool/replay/fake"} <= files["state"].keys()
    record = json.loads((checkpoints(tmp_path)[-1] / "run.json").read_text())
    assert (record["step"], record["stage"], record["index"], record["ended"]) == (13, 1, 6, True)
    assert record["config"]["batch"] == 4
    assert record["versions"]["torch"] == torch.__version__
    assert record["state"]["control/p"] == trainer.control("p")


def test_shared_weights_are_saved_and_resumed(tmp_path: Path) -> None:
    """An embedding that is also the last layer, as language models have it."""

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.last = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
            self.last.weight = self.embedding.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.embedding(x))

    class Tying(Toy):
        def networks(self) -> dict[str, nn.Module]:
            return {"G": Tied()}

        def averaged(self) -> dict[str, float]:
            return {"G": 0.5}

        def stages(self) -> list[Stage]:
            g = Update("g", ["G"], lambda batch, step: {"w": self.G(batch["id"] % 5).square().mean()})
            return [Stage("only", self.config.steps, [g])]

    whole, cut = options(tmp_path / "0", save_every=2), options(tmp_path / "1", save_every=2)
    Tying(ToyConfig(), whole).fit()
    with pytest.raises(PowerCut):
        Tying(ToyConfig(), cut, [Crash(3)]).fit()
    trainer = go_on(cut, Tying)
    assert trainer.G.last.weight is trainer.G.embedding.weight
    assert_same(saved_files(whole.out), saved_files(cut.out))


# ------------------------------------------------------------------------------------------------------------- which are kept


def test_the_newest_the_best_and_the_ends_of_stages_are_kept(tmp_path: Path) -> None:
    class Judged(Numbers):
        def stages(self) -> list[Stage]:
            g = Update("g", ["G"], lambda batch, step: {"w": self.G().sum()})
            return [Stage(name, 10, [g], best=Best("distance")) for name in "ab"]

        def validate(self, nets: Mapping[str, nn.Module]) -> dict[str, float]:
            return {"distance": abs(self.index - 4)}

    Judged(ToyConfig(), options(tmp_path, save_every=1, validate_every=2, keep=3)).fit()
    assert steps(tmp_path) == [4, 10, 14, 18, 19, 20]


@pytest.mark.parametrize(("keep", "kept"), [(1, [6]), (2, [4, 6]), (9, [0, 2, 4, 6])])
def test_as_many_are_kept_as_asked_for(tmp_path: Path, keep: int, kept: list[int]) -> None:
    Small(ToyConfig(), options(tmp_path, save_every=2, keep=keep)).fit()
    assert steps(tmp_path) == kept


# ------------------------------------------------------------------------------------------------------------- whole or not


def test_a_checkpoint_is_flushed_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    rename = Path.rename

    def noted_rename(path: Path, target: Path) -> Path:
        done.append(f"rename {target.name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", lambda handle: done.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name))
    monkeypatch.setattr(Path, "rename", noted_rename)
    Small(ToyConfig(steps=1), options(tmp_path)).fit()
    end = done.index("rename step-000000001")
    start = done.index("rename step-000000000")
    files = [path.name for path in checkpoints(tmp_path)[-1].iterdir()]
    assert len(files) == 7
    assert sorted(done[start + 2 : end]) == sorted(files)
    assert done[end + 1] == "checkpoints"


def full_disk(after: int) -> Callable[..., None]:
    """Stands in for os.fsync; the disk is full after that many files."""
    written = iter(range(10**6))

    def fsync(handle: int) -> None:
        if next(written) >= after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return fsync


@pytest.mark.parametrize("after", [0, 3, 6])
def test_a_full_disk_leaves_the_checkpoint_before(run: Run, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    before = saved_files(run.out)
    with (
        monkeypatch.context() as patch,
        pytest.raises(CheckpointError, match=r"step-000000006: No space left.*step-000000004.*--resume"),
    ):
        patch.setattr(os, "fsync", full_disk(after))
        go_on(run)
    assert steps(run.out) == [0, 2, 4]
    assert_same(saved_files(run.out), before)
    assert [path.name for path in (Path(run.out) / "checkpoints").iterdir() if path.name.startswith(".")] == []
    assert go_on(run).step == 6


def test_a_full_disk_at_the_first_checkpoint_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(CheckpointError, match=r"step-000000000: No space left.*--out"):
        patch.setattr(os, "fsync", full_disk(2))
        Small(ToyConfig(), options(tmp_path)).fit()
    assert steps(tmp_path) == []


FULL = """
import os, resource, sys
from tests.engine.toys import ToyConfig, options, resumed
from tests.engine.test_checkpoints import Small
run = options(sys.argv[1], save_every=2, keep=100)
class Filling(Small):
    def networks(self):
        return super().networks() | {"big": __import__("torch").nn.Linear(300, 300)}
class Full:
    def __getattr__(self, name):
        return lambda *arguments: None
    def on_checkpoint(self, trainer, folder):
        if trainer.step == 4:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
Filling(ToyConfig(), run, [Full()]).fit()
"""


@pytest.mark.slow
def test_a_file_that_cannot_be_written_to_its_end_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    done = python(FULL, str(tmp_path / "run"))
    assert done.returncode == 1
    assert "CheckpointError: cannot save" in done.stderr
    assert "File too large" in done.stderr
    assert steps(tmp_path / "run") == [0, 2, 4]
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 3
    assert saved_files(tmp_path / "run")["big"]["weight"].shape == (300, 300)


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=False
    )


def test_a_save_that_fails_in_any_way_leaves_nothing_behind(run: Run) -> None:
    class Unwritable(Small):
        def validate(self, nets: Mapping[str, nn.Module]) -> dict[str, float]:
            self.state.scalars["what"] = object()
            return {}

    with pytest.raises(Exception, match="object"):
        Unwritable(ToyConfig(), resumed(run)).fit()
    assert steps(run.out) == [0, 2, 4]
    assert len(list((Path(run.out) / "checkpoints").iterdir())) == 3


def test_what_a_killed_save_left_is_in_nobodys_way(run: Run) -> None:
    """In a container, the process that goes on often has the number of the one that was killed."""
    folder = Path(run.out) / "checkpoints"
    for number in (os.getpid(), os.getpid() + 1):
        (folder / f".step-000000006.{number}").mkdir()
        (folder / f".step-000000006.{number}" / "G.safetensors").write_bytes(b"half")
    go_on(run)
    assert sorted(path.name for path in folder.iterdir()) == [f"step-{step:09d}" for step in (0, 2, 4, 6)]


# -------------------------------------------------------------------------------------------------------------------- damage


def truncate(folder: Path) -> None:
    path = folder / "G.safetensors"
    path.write_bytes(path.read_bytes()[:-5])


def flip(folder: Path) -> None:
    data = bytearray((folder / "D.optim.safetensors").read_bytes())
    data[-7] ^= 1
    (folder / "D.optim.safetensors").write_bytes(data)


def remove(folder: Path) -> None:
    (folder / "G.ema.safetensors").unlink()


def add(folder: Path) -> None:
    shutil.copy(folder / "G.safetensors", folder / "E.safetensors")


def empty_record(folder: Path) -> None:
    (folder / "run.json").write_bytes(b"")


def cut_record(folder: Path) -> None:
    (folder / "run.json").write_text((folder / "run.json").read_text()[:100])


def no_record(folder: Path) -> None:
    (folder / "run.json").unlink()


def other_record(folder: Path) -> None:
    (folder / "run.json").write_text("[1, 2]")


def another_step(folder: Path) -> None:
    """Still whole JSON."""
    record = (folder / "run.json").read_text()
    assert '"index": 4' in record
    (folder / "run.json").write_text(record.replace('"index": 4', '"index": 5'))


def deep_record(folder: Path) -> None:
    (folder / "run.json").write_text("[" * 100_000)


DAMAGES = [truncate, flip, remove, add, empty_record, cut_record, no_record, other_record, another_step, deep_record]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_newest_checkpoint_is_skipped_with_a_warning(
    run: Run, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    whole = Small(ToyConfig(), options(Path(run.out).parent / "whole")).fit()
    damage(checkpoints(run.out)[-1])
    capsys.readouterr()
    go_on(run)
    message = capsys.readouterr().err
    assert "step-000000004" in message.splitlines()[0]
    assert "going back" in message.splitlines()[0]
    assert "step-000000002" in message.splitlines()[1]
    assert_same(saved_files(run.out), saved_files(whole.folder))


def test_several_damaged_ones_are_passed_over(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    truncate(checkpoints(run.out)[-1])
    no_record(checkpoints(run.out)[-2])
    assert go_on(run).step == 6
    assert "resuming from" in capsys.readouterr().err
    assert steps(run.out) == [0, 2, 4, 6]


def test_a_run_whose_checkpoints_are_all_damaged_cannot_go_on(run: Run) -> None:
    for path in checkpoints(run.out):
        truncate(path)
    with pytest.raises(CheckpointError, match=r"run.*--out"):
        go_on(run)


def test_a_damaged_checkpoint_does_not_count_among_those_kept(tmp_path: Path) -> None:
    """It lies at a step that no later checkpoint replaces, as those of interrupted runs do."""
    run = options(tmp_path, save_every=2, keep=1)
    with pytest.raises(PowerCut):
        Small(ToyConfig(steps=9), run, [Crash(3)]).fit()
    shutil.copytree(checkpoints(tmp_path)[-1], tmp_path / "checkpoints" / "step-000000005")
    truncate(checkpoints(tmp_path)[-1])
    with pytest.raises(PowerCut):
        Small(ToyConfig(steps=9), resumed(run), [Crash(5)]).fit()
    assert 4 in steps(tmp_path)
    assert Small(ToyConfig(steps=9), resumed(run)).fit().step == 9


# ------------------------------------------------------------------------------------------------------------------ strict


def rewrite(folder: Path, file: str, change: Callable[[dict[str, Tensor]], object]) -> None:
    """Changes a file of a checkpoint and its checksum with it, so that only its content is
    wrong."""
    files, record = checkpoint.read(folder)
    change(files[file])
    shutil.rmtree(folder)
    checkpoint.write(folder, files, record)


@pytest.mark.parametrize(
    ("file", "change", "named"),
    [
        ("G", lambda t: t.pop("2.bias"), r"G .*missing \['2\.bias'\]"),
        ("G.ema", lambda t: t.pop("0.weight"), r"G\.ema .*missing \['0\.weight'\]"),
        ("D", lambda t: t.update(extra=torch.ones(2)), r"D .*left over \['extra'\]"),
        ("D", lambda t: t.update({"0.weight": torch.ones(8, 3)}), r"D: 0\.weight .*\(8, 3\).*\(8, 2\)"),
        ("G.optim", lambda t: t.pop("2.bias/exp_avg"), r"G\.optim"),
        ("G.optim", lambda t: [t.pop(f"2.bias/{k}") for k in ("exp_avg", "exp_avg_sq", "step")], r"G\.optim"),
        ("G.optim", lambda t: t.update({"9.bias/step": torch.ones(())}), r"G\.optim.*9\.bias"),
        ("G.optim", lambda t: t.update({"2.bias/exp_avg": torch.ones(3)}), r"G\.optim.*2\.bias"),
    ],
)
def test_tensors_that_are_missing_left_over_or_misshapen_are_named(
    run: Run, file: str, change: Any, named: str
) -> None:
    rewrite(checkpoints(run.out)[-1], file, change)
    with pytest.raises(CheckpointError, match=named):
        go_on(run)


class More(Small):
    def networks(self) -> dict[str, nn.Module]:
        return super().networks() | {"E": perceptron(2, 1)}


class Fewer(Small):
    def networks(self) -> dict[str, nn.Module]:
        return {"G": super().networks()["G"]}

    def stages(self) -> list[Stage]:
        (stage,) = super().stages()
        return [Stage("only", self.config.steps, stage.updates[:1])]


class Unaveraged(Small):
    def averaged(self) -> dict[str, float]:
        return {}


@pytest.mark.parametrize(
    ("other", "named"), [(Wider, r"G: 0\.weight"), (More, "E"), (Fewer, "D"), (Unaveraged, r"G\.ema")]
)
def test_a_checkpoint_of_other_networks_is_refused(run: Run, other: type[Toy], named: str) -> None:
    with pytest.raises(CheckpointError, match=named):
        go_on(run, other)


def test_a_checkpoint_of_other_stages_is_refused(tmp_path: Path) -> None:
    run = options(tmp_path)
    Whole(ToyConfig(), run).fit()

    class OneStage(Whole):
        def stages(self) -> list[Stage]:
            return super().stages()[:1]

    with pytest.raises(CheckpointError, match="stages"):
        go_on(run, OneStage)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_converted_into_the_networks_and_it_says_so(
    run: Run, dtype: torch.dtype, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a model exported elsewhere may have them; the shapes and the names must fit."""
    tensors = {name: t.to(dtype) for name, t in saved_files(run.out)["G"].items()}
    G = perceptron(3, 2)
    checkpoint.load_strict(G.state_dict(), tensors, "a file")
    assert all(p.dtype == torch.float32 and torch.equal(p, tensors[name].float()) for name, p in G.state_dict().items())
    assert f"a file: weights of {dtype}, used as torch.float32" in capsys.readouterr().err
