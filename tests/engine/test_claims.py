"""A run's folder belongs to one process while it is trained and evaluated there."""

from collections.abc import Callable
from pathlib import Path

import pytest

from multigen.engine import Run, Trainer
from multigen.engine.evaluation import Evaluation
from multigen.errors import ConfigError
from multigen.storage.lock import locked
from tests.engine.toys import AtStep, ToyConfig, Whole, lines, options, resumed

IN_USE = r"run is in use by process \d+ on .*; wait until it ends, or stop it"


def again(run: Run) -> Whole:
    return Whole(ToyConfig(), run)


@pytest.mark.parametrize("how", [resumed, lambda run: run], ids=["resume", "same --out"])
def test_a_living_run_is_not_entered(tmp_path: Path, how: Callable[[Run], Run]) -> None:
    run, refused = options(tmp_path / "run"), []

    def enter(trainer: Trainer) -> None:
        if trainer.step in (1, 12):
            with pytest.raises(ConfigError) as caught:
                again(how(run)).fit()
            refused.append(str(caught.value))

    Whole(ToyConfig(), run, [AtStep(enter)]).fit()
    assert len(refused) == 2
    assert all("is in use by process" in line or "holds a run already" in line for line in refused)
    assert [line["step"] for line in lines(tmp_path / "run")][-1] == 13


def test_a_folder_is_claimed_before_the_data_are_opened(tmp_path: Path) -> None:
    class Slow(Whole):
        def open_data(self):
            with pytest.raises(ConfigError, match=IN_USE):
                again(options(tmp_path / "run")).fit()
            return super().open_data()

    Slow(ToyConfig(), options(tmp_path / "run")).fit()


def test_it_is_claimed_for_the_evaluation_too(tmp_path: Path) -> None:
    run = options(tmp_path / "run")

    class Scored(Whole):
        def score(self) -> Evaluation:
            with pytest.raises(ConfigError, match=IN_USE):
                again(resumed(run)).fit()
            return Evaluation()

    trained = Scored(ToyConfig(), run).fit()
    again(resumed(run)).fit()  # nothing is held between the two
    trained.evaluate()
    with trained.claimed(), pytest.raises(ConfigError, match=IN_USE):
        again(resumed(run)).fit()
    with locked(tmp_path / "run"), pytest.raises(ConfigError, match=IN_USE):
        trained.evaluate()
    assert not (tmp_path / "run" / ".lock").exists()


def test_a_run_that_ended_meanwhile_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes found no run in the folder; the other was quicker."""

    def late(out: str, name: str, moment: float) -> Path:
        monkeypatch.undo()
        again(options(tmp_path / "run")).fit()
        return Path(out)

    monkeypatch.setattr("multigen.engine.trainer.new_folder", late)
    with pytest.raises(ConfigError, match="holds a run already; resume it with --resume"):
        again(options(tmp_path / "run")).fit()


def test_of_a_run_that_never_began_no_folder_remains(tmp_path: Path) -> None:
    class Broken(Whole):
        def open_data(self):
            raise ConfigError("no such data")

    with pytest.raises(ConfigError, match="no such data"):
        Broken(ToyConfig(), options(tmp_path / "run")).fit()
    assert [*tmp_path.iterdir()] == []
