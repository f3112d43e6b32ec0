"""Model folders of 0.1.0 are loaded, and give what they gave then."""

import json
from pathlib import Path

import numpy as np
import pytest

import multigen
from multigen.text.synthesis.writer import Writer

OLDER = Path(__file__).parent / "0.1.0"
PICTURE = ((np.arange(12 * 12 * 3).reshape(12, 12, 3) * 37) % 256).astype(np.uint8)
"""What srgan was given."""
NUMBERS = ("srgan", "gan", "dcgan", "wgan", "sngan", "r3gan", "wavegan", "specgan")
TEXTS = ("seqgan", "seqgan-transformer")
TOLERANCE = {"wavegan": 1e-5, "specgan": 1e-3}
"""Of sounds, -1..1; specgan's phases are estimated in many steps that add up differences. Values of
images may be one off."""


@pytest.fixture(autouse=True)
def cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)


def test_a_folder_of_each_method_is_there_and_small() -> None:
    folders = sorted((OLDER / "models").iterdir())
    assert {folder.name for folder in folders} == {*NUMBERS, *TEXTS}
    assert all("version" not in json.loads((folder / "config.json").read_text()) for folder in folders)
    assert max(sum(file.stat().st_size for file in folder.iterdir()) for folder in folders) < 100_000


@pytest.mark.parametrize("name", NUMBERS)
def test_the_same_samples_as_then(name: str) -> None:
    model = multigen.load(str(OLDER / "models" / name))
    with np.load(OLDER / "expected" / f"{name}.npz") as file:
        expected = dict(file)
    result = {}
    for key in expected:
        if key == "upscale":
            result[key] = model.upscale(PICTURE)
        elif key != "sample_rms":
            n = len(expected[key])
            result[key] = (
                model.sample(n, seed=0, label=1) if key == "sample_label1" else model.sample(n, seed=0)
            ).numpy()
    if "sample_rms" in expected:
        result["sample_rms"] = np.sqrt(np.square(result["sample"].astype(np.float64)).mean((1, 2)))
    for key, then in expected.items():
        now = result[key][..., : then.shape[-1]]
        assert (now.dtype, now.shape) == (then.dtype, then.shape), key
        tolerance = 1e-5 if key == "sample_rms" else TOLERANCE.get(name, 1)
        np.testing.assert_allclose(now.astype(np.float64), then.astype(np.float64), rtol=0, atol=tolerance, err_msg=key)
    assert ("sample_label1" in expected) == bool(getattr(model, "choices", ()))


@pytest.mark.parametrize("name", TEXTS)
def test_the_same_texts_as_then(name: str) -> None:
    model = multigen.load(str(OLDER / "models" / name))
    assert isinstance(model, Writer)
    result = {
        "generate(n=3, seed=0)": model.generate(n=3, seed=0),
        "generate('The', n=2, seed=1)": model.generate("The", n=2, seed=1),
    }
    assert result == json.loads((OLDER / "expected" / f"{name}.json").read_text())


def test_a_seqgan_of_dense_rewards_is_a_scratchgan_now() -> None:
    methods = {name: multigen.load(str(OLDER / "models" / name)).origin["method"] for name in TEXTS}
    assert methods == {"seqgan": "seqgan", "seqgan-transformer": "scratchgan"}
