"""`multigen ls`: what the toolkit has, a line each: methods, data, benchmark recipes."""

from dataclasses import asdict

from multigen.catalogue import BENCHMARKS, DATA, METHODS, benchmarks
from multigen.cli.output import print_json
from multigen.console import text_table
from multigen.runs.options import cli

__all__ = ["run"]


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
    parts = {"methods": METHODS.values(), "data": DATA, "benchmarks": benchmarks()}
    print_json({part: [asdict(entry) for entry in entries] for part, entries in parts.items()})


def _print_lines() -> None:
    for title, lines in {
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
        print(f"{title}\n{text_table([('', *line) for line in lines])}\n")
