"""`multigen ls`: lists methods, data sets and benchmark recipes, one line each."""

from dataclasses import asdict

from multigen.catalogue import DATA, METHODS, benchmarks
from multigen.cli.output import print_json
from multigen.console import show, text_table
from multigen.runs.options import cli

__all__ = ["run"]


def run(args: list[str]) -> None:
    """Lists methods, data sets and benchmark recipes."""

    def ls(json: bool = False) -> None:
        """Lists the methods with their presets, the data that --data takes by name, and the
        benchmark recipes.

        Args:
            json: Print JSON.
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
    for title, lines in {
        "methods: multigen train METHOD [PRESET]": [
            (m.name, m.modality, m.about, " ".join(m.presets)) for m in METHODS.values()
        ],
        "data: --data NAME, or a folder or file of your own": [
            (d.name, d.modality, d.about + ("; downloaded" if d.downloaded else "")) for d in DATA
        ],
        "benchmarks: multigen bench NAME": [
            (b.name, f"{b.method} {b.preset}", b.about + (f"; needs a {b.needs.upper()}" if b.needs else ""))
            for b in benchmarks()
        ],
    }.items():
        show(f"{title}\n{text_table([('', *line) for line in lines])}\n", lines=True)
