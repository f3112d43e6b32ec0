"""`multigen compare RUN RUN`: compares runs: differing settings, curves, metrics, samples with the
same seed."""

import re
from pathlib import Path
from typing import Annotated, Any

import tyro

from multigen.cli.output import print_json
from multigen.console import counted, printable, show, text_table
from multigen.errors import ConfigError
from multigen.metrics.names import other_setting
from multigen.runs.options import Device, Json, Overwrite, cli
from multigen.storage.files import writing

__all__ = ["run"]

MANY = 1_000  # maximum samples per run, side by side
MOST = 36  # maximum characters of a value


def run(args: list[str]) -> None:
    """Compares runs."""

    def compare(
        runs: Annotated[list[str], tyro.conf.Positional, tyro.conf.arg(metavar="RUN RUN ...")],
        n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 8,
        seed: int = 0,
        out: Path = Path("comparison"),
        overwrite: Overwrite = False,
        json: Json = False,
        device: Device = "auto",
        provenance: bool = True,
        code: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FILE.py ...")] = (),
    ) -> None:
        """Compares runs side by side: differing settings, last values of their curves, metrics.
        Writes OUT/compare.png, the curves, OUT/compare.json, everything, and samples. Unfinished
        runs are compared as far as they got.

        Args:
            runs: Two runs or more; for a folder of runs, its newest.
            n: Number of samples per run.
            seed: Seed of the samples, the same for all.
            out: Folder of the results.
            provenance: Write the models and the seed into images and sounds.
            code: Your own files that trained models (multigen cp), if any; they are executed.
        """
        from multigen.engine.device import choose_device
        from multigen.runs import comparison
        from multigen.runs.comparison.curves import draw
        from multigen.runs.comparison.samples import check_out, checksums, write_samples
        from multigen.storage.files import write_json
        from multigen.storage.provenance import merge, origin

        if not runs:
            raise ConfigError("no run given; expected two or more: multigen compare RUN RUN")
        if not 1 <= n <= MANY:
            raise ConfigError(f"-n {n}: expected 1 to {MANY:,} samples of each run")
        choose_device(device)  # before anything is written
        held = comparison.read_runs(runs)
        check_out(out, overwrite)
        result = comparison.compare(held)
        if not json:
            show(_tables(result), lines=True)
        with writing(out, "another folder for --out"):
            out.mkdir(parents=True, exist_ok=True)
            origins = [origin(str(run.folder), run.folder, run.method) for run in held.values()] if provenance else []
            drawn = draw(out / "compare.png", {name: run.stages for name, run in held.items()}, merge(origins))
            message = [
                f"curves: {out / 'compare.png'}" if drawn else "no curves: no metric was logged by two of the runs"
            ]
            message += write_samples(held, n, seed, out, code, provenance, device)
            written = {**result, "seed": seed, "said": message, "files": checksums(out)}
            write_json(out / "compare.json", written)
        if json:
            print_json(written)
        else:
            for line in ("", *message):
                show(line)

    cli(compare, "multigen compare", args)


def _tables(found: dict[str, Any]) -> str:
    names = [about["name"] for about in found["runs"]]
    about = [[key, *(each[key] for each in found["runs"])] for key in list(found["runs"][0])[1:]]
    parts = [_table(about, ["", *names])]
    for what, key in (("settings", "config"), ("options of the run", "run")):
        lines = [[name, *values] for name, values in found[key].items()]
        parts.append(_table(lines, [f"{what} that differ", *names]) if lines else f"no {what} differ")
    lines = [[metric, *values] for metric, values in found["last"].items()]
    parts.append(_table(lines, ["last value", *names]) if lines else "no metric was logged by two of the runs")
    parts.append(_figures(found["figures"], names))
    alike: dict[tuple[str, ...], list[str]] = {}  # differences of definitions -> metrics
    for metric, texts in found["definitions"].items():
        alike.setdefault(tuple(map(str, texts)), []).append(metric)
    for texts, metrics in alike.items():
        message = "; ".join(f"{name}: {text}" for name, text in zip(names, texts, strict=True))
        parts.append(printable(f"not comparable, since defined differently: {', '.join(metrics)} ({message})"))
    return "\n\n".join(parts)


def _figures(figures: list[dict[str, Any]], names: list[str]) -> str:
    rows = [f for f in figures if not other_setting(f["row"])]
    if not rows:
        return "no metric was evaluated for two of the runs"
    lines = []
    for f in rows:
        pairs = zip(f["difference"], f["verdict"], strict=True)
        changes = ["-" if d is None else f"{d:+.4g} {verdict}".rstrip() for d, verdict in pairs]
        lines.append([f"{f['row']} {f['metric']}", *map(_cell, f["values"]), *changes[1:]])
    omitted = len(figures) - len(rows)
    ending = f"\n{counted(omitted, 'values')} at other temperatures or truncations: see compare.json" if omitted else ""
    if any(verdict in ("better", "worse") for f in figures for verdict in f["verdict"]):
        ending += "\nbetter and worse compare single runs: another seed may reverse small differences"
    return text_table(lines, ["metric", *names, *(f"{name} - {names[0]}" for name in names[1:])]) + ending


def _table(lines: list[list[Any]], head: list[str]) -> str:
    return text_table([[name, *map(_cell, values)] for name, *values in lines], head)


def _cell(value: Any) -> str:
    """A value as text, a commit by its first ten digits; a long one is cut."""
    match value:
        case None:
            return "-"
        case float():
            return f"{value:.5g}"
        case list():
            value = " ".join(map(str, value))
    text = re.sub(r"^([0-9a-f]{10})[0-9a-f]{30}", r"\1", str(value))
    return text if len(text) <= MOST else f"{text[: MOST - 3]}..."
