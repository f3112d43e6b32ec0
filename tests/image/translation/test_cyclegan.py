"""CycleGAN: its losses, its history of generated images, both directions, resuming, two ranks."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import multigen
from multigen.engine import Run
from multigen.engine.batches import Stream
from multigen.engine.plan import Step
from multigen.errors import ConfigError
from multigen.image.translation.classes import open_classifier
from multigen.image.translation.cyclegan import PRESETS, CycleGANConfig, CycleGANTrainer
from tests import tiny
from tests.cases import few
from tests.engine.toys import Crash, PowerCut, assert_same_runs, options, resumed, saved_files

ROOT = Path(__file__).parents[3]
SMALL: dict[str, Any] = {"size": 0, "crop": 16, "discriminator_layers": 1, "batch": 2, "history": 6}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.photos(tmp_path_factory.mktemp("cyclegan") / "photos", count=6, side=20)


def configured(photos: Path, **changes: Any) -> CycleGANConfig:
    return replace(PRESETS["tiny"], data=str(photos), **{**SMALL, **changes})


def prepared(photos: Path, **changes: Any) -> CycleGANTrainer:
    trainer = CycleGANTrainer(configured(photos, **changes), Run(device="cpu", precision="fp32"))
    trainer.prepare()
    return trainer


def step_of(index: int = 0, size: int = 2) -> Step:
    key = (0, 0, "adversarial", "discriminator", index, 0)
    return Step(key, 0.0, slice(0, size), size, torch.device("cpu"), torch.float32, lambda *_: None)


def values(terms: Any) -> dict[str, float]:
    return {name: term.item() for name, term in terms.items()}


class Shifted(nn.Module):
    """Adds a number to images."""

    def __init__(self, by: float):
        super().__init__()
        self.by = by

    def forward(self, image: Tensor) -> Tensor:
        return image + self.by


class Level(nn.Module):
    """A logit for an image: its mean."""

    def forward(self, image: Tensor) -> Tensor:
        return image.mean((1, 2, 3))


def test_the_losses_are_the_papers(photos: Path) -> None:
    trainer = prepared(photos, history=0)
    trainer.G_ab, trainer.G_ba, trainer.D_a, trainer.D_b = Shifted(0.5), Shifted(-0.25), Level(), Level()
    batch = Stream(trainer.data, 2, slice(0, 2), ("a",)).at(0)
    a, b = (batch[name].float() / 127.5 - 1 for name in "AB")
    terms = values(trainer.generator_loss(batch, step_of()))
    mean_a, mean_b = a.mean((1, 2, 3)), b.mean((1, 2, 3))
    assert terms == pytest.approx(
        {
            "adversarial_ab": (mean_a + 0.5 - 1).square().mean().item(),
            "adversarial_ba": (mean_b - 0.25 - 1).square().mean().item(),
            **{"cycle_a": 2.5, "cycle_b": 2.5},  # there and back adds .25, weighted by 10
            **{"identity_a": 5 * 0.25, "identity_b": 5 * 0.5},
        },
        rel=1e-5,
    )
    terms = values(trainer.discriminator_loss(batch, step_of()))
    assert terms["adversarial_a"] == pytest.approx(
        ((mean_a - 1).square().mean() + (mean_b - 0.25).square().mean()).item() / 2, rel=1e-5
    )
    assert terms["adversarial_b"] == pytest.approx(
        ((mean_b - 1).square().mean() + (mean_a + 0.5).square().mean()).item() / 2, rel=1e-5
    )


def test_without_the_identity_loss_it_is_not_computed(photos: Path) -> None:
    trainer = prepared(photos, identity_weight=0.0)
    batch = Stream(trainer.data, 2, slice(0, 2), ("a",)).at(0)
    assert {"identity_a", "identity_b"}.isdisjoint(trainer.generator_loss(batch, step_of()))


def test_the_discriminators_see_earlier_images_again(photos: Path) -> None:
    trainer = prepared(photos, history=2)
    trainer.G_ab, trainer.G_ba = Shifted(0.0), Shifted(0.0)
    seen: list[Tensor] = []
    level = Level()
    level.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    trainer.D_b = level
    stream = Stream(trainer.data, 2, slice(0, 2), ("a",))
    given = []
    for index in range(12):
        trainer.state.scalars["fired/discriminator"] = index
        batch = stream.at(index)
        given.append(batch["A"].float() / 127.5 - 1)
        trainer.discriminator_loss(batch, step_of(index))
    fakes = seen[1::2]
    assert torch.equal(fakes[0], given[0])
    again = [(i, row) for i in range(12) for row in range(2) if not torch.equal(fakes[i][row], given[i][row])]
    assert again and all(any((fakes[i][row] == x).all() for earlier in given[:i] for x in earlier) for i, row in again)
    assert trainer.state.scalars["history/B"].shape == (2, 3, 16, 16)


def test_both_directions_are_in_the_model(photos: Path, tmp_path: Path) -> None:
    run = options(tmp_path / "run")
    trainer = CycleGANTrainer(configured(photos, direction="BA"), run).fit()
    model: Any = multigen.load(tmp_path / "run")
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 19, 22), dtype=np.uint8))
    results = {way: model.translate(image, direction=way) for way in ("AB", "BA")}
    assert not torch.equal(results["AB"], results["BA"])
    assert torch.equal(model.translate(image), results["BA"]) and results["AB"].shape == image.shape
    evaluation = trainer.evaluate()
    names = {metric.partition("/")[0] for row in evaluation.rows.values() for metric in row}
    assert names == {"test", "test-AB"}


# ------------------------------------------------------------------------------ resume, and ranks


@pytest.fixture(scope="module")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = options(tmp_path_factory.mktemp("whole") / "run", save_every=3)
    CycleGANTrainer(configured(photos, steps=10), run).fit()
    return run


@pytest.mark.parametrize("step", few([4, 8], 4))  # the history is full after three steps
def test_a_run_that_was_cut_off_ends_like_one_that_was_not(photos: Path, tmp_path: Path, whole: Run, step: int) -> None:
    config, run = configured(photos, steps=10), options(tmp_path / "run", save_every=3)
    with pytest.raises(PowerCut):
        CycleGANTrainer(config, run, [Crash(step)]).fit()
    state = saved_files(run.out)["state"]
    assert state["history/A"].shape == (6, 3, 16, 16) and state["history/A"].flatten(1).any(1).any()
    CycleGANTrainer(config, resumed(run)).fit()
    assert_same_runs(whole, run)


def main(photos: Path, folder: Path) -> None:
    """What each of two ranks does."""
    os.fsync = lambda handle: None
    run = options(folder / "run", precision="fp64")
    trainer = CycleGANTrainer(configured(photos, steps=6, batch=3), run).fit()
    rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else "alone"
    tensors = {f"{net}.{key}": p.detach().clone() for net, n in trainer.nets.items() for key, p in n.named_parameters()}
    tensors |= {key: t for key, t in trainer.state.scalars.items() if key.startswith("history/")}
    save_file({name: t.contiguous() for name, t in tensors.items()}, folder / f"{rank}.safetensors")
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@pytest.mark.dist
def test_two_ranks_train_like_one(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    main(photos, tmp_path / "one")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    (tmp_path / "two").mkdir()
    command = [*torchrun, __file__, str(photos), str(tmp_path / "two")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    alone = load_file(tmp_path / "one" / "alone.safetensors")
    for rank in (0, 1):
        result = load_file(tmp_path / "two" / f"{rank}.safetensors")
        assert result.keys() == alone.keys()
        for name, tensor in alone.items():
            assert torch.allclose(result[name], tensor, rtol=1e-6, atol=1e-8), name


# ------------------------------------------------------------------------------ classes, settings


def test_whether_classes_are_kept_is_measured_where_both_domains_have_them(tmp_path: Path) -> None:
    """Squares and stripes; the classes are kept by copies, and not by what is flat."""
    pixels = np.zeros((80, 16, 16), np.uint8)
    pixels[::2, :, ::4] = 200
    pixels[1::2, 4:12, 4:12] = 200
    pixels += np.random.default_rng(0).integers(0, 40, pixels.shape, dtype=np.uint8)
    for name in ("a", "b"):
        np.savez(tmp_path / f"{name}.npz", images=pixels, labels=np.array(["stripes", "squares"] * 40))
    trainer = prepared(tmp_path / "a.npz", target=str(tmp_path / "b.npz"), task="none", crop=16)
    trainer.classifier_steps = 25
    items = trainer.seen_from(trainer.tests[0], "AB")
    rows = trainer.measure({"same": lambda x: x, "flat": lambda x: torch.zeros_like(x)}, [items])
    assert rows["same"]["test/class_kept"] == 1 and rows["flat"]["test/class_kept"] < 1
    assert "class_kept" in trainer.definitions()
    assert not any("class_kept" in name for name in trainer.measure({"same": lambda x: x}, [items], set())["same"])


def test_without_classes_none_is_kept(photos: Path) -> None:
    trainer = prepared(photos)
    assert open_classifier(trainer.domains.train, torch.device("cpu")) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"crop": 18}, "crop 18: expected a multiple of 4"),
        ({"crop": 4}, "crop 4"),
        ({"history": -1}, "history -1"),
        ({"cycle_weight": -1.0}, "cycle_weight -1"),
        ({"identity_weight": float("nan")}, "identity_weight nan"),
        ({"generator": "unet"}, "generator = 'unet'"),
        ({"task": "paint"}, "task = 'paint'"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        replace(PRESETS["tiny"], **changes)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
