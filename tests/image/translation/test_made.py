"""Images made of photographs: what each task makes, for any size, the same each time."""

import numpy as np
import pytest
import torch
from skimage.feature import canny
from torch import Tensor

from multigen.errors import ConfigError
from multigen.image.files import embedded_photos, read_image
from multigen.image.translation.made import MADE, made_of


@pytest.fixture(scope="module")
def photo() -> Tensor:
    return read_image(embedded_photos("held_out")[0].path)[:, 40:168, 100:260].contiguous()  # a cat's face


@pytest.mark.parametrize("task", MADE)
@pytest.mark.parametrize("size", [(1, 1), (2, 9), (33, 20)])
def test_the_size_stays_whatever_it_is_and_nothing_is_drawn(task: str, size: tuple[int, int]) -> None:
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, *size), dtype=np.uint8))
    before = image.clone()
    one, two = (made_of(task)(image, name) for name in ("a", "b"))
    assert one.shape == image.shape and one.dtype == torch.uint8 and one.is_contiguous()
    assert torch.equal(one, two) and torch.equal(image, before)


@pytest.mark.parametrize("task", MADE)
@pytest.mark.parametrize("level", [0, 128, 255])
def test_flat_images_give_flat_ones(task: str, level: int) -> None:
    made = made_of(task)(torch.full((3, 24, 24), level, dtype=torch.uint8), "flat")
    assert (made == made[:, :1, :1]).all()


def test_colour_starts_from_luma() -> None:
    red = torch.tensor([200, 0, 0], dtype=torch.uint8)[:, None, None].expand(3, 2, 2)
    assert (MADE["colour"](red, "") == round(200 * 0.299)).all()


def test_edges_are_lines_of_black_where_brightness_changes() -> None:
    image = torch.zeros(3, 32, 32, dtype=torch.uint8)
    image[:, :, 16:] = 200
    made = MADE["edges"](image, "")
    assert set(made.unique().tolist()) == {0, 255}
    columns = (made[0] == 0).nonzero()[:, 1].unique().tolist()
    assert {15, 16} >= {*columns} and (made[0] == 0).sum() >= 28


def test_edges_start_from_the_named_share_of_the_gradients(photo: Tensor) -> None:
    """scikit-image's own shares, of a photograph whose gradients are strong."""
    luma = MADE["colour"](photo, "")[0].double() / 255
    expected = canny(luma.numpy(), 1.0, 0.7, 0.85, use_quantiles=True, mode="nearest")
    lines = (MADE["edges"](photo, "")[0] == 0).numpy()
    assert (lines != expected).mean() < 0.01 < expected.mean()  # of luma that is not rounded


def test_edges_are_found_in_weak_contrast_too(photo: Tensor) -> None:
    weak = (photo.float() * 0.2 + 100).round().to(torch.uint8)
    lines, of_weak = ((MADE["edges"](x, "")[0] == 0).double() for x in (photo, weak))
    assert 0.02 < lines.mean() < 0.2
    assert (lines * of_weak).sum() > 0.6 * lines.sum()


def test_a_sketch_is_light_but_for_what_is_dark(photo: Tensor) -> None:
    made = MADE["sketch"](photo, "")[0].double()
    luma = MADE["colour"](photo, "")[0].double()
    assert made.median() > 230 and made.min() < 120
    assert torch.corrcoef(torch.stack([made.flatten(), luma.flatten()]))[0, 1] > 0.1


def test_blur_removes_detail_and_keeps_the_mean(photo: Tensor) -> None:
    made = MADE["blur"](photo, "")
    assert (made.double().mean((1, 2)) - photo.double().mean((1, 2))).abs().max() < 0.5
    gradients = [x.double().diff(dim=2).abs().mean() for x in (made, photo)]
    assert gradients[0] < 0.6 * gradients[1]


def test_segments_are_four_colours_near_those_of_the_photograph(photo: Tensor) -> None:
    made = MADE["segments"](photo, "")
    colours = made.flatten(1).unique(dim=1)
    assert colours.shape == (3, 4)
    flat = photo.double().mean((1, 2), keepdim=True)
    assert (made.double() - photo.double()).square().mean() < 0.3 * (flat - photo.double()).square().mean()


def test_swap_is_its_own_inverse_and_night_is_darkest_in_red(photo: Tensor) -> None:
    swapped = MADE["swap"](photo, "")
    assert torch.equal(swapped[0], photo[2]) and torch.equal(MADE["swap"](swapped, ""), photo)
    white = torch.full((3, 1, 1), 255, dtype=torch.uint8)
    assert MADE["night"](white, "").flatten().tolist() == [89, 115, 191]


def test_another_task_is_named() -> None:
    with pytest.raises(ConfigError, match=r"task 'paint': expected one of colour, edges, sketch, blur, segments, swap"):
        made_of("paint")
