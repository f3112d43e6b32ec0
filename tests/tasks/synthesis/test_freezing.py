"""FreezeD: the first layers of a discriminator keep what they have learnt."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from multigen.engine import Run
from multigen.errors import ConfigError
from multigen.image.synthesis import fastgan, projected
from multigen.image.synthesis.base import ImageInfo
from multigen.image.synthesis.dcgan import PRESETS, DCGANTrainer
from multigen.image.synthesis.r3gan import PRESETS as R3GAN
from multigen.image.synthesis.r3gan import R3GANTrainer
from multigen.tasks.synthesis.freezing import frozen
from tests import tiny

CONFIG = replace(PRESETS["tiny"], width=2, latent=4, steps=2, samples=10, data="digits", size=16)
CPU = Run(device="cpu", precision="fp32")


@pytest.mark.slow
def test_frozen_layers_keep_the_weights_of_the_run_that_they_start_from(tmp_path: Path) -> None:
    first = DCGANTrainer(CONFIG, replace(CPU, out=str(tmp_path / "first"))).fit()
    learnt = {name: weight.clone() for name, weight in first.nets["D"].named_parameters()}
    run = replace(CPU, out=str(tmp_path / "second"), start=str(tmp_path / "first"), seed=1)
    second = DCGANTrainer(replace(CONFIG, freeze=1), run).fit()
    moved = {n: not torch.equal(w, learnt[n]) for n, w in second.nets["D"].named_parameters()}
    convolution = next(iter(moved))
    assert convolution == "layers.0.weight" and not moved[convolution] and not moved["layers.0.bias"]
    assert all(changed for name, changed in moved.items() if not name.startswith("layers.0."))


def test_blocks_count_once() -> None:
    trainer = R3GANTrainer(replace(R3GAN["tiny"], size=16), CPU)
    network = frozen(trainer.discriminator(), 2)
    assert {name.split(".")[1] for name, p in network.named_parameters() if not p.requires_grad} == {"0", "1"}


def test_each_block_of_each_part_counts_and_what_is_never_trained_does_not() -> None:
    D = frozen(fastgan.Discriminator(4, 64, 3), 2)
    parts = {name.rsplit(".parametrizations")[0] for name, p in D.named_parameters() if not p.requires_grad}
    assert parts >= {"stem.0", "blocks.32.layers.0"} and not any(name.startswith("blocks.16") for name in parts)
    D = frozen(projected.Discriminator(4, 64, 3), 1)
    parts = {name.split(".")[0] for name, p in D.named_parameters() if not p.requires_grad}
    assert parts == {"features", "discriminators"}


def test_layers_of_an_untrained_d_are_not_frozen(tmp_path: Path) -> None:
    start = tiny.untrained(tmp_path / "start", DCGANTrainer(CONFIG, CPU), ImageInfo(channels=1))
    run = replace(CPU, out=str(tmp_path / "run"), start=str(start))
    with pytest.raises(ConfigError, match=r"freeze 1: no D in .*start; start from a run with checkpoints"):
        DCGANTrainer(replace(CONFIG, freeze=1), run).prepare()


def test_what_cannot_be_frozen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = DCGANTrainer(CONFIG, CPU).discriminator()
    with pytest.raises(ConfigError, match="freeze 9: D has 4 layers and blocks; expected at most 3"):
        frozen(network, 9)
    with pytest.raises(ConfigError, match="freeze -1"):
        replace(CONFIG, freeze=-1)
    assert tiny.multigen(["train", "dcgan", "tiny", "--freeze", "1", "--out", tmp_path / "run"]) == 2
    assert "freeze 1: the layers of D are untrained; start from a run (--from RUN)" in capsys.readouterr().err
