"""StyleGAN2: its layers against their formulas, its sizes, styles, losses and adaptive
augmentation."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, softplus

import multigen
from multigen.data.clusters import find_centres
from multigen.engine import Run
from multigen.errors import ConfigError
from multigen.image.resample import Blur, Downsample
from multigen.image.synthesis import evaluator, style_layers
from multigen.image.synthesis.grids import grid_of
from multigen.image.synthesis.style_layers import Deviation, DownBlock, EqualConv, EqualLinear, StyleConv, normalised
from multigen.image.synthesis.stylegan2 import (
    PRESETS,
    Discriminator,
    Generator,
    StyleGAN2Config,
    StyleGAN2Trainer,
)
from multigen.losses import penalties
from multigen.runs.runner import main
from multigen.tasks.synthesis.extractors import Extractor
from tests import tiny
from tests.cases import few
from tests.tiny import Stop

SMALL: dict[str, Any] = {"size": 16, "batch": 8, "steps": 8, "samples": 20, "validation_size": 0, "labels": "none"}
RUN = Run(device="cpu", precision="fp32", log_every=4)


@pytest.fixture(autouse=True)
def quick_features(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Features that need no network, but in the slow tests."""
    if request.node.get_closest_marker("slow") is None:
        quick = Extractor(lambda image: (image.float().mean((2, 3)), None))
        monkeypatch.setattr(evaluator, "open_extractor", lambda *arguments: quick)
        monkeypatch.setenv("MULTIGEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """24 images with opacity, half of them in another class."""
    for i in range(24):
        place = tmp_path / "p" / ("a", "b")[i % 2] / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(tiny.pixels(16, 24, seed=i))
        picture.putalpha(Image.fromarray(tiny.pixels(16, 24, seed=100 + i)).convert("L"))
        picture.save(place)
    return tmp_path / "p"


def trainer(folder: Path, out: str = "run", **settings: Any) -> StyleGAN2Trainer:
    config = replace(PRESETS["tiny"], data=str(folder), **{**SMALL, **settings})
    return StyleGAN2Trainer(config, replace(RUN, out=str(folder.parent / out)))


class Draws:
    """A step of rows `first` to `first` + `rows` - 1 that gives the same numbers each time."""

    dtype, progress, device = torch.float32, 0.5, torch.device("cpu")

    def __init__(self, first: int = 0, rows: int = 4):
        self.rows, self.logged = slice(first, first + rows), dict[str, Tensor]()

    def rng(self, stream: str) -> torch.Generator:
        return torch.Generator().manual_seed(len(stream))

    def randn(self, stream: str, *shape: int) -> Tensor:
        return torch.randn(16, *shape, generator=self.rng(stream))[self.rows]

    def rand(self, stream: str, *shape: int) -> Tensor:
        return torch.rand(16, *shape, generator=self.rng(stream))[self.rows]

    def log(self, name: str, value: Tensor) -> None:
        self.logged[name] = value


# ---------------------------------------------------------------------------------------------------- layers


@pytest.mark.parametrize("up", [False, True])
def test_a_style_scales_the_weights_of_each_image(up: bool) -> None:
    layer = StyleConv(5, 6, 7, (16, 16) if up else (8, 8), up).double()
    for parameter in (layer.bias, layer.strength):
        nn.init.normal_(parameter)
    x, w = torch.randn(3, 6, 8, 8).double(), torch.randn(3, 5).double()
    noise = torch.randn(3, 1, *layer.noise.shape[2:]).double()
    result = layer(x, w, noise)
    for i in range(3):  # equations 1 and 3 of the paper
        weight = layer.weight / math.sqrt(9 * 6) * layer.style(w)[i, :, None, None]
        weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        alone = x[i : i + 1]
        if up:
            alone = 4 * Blur.apply(conv_transpose2d(alone, weight.transpose(0, 1), stride=2), 1)
        else:
            alone = conv2d(alone, weight, padding=1)
        expected = alone + noise[i] * layer.strength + layer.bias[:, None, None]
        expected = torch.where(expected > 0, expected, 0.2 * expected) * math.sqrt(2)
        torch.testing.assert_close(result[i : i + 1], expected)
    assert torch.equal(layer(x, w, None), layer(x, w, layer.noise.expand(3, -1, -1, -1)))


def test_weights_begin_at_one_size_and_are_scaled_when_used() -> None:
    slow = EqualLinear(400, 300, bias=1.0, rate=0.01)
    assert abs(slow.weight.std().item() - 100) < 2 and slow.bias[0] == 100
    x = torch.randn(200, 400)
    assert abs(slow(x).std().item() - 1) < 0.03 and abs(slow(torch.zeros(1, 400)).mean().item() - 1) < 1e-5
    conv = EqualConv(40, 50, 3, bias=False)
    assert abs(conv(torch.randn(4, 40, 16, 16))[..., 1:-1, 1:-1].std().item() - math.sqrt(2)) < 0.06
    torch.testing.assert_close(normalised(3 * x).square().mean(1), torch.ones(200))


def test_a_residual_block_adds_halves_of_equal_variance() -> None:
    block, x = DownBlock(6, 9), torch.randn(2, 6, 8, 8)
    assert block.skip is not None
    weight = block.skip.weight.flatten(1) / math.sqrt(6)
    skip = torch.einsum("ab,nbhw->nahw", weight, Downsample.apply(x)) * math.sqrt(0.5)
    main = DownBlock(6, 9, residual=False)
    main.load_state_dict(block.state_dict(), strict=False)
    torch.testing.assert_close(block(x), main(x) * math.sqrt(0.5) + skip)
    assert block(x).shape == (2, 9, 4, 4)


def test_blurring_is_symmetric_and_has_both_derivatives() -> None:
    x, y = torch.randn(1, 2, 5, 6).double().requires_grad_(), torch.randn(1, 2, 4, 5).double()
    torch.testing.assert_close((Blur.apply(x, 1) * y).sum(), (x * Blur.apply(y, 2)).sum())
    for check in (torch.autograd.gradcheck, torch.autograd.gradgradcheck):
        assert check(lambda x: Blur.apply(x, 2), x)


def test_the_deviation_is_that_of_each_group() -> None:
    x = torch.randn(6, 3, 4, 5)
    seen = Deviation(4)(x)
    assert torch.equal(seen[:, :3], x) and seen.shape == (6, 4, 4, 5)
    for rows in (slice(0, 3), slice(3, 6)):  # six rows are two groups of three
        expected = x[rows].std(0, correction=0).mean()
        torch.testing.assert_close(seen[rows, 3], expected.expand(3, 4, 5))


def test_in_use_a_score_does_not_depend_on_the_other_images() -> None:
    """They have the mean of the deviations of training, which using D leaves as it is."""
    layer, batches = Deviation(4), torch.randn(3, 4, 2, 5, 5)
    mean = torch.stack([layer(x)[0, 2, 0, 0] for x in batches]).mean()
    torch.testing.assert_close(layer.eval()(batches[0])[:, 2], mean.expand(4, 5, 5))
    assert torch.equal(layer(batches[0])[:1], layer(batches[0][:1])) and layer.seen == 3
    D = Discriminator(PRESETS["tiny"], 3)
    images = torch.randn(4, 3, 32, 32)
    assert (D(images)[:1] - D(images[:1])).abs() > 1e-4
    torch.testing.assert_close(D.eval()(images)[:1], D(images[:1]))


# ---------------------------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize("grid", [(4, 4, 2), (7, 7, 2), (4, 6, 4), (4, 4, 8), (16, 4, 2), (5, 16, 3)])
def test_sizes_double_a_small_grid(grid: tuple[int, int, int]) -> None:
    rows, columns, doublings = grid
    assert grid_of(rows << doublings, columns << doublings) == grid


def test_networks_of_another_shape_than_a_square() -> None:
    c = replace(PRESETS["tiny"], size=32, image_width=48)
    assert c.grid == (4, 6, 3) and c.shapes[0] == (4, 6) and c.shapes[-2:] == [(32, 48), (32, 48)]
    made, taken = Generator(c, 4, classes=2), Discriminator(c, 4, classes=2)
    image = made(torch.randn(2, c.latent), torch.tensor([0, 1]))
    assert image.shape == (2, 4, 32, 48) and taken(image, torch.tensor([0, 1])).shape == (2,)


def test_classes_pass_eight_layers_in_d_whatever_g_has() -> None:
    """As in the authors' code, where the number of layers is a setting of G alone."""
    for c in (PRESETS["tiny"], replace(PRESETS["tiny"], mapping_layers=3)):
        made, taken = Generator(c, 3, classes=2), Discriminator(c, 3, classes=2)
        label: Any = taken.label
        assert len(label.layers) == 8
        assert len(made.map.layers) == c.mapping_layers


def test_the_channels_and_weights_of_the_paper_and_of_a_small_cpu() -> None:
    paper, small = (Generator(PRESETS[name], 3) for name in ("paper", "laptop"))
    assert PRESETS["paper"].widths == [512] * 5 + [256, 128, 64, 32]
    assert PRESETS["laptop"].widths == [128, 128, 128, 64, 32]
    assert sum(p.numel() for p in paper.parameters()) == 30_370_060  # 30 million in the paper
    assert sum(p.numel() for p in small.parameters()) == 1_094_520
    assert paper.synthesis.styles == 18


CASES = {
    "size": (["--size", "50"], "size 50: the network doubles .*; the nearest it has are 48 and 56"),
    "a size too small": (["--size", "15"], "size 15: .* nearest it has are 16 and 20"),
    "a size too large": (["--size", "2000"], "size 2000: .* nearest it has are 896 and 1024"),
    "aspect": (["--size", "64", "--image-width", "100"], "size 64 x 100: .* nearest it has are 64 x 96 and 64 x 112"),
    "nearly a square": (["--size", "32", "--image-width", "33"], "size 32 x 33: .* nearest it has are 32 x 28 and 32 x 32"),
    "too long": (["--size", "64", "--image-width", "300"], r"size 64 x 300: .* nearest it has are \d+ x \d+ and \d+ x \d+"),
    "channels": (["--channels", "2"], r"channels 2, .*: expected .*0, 1, 3 or \(with opacity\) 4 channels.*"),
    "augmentations": (["--augment", "bgcf"], "augment .*'bgcf'.* expected some of color,.*bgc"),
    "a probability": (["--augment-target", "1.5"], "augment_target 1.5"),
    "micro-batches": (["--accumulate", "2"], "update 'discriminator' couples rows: accumulate 2, expected 1"),
    "classes that are none": (["--conditional", "--labels", "none"], "has no labels"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_line_with_the_value_and_the_remedy(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder.parent)
    words, message = CASES[name]
    fixed = ["tiny", "--data", folder, "--features", "efficientnet_lite0", "--device", "cpu", "--precision", "fp32"]
    assert tiny._run(lambda: main(StyleGAN2Trainer, PRESETS), [*fixed, "--out", folder.parent / "run", *words]) == 2
    printed = capsys.readouterr()
    assert re.fullmatch(f"error: .*{message}.*\n", printed.err), printed.err
    assert not (folder.parent / "run").exists()


# ---------------------------------------------------------------------------------------------------- styles


def test_an_image_is_the_synthesis_of_the_styles_of_its_z() -> None:
    network = Generator(PRESETS["tiny"], 3, classes=3).eval()
    z, label = torch.randn(4, 16), torch.tensor([0, 1, 2, 1])
    w = network.mapping(z, label)
    assert w.shape == (4, network.synthesis.styles, 16)
    assert torch.equal(network.synthesis(w), network(z, label))
    assert torch.equal(w[:, :1].expand_as(w), w)
    other, late = torch.randn(4, 16), torch.arange(network.synthesis.styles) >= 5
    mixed = torch.cat([w[:, :5], network.mapping(other, label)[:, 5:]], 1)
    torch.testing.assert_close(network(z, label, mix=(other, late)), network.synthesis(mixed))


def test_the_average_style_is_the_mean_at_first_and_of_each_class() -> None:
    network = Generator(PRESETS["tiny"], 3, classes=3)
    z, label = torch.randn(6, 16), torch.tensor([0, 0, 2, 2, 2, 2])
    network.follow(z[:4], label[:4])
    w = network.map(z, label).detach()
    torch.testing.assert_close(network.average[0], w[:2].mean(0))
    network.follow(z[4:], label[4:])
    torch.testing.assert_close(network.average[2], (w[2:4].mean(0) + w[4:].mean(0)) / 2)
    assert network.seen.tolist() == [1, 0, 2] and not network.average[1].any()
    network.seen.fill_(1e6)
    before = network.average[2].clone()
    network.follow(z[4:], label[4:])
    torch.testing.assert_close(network.average[2], before.lerp(w[4:].mean(0), 0.005))


def test_truncation_moves_styles_towards_the_mean_of_their_class(folder: Path) -> None:
    made = trainer(folder, labels="", conditional=True, features="efficientnet_lite0", steps=2).fit()
    model: Any = multigen.load(str(made.folder))
    network = model.network
    assert network.seen.sum() > 0
    z, label = model.latents(4, seed=1), torch.tensor([0, 1, 0, 1])
    w = network.map(z, label)
    mean = network.average[label]
    torch.testing.assert_close(network.mapping(z, label, 0.3)[:, 0], mean + 0.3 * (w - mean))
    assert not torch.equal(model.sample(4, 1, truncation=0.3), model.sample(4, 1))
    assert torch.equal(model.sample(4, 1, truncation=1.0), model.sample(4, 1))
    assert model.interpolate(2, 3, truncation=0.5).shape == (6, 3, 16, 16)
    for act in (model.sample, model.interpolate):
        for psi in (0.0, -1.0, 1.5, math.nan, math.inf):
            with pytest.raises(ConfigError, match=rf"truncation {psi:g}: expected more than 0 and at most 1"):
                act(2, truncation=psi)
        with pytest.raises(ConfigError, match="class 'c' is unknown; choose from a, b"):
            act(2, label="c")


def test_truncation_moves_styles_towards_the_nearest_centre(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample does not depend on those beside it; other weights have other centres."""
    monkeypatch.setattr(style_layers, "MAPPED", 200)
    c = replace(PRESETS["tiny"], truncation_centres=5)
    made, z = Generator(c, 3).eval(), torch.randn(4, 16, generator=torch.Generator().manual_seed(1))
    for _ in range(2):
        drawn = torch.randn(200, 16, generator=torch.Generator().manual_seed(0))
        centres, w = find_centres(made.map(drawn, None).detach(), 5), made.map(z, None)
        expected = centres[torch.cdist(w.double(), centres).argmin(1)].float()
        torch.testing.assert_close(made.mapping(z, truncation=0.3)[:, 0], expected + 0.3 * (w - expected))
        torch.testing.assert_close(made.mapping(z[2:3], truncation=0.3)[0, 0], (expected + 0.3 * (w - expected))[2])
        with torch.no_grad():
            for weight in made.map.parameters():
                weight.mul_(1.5)
    assert not Generator(c, 3, classes=2).centres.count and not [key for key in made.state_dict() if "centre" in key]


# ---------------------------------------------------------------------------------------------------- losses


def prepared(folder: Path, **settings: Any) -> tuple[Any, dict[str, Tensor]]:
    made = trainer(folder, **settings)
    made.prepare()
    return made, {"image": made.splits.train.images[:4]}


def test_losses_are_those_of_the_paper(folder: Path) -> None:
    made, batch = prepared(folder, gamma=3.0, style_mixing=0.0)
    step: Any = Draws()
    real = batch["image"].float() / 127.5 - 1
    noise = [step.randn(f"noise/{i}", 1, *shape) for i, shape in enumerate(made.config.shapes)]
    fake = made.G(step.randn("z", 16), None, noise).detach()
    terms = made.discriminator_loss(batch, step)
    expected = softplus(-made.D(real)).mean() + softplus(made.D(fake)).mean()
    torch.testing.assert_close(terms["adversarial"], expected)
    torch.testing.assert_close(step.logged["real_signs"], made.D(real).sign())
    torch.testing.assert_close(made.generator_loss(batch, step)["adversarial"], softplus(-made.D(fake)).mean())
    torch.testing.assert_close(made.r1(batch, step)["r1"], 3 * penalties.r1(made.D, real))
    updates = {update.name: update for update in made.updates()}
    assert [*updates] == ["discriminator", "r1", "generator", "path_length"]
    assert (updates["r1"].every, updates["path_length"].every) == (16, 4)
    assert updates["r1"].lazy and updates["path_length"].lazy and all(u.couples for u in updates.values())


@pytest.mark.parametrize("first", [0, 3])
def test_the_path_length_is_that_of_every_second_image_of_the_whole_batch(folder: Path, first: int) -> None:
    made, batch = prepared(folder)
    step: Any = Draws(first)
    made.G.path_length.fill_(0.5)
    total, count = made.path_length(batch, step)["path_length"]
    whole: Any = Draws(0, 16)
    lengths = []
    for row in range(first + first % 2, first + 4, 2):
        z = whole.randn("z", 16)[row : row + 1]
        noise = [whole.randn(f"noise/{i}", 1, *shape)[row : row + 1] for i, shape in enumerate(made.config.shapes)]
        w = made.G.mapping(z).detach().requires_grad_()
        image = made.G.synthesis(w, noise)
        y = whole.randn("y", 3, 16, 16)[row : row + 1] / 16
        (gradient,) = torch.autograd.grad((image * y).sum(), w)
        lengths.append(gradient.square().sum(2).mean().sqrt())
    expected = torch.stack(lengths)
    mean = 0.99 * 0.5 + 0.01 * expected.mean()
    torch.testing.assert_close(made.G.path_length, mean)
    assert count == 2
    torch.testing.assert_close(total, 2.0 * (expected - mean).square().sum())


def test_styles_are_mixed_for_the_whole_batch_or_not_at_all(folder: Path) -> None:
    made, _ = prepared(folder, style_mixing=1.0)
    places = set()
    for seed in range(60):
        step: Any = Draws()
        step.rng = lambda stream, seed=seed: torch.Generator().manual_seed(seed)
        _, late = made.mix(step)
        first = int(late.long().argmax())
        assert torch.equal(late, torch.arange(len(late)) >= first) and late.any()
        places.add(first)
    assert places == set(range(1, made.G.synthesis.styles))
    assert prepared(folder, out="other", style_mixing=0.0)[0].mix(Draws()) is None


# ---------------------------------------------------------------------------------------------------- runs


ADAPTIVE: dict[str, Any] = {
    "augment": "bgc",
    "augment_share": 0.2,
    "augment_target": 0.1,
    "augment_speed": 0.2,
    "steps": 14,
}


def test_adaptive_augmentation_moves_and_a_resume_continues_it_bit_for_bit(folder: Path) -> None:
    whole = trainer(folder, **ADAPTIVE)
    values: list[float] = []
    whole.callbacks = [Watch(values)]  # pyright: ignore[reportAttributeAccessIssue]
    whole.fit()
    assert values[:4] == [0.2] * 4 and abs(values[4] - 0.2) == pytest.approx(8 * 4 / 200)
    assert all(0 <= value <= 1 for value in values)
    lines = (folder.parent / "run" / "metrics.jsonl").read_text()
    assert '"augment_probability"' in lines and '"control": "augment"' not in lines
    cut = trainer(folder, "cut", **ADAPTIVE)
    cut.run, cut.callbacks = replace(cut.run, save_every=6), [Stop(6)]  # pyright: ignore[reportAttributeAccessIssue]  # two steps after a decision
    with pytest.raises(KeyboardInterrupt):
        cut.fit()
    again = trainer(folder, "cut", **ADAPTIVE)
    again.run = replace(again.run, save_every=6, resume=str(folder.parent / "cut"))
    again.fit()
    assert again.control("augment") == whole.control("augment")
    for name in ("G", "D"):
        for key, weight in whole.nets[name].state_dict().items():
            assert torch.equal(again.nets[name].state_dict()[key], weight), key


class Watch:
    """Keeps the probability of augmentations after each step."""

    def __init__(self, values: list[float]):
        self.values = values

    def on_step(self, trainer: Any) -> None:
        self.values.append(trainer.control("augment"))

    def __getattr__(self, name: str):
        return lambda *arguments: None


def test_without_a_target_the_probability_stays(folder: Path) -> None:
    made = trainer(folder, augment="bgc", augment_share=0.4, augment_target=0.0)
    made.prepare()
    assert [control.name for control in made.plan[0].controls] == ["collapse"]
    assert made.augment_share(Draws()) == 0.4  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("measured", few([True, False], False))
def test_images_of_another_shape_with_opacity_from_folder_to_file(folder: Path, measured: bool) -> None:
    made = trainer(
        folder, channels=4, image_width=24, augment="bgc,color", augment_share=0.5, clusters=2, steps=2
    ).fit()
    if measured:
        rows = made.evaluate().rows
        assert all(math.isfinite(value) for row in rows.values() for value in row.values())
        assert "16 x 24 pixels, on white" in (folder.parent / "run" / "evaluation.json").read_text()
    model: Any = multigen.load(str(made.folder))
    images = model.sample(2)
    assert images.shape == (2, 4, 16, 24)
    model.save(images, folder.parent / "out")
    with Image.open(folder.parent / "out" / "0001.png") as file:
        assert (file.mode, file.size) == ("RGBA", (24, 16))


def test_features_are_those_of_images_on_white() -> None:
    image = torch.tensor([[200, 100, 0, 0], [200, 100, 0, 255], [200, 100, 0, 51]], dtype=torch.uint8)[..., None, None]
    seen = evaluator._on_white(image)[..., 0, 0]
    assert seen.tolist() == [[255, 255, 255], [200, 100, 0], [244, 224, 204]]


@pytest.mark.long  # the compiler takes minutes
@pytest.mark.filterwarnings("ignore::UserWarning")  # of torch about its own tracing
def test_a_compiled_run_is_near_one_that_is_not(folder: Path) -> None:
    weights = []
    for name, compiled in (("plain", False), ("compiled", True)):
        made = trainer(folder, name, steps=2, width=2, max_channels=4, path_weight=0.0)
        made.run = replace(made.run, compile=compiled)
        made.fit()
        weights.append(load_file(made.folder / "model" / "G.safetensors"))
    for key, weight in weights[0].items():
        torch.testing.assert_close(weights[1][key], weight, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_the_network_is_exported_with_a_free_batch(folder: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    made = trainer(folder, image_width=24, clusters=2, steps=1).fit()
    out = folder.parent / "g.onnx"
    done = tiny.python("-m", "multigen", "export", "--model", made.folder, "--out", out, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    assert "float32 (batch, 3, 16, 24)" in done.stdout


@pytest.mark.dist
def test_two_ranks_give_the_weights_and_the_probability_of_one(folder: Path) -> None:
    words = ["tiny", "--size", "16", "--batch", "5", "--steps", "9", "--samples", "20", "--labels", "none"]
    words += [
        "--clusters",
        "2",
        "--style-mixing",
        "0.5",
        "--validate-every",
        "5",
        "--device",
        "cpu",
        "--precision",
        "fp64",
    ]
    words += ["--augment", "bgc", "--augment-share", "0.3", "--augment-speed", "0.2", "--deviation", "2"]
    recipe = ["-m", "multigen.recipes.stylegan2", *words, "--data", folder]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for start, name in ((torchrun, "two"), ([], "one")):
        done = tiny.python(*start, *recipe, "--out", folder.parent / name, cwd=folder.parent)
        assert done.returncode == 0, done.stderr
    one, two = (load_file(folder.parent / name / "model" / "G.safetensors") for name in ("one", "two"))
    for key, weight in one.items():
        torch.testing.assert_close(two[key], weight, rtol=1e-9, atol=1e-9)
    logs = [(folder.parent / name / "metrics.jsonl").read_text().splitlines() for name in ("one", "two")]
    shares = [[json.loads(line).get("augment_probability") for line in log] for log in logs]
    assert shares[0] == pytest.approx(shares[1]) and any(shares[0])


def test_presets_are_of_their_papers() -> None:
    assert StyleGAN2Config(batch=32).gamma == pytest.approx(0.0002 * 64**2 / 32)
    assert PRESETS["paper"].lr == 2e-3 and PRESETS["paper"].mapping_layers == 8
    assert PRESETS["default"].ema == pytest.approx(0.5 ** (32 / 10_000), abs=3e-4)


def test_a_style_comes_from_one_layer_at_least() -> None:
    """With classes a style would else be as long as z and the embedding together."""
    with pytest.raises(ConfigError, match="mapping_layers 0: expected 1 to 64"):
        StyleGAN2Config(mapping_layers=0)
