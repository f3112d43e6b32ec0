"""RRN: the network's recursion and size, losses in closed form, settings, and runs that are
resumed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

import multigen
from multigen.config import Run
from multigen.engine import Callback
from multigen.errors import ConfigError
from multigen.video.restoration.networks import RRN, TripleDiscriminator, enlarged
from multigen.video.restoration.rrn import PRESETS, RRNConfig, RRNTrainer
from multigen.video.restoration.upscaler import FilmUpscaler
from tests import tiny
from tests.cases import few

SMALL: dict[str, Any] = {"crop": 16, "scale": 2, "pretrain_steps": 3, "steps": 2, "blocks": 1, "width": 4}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.photos(tmp_path_factory.mktemp("rrn") / "photos", count=2, side=56)


def trainer_of(photos: Path, out: str = "", resume: str = "", *callbacks: Callback, **changes: Any) -> RRNTrainer:
    c = replace(PRESETS["tiny"], data=str(photos), test=(str(photos),), **{**SMALL, **changes})
    run = Run(device="cpu", precision="fp32", out=out, resume=resume, save_every=2, log_every=1)
    return RRNTrainer(c, run, callbacks)


@pytest.fixture(scope="module")
def trainer(photos: Path) -> RRNTrainer:
    made = trainer_of(photos)
    made.prepare()
    return made


def clip_of(shape: tuple[int, ...] = (2, 3, 3, 8, 8), seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def lively(network: RRN) -> RRN:
    """With biases, so that an empty state is not the state of a black film."""
    draw = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=draw)
    return network


# ---------------------------------------------------------------------------------------------------- the network


@pytest.mark.parametrize(("blocks", "parameters"), [(5, 1_888_560), (10, 3_364_400)])
def test_the_network_has_the_published_size(blocks: int, parameters: int) -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in RRN(4, blocks, 128).parameters()) == parameters


def test_a_step_sees_the_frame_before_the_state_and_the_last_output() -> None:
    network, clip = lively(RRN(2, 1, 4)), clip_of()
    before, (hidden, output) = clip[:, 0], network.empty(clip[:, 0])
    expected = []
    for frame in clip.unbind(1):
        hidden, residual = network.step(before, frame, hidden, output)
        large = F.interpolate(frame, scale_factor=2, mode="bilinear") + F.pixel_shuffle(residual, 2)
        before, output = frame, F.pixel_unshuffle(large, 2)
        expected.append(large)
    torch.testing.assert_close(network(clip), torch.stack(expected, 1))


@pytest.mark.parametrize("recurrent", [True, False])
def test_without_recurrence_each_frame_is_a_film_of_its_own(recurrent: bool) -> None:
    network, clip = lively(RRN(2, 1, 4, recurrent)), clip_of()
    alone = torch.stack([network(frame) for frame in clip.unbind(1)], 1)
    together = network(clip)
    torch.testing.assert_close(together[:, 0], alone[:, 0])
    assert torch.allclose(together, alone, atol=1e-6) is not recurrent


def test_a_step_reaches_as_far_as_its_radius() -> None:
    network = lively(RRN(2, 1, 4))
    x = clip_of((1, 3, 17, 17)).requires_grad_()
    network.step(x, x, *network.empty(x))[1][..., 8, 8].sum().backward()
    assert x.grad is not None
    rows = x.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert (int(rows.min()), int(rows.max())) == (8 - network.radius, 8 + network.radius)


def test_the_discriminator_sees_three_frames_and_their_inputs() -> None:
    D = TripleDiscriminator(4)
    clip, inputs = clip_of((2, 5, 3, 32, 32)), clip_of((2, 5, 3, 8, 8), 1)
    logits = D(clip, inputs)
    assert logits.shape == (6, 1, 2, 2)
    changed = clip.clone()
    changed[0, 4] = 0
    differs = (D(changed, inputs) != logits).flatten(1).any(1)
    assert differs.tolist() == [False, False, True, False, False, False]
    assert not torch.equal(D(clip, inputs * 0), logits)


def test_the_preset_paper_is_the_paper() -> None:
    c = PRESETS["paper"]
    assert (c.scale, c.blocks, c.width, c.crop, c.length, c.batch, c.pixel, c.steps) == (4, 10, 128, 256, 7, 4, "l1", 0)
    trainer = RRNTrainer(c)
    trainer.validation = None
    (first, _) = trainer.stages()
    rates = [trainer.spec(first, "G").settings(epoch / 70)["lr"] for epoch in (0, 59.9, 60, 69.9)]
    assert rates == pytest.approx([1e-4, 1e-4, 1e-5, 1e-5])


# ---------------------------------------------------------------------------------------------------- losses


def batch_of(trainer: RRNTrainer) -> dict[str, Tensor]:
    draw, c = torch.Generator().manual_seed(1), trainer.config
    sides = {"input": c.crop // c.scale, "target": c.crop}
    return {k: torch.randint(0, 256, (2, 3, 3, n, n), generator=draw, dtype=torch.uint8) for k, n in sides.items()}


def step_of(trainer: RRNTrainer) -> Any:
    return trainer.updater.step_at((0, 0, "adversarial", "generator", 0, 0), 0.0, slice(0, 2))


def test_pixel_losses_in_closed_form(trainer: RRNTrainer) -> None:
    fake, real = torch.tensor([0.0, 0.3]), torch.tensor([0.0, 0.7])
    assert trainer.pixel_error(fake, real).item() == pytest.approx((1e-3 + (0.4**2 + 1e-6) ** 0.5) / 2)
    l1 = RRNTrainer(replace(trainer.config, pixel="l1"))
    assert l1.pixel_error(fake, real).item() == pytest.approx(0.2)


def test_the_adversarial_stage_in_closed_form(trainer: RRNTrainer) -> None:
    batch, step, c = batch_of(trainer), step_of(trainer), trainer.config
    x, y = batch["input"] / 255, batch["target"] / 255
    of_d = trainer.discriminator_loss(batch, step)["adversarial"]
    fake = trainer.G(x)
    expected = F.softplus(-trainer.D(y, x)).mean() + F.softplus(trainer.D(fake, x)).mean()
    torch.testing.assert_close(of_d, expected)

    terms = trainer.generator_loss(batch, step)
    assert terms.keys() == {"content", "adversarial", "ping_pong", "pixel"}
    forth_and_back = trainer.G(x[:, [0, 1, 2, 1, 0]])
    drift = (forth_and_back[:, [0, 1, 2]] - forth_and_back[:, [4, 3, 2]]).abs().mean()
    assert drift > 0
    torch.testing.assert_close(terms["ping_pong"], c.ping_pong_weight * drift)
    torch.testing.assert_close(terms["adversarial"], c.adversarial_weight * F.softplus(-trainer.D(fake, x)).mean())
    torch.testing.assert_close(terms["pixel"], trainer.pixel_error(fake, y))
    torch.testing.assert_close(terms["content"], trainer.distance(fake.flatten(0, 1), y.flatten(0, 1)).mean())


def test_ping_pong_of_a_network_without_memory_is_nothing(photos: Path) -> None:
    trainer = trainer_of(photos, recurrent=False)
    trainer.prepare()
    assert trainer.generator_loss(batch_of(trainer), step_of(trainer))["ping_pong"] == 0


def test_without_a_second_stage_there_is_no_discriminator(photos: Path) -> None:
    trainer = trainer_of(photos, steps=0)
    trainer.prepare()
    assert trainer.nets.keys() == {"G"} and [stage.name for stage in trainer.plan] == ["pretrain"]


# ---------------------------------------------------------------------------------------------------- settings and runs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": 1}, "scale 1: the network has x2, x3, x4 and x8"),
        ({"length": 2}, "length 2: expected"),
        ({"speed": -1.0}, "speed -1.0: expected"),
        ({"crop": 40}, "crop 40: expected a multiple of 16"),
        ({"shift": 16}, "shift 16: not of films; leave it out"),
        ({"gradient_weight": 1.0}, r"gradient_weight 1\.0: not of films"),
        ({"grid_weight": 1.0}, r"grid_weight 1\.0: not of films"),
        ({"low": "x"}, "low x: not of films"),
        ({"discriminator_width": 6}, "discriminator_width 6: expected a multiple of 4"),
        ({"degradation": "bicubic"}, "degradation"),
        ({"pretrain_steps": 0, "steps": 0}, "nothing to train"),
    ],
)
def test_settings_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(RRNConfig(), **change)


class Stop(Callback):
    def __init__(self, step: int):
        self.step = step

    def on_step(self, trainer: Any) -> None:
        if trainer.step == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("step", few([2, 4], 4))
def test_a_run_that_was_stopped_ends_with_the_same_weights(photos: Path, tmp_path: Path, step: int) -> None:
    whole = trainer_of(photos, str(tmp_path / "whole")).fit()
    with pytest.raises(KeyboardInterrupt):
        trainer_of(photos, str(tmp_path / "cut"), "", Stop(step)).fit()
    trainer_of(photos, "", str(tmp_path / "cut")).fit()
    for name in ("G", "D"):
        a, b = (
            load_file(tmp_path / run / f"checkpoints/step-000000005/{name}.safetensors") for run in ("whole", "cut")
        )
        assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
    frames = (clip_of((3, 3, 12, 14)) * 255).to(torch.uint8)
    model = multigen.load(str(tmp_path / "cut"))
    assert isinstance(model, FilmUpscaler) and model.upscale(frames).shape == (3, 3, 24, 28)
    assert torch.equal(model.upscale(frames), whole.restorer_at("adversarial", "last").upscale(frames))


def test_the_evaluation_has_the_rows_and_figures_of_films(photos: Path, tmp_path: Path) -> None:
    result = trainer_of(photos, str(tmp_path / "run"), steps=0).fit().evaluate()
    assert result.rows.keys() == {"bicubic", "pretrain/last", "blurred"}
    metrics = {name.partition("/")[2] for name in result.rows["bicubic"]}
    assert metrics == {
        "psnr_y",
        "psnr_y_last",
        "ssim_y",
        "tof_tvl1",
        "warping_error",
        "efficientnet_lite0",
        "tlp_efficientnet_lite0",
    }
    assert metrics == result.definitions.keys() and (tmp_path / "run" / "comparison.png").is_file()


def test_enlarged_is_interpolation_and_what_is_added() -> None:
    frame, residual = clip_of((1, 3, 4, 4)), torch.zeros(1, 12, 4, 4)
    residual[0, 0, 1, 2] = 1  # the first pixel of a square, red
    added = enlarged(frame, residual, 2) - F.interpolate(frame, scale_factor=2, mode="bilinear")
    assert added[0, 0, 2, 4] == pytest.approx(1) and added.sum() == pytest.approx(1, abs=1e-5)
