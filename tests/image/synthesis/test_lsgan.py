"""LSGAN: the two sides of its game, with either choice of targets. What all methods of the task
share is tested in test_gans."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from multigen.image.synthesis import lsgan
from multigen.image.synthesis.base import ImageInfo

REAL, FAKE, LABEL = torch.zeros(4, 1), torch.ones(4, 1), torch.arange(4)


def losses_of(**settings: Any) -> dict[str, float]:
    """Both losses where D answers 3 to real images and 5 to samples."""
    made: Any = lsgan.LSGANTrainer(replace(lsgan.PRESETS["tiny"], **settings))
    seen = []

    def answers(image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        seen.append(label)
        return 3 + 2 * image[:, 0]

    made.D = answers
    made.pairs, made.fakes = lambda batch, step: (REAL, FAKE, LABEL), lambda batch, step: (FAKE, LABEL)
    result = {"d": made.discriminator_loss({}, None), "g": made.generator_loss({}, None)}
    assert all(label is LABEL for label in seen) and len(seen) == 3
    return {name: terms["adversarial"].item() for name, terms in result.items()}


def test_the_losses_are_those_of_equation_9() -> None:
    """1/2 (3 - 1)^2 + 1/2 5^2 and 1/2 (5 - 1)^2."""
    assert lsgan.LSGANConfig().targets == (0, 1, 1)
    assert losses_of() == {"d": 14.5, "g": 8.0}


def test_the_losses_are_those_of_equation_8_where_asked() -> None:
    """1/2 (3 - 1)^2 + 1/2 (5 + 1)^2 and 1/2 5^2."""
    assert losses_of(targets=(-1.0, 1.0, 0.0)) == {"d": 20.0, "g": 12.5}


@pytest.mark.parametrize("targets", [(0.0, 1.0, 1.0), (-1.0, 1.0, 0.0)])
def test_real_and_generated_images_balance_where_d_cannot_tell_them_apart(targets: tuple[float, float, float]) -> None:
    """D's best answer to images that are as often real as generated is (a + b) / 2 (equation 5)."""
    a, b, _ = targets
    answer = torch.tensor((a + b) / 2, requires_grad=True)
    made: Any = lsgan.LSGANTrainer(replace(lsgan.PRESETS["tiny"], targets=targets))
    made.D = lambda image, label: answer.expand(len(image))
    made.pairs = lambda batch, step: (REAL, FAKE, None)
    made.discriminator_loss({}, None)["adversarial"].backward()
    assert answer.grad == 0


def test_the_networks_are_dcgans() -> None:
    made: Any = lsgan.LSGANTrainer(lsgan.PRESETS["tiny"])
    made.data_info = ImageInfo(channels=3)
    nets = made.networks()
    z = torch.randn(2, made.config.latent)
    assert [type(net).__module__ for net in nets.values()] == ["multigen.image.synthesis.dcgan"] * 2
    assert nets["D"](nets["G"](z)).shape == (2,)
