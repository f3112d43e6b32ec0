"""The benchmark of start times times what it says. No time is asserted."""

import json
import subprocess
from pathlib import Path

import pytest

from benchmarks import startup
from benchmarks.startup import import_costs, rounds_of, table, timed

SAID = """import time: self [us] | cumulative | imported package
import time:       100 |        100 |   torch._C
a line of the program's own
import time:      2000 |       2100 | torch
import time:        50 |       2150 | multigen.tasks.synthesis.sampler
"""


def test_commands_take_turns_and_the_first_round_is_left_out() -> None:
    calls: list[str] = []

    def run(words: startup.Words) -> tuple[float, float]:
        calls.append(str(words[0]))
        return (len(calls), len(calls) / 2)

    rows = rounds_of({"python": ["p"], "other": ["o"]}, 3, run)
    assert "".join(calls) == "po" + "op" + "po" + "op"
    assert rows["python"] == {"min": 4, "median": 5, "cpu": 2, "above": 0}
    assert rows["other"] == {"min": 3, "median": 6, "cpu": 1.5, "above": -1}


def test_imports_are_summed_by_package() -> None:
    assert import_costs(SAID) == [("torch", 0.0021, 2), ("multigen", 5e-5, 1)]


def test_the_table_says_what_is_missed() -> None:
    rows = {"python": (0.1, 0.0), "import multigen": (0.2, 0.16), "multigen sample": (2.9, 2.8)}
    message = table({name: {"min": a, "median": a, "cpu": a, "above": b} for name, (a, b) in rows.items()}).splitlines()
    assert "allowed" in message[0] and "at most" not in message[1]
    assert message[2].endswith("above at most 0.15: MISSED") and message[3].endswith("min at most 3: ok")


def test_a_command_that_fails_is_no_figure() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        timed(["-c", "raise SystemExit(1)"])


@pytest.mark.slow
def test_the_command_prints_and_writes_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    startup.main(rounds=1, out=tmp_path / "out.json")
    written, printed = json.loads((tmp_path / "out.json").read_text()), capsys.readouterr().out
    assert {"python", "import multigen", "multigen --help", "multigen sample"} <= written["rows"].keys()
    assert all(row["min"] > 0 and row["cpu"] > 0 for row in written["rows"].values())
    assert written["imports"][0][0] == "torch" and "above at most 0.15" in printed and "\ntorch " in printed
