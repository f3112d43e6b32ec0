"""A run's report with the presets of its recipe beside it."""

from importlib import import_module
from pathlib import Path

from multigen.config import read_toml, to_table
from multigen.errors import ConfigError
from multigen.recipes import RECIPES
from multigen.report import write_report

__all__ = ["report_on"]


def report_on(folder: Path, out: Path | None = None) -> Path:
    """Writes the report of the run in `folder`, or of its seeds, and returns its path."""
    file = next(
        iter([p for p in (folder / "config.toml", *sorted(folder.glob("seed-*/config.toml"))) if p.exists()]), None
    )
    if file is None:
        raise ConfigError(f"{folder} holds no run: there is no config.toml; give a run's folder")
    recipe = read_toml(file).get("recipe")
    presets = import_module(f"multigen.recipes.{recipe}").PRESETS if recipe in RECIPES else {}
    return write_report(folder, {name: to_table(preset) for name, preset in presets.items()}, out)
