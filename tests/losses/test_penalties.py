"""Penalties against closed forms, value and gradient, and against finite differences."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from multigen.errors import ConfigError
from multigen.losses import penalties

SHAPES = [(5,), (2, 7), (3, 4, 4)]  # vectors, sounds, images


def batches(*shape: int, size: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """Real and fake (B, ...) and mix (B, 1, ...), float64."""
    rng = torch.Generator().manual_seed(5)
    real, fake = torch.randn(2, size, *shape, generator=rng, dtype=torch.float64)
    mix = torch.rand(size, *[1] * len(shape), generator=rng, dtype=torch.float64)
    return real, fake, mix


class Smooth(nn.Sequential):
    """A critic of (B, 2, 6, 6) with second derivatives everywhere; dtypes of its hidden layer are
    kept in `seen`."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(nn.Conv2d(2, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(64, 1))
        self.seen: list[torch.dtype] = []
        self[0].register_forward_hook(lambda module, inputs, output: self.seen.append(output.dtype))


@pytest.mark.parametrize("shape", SHAPES)
def test_linear_critic(shape: tuple[int, ...]) -> None:
    """The gradient of <w, x> is w at every sample."""
    real, fake, mix = batches(*shape)
    w = torch.linspace(-1, 2, real[0].numel(), dtype=torch.float64).view(shape).requires_grad_()
    norm = w.detach().norm()

    def critic(x: Tensor) -> Tensor:
        return (x * w).flatten(1).sum(1)

    value = penalties.wgan_gp(critic, real, fake, mix)
    torch.testing.assert_close(value, (norm - 1) ** 2)
    torch.testing.assert_close(torch.autograd.grad(value, w)[0], 2 * (norm - 1) * w.detach() / norm)
    for value in (penalties.r1(critic, real), penalties.r2(critic, fake)):
        torch.testing.assert_close(value, norm**2 / 2)
        torch.testing.assert_close(torch.autograd.grad(value, w)[0], w.detach())


@pytest.mark.parametrize("shape", SHAPES)
def test_quadratic_critic(shape: tuple[int, ...]) -> None:
    """The gradient of a/2 |x|^2 is a x: it shows where each penalty looks."""
    real, fake, mix = batches(*shape)
    a = torch.tensor(1.7, dtype=torch.float64, requires_grad=True)

    def critic(x: Tensor) -> Tensor:
        return a / 2 * x.flatten(1).square().sum(1)

    norms = torch.stack([(m * r + (1 - m) * f).norm() for m, r, f in zip(mix, real, fake, strict=True)])  # (B,)
    value = penalties.wgan_gp(critic, real, fake, mix)
    torch.testing.assert_close(value, ((1.7 * norms - 1) ** 2).mean())
    torch.testing.assert_close(torch.autograd.grad(value, a)[0], (2 * (1.7 * norms - 1) * norms).mean())
    for value, x in ((penalties.r1(critic, real), real), (penalties.r2(critic, fake), fake)):
        energy = x.square().sum() / len(x)
        torch.testing.assert_close(value, 1.7**2 / 2 * energy)
        torch.testing.assert_close(torch.autograd.grad(value, a)[0], 1.7 * energy)
    scores, value = penalties.scores_and_r1(critic, real)
    torch.testing.assert_close(scores, critic(real))
    expected = real.flatten(1).square().sum(1).sum() / 2 + 1.7 * real.square().sum() / len(real)
    torch.testing.assert_close(torch.autograd.grad(scores.sum() + value, a)[0], expected)


def test_the_norm_is_of_a_sample_not_of_a_pixel() -> None:
    """With a gradient of 1 at each of 48 numbers, norms by pixel or by channel would give 0 or
    other figures."""
    real, fake, mix = batches(3, 4, 4)
    value = penalties.wgan_gp(lambda x: x.flatten(1).sum(1), real, fake, mix)
    torch.testing.assert_close(value.item(), (48**0.5 - 1) ** 2)
    patches = penalties.wgan_gp(lambda x: 16 * x.sum(1, keepdim=True), real, fake, mix)  # (B, 1, 4, 4): their mean
    torch.testing.assert_close(patches, value)


def test_a_critic_is_given_its_condition() -> None:
    """With label k the gradient is k everywhere: R1 and R2 are half its squared norm, WGAN-GP's
    norm is k * sqrt(48)."""
    real, fake, mix = batches(3, 4, 4)
    label = torch.arange(1, len(real) + 1, dtype=real.dtype)

    def critic(x: Tensor, label: Tensor) -> Tensor:
        return x.flatten(1).sum(1) * label

    half = (48 * label**2).mean() / 2
    torch.testing.assert_close(penalties.r1(critic, real, label), half)
    torch.testing.assert_close(penalties.r2(critic, fake, label), half)
    expected = ((label * 48**0.5 - 1) ** 2).mean()
    torch.testing.assert_close(penalties.wgan_gp(critic, real, fake, mix, label), expected)


PENALTIES: dict[str, Callable[..., Tensor]] = {
    "wgan_gp": penalties.wgan_gp,
    "r1": lambda critic, real, fake, mix: penalties.r1(critic, real),
    "r2": lambda critic, real, fake, mix: penalties.r2(critic, fake),
}


@pytest.mark.parametrize("name", PENALTIES)
def test_gradient_in_the_parameters_by_finite_differences(name: str) -> None:
    critic, samples = Smooth().double(), batches(2, 6, 6, size=2)
    names, parameters = zip(*critic.named_parameters(), strict=True)

    def penalty(*values: Tensor) -> Tensor:
        weights = dict(zip(names, values, strict=True))
        return PENALTIES[name](lambda x: functional_call(critic, weights, (x,)), *samples)

    assert torch.autograd.gradcheck(penalty, parameters)


@pytest.mark.parametrize("name", PENALTIES)
def test_float32_under_autocast(name: str) -> None:
    critic, samples = Smooth(), [x.bfloat16() for x in batches(2, 6, 6)]
    expected = PENALTIES[name](critic, *[x.float() for x in samples])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        critic(samples[0])
        value = PENALTIES[name](critic, *samples)
    assert critic.seen == [torch.float32, torch.bfloat16, torch.float32]  # autocast was on, and off in the penalty
    assert value == expected and value.dtype == torch.float32


@pytest.mark.parametrize("name", PENALTIES)
def test_samples_are_detached(name: str) -> None:
    real, fake, mix = (x.float().requires_grad_() for x in batches(2, 6, 6))
    critic = Smooth()
    PENALTIES[name](critic, real * 1, fake * 1, mix).backward()
    assert real.grad is None and fake.grad is None
    weight = critic.get_parameter("0.weight")
    assert weight.grad is not None and weight.grad.any()


@pytest.mark.parametrize("name", PENALTIES)
def test_compiled_critic_is_taken_raw(name: str) -> None:
    def refuse(graph: object, inputs: object) -> Callable[..., object]:
        raise AssertionError("the compiled critic was called")

    critic, samples = Smooth(), [x.float() for x in batches(2, 6, 6)]
    compiled = torch.compile(critic, backend=refuse)
    assert PENALTIES[name](compiled, *samples) == PENALTIES[name](critic, *samples)


def test_wgan_gp_of_a_flat_critic() -> None:
    """A new critic may end in a layer of zeros: |0| has no derivative, but the penalty's must be
    finite."""
    critic = Smooth()
    nn.init.zeros_(critic.get_parameter("3.weight"))
    value = penalties.wgan_gp(critic, *[x.float() for x in batches(2, 6, 6)])
    value.backward()
    assert value == 1
    assert all(p.grad is None or p.grad.isfinite().all() for p in critic.parameters())


@pytest.mark.parametrize(("fake", "mix"), [((1, 3, 4), (6, 1, 1)), ((6, 3, 4), (6,)), ((6, 3, 4), (1, 1, 1))])
def test_wgan_gp_refuses_shapes_that_would_broadcast(fake: tuple[int, ...], mix: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"real \(6, 3, 4\).*expected real and fake of one shape"):
        penalties.wgan_gp(torch.sum, torch.zeros(6, 3, 4), torch.zeros(fake), torch.zeros(mix))


def test_clip_weights() -> None:
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.5, -0.5], [0.005, -0.01]]))
        layer.bias.copy_(torch.tensor([0.02, 0.0]))
    weight = layer.weight
    penalties.clip_weights_(layer, 0.01)
    assert layer.weight is weight and weight.requires_grad and weight.grad_fn is None
    assert weight.tolist() == torch.tensor([[0.01, -0.01], [0.005, -0.01]]).tolist()
    assert layer.bias.tolist() == torch.tensor([0.01, 0.0]).tolist()


@pytest.mark.parametrize("bound", [0, -0.01, float("nan")])
def test_clip_weights_needs_a_positive_bound(bound: float) -> None:
    with pytest.raises(ConfigError, match=f"bound {bound}: expected a positive number"):
        penalties.clip_weights_(nn.Linear(1, 1), bound)
