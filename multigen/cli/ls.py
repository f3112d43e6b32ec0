"""`multigen ls`: what the toolkit has, a line each: methods, data, benchmark recipes."""

from dataclasses import asdict

from multigen.catalogue import BENCHMARKS, DATA, METHODS, benchmarks
from multigen.cli.output import print_json
from multigen.runs.options import cli

__all__ = ["run"]

WHOLE = 10_000  # columns where the output is no terminal: a line is never broken


def run(args: list[str]) -> None:
    """Lists what there is."""

    def ls(json: bool = False) -> None:
        """Lists the methods with their presets, the data that --data takes by name, and the benchmark recipes.

        Args:
            json: As JSON.
        """
        if json:
            _print_json()
        else:
            _print_lines()

    cli(ls, "multigen ls", args)


def _print_json() -> None:
    shown = ("name", "modality", "task", "about", "presets")
    methods = [{name: getattr(method, name) for name in shown} for method in METHODS.values()]
    data = [{"modality": entry.modality, **asdict(entry)} for entry in DATA]
    print_json({"methods": methods, "data": data, "benchmarks": [asdict(entry) for entry in benchmarks()]})


def _print_lines() -> None:
    import sys

    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else WHOLE)
    for title, rows in {
        "methods: multigen train METHOD [PRESET]": [
            (m.name, m.modality, m.about, " ".join(m.presets)) for m in METHODS.values()
        ],
        "data: --data NAME, or a folder or file of your own": [
            (d.name, d.modality, d.about + ("; downloaded" if d.downloaded else "")) for d in DATA
        ],
        f"benchmarks: multigen bench {BENCHMARKS}/NAME.toml": [
            (b.name, f"{b.recipe} {b.preset}", b.about + (f"; needs a {b.needs.upper()}" if b.needs else ""))
            for b in benchmarks()
        ],
    }.items():
        table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
        for row in rows:
            table.add_row("", *row)
        console.print(title)
        console.print(table)
        console.print()
