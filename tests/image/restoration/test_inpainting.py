"""Inpainting: its networks, what its batches hold, its losses against closed forms, and a run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

import multigen
from multigen.engine import Run
from multigen.engine.batches import Stream
from multigen.errors import ConfigError
from multigen.image.restoration.inpainter import Inpainter
from multigen.image.restoration.inpainting import PRESETS, InpaintingConfig, InpaintingTrainer
from multigen.image.restoration.networks import FFCGenerator, PatchDiscriminator, SmoothFFCGenerator
from multigen.image.restoration.networks.ffc import FFC, FourierUnit, smoothly_filled
from tests import tiny

SMALL: dict[str, Any] = {
    **{"crop": 32, "blocks": 1, "width": 4, "discriminator_width": 4, "batch": 2, "pretrain_steps": 2, "steps": 2},
    **{"ema": 0.5, "shift": 0},
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.photos(tmp_path_factory.mktemp("inpainting") / "photos", count=3)


def prepared(photos: Path, **changes: Any) -> InpaintingTrainer:
    config = replace(PRESETS["tiny"], data=str(photos), test=(str(photos),), **{**SMALL, **changes})
    trainer = InpaintingTrainer(config, Run(device="cpu", precision="fp32"))
    trainer.prepare()
    return trainer


def value(term: Any) -> float:
    return term.item()


# ---------------------------------------------------------------------------------------------------- networks


def test_the_generator_has_the_published_numbers() -> None:
    """LaMa-Fourier: 27 million parameters in its generator, of 64 channels, three halvings and nine
    blocks."""
    with torch.device("meta"):
        paper = InpaintingTrainer(PRESETS["paper"]).generator()
    assert sum(p.numel() for p in paper.parameters()) == pytest.approx(27e6, rel=0.02)
    layers: Any = paper.layers
    local = layers[12].local
    assert local == 128, "a quarter of 512 channels is local"


def test_the_generator_keeps_size_and_range() -> None:
    for halvings in (1, 2):
        network = FFCGenerator(4, 1, halvings)
        image = network(torch.rand(2, 4, 12, 20))
        assert image.shape == (2, 3, 12, 20) and image.min() > 0 and image.max() < 1


def with_hole(height: int, width: int) -> tuple[Tensor, Tensor]:
    """An image (1, 3, H, W) and the mask of its middle (1, 1, H, W)."""
    hole = torch.zeros(1, 1, height, width)
    hole[..., height // 4 : -height // 4, width // 4 : -width // 4] = 1
    return torch.rand(1, 3, height, width), hole


@pytest.mark.parametrize("size", [(16, 20), (4, 4), (300, 8), (36, 68)])
def test_a_smooth_filling_lies_between_the_known_pixels(size: tuple[int, int]) -> None:
    image, hole = with_hole(*size)
    filled = smoothly_filled(image, hole)
    known = hole.expand_as(image) == 0
    assert torch.equal(filled[known], image[known])
    assert filled.min() >= image[known].min() - 1e-6 and filled.max() <= image[known].max() + 1e-6
    torch.testing.assert_close(smoothly_filled(image * (1 - hole) + 9 * hole, hole), filled)  # it is not looked at
    assert torch.equal(smoothly_filled(torch.full_like(image, 0.25), hole), torch.full_like(image, 0.25))
    assert smoothly_filled(image, torch.ones_like(hole)).isfinite().all()


def test_a_smooth_filling_follows_its_surroundings() -> None:
    """Of a slope it is nearly the slope, of which the mean colour is far."""
    image = torch.linspace(0, 1, 64).expand(1, 3, 64, 64)
    hole = with_hole(64, 64)[1]
    error = (smoothly_filled(image, hole) - image).abs()[0, 0][hole[0, 0] > 0]
    assert error.max() < 0.12 and error.mean() < 0.04


def test_the_smooth_generator_begins_with_the_smooth_filling_and_keeps_known_pixels() -> None:
    torch.manual_seed(0)
    network = SmoothFFCGenerator(4, 1, 2).eval()
    image, hole = with_hole(16, 24)
    with torch.no_grad():
        made, smooth = network(torch.cat([image, hole], dim=1)), smoothly_filled(image, hole)
    assert made.shape == (1, 3, 16, 24)
    known = hole.expand_as(image) == 0
    assert torch.equal(made[known], image[known])
    assert 0 < (made - smooth).abs().max() < 0.2


def test_the_smooth_generator_gives_equal_pixels_equal_weights() -> None:
    """Of features that are everywhere the same transposed convolutions make a grid,
    resize-convolutions none."""
    torch.manual_seed(0)
    grids = []
    for kind in (FFCGenerator, SmoothFFCGenerator):
        layers = kind(4, 1, 2).eval().layers
        first = next(i for i, layer in enumerate(layers) if isinstance(layer, nn.ConvTranspose2d | nn.Upsample))
        with torch.no_grad():
            image = layers[first:](torch.ones(1, 16, 12, 12))[..., 8:-8, 8:-8]
        grids.append((image - image.mean((2, 3), keepdim=True)).abs().max().item())
    assert grids[0] > 1e-4 and grids[1] < 1e-6


def test_a_fourier_unit_is_a_convolution_of_the_spectrum() -> None:
    torch.manual_seed(0)
    unit = FourierUnit(3).eval()
    x = torch.randn(2, 3, 5, 6)
    spectrum = np.fft.rfft2(x.numpy(), norm="ortho")  # (2, 3, 5, 4)
    parts = np.stack([spectrum.real, spectrum.imag], 2).reshape(2, 6, 5, 4)  # re, im of a channel follow each other
    mixed = np.einsum("oc,bchw->bohw", unit.conv.weight.detach().numpy()[..., 0, 0], parts).clip(0)
    mixed = mixed.reshape(2, 3, 2, 5, 4) / np.sqrt(1 + unit.norm.eps)
    expected = np.fft.irfft2(mixed[:, :, 0] + 1j * mixed[:, :, 1], s=(5, 6), norm="ortho")
    assert np.abs(unit(x).detach().numpy() - expected).max() < 1e-5


def test_global_channels_see_the_whole_image_and_local_ones_their_neighbours() -> None:
    torch.manual_seed(0)
    layer = FFC(2, 6).eval()
    local, whole = torch.randn(1, 2, 16, 16), torch.randn(1, 6, 16, 16, requires_grad=True)
    near, far = layer(local, whole)
    (of_near,) = torch.autograd.grad(near[0, :, 8, 8].sum(), whole, retain_graph=True)
    (of_far,) = torch.autograd.grad(far[0, :, 8, 8].sum(), whole)
    assert near.shape == local.shape and far.shape == whole.shape
    assert of_near[..., :7, :].abs().max() == 0 and of_near[..., 7:10, 7:10].abs().max() > 0
    assert (of_far.abs().sum(1) > 0).float().mean() > 0.5


def test_in_bfloat16_the_transform_is_in_float32_and_in_float64_it_stays() -> None:
    unit = FourierUnit(2).eval()
    x = torch.randn(1, 2, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert unit(x.bfloat16()).dtype == torch.bfloat16
    assert unit.double()(x.double()).dtype == torch.float64


def test_the_discriminator_shows_its_layers_and_does_not_mix_images() -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(4)
    x = torch.rand(3, 3, 64, 32)
    maps = network(x)
    shapes = [(4, 32, 16), (8, 16, 8), (16, 8, 4), (32, 4, 2), (32, 4, 2), (1, 4, 2)]
    assert [tuple(each.shape[1:]) for each in maps] == shapes
    torch.testing.assert_close(network(x[:1])[-1], maps[-1][:1])


# ---------------------------------------------------------------------------------------------------- data


def test_batches_hold_photographs_and_the_same_with_holes(photos: Path) -> None:
    trainer = prepared(photos)
    batch = Stream(trainer.data, 2, slice(0, 2), ("a",)).at(0)
    assert {name: tuple(value.shape) for name, value in batch.items()} == {
        "target": (2, 3, 32, 32),
        "input": (2, 4, 32, 32),
    }
    hole = batch["input"][:, 3:] == 255
    assert torch.equal(batch["input"][:, :3], batch["target"] * ~hole), "the hole lies where the crop was turned to"
    assert set(batch["input"][:, 3].unique().tolist()) == {0, 255} and hole[0].ne(hole[1]).any()
    again = Stream(trainer.data, 2, slice(0, 2), ("a",)).at(0)
    assert all(torch.equal(batch[name], again[name]) for name in batch)
    assert not torch.equal(batch["input"], Stream(trainer.data, 2, slice(0, 2), ("b",)).at(0)["input"])


def test_test_sets_have_holes_of_three_kinds_the_same_each_time(photos: Path) -> None:
    sets, again = (prepared(photos).tests for _ in range(2))
    assert [test.name for test in sets] == ["photos-thin", "photos-medium", "photos-thick"]
    for test, other in zip(sets, again, strict=True):
        assert all(image.shape == (3, 32, 32) for image in test.targets)
        assert all(torch.equal(a, b) for a, b in zip(test.inputs, other.inputs, strict=True))
    assert not torch.equal(sets[0].inputs[0], sets[2].inputs[0])


# ---------------------------------------------------------------------------------------------------- losses


def test_losses_are_the_published_ones(photos: Path) -> None:
    weights = {"pixel_weight": 2.0, "adversarial_weight": 3.0, "matching_weight": 5.0, "content_weight": 7.0}
    trainer = prepared(photos, **weights, penalty=0.5, hole_weight=4.0)
    batch = Stream(trainer.data, 2, slice(0, 2), ("a",)).at(0)
    step = trainer.updater.step_at((0, 0, "adversarial", "generator", 0, 0), 0.0, slice(0, 2))
    D, G = trainer.nets["D"], trainer.nets["G"].eval()
    given, real = batch["input"] / 255, batch["target"] / 255
    hole = given[:, 3:]
    with torch.no_grad():
        fake = G(given)
        error = (fake - real).abs()
        pixel = (error * (1 - hole) + 4 * error * hole).mean().item()
        assert trainer.pixel_loss(batch, step)["pixel"] == pytest.approx(pixel, rel=1e-5)
        of_fake, of_real = D(fake), D(real)
        terms = trainer.generator_loss(batch, step)
        assert terms["pixel"] == pytest.approx(2 * pixel, rel=1e-5)
        assert terms["adversarial"] == pytest.approx(3 * softplus(-of_fake[-1]).mean().item(), rel=1e-5)
        matching = np.mean([(a - b).square().mean().item() for a, b in zip(of_fake[:-1], of_real[:-1], strict=True)])
        assert terms["matching"] == pytest.approx(5 * matching, rel=1e-4)
        assert terms["content"] == pytest.approx(7 * trainer.distance(fake, real).mean().item(), rel=1e-4)
        of_d = trainer.discriminator_loss(batch, step)["adversarial"]
    touched = torch.stack([hole[:, 0, i : i + 16, j : j + 16].amax((1, 2)) for i in (0, 16) for j in (0, 16)], 1)
    logits = of_fake[-1].flatten(1)  # (2, 4): of quarters of the crop
    expected = softplus(-of_real[-1]).mean() + torch.where(touched > 0, softplus(logits), softplus(-logits)).mean()
    assert of_d == pytest.approx(expected.item(), rel=1e-5)
    x = real.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(D(x)[-1].sum(), x)
    assert value(trainer.r1(batch, step)["r1"]) == pytest.approx(
        0.5 * gradient.square().sum((1, 2, 3)).mean().item(), rel=1e-4
    )


def test_d_and_the_content_loss_see_a_part_that_is_cut_elsewhere_each_time(photos: Path) -> None:
    trainer = prepared(photos, shift=16)
    batch = Stream(trainer.data, 2, slice(0, 2), ("a",)).at(0)
    G = trainer.nets["G"].eval()
    with torch.no_grad():
        fake, real = G(batch["input"] / 255), batch["target"] / 255
    contents = []
    for number in range(3):
        step = trainer.updater.step_at((0, 0, "adversarial", "generator", number, 0), 0.0, slice(0, 2))
        assert trainer.seen(fake, step).shape == (2, 3, 16, 16)
        with torch.no_grad():
            terms = trainer.generator_loss(batch, step)
            content = trainer.distance(trainer.seen(fake, step), trainer.seen(real, step)).mean()
        contents.append(value(terms["content"]))
        assert contents[-1] == pytest.approx(30 * content.item(), rel=1e-4)
        assert terms["pixel"] == pytest.approx(
            10 * trainer.weighted_error(fake, real, batch["input"][:, 3:] / 255).item()
        )
        assert np.isfinite(value(trainer.discriminator_loss(batch, step)["adversarial"]))
    assert len({*contents}) == 3


def test_a_patch_without_a_hole_counts_as_real(photos: Path) -> None:
    """D is to learn holes, not the difference between G's copy of known pixels and these."""
    trainer = prepared(photos)
    batch = Stream(trainer.data, 2, slice(0, 2), ("a",)).at(0)
    batch["input"][:, 3] = 0
    batch["input"][:, 3, :3, :3] = 255  # the first quarter alone
    step = trainer.updater.step_at((0, 0, "adversarial", "discriminator", 0, 0), 0.0, slice(0, 2))
    head: Any = trainer.nets["D"].head
    head.weight.data.zero_()
    head.bias.data.fill_(4.0)
    loss = value(trainer.discriminator_loss(batch, step)["adversarial"])
    low, high = np.log1p(np.exp(-4)), np.log1p(np.exp(4))
    assert loss == pytest.approx(low + (3 * low + high) / 4, rel=1e-5)


# ---------------------------------------------------------------------------------------------------- runs


def test_a_run_is_measured_and_its_model_fills_holes(photos: Path, tmp_path: Path) -> None:
    config = replace(PRESETS["tiny"], data=str(photos), test=(str(photos),), **SMALL)
    run = Run(out=str(tmp_path / "run"), device="cpu", precision="fp32")
    evaluation = InpaintingTrainer(config, run).fit().evaluate()
    rows = evaluation.rows
    assert list(rows) == ["mean_colour", "biharmonic", "smooth", "pretrain/last", "adversarial/last"]
    metrics = {name.partition("/")[2] for name in rows["biharmonic"]}
    assert metrics == {"psnr_hole", "seam", "ssim_y", "efficientnet_lite0"} == {*evaluation.definitions}
    assert rows["biharmonic"]["photos-thin/psnr_hole"] > rows["mean_colour"]["photos-thin/psnr_hole"]
    assert rows["mean_colour"]["photos-thick/seam"] > rows["biharmonic"]["photos-thick/seam"]
    model: Any = multigen.load(tmp_path / "run")
    assert isinstance(model, Inpainter) and model.crop == 32
    image, hole = tiny.pixels(40, 40), np.zeros((40, 40), bool)
    hole[10:20, 10:20] = True
    filled = model.inpaint(image, hole, dilate=0)
    assert np.array_equal(filled[~hole], image[~hole]) and not np.array_equal(filled, image)
    card = (tmp_path / "run" / "model" / "README.md").read_text()
    assert "multigen restore photo.jpg --mask mask.png --model MODEL" in card and "model.inpaint(" in card


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop": 100}, "crop 100: expected a multiple of 16"),
        ({"crop": 16}, "crop 16: expected 32"),
        ({"halvings": 9}, "halvings 9"),
        ({"discriminator_width": 6}, "discriminator_width 6: expected a multiple of 4"),
        ({"pretrain_steps": 0, "steps": 0}, "nothing to train"),
        ({"penalty": -1.0}, "penalty -1"),
        ({"low": "small/"}, None),
    ],
)
def test_settings_are_checked(change: dict[str, Any], message: str | None) -> None:
    if message is None:  # a run of pairs: refused when the data are opened
        config = replace(PRESETS["tiny"], **change)
        with pytest.raises(ConfigError, match="inpainting makes its inputs itself"):
            InpaintingTrainer(config, Run(device="cpu", precision="fp32")).prepare()
        return
    with pytest.raises(ConfigError, match=message):
        InpaintingConfig(**change)


def test_settings_of_enlarging_alone_are_refused() -> None:
    with pytest.raises(ConfigError, match="gradient_weight 16: inpainting has none"):
        InpaintingConfig(gradient_weight=16.0)
