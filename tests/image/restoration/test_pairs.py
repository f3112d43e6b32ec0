"""Training on pairs: a folder of photographs and a folder of what is restored to them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from multigen.engine import Run
from multigen.engine.batches import Stream
from multigen.errors import ConfigError, DataError
from multigen.image.degrade import reduced
from multigen.image.files import read_image
from multigen.image.restoration.denoise import DenoiseConfig, DenoiseTrainer
from multigen.image.restoration.realesrgan import RealESRGANConfig, RealESRGANTrainer
from multigen.image.restoration.srgan import SRGANConfig, SRGANTrainer
from tests.tiny import SETTINGS, photos, pixels


def trainer(data: Path, **changes: Any) -> SRGANTrainer:
    settings = {**SETTINGS, "data": str(data), "test": (str(data),), "scale": 2, "validation_size": 0, **changes}
    result = SRGANTrainer(SRGANConfig(**settings), Run(device="cpu", precision="fp32"))
    result.prepare()
    return result


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Photographs, and their bicubic reductions as PNG."""
    high, low = photos(tmp_path / "high", count=3), tmp_path / "low"
    low.mkdir()
    for path in sorted(high.iterdir()):
        Image.fromarray(reduced(read_image(path), 2).permute(1, 2, 0).numpy()).save(low / f"{path.stem}.png")
    return high, low


def test_pairs_are_aligned_crops_of_both_folders(pair: tuple[Path, Path]) -> None:
    high, low = pair
    batches = [Stream(trainer(high, low=given).data, 4, slice(0, 4), ("a",)).at(0) for given in ("", str(low))]
    assert all(torch.equal(batches[0][name], batches[1][name]) for name in ("target", "input"))

    height, width = read_image(low / "1.png").shape[1:]
    Image.fromarray(pixels(height, width, seed=8)).save(low / "1.png")
    changed = trainer(high, low=str(low))
    assert not torch.equal(
        Stream(changed.data, 12, slice(0, 12), ("a",)).at(0)["input"], batches[0]["input"].repeat(3, 1, 1, 1)
    )
    assert changed.data_info.fingerprint != trainer(high).data_info.fingerprint


def test_what_does_not_match_is_listed(pair: tuple[Path, Path]) -> None:
    high, low = pair
    (low / "0.png").unlink()
    Image.fromarray(pixels(9, 9)).save(low / "2.png")
    with pytest.raises(
        DataError, match=r"low: 2 images of 3 without a pair at x2: 0\.\w+ has none; 2\.\w+ has one of 9x9"
    ):
        trainer(high, low=str(low))


def test_what_does_not_match_is_left_out_where_bad_files_are(
    pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    high, low = pair
    (low / "0.png").unlink()
    (low / "1.png").write_bytes(b"damaged")
    result = trainer(high, low=str(low), skip_bad=True)
    assert [photo.name for photo in result.data.photos] == ["2.png"]
    printed = capsys.readouterr().err
    assert "0.png: no pair in low: 0.png has none" in printed and "low/1.png" in printed
    (low / "2.png").rename(low / "other.png")
    with pytest.raises(DataError, match=r"low: no image has the name and size of one in \S+; give each a pair"):
        trainer(high, low=str(low), skip_bad=True)


def test_a_method_that_makes_its_inputs_takes_no_pairs(pair: tuple[Path, Path]) -> None:
    high, low = pair
    config = RealESRGANConfig(data=str(high), test=(str(high),), low=str(low), crop=32)
    with pytest.raises(
        ConfigError, match="realesrgan makes its inputs itself; leave it out, or train srgan, or denoise"
    ):
        RealESRGANTrainer(config, Run(device="cpu", precision="fp32")).prepare()


def test_denoising_learns_from_pairs_of_the_same_size(tmp_path: Path) -> None:
    """Such as photographs of a camera at two sensitivities: nothing is corrupted."""
    clean, noisy = photos(tmp_path / "clean", count=10), tmp_path / "noisy"
    noisy.mkdir()
    for path in sorted(clean.iterdir()):
        pixels_of = read_image(path)
        Image.fromarray((255 - pixels_of).permute(1, 2, 0).numpy()).save(noisy / path.name)
    config = DenoiseConfig(
        data=str(clean), low=str(noisy), test=(str(clean),), crop=32, blocks=1, width=4, batch=4, pretrain_steps=2,
        validation_size=1,
    )  # fmt: skip
    result = DenoiseTrainer(config, Run(device="cpu", precision="fp32"))
    result.prepare()
    batch = Stream(result.data, 4, slice(0, 4), ("a",)).at(0)
    assert torch.equal(batch["input"], 255 - batch["target"])
    step = result.updater.step_at((0, 0, "pretrain", "generator", 0, 0), 0.0, slice(0, 4))
    assert torch.allclose(result.inputs(batch, step), 1 - result.targets(batch, step), atol=1e-6)
    assert torch.equal(result.validation.inputs[0], 255 - result.validation.targets[0])
