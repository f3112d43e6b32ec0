"""Upscaling in tiles against the whole image, images of every kind, the sheet of crops, the
exported graph."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from torch import Tensor, nn

from multigen.errors import ConfigError, DataError
from multigen.image.decoding import Raster
from multigen.image.degrade import imresize, reduced
from multigen.image.files import embedded_photos, read_image
from multigen.image.image_to_image import SURROUNDINGS
from multigen.image.restoration.srgan import CompactGenerator, SRResNet
from multigen.image.restoration.upscaler import Restorer, Upscaler
from tests.cases import few
from tests.tiny import pixels


def network(kind: type, scale: int = 2, dtype: torch.dtype = torch.float32) -> Any:
    """A generator with random weights whose output keeps within the range of an image."""
    torch.manual_seed(0)
    net = kind(scale, 2, 4).to(dtype).eval()
    with torch.no_grad():
        last = net.tail if kind is CompactGenerator else net.tail[-1]
        last.weight.mul_(0.5 if kind is CompactGenerator else 3.0)
        last.bias.fill_(0.0 if kind is CompactGenerator else 0.5)
    return net


def picture(height: int, width: int, seed: int = 0) -> Tensor:
    """uint8 (3, H, W)."""
    return torch.from_numpy(pixels(height, width, seed)).permute(2, 0, 1)


@pytest.fixture
def upscaler() -> Upscaler:
    return Upscaler(network(CompactGenerator), 2)


# -- tiles -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SRResNet, CompactGenerator])
@pytest.mark.parametrize("size", [(37, 53), (16, 17), (5, 7), (1, 40)])
@pytest.mark.parametrize("scale", few([2, 3, 4], 2))
def test_tiles_leave_no_seams(kind: type, size: tuple[int, int], scale: int) -> None:
    """In float64 bit for bit; in float32, where convolutions of other sizes round otherwise, within
    one level of grey."""
    image = picture(*size)
    for dtype, tolerance in ((torch.float64, 0), (torch.float32, 1)):
        net = network(kind, scale, dtype)
        tiled, whole = (Upscaler(net, scale, tile)(image).int() for tile in (16, 1000))
        assert whole.shape == (3, scale * size[0], scale * size[1])
        assert (tiled - whole).abs().max() <= tolerance


@pytest.mark.parametrize("tile", [15, 16])
def test_tiles_leave_no_seams_where_squares_of_pixels_are_channels(tile: int) -> None:
    net = CompactGenerator(1, 2, 8, unshuffle=2).double()
    tiled, whole = (Restorer(net, 1, side)(picture(61, 53)) for side in (tile, 1000))
    assert torch.equal(tiled, whole)


def test_floats_are_restored_as_they_are() -> None:
    """Noise that exceeds 0..1 is not clipped before the network sees it."""

    class Darker(torch.nn.Module):
        radius = 0

        def __init__(self) -> None:
            super().__init__()
            self.less = torch.nn.Parameter(torch.tensor(0.5))

        def forward(self, image: Tensor) -> Tensor:
            return image - self.less

    restorer, image = Restorer(Darker()), picture(20, 24)
    assert torch.equal(restorer(image.float() / 255), restorer(image))
    assert restorer(torch.full((3, 4, 5), 1.3)).unique().tolist() == [204]
    assert restorer(torch.full((3, 4, 5), 2.0)).unique().tolist() == [255]
    with pytest.raises(DataError, match=r"a uint8 or float32 image \(3, H, W\) is expected, got torch.float64"):
        restorer(image.double())


@pytest.mark.parametrize("kind", [SRResNet, CompactGenerator])
def test_the_whole_is_what_the_network_says(kind: type) -> None:
    net, image = network(kind), picture(20, 23)
    with torch.no_grad():
        expected = (net(image[None] / 255)[0] * 255).round().clamp(0, 255)
    assert (Upscaler(net, 2)(image) - expected).abs().max() <= 1
    assert len(expected.unique()) > 50


def test_tiles_without_their_surroundings_would_show() -> None:
    """The test above can fail."""
    net, image = network(SRResNet), picture(37, 53)
    careless = Upscaler(net, 2, tile=16)
    careless.radius = 0
    assert (careless(image).int() - Upscaler(net, 2)(image).int()).abs().max() > 1


# -- kinds of images ---------------------------------------------------------------------------------------------


def test_tensors_arrays_and_pil_images_are_one(upscaler: Upscaler) -> None:
    array = pixels(20, 23)
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    expected = upscaler(tensor)
    assert expected.shape == (3, 40, 46) and expected.dtype == torch.uint8
    assert torch.equal(upscaler.upscale(tensor), expected)
    as_array, as_picture = upscaler.upscale(array), upscaler.upscale(Image.fromarray(array))
    assert isinstance(as_array, np.ndarray) and isinstance(as_picture, Image.Image)
    assert as_picture.mode == "RGB"
    for other in (as_array, np.asarray(as_picture)):
        assert np.array_equal(other, expected.permute(1, 2, 0).numpy())


@pytest.mark.parametrize("mode", ["P", "CMYK", "YCbCr", "HSV"])
def test_images_in_colour_become_rgb(upscaler: Upscaler, mode: str) -> None:
    given = Image.fromarray(pixels(20, 23)).convert(mode)
    assert given.mode == mode
    assert np.array_equal(np.asarray(upscaler.upscale(given)), np.asarray(upscaler.upscale(given.convert("RGB"))))


@pytest.mark.parametrize("mode", ["L", "1", "LA", "P", "RGB", "I;16"])
def test_grey_stays_grey(upscaler: Upscaler, mode: str) -> None:
    """The mean of what the network makes of three equal channels."""
    grey = Image.fromarray(pixels(20, 23)).convert("1" if mode == "1" else "L").convert("L")
    wide = np.asarray(grey, np.uint16) * 257
    given = Image.fromarray(wide) if mode == "I;16" else grey.convert(mode)
    assert given.mode == mode
    result = upscaler.upscale(given)
    assert result.mode == {"1": "L", "P": "L"}.get(mode, mode)
    x = torch.from_numpy(np.asarray(grey).copy())[None, None].expand(-1, 3, -1, -1) / 255
    with torch.no_grad():
        expected = upscaler.network(x.to(memory_format=torch.channels_last))[0].mean(0).clamp(0, 1).numpy()
    assert (
        np.ptp(
            np.asarray(upscaler(torch.from_numpy(np.asarray(grey.convert("RGB")).copy()).permute(2, 0, 1)), int), 0
        ).max()
        > 3
    )
    values = np.asarray(result, np.float64) / (65535 if mode == "I;16" else 255)
    for channel in values[..., :1].T if mode == "LA" else values.reshape(40, 46, -1).T:
        assert np.abs(channel.T - expected).max() <= 0.51 / (65535 if mode == "I;16" else 255) + 1e-5


def test_16_bits_are_finer_than_8(upscaler: Upscaler) -> None:
    fine = Raster(np.random.default_rng(0).integers(600, 65536, (9, 9, 4), np.uint16))
    result = upscaler.restore_raster(fine).pixels
    assert result.dtype == np.uint16 and result.shape == (18, 18, 4)
    coarse = upscaler.restore_raster(Raster((fine.pixels // 257).astype(np.uint8))).pixels
    off = np.abs(result.astype(float) / 257 - coarse)[..., :3]
    assert off.max() < 4 and len(np.unique(result)) > 600


def test_a_colour_profile_goes_along(upscaler: Upscaler) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    given = Image.fromarray(pixels(20, 23))
    given.info["icc_profile"] = profile
    assert upscaler.upscale(given).info["icc_profile"] == profile


@pytest.mark.parametrize("hidden", [0, 255])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_what_is_transparent_does_not_show_at_soft_edges(upscaler: Upscaler, hidden: int, kind: type) -> None:
    """A disc of one colour comes out as of this colour everywhere, whatever lies hidden around
    it."""
    y, x = np.mgrid[:40, :40] - 19.5
    alpha = ((12.5 - np.hypot(x, y)).clip(0, 1) * 255).round().astype(np.uint8)
    colour = np.where(alpha[..., None] > 0, np.array([220, 40, 30], np.uint8), np.uint8(hidden))
    disc, full = np.dstack([colour, alpha]), np.dstack([np.full_like(colour, (220, 40, 30)), alpha])
    result, expected = (
        upscaler.restore_raster(Raster(each.astype(kind) * kind(np.iinfo(kind).max // 255))).pixels
        for each in (disc, full)
    )
    assert np.array_equal(result, expected)
    assert ((alpha > 0) & (alpha < 255)).sum() > 40


def test_a_wholly_transparent_image_is_enlarged_as_it_is(upscaler: Upscaler) -> None:
    clear = np.dstack([pixels(8, 8), np.zeros((8, 8), np.uint8)])
    result = upscaler.restore_raster(Raster(clear)).pixels
    assert not result[..., 3].any() and np.array_equal(result[..., :3], upscaler.upscale(clear[..., :3].copy()))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_kept(upscaler: Upscaler, mode: str) -> None:
    alpha = pixels(20, 23, seed=1)[..., 0]
    rgba = Image.fromarray(np.dstack([pixels(20, 23), alpha]))
    if mode == "P":  # one colour of the palette is clear
        given = rgba.convert("RGB").quantize(16)
        given.info["transparency"] = 3
    else:
        given = rgba.convert(mode)
    result = upscaler.upscale(given)
    assert result.mode == ("LA" if mode == "LA" else "RGBA") and result.size == (46, 40)
    planes = torch.from_numpy(np.array(given.convert("RGBA"))).permute(2, 0, 1)
    assert len(planes[3].unique()) > 1
    assert np.array_equal(np.asarray(result)[..., -1], imresize(planes[3], 2).numpy())


@pytest.mark.parametrize(
    "wrong",
    [
        torch.rand(3, 8, 8),
        torch.zeros(1, 8, 8, dtype=torch.uint8),
        torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
        torch.zeros(8, 8, 3, dtype=torch.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((8, 8), np.uint8),
        Image.fromarray(np.full((8, 8), 1.5, np.float32)),
        "photo.png",
        Path("photo.png"),
        None,
    ],
    ids=lambda wrong: f"{type(wrong).__name__}-{getattr(wrong, 'dtype', '')}-{tuple(getattr(wrong, 'shape', ()))}",
)
def test_what_is_no_image_is_refused(upscaler: Upscaler, wrong: Any) -> None:
    with pytest.raises(DataError, match=r"expected|read"):
        upscaler.upscale(wrong)


# -- the protocol of ready objects -------------------------------------------------------------------------------


def test_a_sheet_shows_the_same_windows_for_every_scale() -> None:
    """Whatever a photograph loses to a multiple of the scale; crops of more detail come first."""

    class Named(Upscaler):
        """Gives the original itself, as an ideal model would."""

        def __call__(self, image: Tensor) -> Tensor:
            return next(large for large, small in pairs if torch.equal(small, image))

    originals = [read_image(photo.path) for photo in embedded_photos("held_out")]
    sheets = []
    for scale in (2, 3, 8):
        cut = [x[:, : x.shape[1] - x.shape[1] % scale, : x.shape[2] - x.shape[2] % scale] for x in originals]
        pairs = [(x, reduced(x, scale)) for x in cut]
        sheets.append(np.asarray(Named(network(CompactGenerator, scale), scale).sheet(4)))
    assert sheets[0].shape == (160, 4 * 162 - 2, 3)
    assert all(np.array_equal(sheet, sheets[0]) for sheet in sheets)

    def detail(crop: np.ndarray) -> float:
        grey = crop.astype(float).mean(-1)
        return float(np.abs(np.diff(grey, axis=0)).sum() + np.abs(np.diff(grey, axis=1)).sum())

    first, *of_second = (sheets[0][:, left : left + 160] for left in range(0, 4 * 162, 162))
    assert detail(first) > 0 and [detail(crop) for crop in of_second] == sorted(map(detail, of_second), reverse=True)


def test_a_sheet_has_crops_of_what_the_model_makes(upscaler: Upscaler) -> None:
    sheet = upscaler.sheet(3, seed=1)
    assert sheet.mode == "RGB" and sheet.size == (3 * 162 - 2, 160)
    assert np.array_equal(np.asarray(sheet)[:, :160], np.asarray(upscaler.sheet(1)))  # more begin with the same
    made = upscaler(reduced(read_image(embedded_photos("held_out")[0].path)[:, :300, :450], 2))
    crop = torch.from_numpy(np.array(sheet)[:, :160]).permute(2, 0, 1)
    places = made.unfold(1, 160, 8).unfold(2, 160, 8)  # (3, h, w, 160, 160)
    assert (places == crop[:, None, None]).all(-1).all(-1).all(0).sum() == 1
    assert upscaler.sheet(1000).width < 20 * 162  # as many as there are
    with pytest.raises(ConfigError, match="n 0: expected 1 crop or more"):
        upscaler.sheet(0)


def test_a_graph_is_a_copy_of_the_network() -> None:
    upscaler = Upscaler(network(CompactGenerator, 3, torch.float64), 3)
    graph = upscaler.graph()
    assert next(upscaler.network.parameters()).dtype == torch.float64
    assert next(graph.network.parameters()).dtype == torch.float32 and not graph.network.training
    (image,) = graph.example(2, 5)
    assert image.shape[:2] == (2, 3) and image.shape[2] != image.shape[3]
    expected = upscaler.network(image.double())
    torch.testing.assert_close(graph.network(image).double(), expected, rtol=0, atol=1e-5)
    assert list(graph.inputs) == ["image"] and graph.says.keys() == {"image", graph.output}
    assert graph.shape == ("batch", 3, "3*height", "3*width")


class Far(nn.Module):
    """Says that it looks farther than tiles have surroundings, and adds one number to all of a
    window: its mean."""

    radius = SURROUNDINGS + 1

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return (x * 0 + x.mean()) * self.w


def test_tiles_of_a_network_that_looks_far_are_cross_faded() -> None:
    image = torch.zeros(3, 40, 300, dtype=torch.uint8)
    image[:, :, 150:] = 200
    upscaler = Upscaler(Far(), 1, tile=100)
    row = upscaler(image)[0, 20].int()
    assert upscaler.radius == SURROUNDINGS
    assert row.diff().abs().max() <= 8 < (row[-1] - row[0]).abs()  # no step where tiles meet
    assert row[0] == row[80] and row[299] == row[220]
    upscaler.fade = 0
    assert upscaler(image)[0, 20].int().diff().abs().max() > 50
