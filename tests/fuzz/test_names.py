"""Names drawn at random, of files, classes, metrics and settings: whatever the command, none speaks
to the terminal."""

import os
import random
import shutil
import time
from pathlib import Path

import pytest

from tests import tiny
from tests.cases import few
from tests.fuzz import hostile_names
from tests.fuzz.hostile_names import CASES, forbidden

SLOW = {"compare", "cp", "doctor"}
"""Commands that take seconds: one of them to each hundred names."""


def faults(seed: int, folder: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What is wrong with the output of a few commands, drawn by the seed, on its name."""
    rng, name = random.Random(seed), hostile_names.name_of(seed)
    folder.mkdir()
    place = hostile_names.place_of(folder, name)
    cases = rng.sample(sorted(CASES.keys() - SLOW), 2) + ([rng.choice(sorted(SLOW))] if seed % 100 == 99 else [])
    result = []
    for case in cases:
        try:
            tiny.multigen(CASES[case][1](place, name))
            wrong = forbidden("".join(capsys.readouterr()))
        except Exception as error:
            wrong = [repr(error)]
        result += [f"seed {seed}, name {name!r}, {case}: {wrong}"] if wrong else []
    shutil.rmtree(folder)
    return result


def trouble(first: int, count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [fault for seed in range(first, first + count) for fault in faults(seed, tmp_path / str(seed), capsys)]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTIGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def test_a_name_follows_from_its_seed_and_differs() -> None:
    assert [hostile_names.name_of(seed) for seed in range(50)] == [hostile_names.name_of(seed) for seed in range(50)]
    assert len({hostile_names.name_of(seed) for seed in range(50)}) > 40
    assert sum(bool(forbidden(hostile_names.name_of(seed))) for seed in range(50)) > 25


@pytest.mark.parametrize("count", few([10, 100], 10))
def test_names(count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Others each day; a failure names its seed, and MULTIGEN_FUZZ_SEED=SEED begins with it."""
    first = int(os.environ.get("MULTIGEN_FUZZ_SEED") or time.time() // 86400 * 1000)
    assert trouble(first, count, tmp_path, capsys) == []


@pytest.mark.long
def test_a_thousand_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = int(os.environ.get("MULTIGEN_FUZZ_SEED") or 0)
    assert trouble(first, 1000, tmp_path, capsys) == []
