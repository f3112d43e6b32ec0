"""The command `bench`: the schema of recipes, figures that are met and missed, several recipes,
quick runs."""

import errno
import json
import shutil
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch

from multigen.audio.synthesis.wavegan import PRESETS as WAVEGAN
from multigen.audio.synthesis.wavegan import WaveGANConfig
from multigen.bench.quick import quick_config
from multigen.bench.recipe import Recipe, figures, read_recipe, summary
from multigen.cli import bench as command
from multigen.cli.bench import merged
from multigen.config import from_table
from multigen.errors import ConfigError
from multigen.image.restoration.srgan import PRESETS as SRGAN
from multigen.image.restoration.srgan import SRGANConfig
from multigen.text.synthesis.seqgan import PRESETS as SEQGAN
from multigen.text.synthesis.seqgan import SeqGANConfig
from tests.tiny import KEYS, SETTINGS, multigen, photos

RECIPES = sorted((Path(__file__).resolve().parents[2] / "recipes").glob("*.toml"))


def written(folder: Path, **changes: Any) -> Path:
    """A recipe that trains in a second, in `folder`/mine.toml."""
    folder.mkdir(exist_ok=True)
    data = str(folder / "photos" if (folder / "photos").exists() else photos(folder / "photos"))
    table = {"method": "srgan", "preset": "tiny", "config": {"data": data, "test": [data], **SETTINGS}}
    (folder / "mine.toml").write_text(tomli_w.dumps({**table, "run": {"seed": 3, "precision": "fp32"}, **changes}))
    return folder / "mine.toml"


def bench(path: Path, *words: str | Path) -> int:
    return multigen(["bench", path, "--device", "cpu", "--runs", path.parent / "runs", *words])


def reach(row: str, metric: str, **bound: float) -> dict[str, Any]:
    """Of a target or of an expected figure."""
    return {"row": row, "metric": f"photos/{metric}", **bound}


def lines(capsys: pytest.CaptureFixture[str], beginning: str) -> list[str]:
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith(beginning)]


def test_a_recipe_is_run_and_its_result_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    targets = [reach("bicubic", "psnr_y", at_least=5), reach("adversarial/last", "efficientnet_lite0", at_most=9)]
    expect = [reach("bicubic", "psnr_y", value=20, tolerance=15)]
    path = written(tmp_path, reach=targets, expect=expect, budget={"minutes": 5})
    assert bench(path) == 0
    content = json.loads((tmp_path / "results" / "mine.json").read_text())
    assert list(content) == KEYS
    assert content["command"] == f"multigen bench {path}"
    assert (content["method"], content["status"], content["seeds"]) == ("srgan", "ok", [3])
    own = json.loads((tmp_path / "runs" / "mine" / "evaluation.json").read_text())
    assert content["rows"] == own["rows"]
    saved = tomllib.loads((tmp_path / "runs" / "mine" / "config.toml").read_text())
    assert saved["config"]["pretrain_steps"] == SETTINGS["pretrain_steps"] and saved["run"]["seed"] == 3
    printed = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("ok ") for line in printed) == 4
    assert not any(line.startswith("MISSED") for line in printed)
    assert printed[-1].split()[0] == "mine" and printed[-1].split()[-1] == "ok"
    assert "1 of 1" in printed[-1] and "3 of 3" in printed[-1]


def test_a_target_may_be_of_the_difference_of_two_rows() -> None:
    recipe = Recipe(reach=[{"row": "a", "over": "b", "metric": "x/psnr_y", "at_least": 0.3}])
    rows = {"a": {"x/psnr_y": 21.0}, "b": {"x/psnr_y": 20.5}}
    (found,) = figures(recipe, {"status": "ok", "rows": rows}, "here")
    assert (found.name, found.value, found.met) == ("a x/psnr_y over b", 0.5, True)
    rows["b"]["x/psnr_y"] = 20.9
    assert not figures(recipe, {"status": "ok", "rows": rows}, "here")[0].met
    del rows["b"]
    with pytest.raises(ConfigError, match="no metric 'x/psnr_y' in row 'b'"):
        figures(recipe, {"status": "ok", "rows": rows}, "here")


def test_what_is_missed_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    targets = [reach("bicubic", "psnr_y", at_least=99), reach("pretrain/last", "ssim_y", at_most=-1)]
    expect = [reach("bicubic", "psnr_y", value=99, tolerance=0.5)]
    path = written(tmp_path, reach=targets, expect=expect, budget={"minutes": 1e-9})
    assert bench(path, "--out", tmp_path / "there") == 1
    result = lines(capsys, "MISSED")
    assert len(result) == 4
    for why, line in zip(("at least 99", "at most -1", "expected 99 ± 0.5", "at most 1e-09"), result, strict=True):
        assert why in line
    assert json.loads((tmp_path / "there" / "mine.json").read_text())["status"] == "ok"  # measured all the same


def test_variants_bring_their_curves() -> None:
    content = {"rows": {"s/best": {"fd": 1.0}}, "definitions": {"fd": "d"}, "seconds": 1.0}
    drawn = {"row": "s", "seed": 0, "metric": "fd", "seconds": [1.0], "values": [2.0]}
    result = merged({"a": content | {"curves": [drawn]}, "b": content})
    assert result["curves"] == [drawn | {"row": "a/s"}]
    assert "curves" not in merged({"a": content}) and merged({"": content | {"curves": [drawn]}})["curves"] == [drawn]


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
    assert not (tmp_path / "runs").exists()
    assert "not run" in capsys.readouterr().out


def test_what_was_measured_on_a_gpu_is_not_overwritten_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    path = written(tmp_path, needs="gpu")
    (tmp_path / "results").mkdir()
    measured = {"status": "ok", "seeds": [0], "seconds": 9.0, "rows": {"bicubic": {"psnr_y": 28.4}}}
    (tmp_path / "results" / "mine.json").write_text(json.dumps(measured))
    assert bench(path) == 0
    assert json.loads((tmp_path / "results" / "mine.json").read_text()) == measured


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"novel": 1}, "unknown field 'novel'"),
        ({"method": "stylegan9"}, "method 'stylegan9'; expected one of srgan"),
        ({"preset": "huge"}, "preset 'huge'; expected one of tiny, laptop, default, paper"),
        ({"needs": "tpu"}, "needs 'tpu'; expected gpu"),
        ({"seeds": "3"}, "seeds = '3'; expected int"),
        ({"config": {"stepz": 1}}, "unknown field 'stepz'"),
        ({"variants": {"a": {"stepz": 1}}}, "variants.a: unknown field 'stepz'"),
        ({"config": {"content": "vgg99"}}, "vgg99"),
        ({"run": {"speed": 1}}, "unknown field 'speed'"),
        ({"reach": [{"row": "bicubic", "at_lest": 1}]}, "unknown field 'at_lest'"),
        ({"reach": [{"row": "bicubic", "at_least": "much"}]}, "at_least = 'much'; expected float"),
        ({"expect": [{"row": "bicubic", "about": 1}]}, "unknown field 'about'"),
        ({"expect": [{"row": "bicubic", "tolerance": "some"}]}, "tolerance = 'some'; expected float"),
        ({"expect": [{"row": "bicubic", "metric": "photos/psnr_y", "tolerance": 0.1}]}, "value nan, tolerance 0.1"),
        ({"expect": [{"value": 1, "tolerance": -0.1}]}, "value 1.0, tolerance -0.1"),
        ({"budget": {"hours": 1}}, "unknown field 'hours'"),
        (
            {"variants": {"four": {}}, "start": {"for": "four"}},
            "start: no variant 'for'; expected one of four; did you mean four?",
        ),
        ({"variants": {"a": {}}, "start": {"a": "b"}}, "start: no variant 'b'; expected one of a"),
        ({"variants": {"a": {}}, "start": {"a": 3}}, "start: no variant '3'"),
        ({"start": {"a": "b"}}, "start: no variant 'a'; expected a recipe with variants"),
        ({"variants": {"a": {}}, "start": {"a": "a"}}, "start: a start from each other"),
        (
            {"variants": {name: {} for name in "abc"}, "start": {"a": "b", "b": "a"}},
            "start: a, b start from each other",
        ),
        (
            {"variants": {"a": {}, "b": {"blocks": 2}}, "start": {"b": "a"}},
            "variant b starts from a: G does not fit: missing",
        ),
        (
            {"variants": {"a": {}, "b": {"width": 16}}, "start": {"b": "a"}},
            "variant b starts from a: G: head.weight has shape",
        ),
    ],
)
def test_a_recipe_is_checked(
    tmp_path: Path, change: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, **change)
    assert bench(path) == 2
    text = capsys.readouterr().err.splitlines()
    assert len(text) == 1 and message in text[0] and str(path) in text[0]
    assert not (tmp_path / "runs").exists() and not (tmp_path / "results").exists()


def test_a_recipe_that_is_no_toml_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.toml").write_text("recipe = ")
    for name in ("a.toml", "absent.toml"):
        assert bench(tmp_path / name) == 2
        message = capsys.readouterr().err.splitlines()
        assert len(message) == 1 and str(tmp_path / name) in message[0]


@pytest.mark.slow
def test_variants_are_trained_in_turn_and_their_rows_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    variants = {"plain": {}, "deeper": {"blocks": 2}}
    path = written(tmp_path, variants=variants, reach=[reach("deeper/pretrain/last", "psnr_y", at_least=1)])
    assert bench(path) == 0
    content = json.loads((tmp_path / "results" / "mine.json").read_text())
    own = {name: json.loads((tmp_path / "runs" / "mine" / name / "evaluation.json").read_text()) for name in variants}
    assert content["rows"]["plain/adversarial/last"] == own["plain"]["rows"]["adversarial/last"]
    assert content["rows"]["deeper/adversarial/last"] == own["deeper"]["rows"]["adversarial/last"]
    assert content["rows"]["deeper/pretrain/last"] != content["rows"]["plain/pretrain/last"]
    assert content["seconds"] == pytest.approx(sum(each["seconds"] for each in own.values()))
    configs = [
        tomllib.loads((tmp_path / "runs" / "mine" / name / "config.toml").read_text())["config"] for name in variants
    ]
    assert [config["blocks"] for config in configs] == [1, 2]


def test_an_interrupted_recipe_is_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that ended is measured again, one that was interrupted trained to its end, and what is
    missing begun."""
    path = written(tmp_path, variants={"plain": {}}, seeds=3)
    assert bench(path) == 0
    whole = json.loads((tmp_path / "results" / "mine.json").read_text())
    runs = tmp_path / "runs" / "mine"
    untouched = (runs / "plain" / "seed-3" / "model" / "G.safetensors").stat().st_mtime_ns
    shutil.rmtree(runs / "plain" / "seed-5")
    for checkpoint in sorted((runs / "plain" / "seed-4" / "checkpoints").glob("step-*"))[1:]:
        shutil.rmtree(checkpoint)
    assert bench(path) == 2
    assert (
        "holds runs already; resume them with --resume, or choose another folder for --runs" in capsys.readouterr().err
    )
    assert bench(path, "--resume") == 0
    resumed = json.loads((tmp_path / "results" / "mine.json").read_text())
    assert (resumed["rows"], resumed["steps"], resumed["seeds"]) == (whole["rows"], whole["steps"], [3, 4, 5])
    assert (runs / "plain" / "seed-3" / "model" / "G.safetensors").stat().st_mtime_ns >= untouched


def test_a_variant_starts_from_the_model_of_another_that_is_trained_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which may be named behind it, have been trained by an earlier command, and have several
    seeds."""
    asked = []

    def train(trainer: Any, config: Any, run: Any, seeds: int) -> tuple[None, Path, dict[str, Any]]:
        asked.append((run.out.rpartition("/")[2], run.resume.rpartition("/")[2], run.start, seeds))
        folder = Path(run.out or run.resume)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.toml").touch()
        content = {key: {} if key in ("rows", "definitions", "steps") else "" for key in KEYS}
        return None, folder, content | {"status": "ok", "seconds": 1.0, "seeds": [3, 4]}

    monkeypatch.setattr("multigen.runs.runner.train", train)
    path = written(
        tmp_path, variants={"late": {}, "first": {}, "later": {}}, start={"late": "first", "later": "late"}, seeds=2
    )
    assert bench(path) == 0
    runs = tmp_path / "runs" / "mine"
    expected = [("first", "", ""), ("late", "", str(runs / "first")), ("later", "", str(runs / "late"))]
    assert asked == [(*each, 2) for each in expected]
    asked.clear()
    shutil.rmtree(runs / "late")
    assert bench(path, "--resume", "--overwrite") == 0
    assert asked == [("", "first", "", 2), ("late", "", str(runs / "first"), 2), ("", "later", str(runs / "late"), 2)]


@pytest.mark.slow
def test_few_items_of_one_class_after_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole of few-shot training; each seed starts from its own, and what is finished is not
    trained again."""
    few = {"classes": ["4"], "train_size": 20, "freeze": 1}
    variants = {"others": {"classes": list("012")}, "few": few, "alone": few | {"freeze": 0}}
    config = {"data": "digits", "size": 16, "width": 2, "latent": 4, "steps": 4, "samples": 20, "validation_size": 0}
    run = {"seed": 0, "precision": "fp32"}
    path = written(
        tmp_path, method="dcgan", config=config, variants=variants, start={"few": "others"}, seeds=2, run=run
    )
    assert bench(path) == 0
    printed = capsys.readouterr().err
    runs = tmp_path / "runs" / "mine"
    for seed in (0, 1):
        table = tomllib.loads((runs / "few" / f"seed-{seed}" / "config.toml").read_text())
        assert table["run"]["start"] == str(runs / "others" / f"seed-{seed}")
    rows = json.loads((tmp_path / "results" / "mine.json").read_text())["rows"]
    assert {"others/real", "few/real", "alone/real", "few/adversarial/last"} <= rows.keys() and "real" not in rows
    assert rows["few/real"] == rows["alone/real"] and printed.count("starting from ") == 2
    assert bench(path, "--resume", "--overwrite") == 0
    again = capsys.readouterr().err
    assert "starting from " not in again
    assert json.loads((tmp_path / "results" / "mine.json").read_text())["rows"] == rows


def test_a_resume_needs_the_folder_of_the_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert multigen(["bench", written(tmp_path), "--resume"]) == 2
    assert (
        "--resume: which runs? give the folder that the interrupted command had as well: --runs"
        in capsys.readouterr().err
    )


def test_of_real_data_one_row_is_kept() -> None:
    contents = {
        name: {
            "seconds": 1.0,
            "definitions": {"fd": name},
            "rows": {"real": {"fd": 0.1}, "real_training": {"is": 9.0}, "last": {"fd": fd}},
        }
        for name, fd in (("a", 2.0), ("b", 3.0))
    }
    rows = merged(contents)["rows"]
    assert [*rows] == ["real", "real_training", "a/last", "b/last"]
    assert rows["real"] == {"fd": 0.1} and rows["b/last"] == {"fd": 3.0}


def test_variants_of_other_data_or_steps_have_their_own() -> None:
    rows = {"real": {"fd": 0.1}, "noise": {"fd": 9.0}}
    contents = {name: {"seconds": 1.0, "definitions": {}, "rows": rows, "steps": {"s": 5}} for name in "ab"}
    assert merged(contents)["steps"] == {"s": 5}
    contents["b"] = contents["b"] | {"rows": {"real": {"fd": 0.2}}, "steps": {"s": 6}}
    result = merged(contents)
    assert [*result["rows"]] == ["a/real", "a/noise", "b/real"] and result["steps"] == {"a/s": 5, "b/s": 6}


def test_a_figure_that_there_is_not_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, reach=[{"row": "pretrain/best", "metric": "psnr"}])
    assert bench(path) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert "'psnr'" in message and "bicubic" in message


def test_the_steps_of_a_recipe_are_never_cut(tmp_path: Path) -> None:
    path = written(tmp_path, run={"precision": "fp32", "most_minutes": 1e-6})
    assert bench(path, "--out", tmp_path / "results") == 0
    content = json.loads((tmp_path / "results" / "mine.json").read_text())
    assert content["steps"] == {"pretrain": SETTINGS["pretrain_steps"], "adversarial": SETTINGS["steps"]}


# -- several recipes ---------------------------------------------------------------------------------------------


def several(folder: Path) -> list[Path]:
    """Three recipes in `folder`: without a reachable figure, of data that are not there, and
    good."""
    good = written(folder, config={"data": str(photos(folder / "photos")), **SETTINGS}).read_text()
    names = ("a.toml", "b.toml", "c.toml")
    texts = (
        good + "\n[[reach]]\nrow = 'bicubic'\nmetric = 'embedded-held-out/psnr_y'\nat_least = 99.0\n",
        good.replace(str(folder / "photos"), "absent"),
        good,
    )
    for name, text in zip(names, texts, strict=True):
        (folder / name).write_text(text)
    return [folder / name for name in names]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """Stands in for the training of a recipe: what was asked to be trained, by folder and whether
    quickly."""
    requested: list[tuple[str, bool]] = []

    def train(path: Path, recipe: Any, device: str, folder: str, resume: bool, quick: bool) -> dict[str, Any]:
        requested.append((folder, quick))
        if recipe.config["data"] == "absent":
            raise command.ConfigError("absent: no such file or folder")
        if recipe.config["data"] == "a mistake":
            raise ZeroDivisionError
        content = {key: {} if key in ("steps", "definitions") else "" for key in KEYS}
        rows = {"bicubic": {"embedded-held-out/psnr_y": 25.0}}
        return {**content, "status": "ok", "seeds": [0], "seconds": 90.0, "rows": rows}

    monkeypatch.setattr(command, "_trained", train)
    return requested


def test_what_fails_or_misses_does_not_stop_the_others(
    tmp_path: Path, trained: list[tuple[str, bool]], capsys: pytest.CaptureFixture[str]
) -> None:
    paths = several(tmp_path)
    assert multigen(["bench", *paths, "--runs", "runs"]) == 2
    assert trained == [(f"runs/{name}", False) for name in "abc"]
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [f"error: {paths[1]}: absent: no such file or folder"]
    table = printed.out.splitlines()[-3:]
    assert [line.split()[0] for line in table] == ["a", "b", "c"]
    assert "0 of 1" in table[0] and "error: absent" in table[1] and table[2].split() == ["c", "1.5", "-", "-", "ok"]
    assert sorted(p.name for p in (tmp_path / "results").iterdir()) == ["a.json", "c.json"]
    assert multigen(["bench", paths[0], paths[2]]) == 1
    assert multigen(["bench", paths[2]]) == 0


def test_a_mistake_of_ours_ends_one_recipe(
    tmp_path: Path, trained: list[tuple[str, bool]], capsys: pytest.CaptureFixture[str]
) -> None:
    paths = several(tmp_path)
    paths[0].write_text(paths[2].read_text().replace(str(tmp_path / "photos"), "a mistake"))
    assert multigen(["bench", paths[0], paths[2]]) == 2
    printed = capsys.readouterr()
    assert "Traceback" in printed.err and "ZeroDivisionError" in printed.err
    assert printed.out.splitlines()[-1].split()[-1] == "ok"


def test_an_outcome_is_a_plain_table() -> None:
    nothing = {"met": 0, "missed": 0}
    assert json.loads(json.dumps(summary("a", "ok", 90.0))) == {
        "recipe": "a", "status": "ok", "minutes": 1.5, "expect": nothing, "reach": nothing, "budget": nothing,
    }  # fmt: skip


@pytest.mark.parametrize("words", ["--check --quick", "--page page.md --check", "--page page.md --json"])
def test_options_that_exclude_each_other_are_named(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert multigen(["bench", tmp_path / "none.toml", *words.split()]) == 2
    message = capsys.readouterr().err
    assert "do not go together" in message and all(word in message for word in words.split() if word.startswith("--"))


def test_a_result_that_cannot_be_written_is_named_before_training(
    tmp_path: Path, trained: list[tuple[str, bool]], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert bench(written(tmp_path), "--out", tmp_path / "file") == 2
    message = capsys.readouterr().err
    assert "mine.json cannot be written (Not a directory); give another folder for --out" in message
    assert "Traceback" not in message and not trained


@pytest.mark.parametrize("gpu", [False, True], ids=["trained", "not run"])
def test_a_disk_that_refuses_a_result_is_named(
    gpu: bool,
    tmp_path: Path,
    trained: list[tuple[str, bool]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = several(tmp_path)[2]
    if gpu:
        path.write_text('needs = "gpu"\n' + path.read_text())
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("multigen.storage.files.write_json", full)
    assert multigen(["bench", path]) == 2
    message = capsys.readouterr().err
    assert "json cannot be written (No space left on device); give another folder for --out" in message
    assert "Traceback" not in message


def test_without_a_recipe_one_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert multigen(["bench"]) == 2
    assert "no recipe given" in capsys.readouterr().err


# -- results that are there --------------------------------------------------------------------------------------


def test_results_are_checked_without_training(
    tmp_path: Path, trained: list[tuple[str, bool]], capsys: pytest.CaptureFixture[str]
) -> None:
    paths = several(tmp_path)
    multigen(["bench", paths[0], paths[2]])
    trained.clear()
    capsys.readouterr()
    assert multigen(["bench", paths[2], "--check"]) == 0
    assert multigen(["bench", paths[0], "--check"]) == 1
    assert lines(capsys, "MISSED") == ["MISSED  bicubic embedded-held-out/psnr_y 25.0000, at least 99"]
    assert multigen(["bench", paths[0], paths[2], "--check", "--out", tmp_path / "nowhere"]) == 2
    assert f"{tmp_path / 'nowhere' / 'c.json'} cannot be read as a result" in capsys.readouterr().err
    assert not trained


ODD = [
    '{"status": "ok", "seeds": [0], "seconds": 1, "rows": ROWS}'.replace("ROWS", rows)
    for rows in ('{"a": 1}', '{"a": {"b": []}}')
]
ODD += ['{"status": "ok", "seeds": [0], "seconds": 1e, "rows": {}}'.replace("1e", "1" + "0" * 400), "[" * 100_000]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"status": "ok", "rows": 3}', '{"status": "ok", "rows": {}}', *ODD])
def test_a_damaged_result_is_named(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = several(tmp_path)[2]
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "c.json").write_text(text)
    assert multigen(["bench", path, "--check"]) == 2
    message = capsys.readouterr().err.splitlines()
    assert len(message) == 1 and str(tmp_path / "results" / "c.json") in message[0]


def test_outcomes_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, reach=[reach("bicubic", "psnr_y", at_least=99)])
    assert bench(path, "--json") == 1
    printed = capsys.readouterr()
    (outcome,) = json.loads(printed.out)
    assert (outcome["recipe"], outcome["status"], outcome["reach"]) == ("mine", "ok", {"met": 0, "missed": 1})
    assert "MISSED" in printed.err and "bicubic" in printed.err


def test_an_error_of_a_recipe_can_be_traced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(tmp_path / "absent.toml", "--traceback") == 2
    assert "\nTraceback (most recent call last):\n" in capsys.readouterr().err


# -- quick runs --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_quick_run_leaves_results_alone_and_checks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, seeds=3, reach=[reach("bicubic", "psnr_y", at_least=99)])
    assert bench(path, "--quick") == 0
    assert not (tmp_path / "results").exists()
    content = json.loads((tmp_path / "runs" / "quick" / "mine.json").read_text())
    assert list(content) == [*KEYS, "quick"] and content["quick"] is True
    assert content["command"] == f"multigen bench {path} --quick"
    assert content["seeds"] == [0 + 3] and list(content["rows"]) == ["bicubic", "pretrain/last", "adversarial/last"]
    printed = capsys.readouterr().out
    assert "MISSED" not in printed and "quick: nothing was checked" in printed
    assert bench(path, "--quick", "--out", tmp_path / "results", "--runs", tmp_path / "again") == 0
    assert [p.name for p in (tmp_path / "results").iterdir()] == ["quick"]


def test_a_quick_run_is_as_small_as_the_preset_tiny() -> None:
    config = SeqGANConfig(samples=10_000, lm_steps=4, heads=6, network="transformer", baseline="mean", kl=0.1)
    tiny = SEQGAN["tiny"]
    short = quick_config(config, tiny)
    assert (short.samples, short.lm_steps, short.heads) == (tiny.samples, 4, tiny.heads)
    assert (short.network, short.baseline, short.kl) == ("transformer", "mean", 0.1)
    short = quick_config(SRGANConfig(data="photos", test=("a", "b"), validation_size=20), SRGAN["tiny"])
    assert (short.data, short.test, short.validation_size, short.steps) == ("photos", ("a",), 20, SRGAN["tiny"].steps)
    assert quick_config(tiny, tiny) == tiny
    config = WaveGANConfig(length=16_384, spectra=(512,), steps=500)  # too long for the length of tiny
    assert (quick_config(config, WAVEGAN["tiny"]).length, quick_config(config, WAVEGAN["tiny"]).steps) == (16_384, 20)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_variant_of_every_recipe_can_be_run_quickly(path: Path) -> None:
    recipe = read_recipe(path)
    presets = import_module(f"multigen.recipes.{recipe.method}").PRESETS
    base = from_table(presets[recipe.preset], recipe.config, str(path))
    for changes in recipe.variants.values() or [{}]:
        config = from_table(base, changes, str(path))
        short = quick_config(config, presets["tiny"])
        assert all(
            getattr(short, name) <= getattr(presets["tiny"], name)
            for name in ("samples", "steps")
            if hasattr(short, name)
        )
        names = [name for name, value in vars(config).items() if isinstance(value, str | bool)]
        assert [getattr(short, name) for name in names] == [getattr(config, name) for name in names]


def test_a_file_of_a_users_in_the_place_of_a_result_is_refused_before_training(
    tmp_path: Path, trained: list[tuple[str, bool]], capsys: pytest.CaptureFixture[str]
) -> None:
    path, file = written(tmp_path), tmp_path / "results" / "mine.json"
    file.parent.mkdir()
    file.write_text('{"thesis": 1}')
    assert bench(path) == 2
    assert f"{file} exists and is not known as results of multigen" in capsys.readouterr().err
    assert file.read_text() == '{"thesis": 1}' and not trained


def test_a_page_of_a_users_is_not_replaced_and_one_of_ours_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = Path(__file__).parents[2] / "recipes" / "mnist-gan.toml"
    page, below = tmp_path / "page.md", tmp_path / "page" / "mnist-gan.md"
    words = ["bench", recipe, "--page", page]
    assert [multigen(words), multigen(words)] == [0, 0]
    for file in (page, below):
        text = file.read_text()
        file.write_text("# thesis")
        assert multigen(words) == 2
        assert f"{file} exists and is not known" in capsys.readouterr().err
        assert file.read_text() == "# thesis"
        assert multigen([*words, "--overwrite"]) == 0
        assert file.read_text() == text
