"""Upscaling in tiles against the whole picture, pictures of every kind, scores against their parts, the comparison sheet."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from multigen.errors import ConfigError, DataError
from multigen.image.degrade import imresize
from multigen.image.files import Photo, read_image
from multigen.image.metrics import psnr_y, ssim_y
from multigen.image.perceptual import open_perceptual
from multigen.image.restoration.evaluator import comparison, score_upscalers
from multigen.image.restoration.srgan import CompactGenerator, SRResNet
from multigen.image.restoration.test_sets import TestSet, open_test_set, open_test_sets
from multigen.image.restoration.upscaler import Upscaler
from tests.tiny import photos, pixels


def network(kind: type, scale: int = 2, dtype: torch.dtype = torch.float32) -> Any:
    """A generator with random weights whose output keeps within the range of a picture."""
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
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_tiles_leave_no_seams(kind: type, size: tuple[int, int], scale: int) -> None:
    """In float64 bit for bit; in float32, where convolutions of other sizes round otherwise, within one level of grey."""
    image = picture(*size)
    for dtype, tolerance in ((torch.float64, 0), (torch.float32, 1)):
        net = network(kind, scale, dtype)
        tiled, whole = (Upscaler(net, scale, tile)(image).int() for tile in (16, 1000))
        assert whole.shape == (3, scale * size[0], scale * size[1])
        assert (tiled - whole).abs().max() <= tolerance


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


# -- kinds of pictures -------------------------------------------------------------------------------------------


def test_tensors_and_arrays_and_pictures_are_one(upscaler: Upscaler) -> None:
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


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr", "HSV", "I;16"])
def test_pictures_of_every_mode_become_rgb(upscaler: Upscaler, mode: str) -> None:
    rgb = Image.fromarray(pixels(20, 23))
    if mode == "I;16":
        grey = np.asarray(rgb.convert("L"))
        given, same = Image.fromarray(grey.astype(np.uint16) * 257), Image.fromarray(grey).convert("RGB")
    else:
        given = rgb.convert(mode)
        same = given.convert("RGB")
    assert given.mode == mode
    assert np.array_equal(np.asarray(upscaler.upscale(given)), np.asarray(upscaler.upscale(same)))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_kept(upscaler: Upscaler, mode: str) -> None:
    alpha = pixels(20, 23, seed=1)[..., 0]
    rgba = Image.fromarray(np.dstack([pixels(20, 23), alpha]))
    if mode == "P":  # one colour of the palette is clear
        given = rgba.convert("RGB").quantize(16)
        given.info["transparency"] = 3
    else:
        given = rgba.convert(mode)
    plain = given.convert("RGBA")
    result = upscaler.upscale(given)
    assert result.mode == "RGBA" and result.size == (46, 40)
    planes = torch.from_numpy(np.array(plain)).permute(2, 0, 1)
    assert len(planes[3].unique()) > 1
    expected = torch.cat([upscaler(planes[:3]), imresize(planes[3:], 2)])
    assert np.array_equal(np.asarray(result), expected.permute(1, 2, 0).numpy())


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
        Image.fromarray(np.full((8, 8), 0.5, np.float32)),
        "photo.png",
        Path("photo.png"),
        None,
    ],
    ids=lambda wrong: f"{type(wrong).__name__}-{getattr(wrong, 'dtype', '')}-{tuple(getattr(wrong, 'shape', ()))}",
)
def test_what_is_no_picture_is_refused(upscaler: Upscaler, wrong: Any) -> None:
    with pytest.raises(DataError, match=r"expected|read"):
        upscaler.upscale(wrong)


# -- test sets ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("photos/Set5/HR", "Set5"),
        ("photos/Set5/HR/", "Set5"),
        ("./photos/BSD100", "BSD100"),
        ("photos/BSD100/0.png", "0.png"),
        ("embedded-held-out", "embedded-held-out"),
    ],
)
def test_a_set_is_called_by_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str, name: str) -> None:
    monkeypatch.setenv("MULTIGEN_DATA", str(tmp_path))
    photos(tmp_path / "photos" / "Set5" / "HR", count=1)
    photos(tmp_path / "photos" / "BSD100", count=1)
    found = open_test_set(data, 4)
    assert (found.name, found.scale) == (name, 4)


@pytest.mark.parametrize("data", [".", "HR"])
def test_a_set_in_the_working_folder_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str) -> None:
    photos(tmp_path / "Set5" / "HR", count=1)
    monkeypatch.chdir(tmp_path / "Set5")
    assert open_test_set(data, 4).name


def test_sets_that_could_not_be_told_apart_are_refused(tmp_path: Path) -> None:
    places = [str(photos(tmp_path / name / "photos", count=1)) for name in ("a", "b")]
    with pytest.raises(ConfigError, match="two sets are called 'photos', as their folders are; rename one"):
        open_test_sets(places, 4)
    assert [test.name for test in open_test_sets([*places[:1], "embedded-held-out"], 4)] == [
        "photos",
        "embedded-held-out",
    ]


def test_a_set_is_cut_to_a_multiple_of_the_scale_and_reduced(tmp_path: Path) -> None:
    Image.fromarray(pixels(50, 61)).save(tmp_path / "a.png")
    found = open_test_set(str(tmp_path), 4)
    image = read_image(tmp_path / "a.png")[:, :48, :60]
    assert found.names == ("a.png",)
    assert torch.equal(found.high[0], image)
    assert torch.equal(found.low[0], imresize(image, 1 / 4))
    assert TestSet.of("none", list[Photo](), 4) is None


# -- scores ------------------------------------------------------------------------------------------------------


def test_scores_are_means_over_the_pictures_of_a_set(tmp_path: Path) -> None:
    for name, sizes in (("a", [(40, 48), (56, 36)]), ("b", [(44, 44)])):
        (tmp_path / name).mkdir()
        for i, size in enumerate(sizes):
            Image.fromarray(pixels(*size, seed=i)).save(tmp_path / name / f"{i}.png")
    sets = [open_test_set(str(tmp_path / name), 2) for name in ("a", "b")]
    ours = Upscaler(network(CompactGenerator), 2)
    distance = open_perceptual("efficientnet_lite0")
    rows = score_upscalers({"bicubic": None, "ours": ours}, sets, [distance], torch.device("cpu"))

    assert list(rows) == ["bicubic", "ours"]
    for row, enlarge in (("bicubic", lambda low: imresize(low, 2)), ("ours", ours)):
        for test in sets:
            pairs = [(enlarge(low), high) for low, high in zip(test.low, test.high, strict=True)]
            far = [distance(a[None] / 255, b[None] / 255).item() for a, b in pairs]
            expected = {
                f"{test.name}/psnr_y": np.mean([psnr_y(a, b, 2).item() for a, b in pairs]),
                f"{test.name}/ssim_y": np.mean([ssim_y(a, b, 2).item() for a, b in pairs]),
                f"{test.name}/efficientnet_lite0": np.mean(far),
            }
            assert {k: v for k, v in rows[row].items() if k in expected} == pytest.approx(expected, rel=1e-5)
        assert len(rows[row]) == 6
    assert rows["bicubic"]["a/psnr_y"] != rows["ours"]["a/psnr_y"]


# -- comparison --------------------------------------------------------------------------------------------------


def sheet_cell(sheet: Image.Image, row: int, column: int, side: int) -> np.ndarray:
    """The crop at a place of the sheet, at the size it had before it was doubled: (side, side, 3)."""
    top, left = 16 + row * (2 * side + 4), column * (2 * side + 4)
    return np.asarray(sheet)[top : top + 2 * side : 2, left : left + 2 * side : 2]


def test_the_comparison_shows_the_busiest_crop_of_each(upscaler: Upscaler) -> None:
    image = np.full((96, 112, 3), 90, np.uint8)
    image[64:96, 48:80] = np.random.default_rng(0).integers(0, 256, (32, 32, 3))
    high = [torch.from_numpy(image).permute(2, 0, 1), picture(40, 44), picture(20, 24)]
    low = [imresize(h, 0.5) for h in high]
    test = TestSet("set", 2, ("a", "b", "c"), tuple(high), tuple(low))
    sheet = comparison({"bicubic": None, "ours": upscaler}, test, side=32)

    assert sheet.size == (3 * (2 * 32 + 4), 3 * (2 * 32 + 4) + 16)
    window = np.s_[64:96, 48:80]
    assert np.array_equal(sheet_cell(sheet, 0, 2, 32), image[window])
    for column, enlarged in ((0, imresize(low[0], 2)), (1, upscaler(low[0]))):
        assert np.array_equal(sheet_cell(sheet, 0, column, 32), enlarged.permute(1, 2, 0).numpy()[window])
    # A picture smaller than a crop is shown whole.
    assert np.array_equal(sheet_cell(sheet, 2, 2, 32)[:20, :24], high[2].permute(1, 2, 0).numpy())
    assert (np.asarray(sheet)[:16, :204] < 255).any()  # names


def test_the_comparison_shows_four_pictures_at_most() -> None:
    high = tuple(picture(24, 24, seed) for seed in range(3))
    test = TestSet("set", 2, ("a", "b", "c"), high, tuple(imresize(h, 0.5) for h in high))
    sheet = comparison({"bicubic": None}, test, test, side=16)
    assert sheet.size == (2 * (2 * 16 + 4), 4 * (2 * 16 + 4) + 16)
    assert np.array_equal(sheet_cell(sheet, 3, 1, 16), sheet_cell(sheet, 0, 1, 16))
