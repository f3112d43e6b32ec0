"""The recipes' command: its flags, what it leaves on the disk, several seeds, minutes, kills; and
that `laptop` learns."""

import dataclasses
import json
import math
import random
import re
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from multigen.catalogue import METHODS
from multigen.config import read_toml
from multigen.engine import Run
from multigen.engine import trial as trying
from multigen.errors import ConfigError
from multigen.image.restoration.srgan import PRESETS, SRGANConfig, SRGANTrainer
from multigen.runs.runner import parse, train
from multigen.tasks.loading import trainer_in
from tests import tiny
from tests.cases import few, methods
from tests.engine.toys import assert_same, assert_same_runs, checkpoints, lines, saved_files, saved_numbers
from tests.runs.test_schema import faults
from tests.tiny import KEYS, SETTINGS, WORDS, photos, python, recipe, trained

FLAGS = {"--data", "--out", "--seed", "--seeds", "--steps", "--minutes", "--device", "--precision", "--skip-bad"}
FLAGS |= {"--config", "--resume", "--from"}


def parsed(*words: str | Path) -> tuple[SRGANConfig, Run, int]:
    return parse([str(w) for w in words], "srgan", PRESETS)


# -- flags -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(PRESETS))
def test_the_first_word_is_a_preset(name: str) -> None:
    assert parsed(name) == (PRESETS[name], Run(most_minutes=4.0 if name == "laptop" else 0.0), 1)


def test_without_a_preset_data_decides() -> None:
    assert parsed()[0] == PRESETS["laptop"]
    for words in (["--data", "photos"], ["--data=photos"]):
        assert parsed(*words)[0] == dataclasses.replace(PRESETS["default"], data="photos")
    assert parsed("tiny", "--data", "photos")[0] == dataclasses.replace(PRESETS["tiny"], data="photos")


def test_flags_override_the_preset() -> None:
    words = "tiny --steps 7 --lr 1e-5 --test a b --betas 0.5 0.9 --no-discriminator-norm --skip-bad --content vgg22"
    words += " --seeds 2 --seed 3 --out o --minutes 1.5 --device cpu --precision fp32 --from r --keep 5"
    changes: dict[str, Any] = {"steps": 7, "lr": 1e-5, "test": ("a", "b"), "betas": (0.5, 0.9), "skip_bad": True}
    changes |= {"discriminator_norm": False, "content": "vgg22"}
    run = Run(seed=3, out="o", minutes=1.5, device="cpu", precision="fp32", start="r", keep=5)
    assert parsed(*words.split()) == (dataclasses.replace(PRESETS["tiny"], **changes), run, 2)


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(ConfigError, match="preset 'huge': expected one of tiny, laptop, default, paper"):
        parsed("huge")


@pytest.mark.parametrize("words", [["--stepz", "3"], ["--content", "vgg99"], ["--seeds"]])
def test_flags_that_are_none_are_named(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parsed("tiny", *words)
    assert words[0] in (printed := capsys.readouterr().err) and "--help" in printed


def test_a_flag_that_is_no_number_is_named() -> None:
    with pytest.raises(ConfigError, match="--steps many: expected a whole number, such as 10 or 1e3"):
        parsed("tiny", "--steps", "many")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[config]\nstepz = 3\n", "unknown field 'stepz'"),
        ("[config]\nsteps = 'many'\n", "steps = 'many'; expected int"),
        ("[config]\ncontent = 'vgg99'\n", "vgg99"),
        ("[run]\nprecision = 'bf61'\n", "bf61"),
        ("[run]\nspeed = 3\n", "unknown field 'speed'"),
        ("method = 'stylegan9'\n", "'stylegan9', this is 'srgan'"),
        ("no toml", "cannot be read as TOML"),
    ],
)
def test_a_configuration_file_is_checked(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        parsed("--config", file)
    assert str(file) in str(error.value)


def test_a_configuration_file_may_say_little_and_flags_override_it(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("[config]\nsteps = 9\nlr = 1\nbetas = [0.5, 0.6]\n[run]\nseed = 4\n")
    config, run, _ = parsed("--config", file, "--steps", "8")
    assert config == dataclasses.replace(PRESETS["laptop"], steps=8, lr=1.0, betas=(0.5, 0.6))
    assert run == Run(seed=4)


@pytest.mark.parametrize("name", methods())
def test_help_mentions_every_flag(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.recipe(["--help"], import_module(f"multigen.recipes.{name}")) == 0
    message = capsys.readouterr().out
    assert set(re.findall(r"--[a-z-]+", message)) >= FLAGS
    assert all(preset in message for preset in ("tiny", "laptop", "default", "paper"))


@pytest.mark.slow
def test_help_answers_little_later_than_torch_is_imported(tmp_path: Path) -> None:
    def seconds(*words: str) -> float:
        began = time.monotonic()
        assert python(*words, cwd=tmp_path).returncode == 0
        return time.monotonic() - began

    ratios = [math.inf]
    while min(ratios) >= 2 and len(ratios) <= 10:  # a busy machine gets more attempts
        ratios.append(seconds("-m", "multigen.recipes.srgan", "--help") / seconds("-c", "import torch"))
    assert min(ratios) < 2


# -- a run -------------------------------------------------------------------------------------------------------


def test_a_run_leaves_its_folder(srgan_run: Path) -> None:
    entries = {p.name for p in srgan_run.iterdir()}
    assert entries == {
        *("config.toml", "metrics.jsonl", "log.jsonl", "previews", "checkpoints", "evaluation.json", "comparison.png"),
        *("model", "report.html"),
    }
    assert [p.name for p in checkpoints(srgan_run)] == ["step-000000004", "step-000000006"]
    assert sorted(p.name for p in (srgan_run / "previews").iterdir()) == ["step-000000004.png", "step-000000006.png"]
    for path in [*(srgan_run / "previews").iterdir(), srgan_run / "comparison.png"]:
        with Image.open(path) as picture:
            assert len(np.unique(np.asarray(picture))) > 20
    stages = [line["stage"] for line in lines(srgan_run)]
    assert stages == ["pretrain", "adversarial"]


def test_the_evaluation_has_the_shape_of_all_evaluations(srgan_run: Path) -> None:
    content = json.loads((srgan_run / "evaluation.json").read_text())
    assert list(content) == KEYS
    assert content["method"] == "srgan" and content["status"] == "ok"
    assert (content["seed"], content["seeds"]) == (0, [0])
    assert content["steps"] == {"pretrain": 4, "adversarial": 2}
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", content["date"])
    assert re.fullmatch(r"[0-9a-f]{40}(\+changes)?|version .*", content["commit"])
    assert content["command"].startswith("python -m ") and " tiny --crop 32 " in content["command"]
    assert "fp32" in content["machine"] and f"torch {torch.__version__}" in content["machine"]
    assert 0 <= content["seconds"] < 100
    metrics = ["psnr_y", "ssim_y", "detail", "gradient_correlation", "grid", "efficientnet_lite0"]
    assert list(content["definitions"]) == metrics and all(content["definitions"].values())
    assert list(content["rows"]) == ["bicubic", "pretrain/last", "adversarial/last"]
    for row in content["rows"].values():
        assert list(row) == [f"photos/{metric}" for metric in metrics]
        assert all(type(value) is float and np.isfinite(value) for value in row.values())


def test_the_table_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = trained(tmp_path, "--steps", "0", "--pretrain-steps", "1")
    printed = capsys.readouterr()
    rows = json.loads((folder / "evaluation.json").read_text())["rows"]
    assert f"{rows['pretrain/last']['photos/psnr_y']:.4f}" in printed.out
    assert str(folder) in printed.out
    assert "pretrain 1/1" in printed.err


def test_the_configuration_of_a_run_can_be_given_back(srgan_run: Path, tmp_path: Path) -> None:
    data = str(srgan_run.parent / "photos")
    config, options, _ = parsed("--config", srgan_run / "config.toml")
    assert config == dataclasses.replace(PRESETS["tiny"], data=data, test=(data,), **SETTINGS)
    assert options == Run(device="cpu", precision="fp32")
    assert recipe(["--config", srgan_run / "config.toml", "--out", tmp_path / "again"]) == 0
    again = tomllib.loads((tmp_path / "again" / "config.toml").read_text())
    assert again == tomllib.loads((srgan_run / "config.toml").read_text())
    assert_same(saved_files(srgan_run), saved_files(tmp_path / "again"))


def test_a_run_is_resumed_by_its_folder_alone(srgan_run: Path, tmp_path: Path) -> None:
    """With its last checkpoint gone it goes on from the one before, with the settings that it
    had."""
    tiny.copy_of(srgan_run, tmp_path)
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step-000000006")
    assert recipe(["--resume", tmp_path / "run"]) == 0
    assert_same(saved_files(srgan_run), saved_files(tmp_path / "run"))


def test_fine_tuning_begins_with_trained_weights(srgan_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place in (srgan_run, srgan_run / "model", srgan_run.parent):
        data = str(srgan_run.parent / "photos")
        config = dataclasses.replace(PRESETS["tiny"], data=data, test=(data,), **SETTINGS)
        trainer = SRGANTrainer(config, Run(start=str(place), seed=5, device="cpu"))
        trainer.prepare()
        expected = {"G": load_file(srgan_run / "model" / "G.safetensors"), "D": saved_files(srgan_run)["D"]}
        for name, network in trainer.nets.items():
            for key, value in network.state_dict().items():
                assert torch.equal(value, expected[name][key]), f"{name}, {key}"
        assert f"starting from {srgan_run / 'model'}" in capsys.readouterr().err


def test_fine_tuning_of_a_model_alone_says_what_is_untrained(
    srgan_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(srgan_run / "model", tmp_path / "model")
    data = srgan_run.parent / "photos"
    words = ["tiny", *WORDS, "--data", data, "--test", data, "--steps", "1", "--pretrain-steps", "0"]
    assert recipe([*words, "--from", tmp_path / "model", "--out", tmp_path / "run"]) == 0
    assert "untrained: D" in capsys.readouterr().err


def test_fine_tuning_of_another_network_says_which_settings_to_take(
    srgan_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = srgan_run.parent / "photos"
    words = ["tiny", *WORDS, "--data", data, "--test", data, "--width", "12", "--from", srgan_run]
    assert recipe([*words, "--out", tmp_path / "run"]) == 2
    assert "; train with the settings of its run: --config RUN/config.toml" in capsys.readouterr().err


# -- seeds and minutes -------------------------------------------------------------------------------------------


def test_several_seeds_give_means_and_deviations(tmp_path: Path) -> None:
    out = trained(tmp_path, "--seeds", "2", "--seed", "7")
    content = json.loads((out / "evaluation.json").read_text())
    each = [json.loads((out / f"seed-{seed}" / "evaluation.json").read_text()) for seed in (7, 8)]
    assert list(content) == KEYS
    assert faults(content) == [] == faults(each[1])  # of the JSON schema
    assert (content["seed"], content["seeds"]) == (7, [7, 8])
    assert content["seconds"] == pytest.approx(sum(e["seconds"] for e in each), abs=0.2)
    assert each[0]["rows"]["adversarial/last"] != each[1]["rows"]["adversarial/last"]
    for name, row in content["rows"].items():
        assert list(row) == [m for metric in each[0]["rows"][name] for m in (metric, f"{metric}_std")]
        for metric in each[0]["rows"][name]:
            values = [e["rows"][name][metric] for e in each]
            assert row[metric] == pytest.approx(np.mean(values))
            assert row[f"{metric}_std"] == pytest.approx(np.std(values, ddof=1))
    assert content["rows"]["bicubic"]["photos/psnr_y_std"] == 0
    assert (out / "seed-8" / "model" / "G.safetensors").exists()


@pytest.mark.slow
def test_seeds_without_a_folder_may_be_trained_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time in a new folder, as single runs."""
    monkeypatch.chdir(tmp_path)
    data = str(photos(tmp_path / "photos"))
    config = SRGANConfig(data=data, test=(data,), **{**SETTINGS, "steps": 0, "pretrain_steps": 1})
    monkeypatch.setattr(time, "strftime", lambda *_: "now")
    train(SRGANTrainer, config, Run(device="cpu"), seeds=2)
    monkeypatch.setattr(time, "strftime", lambda *_: "later")
    _, folder, _ = train(SRGANTrainer, config, Run(device="cpu"), seeds=2)
    assert (folder / "evaluation.json").exists()


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A step takes a second, an adversarial one two, in bf16 twice that: what a trial finds.
    Returns the precisions tried."""
    tried: list[str] = []
    really = trying._seconds

    def fake(trial: Any, stage: Any, index: int) -> float:
        really(trial, stage, index)
        tried.append(trial.precision)
        return (2.0 if stage.name == "adversarial" else 1.0) * (2.0 if trial.precision == "bf16" else 1.0)

    monkeypatch.setattr(trying, "_seconds", fake)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    return tried


def test_minutes_fix_the_steps_and_record_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], timed: list[str]
) -> None:
    out = trained(tmp_path, "--minutes", "0.2", "--pretrain-steps", "20", "--steps", "4")
    assert "0.2 minutes are pretrain_steps 9, steps 2 here" in capsys.readouterr().err  # 12 s of 28
    table = tomllib.loads((out / "config.toml").read_text())
    assert (table["config"]["pretrain_steps"], table["config"]["steps"], table["run"]["minutes"]) == (9, 2, 0)
    content = json.loads((out / "evaluation.json").read_text())
    assert content["steps"] == {"pretrain": 9, "adversarial": 2}
    assert checkpoints(out)[-1].name == "step-000000011"


@pytest.mark.slow
def test_minutes_leave_out_what_was_left_out(tmp_path: Path) -> None:
    out = trained(tmp_path, "--minutes", "0.005", "--steps", "0")
    assert list(json.loads((out / "evaluation.json").read_text())["steps"]) == ["pretrain"]


@pytest.mark.slow
def test_all_seeds_of_minutes_make_the_same_steps(tmp_path: Path) -> None:
    out = trained(tmp_path, "--minutes", "0.01", "--seeds", "2")
    each = [json.loads((out / f"seed-{seed}" / "evaluation.json").read_text())["steps"] for seed in (0, 1)]
    assert each[0] == each[1]


# -- what a preset's steps are cut to ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "minutes"),
    [
        ("laptop", 4),
        ("", 4),
        ("laptop --batch 4", 4),
        ("laptop --data photos --seeds 2 --precision fp32", 4),
        ("laptop --most-minutes 9", 9),
        ("tiny --most-minutes 9", 9),
        ("tiny", 0),
        ("--data photos", 0),
        ("paper", 0),
        ("laptop --most-minutes 0", 0),
        ("laptop --minutes 5", 0),
        ("laptop --steps 400", 0),
        ("laptop --steps=7", 0),
        ("laptop --pretrain-steps 3000", 0),
        ("laptop --pretrain_steps 3000", 0),
        ("--steps 7 --most-minutes 9", 0),
        ("--minutes 7 --most-minutes 9", 0),
        ("--config FILE", 0),
        ("laptop --config FILE", 0),
        ("--config=FILE --most-minutes 9", 0),
    ],
)
def test_only_a_presets_own_steps_are_cut(
    tmp_path: Path, words: str, minutes: float, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.toml").write_text("[config]\nsteps = 9\n[run]\nmost_minutes = 3.0\n")
    words = words.replace("FILE", str(tmp_path / "c.toml"))
    assert parsed(*words.split())[1].most_minutes == minutes
    left_out = minutes == 0 and "--most-minutes 9" in words
    assert ("--most-minutes is not used" in capsys.readouterr().err) == left_out


def test_a_resume_is_never_cut(srgan_run: Path) -> None:
    data = read_toml(srgan_run / "config.toml")["config"]["data"]
    for words in ([], ["tiny", *WORDS, "--data", data, "--test", data]):
        assert parsed(*words, "--resume", srgan_run)[1].most_minutes == 0


@pytest.mark.slow
def test_every_laptop_ends_in_minutes() -> None:
    for name in METHODS:
        module = import_module(METHODS[name].module)
        config, run, _ = parse(["laptop"], name, module.PRESETS)
        assert (config, run) == (module.PRESETS["laptop"], Run(most_minutes=4.0))
        for field in trainer_in(module).budget:
            assert parse(["laptop", f"--{field.replace('_', '-')}", "7"], name, module.PRESETS)[1].most_minutes == 0


def test_the_command_that_is_printed_repeats_a_cut_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, timed: list[str]
) -> None:
    monkeypatch.setattr(trying, "MIN_STEPS", 0)
    monkeypatch.chdir(tmp_path)
    photos(tmp_path / "my photos")
    given = {**SETTINGS, "pretrain_steps": 16, "steps": 4}
    monkeypatch.setitem(PRESETS, "tiny", dataclasses.replace(PRESETS["tiny"], **given))
    words = ["tiny", "--device", "cpu", "--data", "my photos", "--test=my photos", "--seed", "3"]
    assert recipe([*words, "--out", "first", "--precision=auto", "--most-minutes", "0.25"]) == 0
    message = capsys.readouterr().err
    line = next(line for line in message.splitlines() if "this run again: " in line)
    assert line.startswith("1/2 of the steps, pretrain_steps 8, steps 2, to end within 0.25 minutes: ")  # 15 s of 24
    assert "precision fp32: 2.0 times as fast as bf16 here" in message
    command = shlex.split(line.partition("this run again: ")[2])
    assert command[:4] == ["python", "-m", "multigen.recipes.srgan", "tiny"]
    config, again, seeds = parsed(*command[3:])
    assert (config.pretrain_steps, config.steps, again.precision, again.most_minutes, seeds) == (8, 2, "fp32", 0, 1)
    timed.clear()
    assert recipe([*command[3:], "--out", "again"]) == 0
    assert not timed
    assert_same(saved_files(tmp_path / "first"), saved_files(tmp_path / "again"))
    content = json.loads((tmp_path / "first" / "evaluation.json").read_text())
    assert content["machine"].endswith(", fp32") and content["steps"] == {"pretrain": 8, "adversarial": 2}


@pytest.mark.parametrize("name", few(METHODS, "dcgan"))
def test_no_method_depends_on_a_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, timed: list[str]
) -> None:
    """Weights, averages, optimisers and state of a run that chose fp32 are those of one that was
    given it."""
    monkeypatch.setattr(trying, "MIN_STEPS", 0)
    monkeypatch.setattr(trying, "SHORT_RUN", 0)
    monkeypatch.setattr(trying, "TIME_BOX", 1e9)
    module = import_module(METHODS[name].module)
    budget = trainer_in(module).budget
    config = dataclasses.replace(module.PRESETS["tiny"], **{field: 3 for field in budget})
    runs = [Run(out=str(tmp_path / p), device="cpu", precision=p) for p in ("auto", "fp32")]
    for run in runs:
        trainer_in(module)(config, run).fit()
    assert {"fp32", "bf16"} <= set(timed)
    assert_same_runs(*runs)


@pytest.mark.slow
def test_several_seeds_are_measured_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, timed: list[str]
) -> None:
    monkeypatch.setattr(trying, "MIN_STEPS", 0)
    out = trained(tmp_path, "--seeds", "2", "--precision", "auto", "--pretrain-steps", "16")
    assert capsys.readouterr().err.count("measuring how long a step takes") == 1
    tables = [tomllib.loads((out / f"seed-{seed}" / "config.toml").read_text()) for seed in (0, 1)]
    assert tables[0]["config"] == tables[1]["config"]
    assert [table["run"]["precision"] for table in tables] == ["fp32", "fp32"] and "bf16" in timed


# -- a run that is killed ----------------------------------------------------------------------------------------


def started(words: list[str], folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "multigen.recipes.srgan", *words]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def killed_at(process: subprocess.Popen[bytes], run: Path, step: int, later: float) -> bool:
    """Kills a training `later` seconds after its checkpoint at `step` or a later one; whether it
    was alive until then."""
    while process.poll() is None and not any(int(p.name[5:]) >= step for p in checkpoints(run)):
        time.sleep(0.002)
    time.sleep(later)
    process.kill()
    return process.wait() == -9


@pytest.mark.slow
def test_a_run_killed_at_ten_moments_ends_as_one_never_killed(tmp_path: Path) -> None:
    """The command itself, with batch norm and a running average: weights, averages, optimisers,
    model, figures."""
    photos(tmp_path / "photos", count=10, side=64)
    words = [
        "tiny",
        "--data",
        "photos",
        "--test",
        "photos",
        "--device",
        "cpu",
        "--validation-size",
        "1",
        "--generator",
        "srresnet",
    ]
    words += ["--pretrain-steps", "60", "--steps", "30"]
    words += ["--save-every", "5", "--validate-every", "20", "--log-every", "5"]
    assert started([*words, "--out", "whole"], tmp_path).wait() == 0

    moments = random.Random(0)
    process, killed = started([*words, "--out", "cut"], tmp_path), 0
    for step in sorted(moments.randrange(0, 85) for _ in range(10)):
        killed += killed_at(process, tmp_path / "cut", step, moments.uniform(0, 0.1))
        process = started(["--resume", "cut"], tmp_path)
    assert process.wait() == 0
    assert killed == 10
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    files = saved_files(whole)
    assert set(files) == {"G", "D", "G.ema", "G.optim", "D.optim", "state"}
    assert_same(files, saved_files(cut))
    assert saved_numbers(whole) == saved_numbers(cut)
    assert (whole / "model" / "G.safetensors").read_bytes() == (cut / "model" / "G.safetensors").read_bytes()
    rows = [json.loads((folder / "evaluation.json").read_text())["rows"] for folder in (whole, cut)]
    assert rows[0] == rows[1]
    command = json.loads((whole / "evaluation.json").read_text())["command"]
    assert command.startswith("python -m multigen.recipes.srgan tiny --data photos")
    logs = [
        [{k: v for k, v in line.items() if k not in ("items_per_second", "seconds")} for line in lines(f)]
        for f in (whole, cut)
    ]
    assert logs[0] == logs[1]


# -- what is learned ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def laptop(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """Rows of the recipe with all its steps, however slow the machine, and SqueezeNet's distance;
    metrics without their set."""
    place = tmp_path_factory.mktemp("laptop")
    weights = data_root / "weights" / "squeezenet1_1_dequantised.safetensors"
    words = ["--squeezenet-weights", weights, "--precision", "fp32", "--most-minutes", "0", "--out", "run"]
    done = python("-m", "multigen.recipes.srgan", *words, cwd=place)
    assert done.returncode == 0, done.stderr
    content = json.loads((place / "run" / "evaluation.json").read_text())
    print(done.stdout)  # shown where an assertion fails
    assert content["steps"] == {"pretrain": PRESETS["laptop"].pretrain_steps, "adversarial": PRESETS["laptop"].steps}
    return {row: {m.rpartition("/")[2]: v for m, v in result.items()} for row, result in content["rows"].items()}


@pytest.mark.slow
@pytest.mark.data
def test_laptop_pretraining_beats_bicubic(laptop: dict[str, dict[str, float]]) -> None:
    assert laptop["pretrain/last"]["psnr_y"] - laptop["bicubic"]["psnr_y"] >= 0.45


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("distance", ["efficientnet_lite0", "squeezenet1_1"])
def test_laptop_adversarial_training_is_nearest_in_features(laptop: dict[str, dict[str, float]], distance: str) -> None:
    """By the extractor that it was trained on, and by another one."""
    assert list(laptop) == ["bicubic", "pretrain/last", "adversarial/last"]
    assert min(laptop, key=lambda row: laptop[row][distance]) == "adversarial/last"


@pytest.mark.slow
@pytest.mark.data
def test_laptop_adversarial_training_adds_detail_and_no_grid(laptop: dict[str, dict[str, float]]) -> None:
    before, after = laptop["pretrain/last"], laptop["adversarial/last"]
    assert after["detail"] > before["detail"] + 0.04
    assert after["gradient_correlation"] > before["gradient_correlation"] - 0.015
    assert after["grid"] < before["grid"] + 0.5
    assert after["psnr_y"] > before["psnr_y"] - 0.5
