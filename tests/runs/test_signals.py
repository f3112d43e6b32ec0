"""Signals to a command that trains: before, while and after it trains, and when its window is
closed."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from multigen.console import exit_code
from multigen.engine import Source
from multigen.engine.evaluation import Evaluation
from multigen.runs.log import History
from multigen.runs.runner import train
from multigen.storage.files import from_json
from multigen.storage.output import replacing
from tests.cases import few
from tests.engine.toys import ToyConfig, Whole, options, resumed, saved_numbers

ROOT = Path(__file__).resolve().parents[2]


class Stopped(Whole):
    """Gets a signal at a certain place."""

    number, where = signal.SIGTERM, ""

    def at(self, place: str) -> None:
        if self.where == place:
            signal.raise_signal(self.number)

    def open_data(self) -> Source:
        self.at("data")
        return super().open_data()

    def score(self) -> Evaluation:
        self.at("evaluation")
        return Evaluation({"only/last": {"loss": 1.0}}, {"loss": "a number"})


@pytest.mark.parametrize("number", few([signal.SIGTERM, signal.SIGHUP], signal.SIGTERM))
def test_a_signal_in_the_evaluation_says_how_to_evaluate_again(
    tmp_path: Path, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    run = options(tmp_path / "run")
    stopped: Any = type("Ended", (Stopped,), {"number": number, "where": "evaluation"})
    assert exit_code(lambda: train(stopped, ToyConfig(), run)) == 128 + number
    message = f"stopped before the evaluation was written; resume with: --resume {run.out}"
    assert message in capsys.readouterr().err.splitlines()
    log = [from_json(line) for line in (tmp_path / "run" / "log.jsonl").read_bytes().splitlines()]
    assert log[-1]["error"] == f"Interrupted: {message}"
    assert not (tmp_path / "run" / "evaluation.json").exists()
    assert exit_code(lambda: train(Stopped, ToyConfig(), resumed(run))) == 0
    assert from_json((tmp_path / "run" / "evaluation.json").read_bytes())["rows"] == {"only/last": {"loss": 1.0}}


def test_a_signal_in_the_preparation_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = options(tmp_path / "run")
    stopped: Any = type("Ended", (Stopped,), {"where": "data"})
    assert exit_code(lambda: train(stopped, ToyConfig(), run)) == 128 + signal.SIGTERM
    assert capsys.readouterr().err == "stopped before training; nothing was changed\n"
    assert [*tmp_path.iterdir()] == []


def test_a_second_signal_while_training_names_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def twice(history: History, trainer: Any) -> None:
        if trainer.step == 9:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(History, "on_step", twice)
    run = options(tmp_path / "run", save_every=4)
    assert exit_code(lambda: train(Stopped, ToyConfig(), run)) == 128 + signal.SIGTERM
    assert f"stopped; resume with: --resume {run.out}\n" in capsys.readouterr().err
    assert saved_numbers(run.out)["step"] == 7  # the end of the stage before


WINDOW = """
import sys
from multigen.console import exit_code
from multigen.runs.runner import train
from tests.engine.test_interrupts import Long
from tests.engine.toys import ToyConfig, options
sys.exit(exit_code(lambda: train(Long, ToyConfig(steps=100_000), options(sys.argv[1], log_every=5))))
"""


@pytest.mark.slow
@pytest.mark.parametrize("live", [True, False], ids=["a terminal", "plain lines"])
def test_a_window_that_is_closed_saves_the_run(tmp_path: Path, live: bool) -> None:
    run, environment = tmp_path / "run", {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    leader, follower = pty.openpty()
    command = [sys.executable, "-c", WINDOW, str(run)]
    error = follower if live else subprocess.DEVNULL
    process = subprocess.Popen(
        command, env=environment, stdin=follower, stdout=follower, stderr=error, start_new_session=True,
        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(follower)
    while process.poll() is None and not len([*run.glob("checkpoints/step-*")]) > 1:
        time.sleep(0.05)
    before, last = saved_numbers(run)["step"], 0
    while process.poll() is None and last <= before:  # until it is past the checkpoint
        time.sleep(0.05)
        last = max(map(int, re.findall(r'^{"step": (\d+)', (run / "metrics.jsonl").read_text(), re.M)), default=0)
    assert process.poll() is None
    os.close(leader)
    assert process.wait(timeout=60) == 128 + signal.SIGHUP
    assert saved_numbers(run)["step"] > before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_any_command_is_one_line_and_nothing_half_written_stays(
    tmp_path: Path, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "drawn.png"
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]

    def write() -> None:
        with replacing(out) as file:
            file.write_bytes(b"half of it")
            signal.raise_signal(number)

    assert exit_code(write) == 128 + number
    assert capsys.readouterr().err == "stopped\n"
    assert not [*tmp_path.iterdir()]
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_a_command_under_nohup_ignores_the_hangup() -> None:
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert exit_code(lambda: signal.raise_signal(signal.SIGHUP)) == 0
    finally:
        signal.signal(signal.SIGHUP, old)
