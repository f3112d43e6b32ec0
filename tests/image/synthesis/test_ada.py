"""ADA's augmentations: each against its formula, together against what they must leave alone."""

import math
import zlib
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from multigen.image.synthesis import ada
from multigen.image.synthesis.augment import adapted_share, diff_augment, parse_policy


def only(batch: int = 1, **drawn: float | tuple[float, float]) -> Callable[..., Tensor]:
    """Uniform numbers of the transformations that are applied; the others are not applied."""

    def rand(name: str, *shape: int) -> Tensor:
        transformation, _, share = name.removeprefix("s/").partition("/")
        if share:
            return torch.full((batch, *shape), 0.0 if transformation in drawn else 1.0, dtype=torch.float64)
        values = drawn.get(transformation, 0.3)
        pair = values if isinstance(values, tuple) else (values, values)
        return torch.tensor([pair] * batch, dtype=torch.float64)

    return rand


def draws(batch: int, seed: int = 0) -> Callable[..., Tensor]:
    def rand(name: str, *shape: int) -> Tensor:
        draw = torch.Generator().manual_seed(seed + zlib.crc32(name.encode()))
        return torch.rand(batch, *shape, generator=draw, dtype=torch.float64)

    return rand


def smooth(channels: int, height: int, width: int, batch: int = 1) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    small = torch.rand(batch, channels, 5, 5, generator=draw, dtype=torch.float64) * 2 - 1
    return interpolate(small, size=(height, width), mode="bicubic")


def uniform(normal: float) -> float:
    """The uniform number that becomes this normal one."""
    return (1 + math.erf(normal / math.sqrt(2))) / 2


def warped(image: Tensor, **drawn: float | tuple[float, float]) -> Tensor:
    return ada.warped(image, True, only(len(image), **drawn), 0.5)


def inner(image: Tensor, border: int = 5) -> Tensor:
    """Without what reflections and the filter reach."""
    return image[..., border:-border, border:-border]


def test_the_filter_up_and_down_again_is_the_identity() -> None:
    image = torch.randn(2, 3, 16, 20, dtype=torch.float64)
    still = torch.eye(2, dtype=torch.float64).expand(2, 2, 2)
    sampled = ada._sampled(image, still, torch.zeros(2, 2, dtype=torch.float64))
    torch.testing.assert_close(inner(sampled), inner(image), rtol=0, atol=1e-9)


def test_changes_of_place_are_those_of_their_formulas() -> None:
    image = smooth(3, 24, 24)
    near = {"rtol": 0, "atol": 0.06}  # the filter is not quite symmetric
    torch.testing.assert_close(inner(warped(image, flip=0.1)), inner(image.flip(3)), **near)
    torch.testing.assert_close(inner(warped(image, flip=0.9)), inner(image), rtol=0, atol=1e-9)  # half are not flipped
    for turns in range(1, 4):
        turned = warped(image, turn=turns / 4)
        torch.testing.assert_close(inner(turned), inner(image.rot90(-turns, (2, 3))), **near)
    shifted = warped(image, shift=(0.9, 0.1))  # .8 and -.8 of three pixels to the right and down
    torch.testing.assert_close(inner(shifted), inner(image.roll((2, -2), (3, 2))), rtol=0, atol=1e-9)
    torch.testing.assert_close(
        inner(warped(image, fraction=(uniform(1 / 3), 0.5))), inner(image.roll(1, 3)), rtol=0, atol=1e-6
    )
    half_a_turn = warped(image, rotation=0.75, later_rotation=0.75)  # a quarter each
    torch.testing.assert_close(inner(half_a_turn), inner(image.flip(2, 3)), **near)
    larger = warped(smooth(1, 24, 24), scale=uniform(5 * math.log2(1.5)))
    whole = interpolate(smooth(1, 24, 24), size=(36, 36), mode="bilinear")[:, :, 6:30, 6:30]
    torch.testing.assert_close(inner(larger), inner(whole), rtol=0, atol=0.15)


def test_aspects_stretch_one_side_and_shrink_the_other() -> None:
    columns = torch.linspace(-1, 1, 24, dtype=torch.float64).expand(1, 1, 24, 24)
    wide = warped(columns, aspect=uniform(1.0))  # 2^.2 as wide, and 2^-.2 as high
    torch.testing.assert_close(inner(wide), inner(columns * 2**-0.2), rtol=0, atol=1e-3)
    torch.testing.assert_close(
        inner(warped(columns.mT, aspect=uniform(1.0)))[..., 4:10, :], inner(columns.mT * 2**0.2)[..., 4:10, :],
        rtol=0, atol=1e-3,
    )  # fmt: skip


def test_whole_pixels_alone_draw_no_geometry() -> None:
    asked: list[str] = []

    def rand(name: str, *shape: int) -> Tensor:
        asked.append(name.partition("/")[0])
        return torch.full((1, *shape), 0.2, dtype=torch.float64)

    ada.warped(smooth(1, 16, 16), False, rand, 0.5)
    assert {*asked} == {"flip", "turn", "shift"}


def recoloured(image: Tensor, **drawn: float) -> Tensor:
    return ada.recoloured(image, only(len(image), **drawn), 0.5)


def test_colours_are_those_of_their_formulas() -> None:
    image = torch.rand(1, 3, 2, 2, dtype=torch.float64) * 2 - 1
    luma = image.mean(1, keepdim=True)
    torch.testing.assert_close(recoloured(image, brightness=uniform(1.0)), image + 0.2)
    torch.testing.assert_close(recoloured(image, contrast=uniform(2.0)), image * 2)
    torch.testing.assert_close(recoloured(image, contrast=uniform(2.0), brightness=uniform(1.0)), image * 2 + 0.4)
    torch.testing.assert_close(recoloured(image, luma=0.1), image - 2 * luma)
    torch.testing.assert_close(recoloured(image, saturation=uniform(1.0)), luma + 2 * (image - luma))
    torch.testing.assert_close(recoloured(image, hue=0.5 + 1 / 3), image[:, [2, 0, 1]])  # a third of a turn
    grey = image[:, :1]
    for drawn in ({"hue": 0.9}, {"saturation": 0.9}):
        torch.testing.assert_close(recoloured(grey, **drawn), grey)
    torch.testing.assert_close(recoloured(grey, luma=0.1, contrast=uniform(2.0)), -2 * grey)


@pytest.mark.parametrize("policy", ["color", "bgc"])
def test_opacity_has_no_colour(policy: str) -> None:
    image = torch.rand(3, 4, 16, 16, dtype=torch.float64) * 2 - 1
    alone = ada.recoloured(image, draws(3), 1.0)  # bgc would move it as well
    result = alone if policy == "bgc" else diff_augment(image, (policy,), draws(3), "s")
    assert torch.equal(result[:, 3:], image[:, 3:]) and not torch.allclose(result[:, :3], image[:, :3])


def test_what_is_not_chosen_stays_as_it_is_bit_by_bit() -> None:
    image = torch.randn(400, 3, 16, 16, dtype=torch.float64)
    assert diff_augment(image, ("bgc",), draws(400), "s", 0.0) is image
    some = diff_augment(image, ("bgc",), draws(400), "s", 0.1)
    same = (some == image).flatten(1).all(1).double().mean()
    assert abs(same - 0.9**12) < 0.09  # 4 deviations; 13 transformations, of which both rotations share one probability
    part = diff_augment(image[50:70], ("bgc",), lambda *name: draws(400)(*name)[50:70], "s", 0.1)
    torch.testing.assert_close(part, some[50:70], rtol=0, atol=1e-12)
    assert not torch.equal(diff_augment(image, ("bgc",), draws(400, 1), "s", 0.1), some)


def test_both_derivatives() -> None:
    image = torch.randn(1, 1, 6, 7, dtype=torch.float64, requires_grad=True)
    grid = torch.rand(1, 3, 4, 2, dtype=torch.float64) * 2.5 - 1.25
    assert torch.autograd.gradcheck(lambda x: ada.Sample.apply(x, grid), image)
    assert torch.autograd.gradgradcheck(lambda x: ada.Sample.apply(x, grid), image)
    small = torch.randn(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: diff_augment(x, ("bgc",), draws(1), "s", 0.9), small)


def test_the_probability_rises_and_falls_by_equal_moves_between_0_and_1() -> None:
    assert adapted_share(0.5, 0.7, 0.6, 0.01) == 0.51
    assert adapted_share(0.5, 0.5, 0.6, 0.01) == 0.49
    assert adapted_share(0.0, -1.0, 0.6, 0.01) == 0.0 and adapted_share(0.995, 1.0, 0.6, 0.01) == 1.0


def test_precision_is_that_of_the_draws_not_of_autocast() -> None:
    image = torch.rand(4, 3, 16, 16) * 2 - 1
    rand = lambda name, *shape: draws(4)(name, *shape).float()  # noqa: E731
    expected = diff_augment(image, ("bgc",), rand, "s", 0.9)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(diff_augment(image, ("bgc",), rand, "s", 0.9), expected)


def test_policies_may_be_mixed() -> None:
    assert parse_policy("bg,cutout") == ("bg", "cutout")
    image = torch.randn(2, 3, 16, 16)
    for dtype in (torch.float32, torch.bfloat16):
        result = diff_augment(image.to(dtype), ("blit", "cutout"), lambda n, *s: draws(2)(n, *s).float(), "s")
        assert result.dtype == dtype and result.shape == image.shape
