"""Finding files in folders."""

import os
from collections.abc import Collection
from pathlib import Path

from multigen.console import counted, say_once, shell_word
from multigen.data.locate import may_not_be_read
from multigen.errors import DataError
from multigen.storage.run_folder import is_run

__all__ = ["NoTestSplit", "files_in"]


class NoTestSplit(DataError):
    """The data can be read, but bring no test items of their own."""


def files_in(folder: Path) -> list[Path]:
    """All files in a folder and the folders in it, sorted, without hidden ones, those in hidden
    folders, and those of runs, whose previews and samples are not data.

    Links are followed, but no folder is entered twice, whatever leads to it, nor one that the link
    itself is in. Links that are not followed are named.

    Raises DataError if the folder, or one in it, may not be read, or if the folder is itself a run.
    """
    if is_run(folder):
        raise DataError(
            f"{folder} is a run; expected data; to look at the run: multigen report {shell_word(str(folder))}"
        )
    matches, waiting, entered, broken = [], [folder], set[str](), []
    try:
        while waiting:
            top = waiting.pop(0)  # links come after the folders themselves, whose files so keep their names
            if top != folder and not _to_follow(top, folder, entered):
                continue
            for place, inside, names in os.walk(top, onerror=_refused):
                if (real := os.path.realpath(place)) in entered:  # a link led to it before
                    inside.clear()
                    continue
                entered.add(real)
                entries = [Path(place, name) for name in sorted(inside) if not name.startswith(".")]
                inside[:] = [path.name for path in entries if not path.is_symlink() and not _is_run(path)]
                waiting += [path for path in entries if path.is_symlink()]
                files = [Path(place, name) for name in names if not name.startswith(".")]
                matches += [path for path in files if path.is_file()]
                broken += [path for path in files if not path.exists()]
    except PermissionError as error:  # the names in the folder may be read, but not what they are
        _refused(error)
    if broken:
        say_once(
            f"{folder}: {counted(len(broken), 'links')} to files that are not there, such as {min(broken)}: left out"
        )
    return sorted(matches)


def _to_follow(link: Path, folder: Path, entered: Collection[str]) -> bool:
    """Whether a link to a folder leads to files that are not in the data yet; otherwise, or for a
    run, the reason is reported."""
    target = os.path.realpath(link)
    if any(Path(os.path.realpath(below)).is_relative_to(target) for below in (folder, link.parent)):
        say_once(f"{link}: a link to {target}, which it is in: left out of the data")
    elif target in entered:
        say_once(f"{link}: a link to {target}, which is in the data already: left out")
    else:
        return not _is_run(link)
    return False


def _is_run(folder: Path) -> bool:
    """Whether a folder in the data is a run, which is skipped with a message."""
    if is_one := is_run(folder):
        say_once(f"{folder} is a run: left out of the data")
    return is_one


def _refused(error: OSError) -> None:
    raise may_not_be_read(error.filename) from error
