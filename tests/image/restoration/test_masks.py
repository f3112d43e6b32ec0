"""Masks of inpainting: their shares and sizes, what they depend on, and the smallest images."""

from dataclasses import replace

import numpy as np
import pytest

from multigen.image.restoration.masks import MASKS, TRAINING, draw_mask, draw_named
from multigen.image.restoration.user_masks import thickness
from tests.cases import few

KINDS = [*MASKS]


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_has_a_hole_that_is_at_most_half_of_the_image(kind: str) -> None:
    masks = [draw_named(64, 48, kind, str(i)) for i in range(60)]
    shares = [mask.mean() for mask in masks]
    assert all(mask.shape == (64, 48) and mask.dtype == bool for mask in masks)
    assert min(shares) > 0 and max(shares) <= 0.5 and 0.1 < np.mean(shares) < 0.45


def test_thick_masks_are_thicker_than_medium_ones_and_these_than_thin_ones() -> None:
    means = [np.mean([thickness(draw_named(128, 128, kind, str(i))) for i in range(12)]) for kind in KINDS]
    assert means[0] < 12 < means[1] < means[2]


def test_lengths_shrink_with_the_image() -> None:
    """The same draws give the same mask at half the size, but for the rounding of lengths."""
    for i in range(20):
        large, small = (draw_mask(side, side, MASKS["thick"], np.random.default_rng(i)) for side in (256, 128))
        assert abs(large.mean() - small.mean()) < 0.1


def test_a_mask_follows_from_name_and_kind() -> None:
    first = draw_named(40, 40, "thick", "a.png")
    assert np.array_equal(first, draw_named(40, 40, "thick", "a.png"))
    others = [draw_named(40, 40, "thick", "b.png"), draw_named(40, 40, "medium", "a.png")]
    assert not any(np.array_equal(first, other) for other in others)


def test_training_has_boxes_as_often_as_strokes() -> None:
    boxes = [draw_mask(64, 64, replace(TRAINING, boxes=share), np.random.default_rng(3)) for share in (1.0, 0.0)]
    rows = [{tuple(row) for row in mask} for mask in boxes]
    assert len(rows[0]) < 12 < len(rows[1]), "boxes have few different rows, strokes many"
    assert TRAINING.boxes == 0.5 and MASKS["thin"].boxes == 0


@pytest.mark.parametrize("kind", few(KINDS, *(kind for kind in KINDS if kind != "thin")))
def test_small_and_narrow_images(kind: str) -> None:
    for size in ((8, 8), (9, 90), (2, 2)):
        assert 0 < draw_named(*size, kind, "x").mean() <= 0.5
    assert draw_named(1, 1, kind, "x").all()
