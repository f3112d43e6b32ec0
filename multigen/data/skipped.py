"""Files skipped by --skip-bad: lists and messages."""

import re
from collections.abc import Sequence
from pathlib import Path

from multigen.console import counted, note, printable, say
from multigen.storage.files import write_whole
from multigen.storage.reading import open_regular

__all__ = ["LIST", "NAMED", "Skipped", "is_list", "name_first", "reasons", "report_skipped", "write_list"]

Skipped = Sequence[tuple[Path, str]]
"""(path, reason) of each file left out."""

NAMED = 5  # files that are named on the terminal
LIST = "skipped.txt"
"""File beside the results of a command that has no log."""
LOG = "the log.jsonl of the run lists all"
HEAD = "# skipped by multigen: file and reason\n"


def reasons(skipped: Skipped) -> list[str]:
    """A line for each file: its path, and why it was left out, without the advice to skip it."""
    lines = [reason if str(path) in reason else f"{path}: {reason}" for path, reason in skipped]
    return [re.sub(r"[,;]? or [^,;]*: --skip-bad$", "", line) for line in lines]


def report_skipped(
    skipped: Skipped, noun: str, data: str = "", rest: str = "the log.jsonl of the run lists all"
) -> None:
    """Reports which files were skipped, and why: the first by name; all of them go to the logs.

    Args:
        noun: what they are, in the plural.
        data: of which data, where several are read.
        rest: where all of them are listed.
    """
    lines = reasons(skipped)
    if lines:
        say(f"{f'{data}: ' if data else ''}{counted(len(lines), noun)} skipped, the first: {lines[0]}")
        name_first(lines[1:], rest, NAMED - 1)


def name_first(lines: Sequence[str], rest: str = LOG, most: int = NAMED) -> None:
    """Reports skipped items: the first by name, and the number of the others, which go to the logs.
    `rest` as above."""
    for i, line in enumerate(lines):
        (say if i < most else note)(f"  {line}")
    if len(lines) > most:
        say(f"  and {len(lines) - most:,} more: {rest}")


def write_list(path: Path, skipped: Skipped) -> None:
    """Writes a line for each file."""
    write_whole(path, "".join(f"{printable(line)}\n" for line in [HEAD.strip(), *reasons(skipped)]))


def is_list(path: Path) -> bool:
    """Whether a file is one that `write_list` wrote."""
    try:
        with open_regular(path) as file:
            return file.read(len(HEAD)) == HEAD.encode()
    except OSError:
        return False
