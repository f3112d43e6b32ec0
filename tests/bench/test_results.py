"""The records of this repository: its benchmark recipes, what was measured by them, and the page that shows it."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from multigen.bench.recipe import figures, read_recipe, read_result
from multigen.bench.results import number, page
from multigen.config import from_table
from multigen.engine import Run
from multigen.metrics.names import trained
from tests.tiny import KEYS, multigen

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))
RESULTS = sorted((ROOT / "recipes" / "results").glob("*.json"))

each_recipe = pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)


def result_of(path: Path) -> dict[str, Any]:
    return read_result(path.parent / "results" / f"{path.stem}.json")


# -- recipes -----------------------------------------------------------------------------------------------------


def test_every_recipe_has_a_result_and_every_result_a_recipe() -> None:
    assert {"srgan-bsds500", "srgan-paper", "digits-dcgan", "seqgan-fables", "wavegan-machine"} <= {
        p.stem for p in RECIPES
    }
    assert [path.stem for path in RESULTS] == [path.stem for path in RECIPES]


EARLIER = {("scratchgan", "seqgan-fables"), ("scratchgan", "seqgan-stories")}
"""Methods and recipes that were named when dense rewards were a setting of seqgan."""


@each_recipe
def test_recipes_fit_their_configurations(path: Path) -> None:
    recipe = read_recipe(path)
    base = import_module(f"multigen.recipes.{recipe.recipe}").PRESETS[recipe.preset]
    config = from_table(base, recipe.config, str(path))
    for name, changes in recipe.variants.items():
        assert from_table(config, changes, f"{path}, {name}") != config or not changes
    from_table(Run(), recipe.run, str(path))
    assert recipe.recipe in path.stem.split("-") or (recipe.recipe, path.stem) in EARLIER
    assert path.read_text(encoding="utf-8").startswith("# ")  # what it is, as the page says it


@each_recipe
def test_recipes_say_their_data_steps_and_seed_themselves(path: Path) -> None:
    """So that a preset may change without them."""
    recipe = read_recipe(path)
    budget = import_module(f"multigen.recipes.{recipe.recipe}").TRAINER.budget
    assert {"data", *budget} <= set(recipe.config)
    assert "seed" in recipe.run
    assert recipe.budget.minutes > 0


@each_recipe
def test_recipes_say_what_they_expect(path: Path) -> None:
    """A floor and learned rows, once measured; nothing before."""
    recipe, content = read_recipe(path), result_of(path)
    expected = recipe.expected(str(path))
    if content["status"] != "ok":
        assert not expected
        return
    assert {trained(e.row) for e in expected} == {True, False}
    assert f"# Measured: recipes/results/{path.stem}.json." in path.read_text(encoding="utf-8")
    for target in recipe.targets(str(path)):
        assert target.at_least > float("-inf") or target.at_most < float("inf")


# -- results -----------------------------------------------------------------------------------------------------


@each_recipe
def test_results_say_how_they_can_be_had_again(path: Path) -> None:
    content = result_of(path)
    assert [key for key in content if key != "remarks"] == KEYS
    assert content["recipe"] == read_recipe(path).recipe
    assert content["command"] == f"multigen bench recipes/{path.name}"
    assert re.fullmatch(r"[0-9a-f]{40}(\+changes)?", content["commit"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", content["date"]) and content["machine"]
    if content["status"] == "ok":
        assert content["seed"] == content["seeds"][0] == read_recipe(path).run["seed"]
        assert content["steps"] and all(steps > 0 for steps in content["steps"].values()) and content["seconds"] > 0
        assert content["rows"] and all(content["rows"].values())
    else:
        assert re.fullmatch("not run: .+", content["status"])
        assert not content["rows"] and not content["seeds"]


@each_recipe
def test_every_metric_is_defined(path: Path) -> None:
    """That of `METRIC_std` is METRIC's, that of `SET/METRIC` too."""
    content = result_of(path)
    names = {metric.removesuffix("_std").rpartition("/")[2] for row in content["rows"].values() for metric in row}
    assert names == {metric for metric, text in content["definitions"].items() if text}


@each_recipe
def test_results_are_what_recipes_expect(path: Path) -> None:
    """What must be reached may be missed, and the page says so; what was measured must be what is expected."""
    found = figures(read_recipe(path), result_of(path), str(path))
    assert [str(f) for f in found if f.kind == "expect" and not f.met] == []


# -- the page ----------------------------------------------------------------------------------------------------


def test_the_page_of_results_is_not_stale() -> None:
    kept = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert kept == page(RECIPES), "write it again: multigen bench recipes/*.toml --page docs/results.md"


def test_every_recipe_and_every_miss_is_on_the_page() -> None:
    text = page(RECIPES)
    for path in RECIPES:
        assert f"\n### {path.stem}\n" in text and f"| [{path.stem}](#{path.stem}) |" in text
    found = [f for path in RECIPES for f in figures(read_recipe(path), result_of(path), str(path))]
    assert text.count("| **missed** |") == sum(not f.met for f in found)


def test_the_page_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "docs" / "results.md"
    assert multigen(["bench", *reversed(RECIPES), "--page", file]) == 0
    assert file.read_text(encoding="utf-8") == page(RECIPES)
    assert multigen(["bench", *RECIPES, "--page", file, "--out", tmp_path]) == 2
    assert str(tmp_path / RESULTS[0].name) in capsys.readouterr().err
    assert multigen(["bench", *RECIPES, "--page", file / "page.md"]) == 2
    assert "give another file for --page" in capsys.readouterr().err


def test_a_section_shows_all_there_is(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    path = tmp_path / "mine.toml"
    path.write_text(
        "# What it is,\n# in two lines.\nrecipe = 'dcgan'\nseeds = 3\n[budget]\nminutes = 1\n", encoding="utf-8"
    )
    rows = '{"a/last": {"fd": 2.0, "fd_std": 0.25}, "a/best": {"fd": 2.0, "fd_std": 0.25}, "real": {"fd": 12345.6, "kd": 0.5}}'
    head = '"recipe": "dcgan", "status": "ok", "command": "c", "commit": "0123456789abcdef+changes", "seed": 0, "seeds": [0, 1]'
    more = '"steps": {"s": 1000}, "date": "d", "machine": "m", "seconds": 240.0, "definitions": {"fd": "x < y"}'
    result = f'{{{head}, {more}, "rows": {rows}, "remarks": {{"verdict": "none"}}}}'
    (tmp_path / "results" / "mine.json").write_text(result, encoding="utf-8")
    text = page([path])
    assert "What it is, in two lines." in text
    assert "at commit `0123456789+changes`" in text and "seeds: 0, 1 (the recipe asks for 3 seeds)" in text
    assert (
        "| row | `fd` | `kd` |\n| --- | ---: | ---: |\n| `real` | 12,346 | 0.5000 |\n| `a/last`, `a/best` | 2 ± 0.2500 | - |"
        in text
    )
    assert "| `minutes of training` | 2 | at most 1 | **missed** |" in text and "**1 of 1 missed**" in text
    assert "<li><code>fd</code>: x &lt; y</li>" in text and "*verdict*: none" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (10.0, "10"),
        (0.73412, "0.7341"),
        (-0.00741, "-0.0074"),
        (28.42901, "28.43"),
        (782682.1, "782,682"),
        (float("nan"), "nan"),
    ],
)
def test_numbers_have_four_digits(value: float, text: str) -> None:
    assert number(value) == text
