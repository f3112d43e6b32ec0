"""`report.html` of a run: one file that says what was run, how it went and what it gave, from what lies in the run's folder.

`media` makes images and sounds small, `charts`, `table` and `words` make the parts, `page`
puts them together. Nothing here knows a modality: the files and settings that lie in the folder decide what is shown.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from multigen.storage.files import write_whole, writing
from multigen.storage.output import check_targets

__all__ = ["write_report"]


def write_report(
    folder: Path,
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    out: Path | None = None,
    overwrite: bool = False,
) -> Path:
    """Writes the report of a run, finished or not, or of a folder of one run a seed. Returns its path.

    Args:
        folder: with config.toml, or with folders seed-*.
        presets: configurations of the method by the preset's name, as TOML tables; fields that differ are marked.
        out: the file, by default report.html in the folder.
        overwrite: a file that is there may be replaced though it is no report.

    Raises ConfigError for a folder that holds no run, DataError where the file cannot be written.
    """
    from multigen.runs.facts import gather
    from multigen.runs.report.page import render

    path = out or folder / "report.html"
    check_targets([path], overwrite, "another file for --out")
    text = render(gather(folder), presets or {})
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    return path
