"""A run's report with the presets of its recipe beside it."""

from importlib import import_module
from pathlib import Path

from multigen.config import read_toml, to_table
from multigen.recipes import RECIPES
from multigen.report import write_report

__all__ = ["report_on"]


def report_on(folder: Path, out: Path | None = None) -> Path:
    """Writes the report of the run in `folder`, or of its seeds, and returns its path."""
    files = [*folder.glob("config.toml"), *sorted(folder.glob("seed-*/config.toml"))]
    recipe = read_toml(files[0]).get("recipe") if files else ""  # without one `write_report` says so
    presets = import_module(f"multigen.recipes.{recipe}").PRESETS if recipe in RECIPES else {}
    return write_report(folder, {name: to_table(preset) for name, preset in presets.items()}, out)
