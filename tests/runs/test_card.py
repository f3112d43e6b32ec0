"""The model card: written from the run, completed after its evaluation, safe whatever a user gave."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from multigen.engine import Run
from multigen.engine.evaluation import Evaluation
from multigen.image.synthesis.dcgan import PRESETS, DCGANTrainer
from multigen.runs.card import card, escaped, plain
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
    config = dataclasses.replace(PRESETS["tiny"], conditional=True, steps=2, width=2, hold=0, samples=20)
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
        f"{len(trainer.data):,} training pictures: digits." in data
        and "10 classes (one can be asked for): `0`, `1`" in data
    )
    assert "as given by whoever trained the model: CC-BY-4.0." in data
    training = section(text, "Training")
    assert "| seed | 7 |" in training and "| steps | adversarial 2; batches of 16 |" in training
    for name in ("time", "machine", "commit", "date", "parameters"):
        assert f"| {name} | " in training
    assert section(text, "Figures") == "Not measured yet."
    assert "--class 0" in section(text, "Use") and "model.sample(16" in section(text, "Use")


def test_a_card_is_completed_by_the_evaluation(trainer: DCGANTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {
        "real": {"memorisation": 1.0, "coverage": 0.9, "classes": 10.0},
        "adversarial/last": {"memorisation": 0.5, "coverage": 0.25, "classes": 3.0, "as_asked": 0.4},
    }
    meant = {
        "memorisation": "nearness; features: of a network",
        "coverage": "share; features: of a network",
        "classes": "so many.",
    }
    monkeypatch.setattr(trainer, "score", lambda: Evaluation(rows, meant, {"verdict": "no *better*."}))
    monkeypatch.setitem(trainer.state.scalars, "control/collapse", -1.0)
    monkeypatch.setitem(trainer.state.scalars, "attempt", 2)
    trainer.evaluate()
    text = (trainer.folder / "model" / "README.md").read_text(encoding="utf-8")
    figures, limits = section(text, "Figures"), section(text, "Limits")
    assert "This model is the column `adversarial/last`." in figures
    assert "|  | `real` | `adversarial/last` |\n| --- | ---: | ---: |\n| `memorisation` | 1 | 0.5 |" in figures
    assert (
        "- `coverage`: share.\n- `classes`: so many.\n- Features: of a network.\n- Verdict: no \\*better\\*." in figures
    )
    for part in (
        "nearer to the training pictures than unseen ones (memorisation 0.50, of unseen ones 1.00): some may be copies.",
        "It covers 25% of the test pictures; real ones cover 90%.",
        "It makes 3 of the 10 classes.",
        "recognised as such in 40% of the cases",
        "the generator collapsed",
        "went back 2 times",
    ):
        assert part in limits, part


def test_the_chosen_checkpoint_is_this_model(trainer: DCGANTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {name: {"fd": 1.0} for name in ("real", "adversarial/last", "adversarial/best", "adversarial/last at 0.7")}
    monkeypatch.setattr(trainer, "evaluation", Evaluation(rows, {}), raising=False)
    figures = section(card(trainer)["README.md"], "Figures")
    assert "the column `adversarial/best`" in figures and " at 0.7" not in figures


def test_what_a_user_gave_stays_text(trainer: DCGANTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    config = dataclasses.replace(
        trainer.config, data=f"/home/me/{HOSTILE.replace('/', '')}", classes=("a`|\n```\n# b", "c")
    )
    monkeypatch.setattr(trainer, "config", config)
    monkeypatch.setattr(trainer, "run", dataclasses.replace(trainer.run, data_license=HOSTILE))
    text = card(trainer)["README.md"]
    found = front(text)
    assert (found["license"], found["license_name"]) == ("other", plain(HOSTILE))
    body = text.split("\n---\n", 1)[1]
    assert "<script>" not in body.replace("\\<", "") and "/home" not in text and "\x1b" not in text
    assert [line for line in body.splitlines() if line.startswith("# ")] == [
        f"# dcgan of {escaped(HOSTILE.replace('/', ''))}"
    ]
    assert body.count("```") == 4


def test_no_licence_is_said_to_be_unknown(trainer: DCGANTrainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "run", dataclasses.replace(trainer.run, data_license=""))
    text = card(trainer)["README.md"]
    assert front(text)["license"] == "unknown" and "not stated." in section(text, "Data")


def test_a_resume_may_give_the_licence(tmp_path: Path) -> None:
    run = tiny.trained(tmp_path, "--data-license", "mit")
    text = (run / "model" / "README.md").read_text(encoding="utf-8")
    assert front(text)["license"] == "mit" and front(text)["pipeline_tag"] == "image-to-image"
    assert "3 training photographs: photos." in text and str(tmp_path) not in text
    assert "`photos/psnr_y`" in section(text, "Figures") and "`bicubic`" in section(text, "Figures")
    assert tiny.recipe(["--resume", run, "--data-license", "cc0-1.0"]) == 0
    assert front((run / "model" / "README.md").read_text(encoding="utf-8"))["license"] == "cc0-1.0"
