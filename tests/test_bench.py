"""Benchmark recipes: their schema, results that are reached and missed, and the recipes of this repository."""

import json
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch

from multigen.cli.bench import merged, read_recipe
from multigen.config import from_table
from multigen.engine import Run
from tests.tiny import KEYS, SETTINGS, multigen, photos

ROOT = Path(__file__).resolve().parent.parent
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))
RESULTS = sorted((ROOT / "recipes" / "results").glob("*.json"))


def written(folder: Path, **changes: Any) -> Path:
    """A recipe that trains in a second, in `folder`/mine.toml."""
    folder.mkdir(exist_ok=True)
    data = str(folder / "photos" if (folder / "photos").exists() else photos(folder / "photos"))
    table = {"recipe": "srgan", "preset": "tiny", "config": {"data": data, "test": [data], **SETTINGS}}
    (folder / "mine.toml").write_text(tomli_w.dumps({**table, "run": {"seed": 3, "precision": "fp32"}, **changes}))
    return folder / "mine.toml"


def bench(path: Path, *words: str | Path) -> int:
    return multigen(["bench", path, "--device", "cpu", "--folder", path.parent / "run", *words])


def reach(row: str, metric: str, **bound: float) -> dict[str, Any]:
    return {"row": row, "metric": f"photos/{metric}", **bound}


def test_a_recipe_is_run_and_its_result_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    targets = [reach("bicubic", "psnr_y", at_least=5), reach("adversarial/last", "efficientnet_lite0", at_most=9)]
    path = written(tmp_path, reach=targets, budget={"minutes": 5})
    assert bench(path) == 0
    content = json.loads((tmp_path / "results" / "mine.json").read_text())
    assert list(content) == KEYS
    assert content["command"] == f"multigen bench {path}"
    assert (content["recipe"], content["status"], content["seeds"]) == ("srgan", "ok", [3])
    own = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert content["rows"] == own["rows"]
    saved = tomllib.loads((tmp_path / "run" / "config.toml").read_text())
    assert saved["config"]["pretrain_steps"] == SETTINGS["pretrain_steps"] and saved["run"]["seed"] == 3
    printed = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("ok ") for line in printed) == 3
    assert not any(line.startswith("MISSED") for line in printed)


@pytest.mark.parametrize(
    ("missed", "line"),
    [
        ({"reach": [reach("bicubic", "psnr_y", at_least=99)]}, "at least 99"),
        ({"reach": [reach("pretrain/last", "ssim_y", at_most=-1)]}, "at most -1"),
        ({"budget": {"minutes": 1e-9}}, "at most 1e-09"),
    ],
)
def test_what_is_missed_ends_with_1(
    tmp_path: Path, missed: dict[str, Any], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(written(tmp_path, **missed), "--out", tmp_path / "there") == 1
    found = [printed for printed in capsys.readouterr().out.splitlines() if printed.startswith("MISSED")]
    assert len(found) == 1 and line in found[0]
    assert json.loads((tmp_path / "there" / "mine.json").read_text())["status"] == "ok"  # measured all the same


def test_without_a_gpu_the_result_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    path = written(tmp_path, needs="gpu")
    assert bench(path) == 0
    content = json.loads((tmp_path / "results" / "mine.json").read_text())
    assert list(content) == KEYS
    assert content["status"].startswith("not run: ") and "GPU" in content["status"]
    assert (content["rows"], content["seeds"], content["command"]) == ({}, [], f"multigen bench {path}")
    assert not (tmp_path / "run").exists()
    assert "not run" in capsys.readouterr().out


def test_what_was_measured_on_a_gpu_is_not_overwritten_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    path = written(tmp_path, needs="gpu")
    (tmp_path / "results").mkdir()
    measured = {"status": "ok", "rows": {"bicubic": {"psnr_y": 28.4}}}
    (tmp_path / "results" / "mine.json").write_text(json.dumps(measured))
    assert bench(path) == 0
    assert json.loads((tmp_path / "results" / "mine.json").read_text()) == measured


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"novel": 1}, "unknown field 'novel'"),
        ({"recipe": "stylegan9"}, "recipe 'stylegan9'; expected one of srgan"),
        ({"preset": "huge"}, "preset 'huge'; expected one of tiny, laptop, default, paper"),
        ({"needs": "tpu"}, "needs 'tpu'; expected gpu"),
        ({"seeds": "3"}, "seeds = '3'; expected int"),
        ({"config": {"stepz": 1}}, "unknown field 'stepz'"),
        ({"variants": {"a": {"stepz": 1}}}, "variants.a: unknown field 'stepz'"),
        ({"config": {"content": "vgg99"}}, "vgg99"),
        ({"run": {"speed": 1}}, "unknown field 'speed'"),
        ({"reach": [{"row": "bicubic", "at_lest": 1}]}, "unknown field 'at_lest'"),
        ({"reach": [{"row": "bicubic", "at_least": "much"}]}, "at_least = 'much'; expected float"),
        ({"budget": {"hours": 1}}, "unknown field 'hours'"),
    ],
)
def test_a_recipe_is_checked(
    tmp_path: Path, change: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, **change)
    assert bench(path) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and message in said[0] and str(path) in said[0]
    assert not (tmp_path / "run").exists() and not (tmp_path / "results").exists()


def test_a_recipe_that_is_no_toml_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.toml").write_text("recipe = ")
    for name in ("a.toml", "absent.toml"):
        assert bench(tmp_path / name) == 2
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 1 and str(tmp_path / name) in said[0]


def test_variants_are_trained_in_turn_and_their_rows_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    variants = {"plain": {}, "deeper": {"blocks": 2}}
    path = written(tmp_path, variants=variants, reach=[reach("deeper/pretrain/last", "psnr_y", at_least=1)])
    assert bench(path) == 0
    content = json.loads((tmp_path / "results" / "mine.json").read_text())
    own = {name: json.loads((tmp_path / "run" / name / "evaluation.json").read_text()) for name in variants}
    assert content["rows"]["plain/adversarial/last"] == own["plain"]["rows"]["adversarial/last"]
    assert content["rows"]["deeper/adversarial/last"] == own["deeper"]["rows"]["adversarial/last"]
    assert content["rows"]["deeper/pretrain/last"] != content["rows"]["plain/pretrain/last"]
    assert content["seconds"] == pytest.approx(sum(each["seconds"] for each in own.values()))
    configs = [tomllib.loads((tmp_path / "run" / name / "config.toml").read_text())["config"] for name in variants]
    assert [config["blocks"] for config in configs] == [1, 2]


def test_of_real_data_one_row_is_kept() -> None:
    contents = {
        name: {"seconds": 1.0, "definitions": {"fd": name}, "rows": {"real": {"fd": 0.1}, "last": {"fd": fd}}}
        for name, fd in (("a", 2.0), ("b", 3.0))
    }
    rows = merged(contents)["rows"]
    assert rows == {"real": {"fd": 0.1}, "a/last": {"fd": 2.0}, "b/last": {"fd": 3.0}}


def test_a_figure_that_there_is_not_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, reach=[{"row": "pretrain/best", "metric": "psnr"}])
    assert bench(path) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "'psnr'" in said and "bicubic" in said


# -- the recipes of this repository ------------------------------------------------------------------------------


def test_there_are_recipes() -> None:
    assert {"srgan-bsds500", "srgan-paper"} <= {path.stem for path in RECIPES}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_fit_their_configurations(path: Path) -> None:
    recipe = read_recipe(path)
    base = import_module(f"multigen.recipes.{recipe.recipe}").PRESETS[recipe.preset]
    config = from_table(base, recipe.config, str(path))
    for name, changes in recipe.variants.items():
        assert from_table(config, changes, f"{path}, {name}") != config or not changes
    from_table(Run(), recipe.run, str(path))
    assert recipe.recipe in path.stem.split("-")
    assert recipe.budget.minutes > 0
    rows = {"real", "bicubic", "pretrain", "mle", "adversarial", *recipe.variants}
    for target in recipe.targets(str(path)):
        assert target.at_least > float("-inf") or target.at_most < float("inf")
        assert target.row.split("/")[0] in rows


def test_every_recipe_has_a_result_and_every_result_a_recipe() -> None:
    if not RESULTS:
        pytest.skip("nothing was measured yet: recipes/results is empty")
    assert [path.stem for path in RESULTS] == [path.stem for path in RECIPES]
    for path in RESULTS:
        content = json.loads(path.read_text())
        assert [key for key in content if key != "remarks"] == KEYS, path
        assert content["status"] == "ok" or content["status"].startswith("not run: ")
        assert bool(content["rows"]) == (content["status"] == "ok")
