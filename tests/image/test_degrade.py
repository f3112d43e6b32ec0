import math

import numpy as np
import pytest
import torch

from multigen.errors import ConfigError, DataError
from multigen.image.degrade import imresize
from multigen.image.files import find_images, read_image


def cubic(x: float) -> float:
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def resized_line(line: list[float], size: int, scale: float) -> list[float]:
    """The definition, word by word, for one row or column."""
    shrink = min(scale, 1.0)
    mirrored = np.pad(np.array(line), 60, mode="symmetric")
    out = []
    for i in range(size):
        centre = (i + 0.5) / scale - 0.5
        total = norm = 0.0
        for tap in range(-60, len(line) + 60):
            weight = shrink * cubic(shrink * (centre - tap))
            total, norm = total + weight * mirrored[tap + 60], norm + weight
        out.append(total / norm)
    return out


def reference(picture: np.ndarray, sizes: tuple[int, int], scales: tuple[float, float], whole: bool) -> np.ndarray:
    def round_half_up(x: np.ndarray) -> np.ndarray:
        return np.clip(np.floor(np.round(x, 9) + 0.5), 0, 255) if whole else x

    def rows(x: np.ndarray) -> np.ndarray:
        return round_half_up(np.array([resized_line(list(c), sizes[0], scales[0]) for c in x.T]).T)

    def columns(x: np.ndarray) -> np.ndarray:
        return round_half_up(np.array([resized_line(list(r), sizes[1], scales[1]) for r in x]))

    return columns(rows(picture)) if scales[0] <= scales[1] else rows(columns(picture))


SCALES = [0.25, 1 / 3, 0.37, 0.9, 1.0, 1.5, 2.7, 4.0]


@pytest.mark.parametrize("scale", SCALES)
def test_floats_follow_the_definition(scale: float):
    picture = torch.rand(11, 17, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 255
    sizes = math.ceil(11 * scale), math.ceil(17 * scale)
    expected = torch.from_numpy(reference(picture.numpy(), sizes, (scale, scale), whole=False))
    torch.testing.assert_close(imresize(picture, scale), expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(imresize(picture.float(), scale), expected.float(), rtol=0, atol=2e-4)


@pytest.mark.parametrize("scale", SCALES)
def test_bytes_follow_the_definition_rounded_after_each_pass(scale: float):
    picture = torch.randint(0, 256, (11, 17), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    sizes = math.ceil(11 * scale), math.ceil(17 * scale)
    result = imresize(picture, scale)
    assert result.dtype == torch.uint8
    expected = reference(picture.numpy().astype(float), sizes, (scale, scale), whole=True)
    assert np.array_equal(result.numpy(), expected)


@pytest.mark.parametrize("size", [(5, 23), (30, 6), (3, 4)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64])
def test_a_size_scales_each_direction_by_itself_the_smaller_scale_first(size: tuple[int, int], dtype: torch.dtype):
    picture = torch.randint(0, 256, (11, 17), generator=torch.Generator().manual_seed(2)).to(dtype)
    scales = size[0] / 11, size[1] / 17
    expected = reference(picture.double().numpy(), size, scales, whole=dtype == torch.uint8)
    torch.testing.assert_close(imresize(picture, size).double(), torch.from_numpy(expected), rtol=0, atol=1e-10)


def test_a_picture_narrower_than_the_kernel_is_mirrored_again_and_again():
    picture = torch.tensor([[3.0, 200.0, 90.0]], dtype=torch.float64)
    expected = reference(picture.numpy(), (1, 1), (0.25, 0.25), whole=False)
    torch.testing.assert_close(imresize(picture, 0.25), torch.from_numpy(expected), rtol=0, atol=1e-10)


def test_the_inside_agrees_with_pillow():
    from PIL import Image

    picture = torch.rand(60, 84, generator=torch.Generator().manual_seed(3))
    for size, edge in (((20, 28), 2), ((15, 21), 2), ((120, 210), 4)):
        theirs = Image.fromarray(picture.numpy()).resize((size[1], size[0]), Image.Resampling.BICUBIC)
        inside = (slice(edge, -edge), slice(edge, -edge))
        torch.testing.assert_close(
            imresize(picture, size)[inside], torch.from_numpy(np.array(theirs))[inside], rtol=0, atol=1e-5
        )


def test_leading_dimensions_are_resized_alike():
    pictures = torch.rand(2, 5, 3, 9, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    result = imresize(pictures, 0.5)
    assert result.shape == (2, 5, 3, 5, 4)
    torch.testing.assert_close(result[1, 4, 2], imresize(pictures[1, 4, 2], 0.5), rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [1 / 2, 1 / 6, 1 / 10, 1 / 14])
def test_exact_halves_round_up_whatever_the_rounding_noise(scale: float):
    ramp = torch.arange(210, dtype=torch.uint8).expand(4, 210)
    step = round(1 / scale)
    means = torch.arange(210 // step) * step + step // 2  # the mean of a step, k + 1/2, rounded up
    assert torch.equal(imresize(ramp, scale)[0, 2:-2], means[2:-2].to(torch.uint8))


def test_bytes_are_clamped():
    edge = torch.tensor([[0, 0, 255, 255]], dtype=torch.uint8)
    assert imresize(edge.double(), 4.0).min() < -5
    assert imresize(edge.double(), 4.0).max() > 260
    assert imresize(edge, 4.0)[0, 4].item() == 0
    assert imresize(edge, 4.0)[0, 11].item() == 255


@pytest.mark.parametrize("scale", [0.4, 1.7])
def test_gradient(scale: float):
    picture = torch.rand(2, 5, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: imresize(x, scale), picture)


def test_weights_first_used_without_gradients_serve_autograd_later():
    with torch.inference_mode():
        imresize(torch.rand(19, 23), 0.31)
    picture = torch.rand(19, 23, requires_grad=True)
    imresize(picture, 0.31).sum().backward()
    assert picture.grad is not None
    assert picture.grad.abs().sum() > 0


def test_autocast_does_not_lower_the_precision():
    picture = torch.rand(3, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = imresize(picture, 0.5)
    assert torch.equal(result, imresize(picture, 0.5))


def test_wrong_input_is_named():
    with pytest.raises(DataError, match="int64"):
        imresize(torch.zeros(4, 4, dtype=torch.int64), 0.5)
    with pytest.raises(DataError, match=r"\(0, 4\)"):
        imresize(torch.zeros(0, 4), 0.5)
    with pytest.raises(DataError, match=r"\(4,\)"):
        imresize(torch.zeros(4), 0.5)
    for scale in (0.0, -1.0, math.nan, (0, 3)):
        with pytest.raises(ConfigError, match="above 0"):
            imresize(torch.zeros(4, 4), scale)


@pytest.mark.data
def test_set5_low_resolution_files_are_reproduced_bit_by_bit(data_root):
    folder = data_root / "photos" / "Set5"
    for high, low in zip(find_images(folder / "HR"), find_images(folder / "LRx4"), strict=True):
        picture, expected = read_image(high), read_image(low)
        ours = imresize(picture, 1 / 4)
        assert torch.equal(ours[:, 2:-2, 2:-2], expected[:, 2:-2, 2:-2]), high.name
        # The files come from a MATLAB that repeated the outermost pixels; later ones mirror, which only the outermost
        # two pixels show.
        repeated = torch.nn.functional.pad(picture.double(), (8, 8, 8, 8), mode="replicate").to(torch.uint8)
        assert torch.equal(imresize(repeated, 1 / 4)[:, 2:-2, 2:-2], expected), high.name
