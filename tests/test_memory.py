"""Memory: what is left, what is refused before it is taken, and what allocators say as one line."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from multigen import memory
from multigen.console import exit_code
from multigen.errors import DataError, OutOfMemory

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.mark.parametrize(
    ("number", "text"), [(8.1e9, "8.1 GB"), (64e6, "64 MB"), (999_600, "1e+03 kB"), (2e15, "2 PB"), (5e24, "5e+06 EB")]
)
def test_sizes_for_people(number: float, text: str) -> None:
    assert memory.size(number) == text


def test_what_is_left_is_the_least_of_machine_groups_and_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_left_on_machine", lambda: 8 << 30)
    monkeypatch.setattr(memory, "_left_in_groups", lambda: iter([3 << 30, None]))
    monkeypatch.setattr(memory, "_left_of_limits", lambda: iter([5 << 30]))
    assert memory.available() == 3 << 30
    monkeypatch.setattr(memory, "_left_in_groups", lambda: iter([-5]))
    assert memory.available() == 0


def test_where_nothing_is_known_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, found in (("_left_on_machine", None), ("_left_in_groups", ()), ("_left_of_limits", ())):
        monkeypatch.setattr(memory, name, lambda found=found: found)
    assert memory.available() is None
    memory.require(10**30, "anything", "ask for less")


@linux
def test_control_groups_of_both_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 300\ninactive_file 100\nactive_file 50\ntotal_active_file 7\n")
    assert memory._left_in(tmp_path, "memory.max", "memory.current", "") == 450
    assert memory._left_in(tmp_path, "memory.max", "memory.current", "total_") == 307
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._left_in(tmp_path, "memory.max", "memory.current", "") is None
    assert memory._number(tmp_path / "missing") is None
    assert memory._fields(tmp_path / "missing") == {}
    assert memory.available() is not None


def test_what_does_not_fit_is_refused_and_says_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 2_000_000_000)
    memory.require(1_999_999_999, "-n 5", "lower -n")
    with pytest.raises(OutOfMemory, match=r"-n 5: 3 GB of memory needed, 2 GB available; lower -n"):
        memory.require(3_000_000_000, "-n 5", "lower -n")


def cuda() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 8 GiB")


def wrapped() -> None:
    try:
        raise MemoryError
    except MemoryError as error:
        raise DataError("an.png cannot be decoded") from error


FAILURES = {
    "torch": (lambda: torch.empty(1 << 60, dtype=torch.uint8), r" \(1.15 EB requested\)"),
    "torch, overflow": (lambda: torch.empty(10**12, 10**12), ""),
    "torch, no number": (lambda: torch.zeros(10**30), ""),
    "numpy": (lambda: np.zeros(1 << 58, np.uint8), r" \(256. PiB requested\)"),
    "numpy, overflow": (lambda: np.zeros((10**12, 10**12)), ""),
    "python": (lambda: b" " * (1 << 60), ""),
    "cuda": (cuda, r" \(20.00 GiB requested\)"),
    "another error made of one": (wrapped, ""),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_errors_of_allocators_become_one_line(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    fails, requested = FAILURES[kind]
    with pytest.raises(OutOfMemory, match=f"^out of memory{requested}; lower it$"), memory.memory_errors("lower it"):
        fails()
    assert exit_code(fails, "lower it") == 2
    message = capsys.readouterr().err
    assert message.startswith("error: out of memory") and message.count("\n") == 1


def test_the_system_may_be_short_too() -> None:
    with pytest.raises(OutOfMemory), memory.memory_errors("lower it"):
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), DataError("no file"), OSError(errno.ENOENT, "gone")])
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, memory.memory_errors("lower it"):
        raise error
    assert caught.value is error


@pytest.mark.slow
@linux
@pytest.mark.skipif(any(map(os.path.exists, memory.GPUS)), reason="not limited beside a GPU")
def test_a_command_that_takes_more_than_there_is_ends_with_one_line() -> None:
    """In place of the kernel's kill: what is left is pretended to be a gigabyte. Touched bit by
    bit, as networks are built."""
    code = """
import torch
from multigen import memory
from multigen.console import exit_code
memory.available = lambda: 1 << 30
kept = []
def greedy():
    while True:
        kept.append(torch.empty(16 << 20))
code = exit_code(greedy, "lower it")
torch.empty(1 << 30)  # afterwards the limit is gone
raise SystemExit(code)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "error: out of memory (67.1 MB requested); lower it\n")
