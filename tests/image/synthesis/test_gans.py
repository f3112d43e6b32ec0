"""The methods that make images from noise: networks, formulas, one run of each through its
recipe."""

import json
import math
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import multigen
from multigen import catalogue, losses
from multigen.engine import Run
from multigen.errors import CheckpointError, ConfigError, DataError
from multigen.image import resample
from multigen.image.synthesis import dcgan, gan, r3gan, sngan, wgan
from multigen.image.synthesis.base import ImageInfo, ImageSynthesisConfig, doublings
from multigen.losses import penalties
from multigen.tasks.loading import trainer_in
from multigen.tasks.synthesis.collapse import diversity, watch
from multigen.tasks.synthesis.conditioning import ProjectionHead
from tests.cases import few, methods
from tests.tiny import Stop, pixels

METHODS = [method.name for method in catalogue.METHODS.values() if method.task == "image-synthesis"]
SMALL: dict[str, Any] = {"size": 16, "batch": 4, "steps": 4, "samples": 40, "validation_size": 0}
RUN = Run(device="cpu", precision="fp32", log_every=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """40 colour images in two classes."""
    from PIL import Image

    for i in range(40):
        place = tmp_path / "pictures" / ("cat", "dog")[i % 2] / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(20, 16, seed=i)).save(place)
    return tmp_path / "pictures"


def trainer(method: str, tmp_path: Path, data: Path, **settings: Any) -> Any:
    recipe = import_module(f"multigen.recipes.{method}")
    config = replace(recipe.PRESETS["tiny"], data=str(data), **{**SMALL, "labels": "none", **settings})
    return recipe.TRAINER(config, replace(RUN, out=str(tmp_path / "run")))


# ---------------------------------------------------------------------------------------------------- networks


@pytest.mark.parametrize("size", few([16, 32, 64, 128], 16, 32))
@pytest.mark.parametrize("classes", [(), ("a", "b", "c")], ids=["no classes", "classes"])
@pytest.mark.parametrize("method", METHODS)
def test_networks_fit_each_other_at_every_size(method: str, classes: tuple[str, ...], size: int) -> None:
    module = import_module(f"multigen.image.synthesis.{method}")
    preset = module.PRESETS["tiny"]
    built = trainer_in(module)(replace(preset, size=size, conditional=bool(classes)))
    built.data_info = ImageInfo(classes=classes, channels=3)
    made = built.networks()
    with torch.no_grad():
        for parameter in [p for network in made.values() for p in network.parameters() if p.requires_grad]:
            parameter.add_(0.1 * torch.randn_like(parameter))  # those of classes may begin alike
    z, label = torch.randn(2, preset.latent), torch.tensor([0, 2]) if classes else None
    picture = made["G"](z, label)
    assert picture.shape == (2, 3, size, size)
    assert made["D"](picture, label).shape in [(2,), (2, 26), (2, 50), (2, 76)]  # windows in FastGAN and Projected GAN
    if classes:  # the class makes a difference to both
        other = torch.tensor([1, 1])
        assert not torch.allclose(made["G"](z, other), picture)
        assert not torch.allclose(made["D"](picture, other), made["D"](picture, label))


@pytest.mark.parametrize("size", [0, 15, 48, 512])
def test_a_size_that_does_not_fit_names_the_nearest(size: int) -> None:
    with pytest.raises(ConfigError, match=rf"size {size}: .* nearest it has are \d+ and \d+"):
        doublings(size)


def test_the_perceptron_takes_any_size() -> None:
    assert gan.Generator(4, 8, 28, 1)(torch.randn(3, 4)).shape == (3, 1, 28, 28)


def test_the_perceptron_has_batch_norm_and_dropout_where_asked() -> None:
    """Without them its layers, and the names of their weights, are those of earlier versions."""
    plain, normed = gan.Generator(4, 8, 28, 1), gan.Generator(4, 8, 28, 1, norm=True)
    assert [*plain.state_dict()] == [f"layers.{i}.{name}" for i in (0, 2, 4) for name in ("weight", "bias")]
    assert [type(layer) for layer in normed.layers][1:5:3] == [nn.BatchNorm1d] * 2
    d, image = gan.Discriminator(64, 28, 1, dropout=0.5), torch.randn(3, 1, 28, 28)
    assert torch.equal(d.eval()(image), d(image))
    with pytest.raises(ConfigError, match="batch 1: batch norm needs 2 images or more"):
        gan.GANConfig(norm=True, batch=1)
    with pytest.raises(ConfigError, match="dropout"):
        gan.GANConfig(dropout=1.0)
    hidden = d.train().layers[:4](image)  # after the first dropout
    assert 0.3 < (hidden == 0).float().mean() < 0.7 and not torch.equal(d(image), d(image))


def test_maxout_is_the_largest_of_its_pieces() -> None:
    layer = gan.Maxout(3, 2, pieces=4)
    x = torch.randn(5, 3)
    pieces = [x @ layer.linear.weight[i] + layer.linear.bias[i] for i in range(8)]
    expected = torch.stack([torch.stack(pieces[:4]).amax(0), torch.stack(pieces[4:]).amax(0)], 1)
    torch.testing.assert_close(layer(x), expected)


def test_dcgan_begins_with_small_weights() -> None:
    network = dcgan.Discriminator(32, 32, 3)
    weights = torch.cat([p.flatten() for n, p in network.named_parameters() if p.ndim == 4])
    assert abs(weights.std().item() - 0.02) < 1e-3


def test_every_weight_of_the_spectral_discriminator_has_norm_one() -> None:
    network = sngan.Discriminator(8, 16, 3, classes=2)
    for _ in range(200):  # a power iteration each
        network(torch.randn(2, 3, 16, 16), torch.tensor([0, 1]))
    normed = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear | nn.Embedding)]
    assert len(normed) > 6
    for module in normed:
        largest = torch.linalg.matrix_norm(module.weight.flatten(1), 2).item()
        assert abs(largest - 1) < 1e-3, module


def test_class_batch_norm_scales_by_class() -> None:
    norm = sngan.ClassBatchNorm(3, classes=2)
    assert norm.scale is not None and norm.shift is not None
    nn.init.constant_(norm.scale.weight[1:], 3.0)
    nn.init.constant_(norm.shift.weight[1:], 5.0)
    x = torch.randn(2, 3, 4, 4)
    plain = nn.BatchNorm2d(3, affine=False)(x)
    torch.testing.assert_close(norm(x, torch.tensor([0, 1])), torch.stack([plain[0], 3 * plain[1] + 5]))


def test_an_r3gan_block_begins_as_the_identity() -> None:
    x = torch.randn(2, 32, 8, 8)
    for expansion in (1, 2):
        assert torch.equal(r3gan.Block(32, r3gan.R3GANConfig(expansion=expansion), depth=4)(x), x)


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_r3gan_makes_and_takes_patches_of_pixels(patch: int) -> None:
    c = r3gan.R3GANConfig(size=16, width=16, max_channels=32, patch=patch)
    assert len(c.widths) == {1: 3, 2: 2, 4: 1}[patch]
    made, taken = r3gan.Generator(c, 3), r3gan.Discriminator(c, 3)
    folded: list[Any] = []
    made.layers.register_forward_hook(lambda module, before, after: folded.append(after))
    taken.layers.register_forward_hook(lambda module, before, after: folded.append(before[0]))
    picture = made(torch.randn(2, 64))
    assert picture.shape == (2, 3, 16, 16) and taken(picture).shape == (2,)
    assert folded[0].shape == (2, 3 * patch**2, 16 // patch, 16 // patch)
    assert torch.equal(folded[0], folded[1])
    assert torch.equal(folded[0][:, :, 0, 1], picture[:, :, :patch, patch : 2 * patch].flatten(1))


@pytest.mark.parametrize("patch", [0, 3, 8])
def test_a_patch_that_does_not_fit_names_those_that_do(patch: int) -> None:
    with pytest.raises(ConfigError, match=rf"patch {patch}: .* image of 16 pixels: one of 1, 2, 4$"):
        r3gan.R3GANConfig(size=16, patch=patch)


@pytest.mark.parametrize("up", [True, False])
def test_resampling_keeps_a_constant_inside_and_the_mean_of_noise(up: bool) -> None:
    layer = r3gan.Resample(2, 2, up)
    flat = layer(torch.ones(1, 2, 8, 8))
    side = 16 if up else 4
    assert flat.shape == (1, 2, side, side)
    torch.testing.assert_close(flat[..., 1:-1, 1:-1], torch.ones(1, 2, side - 2, side - 2))
    impulse = torch.zeros(1, 2, 8, 8)
    impulse[0, 0, 4, 4] = 1
    torch.testing.assert_close(layer(impulse).sum(), torch.tensor(4.0 if up else 0.25))
    x = torch.randn(1, 2, 8, 8)
    for sides in ([2], [3], [2, 3]):  # no side is preferred
        torch.testing.assert_close(layer(x.flip(sides)), layer(x).flip(sides))


def test_resampling_has_both_derivatives_and_its_two_ways_are_transposes() -> None:
    x, y = (torch.randn(1, 1, side, side, dtype=torch.float64, requires_grad=True) for side in (8, 4))
    torch.testing.assert_close((resample.Downsample.apply(x) * y).sum(), (x * resample.Upsample.apply(y)).sum())
    for function, at in ((resample.Downsample, x), (resample.Upsample, y)):
        assert torch.autograd.gradcheck(function.apply, at) and torch.autograd.gradgradcheck(function.apply, at)


def test_the_projection_begins_as_large_as_a_feature() -> None:
    head = ProjectionHead(400, classes=50)
    assert head.classes is not None and abs(head.classes.weight.std().item() - 1 / 20) < 2e-3


# ---------------------------------------------------------------------------------------------------- losses


class Draws:
    """A step that gives the same numbers each time."""

    dtype, progress, index = torch.float32, 0.5, 1_000
    rows, batch, device = slice(0, 4), 4, torch.device("cpu")

    def rng(self, stream: str) -> torch.Generator:
        return torch.Generator().manual_seed(len(stream))

    def randn(self, stream: str, *shape: int) -> Tensor:
        return torch.randn(4, *shape, generator=torch.Generator().manual_seed(len(stream)))

    def rand(self, stream: str, *shape: int) -> Tensor:
        return torch.rand(4, *shape, generator=torch.Generator().manual_seed(sum(map(ord, stream))))


def prepared(method: str, folder: Path, **settings: Any) -> tuple[Any, dict[str, Tensor], Any]:
    made = trainer(method, folder.parent, folder, **settings)
    made.prepare()
    images = torch.from_numpy(np.stack([pixels(16, 16, seed=i) for i in range(4)])).permute(0, 3, 1, 2)
    return made, {"image": images}, Draws()


def test_r3gan_penalises_what_the_discriminator_sees(folder: Path) -> None:
    made, batch, step = prepared("r3gan", folder, gamma=(3.0, 1.0))
    real = batch["image"].float() / 127.5 - 1
    fake = made.G(step.randn("z", made.config.latent)).detach()
    terms = made.discriminator_loss(batch, step)
    torch.testing.assert_close(terms["r1"], penalties.r1(made.D, real) * 2)  # half way from 3 to 1
    torch.testing.assert_close(terms["r2"], penalties.r2(made.D, fake) * 2)
    pairs = nn.functional.softplus(-(made.D(real) - made.D(fake))).mean()
    torch.testing.assert_close(terms["adversarial"], pairs)
    opposite = nn.functional.softplus(-(made.D(fake) - made.D(real))).mean()
    torch.testing.assert_close(made.generator_loss(batch, step)["adversarial"], opposite)


def test_r3gan_penalties_go_through_the_augmentation(folder: Path) -> None:
    made, batch, step = prepared("r3gan", folder, augment="cutout", augment_share=(1.0, 1.0), gamma=(1.0, 1.0))
    gradients: list[Tensor] = []
    real = made.to_network(batch, step).requires_grad_()
    seen = made.augment(real, step, "real")
    (gradient,) = torch.autograd.grad(made.D(seen).sum(), real)
    gradients.append(gradient)
    assert (gradient == 0).float().mean() > 0.1  # nothing comes through the holes
    terms = made.discriminator_loss(batch, step)
    torch.testing.assert_close(terms["r1"], gradients[0].square().sum((1, 2, 3)).mean() / 2)


def test_wgan_penalises_the_gradient_between_real_and_fake(folder: Path) -> None:
    made, batch, step = prepared("wgan", folder, penalty=7.0)
    real, fake = batch["image"].float() / 127.5 - 1, made.G(step.randn("z", made.config.latent)).detach()
    terms = made.discriminator_loss(batch, step)
    expected = penalties.wgan_gp(made.D, real, fake, step.rand("mix", 1, 1, 1)) * 7
    torch.testing.assert_close(terms["penalty"], expected)
    torch.testing.assert_close(terms["wasserstein"], made.D(fake).mean() - made.D(real).mean())


@pytest.mark.parametrize("method", METHODS)
def test_g_learns_from_the_best_of_its_samples(method: str, folder: Path) -> None:
    made, batch, step = prepared(method, folder, top_k=0.5)
    seen: list[Tensor] = []
    D = made.nets["D"]

    def recorded(image: Tensor, label: Tensor | None = None) -> Tensor:
        seen.append(D(image, label))
        if seen[-1].requires_grad:
            seen[-1].retain_grad()
        return seen[-1]

    made.D = recorded
    torch.stack([*made.generator_loss(batch, step).values()]).sum().backward()
    ((scores, gradient),) = [(each, each.grad) for each in seen if each.grad is not None]
    reached = gradient.reshape(4, -1).abs().sum(1) > 0
    best = scores.detach().reshape(4, -1).mean(1).topk(2).indices
    assert sorted(reached.nonzero()[:, 0].tolist()) == sorted(best.tolist())
    assert next(update for update in made.updates() if update.name == "generator").couples


def test_the_share_of_the_best_falls_with_each_pass_down_to_its_floor() -> None:
    made: Any = gan.GANTrainer(gan.GANConfig(batch=4, top_k=0.25, top_k_decay=0.5))
    made.data = range(8)
    scores = torch.tensor([3.0, 1.0, 4.0, 2.0])
    best = {i: sorted(made.best(scores, SimpleNamespace(index=i)).tolist()) for i in (0, 2, 4, 100)}
    assert best == {0: [1, 2, 3, 4], 2: [3, 4], 4: [4], 100: [4]}


def test_wgan_clips_the_critic_after_each_step(tmp_path: Path, folder: Path) -> None:
    made = trainer("wgan", tmp_path, folder, constraint="clip").fit()
    assert max(p.abs().max().item() for p in made.D.parameters()) <= 0.01 + 1e-8
    assert max(p.abs().max().item() for p in made.G.parameters()) > 0.01


@pytest.mark.parametrize("loss", ["minimax", "non_saturating"])
def test_the_first_gan_has_both_losses(folder: Path, loss: str) -> None:
    made, batch, step = prepared("gan", folder, loss=loss)
    fake = made.G(step.randn("z", made.config.latent))
    expected = losses.LOSSES[loss].generator(made.D(fake))
    torch.testing.assert_close(made.generator_loss(batch, step)["adversarial"], expected)


def test_half_life_grows_with_the_run(folder: Path) -> None:
    made = trainer("r3gan", folder.parent, folder, steps=1000, half_life=0.05)
    decay = made.averaged()["G"]
    assert decay(0.0) < 1e-6
    assert math.isclose(decay(1.0), 0.5 ** (1 / 50))


# ---------------------------------------------------------------------------------------------------- runs


@pytest.mark.parametrize("method", few(METHODS, "dcgan"))
def test_a_run_trains_reports_resumes_and_samples(method: str, tmp_path: Path, folder: Path) -> None:
    made = trainer(method, tmp_path, folder, validation_size=4, augment="color,translation,cutout", mirror=True).fit()
    rows = made.evaluate().rows
    assert list(rows) == ["real", "adversarial/last", "adversarial/best"]
    assert rows["real"]["fd_efficientnet_lite0"] < rows["adversarial/last"]["fd_efficientnet_lite0"]
    assert all(math.isfinite(v) for row in rows.values() for v in row.values())
    run = tmp_path / "run"
    definitions = json.loads((run / "evaluation.json").read_text())["definitions"]
    assert {m for row in rows.values() for m in row} <= definitions.keys()
    assert (run / "samples.png").exists() and (run / "nearest.png").exists()
    assert [*(run / "previews").glob("step-*.png")]

    model = multigen.load(str(run))
    assert torch.equal(model.sample(3, seed=5), model.sample(3, seed=5))
    assert model.sample(3).shape == (3, 3, 16, 16)

    shorter = trainer(
        method, tmp_path / "other", folder, validation_size=4, augment="color,translation,cutout", mirror=True
    )
    stopped = Stop(2)
    shorter.callbacks = [stopped]
    shorter.run = replace(shorter.run, save_every=2)
    with pytest.raises(KeyboardInterrupt):
        shorter.fit()
    again = trainer(
        method, tmp_path / "other", folder, validation_size=4, augment="color,translation,cutout", mirror=True
    )
    again.run = replace(again.run, save_every=2, resume=str(tmp_path / "other" / "run"))
    again.fit()
    weights = [load_file(place / "run" / "model" / "G.safetensors") for place in (tmp_path, tmp_path / "other")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_conditional_model_gives_the_class_asked_for(tmp_path: Path, folder: Path, quick_classifier: None) -> None:
    made = trainer("dcgan", tmp_path, folder, labels="", conditional=True, validation_size=4).fit()
    rows = made.evaluate().rows
    assert {"class_accuracy", "confident", "classes", "class_kl", "fd_classifier"} <= rows["adversarial/last"].keys()
    assert made.data_info.classes == ("cat", "dog")
    model = multigen.load(str(tmp_path / "run"))
    assert model.classes == ("cat", "dog")
    assert not torch.equal(model.sample(1, label="cat"), model.sample(1, label="dog"))
    with pytest.raises(ConfigError, match="class 'horse' is unknown; choose from cat, dog"):
        model.sample(1, label="horse")


@pytest.fixture
def quick_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    """A classifier of a few steps: good enough to see that figures are made."""
    from multigen.tasks.synthesis import extractors

    train = extractors.train_classifier
    monkeypatch.setattr(extractors, "train_classifier", lambda *a, **k: train(*a, **{**k, "steps": 4, "batch": 8}))


def test_classes_need_labels(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"conditional: .* has no labels; .*--labels"):
        trainer("dcgan", tmp_path, folder, conditional=True).prepare()


def test_one_picture_is_not_enough(tmp_path: Path, folder: Path) -> None:
    for path in sorted(folder.rglob("*.png"))[1:]:
        path.unlink()
    with pytest.raises(DataError, match=str(folder)):
        trainer("dcgan", tmp_path, folder).prepare()


def test_fewer_pictures_than_a_batch_are_used_several_times(tmp_path: Path, folder: Path) -> None:
    made = trainer("dcgan", tmp_path, folder, batch=50).fit()
    assert made.step == 4


def test_weights_of_another_network_are_refused(tmp_path: Path, folder: Path) -> None:
    made = trainer("dcgan", tmp_path, folder).fit()
    about = tmp_path / "run" / "model" / "config.json"
    config = json.loads(about.read_text())
    config["config"]["width"] *= 2
    about.write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="shape"):
        multigen.load(str(made.folder))


# ---------------------------------------------------------------------------------------------------- collapse


collapse_features = gan.GANTrainer(gan.GANConfig()).collapse_features


class Constant(nn.Module):
    """One image, whatever the latent, with a batch norm whose statistics must not move."""

    def __init__(self, varied: float):
        super().__init__()
        self.varied = varied
        self.norm = nn.BatchNorm2d(1)
        self.picture = nn.Parameter(torch.rand(1, 1, 16, 16))

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        return self.picture + self.varied * z.view(-1, 1, 16, 16) + 0 * self.norm(z.view(-1, 1, 16, 16))


def test_diversity_is_nought_for_one_picture_and_one_for_the_data() -> None:
    real = torch.rand(30, 1, 16, 16) * 2 - 1
    z = torch.randn(30, 256)
    same = Constant(0.0)
    assert diversity(same, z, None, real, collapse_features) < 1e-6
    assert same.norm.running_mean is not None and same.norm.running_mean.abs().max() == 0
    assert abs(diversity(Constant(1.0), real.flatten(1), None, real, collapse_features) - 1) < 1e-5


def test_pictures_are_compared_without_their_noise() -> None:
    image = torch.rand(2, 3, 32, 32)
    assert torch.equal(collapse_features(image)[:, 0], image[:, 0, :2, :2].mean((1, 2))) and collapse_features(
        image
    ).shape == (
        2,
        3 * 16 * 16,
    )


def watched(steps: int, found: list[float]) -> tuple[Any, list[float]]:
    """A run of `steps` steps in which each check finds the next diversity, and the control after
    each check."""
    state, stage = SimpleNamespace(scalars={}), SimpleNamespace(steps=steps)
    run: Any = SimpleNamespace(step=0, index=0, state=state, stage=stage)
    lows, values = 0.0, []
    looks = iter(found)
    for run.step in range(50, 200 + 50 * len(found), 50):
        run.index = run.step
        lows = watch(run, lambda: next(looks), lows, {}).value  # pyright: ignore[reportArgumentType]
        values.append(lows)
    assert next(looks, None) is None or lows == -1
    return run, values[3:]  # from step 200 on


def test_collapse_is_reported_once_with_the_step(capsys: pytest.CaptureFixture[str]) -> None:
    _, values = watched(500, [0.1, 0.9, 0.1, 0.1, 0.1, 0.1])
    assert values == [1, 0, 1, 2, -1, -1]
    printed = capsys.readouterr()
    message = printed.out + printed.err
    assert message.count("step 400: the generator has collapsed: samples differ 10%") == 1 == message.count("collapsed")


def test_a_generator_that_never_was_diverse_has_a_fifth_of_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert watched(2000, [0.1] * 9)[1] == [0, 0, 0, 0, 1, 2, -1, -1, -1]  # 400 steps
    assert watched(2000, [0.5, 0.1, 0.1, 0.1])[1] == [0, 1, 2, -1]
    printed = capsys.readouterr()
    assert (printed.out + printed.err).count("collapsed") == 2


@pytest.mark.slow
@pytest.mark.parametrize(("method", "lr", "times"), [("gan", 2e-2, 1), ("dcgan", (5e-4, 5e-4), 0)])
def test_a_broken_setting_is_noticed_within_500_steps(
    method: str, lr: Any, times: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"size": 32, "width": 64 if method == "gan" else 8, "batch": 16, "steps": 500}
    trainer(method, tmp_path, Path("digits"), lr=lr, **settings).fit()
    printed = capsys.readouterr()
    assert (printed.out + printed.err).count("the generator has collapsed") == times


@pytest.mark.parametrize("method", methods("image-synthesis"))
def test_every_method_watches_for_collapse(method: str, folder: Path) -> None:
    made = trainer(method, folder.parent, folder)
    made.prepare()
    (control,) = made.plan[0].controls
    assert control.name == "collapse"
    made.state.step = made.state.index = 1000
    assert control.rule(0.0, {}).reason.startswith("diversity")


def test_shared_settings_are_documented_once() -> None:
    for method in (gan.GANConfig, dcgan.DCGANConfig, wgan.WGANConfig, sngan.SNGANConfig, r3gan.R3GANConfig):
        assert issubclass(method, ImageSynthesisConfig)
