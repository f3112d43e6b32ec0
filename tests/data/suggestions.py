"""What tests of inspections share: whether training accepts what was suggested."""

import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

from multigen.data.inspection import Fact, Inspection, Suggestion
from multigen.runs.runner import parse


def configured(choice: Suggestion, data: str | Path) -> Any:
    """The configuration that the suggested command line gives."""
    verb, recipe, *words = shlex.split(choice.command(str(data)))[1:]
    assert (verb, recipe) == ("train", choice.method)
    config, _, seeds = parse(words, recipe, import_module(f"multigen.recipes.{recipe}").PRESETS)
    assert config.data == str(data) and seeds == 1
    return config


def facts(found: Inspection) -> dict[str, Fact]:
    assert len({fact.name for fact in found.facts}) == len(found.facts)
    return {fact.name: fact for fact in found.facts}
