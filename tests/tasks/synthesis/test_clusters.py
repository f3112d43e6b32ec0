"""Clusters in place of classes: how they are found, drawn, and given to the networks."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import multigen
from multigen.data.clusters import find_centres, nearest
from multigen.engine import Run, TensorSource
from multigen.errors import ConfigError
from multigen.image.synthesis import dcgan
from multigen.image.synthesis.base import ImageInfo
from multigen.storage.model_folder import ModelFolder
from multigen.tasks.synthesis.sampler import Sampler
from tests.tiny import Stop

BLOBS = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])


def blobs() -> tuple[Tensor, Tensor]:
    """30, 20 and 10 points about three places, and which place each is of."""
    of = torch.arange(3).repeat_interleave(torch.tensor([30, 20, 10]))
    return BLOBS[of] + torch.rand(60, 2, generator=torch.Generator().manual_seed(0)), of


def test_k_means_finds_what_lies_apart() -> None:
    x, of = blobs()
    centres = find_centres(x, 3)
    result = nearest(x, centres)
    assert sorted(result.bincount().tolist()) == [10, 20, 30]
    assert all(len(result[of == i].unique()) == 1 for i in range(3))
    torch.testing.assert_close(centres[result[0]], x[:30].double().mean(0))
    assert torch.equal(find_centres(x, 3), centres)


def test_more_clusters_than_items_are_refused() -> None:
    with pytest.raises(ConfigError, match="clusters 4: there are 3 different training items; give fewer clusters"):
        find_centres(BLOBS.repeat(5, 1), 4)


class LabelEcho(nn.Module):
    """Returns its label."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        return label.float()


def test_samples_are_of_the_clusters_in_their_shares() -> None:
    sampler = Sampler(LabelEcho(), 2, shares=(0.5, 0.0, 0.3, 0.2))
    assert torch.equal(sampler.sample(4, first=3), sampler.sample(7)[3:])
    drawn = sampler.sample(2_000, seed=1)
    counts = drawn.long().bincount(minlength=4) / 2_000
    torch.testing.assert_close(counts, torch.tensor([0.5, 0.0, 0.3, 0.2]), atol=0.04, rtol=0)
    assert torch.equal(drawn[:100], sampler.sample(100, seed=1)) and not torch.equal(
        drawn, sampler.sample(2_000, seed=2)
    )
    assert sampler.sample(3, label="2").tolist() == sampler.sample(3, label=2).tolist() == [2, 2, 2]
    with pytest.raises(ConfigError, match="class 'cat' is unknown; choose from 0, 1, 2, 3"):
        sampler.sample(1, label="cat")


def shaded(tmp_path: Path, **settings: Any) -> dcgan.DCGANTrainer:
    """On dark, middling and light images, twelve of each."""
    import numpy as np

    tmp_path.mkdir(exist_ok=True)
    file, rng = tmp_path / "shades.npz", np.random.default_rng(0)
    shade = np.array([40, 120, 210])[np.arange(36) % 3]
    np.savez(file, images=(shade[:, None, None] + rng.integers(0, 30, (36, 16, 16))).astype(np.uint8))
    small: dict[str, Any] = {"size": 16, "batch": 4, "steps": 4, "samples": 40, "validation_size": 3, "clusters": 3}
    config = replace(dcgan.PRESETS["tiny"], data=str(file), **small | settings)
    run = Run(device="cpu", precision="fp32", out=str(tmp_path / "run"), save_every=2)
    return dcgan.DCGANTrainer(config, run)


def test_both_networks_are_conditioned_on_clusters(tmp_path: Path) -> None:
    made = shaded(tmp_path).fit()
    train = made.evaluator.splits.train
    condition = made.condition_of(train)
    assert condition is not None and isinstance(made.data, TensorSource)
    assert made.data.tensors["label"].tolist() == condition.tolist()
    shade = train.items.float().mean((1, 2, 3)) // 80  # dark, middling, light
    assert all(len(condition[shade == i].unique()) == 1 for i in range(3))
    shares = [(condition == i).float().mean().item() for i in range(3)]
    assert made.data_info.shares == pytest.approx(shares, abs=1e-4) and made.conditions == 3
    rows = made.evaluate().rows
    assert "class_accuracy" not in rows["adversarial/last"] and "d_overfit" in rows["adversarial/last"]
    model = multigen.load(str(tmp_path / "run"))
    assert model.shares == made.data_info.shares and not torch.equal(model.sample(2, label=0), model.sample(2, label=1))


@pytest.mark.slow
def test_a_run_with_clusters_resumes_as_it_was(tmp_path: Path) -> None:
    whole, stopped, again = shaded(tmp_path / "a"), shaded(tmp_path / "b"), shaded(tmp_path / "b")
    whole.fit()
    stopped.callbacks = [Stop(2)]  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(KeyboardInterrupt):
        stopped.fit()
    again.run = replace(again.run, resume=str(tmp_path / "b" / "run"))
    again.fit()
    a, b = (load_file(t.folder / "model" / "G.safetensors") for t in (whole, again))
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_classes_come_before_clusters() -> None:
    for conditional, conditions in ((False, 3), (True, 2)):
        trainer = dcgan.DCGANTrainer(replace(dcgan.PRESETS["tiny"], clusters=3, conditional=conditional))
        trainer.data_info = ImageInfo(classes=("cat", "dog"))
        assert trainer.conditions == conditions


@pytest.mark.parametrize("shares", [[], [0.5, 0.5], [0.5, 0.7, -0.2], [float("nan"), 0.5, 0.5]])
def test_a_model_folder_whose_shares_are_not_those_of_its_clusters_is_refused(shares: list[float]) -> None:
    with pytest.raises(
        ConfigError, match=r"run, config.json: shares .* of 3 clusters; expected one of 0 to 1 for each"
    ):
        dcgan.DCGANTrainer.load(ModelFolder(Path("run"), "dcgan", {"clusters": 3}, {"shares": shares}, {}))
