"""`report.html` of a run: one file with its settings, course and results, from the run's folder.

`media` embeds images and sounds, `charts`, `table` and `words` make the parts, `page` assembles
them. It does not depend on the modality: the files and settings in the folder decide what is shown.
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
    """Writes the report of a run, finished or not, or of a folder with one run per seed. Returns
    its path.

    Args:
        folder: contains config.toml, or folders seed-*.
        presets: the method's configurations by preset, as TOML tables; fields that differ are
            marked.
        out: the file; default: report.html in the folder.
        overwrite: allow replacing any existing file.

    Raises ConfigError for a folder without a run, DataError where the file cannot be written.
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
