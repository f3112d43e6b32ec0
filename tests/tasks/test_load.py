"""multigen.load: what was trained, ready to use, from a folder that needs neither the data nor the
trainer."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

import multigen
from multigen.engine import Run
from multigen.errors import MultigenError
from multigen.image.restoration.srgan import SRGANConfig, SRGANTrainer
from multigen.image.restoration.upscaler import Upscaler
from tests.tiny import SETTINGS, photos, pixels


@pytest.fixture(scope="module", params=["compact", "srresnet"])
def moved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SRGANTrainer]:
    """A run whose checkpoints and data are gone, in another place than it was trained in."""
    place = tmp_path_factory.mktemp(request.param)
    data = str(photos(place / "photos"))
    config = SRGANConfig(data=data, test=(data,), generator=request.param, validation_size=0, ema=0.9, **SETTINGS)
    trainer = SRGANTrainer(config, Run(out=str(place / "run"), device="cpu", precision="fp32")).fit()
    shutil.rmtree(place / "run" / "checkpoints")
    shutil.rmtree(data)
    (place / "runs").mkdir()
    (place / "run").rename(place / "runs" / "a")
    return place / "runs" / "a", trainer


def test_what_is_loaded_is_the_running_average(moved: tuple[Path, SRGANTrainer]) -> None:
    run, trainer = moved
    image = torch.from_numpy(pixels(20, 26)).permute(2, 0, 1)
    expected = Upscaler(trainer.averages["G"], 4)(image)
    raw = Upscaler(trainer.nets["G"].eval(), 4)(image)
    assert not torch.equal(expected, raw)
    for place in (run, run / "model"):
        model = multigen.load(str(place))
        assert isinstance(model, Upscaler)
        assert torch.equal(model.upscale(image), expected)


def test_of_a_folder_of_runs_the_newest_is_taken_and_named(
    moved: tuple[Path, SRGANTrainer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for age, name in ((3, "old"), (1, "new"), (2, "middle")):
        shutil.copytree(moved[0] / "model", tmp_path / name / "model")
        os.utime(tmp_path / name / "model" / "config.json", (10 - age, 10 - age))
    (tmp_path / "unfinished" / "checkpoints").mkdir(parents=True)
    for name in ("old", "middle"):
        (tmp_path / name / "model" / "G.safetensors").write_bytes(b"")  # would be an error
    assert isinstance(multigen.load(str(tmp_path)), Upscaler)
    assert capsys.readouterr().err == f"using the newest run: {tmp_path / 'new'}\n"


def test_a_model_folder_holds_what_inference_needs_and_nothing_else(moved: tuple[Path, SRGANTrainer]) -> None:
    run, trainer = moved
    assert sorted(p.name for p in (run / "model").iterdir()) == ["G.safetensors", "README.md", "config.json"]
    about = json.loads((run / "model" / "config.json").read_text())
    assert about["method"] == "srgan" and about["config"]["generator"] == trainer.config.generator
    assert "srgan" in (run / "model" / "README.md").read_text()


def test_what_cannot_be_loaded_is_named(moved: tuple[Path, SRGANTrainer], tmp_path: Path) -> None:
    for name in ("other", "foreign", "gone", "newer", "text"):
        shutil.copytree(moved[0] / "model", tmp_path / name)
    about = json.loads((tmp_path / "other" / "config.json").read_text())
    (tmp_path / "other" / "config.json").write_text(json.dumps({**about, "method": "stylegan9"}))
    (tmp_path / "foreign" / "config.json").write_text(json.dumps({**about, "config": {**about["config"], "width": 9}}))
    (tmp_path / "gone" / "G.safetensors").unlink()
    (tmp_path / "newer" / "config.json").write_text(json.dumps({**about, "config": {**about["config"], "novel": 1}}))
    (tmp_path / "text" / "config.json").write_text("no json")
    (tmp_path / "empty").mkdir()
    for name, message in [
        ("other", "other was made by 'stylegan9'; expected one of srgan"),
        ("foreign", "expected"),
        ("gone", "missing"),
        ("newer", "unknown field 'novel'"),
        ("text", "give the model folder of a finished run"),
        ("empty", "holds no run with model; give a run's folder"),
        ("absent", "is not a folder; give a run's folder"),
    ]:
        with pytest.raises(MultigenError, match=message) as error:
            multigen.load(str(tmp_path / name))
        assert str(tmp_path / name) in str(error.value), message


@pytest.mark.parametrize(
    "content",
    ['{"method": ["srgan"], "config": {}}', '{"method": "srgan", "config": [1]}', "[" * 100_000, "[]"],
    ids=["method", "config", "deep", "list"],
)
def test_a_description_of_another_form_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(MultigenError, match=r"config\.json cannot be read .*give the model folder of a finished run"):
        multigen.load(str(tmp_path))
