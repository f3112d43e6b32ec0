"""Adversarial losses against torch's own losses (values) and hand-derived formulas (gradients)."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, hinge_embedding_loss, mse_loss

from multigen import losses
from multigen.losses import adversarial

NAMES = [
    "minimax",
    "non_saturating",
    "least_squares",
    "hinge",
    "wasserstein",
    "relativistic_pairing",
    "relativistic_average",
]
PAIRED = {"relativistic_pairing", "relativistic_average"}


def cross_entropy(logits: Tensor, target: float) -> Tensor:
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def squares(logits: Tensor, target: float) -> Tensor:
    return mse_loss(logits, torch.full_like(logits, target))


def hinge(logits: Tensor) -> Tensor:
    return hinge_embedding_loss(logits, -torch.ones_like(logits))  # mean of max(0, 1 - logit)


# name -> (value, gradient in real, gradient in fake) of the discriminator's loss; gradients times the number of logits
DISCRIMINATOR = {
    "minimax": lambda r, f: (cross_entropy(r, 1) + cross_entropy(f, 0), -(-r).sigmoid(), f.sigmoid()),
    "non_saturating": lambda r, f: (cross_entropy(r, 1) + cross_entropy(f, 0), -(-r).sigmoid(), f.sigmoid()),
    "least_squares": lambda r, f: ((squares(r, 1) + squares(f, 0)) / 2, r - 1, f),
    "hinge": lambda r, f: (hinge(r) + hinge(-f), -(r < 1).double(), (f > -1).double()),
    "wasserstein": lambda r, f: (f.mean() - r.mean(), -torch.ones_like(r), torch.ones_like(f)),
    "relativistic_pairing": lambda r, f: (cross_entropy(r - f, 1), -(f - r).sigmoid(), (f - r).sigmoid()),
    "relativistic_average": lambda r, f: (
        (cross_entropy(r - f.mean(), 1) + cross_entropy(f - r.mean(), 0)) / 2,
        (-(f.mean() - r).sigmoid() - (f - r.mean()).sigmoid().mean()) / 2,
        ((f - r.mean()).sigmoid() + (f.mean() - r).sigmoid().mean()) / 2,
    ),
}

# name -> (value, gradient in fake) of the generator's loss
GENERATOR = {
    "minimax": lambda r, f: (-cross_entropy(f, 0), -f.sigmoid()),
    "non_saturating": lambda r, f: (cross_entropy(f, 1), -(-f).sigmoid()),
    "least_squares": lambda r, f: (squares(f, 1) / 2, f - 1),
    "hinge": lambda r, f: (-f.mean(), -torch.ones_like(f)),
    "wasserstein": lambda r, f: (-f.mean(), -torch.ones_like(f)),
    "relativistic_pairing": lambda r, f: (cross_entropy(f - r, 1), -(r - f).sigmoid()),
    "relativistic_average": lambda r, f: (
        (cross_entropy(f - r.mean(), 1) + cross_entropy(r - f.mean(), 0)) / 2,
        (-(r.mean() - f).sigmoid() - (r - f.mean()).sigmoid().mean()) / 2,
    ),
}


def logits(*shape: int) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(3)
    real, fake = 2 * torch.randn(2, *shape, generator=rng, dtype=torch.float64)
    return real.requires_grad_(), fake.requires_grad_()


def test_every_loss_is_listed_under_its_name() -> None:
    assert list(losses.LOSSES) == NAMES
    assert all(losses.LOSSES[name] is getattr(losses, name) for name in NAMES)
    assert {name for name, loss in losses.LOSSES.items() if loss.paired} == PAIRED


@pytest.mark.parametrize("shape", [(6,), (6, 1), (2, 1, 3, 4)])
@pytest.mark.parametrize("name", NAMES)
def test_discriminator(name: str, shape: tuple[int, ...]) -> None:
    real, fake = logits(*shape)
    loss = losses.LOSSES[name].discriminator(real, fake)
    value, real_gradient, fake_gradient = DISCRIMINATOR[name](real.detach(), fake.detach())
    torch.testing.assert_close(loss, value)
    loss.backward()
    torch.testing.assert_close(real.grad, real_gradient / real.numel())
    torch.testing.assert_close(fake.grad, fake_gradient / fake.numel())


@pytest.mark.parametrize("shape", [(6,), (6, 1), (2, 1, 3, 4)])
@pytest.mark.parametrize("name", NAMES)
def test_generator(name: str, shape: tuple[int, ...]) -> None:
    real, fake = logits(*shape)
    loss = losses.LOSSES[name].generator(fake, real.detach())
    value, gradient = GENERATOR[name](real.detach(), fake.detach())
    torch.testing.assert_close(loss, value)
    loss.backward()
    torch.testing.assert_close(fake.grad, gradient / fake.numel())
    if name not in PAIRED:
        assert losses.LOSSES[name].generator(fake) == loss


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_logits_are_computed_in_float32(name: str) -> None:
    loss = losses.LOSSES[name]
    real, fake = (x.detach().bfloat16().requires_grad_() for x in logits(64))
    wide_real, wide_fake = real.detach().float(), fake.detach().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        sides = loss.discriminator(real, fake), loss.generator(fake, real)
    assert sides == (loss.discriminator(wide_real, wide_fake), loss.generator(wide_fake, wide_real))
    assert all(side.dtype == torch.float32 for side in sides)
    (gradient,) = torch.autograd.grad(sides[0], fake)
    assert gradient.dtype == torch.bfloat16 and gradient.any()


@pytest.mark.parametrize("name", NAMES)
def test_huge_logits_stay_finite(name: str) -> None:
    real, fake = (torch.tensor([-x, x], requires_grad=True) for x in (1e5, -1e5))
    loss = losses.LOSSES[name]
    total = loss.discriminator(real, fake) + loss.generator(fake, real)
    gradients = torch.autograd.grad(total, [real, fake])
    assert total.isfinite() and all(g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("name", sorted(PAIRED))
def test_paired_generator_loss_needs_real_logits(name: str) -> None:
    with pytest.raises(ValueError, match=r"real=None.*call generator\(fake, real\)"):
        losses.LOSSES[name].generator(torch.zeros(3))


def test_pairs_need_one_shape() -> None:
    # (3, 1) and (3,) would broadcast to nine pairs.
    with pytest.raises(ValueError, match=r"\(3, 1\), fake logits \(3,\).*one shape"):
        losses.relativistic_pairing.discriminator(torch.zeros(3, 1), torch.zeros(3))


def test_relativistic_average_takes_batches_of_two_sizes() -> None:
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.0, 3.0])
    expected = (cross_entropy(real - 1, 1) + cross_entropy(fake - 2, 0)) / 2
    torch.testing.assert_close(losses.relativistic_average.discriminator(real, fake), expected)


def test_relativistic_average_uses_the_means_of_all_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake, other_real, other_fake = torch.arange(12.0).split([4, 4, 2, 2])
    other = torch.stack([other_real.sum(), torch.tensor(2.0), other_fake.sum(), torch.tensor(2.0)])
    monkeypatch.setattr(adversarial, "all_sum", lambda parts: parts + other)
    real_mean, fake_mean = torch.cat([real, other_real]).mean(), torch.cat([fake, other_fake]).mean()
    expected = (cross_entropy(real - fake_mean, 1) + cross_entropy(fake - real_mean, 0)) / 2
    torch.testing.assert_close(losses.relativistic_average.discriminator(real, fake), expected)


def one_rank(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    real, fake = logits(6)
    rows = slice(0, 4) if rank == 0 else slice(4, 6)  # unequal shares
    loss = losses.relativistic_average.discriminator(real[rows], fake[rows]) * len(real[rows]) / len(real)
    loss.backward()
    torch.save({"loss": loss.detach(), "real": real.grad, "fake": fake.grad}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.dist
def test_two_ranks_equal_one_process(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(one_rank, (str(tmp_path),), nprocs=2)  # pyright: ignore[reportPrivateImportUsage]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    real, fake = logits(6)
    loss = losses.relativistic_average.discriminator(real, fake)
    loss.backward()
    torch.testing.assert_close(first["loss"] + second["loss"], loss.detach())
    torch.testing.assert_close(first["real"] + second["real"], real.grad)
    torch.testing.assert_close(first["fake"] + second["fake"], fake.grad)


@pytest.mark.parametrize(("a", "b", "c"), [(-1.0, 1.0, 0.0), (0.0, 1.0, 1.0), (0.5, 3.0, -2.0)])
def test_least_squares_have_the_targets_that_are_given(a: float, b: float, c: float) -> None:
    loss = losses.least_squares_to(a, b, c)
    real, fake = logits(7, 3)
    value = loss.discriminator(real, fake)
    assert torch.allclose(value, (squares(real, b) + squares(fake, a)) / 2)
    gradients = torch.autograd.grad(value, (real, fake))
    assert torch.allclose(gradients[0] * real.numel(), real - b) and torch.allclose(gradients[1] * 21, fake - a)
    assert torch.allclose(loss.generator(fake), squares(fake, c) / 2)
    assert loss.discriminator(torch.full((2,), b), torch.full((2,), a)) == loss.generator(torch.full((2,), c)) == 0
