"""How long commands take before they do anything: whole processes, and the imports that cost most.

    python -m benchmarks.startup
    python -m benchmarks.startup --rounds 20 --out startup.json

All commands in turn, round after round, each a process of its own as a shell starts it; what is
sampled is a tiny DCGAN that is trained here first. `min` and `median` are seconds of the rounds,
`above` is the least of a command less the least of Python alone. A busy machine makes every figure
larger and none smaller, so read the minima. `cpu` is the least processor time.

Allowed: `import multigen` at most .15 s above Python, `multigen ls` .5 s, `multigen sample` 3 s.
"""

import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import tyro

__all__ = ["commands", "import_costs", "main", "rounds_of", "table"]

PYTHON = "python"
ALLOWED = {"import multigen": (0.15, "above"), "multigen ls": (0.5, "min"), "multigen sample": (3.0, "min")}
"""Command -> the most seconds, and of which figure."""
SHOWN = 8  # packages whose imports are listed

Words = Sequence[str | Path]
Times = tuple[float, float]  # of the clock and of the processor, seconds


def commands(model: Path, out: Path) -> dict[str, Words]:
    """What is timed, as words after `python`."""
    return {
        PYTHON: ["-c", "pass"],
        "import multigen": ["-c", "import multigen"],
        "multigen --help": ["-m", "multigen", "--help"],
        "multigen ls": ["-m", "multigen", "ls"],
        "import torch": ["-c", "import torch"],
        "multigen sample": ["-m", "multigen", "sample", "--model", model, "-n", "4", "--out", out],
        "recipes.dcgan --help": ["-m", "multigen.recipes.dcgan", "--help"],
    }


def timed(words: Words) -> Times:
    """Seconds of `python WORDS`. Raises CalledProcessError where it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run([sys.executable, *map(str, words)], check=True, capture_output=True)
    clock, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def rounds_of(
    found: Mapping[str, Words], rounds: int, run: Callable[[Words], Times] = timed
) -> dict[str, dict[str, float]]:
    """Command -> min, median, cpu, above. Every other round runs backwards; the first one, which
    fills caches, is left out."""
    times: dict[str, list[Times]] = {name: [] for name in found}
    for i in range(rounds + 1):
        for name in list(found)[:: 1 if i % 2 == 0 else -1]:
            times[name].append(run(found[name]))
    rows = {}
    for name, pairs in times.items():
        clock, cpu = zip(*pairs[1:], strict=True)
        rows[name] = {"min": min(clock), "median": statistics.median(clock), "cpu": min(cpu)}
    return {name: row | {"above": row["min"] - rows[PYTHON]["min"]} for name, row in rows.items()}


def import_costs(said: str) -> list[tuple[str, float, int]]:
    """Package, seconds of its modules without what these import, their number; from what `python -X
    importtime` said, costliest first."""
    seconds, modules = Counter[str](), Counter[str]()
    for own, name in re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)$", said, re.MULTILINE):
        package = name.partition(".")[0]
        seconds[package] += int(own)
        modules[package] += 1
    return [(package, us / 1e6, modules[package]) for package, us in seconds.most_common()]


def table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """The figures as plain text, with what is allowed."""
    columns = ("min", "median", "cpu", "above")
    lines = [f"{'seconds':<22}" + "".join(f"{c:>9}" for c in columns) + "  allowed"]
    for name, row in rows.items():
        most, figure = ALLOWED.get(name, (0.0, ""))
        verdict = f"  {figure} at most {most:g}: {'ok' if row[figure] <= most else 'MISSED'}" if figure else ""
        lines.append(f"{name:<22}" + "".join(f"{row[c]:9.3f}" for c in columns) + verdict)
    return "\n".join(lines)


def main(rounds: int = 10, out: Path | None = None) -> None:
    """Times the commands and lists the costliest imports of `multigen sample`.

    Args:
        rounds: of all commands.
        out: JSON file for the figures.
    """
    from multigen.runs.record import machine

    with tempfile.TemporaryDirectory() as place:
        model, samples = Path(place, "run"), Path(place, "samples")
        words = ["tiny", "--steps", "2", "--samples", "20", "--validation-size", "0", "--device", "cpu", "--out", model]
        timed(["-m", "multigen.recipes.dcgan", *words])
        result = commands(model, samples)
        rows = rounds_of(result, rounds)
        sample = [sys.executable, "-X", "importtime", *map(str, result["multigen sample"])]
        costs = import_costs(subprocess.run(sample, check=True, capture_output=True, text=True).stderr)
    print(f"{machine()}; {rounds} rounds\n\n{table(rows)}")
    print("\nimports of multigen sample")
    for package, seconds, modules in costs[:SHOWN]:
        print(f"{package:<22}{seconds:9.3f} s, {modules} modules")
    if out is not None:
        out.write_text(json.dumps({"machine": machine(), "rows": rows, "imports": costs}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    tyro.cli(main)
