"""Discriminator rejection sampling: the calibration, the probability of being kept, and that a
sample does not depend on the others."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from multigen.errors import CheckpointError, ConfigError
from multigen.tasks.synthesis.rejection import (
    FILE,
    Calibration,
    Rejection,
    acceptance,
    as_text,
    calibrate,
    platt,
    read_calibration,
)
from multigen.tasks.synthesis.sampler import Sampler

PLAIN = Calibration(1.0, 0.0, 3.0, 0.0)


def test_calibration_finds_the_odds() -> None:
    """Scores N(1, 1) of real and N(-1, 1) of generated items have the log odds 2 x; D says (x - 3)
    / 4."""
    x = torch.randn(2, 4_000, generator=torch.Generator().manual_seed(0)) + torch.tensor([[1.0], [-1.0]])
    scale, shift = platt(*((x - 3) / 4))
    d = scale * (x - 3) / 4 + shift
    torch.testing.assert_close(d, (2 * x).double().to(d), atol=0.5, rtol=0.1)


@pytest.mark.parametrize("real", [torch.full((9,), 5.0), torch.zeros(9)])
def test_scores_that_separate_or_are_all_alike_are_calibrated_too(real: Tensor) -> None:
    c = calibrate(real, torch.zeros(9), torch.zeros(20))
    assert all(torch.tensor([c.scale, c.shift, c.maximum, c.gamma]).isfinite())


def test_without_gamma_an_item_is_kept_as_often_as_its_odds_are_of_the_largest() -> None:
    """sigmoid(d - M - log(1 - exp(d - M))) = exp(d - M); beyond M it is certain."""
    d = torch.tensor([-5.0, 0.0, 2.0, 3.0, 9.0])
    expected = (d.double() - 3).clamp(max=0).exp()
    torch.testing.assert_close(acceptance(PLAIN, d), expected, atol=1e-5, rtol=1e-3)


def test_gamma_keeps_half_of_the_items_at_its_percentile() -> None:
    many = torch.linspace(-4, 4, 101)
    c = calibrate(torch.randn(50) + 1, torch.randn(50) - 1, many)
    p = acceptance(c, many)
    assert p.diff().min() >= 0 and abs(p[80] - 0.5) < 0.05  # of 101, the 80th percentile is at 80


class Echo(Sampler):
    """Its samples are its latents (1,)."""

    def __init__(self, classes: tuple[str, ...] = ()):
        network = nn.Linear(1, 1, bias=False).requires_grad_(False)
        network.weight.fill_(1.0)
        super().__init__(network, 1, classes)

    def run(self, z: Tensor, label: Tensor | None, truncation: float | None) -> Tensor:
        return self.network(z)


def selective(classes: tuple[str, ...] = ()) -> Sampler:
    """Keeps z as often as exp(z - 3); with classes, of class b as exp(z - 4)."""
    sampler = Echo(classes)
    score = lambda items, label: items[:, 0] - (0 if label is None else label)  # noqa: E731
    sampler.open_rejection = lambda: Rejection(score, PLAIN)
    return sampler.with_rejection()


@pytest.mark.parametrize("classes", [(), ("a", "b")])
def test_a_sample_does_not_depend_on_the_others(classes: tuple[str, ...]) -> None:
    sampler = selective(classes)
    whole = sampler.sample(6, seed=1)
    assert torch.equal(torch.cat([sampler.sample(2, seed=1, first=i) for i in (0, 2, 4)]), whole)
    assert torch.equal(torch.cat([*sampler.batches(6, seed=1)]), whole)
    assert not torch.equal(sampler.sample(6, seed=2), whole)
    most, seen = selective(classes), list[int]()
    assert most.rejection is not None
    most.batch, score = 4, most.rejection.score
    most.rejection.score = lambda items, label: seen.append(len(items)) or score(items, label)
    assert torch.equal(most.sample(6, seed=1), whole) and max(seen) == 4  # no more at a time


def test_samples_have_the_distribution_that_d_asks_for() -> None:
    """N(0, 1) kept as exp(z - 3) is about N(1, 1), and e^(.5 - 3) of it is kept."""
    sampler = selective()
    z = sampler.sample(600)
    assert abs(z.mean().item() - 1) < 0.15 and abs(z.std().item() - 1) < 0.15
    assert sampler.rejection is not None and abs(sampler.rejection.share - 0.082) < 0.015
    assert abs(Echo().sample(600).mean().item()) < 0.15  # which is left as it was


def test_a_model_without_d_says_how_to_keep_it() -> None:
    with pytest.raises(ConfigError, match=r"^rejection: the model folder holds no D; train with --keep-discriminator"):
        Echo().with_rejection()


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", '{"scale": 1}'),
        *(as_text(PLAIN).replace("3.0", value) for value in ("1e999", "NaN", "true", '"3"', "null", "1" + 400 * "0")),
    ],
)
def test_a_calibration_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(as_text(PLAIN))
    assert read_calibration(tmp_path) == PLAIN
    (tmp_path / FILE).write_text(text)
    with pytest.raises(CheckpointError, match=r"rejection.json cannot be read \(.*copy the model folder again"):
        read_calibration(tmp_path)
