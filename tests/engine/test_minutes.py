"""Training for a number of minutes: the steps are fixed before anything is built. And the time that
a run took, and takes."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from multigen.config import read_toml
from multigen.engine import Source, Stage, Update
from multigen.engine import trial as trying
from multigen.engine.time_left import TimeLeft
from multigen.errors import ConfigError, DataError
from tests.engine.toys import AtStep, Crash, PowerCut, Toy, ToyConfig, options, resumed, saved_numbers


class Timed(Toy):
    def stages(self) -> list[Stage]:
        g = Update("g", ["G"], lambda batch, step: {"mse": (self.fakes(step) - batch["x"]).square().mean()})
        return [Stage("only", self.config.steps, [g])]


@pytest.fixture(autouse=True)
def a_hundred_steps_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """So a trial finds, whatever else the machine does."""
    really = trying._seconds

    def fake(*of: Any) -> float:
        really(*of)
        return 0.01

    monkeypatch.setattr(trying, "_seconds", fake)


def test_minutes_fix_the_steps_and_record_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = options(tmp_path / "run", minutes=0.6 / 60)
    trainer = Timed(ToyConfig(steps=10), run).fit()
    assert trainer.config.steps == trainer.step == 60
    table = read_toml(tmp_path / "run" / "config.toml")
    assert table["config"]["steps"] == trainer.step
    assert table["run"]["minutes"] == 0
    assert "0.01 minutes are steps 60 here" in capsys.readouterr().err
    # The same again by its recorded configuration: measuring has left no trace in the numbers.
    again = Timed(ToyConfig(steps=trainer.step), options(tmp_path / "again")).fit()
    for a, b in zip(trainer.G.parameters(), again.G.parameters(), strict=True):
        assert torch.equal(a, b)


def test_minutes_scale_all_stages_alike(tmp_path: Path) -> None:
    class Several(Timed):
        def stages(self) -> list[Stage]:
            (stage,) = super().stages()
            half = Stage("half", self.config.steps // 2, stage.updates)
            return [stage, half]

    trainer = Several(ToyConfig(steps=40), options(tmp_path, minutes=0.3 / 60)).fit()
    assert [stage.steps for stage in trainer.plan] == [trainer.config.steps, trainer.config.steps // 2]
    assert (trainer.config.steps, trainer.step) == (20, 30)


def test_a_run_of_minutes_is_resumed_by_its_recorded_steps(tmp_path: Path) -> None:
    run = options(tmp_path, minutes=0.3 / 60)
    with pytest.raises(PowerCut):
        Timed(ToyConfig(steps=10), run, [Crash(3)]).fit()
    steps = read_toml(tmp_path / "config.toml")["config"]["steps"]
    trainer = Timed(ToyConfig(steps=steps), resumed(run)).fit()
    assert trainer.step == saved_numbers(tmp_path)["step"] == steps
    assert read_toml(tmp_path / "config.toml")["config"]["steps"] == steps


def test_the_time_of_a_run_adds_up_over_its_resumes(tmp_path: Path) -> None:
    seconds: list[float] = []
    note = AtStep(lambda trainer: seconds.append(trainer.state.scalars["seconds"]))
    run = options(tmp_path, save_every=2)
    with pytest.raises(PowerCut):
        Timed(ToyConfig(), run, [note, Crash(5)]).fit()
    Timed(ToyConfig(), resumed(run), [note]).fit()
    before, after = seconds[:5], seconds[5:]
    assert before == sorted(before)
    assert after[0] >= before[4 - 1] * 0.999  # from step 4 on
    assert after == sorted(after)


class Noting(Timed):
    """Notes its steps whenever it opens data, builds networks or states stages."""

    opened: list[int]

    def open_data(self) -> Source:
        self.opened.append(self.config.steps)
        return super().open_data()

    def networks(self) -> dict[str, nn.Module]:
        self.opened.append(self.config.steps)
        return super().networks()

    def stages(self) -> list[Stage]:
        self.opened.append(self.config.steps)
        return super().stages()


@pytest.mark.parametrize("prepared", [False, True])
def test_the_configuration_stays_once_anything_is_built(tmp_path: Path, prepared: bool) -> None:
    """A copy is built to measure the speed, and only then what is trained, its data too, which may
    hold the configuration."""
    kind: Any = type("Fresh", (Noting,), {"opened": []})
    trainer = kind(ToyConfig(steps=10), options(tmp_path, minutes=0.1 / 60))
    if prepared:
        trainer.prepare()
    config = trainer.fit().config
    assert trainer.opened == [10] * 3 + [config.steps] * 3
    assert trainer.config is config


def test_a_folder_in_use_is_refused_before_the_speed_is_measured(tmp_path: Path) -> None:
    run = options(tmp_path, minutes=0.1 / 60)
    (tmp_path / "notes.txt").touch()
    kind: Any = type("Fresh", (Noting,), {"opened": []})
    with pytest.raises(ConfigError, match=r"is not empty \(notes\.txt\)"):
        kind(ToyConfig(), run).fit()
    assert kind.opened == []


@pytest.mark.parametrize("minutes", [0, 0.1 / 60])
def test_data_that_cannot_be_opened_leave_no_folder(tmp_path: Path, minutes: float) -> None:
    class Missing(Timed):
        def open_data(self) -> Source:
            raise DataError("no data")

    with pytest.raises(DataError, match="no data"):
        Missing(ToyConfig(), options(tmp_path / "run", minutes=minutes)).fit()
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------------------------------------------------- the time left


def left_after(
    monkeypatch: pytest.MonkeyPatch, left: TimeLeft, number: int, first: int, index: int, took: float
) -> float:
    """Seconds left when the steps from `first` to `index` of stage `number` took so many."""
    now = iter([100.0, 100.0 + took])
    monkeypatch.setattr("multigen.engine.time_left.time.monotonic", lambda: next(now))
    left.begin(number, first)
    return left.after(index)


def test_the_time_left_is_that_of_all_stages_and_of_the_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    left = TimeLeft([100, 50], [0.1, 1.0])
    whole = 100 * 0.1 + 50 * 1.0
    assert left_after(monkeypatch, left, 0, 0, 40, 4.0) == pytest.approx(60 * 0.1 + 50 * 1.0 + 0.05 * whole)
    assert left_after(monkeypatch, left, 1, 0, 50, 50.0) == pytest.approx(0.05 * whole)
    left.validation = 3.0
    assert left_after(monkeypatch, left, 1, 10, 20, 10.0) == pytest.approx(30 * 1.0 + 15.0)


def test_a_machine_that_became_slow_is_slow_later_too(monkeypatch: pytest.MonkeyPatch) -> None:
    left = TimeLeft([100, 50], [0.1, 1.0])
    left.validation = 0.0
    assert left_after(monkeypatch, left, 0, 0, 40, 8.0) == pytest.approx(60 * 0.2 + 50 * 2.0)


def test_without_a_trial_later_steps_are_taken_for_present_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    left = TimeLeft([100, 50])
    left.validation = 0.0
    assert left_after(monkeypatch, left, 0, 90, 95, 1.0) == pytest.approx(5 * 0.2 + 50 * 0.2)


def test_each_line_says_the_time_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Timed(ToyConfig(steps=4), options(tmp_path, log_every=2)).fit().evaluate()
    *lines, last = capsys.readouterr().err.splitlines()
    for line in lines:
        assert re.search(r"  about \d+:\d\d:\d\d left, evaluation included$", line), line
    assert len(lines) == 2 and last == "evaluating the trained networks"


def test_a_validation_is_timed(tmp_path: Path) -> None:
    class Validated(Timed):
        def validate(self, nets: Any) -> dict[str, float]:
            return {"size": 1.0}

    assert Timed(ToyConfig(), options(tmp_path / "without")).fit().left.validation is None
    assert (Validated(ToyConfig(), options(tmp_path / "with")).fit().left.validation or 0) > 0
