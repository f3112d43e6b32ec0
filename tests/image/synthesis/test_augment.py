import functools
import math
import zlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from multigen.errors import ConfigError
from multigen.image.synthesis.augment import diff_augment, mirror, parse_policy

ALL = ("color", "translation", "cutout")
NAMES = ("brightness", "saturation", "contrast", "translation", "cutout")


def draws(batch: int, seed: int = 0, dtype=torch.float64) -> Callable[..., Tensor]:
    """Uniform numbers that depend on the name of the draw, as `Step.rand` gives them."""

    def rand(name: str, *shape: int) -> Tensor:
        draw = torch.Generator().manual_seed(seed + zlib.crc32(name.encode()))
        return torch.rand(batch, *shape, generator=draw, dtype=dtype)

    return rand


def pictures(*shape: int, seed: int = 1, dtype=torch.float64) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 2 - 1


def only(name: str, x: float, y: float = 0.0) -> Callable[..., Tensor]:
    """Draws x and y for one transformation of a single image; those of the others leave an image
    alone."""
    still = {"saturation": 0.5, "contrast": 0.5, "brightness": 0.5}

    def rand(stream: str, *shape: int) -> Tensor:
        values = [x, y] if stream == f"s/{name}" else [still[stream.removeprefix("s/")]] * 2
        return torch.tensor(values, dtype=torch.float64).view(1, *shape)

    return rand


def in_loops(image: Tensor, rand: Callable[..., Tensor], stream: str) -> np.ndarray:
    """All transformations, sample by sample and pixel by pixel."""
    u = {name: rand(f"{stream}/{name}", 2, 1, 1)[:, :, 0, 0].numpy() for name in NAMES}
    results = []
    for b, x in enumerate(image.numpy()):
        x = x + u["brightness"][b, 0] - 0.5
        grey = sum(x) / len(x)
        x = np.stack([grey + (channel - grey) * u["saturation"][b, 0] * 2 for channel in x])
        x = x.mean() + (x - x.mean()) * (0.5 + u["contrast"][b, 0])
        _, height, width = x.shape
        far = [math.floor(side / 8 + 0.5) for side in (height, width)]
        down, right = (math.floor(v * (2 * m + 1)) - m for v, m in zip(u["translation"][b], far, strict=True))
        hole = [math.floor(side / 2 + 0.5) for side in (height, width)]
        sides = [side + (0 if h % 2 else 1) for side, h in zip((height, width), hole, strict=True)]
        top, left = (math.floor(v * n) - h // 2 for v, n, h in zip(u["cutout"][b], sides, hole, strict=True))
        result = np.zeros_like(x)
        for i, j in np.ndindex(height, width):
            cut = top <= i < top + hole[0] and left <= j < left + hole[1]
            if 0 <= i - down < height and 0 <= j - right < width and not cut:
                result[:, i, j] = x[:, i - down, j - right]
        results.append(result)
    return np.stack(results)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(16, 16), (13, 22), (6, 9)])
def test_agrees_with_loops(channels: int, height: int, width: int) -> None:
    image, rand = pictures(8, channels, height, width), draws(8)
    ours = diff_augment(image, ALL, rand, "fake")
    np.testing.assert_allclose(ours.numpy(), in_loops(image, rand, "fake"), rtol=0, atol=1e-12)


def test_colours_of_known_draws() -> None:
    image = torch.tensor([[0.6, 0.2], [0.0, -0.4], [-0.3, 0.5]], dtype=torch.float64).view(1, 3, 1, 2)
    color = functools.partial(diff_augment, image, ("color",), stream="s")
    torch.testing.assert_close(color(rand=only("brightness", 0.9)), image + 0.4)
    torch.testing.assert_close(color(rand=only("saturation", 0.0)), torch.full_like(image, 0.1))
    torch.testing.assert_close(color(rand=only("saturation", 1.0)), 2 * image - 0.1)
    torch.testing.assert_close(color(rand=only("contrast", 0.0)), 0.5 * image + 0.05)
    torch.testing.assert_close(color(rand=only("contrast", 1.0)), 1.5 * image - 0.05)


def test_saturation_leaves_grey_pictures_alone() -> None:
    image = pictures(1, 1, 5, 4)
    for u in (0.0, 0.3, 1.0):
        assert torch.equal(
            diff_augment(image, ("color",), only("saturation", u), "s"),
            diff_augment(image, ("color",), only("saturation", 0.5), "s"),
        )


def test_every_shift_up_to_an_eighth_occurs_as_often_as_another() -> None:
    image = torch.zeros(4000, 1, 16, 24)
    image[:, :, 8, 12] = 1
    moved = diff_augment(image, ("translation",), draws(4000), "real")
    assert torch.equal(moved.sum((1, 2, 3)), torch.ones(4000))  # the point has moved by whole pixels
    _, _, rows, columns = moved.nonzero(as_tuple=True)
    for at, middle, most in ((rows, 8, 2), (columns, 12, 3)):
        shifts, counts = (at - middle).unique(return_counts=True)
        assert shifts.tolist() == list(range(-most, most + 1))
        assert (counts / 4000 - 1 / len(shifts)).abs().max() < 0.03  # 4 deviations


@pytest.mark.parametrize(("side", "hole"), [(16, 8), (9, 5)])
def test_holes_have_half_the_side_and_may_be_cut_by_borders(side: int, hole: int) -> None:
    cut = diff_augment(torch.ones(2000, 1, side, side), ("cutout",), draws(2000), "real") == 0
    heights, widths = cut.any(3).sum(2)[:, 0], cut.any(2).sum(2)[:, 0]  # (2000,)
    assert torch.equal(cut.sum((1, 2, 3)), heights * widths)  # rectangles
    for extent in (heights, widths):
        assert extent.unique().tolist() == list(range((hole + 1) // 2, hole + 1))
    assert cut.float().mean(0).min() > 0.05  # every pixel, those at the corners too


def test_gradients() -> None:
    image = pictures(1, 3, 3, 4).requires_grad_()
    policy = functools.partial(diff_augment, policy=ALL, rand=draws(1), stream="fake", share=0.7)
    assert torch.autograd.gradcheck(policy, image)
    assert torch.autograd.gradgradcheck(policy, image)


def test_draws_decide_and_nothing_else() -> None:
    image = pictures(6, 3, 16, 16)
    first = diff_augment(image, ALL, draws(6), "fake", 0.5)
    torch.manual_seed(5)
    assert torch.equal(diff_augment(image, ALL, draws(6), "fake", 0.5), first)
    for other in (diff_augment(image, ALL, draws(6), "real", 0.5), diff_augment(image, ALL, draws(6, 1), "fake", 0.5)):
        assert not torch.equal(other, first)
    rows = slice(2, 5)  # of a micro-batch
    part = diff_augment(image[rows], ALL, lambda *name: draws(6)(*name)[rows], "fake", 0.5)
    torch.testing.assert_close(part, first[rows], rtol=0, atol=1e-12)


def test_each_transformation_is_applied_to_its_share_of_samples() -> None:
    image = pictures(3000, 3, 8, 8)
    assert diff_augment(image, (), draws(3000), "s") is image
    assert torch.equal(diff_augment(image, ALL, draws(3000), "s", 0.0), image)
    whole = diff_augment(image, ("cutout",), draws(3000), "s")
    some = diff_augment(image, ("cutout",), draws(3000), "s", 0.3)
    applied = (some != image).flatten(1).any(1)
    assert abs(applied.double().mean() - 0.3) < 0.035  # 4 deviations
    assert torch.equal(some, torch.where(applied[:, None, None, None], whole, image))
    both = diff_augment(image, ("color", "cutout"), draws(3000), "s", 0.3)
    cut = (both == 0).flatten(1).any(1)
    assert torch.equal(cut, applied)
    changed = (both != some).flatten(1).any(1)  # by at least one of three
    for group in (changed[cut], changed[~cut]):  # each transformation draws for itself
        assert abs(group.double().mean() - (1 - 0.7**3)) < 0.07


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_dtype_and_memory_format_stay(dtype: torch.dtype, layout: torch.memory_format) -> None:
    image = pictures(2, 3, 8, 12).to(dtype, memory_format=layout)  # pyright: ignore[reportCallIssue]
    rand = draws(2, dtype=torch.float32)
    for altered in (
        *(diff_augment(image, (member,), rand, "s", share) for member in ALL for share in (1, 0.5)),
        mirror(image, rand("mirror", 1, 1, 1)),
    ):
        assert altered.dtype == dtype and altered.shape == image.shape
        assert altered.is_contiguous(memory_format=layout)


@pytest.mark.gpu
def test_nothing_waits_for_the_gpu() -> None:
    image = pictures(8, 3, 32, 32).cuda().to(memory_format=torch.channels_last)
    drawn = {name: draws(8)(name, 2, 1, 1).cuda() for name in (f"s/{n}" for n in NAMES)}
    torch.cuda.set_sync_debug_mode("error")
    try:
        ours = diff_augment(image, ALL, lambda name, *_: drawn[name], "s")
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert ours.device == image.device
    torch.testing.assert_close(ours.cpu(), diff_augment(image.cpu(), ALL, draws(8), "s"))


def test_policies() -> None:
    assert parse_policy("color,translation,cutout") == ALL
    assert parse_policy("cutout, color") == ("cutout", "color")
    assert parse_policy("") == ()
    for text, name in (("color,colour", "colour"), ("cutout,", ""), ("color,cutout,color", "color")):
        with pytest.raises(ConfigError, match=f"{text}.*'{name}' .*expected some of color,translation,cutout"):
            parse_policy(text)


def test_mirror() -> None:
    image = pictures(3, 2, 4, 5)
    mirrored = mirror(image, torch.tensor([0.2, 0.5, 0.49]).view(3, 1, 1, 1))
    for flipped, (ours, given) in zip((True, False, True), zip(mirrored, image, strict=True), strict=True):
        assert torch.equal(ours, given[..., [4, 3, 2, 1, 0]] if flipped else given)
