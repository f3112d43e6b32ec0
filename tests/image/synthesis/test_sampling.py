"""A run that keeps D: its model folder, samples that D keeps, and its truncation curve."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn.functional import softplus

import multigen
from multigen.cli.sample import run as run_sample
from multigen.engine import Run
from multigen.engine.evaluation import Evaluation
from multigen.errors import ConfigError
from multigen.image.synthesis import dcgan, r3gan
from multigen.metrics.names import other_setting, trained
from multigen.tasks.synthesis import base
from tests.tiny import pixels

SMALL = {"size": 16, "batch": 4, "steps": 2, "samples": 12, "labels": "none"}


def trainer(data: Path, out: Path, **settings: object) -> dcgan.DCGANTrainer:
    config = replace(dcgan.PRESETS["tiny"], data=str(data), **{**SMALL, **settings})  # pyright: ignore[reportArgumentType]
    return dcgan.DCGANTrainer(config, Run(device="cpu", precision="fp32", out=str(out)))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from PIL import Image

    folder = tmp_path_factory.mktemp("sampling") / "pictures"
    folder.mkdir()
    for i in range(80):
        Image.fromarray(pixels(16, 16, seed=i)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def run(pictures: Path) -> tuple[Path, Evaluation]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "QUICK_SAMPLES", 0)
        made = trainer(pictures, pictures.parent / "run", keep_discriminator=True, validation_size=8).fit()
        return made.folder, made.evaluate()


def test_the_model_folder_holds_d_and_its_calibration(run: tuple[Path, Evaluation]) -> None:
    folder = run[0] / "model"
    about = json.loads((folder / "config.json").read_text())
    assert {"G.safetensors", "D.safetensors", "rejection.json"} <= {*about["files"]}
    assert json.loads((folder / "rejection.json").read_text()).keys() == {"scale", "shift", "maximum", "gamma"}


def test_samples_that_d_keeps_are_counted(run: tuple[Path, Evaluation]) -> None:
    model = multigen.load(run[0])
    kept = model.with_rejection()
    samples = kept.sample(6, seed=3)
    assert samples.shape == (6, 3, 16, 16) and samples.dtype == torch.uint8
    assert kept.rejection.kept == 6 <= kept.rejection.tried
    assert model.rejection is None and torch.equal(multigen.load(run[0]).with_rejection().sample(6, seed=3), samples)


def test_the_command_prints_how_many_d_kept(
    run: tuple[Path, Evaluation], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--model", str(run[0]), "-n", "3", "--reject", "--out"]
    run_sample([*words, str(tmp_path / "samples")])
    assert " D kept " in (printed := capsys.readouterr().out) and "candidate" in printed
    run_sample([*words, str(tmp_path / "again"), "--json"])
    assert 0 < json.loads(capsys.readouterr().out)["acceptance"] <= 1
    with pytest.raises(ConfigError, match="--reject: D sees whole items, not pieces of 3 seconds"):
        run_sample([*words, str(tmp_path / "pieces"), "--seconds", "3"])


def test_keeping_d_needs_validation_items(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="keep_discriminator: D is calibrated on validation items"):
        trainer(pictures, tmp_path / "run", keep_discriminator=True, validation_size=0).prepare()


def test_a_curve_of_distance_and_coverage_stands_beside_the_table(run: tuple[Path, Evaluation]) -> None:
    rows = run[1].rows
    curve = {name: row for name, row in rows.items() if other_setting(name)}
    assert [*curve] == [f"adversarial/best at {t}" for t in ("2", "1", "0.5")] and all(map(trained, curve))
    assert all({"fd_efficientnet_lite0", "coverage"} <= row.keys() for row in curve.values())
    assert len({row["fd_efficientnet_lite0"] for row in [*curve.values(), rows["adversarial/best"]]}) == 4
    assert (run[0] / "curves.png").stat().st_size > 1000


def test_g_learns_from_the_samples_with_the_highest_scores(pictures: Path) -> None:
    """The share falls by 1 % with each pass through the data, down to a half; a sample with several
    scores has their mean."""
    made = trainer(pictures, pictures, top_k=0.5, batch=10)
    made.data = range(100)  # pyright: ignore[reportAttributeAccessIssue]
    scores = torch.arange(10.0).roll(3)
    for index, k in ((0, 10), (300, 7), (9_000, 5)):  # 0.99^30 is .74
        step: Any = SimpleNamespace(index=index)
        assert made.best(scores, step).tolist() == [9.0 - i for i in range(k)]
        assert scores[made.best_rows(scores, step)].tolist() == made.best(scores, step).tolist()
    patches = torch.stack([scores, -3 * scores], 1)
    assert made.best(patches, step)[:, 0].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_pairs_of_the_best_samples_have_one_class(pictures: Path) -> None:
    """Of the relativistic loss: a score less that of the real item in its own row."""
    config = replace(r3gan.PRESETS["tiny"], top_k=0.5)
    made: Any = r3gan.R3GANTrainer(config, Run(device="cpu", precision="fp32"))
    made.data, fake, real = range(10), torch.tensor([1.0, 8.0, 3.0, 6.0]), torch.tensor([1.0, 2.0, 4.0, 8.0])
    answers = iter([real, fake])
    made.D = lambda *_: next(answers)
    made.fakes, made.reals = (lambda *_: (fake, None)), (lambda *_: real)
    loss = made.generator_loss({}, SimpleNamespace(index=9_000))["adversarial"]
    assert loss.item() == pytest.approx(softplus(torch.tensor([2.0 - 8.0, 8.0 - 6.0])).mean().item())
