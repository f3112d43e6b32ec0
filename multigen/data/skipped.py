"""What --skip-bad leaves out: which files, and why."""

import re
from collections.abc import Sequence
from pathlib import Path

from multigen.console import counted, note, say

__all__ = ["Skipped", "reasons", "report_skipped"]

Skipped = Sequence[tuple[Path, str]]
"""(path, reason) of each file left out."""

NAMED = 5  # files that are named on the terminal


def reasons(skipped: Skipped) -> list[str]:
    """A line for each file: its path, and why it was left out, without the advice to skip it."""
    lines = [reason if str(path) in reason else f"{path}: {reason}" for path, reason in skipped]
    return [re.sub(r"[,;]? or [^,;]*: --skip-bad$", "", line) for line in lines]


def report_skipped(
    skipped: Skipped, noun: str, data: str = "", rest: str = "the log.jsonl of the run lists all"
) -> None:
    """Says which files were skipped, and why: the first by name; all of them go to the logs.

    Args:
        noun: what they are, in the plural.
        data: of which data, where several are read.
        rest: where all of them are listed.
    """
    lines = reasons(skipped)
    if lines:
        say(f"{f'{data}: ' if data else ''}{counted(len(lines), noun)} skipped, the first: {lines[0]}")
    for i, line in enumerate(lines[1:], 1):
        (say if i < NAMED else note)(f"  {line}")
    if len(lines) > NAMED:
        say(f"  and {len(lines) - NAMED:,} more: {rest}")
