"""Damaged files of every kind are read, or answered with one line that names them: no traceback, no
warning, no hang.

`python -m tests.fuzz.fuzzing READER SEED 1` repeats what a failure names.
"""

import random
from pathlib import Path

import pytest

from multigen.errors import DataError
from tests.fuzz import fuzzed, fuzzing
from tests.fuzz.fuzzing import (
    Reader,
    attempt,
    damaged,
    limited,
    mend_png,
    mutate,
    mutate_dots,
    mutate_words,
    mutate_zip,
    read_whole,
    trouble,
)
from tests.fuzz.hostile_models import HOSTILE

FEW = [
    "png",
    "jpeg",
    "gif",
    "npz",
    "idx",
    "gzipped",
    "labels",
    "wav",
    "flac",
    "texts",
    "tokenizer",
    "oracle",
    "settings",
    "run_folder",
    "recipe",
    "result",
    "dcgan_model",
    "seqgan_model",
]
"""Readers of each sort; the others read alike, train, or import much."""


@pytest.mark.parametrize("name", FEW)
def test_damaged_files_of_each_kind(name: str, tmp_path: Path) -> None:
    """Others each time; what fails names its seed. In this process."""
    (made := tmp_path / "made").mkdir()
    (folder := tmp_path / "damaged").mkdir()
    reader = fuzzed.READERS[name](made)
    read_whole(reader, folder)
    first = random.SystemRandom().randrange(10**6)
    with limited():
        assert [
            (seed, wrong) for seed in range(first, first + 6) for wrong in attempt(reader, name, seed, folder)
        ] == []


@pytest.mark.slow
def test_a_png_with_a_chunk_of_gigabytes() -> None:
    assert trouble(["png"], 672504, 1) == []


@pytest.mark.slow
def test_files_of_each_kind() -> None:
    """Others each time; what fails names its seed."""
    assert trouble([*FEW, *HOSTILE], random.SystemRandom().randrange(10**6), 30) == []


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in fuzzed.READERS if name not in HOSTILE])
def test_a_thousand_damaged_files(name: str) -> None:
    assert trouble([name], 0, 1000) == []


@pytest.mark.long
@pytest.mark.parametrize("name", HOSTILE)
def test_a_thousand_hostile_files(name: str) -> None:
    assert trouble([name], 0, 1000) == []


# -- the harness -------------------------------------------------------------------------------------------------


def answers(folder: Path, monkeypatch: pytest.MonkeyPatch, read: object) -> list[str]:
    monkeypatch.setattr(fuzzing.signal, "setitimer", lambda timer, seconds: None)
    folder.mkdir(exist_ok=True)
    return attempt(Reader({"a.txt": b"some text"}, [read]), "r", 0, folder)  # pyright: ignore[reportArgumentType]


def raising(error: Exception):
    def read(folder: Path, path: Path) -> None:
        raise error

    return read


def test_what_counts_as_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    for read in (lambda folder, path: path.read_bytes(), raising(DataError(f"{path}: repair it"))):
        assert answers(tmp_path, monkeypatch, read) == []
    for error, wrong in (
        (DataError(f"{path}\nrepair it"), "not one line"),
        (DataError("repair it"), "no path"),
        (ValueError("invalid"), "Traceback"),
    ):
        (result,) = answers(tmp_path, monkeypatch, raising(error))
        assert result.startswith(wrong)


def test_a_warning_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import warnings

    result = answers(tmp_path, monkeypatch, lambda folder, path: warnings.warn("corrupt", stacklevel=1))
    assert result == ["warning: UserWarning: corrupt"]


@pytest.mark.parametrize("damage", [mutate, mutate_words, mutate_zip, mutate_dots, mend_png], ids=lambda f: f.__name__)
def test_damage_follows_from_the_seed_alone_and_differs(damage: fuzzing.Mutation, tmp_path: Path) -> None:
    maker = fuzzed.npz if damage is mutate_zip else fuzzed.png if damage is mend_png else fuzzed.labels
    whole = list(maker(tmp_path).files.values())[-1]
    first, second = ([damage(whole, random.Random(seed)) for seed in range(50)] for _ in range(2))
    assert first == second and len(set(first)) > 25


def test_files_are_damaged_one_at_a_time_and_sometimes_misnamed() -> None:
    reader = Reader({"a.png": b"picture", "b.png": b"other"}, [], others=[".gif"])
    result = [damaged(reader, "r", seed) for seed in range(100)]
    assert {file for file, _, _ in result} == {"a.png", "b.png"}
    assert 0 < sum(called.endswith(".gif") for _, called, _ in result) < 40


CHILD = """
import os, sys, time, json
names, first, count = sys.argv[2].split(","), int(sys.argv[3]), int(sys.argv[4])
for name in names:
    for seed in range(first, first + count):
        print(json.dumps([name, seed, None]), flush=True)
        if (name, seed) == ("a", 2): os.kill(os.getpid(), 11)
        if (name, seed) == ("b", 0): time.sleep(60)
        if (name, seed) == ("b", 1): print(json.dumps([name, seed, "Traceback"]), flush=True)
"""


def test_a_child_that_crashes_or_hangs_costs_its_seed_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "child.py").write_text(CHILD)
    monkeypatch.setattr(fuzzing, "COMMAND", [fuzzing.sys.executable, str(tmp_path / "child.py")])
    monkeypatch.setattr(fuzzing, "SECONDS", 0.1)
    result = trouble(["a", "b"], 0, 4)
    assert result == [
        "a 2: the process ended with -11. ",
        "b 0: no answer, not even to a signal",
        "b 1: Traceback",
    ]
