import functools
import math
import zlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from multigen.audio.synthesis.augment import diff_augment, parse_policy
from multigen.errors import ConfigError

ALL = ("gain", "shift", "polarity", "mix")


def draws(batch: int, seed: int = 0, dtype=torch.float64) -> Callable[..., Tensor]:
    """Uniform numbers that depend on the name of the draw, as `Step.rand` gives them."""

    def rand(name: str, *shape: int) -> Tensor:
        draw = torch.Generator().manual_seed(seed + zlib.crc32(name.encode()))
        return torch.rand(batch, *shape, generator=draw, dtype=dtype)

    return rand


def sounds(*shape: int, seed: int = 1, dtype=torch.float64) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 2 - 1


def given(*u: float) -> Callable[..., Tensor]:
    """The same draw for each sample of a batch, whatever its name."""
    return lambda name, *shape: torch.tensor(u, dtype=torch.float64).view(-1, *shape)


def in_loops(sound: Tensor, rand: Callable[..., Tensor], stream: str, policy: tuple[str, ...]) -> np.ndarray:
    """The transformations, sample by sample."""
    x = sound.numpy().copy()
    batch, channels, length = x.shape
    for name in policy:
        u = rand(f"{stream}/{name}", 1, 1)[:, 0, 0].tolist()
        before = x.copy()
        far = math.floor(length / 8 + 0.5)
        for b, c, t in np.ndindex(batch, channels, length):
            match name:
                case "gain":
                    x[b, c, t] = before[b, c, t] * 10 ** ((-6 + 12 * u[b]) / 20)
                case "shift":
                    at = t - (math.floor(u[b] * (2 * far + 1)) - far)
                    x[b, c, t] = before[b, c, at] if 0 <= at < length else 0
                case "polarity":
                    x[b, c, t] = -before[b, c, t] if u[b] < 0.5 else before[b, c, t]
                case "mix":
                    x[b, c, t] = before[b, c, t] + 0.3 * u[b] * before[(b + 1) % batch, c, t]
    return x


@pytest.mark.parametrize("shape", [(8, 1, 64), (5, 2, 37), (1, 1, 3)])
@pytest.mark.parametrize("policy", [*((name,) for name in ALL), ALL, ALL[::-1]])
def test_agrees_with_loops(shape: tuple[int, int, int], policy: tuple[str, ...]) -> None:
    sound, rand = sounds(*shape), draws(shape[0])
    ours = diff_augment(sound, policy, rand, "fake")
    np.testing.assert_allclose(ours.numpy(), in_loops(sound, rand, "fake", policy), rtol=0, atol=1e-12)


def test_known_draws() -> None:
    sound = torch.tensor([[0.5, -0.25, 0.0, 1.0, 0.5, 0.5, 0.5, 0.125]], dtype=torch.float64).view(1, 1, 8)
    for u, decibels in ((0.0, -6), (0.5, 0), (0.75, 3)):
        louder = diff_augment(sound, ("gain",), given(u), "s")
        torch.testing.assert_close(20 * (louder / sound)[..., :2].log10(), torch.full((1, 1, 2), decibels).double())
    moved = functools.partial(diff_augment, sound, ("shift",), stream="s")
    assert moved(rand=given(0.0)).flatten().tolist() == [-0.25, 0, 1, 0.5, 0.5, 0.5, 0.125, 0]
    assert torch.equal(moved(rand=given(0.5)), sound)
    assert moved(rand=given(1.0)).flatten().tolist() == [0, 0.5, -0.25, 0, 1, 0.5, 0.5, 0.5]  # 1: rounded up
    assert torch.equal(diff_augment(sound, ("polarity",), given(0.4), "s"), -sound)
    assert torch.equal(diff_augment(sound, ("polarity",), given(0.5), "s"), sound)
    three = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64).view(3, 1, 1)
    mixed = diff_augment(three, ("mix",), given(0.0, 0.5, 1.0), "s").flatten()
    torch.testing.assert_close(mixed, torch.tensor([1.0, 25.0, 100.3], dtype=torch.float64))


def test_every_shift_up_to_an_eighth_occurs_as_often_as_another() -> None:
    sound = torch.zeros(4000, 1, 24)
    sound[:, :, 12] = 1
    moved = diff_augment(sound, ("shift",), draws(4000), "real")
    assert torch.equal(moved.sum((1, 2)), torch.ones(4000))
    shifts, counts = (moved.nonzero()[:, 2] - 12).unique(return_counts=True)
    assert shifts.tolist() == [-3, -2, -1, 0, 1, 2, 3]
    assert (counts / 4000 - 1 / 7).abs().max() < 0.025  # 4 deviations


@pytest.mark.parametrize("share", [1.0, 0.6])
def test_gradients(share: float) -> None:
    sound = sounds(3, 2, 9).requires_grad_()
    policy = functools.partial(diff_augment, policy=ALL, rand=draws(3), stream="fake", share=share)
    assert torch.autograd.gradcheck(policy, sound)
    assert torch.autograd.gradgradcheck(policy, sound)


def test_draws_decide_and_nothing_else() -> None:
    sound = sounds(6, 1, 40)
    first = diff_augment(sound, ALL, draws(6), "fake", 0.5)
    torch.manual_seed(5)
    assert torch.equal(diff_augment(sound, ALL, draws(6), "fake", 0.5), first)
    for other in (diff_augment(sound, ALL, draws(6), "real", 0.5), diff_augment(sound, ALL, draws(6, 1), "fake", 0.5)):
        assert not torch.equal(other, first)


def test_only_mix_couples_rows() -> None:
    sound, rows = sounds(6, 1, 40), slice(2, 5)  # of a micro-batch
    for policy, alike in (("gain,shift,polarity", [True, True, True]), ("mix", [True, True, False])):
        whole = diff_augment(sound, parse_policy(policy), draws(6), "s")[rows]
        part = diff_augment(sound[rows], parse_policy(policy), lambda *name: draws(6)(*name)[rows], "s")
        assert [torch.equal(a, b) for a, b in zip(whole, part, strict=True)] == alike


def test_each_transformation_is_applied_to_its_share_of_samples() -> None:
    sound = sounds(3000, 1, 16)
    assert diff_augment(sound, (), draws(3000), "s") is sound
    assert torch.equal(diff_augment(sound, ALL, draws(3000), "s", 0.0), sound)
    for name, most in (("gain", 1), ("mix", 1), ("polarity", 0.5), ("shift", 0.8)):
        whole = diff_augment(sound, (name,), draws(3000), "s")
        some = diff_augment(sound, (name,), draws(3000), "s", 0.3)
        applied = (some != sound).flatten(1).any(1)
        assert abs(applied.double().mean() - 0.3 * most) < 0.035  # 4 deviations
        assert torch.equal(some, torch.where(applied[:, None, None], whole, sound))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("share", [1, 0.5])
def test_dtype_stays(dtype: torch.dtype, share: float) -> None:
    sound = sounds(4, 2, 24).to(dtype)
    for name in ALL:
        altered = diff_augment(sound, (name,), draws(4, dtype=torch.float32), "s", share)
        assert altered.dtype == dtype and altered.shape == sound.shape


@pytest.mark.gpu
def test_nothing_waits_for_the_gpu() -> None:
    sound = sounds(8, 1, 256).cuda()
    drawn = {f"s/{name}": draws(8)(f"s/{name}", 1, 1).cuda() for name in ALL}
    torch.cuda.set_sync_debug_mode("error")
    try:
        ours = diff_augment(sound, ALL, lambda name, *_: drawn[name], "s")
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(ours.cpu(), diff_augment(sound.cpu(), ALL, draws(8), "s"))


def test_policies() -> None:
    assert parse_policy("gain,shift,polarity,mix") == ALL
    assert parse_policy("mix, gain") == ("mix", "gain")
    assert parse_policy("") == ()
    for text, name in (("gain,volume", "volume"), ("shift,", ""), ("gain,mix,gain", "gain")):
        with pytest.raises(ConfigError, match=f"{text}.*'{name}' .*expected some of gain,shift,polarity,mix"):
            parse_policy(text)
