"""The records of this repository: its benchmark recipes, what was measured by them, and the pages that show it."""

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from multigen.bench.recipe import figures, read_recipe, read_result
from multigen.bench.results import number, pages
from multigen.config import from_table
from multigen.engine import Run
from multigen.metrics.names import trained
from multigen.storage.files import write_json
from tests.hostile import forbidden
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
    base = import_module(f"multigen.recipes.{recipe.method}").PRESETS[recipe.preset]
    config = from_table(base, recipe.config, str(path))
    for name, changes in recipe.variants.items():
        assert from_table(config, changes, f"{path}, {name}") != config or not changes
    from_table(Run(), recipe.run, str(path))
    assert recipe.method in path.stem.split("-") or (recipe.method, path.stem) in EARLIER
    assert path.read_text(encoding="utf-8").startswith("# ")  # what it is, as the page says it


@each_recipe
def test_recipes_say_their_data_steps_and_seed_themselves(path: Path) -> None:
    """So that a preset may change without them."""
    recipe = read_recipe(path)
    budget = import_module(f"multigen.recipes.{recipe.method}").TRAINER.budget
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
    assert content["method"] == read_recipe(path).method
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
    """What must be reached may be missed, and the pages say so; what was measured must be what is expected."""
    found = figures(read_recipe(path), result_of(path), str(path))
    assert [str(f) for f in found if f.kind == "expect" and not f.met] == []


# -- the pages ---------------------------------------------------------------------------------------------------


def test_the_pages_of_results_are_not_stale() -> None:
    docs = ROOT / "docs"
    kept = {f"results/{path.name}": path.read_text(encoding="utf-8") for path in (docs / "results").iterdir()}
    kept[""] = (docs / "results.md").read_text(encoding="utf-8")
    assert kept == pages(RECIPES), "write them again: multigen bench recipes/*.toml --page docs/results.md"


def test_every_recipe_and_every_miss_is_on_the_pages() -> None:
    texts = pages(RECIPES)
    assert texts.keys() == {"", *(f"results/{path.stem}.md" for path in RECIPES)}
    for path in RECIPES:
        assert texts[""].count(f"[{path.stem}](results/{path.stem}.md)") == 1
        missed = sum(not f.met for f in figures(read_recipe(path), result_of(path), str(path)))
        assert f"**{missed} of " in texts[f"results/{path.stem}.md"] or not missed


def test_the_page_has_one_table_per_data_set_and_little_of_each_row() -> None:
    text = pages(RECIPES)[""]
    assert text.count("\n### mnist\n") == 1
    table = text.split("\n### mnist\n\n")[1].split("\n\n")[0].splitlines()
    assert len({line.count("|") for line in table}) == 1 and table[0].count("|") == 9
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]
    assert cells[0][:2] == ["", "`real`"]
    assert [row[0].partition("]")[0].lstrip("[") for row in cells if row[0]] == [
        "mnist-dcgan", "mnist-gan", "mnist-r3gan", "mnist-sngan", "mnist-wgan",
    ]  # fmt: skip
    assert not [row for row in cells if "/last" in row[1] or "noise" in row[1]]
    assert len(text.splitlines()) < 50 * text.count("\n## ") + 20  # about a screen per modality


def test_the_pages_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "docs" / "mine.md"
    assert multigen(["bench", *reversed(RECIPES), "--page", file]) == 0
    texts = pages(RECIPES, folder="mine")
    assert file.read_text(encoding="utf-8") == texts.pop("")
    assert "](mine/digits-dcgan.md)" in file.read_text(encoding="utf-8")
    assert {
        f"mine/{path.name}": path.read_text(encoding="utf-8") for path in (tmp_path / "docs" / "mine").iterdir()
    } == texts
    assert multigen(["bench", *RECIPES, "--page", file, "--out", tmp_path]) == 2
    assert str(tmp_path / RESULTS[0].name) in capsys.readouterr().err
    assert multigen(["bench", *RECIPES, "--page", file / "page.md"]) == 2
    assert "give another file for --page" in capsys.readouterr().err


def written(folder: Path, name: str, rows: dict[str, dict[str, float]], machine: str = "m") -> Path:
    """A recipe for DCGAN on one data set, and its result."""
    (folder / "results").mkdir(exist_ok=True)
    text = "# What it is,\n# in two lines.\nmethod = 'dcgan'\nseeds = 3\n[config]\ndata = 'd'\n[budget]\nminutes = 1\n"
    (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    content = {"method": "dcgan", "status": "ok", "command": "c", "commit": "0123456789abcdef+changes", "seed": 0}
    content |= {"seeds": [0, 1], "steps": {"s": 1000}, "date": "d", "machine": machine, "seconds": 240.0}
    content |= {"definitions": {"fd": "x; features: of < a"}, "rows": rows, "remarks": {"verdict": "none"}}
    write_json(folder / "results" / f"{name}.json", content)
    return folder / f"{name}.toml"


def test_a_page_shows_all_that_was_measured(tmp_path: Path) -> None:
    same = {"fd": 2.0, "fd_std": 0.25}
    rows: dict[str, Any] = {"a/last": same, "a/best": same, "real": {"fd": 12345.6, "kd": 0.5}}
    text = pages([written(tmp_path, "mine", rows)])["results/mine.md"]
    assert text.startswith("# mine\n\nWhat it is, in two lines.\n")
    assert "at commit `0123456789+changes`" in text and "seeds: 0, 1 (the recipe asks for 3 seeds)" in text
    assert (
        "| row | `fd` | `kd` |\n| --- | ---: | ---: |\n| `real` | 12,346 | 0.5000 |\n| `a/last`, `a/best` | 2 ± 0.2500 | - |"
        in text
    )
    assert "- checks: **1 of 1 missed**\n" in text and "| `minutes of training` | 2 | at most 1 |" in text
    assert "Features: of &lt; a." in text and "*Verdict*: none" in text


def test_a_baseline_that_benchmarks_share_is_there_once(tmp_path: Path) -> None:
    real = {"fd_x": 1.0}
    b = {"real": real, "s/last": {"fd_x": 4.0}, "s/best": {"fd_x": 2.0}, "s/best at 0.7": {"fd_x": 9.0}}
    c = {"real": {"fd_x": 1.5}, "noise": {"fd_x": 7.0}, "s/last": {"fd_x": 5.0}}
    paths = [
        written(tmp_path, "a", {"real": real, "s/last": {"fd_x": 3.0}}),
        written(tmp_path, "b", b),
        written(tmp_path, "c", c, machine="n"),
    ]
    text = pages(paths)[""]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert [line.split(" | ")[:3] for line in lines[2:]] == [
        ["| ", "`real`", "1"],
        ["| [a](results/a.md)", "`s/last`", "3"],
        ["| [b](results/b.md)", "`s/best`", "2"],
        ["| ", "`real`", "1.500"],
        ["| [c](results/c.md)", "`s/last`", "5"],
    ]
    assert "| 4.0 | **1 of 1 missed** |" in lines[3]
    assert "Measured on m (a, b)." in text and "Measured on n (c)." in text


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


def test_what_others_wrote_in_a_result_stays_text(tmp_path: Path) -> None:
    wild = "x` | </code><script>a</script> [b](javascript:c) *d*\n# e \x1b[2J\u202e"
    path = written(
        tmp_path, "mine", {"real": {wild: 1.0}, wild: {wild: 1.0}, f"a/{wild}/last": {wild: 2.0}}, machine=wild
    )
    file = tmp_path / "results" / "mine.json"
    content = json.loads(file.read_text()) | dict.fromkeys(("command", "commit", "date"), wild)
    content |= {"steps": {wild: 3}, "definitions": {wild: f"a; features: {wild}"}, "remarks": {wild: wild}}
    write_json(file, content)
    for text in pages([path]).values():
        assert forbidden(text) == [] and "\n# e" not in text
        prose = re.sub(r"`[^`\n]*`", "", text.replace(r"\`", ""))  # in code nothing is mark-up
        assert "<" not in prose and "](javascript" not in prose.replace(r"\]", "") and prose.count("**") == 2
