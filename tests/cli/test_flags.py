"""Options that several verbs share: each verb has those of them that apply to it, under one
name."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

import multigen
from multigen.cli import VERBS
from multigen.engine import Run
from multigen.errors import ConfigError
from multigen.image.restoration.srgan import PRESETS as SRGAN
from multigen.image.restoration.srgan import SRGANTrainer
from multigen.image.synthesis.base import ImageInfo
from multigen.image.synthesis.dcgan import PRESETS as DCGAN
from multigen.image.synthesis.dcgan import DCGANTrainer
from multigen.image.translation.pix2pix import PRESETS as PIX2PIX
from multigen.image.translation.pix2pix import Pix2PixTrainer
from tests import tiny

SHARED = {"--model", "--device", "--out", "--overwrite", "--json", "--skip-bad", "--seed"}

TABLE = {
    "bench": "--device --out --overwrite --json",
    "compare": "--device --out --overwrite --json --seed",
    "completion": "",
    "cp": "",
    "doctor": "--json",
    "edit": "--model --device --out --overwrite --json --seed",
    "evaluate": "--model --device --out --overwrite --json --skip-bad",
    "export": "--model --device --out --overwrite --json",
    "import": "--out --json",
    "inspect": "--out --overwrite --json --seed",
    "interpolate": "--model --device --out --overwrite --json --seed",
    "ls": "--json",
    "report": "--out --overwrite --json",
    "restore": "--model --device --out --overwrite --json --skip-bad",
    "sample": "--model --device --out --overwrite --json --seed",
    "train": "--device --out --skip-bad --seed",
    "translate": "--model --device --out --overwrite --json --skip-bad",
    "upscale": "--model --device --out --overwrite --json --skip-bad",
    "write": "--model --device --out --overwrite --json --seed",
}
"""Verb -> what it has of the options that are shared."""


def test_the_table_has_every_verb() -> None:
    assert list(TABLE) == list(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_has_the_options_that_apply_to_it(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "dcgan"] if verb == "train" else [verb]
    assert tiny.multigen([*words, "--help"]) == 0
    lines = re.findall(r"^[^\w\n-]*(-.*)", capsys.readouterr().out, re.M)  # those that an option begins
    options = {word for line in lines for word in re.findall(r"(?<![\w-])--[a-z-]+", line)}
    assert "--help" in options or verb == "train"
    assert options & SHARED == set(TABLE[verb].split())


# ---------------------------------------------------------------------------------------------------- devices

WITH_DEVICE = [verb for verb, options in TABLE.items() if "--device" in options and verb not in ("bench", "train")]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An untrained model for each verb that uses one."""
    folder = tmp_path_factory.mktemp("models")
    image = DCGANTrainer(replace(DCGAN["tiny"], width=2), Run())
    result = tiny.untrained(folder / "dcgan", image, ImageInfo(channels=1))
    srgan = SRGANTrainer(replace(SRGAN["tiny"], blocks=1, width=4), Run())
    pix2pix = tiny.untrained(folder / "pix2pix", Pix2PixTrainer(PIX2PIX["tiny"], Run()))
    large = tiny.untrained(folder / "srgan", srgan)
    return {"": result, **dict.fromkeys(("restore", "upscale"), large), "translate": pix2pix}


def words_of(verb: str, models: dict[str, Path], out: Path) -> list[str | Path]:
    """A command that would work."""
    model, data = models.get(verb, models[""]), out.parent / "photos"
    if not data.exists():
        tiny.photos(data, side=32)
    return {
        "compare": ["compare", model, model, "--out", out],
        "edit": ["edit", "--model", model, "-n", "2", "--count", "1", "--out", out],
        "evaluate": ["evaluate", "--real", data, "--fake", data],
        "export": ["export", "--model", model, "--out", out.with_suffix(".onnx")],
        "interpolate": ["interpolate", "--model", model, "-n", "2", "--frames", "2", "--out", out.with_suffix(".gif")],
        "restore": ["restore", data, "--model", model, "--out", out],
        "sample": ["sample", "--model", model, "-n", "2", "--out", out],
        "translate": ["translate", data, "--model", model, "--out", out],
        "upscale": ["upscale", data, "--model", model, "--out", out],
        "write": ["write", "--model", model],
    }[verb]


@pytest.mark.parametrize("verb", WITH_DEVICE)
def test_a_device_that_is_missing_is_named(
    verb: str, models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = words_of(verb, models, tmp_path / "out")
    for device in ("cuda:7", "gpu"):
        assert tiny.multigen([*words, "--device", device]) == 2
        message = capsys.readouterr().err.splitlines()[-1]
        assert f"error: device '{device}'" in message and "auto, cpu, cuda, cuda:N or mps" in message
    assert tiny.multigen([*words, "--gpu"]) == 2
    assert "error: --gpu: no such option; expected --device cuda, or cuda:N" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("verb", ["edit", "interpolate", "restore", "sample", "translate", "upscale"])
def test_results_on_a_named_device(
    verb: str, models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny.multigen([*words_of(verb, models, tmp_path / "out"), "--device", "cpu", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["files"] and all(Path(file).is_file() for file in printed["files"])


def test_a_model_is_loaded_onto_a_device(models: dict[str, Path]) -> None:
    model = multigen.load(models[""], device="cpu")
    assert next(model.network.parameters()).device.type == "cpu" and model.sample(2).shape[0] == 2
    for device in ("cuda:7", "gpu", "tpu"):
        with pytest.raises(ConfigError, match=f"device '{device}'.*auto, cpu, cuda, cuda:N or mps"):
            multigen.load(models[""], device=device)
    with pytest.raises(ConfigError, match="device 'meta'"):  # on which nothing is computed
        multigen.load(models[""], device="meta")
