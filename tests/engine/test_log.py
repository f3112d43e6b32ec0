"""What a run says: metrics.jsonl, the terminal, TensorBoard, evaluation.json; its callbacks; and
how it keeps to a time."""

import json
import math
import os
import pty
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from multigen.config import read_toml
from multigen.engine import Batch, Callback, Decision, Run, Stage, Step, Trainer, Update
from multigen.engine.evaluation import Evaluation
from multigen.errors import TrainingError
from multigen.runs.card import Card
from multigen.storage.files import read_log
from multigen.version import __version__
from tests.engine.toys import (
    AtStep,
    Crash,
    Numbers,
    PowerCut,
    Ruled,
    Signals,
    ToyConfig,
    Whole,
    cut,
    lines,
    options,
    resumed,
)

ROOT = Path(__file__).resolve().parents[2]


class Counted(Numbers):
    """The terms say which firing they are of, so that their means can be distinguished."""

    def stages(self) -> list[Stage]:
        updates = [Update("d", ["D"], self.d, repeat=2), Update("g", ["G"], self.g, every=2)]
        return [Stage("first", self.config.steps, updates), Stage("second", 2, updates[1:])]

    def d(self, batch: Batch, step: Step) -> dict[str, Any]:
        step.log("rows", torch.arange(float(step.rows.start), step.rows.stop).view(-1, 1))
        zero = self.D().sum() * 0
        count = 1 + step.index
        return {"firing": zero + 10 * step.index + step.repeat, "tokens": (zero + 7 * count, count)}

    def g(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        return {"index": self.G().sum() * 0 + step.index}


@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_metrics_are_means_since_the_line_before(tmp_path: Path, accumulate: int) -> None:
    Counted(ToyConfig(steps=5), options(tmp_path, log_every=2, accumulate=accumulate)).fit()
    result = lines(tmp_path)
    for line in result:
        assert line.pop("items_per_second") > 0
    assert result == [
        {"stage": "first", "step": 2, "d/firing": 5.5, "d/tokens": 7, "g/index": 0, "rows": 1.5},
        {"stage": "first", "step": 4, "d/firing": 25.5, "d/tokens": 7, "g/index": 2, "rows": 1.5},
        {"stage": "first", "step": 5, "d/firing": 40.5, "d/tokens": 7, "g/index": 4, "rows": 1.5},
        {"stage": "second", "step": 7, "g/index": 0},
    ]


def test_terms_with_counts_are_averaged_over_their_counts(tmp_path: Path) -> None:
    class Unequal(Numbers):
        def stages(self) -> list[Stage]:
            return [Stage("only", self.config.steps, [Update("g", ["G"], self.loss)])]

        def loss(self, batch: Batch, step: Step) -> dict[str, Any]:
            count = 3 if step.index else 1
            return {"tokens": (self.G().sum() * 0 + (30 if step.index else 2), count)}

    Unequal(ToyConfig(steps=2), options(tmp_path)).fit()
    assert lines(tmp_path)[0]["g/tokens"] == 8  # 32 in 4


def test_rows_without_tokens_do_not_spoil_the_log(tmp_path: Path) -> None:
    class Padded(Numbers):
        def stages(self) -> list[Stage]:
            return [Stage("only", 1, [Update("g", ["G"], self.loss)])]

        def loss(self, batch: Batch, step: Step) -> dict[str, Any]:
            count = 0 if step.rows.start else 5  # the second micro-batch is nothing but padding
            return {"tokens": (self.G().sum() * count, count)}

    trainer = Padded(ToyConfig(), options(tmp_path, accumulate=2)).fit()
    assert trainer.G().item() == pytest.approx(1 - trainer.config.lr)
    assert lines(tmp_path)[0]["g/tokens"] == 1


def test_lines_after_the_checkpoint_are_cut_on_resume(tmp_path: Path) -> None:
    run = options(tmp_path, log_every=1, save_every=3)
    with pytest.raises(PowerCut):
        Counted(ToyConfig(), run, [Crash(6)]).fit()
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3, 4, 5]
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"stage": "first", "st')  # the power went while it was written
    Counted(ToyConfig(), resumed(run)).fit()
    assert [line["step"] for line in lines(tmp_path)] == list(range(1, 9))


@pytest.mark.parametrize("end", [4, 6, 7, 8, 10])
def test_a_resumed_run_writes_the_lines_of_one_never_stopped(tmp_path: Path, end: int) -> None:
    """Also where a checkpoint lies between two lines: the means of steps before it are in it."""

    def run(name: str) -> Run:
        return options(tmp_path / name, log_every=3, save_every=2)

    Counted(ToyConfig(steps=9), run("whole")).fit()
    with pytest.raises(PowerCut):
        Counted(ToyConfig(steps=9), run("cut"), [Crash(end)]).fit()
    Counted(ToyConfig(steps=9), resumed(run("cut"))).fit()
    result = [
        [line | {"items_per_second": 0, "seconds": 0} for line in lines(tmp_path / name)] for name in ("whole", "cut")
    ]
    assert result[0] == result[1]
    assert [line["step"] for line in result[0]] == [3, 6, 9, 11]


def test_lines_before_a_rollback_stay_in_a_resume_after_it(tmp_path: Path) -> None:
    class Thrice(Ruled):
        def rule(self, value: float, signals: Signals) -> Decision:
            return Decision(value, "rule", rollback=self.index == 5 and self.state.scalars["attempt"] < 2)

    def run(name: str) -> Run:
        return options(tmp_path / name, log_every=2, save_every=3)

    Thrice(ToyConfig(steps=8), run("whole")).fit()
    attempts = []

    def crash(trainer: Trainer) -> None:
        if trainer.step == 4:
            attempts.append(trainer.state.scalars["attempt"])
            if attempts == [0, 1]:
                raise PowerCut

    with pytest.raises(PowerCut):
        Thrice(ToyConfig(steps=8), run("cut"), [AtStep(crash)]).fit()
    Thrice(ToyConfig(steps=8), resumed(run("cut"))).fit()
    result = [
        [line | {"items_per_second": 0, "seconds": 0} for line in lines(tmp_path / name)] for name in ("whole", "cut")
    ]
    assert result[0] == result[1]
    assert [line["step"] for line in result[0] if "rollback" in line] == [3, 3]


def test_validations_are_lines_of_their_own(tmp_path: Path) -> None:
    class Validated(Numbers):
        def stages(self) -> list[Stage]:
            return [Stage("only", self.config.steps, [Update("g", ["G"], lambda batch, step: {"w": self.G().sum()})])]

        def validate(self, nets: Mapping[str, nn.Module]) -> dict[str, float]:
            return {"psnr": 20.0 + self.step, "ssim": 0.5}

    Validated(ToyConfig(), options(tmp_path, validate_every=4)).fit()
    result = [line for line in lines(tmp_path) if "validation" in line]
    seconds = [line.pop("seconds") for line in result]
    assert 0 <= seconds[0] <= seconds[1]
    assert result == [{"step": step, "validation": {"psnr": 20 + step, "ssim": 0.5}} for step in (4, 6)]


# ------------------------------------------------------------------------------------------------------------- the terminal


def test_lines_are_plain_when_there_is_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Counted(ToyConfig(), options(tmp_path, log_every=3)).fit()
    out, err = capsys.readouterr()
    assert out == ""
    assert "\x1b" not in err
    message = err.splitlines()
    assert [line.split()[:2] for line in message] == [["first", "3/6"], ["first", "6/6"], ["second", "2/2"]]
    for part in ("d/firing 10.5", "g/index 1", "items/s", "left"):
        assert part in message[0]


TERMINAL = """
import sys
from tests.engine.test_log import Counted
from tests.engine.toys import ToyConfig, options
Counted(ToyConfig(steps=40), options(sys.argv[1], log_every=2)).fit()
"""


@pytest.mark.slow
def test_a_terminal_gets_a_live_line(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "150"}
    command = [sys.executable, "-c", TERMINAL, str(tmp_path)]
    process = subprocess.Popen(command, env=environment, stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    message = b""
    try:
        while part := os.read(leader, 4096):
            message += part
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(leader)
    assert process.wait(timeout=60) == 0
    text = message.decode()
    assert "\x1b[" in text
    for part in ("first", "second", "40/40", "d/firing", "items/s", "0:00:00"):
        assert part in text


# ------------------------------------------------------------------------------------------------------------ TensorBoard


def events(folder: Path) -> list[Path]:
    return list(folder.glob("**/events.out.tfevents*"))


@pytest.mark.slow
def test_tensorboard_files_are_written_on_request(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    Counted(ToyConfig(steps=5), options(tmp_path / "with", log_every=2, tensorboard=True)).fit()
    Counted(ToyConfig(steps=5), options(tmp_path / "without", log_every=2)).fit()
    assert events(tmp_path / "without") == []
    assert len(events(tmp_path / "with")) == 1
    board = EventAccumulator(str(tmp_path / "with"))
    board.Reload()
    assert set(board.Tags()["scalars"]) == {
        "first/d/firing",
        "first/d/tokens",
        "first/g/index",
        "first/rows",
        "second/g/index",
    }
    assert [(event.step, event.value) for event in board.Scalars("first/d/firing")] == [(2, 5.5), (4, 25.5), (5, 40.5)]


def test_damaged_lines_are_skipped_with_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = options(tmp_path / "run", log_every=2, save_every=2)
    whole = Whole(ToyConfig(), options(tmp_path / "whole", log_every=2, save_every=2)).fit()
    cut(run, 8)
    path = tmp_path / "run" / "metrics.jsonl"
    path.write_bytes(b"\xff\n" + path.read_bytes() + b'{"step": 7, "los')
    Whole(ToyConfig(), resumed(run)).fit()
    assert f"{path}: 1 damaged lines ignored" in capsys.readouterr().err
    assert [line["step"] for line in lines(tmp_path / "run")] == [line["step"] for line in lines(whole.folder)]


# -------------------------------------------------------------------------------------------------------------- callbacks


class Noting(Callback):
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def on_step(self, trainer: Trainer) -> None:
        self.calls.append(("step", trainer.step))

    def on_evaluate(self, trainer: Trainer, metrics: Mapping[str, float]) -> None:
        self.calls.append(("evaluate", dict(metrics)))

    def on_checkpoint(self, trainer: Trainer, folder: Path) -> None:
        assert (folder / "run.json").exists()
        self.calls.append(("checkpoint", folder.name))

    def on_error(self, trainer: Trainer, error: BaseException) -> None:
        self.calls.append(("error", type(error)))

    def on_end(self, trainer: Trainer) -> None:
        assert (trainer.folder / "model" / "config.json").exists()
        self.calls.append(("end", trainer.step))

    def on_evaluation(self, trainer: Trainer, evaluation: Evaluation) -> None:
        self.calls.append(("evaluation", evaluation))


class Short(Numbers):
    def stages(self) -> list[Stage]:
        return [Stage("only", self.config.steps, [Update("g", ["G"], lambda batch, step: {"w": self.G().sum()})])]

    def validate(self, nets: Mapping[str, nn.Module]) -> dict[str, float]:
        return {"w": 0.5}


def test_callbacks_are_called_in_order(tmp_path: Path) -> None:
    assert {name for name in vars(Callback) if name.startswith("on_")} == {
        name for name in vars(Noting) if name.startswith("on_")
    }
    noting, second = Noting(), Noting()
    Short(ToyConfig(steps=3), options(tmp_path, save_every=2), [noting, second]).fit().evaluate()
    assert noting.calls == [
        ("checkpoint", "step-000000000"),
        ("step", 1),
        ("step", 2),
        ("checkpoint", "step-000000002"),
        ("step", 3),
        ("evaluate", {"w": 0.5}),
        ("checkpoint", "step-000000003"),
        ("end", 3),
        ("evaluation", Evaluation()),
    ]
    assert second.calls == noting.calls


def test_callbacks_hear_of_errors_and_never_of_an_end_then(tmp_path: Path) -> None:
    noting = Noting()
    with pytest.raises(PowerCut):
        Short(ToyConfig(), options(tmp_path / "0"), [noting, Crash(2)]).fit()
    assert noting.calls[-2:] == [("step", 2), ("error", PowerCut)]

    class Sick(Short):
        def stages(self) -> list[Stage]:
            return [Stage("only", 50, [Update("g", ["G"], lambda batch, step: {"w": self.G().sum() * math.nan})])]

    noting = Noting()
    with pytest.raises(TrainingError):
        Sick(ToyConfig(), options(tmp_path / "1", log_every=5), [noting]).fit()
    assert noting.calls[-1] == ("error", TrainingError)
    assert not any(call[0] == "end" for call in noting.calls)
    log = tmp_path / "1" / "metrics.jsonl"
    assert '"g/w": "NaN"' in log.read_text()  # JSON has no such number
    assert math.isnan(read_log(log)[0][0]["g/w"])


# ---------------------------------------------------------------------------------------------------- the run's folder, time


def test_a_run_leaves_a_folder_with_everything(tmp_path: Path) -> None:
    trainer = Whole(ToyConfig(), options(tmp_path / "run"), [Card()]).fit()
    trainer.evaluate()
    result = {path.name for path in trainer.folder.iterdir()}
    assert result == {"config.toml", "metrics.jsonl", "previews", "checkpoints", "model", "evaluation.json"}
    assert {path.name for path in (trainer.folder / "model").iterdir()} == {"G.safetensors", "README.md", "config.json"}
    about = json.loads((trainer.folder / "model" / "config.json").read_text())
    settings = {"batch": 4, "steps": 6, "lr": 0.01, "betas": [0.5, 0.9]}
    files = ["G.safetensors", "config.json"]
    expected = {
        "version": __version__,
        "method": "toy",
        "config": settings,
        "data": {"fingerprint": ""},
        "files": files,
    }
    assert about == expected
    table = read_toml(trainer.folder / "config.toml")
    assert (table["version"], table["method"], table["items"]) == (__version__, "toy", 24)
    assert table["title"].endswith(".") and table["parameters"] == sum(p.numel() for p in trainer.G.parameters())
    assert table["config"] == about["config"]
    assert (table["run"]["seed"], table["run"]["device"], table["run"]["precision"]) == (0, "cpu", "fp32")


def test_what_was_measured_is_written(tmp_path: Path) -> None:
    class Scored(Short):
        def score(self) -> Evaluation:
            return Evaluation({"G": {"w": 0.25}, "real": {"w": 0.125}}, {"w": "the one weight"})

    trainer = Scored(ToyConfig(), options(tmp_path, seed=4), [Card()]).fit()
    evaluation = trainer.evaluate()
    content = json.loads((tmp_path / "evaluation.json").read_text())
    assert content["rows"] == evaluation.rows == {"G": {"w": 0.25}, "real": {"w": 0.125}}
    assert content["definitions"] == {"w": "the one weight"}
    assert (content["method"], content["status"], content["seed"], content["steps"]) == ("toy", "ok", 4, {"only": 6})
    assert content.keys() >= {"command", "commit", "seeds", "date", "machine", "seconds"}
