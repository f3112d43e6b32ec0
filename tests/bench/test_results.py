"""The records of this repository: its benchmark recipes, what was measured by them, and the pages
that show it."""

import itertools
import json
import math
import re
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from multigen.bench.curves import drawing, mean_curve
from multigen.bench.recipe import figures, read_recipe, read_result
from multigen.bench.results import PUBLISHED, number, pages
from multigen.config import from_table
from multigen.engine import Run
from multigen.errors import DataError
from multigen.metrics.names import trained
from multigen.runs.card import escaped
from multigen.storage.files import write_json
from tests.fuzz.hostile_names import forbidden
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


NAMED = {
    *(("scratchgan", "seqgan-fables"), ("scratchgan", "seqgan-stories")),
    *(("scratchgan", "stories-smollm"), ("scratchgan", "poems")),
    ("r3gan", "flowers64-freezed"),
    *(("pix2pix", "colour-flowers"), ("pix2pix", "segments-flowers"), ("pix2pix", "edges-flowers")),
    *(("cyclegan", "swap-flowers"), ("cyclegan", "night-bsds")),
    *(("maskcyclegan", "convert-vcc2016"), ("maskcyclegan", "convert-voice"), ("maskcyclegan", "adapt-voice")),
}
"""Methods and recipes that are not named after them: of before dense rewards were no setting of
seqgan, and of a task that several methods learn."""


@each_recipe
def test_recipes_fit_their_configurations(path: Path) -> None:
    recipe = read_recipe(path)
    base = import_module(f"multigen.recipes.{recipe.method}").PRESETS[recipe.preset]
    config = from_table(base, recipe.config, str(path))
    for name, changes in recipe.variants.items():
        assert from_table(config, changes, f"{path}, {name}") != config or not changes
    from_table(Run(), recipe.run, str(path))
    assert recipe.method in path.stem.split("-") or (recipe.method, path.stem) in NAMED
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
def test_recipes_say_their_precision_themselves(path: Path) -> None:
    """The one that they were measured in, whichever is faster elsewhere."""
    recipe, content = read_recipe(path), result_of(path)
    assert recipe.run["precision"] in ("fp32", "bf16")
    if content["status"] == "ok":
        assert content["machine"].rpartition(", ")[2] == recipe.run["precision"]


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
    assert [key for key in content if key not in ("remarks", "curves")] == KEYS
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
    """What must be reached may be missed, and the pages say so; what was measured must be what is
    expected."""
    result = figures(read_recipe(path), result_of(path), str(path))
    assert [str(f) for f in result if f.kind == "expect" and not f.met] == []


# -- the pages ---------------------------------------------------------------------------------------------------


def test_the_pages_of_results_are_not_stale() -> None:
    docs = ROOT / "docs"
    kept = {f"results/{path.name}": path.read_text(encoding="utf-8") for path in (docs / "results").iterdir()}
    kept[""] = (docs / "results.md").read_text(encoding="utf-8")
    assert kept == pages(RECIPES), "write them again: multigen bench recipes/*.toml --page docs/results.md"


def test_every_recipe_and_every_miss_is_on_the_pages() -> None:
    texts = pages(RECIPES)
    assert {name for name in texts if not name.endswith(".svg")} == {"", *(f"results/{p.stem}.md" for p in RECIPES)}
    for path in RECIPES:
        assert texts[""].count(f"[{path.stem}](results/{path.stem}.md)") == 1
        checks = figures(read_recipe(path), result_of(path), str(path))
        met = f"{sum(f.met for f in checks)} of {len(checks)}"
        page = texts[f"results/{path.stem}.md"]
        assert not checks or f"- checks: {met if all(f.met for f in checks) else f'**{met}**'}\n" in page


def table_of(text: str, data: str) -> list[list[str]]:
    """The cells of the rows of one data set, without those of others in the same table."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    start = [row[0] for row in cells].index(f"**{data}**")
    ends = (i for i in range(start + 1, len(cells)) if cells[i][0].startswith(("**", "benchmark")))
    return cells[start : next(ends, len(cells))]


def test_the_page_has_each_data_set_once_and_little_of_each_row() -> None:
    text = pages(RECIPES)[""]
    assert text.count("**mnist**") == 1
    cells = table_of(text, "mnist")
    assert {len(row) for row in cells} == {8}
    assert [row[1] for row in cells if row[0] == "**mnist**"] == ["`real`"]
    ran = [p.stem for p in RECIPES if p.stem.startswith("mnist-") and result_of(p)["status"] == "ok"]
    assert "mnist-dcgan" in ran
    assert [row[0].partition("]")[0].lstrip("[") for row in cells if row[0].startswith("[")] == ran
    assert not [row for row in cells if row[1].endswith("/last`") or "noise" in row[1]]
    assert len(text.splitlines()) < 40 * text.count("\n## ") + 50  # about a screen per modality


def test_published_values_are_shown_where_they_compare() -> None:
    text = pages(RECIPES)[""]
    line = next(line for line in text.splitlines() if "`BSD100/psnr_y`" in line)
    text, head = text[text.index(line) :], line.strip("|").split("|")
    columns = [i for i, cell in enumerate(head) if cell.strip() in ("`Set5/psnr_y`", "`BSD100/psnr_y`")]
    rows = {row[1]: [row[i] for i in columns] for row in table_of(text, "photos/bsds500")}
    assert rows["`bicubic`"] == ["28.43", "25.96"]
    assert rows["published: SRGAN, Ledig et al. 2017"] == ["29.40", "25.16"]
    measured = {path.stem: {m for row in result_of(path)["rows"].values() for m in row} for path in RECIPES}
    for name, published in PUBLISHED.items():
        assert published and all(values.keys() <= measured[name] for values in published.values())


def test_metrics_are_defined_in_one_place_only() -> None:
    texts = pages(RECIPES)
    definitions = {text.partition(";")[0] for path in RECIPES for text in result_of(path)["definitions"].values()}
    assert len(definitions) > 20
    prose = [text.replace("\n", " ") for text in texts.values()]
    assert not [d for d in definitions for text in prose if d in text or escaped(d) in text]
    assert all("](../metrics.md)" in texts[f"results/{p.stem}.md"] for p in RECIPES if result_of(p)["rows"])


def test_prose_of_the_pages_wraps() -> None:
    texts = [text for name, text in pages(RECIPES).items() if not name.endswith(".svg")]
    lines = [line for text in texts for line in text.splitlines() if not line.startswith("|")]
    assert len(lines) > 200 and max(map(len, lines)) <= 100


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
    content |= {
        "definitions": {"fd": "x; features: of < a, b; as they are; 3 samples"},
        "rows": rows,
        "remarks": {"verdict": "none"},
    }
    write_json(folder / "results" / f"{name}.json", content)
    return folder / f"{name}.toml"


def with_curves(path: Path, curves: list[dict[str, Any]]) -> Path:
    """The recipe, with curves in its result."""
    result = path.parent / "results" / f"{path.stem}.json"
    write_json(result, json.loads(result.read_text()) | {"curves": curves})
    return path


def curve(values: list[float], row: str = "s", seed: int = 0, metric: str = "fd_x") -> dict[str, Any]:
    """A value every minute."""
    seconds = [60.0 * (i + 1) for i in range(len(values))]
    return {"row": row, "seed": seed, "metric": metric, "seconds": seconds, "values": values}


def test_recipes_of_one_group_share_an_image_and_a_table_of_their_curves(tmp_path: Path) -> None:
    rows = {"real": {"fd_x": 1.0}, "s/best": {"fd_x": 2.0}}
    two = [curve([50, 20, 9, 10], f"{variant}/s", seed) for variant in ("a", "b") for seed in (0, 1)]
    two += [curve([100, 40, 29, math.nan], "a/s", 2), curve([1], metric="fd_other")]
    paths = [
        with_curves(written(tmp_path, "set-dcgan", rows), two),
        with_curves(written(tmp_path, "alone-dcgan", rows), [curve([3, 2])]),
        with_curves(written(tmp_path, "set", rows), [curve([3, 2])]),  # no method in its name: no group
        written(tmp_path, "more-dcgan", rows),
    ]
    texts = pages(paths)
    assert [name for name in texts if name.endswith(".svg")] == ["results/set-fd_x.svg"]
    assert texts == pages(paths)  # the same bytes each time
    for _ in range(2):  # its own files are replaced
        assert multigen(["bench", *paths, "--page", tmp_path / "docs" / "results.md"]) == 0
    assert (tmp_path / "docs" / "results" / "set-fd_x.svg").read_text() == texts["results/set-fd_x.svg"]
    head, _, after = texts[""].partition("## Distance against minutes")
    assert head.startswith("# Results") and "## Images" in after  # before all tables
    assert "![set: `fd_x` against minutes](results/set-fd_x.svg)" in after
    lines = [line.strip("|").split("|") for line in after.splitlines() if line[:1] == "|"]
    table = [[cell.strip() for cell in line] for line in lines[:4]]
    assert table[0] == ["set", "10%", "20%", "50%", "100%"]
    assert table[2] == ["dcgan, a", "-", "-", "46.67", "15.67"]  # (20 + 20 + 100) / 3; (9 + 9 + 29) / 3
    assert table[3] == ["dcgan, b", "-", "-", "20", "9"]
    image = ElementTree.fromstring(texts["results/set-fd_x.svg"])
    drawn = image.findall("{http://www.w3.org/2000/svg}polyline")
    words = [element.text for element in image.iter("{http://www.w3.org/2000/svg}text")]
    assert len(drawn) == 5 and {"dcgan, a", "dcgan, b", "fd_x", "1", "2"} <= {*words}
    first, last = (drawn[0].attrib["points"].split()[i].split(",") for i in (0, -1))
    assert float(first[0]) < float(last[0]) and float(first[1]) < float(last[1])  # later, and lower in the image


def test_ten_recipes_of_three_seeds_can_be_told_apart() -> None:
    """Each has a thick line, between those of its seeds, a look of its own, and a label that no
    other covers."""
    made = {}
    for k in range(10):
        values = [[40 / (i + 1) ** (0.1 * k) * factor for i in range(10)] for factor in (0.8, 1.0, 1.2)]
        made[f"method {k}"] = {
            s: [((i + 1) * (1 + 0.01 * s), v) for i, v in enumerate(row)] for s, row in enumerate(values)
        }
    image = ElementTree.fromstring(drawing(made, "fd_x"))
    name = "{http://www.w3.org/2000/svg}"
    means, seeds = image.findall(f"{name}path"), image.findall(f"{name}polyline")
    assert (len(means), len(seeds)) == (10, 30)
    assert len({(each.attrib["stroke"], each.attrib.get("stroke-dasharray")) for each in means}) == 10
    assert min(float(m.attrib["stroke-width"]) for m in means) > 2 * max(float(s.attrib["stroke-width"]) for s in seeds)
    labels = [each for each in image.findall(f"{name}text") if (each.text or "").startswith("method")]
    heights = sorted(float(each.attrib["y"]) for each in labels)
    assert len(heights) == 10 and min(b - a for a, b in itertools.pairwise(heights)) >= 12
    assert heights[0] > 0 and heights[-1] < 400
    by_label = {each.text: each.attrib["fill"] for each in labels}
    assert [by_label[f"method {k}"] for k in range(10)] == [m.attrib["stroke"] for m in means]


def test_the_mean_of_curves_is_between_their_points() -> None:
    assert mean_curve([[(1.0, 4.0), (3.0, 8.0)], [(1.0, 2.0), (2.0, 2.0), (3.0, 4.0)]]) == [(1.0, 3.0), (3.0, 6.0)]
    first, second = [(1.0, 4.0), (2.0, 6.0), (3.0, 2.0)], [(1.5, 1.0), (2.5, 3.0)]
    assert mean_curve([first, second]) == [(1.5, 3.0), (2.0, 4.0), (2.5, 3.5)]
    assert mean_curve([[(1.0, 4.0)], [(2.0, 6.0)]]) == [(1.5, 5.0)]


def test_without_curves_nothing_is_drawn(tmp_path: Path) -> None:
    paths = [written(tmp_path, f"set-{name}", {"s/best": {"fd_x": 2.0}}) for name in ("dcgan", "b")]
    texts = pages(paths)
    assert not [name for name in texts if name.endswith(".svg")] and "Distance against minutes" not in texts[""]


@pytest.mark.parametrize("values", [[0.0, 3.0], [2.0], [-1.0, -1.0], [5.0, 5.0], [1e-6, 1e6]])
def test_every_curve_can_be_drawn(values: list[float]) -> None:
    points = list(enumerate(values, 1))
    image = ElementTree.fromstring(drawing({"a": {0: [(float(x), y) for x, y in points]}}, "m"))
    assert 1 <= len(image.findall("{http://www.w3.org/2000/svg}line")) <= 25


def test_a_damaged_curve_is_an_error(tmp_path: Path) -> None:
    short = curve([1.0, 2.0]) | {"values": [1.0]}
    path = with_curves(written(tmp_path, "set-dcgan", {"s/best": {"fd_x": 2.0}}), [short])
    with pytest.raises(DataError, match=r"set-dcgan\.json cannot be read as a result .*other numbers of seconds"):
        pages([path])


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
    assert "- checks: **0 of 1**\n" in text and "| `minutes of training` | 2 | at most 1 |" in text
    assert "- items: as they are; 3 samples\n" in text and "of < a" not in text and "*Verdict*: none" in text


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
        ["| **d**", "`real`", "1 to 1.500"],
        ["| [a](results/a.md)", "`s/last`", "3"],
        ["| [b](results/b.md)", "`s/best`", "2"],
        ["| [c](results/c.md)", "`s/last`", "5"],
    ]
    assert "| 4.0 | **0 of 1** |" in lines[3]
    assert "\n- a, b: m\n- c: n\n" in text


def test_the_last_and_the_best_model_are_one_row_where_they_are_equal(tmp_path: Path) -> None:
    same, other = {"fd_x": 4.0}, {"fd_x": 2.0}
    rows = {"real": {"fd_x": 1.0}, "s/last": same, "s/best": same, "t/last": same, "t/best": other}
    text = pages([written(tmp_path, "a", rows)])[""]
    assert [row[1] for row in table_of(text, "d")] == ["`real`", "`s`", "`t/best`"]


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
    for name, text in pages([path]).items():
        assert forbidden(text) == [] and "\n# e" not in text
        prose = re.sub(r"`[^`\n]*`", "", text.replace(r"\`", ""))  # in code nothing is mark-up
        bold = 2 if name else 4  # a missed check, and on the first page the data set
        assert "<" not in prose and "](javascript" not in prose.replace(r"\]", "") and prose.count("**") == bold


@pytest.mark.parametrize("word", ["-", "+", "---", "===", "1.", "12)", ":::"])
def test_no_wrapped_line_begins_as_mark_up(word: str, tmp_path: Path) -> None:
    path = written(tmp_path, "mine", {"real": {"fd": 1.0}})
    for before in range(80, 100):
        remark = f"{'a' * before} {word} b"
        file = tmp_path / "results" / "mine.json"
        write_json(file, json.loads(file.read_text()) | {"remarks": {"change": remark}})
        text = pages([path])["results/mine.md"].partition("*Change*")[2]
        assert f" {word} b" in text.replace("\n", " ") and f"\n{word} " not in text
