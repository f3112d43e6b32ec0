"""`multigen report RUN`: writes a run's report.html again, also for an unfinished run."""

from pathlib import Path
from typing import Annotated

import tyro

from multigen.cli.output import print_json
from multigen.console import show
from multigen.runs.options import Json, Overwrite, cli

__all__ = ["run"]


def run(args: list[str]) -> None:
    """Writes a report."""

    def report(
        run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")],
        out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
        overwrite: Overwrite = False,
        json: Json = False,
    ) -> None:
        """Writes the settings, course and results of a run as one HTML file, from the run's folder.

        Args:
            run: A run's folder, finished or not, or the folder of the runs of several seeds; for a
                folder of runs, its newest with a checkpoint.
            out: The file; default: report.html in the run's folder.
        """
        from multigen.runs.facts import seed_folders
        from multigen.runs.runner import report_on
        from multigen.storage.files import expanded
        from multigen.storage.run_folder import find_run

        folder = expanded(run)
        folder = folder if seed_folders(folder) else find_run(folder)
        written = report_on(folder, out, overwrite)
        if json:
            print_json({"run": str(folder), "files": [str(written)]})
        else:
            show(f"{written} written")

    cli(report, "multigen report", args)
