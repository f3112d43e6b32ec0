"""The model card: written from the run, completed after its evaluation, safe whatever a user
gave."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from multigen.config import write_toml
from multigen.engine import Run
from multigen.engine.evaluation import Evaluation
from multigen.image.synthesis.dcgan import PRESETS, DCGANTrainer
from multigen.runs.card import card, escaped, plain
from multigen.runs.facts import Facts, gather
from multigen.storage.files import verify_checksum, with_checksum, write_json
from multigen.version import __version__
from tests import tiny

HOSTILE = "mine\n---\n# <script>x</script> | [a](b) `c` *d* \u2028 \x1b[0m"


def front(text: str) -> dict[str, Any]:
    """The front matter, which must be the first thing in the file."""
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("\n---\n")[0][4:])


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> DCGANTrainer:
    """A trained DCGAN with classes, not measured."""
    out = tmp_path_factory.mktemp("card") / "run"
    config = dataclasses.replace(PRESETS["tiny"], conditional=True, steps=2, width=2, validation_size=0, samples=20)
    run = Run(out=str(out), device="cpu", precision="fp32", seed=7, data_license="CC-BY-4.0")
    return DCGANTrainer(config, run).fit()


def section(text: str, name: str) -> str:
    return text.split(f"## {name}\n\n")[1].split("\n\n## ")[0]


def test_a_card_says_what_was_trained(trainer: DCGANTrainer) -> None:
    text = (trainer.folder / "model" / "README.md").read_text(encoding="utf-8")
    tags = ["multigen", "gan", "dcgan", "image-generation"]
    assert front(text) == {"license": "cc-by-4.0", "library_name": "multigen", "tags": tags}
    assert "Radford et al. 2016, arXiv:1511.06434" in text
    data = section(text, "Data")
    assert (
        f"{len(trainer.data):,} training images: digits." in data
        and "10 classes (samples can be conditioned on one): `0`, `1`" in data
    )
    assert "as given by whoever trained the model: CC-BY-4.0." in data
    training = section(text, "Training")
    assert "| seed | 7 |" in training and "| steps | adversarial 2; batches of 16 |" in training
    for name in ("time", "machine", "commit", "date", "parameters"):
        assert f"| {name} | " in training
    size = sum(p.numel() for p in trainer.nets["G"].parameters())
    assert f"| parameters | {size:,} |" in training and f"trained with multigen {__version__}. DCGAN" in text
    assert section(text, "Figures") == "Not evaluated yet."
    assert "--class 0" in section(text, "Use") and "model.sample(16" in section(text, "Use")


def test_a_card_is_completed_by_the_evaluation(trainer: DCGANTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {
        "real": {"memorisation": 1.0, "coverage": 0.9, "classes": 10.0},
        "adversarial/last": {"memorisation": 0.5, "coverage": 0.25, "classes": 3.0, "class_accuracy": 0.4},
    }
    expected = {
        "memorisation": "nearness; features: of a network",
        "coverage": "share; features: of a network",
        "classes": "so many.",
    }
    monkeypatch.setattr(trainer, "score", lambda: Evaluation(rows, expected, {"verdict": "no *better*."}))
    newest = sorted((trainer.folder / "checkpoints").glob("step-*/run.json"))[-1]
    saved, whole = verify_checksum(newest.read_bytes()), newest.read_bytes()
    state = {**saved["state"], "control/collapse": -1.0, "attempt": 2}
    newest.write_bytes(with_checksum({**saved, "state": state}))
    trainer.evaluate()
    newest.write_bytes(whole)
    text = (trainer.folder / "model" / "README.md").read_text(encoding="utf-8")
    figures, limits = section(text, "Figures"), section(text, "Limits")
    assert "This model is the column `adversarial/last`." in figures
    assert "|  | `real` | `adversarial/last` |\n| --- | ---: | ---: |\n| `memorisation` | 1 | 0.5 |" in figures
    assert (
        "- `coverage`: share.\n- `classes`: so many.\n- Features: of a network.\n- Verdict: no \\*better\\*." in figures
    )
    for part in (
        "nearer to the training images than unseen ones (memorisation 0.50, unseen 1.00): some may be copies.",
        "It covers 25% of the test images; real ones cover 90%.",
        "It generates 3 of the 10 classes.",
        "40% of its samples are classified as that class",
        "The generator collapsed",
        "rolled back 2 times to an earlier checkpoint",
    ):
        assert part in limits, part


def facts_of(trainer: DCGANTrainer, **changes: Any) -> Facts:
    return dataclasses.replace(gather(trainer.folder), **changes)


def test_the_chosen_checkpoint_is_this_model(trainer: DCGANTrainer) -> None:
    rows = {name: {"fd": 1.0} for name in ("real", "adversarial/last", "adversarial/best", "adversarial/last at 0.7")}
    facts = facts_of(trainer, evaluation={"rows": rows, "steps": {"adversarial": 2}})
    figures = section(card(facts), "Figures")
    assert "the column `adversarial/best`" in figures and " at 0.7" not in figures


def test_what_a_user_gave_stays_text(trainer: DCGANTrainer) -> None:
    config = {"data": f"/home/me/{HOSTILE.replace('/', '')}", "classes": ["a`|\n```\n# b", "c"], "conditional": True}
    text = card(facts_of(trainer, config=config, run={"data_license": HOSTILE}))
    result = front(text)
    assert (result["license"], result["license_name"]) == ("other", plain(HOSTILE))
    body = text.split("\n---\n", 1)[1]
    assert "<script>" not in body and "/home" not in text and "\x1b" not in text
    assert [line for line in body.splitlines() if line.startswith("# ")] == [
        f"# dcgan of {escaped(HOSTILE.replace('/', ''))}"
    ]
    assert body.count("```") == 4


def test_a_missing_licence_is_reported_as_unknown(trainer: DCGANTrainer) -> None:
    text = card(facts_of(trainer, run={}))
    assert front(text)["license"] == "unknown" and "not stated." in section(text, "Data")


@pytest.mark.slow
def test_a_resume_may_give_the_licence(tmp_path: Path) -> None:
    run = tiny.trained(tmp_path, "--data-license", "mit")
    text = (run / "model" / "README.md").read_text(encoding="utf-8")
    assert front(text)["license"] == "mit" and front(text)["pipeline_tag"] == "image-to-image"
    assert "3 training images: photos." in text and str(tmp_path) not in text
    assert "`photos/psnr_y`" in section(text, "Figures") and "`bicubic`" in section(text, "Figures")
    assert tiny.recipe(["--resume", run, "--data-license", "cc0-1.0"]) == 0
    assert front((run / "model" / "README.md").read_text(encoding="utf-8"))["license"] == "cc0-1.0"


def test_a_resumed_run_is_not_measured_by_its_old_evaluation(trainer: DCGANTrainer, tmp_path: Path) -> None:
    copy = shutil.copytree(trainer.folder, tmp_path / "run")
    write_json(copy / "evaluation.json", {"rows": {"adversarial/last": {"fd": 1.0}}, "steps": {"adversarial": 1}})
    DCGANTrainer(trainer.config, dataclasses.replace(trainer.run, resume=str(copy))).fit()
    text = (copy / "model" / "README.md").read_text(encoding="utf-8")
    assert section(text, "Figures") == "Not evaluated yet." and "| steps | adversarial 2; " in section(text, "Training")


def test_the_card_of_an_older_run_says_what_its_folder_says(tmp_path: Path) -> None:
    """Version 0.1.0 wrote neither the version nor the numbers of items and parameters, and had no
    table of the data."""
    config = {"data": "drums", "classes": ["kick"], "conditional": True, "batch": 3}
    write_toml(tmp_path / "config.toml", {"recipe": "wavegan", "makes": "sounds", "config": config, "run": {"seed": 5}})
    text = card(gather(tmp_path))
    assert "Generates sounds from noise, trained with multigen." in text and "Training sounds: drums." in text
    assert "1 classes (samples can be conditioned on one): `kick`." in text and "| parameters |" not in text
    assert "trained on the sounds above" in text and "--class kick" in text


@pytest.mark.parametrize("wrong", [None, 3, "text", [], {}])
def test_a_damaged_configuration_has_a_card_too(tmp_path: Path, wrong: Any) -> None:
    names = ("method", "title", "task", "items", "parameters", "version", "config", "data", "run")
    for name in names if wrong is not None else ():
        write_toml(tmp_path / "config.toml", {"method": "dcgan", "config": {}, name: wrong})
        assert "\n## Use\n" in card(gather(tmp_path))
    for name in ("data", "classes", "conditional", "batch"):
        write_toml(tmp_path / "config.toml", {"method": "dcgan", "config": {} if wrong is None else {name: wrong}})
        assert "\n## Use\n" in card(gather(tmp_path))
