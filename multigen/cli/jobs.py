"""What verbs share that make a file of each input: which are left, which are skipped, what was
made."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from multigen.catalogue import container_of, imported
from multigen.cli.output import print_json
from multigen.cli.restoring_options import Options
from multigen.console import show
from multigen.data.skipped import LIST, NAMED, report_skipped, write_list
from multigen.errors import DataError, OutOfMemory
from multigen.memory import memory_errors
from multigen.storage.files import writing

__all__ = ["Jobs", "left_of", "print_jobs", "report_bad", "show_counts", "try_each"]

Jobs = Mapping[Path, Path]
"""Source -> its result."""


def left_of(jobs: Jobs, existing: str | None, other: str) -> tuple[Jobs, list[Path]]:
    """The remaining jobs, and existing results that are kept. Raises DataError for an existing one
    if `existing` is "error"."""
    if existing not in ("skip", "error"):
        return jobs, []
    files = {target: _files_of(source, target) for source, target in jobs.items()}
    if existing == "error" and (there := [file for each in files.values() for file in each]):
        more = f" and {len(there) - 1} more files exist" if len(there) > 1 else " exists"
        raise DataError(f"{there[0]}{more}; give {other}, or --existing skip or overwrite")
    there = [target for target, each in files.items() if each and each[0].is_file()]
    return {source: target for source, target in jobs.items() if target not in there}, there


def _files_of(source: Path, target: Path) -> Sequence[Path]:
    """The files of a result that are there: one, or those of a film that is written as frames."""
    if container := container_of(source, target):
        return imported(container.existing)(target)
    return [target] if os.path.lexists(target) else []


def try_each(
    restore: Callable[..., None],
    restorer: Any,
    source: Path,
    target: Path,
    options: Options,
    bad: dict[Path, str],
    smaller: str = "give a smaller --tile, or free some",
) -> None:
    """Restores a file; an unusable one is added to `bad` if such files are to be skipped."""
    try:
        with memory_errors(smaller):
            restore(restorer, source, target, options)
    except (DataError, OutOfMemory) as error:
        if not options.skip_bad:
            raise
        bad[source] = str(error) if str(source) in str(error) else f"{source}: {error}"


def report_bad(folder: Path, bad: Mapping[Path, str], noun: str) -> None:
    """Says which inputs were skipped, and lists many of them in a file."""
    if len(bad) > NAMED:
        with writing(folder / LIST, "another folder for --out"):
            folder.mkdir(parents=True, exist_ok=True)
            write_list(folder / LIST, [*bad.items()])
    report_skipped([*bad.items()], noun, rest=f"{folder / LIST} lists all")


def show_counts(made: str, there: Sequence[Path], bad: Mapping[Path, str]) -> None:
    """Says how much was made, was there already, and was skipped."""
    counts = [made]
    counts += [f"{len(there)} there already"] if there else []
    counts += [f"{len(bad)} skipped"] if bad else []
    show(", ".join(counts))


def print_jobs(asked: Mapping[str, Any], noun: str, made: Jobs, there: Sequence[Path], bad: Mapping[Path, str]) -> None:
    """Prints what was made as JSON; `noun`: the key of the pairs of sources and files."""
    print_json({
        **asked,
        "files": [str(target) for target in made.values()],
        noun: [{"source": str(source), "file": str(target)} for source, target in made.items()],
        "existing": [str(target) for target in there],
        "skipped": [{"path": str(path), "reason": reason} for path, reason in bad.items()],
    })  # fmt: skip
