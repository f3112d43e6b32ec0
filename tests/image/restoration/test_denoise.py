"""Denoising: what its batches hold, its test sets, losses and networks, and a run."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import multigen
from multigen.engine import Run
from multigen.engine.batches import Stream
from multigen.errors import ConfigError
from multigen.image.restoration.corruption import is_grey, to_grey
from multigen.image.restoration.denoise import GRID, PRESETS, DenoiseConfig, DenoiseTrainer, DnCNN
from multigen.image.sheets import strip
from tests import tiny

SMALL: dict[str, Any] = {
    **{"crop": 16, "blocks": 1, "width": 4, "discriminator_width": 2, "batch": 4, "pretrain_steps": 2, "steps": 0},
    "ema": 0.5,
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.photos(tmp_path_factory.mktemp("denoise") / "photos", count=3)


def prepared(photos: Path, **changes: Any) -> DenoiseTrainer:
    config = replace(PRESETS["tiny"], data=str(photos), test=(str(photos),), **{**SMALL, **changes})
    trainer = DenoiseTrainer(config, Run(device="cpu", precision="fp32"))
    trainer.prepare()
    return trainer


def batch_of(trainer: DenoiseTrainer, name: str = "a", size: int = 4) -> dict[str, Tensor]:
    return Stream(trainer.data, size, slice(0, size), (name,)).at(0)


# -- batches -------------------------------------------------------------------------------------------------------


def test_batches_hold_photographs_and_corrupted_inputs_keyed_by_their_draws(photos: Path) -> None:
    trainer = prepared(photos)
    batch = batch_of(trainer)
    assert {name: (tuple(x.shape), x.dtype) for name, x in batch.items()} == {
        "target": ((4, 3, 16, 16), torch.uint8),
        "input": ((4, 3, 16, 16), torch.float32),
    }
    assert all(torch.equal(batch[name], batch_of(trainer)[name]) for name in batch)
    assert not torch.equal(batch["input"], batch_of(trainer, "b")["input"])


def test_an_input_is_the_same_window_as_its_target(photos: Path) -> None:
    batch = batch_of(prepared(photos, corruption="noise", sigma=(0.0, 0.0)))
    assert torch.equal((batch["input"] * 255).round().to(torch.uint8), batch["target"])


@pytest.mark.parametrize(("grey", "expected"), [(0.0, 0), (1.0, 12)])
def test_a_share_of_the_crops_is_grey(photos: Path, grey: float, expected: int) -> None:
    batch = batch_of(prepared(photos, grey=grey), size=12)
    for name in ("target", "input"):
        assert sum(is_grey(x) for x in batch[name]) == expected


def test_the_three_kinds_of_corruption_are_drawn(photos: Path) -> None:
    trainer = prepared(photos, sigma=(50.0, 50.0), quality=(90.0, 90.0), stored=0.0)
    image, rng = torch.full((3, 32, 32), 128, dtype=torch.uint8), np.random.default_rng(0)
    result = set()
    for _ in range(30):
        x = trainer.corrupted(image, rng) * 255
        whole, strong = torch.allclose(x, x.round(), atol=1e-3), (x - 128).std().item() > 20
        result.add({(False, True): "noise", (True, False): "jpeg", (True, True): "jpeg after noise"}[whole, strong])
    assert result == {"noise", "jpeg", "jpeg after noise"}


def test_a_share_of_noisy_crops_is_stored_at_8_bits(photos: Path) -> None:
    white, rng = torch.full((3, 32, 32), 250, dtype=torch.uint8), np.random.default_rng(0)
    kept, stored = (
        prepared(photos, corruption="noise", sigma=(50.0, 50.0), stored=share).corrupted(white, rng)
        for share in (0.0, 1.0)
    )
    assert kept.max() > 1 and stored.max() == 1
    assert torch.allclose(stored * 255, (stored * 255).round(), atol=1e-3)


def test_blocks_of_jpeg_lie_anywhere_in_the_crops(photos: Path) -> None:
    """The columns where blocks meet, as the compression of a slope shows them."""
    trainer = prepared(photos, corruption="jpeg", quality=(5.0, 5.0), grey=1.0)
    assert (trainer.margin, prepared(photos, corruption="noise").margin) == (GRID, 0)
    slope = torch.arange(16 + GRID).mul(7).to(torch.uint8).expand(3, 16 + GRID, -1).contiguous()
    rng, phases = np.random.default_rng(0), set()
    for _ in range(60):
        x = trainer.corrupt(slope, rng)["input"][0]
        steps = (x[:, 1:] - x[:, :-1]).abs().mean(0)  # (15,)
        phases.add(int(torch.stack([steps[i::8].mean() for i in range(8)]).argmax()))
    assert phases == set(range(8))


# -- test sets -----------------------------------------------------------------------------------------------------


def test_sets_are_those_of_the_literature_in_colour_and_grey(photos: Path) -> None:
    noise, jpeg = [f"noise{s}" for s in (15, 25, 50)], [f"jpeg{q}" for q in (10, 20, 30, 40)]
    both = [f"photos{c}-{kind}" for c in ("", "-grey") for kind in (*noise, *jpeg)]
    assert [test.name for test in prepared(photos).tests] == both
    grey = prepared(photos, corruption="noise", grey=1.0).tests
    assert [test.name for test in grey] == [f"photos-grey-{kind}" for kind in noise]
    assert all(is_grey(x) for test in grey for x in (*test.targets, *test.inputs))
    colour = prepared(photos, corruption="jpeg", grey=0.0).tests
    assert [test.name for test in colour] == [f"photos-{kind}" for kind in jpeg]
    assert torch.equal(grey[0].targets[0], to_grey(colour[0].targets[0]))


def test_inputs_of_a_set_are_the_same_each_time_and_differ_by_image(photos: Path) -> None:
    first, second = (prepared(photos, corruption="noise", grey=0.0).tests[0] for _ in range(2))
    assert torch.equal(first.inputs[1], first.inputs[1]) and torch.equal(first.inputs[1], second.inputs[1])
    noise = [given - target / 255 for given, target in zip(first.inputs, first.targets, strict=True)]
    assert not torch.allclose(noise[0], noise[1], atol=0.01)


def test_the_input_is_measured_as_in_the_literature(photos: Path) -> None:
    """Noise is not clipped: 20 log10(255 / sigma) whatever the photograph."""
    trainer = prepared(photos, corruption="noise", grey=1.0)
    row = trainer.measure({"input": lambda image: image}, trainer.tests, set())["input"]
    for sigma in (15, 25, 50):
        assert row[f"photos-grey-noise{sigma}/psnr"] == pytest.approx(20 * math.log10(255 / sigma), abs=0.15)
    assert {name.rpartition("/")[2] for name in row} == {"psnr", "ssim"} <= trainer.definitions().keys()


def test_validation_images_are_corrupted_as_crops_are(tmp_path: Path) -> None:
    trainer = prepared(tiny.photos(tmp_path / "more", count=10, side=32), validation_size=1, grey=1.0)
    (target,), (given,) = trainer.validation.targets, trainer.validation.inputs
    assert is_grey(target) and is_grey(given) and not torch.equal(given, target / 255)
    assert torch.equal(given, trainer.validation.inputs[0])


# -- losses and networks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pixel", "expected"),
    [("l1", 0.2), ("mse", (0.3**2 + 0.1**2) / 2), ("charbonnier", (math.hypot(0.3, 1e-3) + math.hypot(0.1, 1e-3)) / 2)],
)
def test_the_pixel_loss(photos: Path, pixel: str, expected: float) -> None:
    trainer = prepared(photos, pixel=pixel)
    assert trainer.pixel_error(torch.tensor([0.5, 0.1]), torch.tensor([0.2, 0.2])).item() == pytest.approx(expected)


def test_the_network_of_the_paper() -> None:
    """17 convolutions of 64 channels, batch norm but for the first and the last: three channels in
    place of one."""
    with torch.device("meta"):
        network = DnCNN(17, 64)
    first, middle, last = 3 * 64 * 9 + 64, 15 * (64 * 64 * 9 + 2 * 64), 64 * 3 * 9 + 3
    assert sum(p.numel() for p in network.parameters()) == first + middle + last
    net: Any = DnCNN(3, 4)
    torch.nn.init.zeros_(net.noise[-1].weight)
    torch.nn.init.zeros_(net.noise[-1].bias)
    x = torch.rand(1, 3, 5, 7)
    assert torch.equal(net(x), x)


def test_a_discriminator_is_built_for_an_adversarial_stage_alone(photos: Path) -> None:
    assert list(prepared(photos).nets) == ["G"]
    assert list(prepared(photos, steps=2).nets) == ["G", "D"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sigma": (30.0, 20.0)}, "sigma 30 20: expected the smaller one first"),
        ({"sigma": (-1.0, 20.0)}, "sigma -1.0: expected 0 to 255"),
        ({"quality": (90.0, 10.0)}, "quality 90 10: expected the smaller one first"),
        ({"quality": (0.0, 10.0)}, "quality 0.0: expected 1 to 100"),
        ({"grey": 1.5}, "grey 1.5: expected 0 to 1"),
        ({"stored": -0.5}, "stored -0.5: expected 0 to 1"),
        ({"crop": 30}, "crop 30: expected a multiple of 8, at least 16"),
        ({"corruption": "blur"}, "corruption"),
        ({"pixel": "l2"}, "pixel"),
        ({"generator": "dncnn", "blocks": 1}, "blocks 1: dncnn has a first and a last convolution"),
        ({"pretrain_steps": 0}, "nothing to train"),
    ],
)
def test_settings_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DenoiseConfig(**change)


# -- a run ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(photos: Path) -> Path:
    config = replace(PRESETS["tiny"], data=str(photos), test=(str(photos),), **{**SMALL, "corruption": "noise"})
    folder = photos.parent / "run"
    DenoiseTrainer(config, Run(out=str(folder), device="cpu", precision="fp32")).fit()
    return folder


def test_a_run_is_measured_beside_classical_denoisers(photos: Path) -> None:
    trainer = prepared(photos)
    assert list(trainer.baselines()) == ["input", "nl_means", "total_variation"]
    assert list(prepared(photos, corruption="noise").baselines()) == ["input", "nl_means"]
    assert list(prepared(photos, corruption="jpeg").baselines()) == ["input", "total_variation"]


def test_the_comparison_shows_a_photograph_of_each_set(photos: Path, tmp_path: Path) -> None:
    trainer = prepared(photos)
    trainer.compare(trainer.baselines(), trainer.tests, tmp_path / "comparison")
    with Image.open(tmp_path / "comparison.png") as sheet:
        shown = np.asarray(sheet)
    cell = 2 * 56 + 4  # of the longest side of the photographs
    assert shown.shape == (16 + 4 * cell, (len(trainer.baselines()) + 1) * cell, 3)
    for row, photograph in enumerate((0, 1, 2, 0)):  # noise of 15, 25 and 50, JPEG of quality 10
        original = shown[16 + row * cell :, -cell:][: 2 * 48 : 2, : 2 * 56 : 2]
        assert np.array_equal(original, trainer.tests[0].targets[photograph].permute(1, 2, 0).numpy())


def test_its_sheet_shows_what_was_noisy(run: Path) -> None:
    """Compared with the photographs as they are, of which nothing is to be removed."""
    model = multigen.load(str(run))
    assert np.abs(np.asarray(model.sheet(1), int) - np.asarray(strip(model, 1, 1), int)).mean() > 5


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "I;16"])
def test_restored_files_keep_size_colour_depth_and_opacity(run: Path, tmp_path: Path, mode: str) -> None:
    colour = tiny.pixels(33, 41)
    picture = Image.fromarray(colour)
    if mode == "I;16":
        picture = Image.fromarray(colour[..., 0].astype(np.uint16) * 257)
    elif mode.endswith("A"):
        picture = picture.convert(mode)
        picture.putalpha(Image.fromarray(colour[..., 1]))
    else:
        picture = picture.convert(mode)
    picture.save(tmp_path / "noisy.png")
    assert tiny.multigen(["restore", tmp_path / "noisy.png", "--model", run, "--out", tmp_path / "clean.png"]) == 0
    with Image.open(tmp_path / "clean.png") as clean:
        assert (clean.mode, clean.size) == (mode, (41, 33))
        if mode.endswith("A"):
            assert np.array_equal(np.asarray(clean)[..., -1], colour[..., 1])


def test_the_model_is_a_restorer(run: Path) -> None:
    model = multigen.load(str(run))
    image = torch.from_numpy(tiny.pixels(33, 41)).permute(2, 0, 1)
    assert model.task == "image-restoration"
    assert torch.equal(model.restore(image), model(image)) and model(image).shape == image.shape
    assert torch.equal(model(image.float() / 255), model(image))
