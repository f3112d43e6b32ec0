"""`multigen report` on a run whose files are valid JSON with values of other types than they should
have: a page all the same."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from multigen.config import write_toml
from multigen.runs.facts import gather
from multigen.runs.report import charts, write_report
from multigen.runs.report.page import render
from multigen.storage.files import with_checksum
from tests.tiny import multigen

WRONG = [None, -3, 1e308, math.nan, math.inf, 10**400, "text", [], ["a", None], {"b": None}]
BEGAN = {"command": "python a.py tiny", "commit": "c", "machine": "m", "steps": {"pretrain": 4, "adversarial": 90}}
FILES: dict[str, Any] = {
    "evaluation.json": {
        "command": "c", "commit": "c", "date": "d", "machine": "m", "seconds": 9.5, "seed": 1, "seeds": [1, 2],
        "steps": {"pretrain": 4, "adversarial": 90}, "definitions": {"fd": "t; u"}, "remarks": {"verdict": "t"},
        "rows": {"adversarial/last": {"fd": 1.0, "fd_std": 0.1}, "real": {"fd": 0.1}},
    },
    "metrics.jsonl": [
        {"step": 1, "stage": "pretrain", "generator/pixel": 1.0, "dropped": 3.0},
        {"step": 5, "stage": "adversarial", "critic/loss": 1.0, "items_per_second": 3.0},
        {"step": 5, "validation": {"fd": 4.0}},
        {"step": 6, "control": "lr", "value": 0.5, "reason": "r"},
    ],
    "log.jsonl": [
        {"time": "2026-01-31T12:00:00", "step": 0, "began": BEGAN},
        {"time": "2026-01-31T12:00:00", "step": 1, "rates": {"G": 0.1}},
        {"time": "2026-01-31T12:00:00", "step": 3, "began": {"steps": {"adversarial": 90}}},
        {"time": "2026-01-31T12:00:00", "step": 5, "error": "E"},
    ],
    "checkpoints/step-000000005/run.json": {
        "step": 5,
        "state": {"seconds": 130.0, "dropped": 1, "best_step/adversarial": 5, "best_value/adversarial": 4.0,
                  "stopped/pretrain": 3},
    },
}  # fmt: skip
"""File of a run -> what it holds; of .jsonl its lines."""


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value in a nested one, itself the first."""
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*at, key))


def changed(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    """A nested value with another one in one place."""
    if not at:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[at[0]] = changed(value[at[0]], at[1:], new)
    return copy


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(line) + "\n" for line in (value if isinstance(value, list) else [value])))
    else:
        path.write_bytes(
            with_checksum(value) if path.name == "run.json" and isinstance(value, dict) else json.dumps(value).encode()
        )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_toml(tmp_path / "config.toml", {"method": "dcgan", "config": {"latent": 8}, "run": {"seed": 7}})
    for name, value in FILES.items():
        write(tmp_path / name, value)
    return tmp_path


@pytest.fixture
def drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts of the same curves are drawn once: most of the pages differ elsewhere."""
    draw, known = charts._draw, {}

    def drawn(*arguments: Any) -> Any:
        key = repr(arguments)
        if key not in known:
            known[key] = draw(*arguments)
        return known[key]

    monkeypatch.setattr(charts, "_draw", drawn)


@pytest.mark.parametrize("name", FILES)
def test_a_value_of_another_type_is_passed_over(name: str, run: Path, drawn_once: None) -> None:
    whole = write_report(run).read_text(encoding="utf-8")
    assert "Stage adversarial: the model of step 5 was selected" in whole
    for i, at in enumerate(places(FILES[name])):
        for wrong in WRONG[i % 3 :: 3]:
            write(run / name, changed(FILES[name], at, wrong))
            page = render(gather(run), {})
            assert page.count("<h1>") == page.count("</html>") == 1, (at, wrong)


@pytest.mark.parametrize("wrong", [[], 3, "text", None])
def test_the_verb_shows_no_traceback(wrong: Any, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in FILES:
        write(run / name, wrong)
    assert multigen(["report", run]) == 0
    assert capsys.readouterr().err == ""


def test_steps_that_go_back_are_drawn(run: Path) -> None:
    lines = [{"step": s, "stage": name, "d/loss": float(s)} for name, s in (("a", 400), ("b", 5), ("b", 7))]
    write(run / "metrics.jsonl", lines)
    (run / "log.jsonl").unlink()
    assert write_report(run).read_text(encoding="utf-8").count("<svg") == 2
