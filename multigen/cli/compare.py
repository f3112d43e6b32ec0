"""`multigen compare RUN RUN`: runs side by side: settings that differ, curves, figures, samples under one seed."""

import re
from pathlib import Path
from typing import Annotated, Any

import tyro

from multigen.cli.output import print_json
from multigen.errors import ConfigError
from multigen.files import writing
from multigen.options import cli

__all__ = ["run"]

SWEPT = re.compile(r" at [\d.]+$")
"""End of the name of a row that was measured at another temperature than 1."""


def run(args: list[str]) -> None:
    """Compares runs."""

    def compare(
        runs: Annotated[list[str], tyro.conf.Positional, tyro.conf.arg(metavar="RUN RUN ...")],
        n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 8,
        seed: int = 0,
        out: Path = Path("comparison"),
        json: bool = False,
        code: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FILE.py ...")] = (),
    ) -> None:
        """Shows runs side by side: what differs in their settings, the last values of their curves, their figures; and writes
        OUT/compare.png, the curves, OUT/compare.json, all of it, and samples. A run that was never finished is compared as far
        as it got.

        Args:
            runs: Two runs or more; of a folder of runs the newest.
            n: Samples of each run.
            seed: Of the samples, the same for all.
            out: Folder of the results.
            json: Print what a program can read, in place of tables.
            code: Your own files that trained models, if any did (multigen cp); they are run.
        """
        _compare(runs, n, seed, out, json, code)

    cli(compare, "multigen compare", args)


def _compare(places: list[str], n: int, seed: int, out: Path, as_json: bool, code: tuple[str, ...]) -> None:
    from multigen.cli.side_by_side import write_samples
    from multigen.comparison import compare, read_runs
    from multigen.curves import draw
    from multigen.evaluation import write_json

    if not places:
        raise ConfigError("no run given; expected two or more: multigen compare RUN RUN")
    if n < 1:
        raise ConfigError(f"n {n}: expected 1 sample of each run or more")
    runs = read_runs(places)
    found = compare(runs)
    if not as_json:
        print(_tables(found))
    with writing(out, "another folder for --out"):
        out.mkdir(parents=True, exist_ok=True)
        drawn = draw(out / "compare.png", {name: run.stages for name, run in runs.items()})
        said = [f"curves: {out / 'compare.png'}" if drawn else "no curves: no metric was logged by two of the runs"]
        said += write_samples(runs, n, seed, out, code)
        written = {**found, "seed": seed, "said": said}
        write_json(out / "compare.json", written)
    if as_json:
        print_json(written)
    else:
        print("\n" + "\n".join(said))


def _tables(found: dict[str, Any]) -> str:
    from multigen.comparison import table

    names = [about["name"] for about in found["runs"]]
    about = [[key, *(_short(each[key]) for each in found["runs"])] for key in list(found["runs"][0])[1:]]
    parts = [table(["", *names], about)]
    for what, key in (("settings", "config"), ("options of the run", "run")):
        lines = [[name, *values] for name, values in found[key].items()]
        parts.append(table([f"{what} that differ", *names], lines) if lines else f"no {what} differ")
    lines = [[metric, *values] for metric, values in found["last"].items()]
    parts.append(table(["last value", *names], lines) if lines else "no metric was logged by two of the runs")
    parts.append(_figures(found["figures"], names))
    alike: dict[tuple[str, ...], list[str]] = {}  # what differs in the definitions of these metrics
    for metric, texts in found["definitions"].items():
        alike.setdefault(tuple(map(str, texts)), []).append(metric)
    for texts, metrics in alike.items():
        said = "; ".join(f"{name}: {text}" for name, text in zip(names, texts, strict=True))
        parts.append(f"not to be compared, since measured otherwise: {', '.join(metrics)} ({said})")
    return "\n\n".join(parts)


def _figures(figures: list[dict[str, Any]], names: list[str]) -> str:
    from multigen.comparison import table

    lines = []
    for f in (f for f in figures if not SWEPT.search(f["row"])):
        changes = [
            "-" if d is None else f"{d:+.4g} {verdict}"
            for d, verdict in zip(f["difference"], f["verdict"], strict=True)
        ]
        lines.append([f"{f['row']} {f['metric']}", *f["values"], *changes[1:]])
    if not lines:
        return "no figure was measured of two of the runs"
    left_out = sum(bool(SWEPT.search(f["row"])) for f in figures)
    ending = f"\n{left_out} figures at other temperatures: see compare.json" if left_out else ""
    if any(verdict in ("better", "worse") for f in figures for verdict in f["verdict"]):
        ending += "\nbetter and worse are those of single runs: another seed may turn small differences round"
    return table(["figure", *names, *(f"{name} - {names[0]}" for name in names[1:])], lines, 60) + ending


def _short(value: Any) -> Any:
    """A commit by its first ten digits, changes behind it kept."""
    return re.sub(r"^([0-9a-f]{10})[0-9a-f]{30}", r"\1", value) if isinstance(value, str) else value
