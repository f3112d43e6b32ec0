"""A change of the code that changes what a method computes is noticed: its first losses are those
that were kept.

Where the change is meant, `python -m tests.golden --write "REASON"` keeps the new ones
(CONTRIBUTING.md).
"""

from pathlib import Path

import pytest

from tests.cases import methods
from tests.golden.__main__ import main
from tests.golden.losses import differences, golden, measured


@pytest.mark.parametrize("method", methods())
def test_the_first_losses_are_those_that_were_kept(method: str, tmp_path: Path) -> None:
    assert differences(measured(method, tmp_path / "run"), golden(method)) == []


def test_a_loss_that_differs_is_named() -> None:
    kept = {"g": [1.0, -0.001, 2.0], "d": [3.0], "gone": [1.0]}
    assert differences(kept, kept) == [] == differences({**kept, "g": [1.0009, 0.0, 2.0]}, kept)
    result = differences({"g": [1.0, -0.001, 2.01], "d": [3.0, 3.0], "more": [0.0]}, kept)
    assert result == [
        "gone: gone",
        "more: new",
        "d: 2 steps, were 1",
        "g: 2.01 at step 3 of the stage, was 2.0",
    ]


@pytest.mark.parametrize("words", [["--write"], ["--write", "a reason that nobody wrote down"], ["--compare"]])
def test_new_losses_are_kept_for_a_reason_that_the_changelog_says(words: list[str]) -> None:
    before = golden("gan")
    assert main(words) == 2 and golden("gan") == before
