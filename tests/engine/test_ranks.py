"""Ranks that do not come, that differ, and that are lost: one line on each of the others, and how
to resume."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from multigen.console import exit_code
from multigen.engine import Batch, Callback, Source, Step, TensorSource, Trainer, distributed
from multigen.errors import ConfigError, DataError, TrainingError
from tests.engine.toys import Small, ToyConfig, options, points, resumed

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


# ------------------------------------------------------------------------------------------------------- those that do not come


def joins(monkeypatch: pytest.MonkeyPatch, **settings: str) -> None:
    usual = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    for name, value in {**usual, "MULTIGEN_WAIT": "0", **settings}.items():
        monkeypatch.setenv(name, value) if value != "unset" else monkeypatch.delenv(name, raising=False)
    distributed.join(torch.device("cpu"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"RANK": "2"}, r"RANK 2 of WORLD_SIZE 2 .*expected a rank from 0 to 1.*torchrun"),
        ({"RANK": "-1"}, r"RANK -1 of WORLD_SIZE 2"),
        ({"RANK": "unset"}, r"RANK is '': expected a whole number.*torchrun"),
        ({"RANK": "first"}, r"RANK is 'first'"),
        ({"WORLD_SIZE": "two"}, r"WORLD_SIZE is 'two': expected a whole number"),
        ({"MASTER_ADDR": "unset"}, r"MASTER_ADDR ''.*expected .*a host and a port"),
        ({"MASTER_PORT": "unset"}, r"MASTER_PORT is ''"),
        ({"MASTER_PORT": "70000"}, r"MASTER_PORT 70000"),
        ({"MULTIGEN_WAIT": "soon"}, r"MULTIGEN_WAIT is 'soon': expected a whole number; set one"),
    ],
)
def test_an_environment_that_does_not_say_who_the_ranks_are(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        joins(monkeypatch, **settings)


@pytest.mark.parametrize(("rank", "here"), [("0", "1 joined"), ("1", "this is rank 1; Connection refused")])
def test_a_rank_that_waits_says_so_and_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rank: str, here: str
) -> None:
    monkeypatch.setattr(distributed, "FIRST_NOTICE", 0.1)
    port = str(free_port())
    with pytest.raises(TrainingError, match=rf"not all of 2 ranks joined 127\.0\.0\.1:{port} within 1 s \({here}\)"):
        joins(monkeypatch, RANK=rank, MASTER_PORT=port, MULTIGEN_WAIT="1")
    assert capsys.readouterr().err == f"waiting for 2 ranks ({here}) at 127.0.0.1:{port}\n"


def test_a_port_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        with pytest.raises(ConfigError, match=r"MASTER_PORT \d+: .*choose another port"):
            joins(monkeypatch, MASTER_PORT=str(taken.getsockname()[1]))


def test_other_errors_are_no_lost_ranks() -> None:
    with pytest.raises(RuntimeError, match="shapes"), distributed.lost_ranks(lambda: "never asked"):
        raise RuntimeError("shapes of gloo differ")


# ------------------------------------------------------------------------------------------------------ those that are there


class Kill(Callback):
    def on_step(self, trainer: Trainer) -> None:
        if trainer.step == 7 and distributed.rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)


class Failing(Small):
    """The second rank cannot read a batch."""

    def d(self, batch: Batch, step: Step) -> Mapping[str, Any]:
        return {"mse": self.D(batch["x"]).square().mean()}

    def preview(self, nets: Any, folder: Path) -> None:
        return None

    def validate(self, nets: Any) -> dict[str, float]:
        if distributed.rank() == 1:
            raise DataError("the disk of the second rank is gone; mount it")
        return {"figure": 1.0}


class OtherData(Small):
    def open_data(self) -> Source:
        return TensorSource({"x": points(24 + distributed.rank())})


def main(case: str, folder: Path) -> None:
    """What each of two processes does."""
    config, run = ToyConfig(steps=20), options(folder, save_every=5)
    rank = int(os.environ["RANK"])
    kinds: dict[str, tuple[type[Small], Any, Any, list[Callback]]] = {
        "killed": (Small, config, run, [Kill()]),
        "failing": (Failing, config, options(folder, save_every=5, validate_every=8), []),
        "settings": (Small, ToyConfig(steps=20 + rank), run, []),
        "options": (Small, config, options(folder, seed=rank), []),
        "data": (OtherData, config, run, []),
    }
    kind, config, run, callbacks = kinds[case]
    kind(config, run, callbacks).fit()


def two(case: str, folder: Path) -> list[tuple[int, str]]:
    """Exit code and standard error of each of two ranks; all have ended within a minute of the
    first's end."""
    port, started = str(free_port()), list[subprocess.Popen[str]]()
    for rank in "01":
        ranks = {"RANK": rank, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        environment = {**os.environ, **ranks, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MULTIGEN_WAIT": "120"}
        command = [sys.executable, __file__, case, str(folder)]
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    began = time.monotonic()
    while all(process.poll() is None for process in started):
        assert time.monotonic() < began + 200
        time.sleep(0.1)
    message = [process.communicate(timeout=60)[1] for process in started]
    return [(process.returncode, text) for process, text in zip(started, message, strict=True)]


def last(text: str) -> str:
    assert "Traceback" not in text
    return text.splitlines()[-1]


@pytest.mark.dist
def test_a_rank_that_is_killed_ends_the_others_with_one_line_and_the_run_resumes(tmp_path: Path) -> None:
    (code, message), (killed, _) = two("killed", tmp_path / "run")
    assert (code, killed) == (2, -signal.SIGKILL)
    assert last(message).startswith("error: another rank was lost (")
    assert last(message).endswith(f"resume with: --resume {tmp_path / 'run'}")
    assert Small(ToyConfig(steps=20), resumed(options(tmp_path / "run", save_every=5))).fit().step == 20


@pytest.mark.dist
def test_an_error_of_one_rank_ends_the_others_and_stays_visible(tmp_path: Path) -> None:
    (code, message), (failed, why) = two("failing", tmp_path / "run")
    assert (code, failed) == (2, 2)
    assert last(why) == "error: the disk of the second rank is gone; mount it"
    assert last(message).startswith("error: another rank was lost (")


@pytest.mark.dist
@pytest.mark.parametrize(
    ("case", "differs"),
    [
        ("settings", "steps is 20 on rank 0, 21 on rank 1; start all with one command and one version"),
        ("options", "seed is 0 on rank 0, 1 on rank 1"),
        ("data", "data, items is 24 on rank 0, 25 on rank 1; give all ranks the same data"),
    ],
)
def test_ranks_that_differ_are_refused(tmp_path: Path, case: str, differs: str) -> None:
    for code, message in two(case, tmp_path / "run"):
        assert code == 2
        assert f"error: ranks differ: {differs}" in last(message)


if __name__ == "__main__":
    raise SystemExit(exit_code(lambda: main(sys.argv[1], Path(sys.argv[2]))))
