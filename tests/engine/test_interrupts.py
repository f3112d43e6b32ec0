"""A run that is stopped by a signal, or killed, goes on from where it was."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from multigen.engine import Callback, Stage, Trainer, checkpoint
from multigen.engine import trainer as trainer_module
from multigen.engine.interrupts import deferred_interrupts, interruptible
from multigen.errors import Interrupted
from tests.engine.toys import (
    AtStep,
    ToyConfig,
    Whole,
    assert_same,
    assert_same_runs,
    cut,
    options,
    resumed,
    saved_files,
    saved_numbers,
)

ROOT = Path(__file__).resolve().parents[2]


STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_ends_the_step_saves_and_says_how_to_go_on(tmp_path: Path, number: int) -> None:
    whole, run = options(tmp_path / "whole", log_every=4), options(tmp_path / "cut", log_every=4)
    Whole(ToyConfig(), whole).fit()

    def stop(trainer: Trainer) -> None:
        if trainer.step == 9:
            signal.raise_signal(number)

    handlers = [signal.getsignal(n) for n in STOPPING]
    with pytest.raises(Interrupted, match=rf"step 9.*--resume {run.out}") as caught:
        Whole(ToyConfig(), run, [AtStep(stop)]).fit()
    assert caught.value.signal == number
    assert [signal.getsignal(n) for n in STOPPING] == handlers
    assert saved_numbers(run.out)["step"] == 9
    assert (tmp_path / "cut" / "model").exists() is False
    Whole(ToyConfig(), resumed(run)).fit()
    assert_same_runs(whole, run)


def test_a_hangup_that_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    def hang_up(trainer: Trainer) -> None:
        signal.raise_signal(signal.SIGHUP)

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        trainer = Whole(ToyConfig(), options(tmp_path), [AtStep(hang_up)]).fit()
        with interruptible(lambda: "stopped"):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert trainer.step == 13


@pytest.mark.parametrize("while_writing", ["checkpoint", "model"])
def test_a_signal_while_something_is_written_comes_after_it(
    tmp_path: Path, while_writing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, run = options(tmp_path / "whole"), options(tmp_path / "cut")
    Whole(ToyConfig(), whole).fit()
    place, name = {"checkpoint": (checkpoint, "write"), "model": (trainer_module, "write_model")}[while_writing]
    write, signals = getattr(place, name), iter([signal.SIGTERM])

    def interrupted(*arguments: Any) -> None:
        for number in signals:
            signal.raise_signal(number)
        write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(place, name, interrupted)
        with pytest.raises(Interrupted, match=f"resume with: --resume {run.out}"):
            Whole(ToyConfig(), run).fit()
    assert (tmp_path / "cut" / "model").exists() == (while_writing == "model")
    Whole(ToyConfig(), resumed(run)).fit()
    assert_same_runs(whole, run)


@pytest.mark.parametrize("number", STOPPING)
def test_outside_of_training_a_signal_ends_at_once_with_a_line(number: int) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs have not
    try:
        handlers = [signal.getsignal(n) for n in STOPPING]
        with pytest.raises(Interrupted, match="how far it is") as caught, interruptible(lambda: "how far it is"):
            try:
                signal.raise_signal(number)
            except Exception:  # what makes do with failures does not catch it
                raise AssertionError from None
        assert caught.value.signal == number
        assert [signal.getsignal(n) for n in STOPPING] == handlers
    finally:
        signal.signal(signal.SIGINT, before)


def test_signals_are_deferred_during_training_only(tmp_path: Path) -> None:
    def handlers() -> list[object]:
        return [signal.getsignal(number) for number in STOPPING]

    before, during = handlers(), []
    Whole(ToyConfig(), options(tmp_path), [AtStep(lambda trainer: during.append(handlers()))]).fit()
    assert before == handlers()
    assert before not in during


def test_a_signal_that_a_library_in_c_has_taken_stays_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of such a handler Python knows only that it is there: None."""
    known, handlers = signal.getsignal, [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    monkeypatch.setattr(signal, "getsignal", lambda number: None if number == signal.SIGTERM else known(number))
    with deferred_interrupts() as numbers:
        assert known(signal.SIGTERM) == handlers[1] and known(signal.SIGINT) != handlers[0]
        signal.raise_signal(signal.SIGINT)
        assert numbers == [signal.SIGINT]
    assert [known(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_second_interrupt_is_heeded_at_once(tmp_path: Path) -> None:
    def stop(trainer: Trainer) -> None:
        if trainer.step == 4:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs have not
    try:
        with pytest.raises(KeyboardInterrupt):
            Whole(ToyConfig(), options(tmp_path, save_every=2), [AtStep(stop)]).fit()
    finally:
        signal.signal(signal.SIGINT, before)
    assert saved_numbers(tmp_path)["step"] == 2


def test_a_signal_at_the_last_step_of_a_stage_loses_nothing(tmp_path: Path) -> None:
    whole, run = options(tmp_path / "whole"), options(tmp_path / "cut")
    Whole(ToyConfig(), whole).fit()
    for at in (7, 13):  # the last steps of both stages

        def stop(trainer: Trainer, at: int = at) -> None:
            if trainer.step == at:
                signal.raise_signal(signal.SIGTERM)

        with pytest.raises(Interrupted):
            Whole(ToyConfig(), run if at == 7 else resumed(run), [AtStep(stop)]).fit()
    Whole(ToyConfig(), resumed(run)).fit()
    assert_same_runs(whole, run)


class Long(Whole):
    """Takes seconds."""

    def stages(self) -> list[Stage]:
        first, second = super().stages()
        return [first, replace(second, steps=self.config.steps)]


CHILD = """
import sys
from multigen.engine import Callback
from multigen.errors import Interrupted
from tests.engine.test_interrupts import Long
from tests.engine.toys import ToyConfig, options, resumed

class Ready(Callback):
    def on_step(self, trainer):
        if trainer.step == 20:
            print("ready", flush=True)

run = options(sys.argv[1], workers=int(sys.argv[2]))
if len(sys.argv) > 3:
    run = resumed(run)
try:
    Long(ToyConfig(steps=100_000), run, [Ready()]).fit()
except Interrupted as interrupted:
    print(interrupted, flush=True)
    sys.exit(128 + interrupted.signal)
"""


def started(*arguments: str) -> subprocess.Popen[str]:
    """A process group of its own, as a shell gives each command."""
    command = [sys.executable, "-c", CHILD, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, process_group=0
    )


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    running: list[subprocess.Popen[str]] = []
    yield running
    for process in running:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("number", STOPPING)
def test_signals_stop_a_command(
    tmp_path: Path, processes: list[subprocess.Popen[str]], number: int, workers: int
) -> None:
    """Sent to the whole group of processes, as terminals and schedulers do."""
    process = started(str(tmp_path), str(workers))
    processes.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, number)
    message, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    step = saved_numbers(tmp_path)["step"]
    assert step >= 20
    assert f"step {step}; " in message
    assert f"--resume {tmp_path}" in message
    # The same as a run that was never asked to stop.
    whole = options(tmp_path / "whole", save_every=step - 7)
    cut(whole, step - 1, Long, ToyConfig(steps=100_000))
    trainer = Long(ToyConfig(steps=100_000), replace(whole, out="", resume=whole.out), [Stop(step)])
    with pytest.raises(Interrupted):
        trainer.fit()
    assert_same(saved_files(whole.out), saved_files(tmp_path))


class Stop(Callback):
    def __init__(self, step: int):
        self.step = step

    def on_step(self, trainer: Trainer) -> None:
        if trainer.step == self.step:
            signal.raise_signal(signal.SIGINT)


KILLS = """
import os, random, signal, sys, time
import torch._dynamo  # optimisers import it; here once for all
from tests.engine.test_interrupts import Long
from tests.engine.toys import AtStep, ToyConfig, options, resumed

def attempt(folder, workers, slowly):
    run = options(folder, save_every=5, workers=workers)
    started = os.path.exists(folder + "/config.toml")
    wait = AtStep(lambda trainer: time.sleep(slowly))  # so that no machine comes to the end too soon
    Long(ToyConfig(steps=500), resumed(run) if started else run, [wait]).fit()

folder, moments = sys.argv[1], random.Random(0)
for kill in range(10):
    child = os.fork()
    if child == 0:
        try:
            attempt(folder, workers=2 * (kill % 2), slowly=0.01)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    time.sleep(moments.uniform(0.05, 0.6))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status)
    steps = sorted(os.listdir(folder + "/checkpoints")) if os.path.isdir(folder + "/checkpoints") else []
    print("killed" if killed else f"ended {status}", [s for s in steps if s.startswith("step")][-1:], flush=True)
attempt(folder, workers=0, slowly=0)
"""


@pytest.mark.slow
def test_a_run_killed_at_ten_moments_ends_as_one_never_killed(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", KILLS, str(tmp_path / "killed")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    message = done.stdout + done.stderr
    assert done.returncode == 0, message
    assert message.count("killed [") == 10, message
    whole = options(tmp_path / "whole", save_every=5)
    Long(ToyConfig(steps=500), whole).fit()
    assert_same(saved_files(tmp_path / "whole"), saved_files(tmp_path / "killed"))
    assert saved_numbers(tmp_path / "whole") == saved_numbers(tmp_path / "killed")
    models = [(tmp_path / name / "model" / "G.safetensors").read_bytes() for name in ("whole", "killed")]
    assert models[0] == models[1]
