"""SRGAN: the networks as published, the losses in closed form, who is trained by what, presets, the
choice of the best."""

import dataclasses
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from multigen.engine import Run
from multigen.errors import ConfigError
from multigen.image.restoration.denoise import DenoiseConfig
from multigen.image.restoration.networks import VGGDiscriminator
from multigen.image.restoration.srgan import (
    PRESETS,
    CompactGenerator,
    SRGANConfig,
    SRGANTrainer,
    SRResNet,
)
from tests.cases import few
from tests.tiny import SETTINGS, photos

GENERATORS = [SRResNet, CompactGenerator]


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def convolutions(network: nn.Module) -> list[tuple[int, int, int, int]]:
    """(channels in, channels out, side of the kernel, stride) in their order."""
    result = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert all(m.padding == (m.kernel_size[0] // 2,) * 2 for m in result)
    return [(m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0]) for m in result]


def number_of(network: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(m, kind) for m in network.modules())


# -- networks ----------------------------------------------------------------------------------------------------


def test_srresnet_has_the_layers_of_the_paper() -> None:
    network = SRResNet(scale=4, blocks=16, width=64)
    body, up = [(64, 64, 3, 1)] * (2 * 16 + 1), [(64, 256, 3, 1)] * 2
    assert convolutions(network) == [(3, 64, 9, 1), *body, *up, (64, 3, 9, 1)]
    assert number_of(network, nn.BatchNorm2d) == 2 * 16 + 1
    assert number_of(network, nn.PReLU) == 1 + 16 + 2
    assert [m.upscale_factor for m in network.modules() if isinstance(m, nn.PixelShuffle)] == [2, 2]
    block = 2 * (64 * 64 * 9 + 64) + 2 * 2 * 64 + 1  # two convolutions, two batch norms, one PReLU
    ends = (3 * 64 * 81 + 64) + 1 + (64 * 3 * 81 + 3)
    assert count(network) == 16 * block + (64 * 64 * 9 + 64 + 2 * 64) + 2 * (64 * 256 * 9 + 256 + 1) + ends == 1_549_462


def test_srresnet_has_its_skip_connections() -> None:
    network = SRResNet(scale=2, blocks=2, width=4).eval()
    image = torch.rand(1, 3, 6, 7)
    for norm in (m for m in network.body.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.zeros_(norm.weight)
    inside = network.head(image)
    assert torch.equal(network.body[0](inside), inside)  # a block whose last batch norm gives 0
    assert torch.equal(network(image), network.tail(inside))  # the long skip
    nn.init.ones_(network.body[-1].bias)  # pyright: ignore[reportArgumentType]
    torch.testing.assert_close(network(image), network.tail(inside + 1))


def test_compact_generator_adds_to_bilinear_interpolation() -> None:
    network = CompactGenerator(scale=3, blocks=2, width=4)
    assert convolutions(network) == [(3, 4, 3, 1), *[(4, 4, 3, 1)] * 4, (4, 4, 3, 1), (4, 27, 3, 1)]
    assert count(network) == (3 * 4 * 9 + 4) + 5 * (4 * 4 * 9 + 4) + (4 * 27 * 9 + 27)
    assert number_of(network, nn.BatchNorm2d) == 0
    image = torch.rand(2, 3, 5, 6)
    nn.init.zeros_(network.tail.weight)
    nn.init.zeros_(network.tail.bias)  # pyright: ignore[reportArgumentType]
    torch.testing.assert_close(network(image), F.interpolate(image, scale_factor=3, mode="bilinear"))
    with torch.no_grad():
        network.tail.bias[:9] = torch.arange(9) / 10  # pyright: ignore[reportOptionalSubscript]
    red = (network(image) - F.interpolate(image, scale_factor=3, mode="bilinear"))[0, 0, :3, :3]
    torch.testing.assert_close(red, torch.arange(9).view(3, 3) / 10)


@pytest.mark.parametrize("kind", GENERATORS)
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_generators_enlarge_by_their_scale(kind: type[SRResNet | CompactGenerator], scale: int) -> None:
    assert kind(scale, 1, 4)(torch.rand(2, 3, 5, 7)).shape == (2, 3, 5 * scale, 7 * scale)


@pytest.mark.parametrize("scale", [-2, 0, 1, 5, 6, 16])
def test_other_scales_are_refused(scale: int) -> None:
    with pytest.raises(ConfigError, match=f"scale {scale}: the network has x2, x3, x4 and x8"):
        SRGANConfig(scale=scale, crop=240)


@pytest.mark.parametrize("kind", GENERATORS)
@pytest.mark.parametrize(("scale", "blocks"), [(2, 1), (3, 2), (4, 1), (8, 1)])
def test_no_pixel_depends_on_another_beyond_the_radius(kind: type, scale: int, blocks: int) -> None:
    """Measured: the farthest pixel of the input that has a gradient from the pixels of one place of
    the output."""
    torch.manual_seed(0)
    network = kind(scale, blocks, 4).double().eval()
    radius: int = network.radius
    centre = radius + 3
    image = torch.rand(1, 3, 2 * centre + 1, 2 * centre + 1, dtype=torch.float64, requires_grad=True)
    seen = slice(scale * centre, scale * (centre + 1))
    network(image)[..., seen, seen].square().sum().backward()
    assert image.grad is not None
    rows, columns = image.grad[0].abs().sum(0).nonzero().T
    reach = int(torch.maximum((rows - centre).abs(), (columns - centre).abs()).max())
    # The last layers of SRResNet look at the enlarged image, for which its radius, in pixels of the input, is generous.
    assert reach == radius if kind is CompactGenerator else radius - 5 <= reach <= radius


def test_discriminator_has_the_layers_of_the_paper() -> None:
    network = VGGDiscriminator(crop=96, width=64)
    channels = [3, 64, 64, 128, 128, 256, 256, 512, 512]
    pairs = list(pairwise(channels))
    assert convolutions(network) == [(a, b, 3, 1 + i % 2) for i, (a, b) in enumerate(pairs)]
    assert [m.num_features for m in network.modules() if isinstance(m, nn.BatchNorm2d)] == channels[2:]
    assert [m.negative_slope for m in network.modules() if isinstance(m, nn.LeakyReLU)] == [0.2] * 9
    dense = [(m.in_features, m.out_features) for m in network.modules() if isinstance(m, nn.Linear)]
    assert dense == [(512 * 6 * 6, 1024), (1024, 1)]
    # Batch norm has a bias of its own, so the convolutions before it need none.
    convolution = 64 + sum(9 * a * b for a, b in pairs)
    assert count(network) == convolution + 2 * sum(channels[2:]) + (512 * 36 + 1) * 1024 + 1025
    assert network(torch.rand(2, 3, 96, 96)).shape == (2,)


def test_discriminator_sees_images_around_zero() -> None:
    network, seen = VGGDiscriminator(16, 4), []
    network.features.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 3, 16, 16))
    assert seen[0][0].unique().tolist() == [-1] and seen[0][1].unique().tolist() == [1]


def test_discriminator_without_batch_norm() -> None:
    network = VGGDiscriminator(32, 4, norm=False)
    assert number_of(network, nn.BatchNorm2d) == 0
    assert all(m.bias is not None for m in network.modules() if isinstance(m, nn.Conv2d))
    assert network(torch.rand(3, 3, 32, 32)).shape == (3,)


@pytest.mark.parametrize(("crop", "scale"), [(40, 4), (0, 4), (-16, 4), (64, 3)])
def test_crops_are_multiples_of_16_and_of_the_scale(crop: int, scale: int) -> None:
    with pytest.raises(ConfigError, match=f"crop {crop}: expected a multiple of 16, and of the scale {scale}"):
        SRGANConfig(crop=crop, scale=scale)


# -- losses ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photos(tmp_path_factory.mktemp("srgan") / "photos", count=10)


@pytest.fixture(scope="module")
def vgg19(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Sequential, str]:
    """torchvision's whole VGG19 with random weights that keep the scale of the signal, and the same
    as a file."""
    from torchvision.models.vgg import cfgs, make_layers

    torch.manual_seed(0)
    with torch.device("meta"):
        features = make_layers(cfgs["E"])
    features.to_empty(device="cpu").requires_grad_(False)
    for layer in features:
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            layer.weight.normal_(std=(2 / layer.weight[0].numel()) ** 0.5)
            layer.bias.normal_(std=0.1)
    path = tmp_path_factory.mktemp("vgg19") / "vgg19.safetensors"
    save_file(features.state_dict(), path)
    return features, str(path)


def prepared(data: Path, **changes: Any) -> SRGANTrainer:
    config = SRGANConfig(data=str(data), test=(str(data),), **{**SETTINGS, "validation_size": 0, **changes})
    trainer = SRGANTrainer(config, Run(device="cpu", precision="fp32"))
    trainer.prepare()
    return trainer


def batch_of(trainer: SRGANTrainer) -> dict[str, Tensor]:
    """uint8 images, "input" (2, 3, 8, 8) and "target" (2, 3, 32, 32)."""
    draw = torch.Generator().manual_seed(1)
    return {
        "input": torch.randint(0, 256, (2, 3, 8, 8), generator=draw, dtype=torch.uint8),
        "target": torch.randint(0, 256, (2, 3, 32, 32), generator=draw, dtype=torch.uint8),
    }


def step_of(trainer: SRGANTrainer) -> Any:
    return trainer.updater.step_at((0, 0, "adversarial", "generator", 0, 0), 0.0, slice(0, 2))


@pytest.mark.parametrize("kind", ["mse", "l1"])
def test_pixel_loss(data: Path, kind: Any) -> None:
    trainer = prepared(data, pixel=kind, steps=0)
    batch = batch_of(trainer)
    error = trainer.G(batch["input"] / 255) - batch["target"] / 255
    terms = trainer.pixel_loss(batch, step_of(trainer))
    assert terms.keys() == {"pixel"}
    torch.testing.assert_close(terms["pixel"], (error**2 if kind == "mse" else error.abs()).mean())
    terms["pixel"].backward()  # pyright: ignore[reportAttributeAccessIssue]
    assert all(p.grad is not None and p.grad.any() for p in trainer.G.parameters())


def test_discriminator_loss(data: Path) -> None:
    trainer = prepared(data)
    batch = batch_of(trainer)
    real = trainer.D(batch["target"] / 255)
    fake = trainer.D(trainer.G(batch["input"] / 255))
    terms = trainer.discriminator_loss(batch, step_of(trainer))
    assert terms.keys() == {"adversarial"}
    expected = -(real.sigmoid().log().mean() + (1 - fake.sigmoid()).log().mean())
    torch.testing.assert_close(terms["adversarial"], expected)


@pytest.mark.parametrize(
    "content", few(["mse", "vgg22", "vgg54", "efficientnet_lite0"], "mse", "vgg22", "efficientnet_lite0")
)
def test_generator_loss(data: Path, vgg19: tuple[nn.Sequential, str], content: Any) -> None:
    features, file = vgg19
    weights = {"content_weight": 0.7, "pixel_weight": 0.3, "adversarial_weight": 0.05}
    given = {"perceptual_weights": file} if content.startswith("vgg") else {}
    trainer = prepared(data, content=content, pixel="l1", **weights, **given)
    batch = batch_of(trainer)
    fake, real = trainer.G(batch["input"] / 255), batch["target"] / 255
    terms = trainer.generator_loss(batch, step_of(trainer))

    if content == "mse":
        expected = (fake - real).square().mean()
    elif content == "efficientnet_lite0":
        from multigen.image.backbones import EfficientNetLite0

        pairs = zip(EfficientNetLite0()(fake), EfficientNetLite0()(real), strict=True)
        expected = (2 - 2 * torch.stack([F.cosine_similarity(x, y, dim=1).mean() for x, y in pairs])).mean()
    else:
        layers = features[: {"vgg22": 9, "vgg54": 36}[content]]
        mean = torch.tensor([123.68, 116.779, 103.939]).view(3, 1, 1)
        expected = ((layers(255 * fake - mean) - layers(255 * real - mean)) / 12.75).square().mean()
    assert terms.keys() == {"content", "adversarial", "pixel"}
    tolerance = {"rtol": 1e-2 if content == "efficientnet_lite0" else 1e-4, "atol": 0}
    torch.testing.assert_close(terms["content"], 0.7 * expected, **tolerance)
    torch.testing.assert_close(terms["adversarial"], -0.05 * trainer.D(fake).sigmoid().log().mean())
    torch.testing.assert_close(terms["pixel"], 0.3 * (fake - real).abs().mean())

    # No term is cut off from the generator, and the content loss pulls in the direction of its closed form.
    parameters = [*trainer.G.parameters()]
    for term in terms.values():
        assert isinstance(term, Tensor)
        gradients = torch.autograd.grad(term, parameters, retain_graph=True)
        assert all(g.isfinite().all() and g.any() for g in gradients)
    ours = torch.autograd.grad(terms["content"], parameters, retain_graph=True)  # pyright: ignore
    theirs = torch.autograd.grad(0.7 * expected, parameters)
    flat = [torch.cat([g.flatten() for g in gradients]) for gradients in (ours, theirs)]
    assert F.cosine_similarity(*flat, dim=0) > 0.999


def test_the_paper_has_no_pixel_loss_in_its_second_stage(data: Path) -> None:
    trainer = prepared(data, pixel_weight=0.0)
    assert trainer.generator_loss(batch_of(trainer), step_of(trainer)).keys() == {"content", "adversarial"}


def test_discriminator_and_content_loss_see_the_same_shifted_part_of_crops(data: Path) -> None:
    trainer = prepared(data, shift=16, pixel_weight=0.0)
    batch, step = batch_of(trainer), step_of(trainer)
    seen = trainer.seen(batch["target"], step)
    places = [
        (top, left)
        for top in range(16)
        for left in range(16)
        if torch.equal(seen, batch["target"][:, :, top : top + 16, left : left + 16])
    ]
    assert len(places) == 1
    fake = trainer.seen(trainer.G(batch["input"] / 255), step)
    terms = trainer.generator_loss(batch, step)
    torch.testing.assert_close(terms["content"], trainer.distance(fake, seen / 255).mean())
    torch.testing.assert_close(terms["adversarial"], -1e-3 * trainer.D(fake).sigmoid().log().mean())
    later = trainer.updater.step_at((0, 0, "adversarial", "generator", 1, 0), 0.0, slice(0, 2))
    assert not torch.equal(trainer.seen(batch["target"], later), seen)


def test_the_gradient_loss_compares_the_lengths_of_gradients(data: Path) -> None:
    trainer = prepared(data, gradient_weight=2.0)
    batch = batch_of(trainer)
    terms = trainer.generator_loss(batch, step_of(trainer))
    lengths = []
    for image in (trainer.G(batch["input"] / 255), batch["target"] / 255):
        down, across = image[:, :, 1:, 1:] - image[:, :, :-1, 1:], image[:, :, 1:, 1:] - image[:, :, 1:, :-1]
        lengths.append(torch.hypot(down, across))
    torch.testing.assert_close(terms["gradient"], 2 * (lengths[0] - lengths[1]).abs().mean(), rtol=1e-3, atol=0)


def test_the_grid_loss_is_that_of_the_enlargement(data: Path) -> None:
    trainer = prepared(data, grid_weight=3.0)
    batch = batch_of(trainer)
    terms = trainer.generator_loss(batch, step_of(trainer))
    difference = trainer.G(batch["input"] / 255) - batch["target"] / 255  # (2, 3, 32, 32), of 8 x 8 squares
    means = difference.unflatten(3, (8, 4)).unflatten(2, (8, 4)).mean((2, 4)).flatten(2)  # (2, 3, 16)
    torch.testing.assert_close(terms["grid"], 3 * means.std(2, correction=0).mean(), rtol=1e-3, atol=0)


def test_without_an_enlargement_there_is_no_grid() -> None:
    with pytest.raises(ConfigError, match="grid_weight 3: nothing is enlarged"):
        DenoiseConfig(grid_weight=3.0)


@pytest.mark.parametrize(("shift", "crop"), [(8, 96), (96, 96), (-16, 96)])
def test_a_shift_leaves_16_pixels_and_fits_the_discriminator(shift: int, crop: int) -> None:
    with pytest.raises(ConfigError, match=f"shift {shift}"):
        SRGANConfig(crop=crop, shift=shift)


def weights_of(network: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in network.parameters()]


@pytest.mark.parametrize(("update", "trained", "left"), [(0, "D", "G"), (1, "G", "D")])
def test_an_update_trains_its_own_network_only(data: Path, update: int, trained: str, left: str) -> None:
    """In the engine: every parameter of the one has a gradient and moves, the other has none and
    stays."""
    trainer = prepared(data, lr=1e-2)
    trainer.state.number = 1
    trainer.enter(trainer.stage)
    trainer.updater.set_hyperparameters(0.0)
    before = {name: weights_of(net) for name, net in trainer.nets.items()}
    trainer.updater.fire(trainer.stage, trainer.stage.updates[update], 0, 0.0)
    moved = {
        name: [not torch.equal(a, b) for a, b in zip(before[name], weights_of(net), strict=True)]
        for name, net in trainer.nets.items()
    }
    assert all(moved[trained]) and not any(moved[left])
    assert all(p.grad is not None and p.grad.any() for p in trainer.nets[trained].parameters())
    assert all(p.grad is None for p in trainer.nets[left].parameters())


# -- presets and stages ------------------------------------------------------------------------------------------


def planned(config: SRGANConfig) -> SRGANTrainer:
    """A trainer that knows its stages, without data."""
    trainer = SRGANTrainer(config)
    trainer.validation = None
    trainer.plan = [stage for stage in trainer.stages() if stage.steps]
    return trainer


def test_the_paper_preset_is_the_paper() -> None:
    c = PRESETS["paper"]
    assert (c.generator, c.blocks, c.width, c.discriminator_width, c.discriminator_norm) == (
        "srresnet",
        16,
        64,
        64,
        True,
    )
    assert (c.scale, c.crop, c.batch, c.pixel, c.content) == (4, 96, 16, "mse", "vgg54")
    assert (c.content_weight, c.adversarial_weight, c.pixel_weight) == (1.0, 1e-3, 0.0)
    trainer = planned(c)
    first, second = trainer.plan
    assert (first.name, first.steps, second.name, second.steps) == ("pretrain", 1_000_000, "adversarial", 200_000)
    assert [list(u.trains) for u in first.updates] == [["G"]]
    assert [list(u.trains) for u in second.updates] == [["D"], ["G"]]
    rates = [[trainer.spec(stage, "G").settings(p) for p in (0.0, 0.499, 0.5, 0.999)] for stage in trainer.plan]
    assert [settings["lr"] for settings in rates[0]] == [1e-4] * 4
    assert [settings["lr"] for settings in rates[1]] == pytest.approx([1e-4, 1e-4, 1e-5, 1e-5])
    assert all(settings["betas"] == (0.9, 0.999) for stage in rates for settings in stage)
    assert trainer.averaged() == {}


def test_learning_rates_of_the_other_presets() -> None:
    trainer = planned(PRESETS["default"])
    first, second = trainer.plan
    rates = [trainer.spec(first, "G").settings(p)["lr"] for p in (0.0, 0.5, 1.0)]
    assert rates == pytest.approx([1e-3, 5e-4, 0])
    assert trainer.spec(second, "D").settings(0.7)["lr"] == pytest.approx(1e-5)
    assert trainer.averaged() == {"G": 0.999}


def test_a_stage_of_no_steps_is_left_out() -> None:
    assert [s.name for s in planned(SRGANConfig(steps=0)).plan] == ["pretrain"]
    assert [s.name for s in planned(SRGANConfig(pretrain_steps=0)).plan] == ["adversarial"]


def test_nothing_to_train_is_refused() -> None:
    with pytest.raises(ConfigError, match="pretrain_steps 0, steps 0: nothing to train"):
        SRGANConfig(steps=0, pretrain_steps=0)


@pytest.mark.slow
def test_tiny_trains_in_seconds_on_the_embedded_photographs(tmp_path: Path) -> None:
    """As `python -m multigen.recipes.srgan tiny` does."""
    trainer = SRGANTrainer(PRESETS["tiny"], Run(out=str(tmp_path / "run"), device="cpu")).fit()
    rows = trainer.evaluate().rows
    assert list(rows) == ["bicubic", "pretrain/last", "adversarial/last"]
    names = [f"embedded-held-out/{m}" for m in (*SRGANTrainer.metrics, "efficientnet_lite0")]
    assert all(list(row) == names for row in rows.values())
    assert trainer.step == 24 and trainer.state.scalars["seconds"] < 30


# -- the best ----------------------------------------------------------------------------------------------------


class Contrary(SRGANTrainer):
    """Calls the better worse, so that the best of a stage is not its last."""

    def validate(self, nets: Any) -> dict[str, float]:
        return {metric: -value for metric, value in super().validate(nets).items()}


@pytest.mark.parametrize(
    ("content", "kind"),
    few([("efficientnet_lite0", SRGANTrainer), ("efficientnet_lite0", Contrary), ("mse", Contrary)], ("mse", Contrary)),
)
def test_the_best_of_each_stage_is_chosen_on_photographs_held_out(
    data: Path, tmp_path: Path, content: Any, kind: type[SRGANTrainer]
) -> None:
    changes = {"validation_size": 3, "content": content, "pretrain_steps": 6, "steps": 6, "lr": 1e-2, "ema": 0.0}
    config = SRGANConfig(data=str(data), test=(str(data),), **{**SETTINGS, **changes})
    run = Run(out=str(tmp_path / "run"), device="cpu", precision="fp32", validate_every=2)
    trainer = kind(config, run).fit()
    assert trainer.validation is not None
    assert len(trainer.validation.names) == 1  # at most a tenth of ten
    assert set(trainer.validation.names).isdisjoint(photo.name for photo in trainer.data.photos)  # pyright: ignore

    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    seen = {line["step"]: line["validation"] for line in lines if "validation" in line}
    assert list(seen) == [2, 4, 6, 8, 10, 12]
    best = max((2, 4, 6), key=lambda step: seen[step]["psnr_y"])
    assert trainer.state.scalars["best_step/pretrain"] == best
    best = min((8, 10, 12), key=lambda step: seen[step]["efficientnet_lite0"])
    assert trainer.state.scalars["best_step/adversarial"] == best
    assert kind is SRGANTrainer or best < 12
    model = load_file(tmp_path / "run" / "model" / "G.safetensors")
    there = load_file(tmp_path / "run" / "checkpoints" / f"step-{best:09d}" / "G.safetensors")
    assert all(torch.equal(model[name], there[name]) for name in there)
    rows = trainer.evaluate().rows
    assert list(rows) == ["bicubic", *(f"{s}/{w}" for s in ("pretrain", "adversarial") for w in ("last", "best"))]


@pytest.mark.slow
def test_vgg_is_measured_as_well_where_its_weights_are_given(
    data: Path, tmp_path: Path, vgg19: tuple[nn.Sequential, str]
) -> None:
    config = SRGANConfig(data=str(data), test=(str(data),), perceptual_weights=vgg19[1], **SETTINGS)
    config = dataclasses.replace(config, validation_size=0, steps=1, pretrain_steps=1)
    trainer = SRGANTrainer(config, Run(out=str(tmp_path / "run"), device="cpu", precision="fp32")).fit()
    evaluation = trainer.evaluate()
    names = {*SRGANTrainer.metrics, "efficientnet_lite0", "vgg22", "vgg34"}
    assert evaluation.definitions.keys() == names
    assert all(row.keys() == {f"photos/{name}" for name in names} for row in evaluation.rows.values())
    assert (tmp_path / "run" / "comparison.png").stat().st_size > 0
