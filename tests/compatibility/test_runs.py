"""What version 0.1.0 left in runs' folders, and files that it copied."""

import json
import re
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from multigen.config import Run, read_config, to_table
from multigen.engine import Trainer
from multigen.engine.checkpoint import read, saved
from multigen.errors import CheckpointError
from multigen.runs.facts import gather
from multigen.runs.runner import parse
from multigen.storage.model_folder import read_model
from multigen.storage.older import model_table
from tests import tiny

OLDER = Path(__file__).parent / "0.1.0"
METHODS = ("dcgan", "srgan", "seqgan")
SHORT = {
    "dcgan": "--steps 1",
    "srgan": "--pretrain-steps 1 --steps 1",
    "seqgan": "--mle-steps 1 --control-steps 1 --discriminator-steps 1 --steps 1",
}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Copies of the runs, beside a folder photos."""
    shutil.copytree(OLDER / "runs", tmp_path / "runs")
    tiny.photos(tmp_path / "photos", 2, 32)
    return tmp_path / "runs"


def tuned(run: Path, out: Path) -> list[str]:
    """The words that train on from the weights of a run, for a step a stage."""
    words = [*SHORT[run.name].split(), "--device", "cpu", "--out", str(out)]
    words += ["--test", str(run.parents[1] / "photos")] if run.name == "srgan" else []
    return ["--config", str(run / "config.toml"), "--from", str(run), *words]


def trainer_of(method: str, words: list[str]) -> Trainer[Any]:
    module = import_module(f"multigen.recipes.{method}")
    config, run, _ = parse(words, method, module.PRESETS)
    return module.TRAINER(config, run)


@pytest.mark.parametrize("method", METHODS)
def test_a_report_has_the_settings_the_figures_and_how_to_use_the_model(method: str, runs: Path) -> None:
    assert tiny.multigen(["report", runs / method]) == 0
    page = (runs / method / "report.html").read_text(encoding="utf-8").replace("<wbr>", "")
    verb = {"dcgan": "sample", "srgan": "upscale", "seqgan": "write"}[method]
    assert f"multigen {verb} " in page and "Finished" in page and "adversarial/last" in page
    rows = json.loads((runs / method / "evaluation.json").read_text())["rows"]
    assert gather(runs / method).evaluation["rows"].keys() == rows.keys()


def test_properties_of_the_data_are_separate_from_the_settings(runs: Path) -> None:
    images, texts = gather(runs / "dcgan"), gather(runs / "seqgan")
    assert (images.task, texts.task) == ("image-synthesis", "text-synthesis")
    assert images.data == {"classes": [*"0123456789"], "shares": [], "channels": 1}
    assert texts.data["tokens"] == 50 and texts.data["fingerprint"] == "d69179826a30ea2e"
    assert not {"classes", "shares", "tokens", "trained_on", "reward", "discount"} & {*images.config, *texts.config}


@pytest.mark.parametrize("state", ["unfinished", "error"])
def test_an_unfinished_run_is_not_reported_as_resumable(state: str, runs: Path) -> None:
    log = runs / "dcgan" / "log.jsonl"
    lines = [line for line in log.read_text().splitlines() if '"finished"' not in line]
    log.write_text("\n".join(lines + (['{"step": 6, "error": "killed"}'] if state == "error" else [])) + "\n")
    assert gather(runs / "dcgan").state == state
    assert tiny.multigen(["report", runs / "dcgan"]) == 0
    page = (runs / "dcgan" / "report.html").read_text(encoding="utf-8")
    assert "trained by multigen 0.1.0" in page and "--resume" not in page


@pytest.mark.parametrize(
    ("method", "words", "made"),
    [
        ("dcgan", "sample -n 2 --class 3 --out {}/made", "made/*.png"),
        ("srgan", "upscale {}/photos --out {}/made", "made/*.png"),
        ("seqgan", "write -n 2 --out {}/made.txt", "made.txt"),
    ],
)
def test_the_verbs_use_their_models(method: str, words: str, made: str, runs: Path, tmp_path: Path) -> None:
    assert tiny.multigen([*words.replace("{}", str(tmp_path)).split(), "--model", runs / method]) == 0
    assert all(path.stat().st_size for path in tmp_path.glob(made)) and [*tmp_path.glob(made)]


@pytest.mark.parametrize("method", METHODS)
def test_training_starts_from_their_weights(method: str, runs: Path, tmp_path: Path) -> None:
    trainer = trainer_of(method, tuned(runs / method, tmp_path / "new"))
    then = model_table(json.loads((runs / method / "model" / "config.json").read_text()))["config"]
    now = to_table(trainer.config)
    changed = {name for name in now.keys() & then.keys() if now[name] != then[name]}
    assert changed <= {re.sub("-", "_", word[2:]) for word in SHORT[method].split() if word[:2] == "--"} | {"test"}
    trainer.prepare()
    networks, _ = read(saved(runs / method / "checkpoints")[-1])
    files = {**networks, **read_model(runs / method / "model").weights}
    assert {"G", "D"} <= trainer.nets.keys()
    for name, net in trainer.nets.items():
        for key, value in net.state_dict().items():
            assert torch.equal(value, files[name][key]), f"{name}, {key}"


@pytest.mark.slow
def test_a_run_begun_from_one_is_compared_with_it(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny.multigen(["train", "srgan", *tuned(runs / "srgan", tmp_path / "new")]) == 0
    about = read_config(tmp_path / "new" / "config.toml")
    assert about["version"] != "0.1.0" and about["run"]["start"] == str(runs / "srgan")
    capsys.readouterr()
    words = ["compare", runs / "srgan", tmp_path / "new", "--out", tmp_path / "compared", "--json", "-n", "1"]
    assert tiny.multigen(words) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["config"].keys() == {
        *("steps", "pretrain_steps", "test", "fingerprint"),
        *("low", "frames", "splits", "squeezenet_weights"),  # 0.1.0 had none of them
    }
    assert (tmp_path / "compared" / "compare.png").exists()
    values = json.loads((runs / "srgan" / "evaluation.json").read_text())["rows"]["bicubic"].values()
    shown = [f["values"] for f in result["figures"] if f["row"] == "bicubic"]
    assert [then for then, _ in shown] == [*values]
    assert all(now == pytest.approx(then) for then, now in shown)
    assert result["definitions"] == {}  # measured in the same way


@pytest.mark.parametrize("method", METHODS)
def test_resuming_is_refused_in_a_line_that_says_what_to_do(
    method: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = runs / method
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert tiny.multigen(["train", method, "--resume", run]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {run} was trained by multigen 0.1.0") and error.count("\n") == 1
    assert f"--from {run} --config {run / 'config.toml'}" in error
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_resuming_from_python_is_refused_before_data_are_opened(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_of("dcgan", ["tiny", "--device", "cpu"])
    trainer.run = Run(resume=str(runs / "dcgan"), device="cpu")
    monkeypatch.setattr(trainer, "open_data", lambda: pytest.fail("the data were opened"))
    with pytest.raises(CheckpointError, match=r"trained by multigen 0\.1\.0"):
        trainer.fit()


def test_a_copied_method_is_to_be_copied_again(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = shutil.copy(OLDER / "my_gan.py", tmp_path / "my_gan.py")
    words = ["sample", "--model", runs / "dcgan", "--code", code, "--out", tmp_path / "made"]
    assert tiny.multigen(words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {code} was copied by multigen 0.1.0") and error.count("\n") == 1
    assert "multigen cp dcgan FILE.py" in error and not (tmp_path / "made").exists()
