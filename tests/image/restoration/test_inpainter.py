"""The ready object of inpainting: what stays exactly as it was, images of all kinds and sizes,
masks of users."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from multigen.errors import ConfigError, DataError
from multigen.image.decoding import Raster
from multigen.image.restoration.inpainter import Inpainter
from multigen.image.restoration.networks import FFCGenerator
from multigen.image.restoration.user_masks import dilated, feathered, hole_of, pieces, rings, thickness, whole_holes
from tests.tiny import pixels


@pytest.fixture(scope="module")
def inpainter() -> Inpainter:
    torch.manual_seed(0)
    return Inpainter(FFCGenerator(4, 1, 2).eval(), crop=32)


class Recorder(nn.Module):
    """Paints holes in one colour, and notes the sizes that it was given and the share of holes in
    them."""

    multiple = 4

    def __init__(self, colour: Sequence[float] = (1.0, 0.0, 0.5)):
        super().__init__()
        self.colour = nn.Parameter(torch.tensor(colour))
        self.seen: list[tuple[int, int, float]] = []

    def forward(self, given: Tensor) -> Tensor:
        assert (given[:, :3] * given[:, 3:]).abs().max() == 0, "what is in the hole was seen"
        self.seen.append((given.shape[2], given.shape[3], float(given[:, 3].mean())))
        return self.colour[:, None, None].expand(given.shape[0], 3, *given.shape[2:])


def plain(height: int, width: int) -> np.ndarray:
    """An image of one colour, which is not grey."""
    return np.full((height, width, 3), (10, 20, 30), np.uint8)


def hole_at(height: int, width: int, *boxes: tuple[int, int, int, int]) -> np.ndarray:
    hole = np.zeros((height, width), bool)
    for top, left, bottom, right in boxes:
        hole[top:bottom, left:right] = True
    return hole


# ---------------------------------------------------------------------------------------------------- what changes


def test_known_pixels_stay_exactly_as_they_were(inpainter: Inpainter) -> None:
    image, hole = pixels(40, 53), hole_at(40, 53, (10, 20, 18, 31))
    filled = inpainter.inpaint(image, hole)
    grown = dilated(hole, 2)
    assert np.array_equal(filled[~grown], image[~grown])
    assert (filled[hole] != image[hole]).any(-1).mean() > 0.9
    exact = inpainter.inpaint(image, hole, dilate=0)
    assert np.array_equal(exact[~hole], image[~hole])


def test_the_network_never_sees_what_is_in_the_dilated_hole() -> None:
    """`Recorder` fails where it does; the object's rim beside a tight mask is not seen either."""
    image = np.zeros((40, 40, 3), np.uint8)
    image[9:21, 9:21] = 255  # the object, a pixel wider than its mask
    filled = Inpainter(Recorder((0.0, 0.0, 0.0)), 32).inpaint(image, hole_at(40, 40, (10, 10, 20, 20)), feather=0)
    assert filled.max() == 0


def test_the_edge_is_feathered_within_the_dilation() -> None:
    image, hole = np.zeros((30, 30, 3), np.uint8), hole_at(30, 30, (10, 10, 20, 20))
    white = Inpainter(Recorder((1.0, 1.0, 1.0)), 32)
    line = white.inpaint(image, hole, dilate=4, feather=3)[15, :, 0].tolist()
    assert line[:12] == [0] * 6 + [64, 128, 191, 255, 255, 255]
    assert white.inpaint(image, hole, dilate=4, feather=0)[15, 5:8, 0].tolist() == [0, 255, 255]


@pytest.mark.parametrize(("dilate", "feather"), [(-1, 0), (2, 3), (0, 1), (3, -1)])
def test_dilation_and_feathering_are_checked(inpainter: Inpainter, dilate: int, feather: int) -> None:
    with pytest.raises(ConfigError, match=f"dilate {dilate}, feather {feather}: expected 0 or more pixels"):
        inpainter.inpaint(pixels(20, 20), hole_at(20, 20, (5, 5, 8, 8)), dilate, feather)


def test_a_mask_that_would_grow_over_everything_stays_as_it_is(inpainter: Inpainter) -> None:
    hole = ~hole_at(6, 6, (2, 2, 4, 4))
    image = pixels(6, 6)
    assert np.array_equal(inpainter.inpaint(image, hole)[~hole], image[~hole])


# ---------------------------------------------------------------------------------------------------- kinds


def test_kinds_of_images_and_masks_give_the_same(inpainter: Inpainter) -> None:
    image, hole = pixels(24, 20), hole_at(24, 20, (5, 5, 12, 14))
    expected = inpainter.inpaint(image, hole)
    tensor = inpainter.inpaint(torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(hole))
    assert np.array_equal(tensor.permute(1, 2, 0).numpy(), expected)
    white = Image.fromarray(hole.astype(np.uint8) * 255)
    cut = Image.merge("RGBA", [*Image.fromarray(image).split(), white.point(lambda v: 255 - v)])
    opaque = white.convert("RGBA")
    for mask in (white, white.convert("1"), white.convert("RGB"), cut, opaque, hole.astype(np.uint8)[None] * 255):
        assert np.array_equal(np.asarray(inpainter.inpaint(Image.fromarray(image), mask)), expected)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("LA", 2), ("RGB", 3), ("RGBA", 4), ("I;16", 1), ("P", 3)])
def test_images_of_every_mode(inpainter: Inpainter, mode: str, channels: int) -> None:
    picture = Image.fromarray(pixels(24, 20))
    picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257) if mode == "I;16" else picture
    picture = picture if mode == "I;16" else picture.convert(mode)
    picture.info["icc_profile"] = Image.new("L", (1, 1)).info.get("icc_profile")
    filled = inpainter.inpaint(picture, hole_at(24, 20, (5, 5, 12, 14)))
    assert filled.mode == ("RGB" if mode == "P" else mode) and filled.size == (20, 24)
    same = np.asarray(filled)[-5:] == np.asarray(picture.convert("RGB") if mode == "P" else picture)[-5:]
    assert same.all()


def test_sixteen_bits_opacity_and_profile_are_kept(inpainter: Inpainter) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (24, 20, 4), dtype=np.uint16)
    hole = hole_at(24, 20, (5, 5, 12, 14))
    filled = inpainter.restore_raster(Raster(deep, b"profile"), hole, dilate=0)
    assert filled.pixels.dtype == np.uint16 and filled.profile == b"profile"
    assert np.array_equal(filled.pixels[..., 3], deep[..., 3])
    assert np.array_equal(filled.pixels[~hole], deep[~hole]) and (filled.pixels[hole] % 257).any()


def test_grey_stays_grey(inpainter: Inpainter) -> None:
    grey = np.repeat(pixels(24, 20)[..., :1], 3, axis=-1)
    filled = inpainter.inpaint(grey, hole_at(24, 20, (5, 5, 12, 14)))
    assert (filled == filled[..., :1]).all()


@pytest.mark.parametrize("size", [(2, 1), (1, 2), (3, 5), (33, 47), (4, 90)])
def test_images_of_any_size(inpainter: Inpainter, size: tuple[int, int]) -> None:
    image, hole = pixels(*size), np.zeros(size, bool)
    hole[0, 0] = True
    filled = inpainter.inpaint(image, hole, dilate=0)
    assert filled.shape == image.shape and np.array_equal(filled[~hole], image[~hole])


@pytest.mark.parametrize(
    ("image", "mask", "message"),
    [
        (pixels(8, 9), hole_at(9, 8, (1, 1, 2, 2)), "mask of 8x9 pixels, the image has 9x8"),
        (pixels(8, 9), hole_at(8, 9), "the mask is empty: nothing to fill"),
        (pixels(8, 9), ~hole_at(8, 9), "the mask covers the whole image"),
        (pixels(8, 9), np.zeros((8, 9), np.float32), r"mask: bool or uint8 \(H, W\) expected, got float32"),
        (pixels(8, 9), np.zeros((8, 9, 3), np.uint8), r"mask: bool or uint8 \(H, W\) expected, got uint8 \(8, 9, 3\)"),
        (pixels(8, 9)[..., :2], hole_at(8, 9, (1, 1, 2, 2)), "a uint8 image"),
        ("photo.jpg", hole_at(8, 9, (1, 1, 2, 2)), "open files with PIL.Image.open"),
    ],
)
def test_what_does_not_fit_is_named(inpainter: Inpainter, image: object, mask: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        inpainter.inpaint(image, mask)  # pyright: ignore[reportArgumentType]


# ---------------------------------------------------------------------------------------------------- windows


def test_a_small_hole_of_a_large_image_is_filled_at_its_own_resolution() -> None:
    network = Recorder()
    Inpainter(network, 32).inpaint(plain(400, 500), hole_at(400, 500, (200, 100, 208, 112)))
    ((height, width, share),) = network.seen
    assert height < 60 and width < 60 and share > 0.04


def test_holes_that_are_near_together_are_filled_at_once_and_others_by_themselves() -> None:
    near = hole_at(300, 300, (20, 20, 26, 26), (20, 32, 26, 38))
    for boxes, count in ((near, 1), (near | hole_at(300, 300, (250, 250, 256, 256)), 2)):
        network = Recorder()
        filled = Inpainter(network, 32).inpaint(plain(300, 300), boxes)
        assert len(network.seen) == count and (filled[boxes] == [255, 0, 128]).all()


def test_a_hole_thicker_than_those_of_training_is_filled_in_a_smaller_copy() -> None:
    network, hole = Recorder(), hole_at(300, 300, (50, 50, 250, 250))
    filled = Inpainter(network, 32).inpaint(plain(300, 300), hole)
    ((height, width, share),) = network.seen
    assert max(height, width) <= 60 and 0.15 < share < 0.6
    assert np.abs(filled[hole].astype(int) - [255, 0, 128]).max() <= 1


def test_a_long_scratch_is_filled_in_parts_no_larger_than_the_tile() -> None:
    network = Recorder()
    hole = np.eye(300, dtype=bool)
    filled = Inpainter(network, 32, tile=64).inpaint(plain(300, 300), hole, dilate=1, feather=0)
    assert (filled[hole] == [255, 0, 128]).all() and len(network.seen) > 4
    assert all(max(height, width) <= 64 + 32 + 4 for height, width, _ in network.seen)


def test_a_large_hole_is_filled_inwards_from_what_is_known() -> None:
    network, hole = Recorder(), hole_at(500, 400, (0, 0, 350, 400))
    Inpainter(network, 64).inpaint(plain(500, 400), hole)
    assert len(network.seen) >= 4 and max(share for _, _, share in network.seen) < 1


def test_rings_count_squares_from_what_is_known() -> None:
    hole = hole_at(10, 40, (0, 0, 10, 35))
    assert [*rings(hole, 10)[0, [0, 9, 10, 25, 39]]] == [3, 3, 2, 1, 0]
    with pytest.raises(ValueError, match="expected known pixels"):
        rings(np.ones((4, 4), bool), 2)


def test_masks_as_geometry() -> None:
    hole = hole_at(20, 30, (5, 5, 10, 14), (5, 20, 6, 30))
    assert [thickness(hole_at(20, 30, (5, 5, 10, 14))), thickness(hole_at(20, 30, (3, 3, 4, 20)))] == [5, 1]
    assert [*pieces(hole, 100)] == [(slice(5, 10), slice(5, 14)), (slice(5, 6), slice(20, 30))]
    assert [*pieces(hole, 5)][:2] == [(slice(5, 10), slice(5, 9)), (slice(5, 10), slice(9, 14))]
    window = slice(0, 20), slice(8, 30)
    assert whole_holes(hole, window).sum() == 10, "the hole that the window cuts is left out, that at the border is not"
    assert dilated(hole_at(9, 9, (4, 4, 5, 5)), 2).sum() == 25 and dilated(hole, 0) is hole
    assert feathered(hole_at(9, 9, (2, 2, 7, 7)), 2)[4].tolist() == pytest.approx(
        [0, 0, 1 / 3, 2 / 3, 1, 2 / 3, 1 / 3, 0, 0]
    )
    assert hole_of(torch.tensor([[127, 128]], dtype=torch.uint8)).tolist() == [[False, True]]


def test_crops_to_look_at(inpainter: Inpainter) -> None:
    sheet = inpainter.sheet(2)
    assert sheet.size == (2 * 160 + 2, 160) and sheet.tobytes() == inpainter.sheet(2, seed=5).tobytes()
    with pytest.raises(ConfigError, match="n 0"):
        inpainter.sheet(0)
