"""The JSON schema of evaluation.json and of benchmark results: what the repository holds keeps to
it, wrong shapes do not."""

import copy
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from multigen.engine.evaluation import Evaluation, RunInfo
from multigen.runs.record import not_run, record
from multigen.storage.files import to_json

ROOT = Path(__file__).resolve().parents[2]
RESULTS = sorted((ROOT / "recipes" / "results").glob("*.json"))
SCHEMA = json.loads(files("multigen.runs").joinpath("evaluation.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def faults(content: Any) -> list[str]:
    """What is wrong, as PLACE: MESSAGE."""
    return [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in VALIDATOR.iter_errors(content)]


def written(content: dict[str, Any]) -> dict[str, Any]:
    """A record as it is in a file."""
    return json.loads(to_json(content))


def example() -> dict[str, Any]:
    """A record with everything that one may have."""
    rows = {
        "real": {"fd": 0.5, "Set5/psnr_y": float("inf"), "Set5/psnr_y_std": 0.0},
        "plain/adversarial/last": {"fd": 2, "fd_std": float("nan")},
        "adversarial/best at 0.7": {"fd": -float("inf")},
    }
    evaluation = Evaluation(rows, {"fd": "a distance", "psnr_y": "dB"}, {"verdict, seed 1 of 2": "none"})
    runs = [RunInfo("gan", seed, {"adversarial": 9}, "fp32", 1.0) for seed in (0, 1)]
    return {**written(record(evaluation, runs)), "quick": True}


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_results_keep_to_it(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    assert faults(content) == []
    for row in content["rows"].values():
        assert {metric.removesuffix("_std") for metric in row} <= row.keys()  # no deviation without its mean


def test_records_keep_to_it() -> None:
    assert faults(example()) == []
    assert faults(written(not_run("gan", "multigen bench a.toml", "it needs a GPU"))) == []


REMOVED = object()


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        *((name, REMOVED) for name in SCHEMA["required"]),
        ("novel", 1),
        ("method", ""),
        ("status", "failed"),
        ("status", "not run: it needs a GPU"),  # with rows
        ("command", ""),
        ("commit", "510133839"),
        ("seed", "0"),
        ("seed", -1),
        ("seeds", []),
        ("seeds", [0, 0]),
        ("seeds", [0.5]),
        ("steps", {}),
        ("steps/adversarial", 0),
        ("steps/adversarial", 1.5),
        ("date", "30 November 2026"),
        ("machine", None),
        ("seconds", -1.0),
        ("seconds", "NaN"),
        ("definitions", {}),
        ("definitions/fd", ""),
        ("rows", {}),
        ("rows", []),
        ("rows/real", {}),
        ("rows/real/fd", None),
        ("rows/real/fd", "0.5"),
        ("rows/real/fd", True),
        ("rows/real/fd", [1.0]),
        ("rows/real/fd_std", -0.5),
        ("rows/real/fd_std", "-Infinity"),
        ("rows/real/two words", 1.0),
        ("rows/adversarial best", {"fd": 1.0}),
        ("rows/adversarial@best at cold", {"fd": 1.0}),
        ("remarks", {}),
        ("remarks/verdict", 1),
        ("quick", False),
    ],
)
def test_wrong_shapes_are_rejected(place: str, wrong: Any) -> None:
    content = copy.deepcopy(example())
    *above, last = place.replace("@", "\0").split("/")
    table: Any = content
    for name in above:
        table = table[name]
    if wrong is REMOVED:
        del table[last]
    else:
        table[last.replace("\0", "/")] = wrong
    assert faults(content)
