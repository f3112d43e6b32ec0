"""The trial before training: what it chooses, that nothing of the run depends on it, and how it
shortens a preset's steps."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from multigen.config import read_config, read_toml, write_toml
from multigen.engine import Batch, Pool, Source, Stage, Step, TensorSource, Update
from multigen.engine import trial as trying
from multigen.engine.budget import part_within
from multigen.engine.device import choose_device
from multigen.engine.trial import Choice, choices_of
from multigen.errors import DataError, OutOfMemory
from tests.engine.toys import (
    Crash,
    PowerCut,
    Toy,
    ToyConfig,
    Whole,
    assert_same,
    assert_same_runs,
    options,
    resumed,
    saved_files,
)

CPU = choose_device("cpu")
FP32, CONTIGUOUS, BF16 = Choice("fp32"), Choice("fp32", "contiguous"), Choice("bf16")


class Convolving(Toy):
    """G: a convolution of 4 x 4 images (B, 2, 4, 4), with a running average."""

    def networks(self) -> dict[str, nn.Module]:
        return {"G": nn.Conv2d(2, 2, 3, padding=1)}

    def open_data(self) -> Source:
        self.opened = getattr(self, "opened", 0) + 1
        return TensorSource({"x": torch.linspace(-1, 1, 24 * 32).view(24, 2, 4, 4)})

    def averaged(self) -> dict[str, float]:
        return {"G": 0.9}

    def stages(self) -> list[Stage]:
        first = Stage("first", self.config.steps, [Update("g", ["G"], self.loss)])
        return [first, Stage("second", self.config.steps // 10, [Update("h", ["G"], self.loss)])]

    def loss(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        self.seen = batch["x"]
        return {"mse": (self.G(batch["x"]) - 1).square().mean()}


Seconds = Callable[[Choice, str], float]


def clock(monkeypatch: pytest.MonkeyPatch, seconds: Seconds) -> list[tuple[Choice, str, int]]:
    """Steps of a trial are made, but take what `seconds` says of a choice in a stage. Returns which
    were made. bf16 is there."""
    made: list[tuple[Choice, str, int]] = []
    really = trying._seconds

    def fake(trial: Any, stage: Stage, index: int) -> float:
        really(trial, stage, index)
        choice = Choice(trial.precision, trial.layout)
        made.append((choice, stage.name, index))
        return seconds(choice, stage.name)

    monkeypatch.setattr(trying, "_seconds", fake)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    return made


def takes(fp32: float, contiguous: float, bf16: float) -> Seconds:
    return lambda choice, stage: {FP32: fp32, CONTIGUOUS: contiguous, BF16: bf16}[choice]


def auto(folder: Path, **changes: Any) -> Any:
    return options(folder, precision="auto", **changes)


# ------------------------------------------------------------------------------------------------------------- what is chosen


@pytest.mark.parametrize(
    ("seconds", "choice", "said"),
    [
        ((1.0, 2.0, 1.5), FP32, "precision fp32: 1.5 times as fast as bf16 here"),
        ((1.0, 2.0, 0.5), BF16, "precision bf16: 2.0 times as fast as fp32 here"),
        ((1.1, 2.0, 1.0), BF16, "precision bf16: 1.1 times as fast as fp32 here"),
        ((1.09, 2.0, 1.0), FP32, "precision fp32: bf16 is not steadily 1.1 times as fast (1.09) here"),
        ((1.0, 0.5, 1.2), CONTIGUOUS, "layout contiguous: 2.0 times as fast as channels_last here"),
        (
            (1.0, 0.5, 0.48),
            CONTIGUOUS,
            "precision fp32: bf16 is not steadily 1.1 times as fast (1.04) here; layout contiguous: ",
        ),
        ((1.0, 0.5, 0.3), BF16, "precision bf16: 3.3 times as fast as fp32 here"),
        ((1.0, 0.95, 2.0), FP32, "layout channels_last: contiguous is not steadily 1.1 times as fast (1.05) here"),
    ],
)
def test_a_choice_must_gain_by_a_tenth(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    seconds: tuple[float, float, float],
    choice: Choice,
    said: str,
) -> None:
    clock(monkeypatch, takes(*seconds))
    trainer = Convolving(ToyConfig(steps=100), auto(tmp_path))
    trainer.prepare()
    assert Choice(trainer.precision, trainer.layout) == choice
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "measuring how long a step takes in fp32 and bf16, channels_last and contiguous"
    assert len(lines) == 2 and said in lines[1]


def test_stages_weigh_by_their_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """bf16 halves the time of the 10,000 steps, and adds to each of the 1,000 what they may or may
    not outweigh."""
    for slower, precision in ((0.03, "bf16"), (0.06, "fp32")):
        clock(monkeypatch, lambda c, stage, slower=slower: 0.01 if c != BF16 else 0.005 if stage == "first" else slower)
        trainer = Convolving(ToyConfig(steps=10_000), auto(tmp_path))
        trainer.prepare()
        assert trainer.precision == precision


def test_rounds_are_taken_in_turn_and_medians_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that slows down slows all of a round; one slow step of fp32 is no reason for
    bf16."""
    calls = iter(range(1_000_000))

    def seconds(choice: Choice, stage: str) -> float:
        slower = 1 + next(calls) / 50
        return slower * (0.01 if choice == CONTIGUOUS else 0.011) * (30 if next(calls) == 51 else 1)

    made = clock(monkeypatch, seconds)
    trainer = Convolving(ToyConfig(steps=10_000), auto(tmp_path, layout="contiguous"))
    trainer.prepare()
    assert trainer.precision == "fp32"
    turns = [choice for choice, stage, _ in made if stage == "first"][2:]
    assert turns[:6] == [CONTIGUOUS, Choice("bf16", "contiguous")] * 3


def test_a_gain_that_is_not_steady_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of a second, of which there are few: one in which the machine was busy with something
    else decides nothing."""
    calls = {FP32: 0, CONTIGUOUS: 0, BF16: 0}

    def seconds(choice: Choice, stage: str) -> float:
        calls[choice] += 1
        return 3.0 if choice == FP32 and calls[choice] % 3 == 0 else 1.0

    clock(monkeypatch, seconds)
    trainer = Convolving(ToyConfig(steps=10_000), auto(tmp_path))
    trainer.prepare()
    assert Choice(trainer.precision, trainer.layout) == FP32


def test_a_hopeless_choice_is_not_tried_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = clock(monkeypatch, takes(0.01, 0.02, 0.011))
    Convolving(ToyConfig(steps=50_000), auto(tmp_path)).prepare()
    tried = [choice for choice, stage, _ in made if stage == "first"]
    assert tried.count(CONTIGUOUS) == 2 < 10 < tried.count(BF16)


@pytest.mark.parametrize(("seconds", "most"), [(0.01, 6 + 1), (1.0, 11), (100.0, 200)])
def test_a_trial_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, most: float) -> None:
    """A few seconds; of slow steps as few as there can be, here one of each stage."""
    made = clock(monkeypatch, takes(seconds, seconds, seconds))
    Convolving(ToyConfig(steps=10_000), auto(tmp_path)).prepare()
    assert seconds * len(made) <= most


class Few(Convolving):
    """20 steps in the second stage."""

    def stages(self) -> list[Stage]:
        return [replace(stage, steps=20) if stage.name == "second" else stage for stage in super().stages()]


def test_stages_of_long_steps_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As SeqGAN's with rollouts, of which there are few: what is measured is most of the run, and
    the trial ends in its time."""
    spent: list[float] = []

    def seconds(choice: Choice, stage: str) -> float:
        spent.append((0.02 if stage == "first" else 4.0) * (0.5 if choice == BF16 else 1.0))
        return spent[-1]

    made = clock(monkeypatch, seconds)
    trainer = Few(ToyConfig(steps=10_000), auto(tmp_path))
    trainer.prepare()
    assert sum(spent) <= 11 and [stage for _, stage, _ in made].count("second") == 1
    assert trainer.precision == "bf16" and "2.0 times as fast as fp32" in capsys.readouterr().err
    assert trainer.paces == pytest.approx([0.01, 2.0])  # the estimate has all stages


def test_steps_too_long_to_be_compared_are_in_fp32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = clock(monkeypatch, takes(5.0, 5.0, 0.1))
    trainer = Convolving(ToyConfig(steps=100), auto(tmp_path))
    trainer.prepare()
    assert trainer.precision == "fp32" and len(made) == 2  # one of each stage, for the estimate
    assert trainer.paces == [5.0, 5.0]
    assert "precision fp32: its steps are too long to compare with others within 10 s" in capsys.readouterr().err


@pytest.mark.parametrize(("steps", "seconds", "tried"), [(40, 100.0, False), (100, 0.001, False), (100, 1.0, True)])
def test_a_run_of_seconds_is_not_worth_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, seconds: float, tried: bool
) -> None:
    """As one of the preset tiny."""
    made = clock(monkeypatch, takes(seconds, seconds, seconds / 2))
    trainer = Convolving(ToyConfig(steps=steps), auto(tmp_path))
    trainer.prepare()
    assert (BF16 in {choice for choice, *_ in made}) == tried
    assert trainer.precision == ("bf16" if tried else "fp32")


@pytest.mark.parametrize(
    ("precision", "layout", "native", "convolutional", "choices"),
    [
        ("auto", "channels_last", True, True, [FP32, CONTIGUOUS, BF16]),
        ("auto", "channels_last", True, False, [FP32, BF16]),
        ("auto", "channels_last", False, True, [FP32, CONTIGUOUS]),
        ("auto", "channels_last", False, False, [FP32]),
        ("auto", "contiguous", True, True, [CONTIGUOUS, Choice("bf16", "contiguous")]),
        ("fp32", "channels_last", True, True, [FP32]),
        ("bf16", "contiguous", True, True, [Choice("bf16", "contiguous")]),
        ("fp64", "channels_last", True, True, [Choice("fp64")]),
    ],
)
def test_what_is_left_open_is_tried(
    monkeypatch: pytest.MonkeyPatch,
    precision: Any,
    layout: Any,
    native: bool,
    convolutional: bool,
    choices: list[Choice],
) -> None:
    """What is given is not; and a given precision takes no other memory format than ever."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": native}, raising=False)
    run = options("", precision=precision, layout=layout)
    assert choices_of(run, CPU, convolutional) == choices


def test_a_precision_that_lacks_an_operation_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Lacking(Convolving):
        def loss(self, batch: Batch, step: Step) -> dict[str, Tensor]:
            if self.precision == "bf16":
                raise RuntimeError('"cholesky" not implemented for BFloat16')
            return super().loss(batch, step)

    clock(monkeypatch, takes(1.0, 1.0, 0.1))
    trainer = Lacking(ToyConfig(steps=100), auto(tmp_path))
    trainer.prepare()
    assert trainer.precision == "fp32"
    assert "bf16 lacks an operation" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("precision", "error", "kind", "message"),
    [
        ("fp32", RuntimeError("sizes"), RuntimeError, "sizes"),
        ("fp32", torch.OutOfMemoryError("no memory"), OutOfMemory, "lower --batch 4"),
        ("bf16", torch.OutOfMemoryError("no memory"), OutOfMemory, "lower --batch 4"),
        ("fp32", DataError("no file"), DataError, "no file"),
        ("bf16", DataError("no file"), DataError, "no file"),
    ],
)
def test_an_error_of_a_trial_is_the_runs_own(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
    error: Exception,
    kind: type[Exception],
    message: str,
) -> None:
    """But for one that is bf16's alone: that it needs more memory, or cannot read the data, is none
    of those."""

    class Failing(Convolving):
        def loss(self, batch: Batch, step: Step) -> dict[str, Tensor]:
            if self.precision == precision:
                raise error
            return super().loss(batch, step)

    clock(monkeypatch, takes(1.0, 1.0, 1.0))
    with pytest.raises(kind, match=message):
        Failing(ToyConfig(steps=100), auto(tmp_path / "run")).fit()
    assert not (tmp_path / "run").exists()


def test_steps_that_differ_stand_for_the_others_in_their_shares() -> None:
    def update(name: str, **more: Any) -> Update:
        return Update(name, ["G"], lambda batch, step: {}, **more)

    assert trying._kinds(Stage("a", 100, [update("g")])) == {0: 1.0}
    assert trying._kinds(Stage("a", 160, [update("g"), update("r1", every=16)])) == {0: 1 / 16, 1: 15 / 16}
    pool = Pool(lambda step: {}, every=10)
    assert trying._kinds(Stage("a", 100, [update("d", repeat=2, data=pool)])) == {0: 1 / 5, 1: 4 / 5}


# ------------------------------------------------------------------------------------------------- nothing depends on a trial


@pytest.mark.parametrize("bf16", [0.5, 2.0])
def test_a_run_is_the_same_with_and_without_a_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bf16: float
) -> None:
    """Batch norm, dropout, pools, averages, copies, controls, optimisers, to the last bit; and of
    two stages, the best too."""
    monkeypatch.setattr(trying, "MIN_STEPS", 0)
    monkeypatch.setattr(trying, "TIME_BOX", 1e6)  # all stages are tried
    made = clock(monkeypatch, takes(10.0, 20.0, 10.0 * bf16))
    tried = auto(tmp_path / "tried")
    trainer = Whole(ToyConfig(steps=12), tried).fit()
    assert made
    given = options(tmp_path / "given", precision="bf16" if bf16 < 1 else "fp32")
    assert trainer.precision == given.precision
    Whole(ToyConfig(steps=12), given).fit()
    assert_same_runs(tried, given)


def test_images_and_weights_are_in_the_chosen_memory_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, takes(1.0, 0.5, 1.0))
    run = auto(tmp_path / "run")
    trainer = Convolving(ToyConfig(steps=60), run).fit()
    for t in (trainer.G.weight, trainer.averages["G"].weight, trainer.seen):  # pyright: ignore[reportAttributeAccessIssue]
        assert isinstance(t, Tensor) and t.is_contiguous() and not t.is_contiguous(memory_format=torch.channels_last)
    assert read_toml(tmp_path / "run" / "config.toml")["run"]["layout"] == "contiguous"
    given = options(tmp_path / "given", layout="contiguous")
    Convolving(ToyConfig(steps=60), given).fit()
    assert_same(saved_files(run.out), saved_files(given.out))


def test_data_are_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = clock(monkeypatch, takes(1.0, 1.0, 1.0))
    trainer = Convolving(ToyConfig(steps=100), auto(tmp_path))
    trainer.prepare()
    assert made and trainer.opened == 1
    trainer.fit()
    assert trainer.opened == 1


@pytest.mark.parametrize("given", ["auto", "fp32"])
def test_a_resume_keeps_what_was_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: Any) -> None:
    """Without another trial, which might find something else; of a folder of runs as well."""
    clock(monkeypatch, takes(1.0, 0.5, 0.1 if given == "auto" else 1.0))
    run = auto(tmp_path / "run", save_every=10)
    with pytest.raises(PowerCut):
        Convolving(ToyConfig(steps=100), run, [Crash(15)]).fit()
    recorded = read_toml(tmp_path / "run" / "config.toml")["run"]
    made = clock(monkeypatch, takes(1.0, 2.0, 2.0))
    again = resumed(run, precision=given, resume=str(tmp_path), minutes=1.0, most_minutes=1e-9)
    trainer = Convolving(ToyConfig(steps=100), again).fit()
    assert not made and trainer.step == 110
    assert (trainer.precision, trainer.layout) == (recorded["precision"], recorded["layout"])
    assert read_toml(tmp_path / "run" / "config.toml")["run"] == recorded
    assert trainer.run_info().precision == recorded["precision"]


def test_a_run_from_before_there_was_a_choice_is_resumed(tmp_path: Path) -> None:
    run = options(tmp_path, save_every=2)
    with pytest.raises(PowerCut):
        Convolving(ToyConfig(steps=10), run, [Crash(5)]).fit()
    table = read_toml(tmp_path / "config.toml")
    del table["run"]["layout"], table["run"]["most_minutes"]
    write_toml(tmp_path / "config.toml", table)
    assert read_config(tmp_path / "config.toml")["run"]["layout"] == "channels_last"
    assert Convolving(ToyConfig(steps=10), resumed(run)).fit().layout == "channels_last"


# -------------------------------------------------------------------------------------------------------------- most_minutes


@pytest.mark.parametrize(
    ("seconds", "minutes", "part"),
    [
        *((240, 4, 1), (241, 4, 0.75), (320, 4, 0.75), (321, 4, 0.5), (480, 4, 0.5), (481, 4, 0.25), (960, 4, 0.25)),
        *((961, 4, 1 / 8), (1921, 4, 1 / 16), (1e9, 0, 1), (1e9, 1, 2**-20)),
    ],
)
def test_a_run_is_cut_in_quarters_then_in_halves(seconds: float, minutes: float, part: float) -> None:
    assert part_within(seconds, minutes) == part


def test_steps_are_cut_to_end_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock(monkeypatch, takes(1.0, 0.5, 2.0))
    trainer = Convolving(ToyConfig(steps=100), auto(tmp_path / "run", most_minutes=0.5))
    trainer.command = "multigen train toy laptop"
    trainer.prepare()
    assert [stage.steps for stage in trainer.plan] == [50, 5]
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "this run again" in line]
    assert line == (
        "1/2 of the steps, steps 50, to end within 0.5 minutes: all of them would take 0.9 here, and are made with "
        "--most-minutes 0; this run again: multigen train toy laptop --steps 50 --precision fp32 --layout contiguous"
    )


@pytest.mark.parametrize(
    "change", [{"most_minutes": 0.0}, {"most_minutes": 2.0}, {"most_minutes": 0.5, "minutes": 10.0}]
)
def test_steps_are_never_added_nor_cut_below_the_minutes_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], change: dict[str, float]
) -> None:
    clock(monkeypatch, takes(1.0, 2.0, 2.0))
    trainer = Convolving(ToyConfig(steps=100), options(tmp_path, **change))
    trainer.prepare()
    assert trainer.config.steps == (545 if "minutes" in change else 100)  # 600 s of 110
    assert "this run again" not in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------------- several ranks


RANKS = """
import json, os, sys
from pathlib import Path
import torch
from multigen.engine import trial as trying
from tests.engine.test_trial import Convolving
from tests.engine.toys import ToyConfig, options
rank = int(os.environ["RANK"])
really = trying._seconds
def fake(trial, stage, index):
    really(trial, stage, index)
    slow = {"fp32": 1.0, "bf16": 2.0 - 1.5 * (rank == 0)}  # only the first finds bf16 faster
    return slow[trial.precision] * (1 + rank)
trying._seconds = fake
torch.cpu.get_capabilities = lambda: {"avx512_bf16": True}
trainer = Convolving(ToyConfig(steps=100), options(sys.argv[1] + "/run", precision="auto", most_minutes=0.5))
trainer.fit()
Path(sys.argv[1], f"{rank}.json").write_text(json.dumps([trainer.precision, trainer.layout, trainer.config.steps]))
"""


@pytest.mark.dist
def test_all_ranks_get_what_the_first_decides(tmp_path: Path) -> None:
    (tmp_path / "ranks.py").write_text(RANKS)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([*torchrun, tmp_path / "ranks.py", tmp_path], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    assert result == [["bf16", "channels_last", 50]] * 2
