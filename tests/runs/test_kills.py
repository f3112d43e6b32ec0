"""Runs of one method of each modality and task, and of StyleGAN2, killed at random moments and gone
on with, end as one that was never killed."""

import contextlib
import datetime
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from multigen.storage.model_folder import find_model, read_model
from tests.audio.translation.toys import recordings
from tests.engine.toys import assert_same, checkpoints, saved_files, saved_numbers

QUIET = "--device cpu --precision fp32 --log-every 3 --save-every 5 --validate-every 20 --preview-every 10"
METHODS = {
    "dcgan": "tiny --steps 60 --width 4 --validation-size 100 --samples 100",
    "stylegan2": "tiny --steps 40 --validation-size 100 --augment bgc --augment-speed 0.4",
    "srgan": "tiny --pretrain-steps 30 --steps 10 --crop 32 --blocks 1 --width 4 --discriminator-width 4 --validation-size 2",
    "cyclegan": "tiny --size 32 --crop 16 --discriminator-layers 1 --steps 40 --history 6",
    "maskcyclegan": "tiny --data voices --width 4 --bands 24 --segment 16 --batch 2 --test-size 1 --steps 60 --history 6",
    "wavegan": "tiny --steps 60 --width 2 --samples 40 --shuffle 2",
    "seqgan": "tiny --data fables:200 --mle-steps 30 --control-steps 0 --discriminator-steps 10 --steps 20 --samples 40",
}
DATA = {"maskcyclegan": lambda folder: recordings(folder / "voices")}
"""What else must be in a method's folder: the embedded sentences take seconds to make."""
KILLS = 5


def with_data(method: str, folder: Path) -> Path:
    if method in DATA:
        DATA[method](folder)
    return folder


def started(method: str, words: str, folder: Path) -> subprocess.Popen[bytes]:
    """With one thread: with another number the bits may differ."""
    command = [sys.executable, "-m", f"multigen.recipes.{method}", *words.split()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for(process: subprocess.Popen[bytes], there: Callable[[], bool]) -> None:
    """Until it is there, or the process has ended."""
    while process.poll() is None and not there():
        time.sleep(0.002)


def killed(process: subprocess.Popen[bytes], later: float) -> bool:
    """Kills it after so many seconds; whether it was alive until then."""
    time.sleep(later)
    process.kill()
    return process.wait() == -9


def finish(method: str, run: str, folder: Path) -> None:
    assert started(method, f"--resume {run}", folder).wait() == 0


def assert_same_ends(a: Path, b: Path) -> None:
    """Weights, averages, optimisers, model, figures, metrics and what was drawn, bit for bit; and
    nothing left over."""
    assert_same(saved_files(a), saved_files(b))
    assert saved_numbers(a) == saved_numbers(b)
    names = sorted(p.name for p in (a / "model").iterdir())
    assert names == sorted(p.name for p in (b / "model").iterdir())
    for name in {*names} - {"README.md"}:  # the card says how long training took
        assert (a / "model" / name).read_bytes() == (b / "model" / name).read_bytes(), name
    rows = [json.loads((run / "evaluation.json").read_text())["rows"] for run in (a, b)]
    assert rows[0] == rows[1]
    assert metrics(a) == metrics(b)
    for folder in (".", "previews"):
        names = sorted(p.name for p in (a / folder).iterdir())
        assert names == sorted(p.name for p in (b / folder).iterdir())
        for name in [name for name in names if Path(name).suffix in (".png", ".wav", ".txt")]:
            assert (a / folder / name).read_bytes() == (b / folder / name).read_bytes(), name
    for line in (b / "log.jsonl").read_bytes().splitlines():
        json.loads(line)


def metrics(run: Path) -> list[dict[str, Any]]:
    """Lines of metrics.jsonl, but for the speed."""
    result = [json.loads(line) for line in (run / "metrics.jsonl").read_bytes().splitlines()]
    return [
        {name: value for name, value in line.items() if name not in ("items_per_second", "seconds")} for line in result
    ]


FORKS = """
import os, sys
from importlib import import_module
from multigen.console import exit_code
from multigen.runs.runner import train_by
module = import_module(f"multigen.recipes.{sys.argv[1]}")
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(nowhere, stream)
        sys.argv[1:] = line.split()
        os._exit(exit_code(lambda: train_by(line.split(), module.TRAINER, module.PRESETS, "forked")))
    os.write(1, b"%9d\\n" % child)
    os.write(1, b"%9d\\n" % os.waitpid(child, 0)[1])
"""


class Forks:
    """Starts the commands of a method as forks of one process, which has imported what takes
    longest."""

    def __init__(self, method: str, folder: Path):
        command, environment = [sys.executable, "-c", FORKS, method], {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    def status(self, words: str, later: float | None = None) -> int:
        """Exit code of a command; -9 if it was alive after so many seconds, and therefore
        killed."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{words}\n".encode())
        child, answers = int(self.process.stdout.read(10)), self.process.stdout
        if later is not None and not select.select([answers], [], [], later)[0]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        return os.waitstatus_to_exitcode(int(answers.read(10)))

    def close(self) -> None:
        self.process.communicate()


def chains(method: str, folder: Path, kills: int, moments: random.Random) -> None:
    """Runs that are killed at any moments, at least `kills` in all, and end as one that never
    was."""
    words, done, number = f"{METHODS[method]} {QUIET}", 0, 0
    with contextlib.closing(Forks(method, with_data(method, folder))) as forks:
        for _ in range(2):  # the second one finds results of the first, and tells how long a run takes
            shutil.rmtree(folder / "whole", ignore_errors=True)
            began = time.monotonic()
            assert forks.status(f"{words} --out whole") == 0
        longest = time.monotonic() - began
        while done < kills:
            run, number, before = folder / f"run-{number}", number + 1, done
            enough = min(kills, done + moments.randint(1, 8))
            while True:
                again = f"--resume {run}" if (run / "config.toml").exists() else f"{words} --out {run}"
                status = forks.status(again, moments.uniform(0, 1) * longest if done < enough else None)
                if status != -signal.SIGKILL:
                    break
                done += 1
            assert status == 0, (method, run)
            assert_same_ends(folder / "whole", run)
            print(f"{method}: a run killed {done - before} times ended as one that never was", flush=True)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_run_killed_at_five_moments_and_as_it_ends(method: str, tmp_path: Path) -> None:
    words = f"{METHODS[method]} {QUIET}"
    assert started(method, f"{words} --out whole", with_data(method, tmp_path)).wait() == 0
    moments, run = random.Random(method), tmp_path / "cut"
    steps = sorted(moments.randrange(1, 50) for _ in range(KILLS))
    process, alive = started(method, f"{words} --out cut", tmp_path), 0
    for step in steps:
        wait_for(process, lambda step=step: any(int(p.name[5:]) >= step for p in checkpoints(run)))
        alive += killed(process, moments.uniform(0, 0.1))
        process = started(method, "--resume cut", tmp_path)
    # As the model folder is written, and as a rule before the figures are.
    wait_for(process, (run / "model").exists)
    alive += killed(process, 0)
    process = started(method, "--resume cut", tmp_path)
    wait_for(process, (run / "model" / "config.json").exists)
    alive += killed(process, moments.uniform(0, 0.3))
    finish(method, "cut", tmp_path)
    assert alive >= KILLS  # a quick evaluation may have ended before the last two
    assert_same_ends(tmp_path / "whole", run)


SEED = int(os.environ.get("MULTIGEN_KILLS", datetime.date.today().toordinal()))
"""Of the moments: another one each day."""


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_run_killed_at_any_moments_ends_as_one_never_killed(method: str, tmp_path: Path) -> None:
    print(f"MULTIGEN_KILLS={SEED} repeats these moments")
    chains(method, tmp_path, 3, random.Random(f"{SEED}/{method}"))


@pytest.mark.long
@pytest.mark.parametrize("method", METHODS)
def test_a_hundred_kills(method: str, tmp_path: Path) -> None:
    """A share of them on each method: pytest -m long -s tests/runs/test_kills.py"""
    print(f"MULTIGEN_KILLS={SEED} repeats these moments")
    chains(method, tmp_path, 25, random.Random(f"{SEED}/{method}"))


WRITER = """
import itertools, sys
from pathlib import Path
import torch
from multigen.storage.model_folder import write_model
for number in itertools.count():
    weights = {name: {"w": torch.full((20_000,), float(number))} for name in "ABC"}
    write_model(Path(sys.argv[1]) / "model", "toy", {"number": number}, weights, {"README.md": str(number)})
    print(number, flush=True)
"""


@pytest.mark.slow
def test_a_model_folder_is_whole_whenever_its_writer_is_killed(tmp_path: Path) -> None:
    moments = random.Random(0)
    for _ in range(KILLS):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"0\n"
        assert killed(process, moments.uniform(0, 0.3))
        process.stdout.close()
        folder = read_model(find_model(tmp_path))
        config, weights = folder.config, folder.weights
        assert weights.keys() == set("ABC")
        assert all((tensors["w"] == config["number"]).all() for tensors in weights.values())
        assert (find_model(tmp_path) / "README.md").read_text() == str(config["number"])
