import math

import numpy as np
import pytest
import torch
from torch import Tensor

import multigen.image.metrics
from multigen.errors import ConfigError, DataError
from multigen.image.degrade import imresize
from multigen.image.files import find_images, read_image
from multigen.image.metrics import DEFINITIONS, METRICS, ImageScores, psnr, psnr_y, rgb_to_y, ssim, ssim_y


def pair(*shape: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A smooth random image and a noisy copy of it, uint8."""
    draw = torch.Generator().manual_seed(seed)
    smooth = imresize(torch.rand(*shape[:-2], 6, 7, generator=draw) * 200 + 20, (shape[-2], shape[-1]))
    noisy = smooth + 12 * torch.randn(*shape, generator=draw)
    return noisy.round().clamp(0, 255).to(torch.uint8), smooth.round().clamp(0, 255).to(torch.uint8)


def grey(value: int, side: int = 16) -> Tensor:
    return torch.full((3, side, side), value, dtype=torch.uint8)


def test_luma_of_known_colours():
    colours = torch.tensor([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]], dtype=torch.uint8)
    luma = rgb_to_y(colours.T[:, None])  # (3, 1, 5) -> (1, 1, 5)
    assert luma.dtype == torch.float64
    expected = torch.tensor([16, 235, 81.481, 144.553, 40.966], dtype=torch.float64)
    torch.testing.assert_close(luma[0, 0], expected, rtol=0, atol=1e-12)


def test_luma_agrees_with_scikit_image():
    from skimage.color import rgb2ycbcr

    picture, _ = pair(3, 20, 24)
    theirs = rgb2ycbcr(picture.permute(1, 2, 0).numpy())[..., 0]
    torch.testing.assert_close(rgb_to_y(picture)[0], torch.from_numpy(theirs), rtol=0, atol=1e-10)


def test_psnr_of_a_constant_difference():
    luma_step = 5 * (65.481 + 128.553 + 24.966) / 255
    assert psnr_y(grey(105), grey(100), 2).item() == pytest.approx(20 * math.log10(255 / luma_step), abs=1e-12)
    assert psnr_y(grey(7), grey(7), 0).item() == math.inf


def test_ssim_of_constant_pictures():
    c1 = (0.01 * 255) ** 2
    a, b = (rgb_to_y(grey(value))[0, 0, 0].item() for value in (105, 100))
    expected = (2 * a * b + c1) / (a**2 + b**2 + c1)
    assert ssim_y(grey(105), grey(100), 2).item() == pytest.approx(expected, abs=1e-9)
    assert ssim_y(grey(7), grey(7), 0).item() == pytest.approx(1, abs=1e-12)


def test_psnr_agrees_with_scikit_image():
    from skimage.metrics import peak_signal_noise_ratio

    prediction, target = pair(3, 30, 41)
    a, b = prediction[:, 4:-4, 4:-4], target[:, 4:-4, 4:-4]
    theirs = peak_signal_noise_ratio(rgb_to_y(b).numpy(), rgb_to_y(a).numpy(), data_range=255)
    assert psnr_y(prediction, target, 4).item() == pytest.approx(theirs, abs=1e-10)
    whole = peak_signal_noise_ratio(target.numpy(), prediction.numpy(), data_range=255)
    assert psnr(prediction, target).item() == pytest.approx(whole, abs=1e-10)


def test_floats_are_measured_as_they_are():
    """Noise is neither rounded nor clipped."""
    prediction, target = pair(3, 30, 41)
    assert psnr(prediction.double() / 255, target).item() == pytest.approx(psnr(prediction, target).item(), abs=1e-9)
    assert ssim(prediction.double() / 255, target).item() == pytest.approx(ssim(prediction, target).item(), abs=1e-9)
    beyond = grey(255).float() / 255 + 0.1
    assert psnr(beyond, grey(255)).item() == pytest.approx(20, abs=1e-5)
    with pytest.raises(DataError, match="differ in size"):
        psnr(beyond[:, :8], grey(255))


def test_the_psnr_of_equal_channels_is_that_of_grey():
    prediction, target = grey(105), grey(100)
    assert psnr(prediction, target).item() == pytest.approx(20 * math.log10(255 / 5), abs=1e-12)


def test_ssim_agrees_with_scikit_image():
    from skimage.metrics import structural_similarity

    def theirs(a: np.ndarray, b: np.ndarray) -> float:
        wang = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        return np.asarray(structural_similarity(a, b, channel_axis=0, data_range=255, **wang)).item()

    prediction, target = pair(3, 30, 41)
    a, b = prediction[:, 3:-3, 3:-3], target[:, 3:-3, 3:-3]
    expected = theirs(rgb_to_y(a).numpy(), rgb_to_y(b).numpy())
    assert 0.1 < expected < 0.95
    assert ssim_y(prediction, target, 3).item() == pytest.approx(expected, abs=1e-12)
    assert ssim(prediction, target).item() == pytest.approx(
        theirs(prediction.double().numpy(), target.double().numpy()), abs=1e-12
    )


@pytest.mark.parametrize("name", METRICS)
def test_a_batch_gives_each_picture_its_own_value(name: str):
    prediction, target = pair(3, 3, 20, 26)
    values = METRICS[name](prediction, target, 2)
    assert values.dtype == torch.float64
    singles = [METRICS[name](p, t, 2) for p, t in zip(prediction, target, strict=True)]
    assert singles[0].shape == ()
    torch.testing.assert_close(values, torch.stack(singles), rtol=0, atol=1e-12)
    assert len(set(values.tolist())) == 3


@pytest.mark.parametrize("name", ["psnr_y", "ssim_y"])
def test_the_border_does_not_count(name: str):
    prediction, target = pair(3, 24, 26)
    spoilt = prediction.clone()
    spoilt[:, :4], spoilt[:, -4:], spoilt[:, :, :4], spoilt[:, :, -4:] = 0, 255, 255, 0
    assert METRICS[name](spoilt, target, 4) == METRICS[name](prediction, target, 4)
    assert METRICS[name](spoilt, target, 3) != METRICS[name](prediction, target, 3)


def test_every_metric_is_defined():
    assert set(DEFINITIONS) == set(METRICS)


def test_scores_do_not_depend_on_how_pictures_are_batched():
    prediction, target = pair(5, 3, 20, 26)
    expected = {name: METRICS[name](prediction, target, 4).mean().item() for name in METRICS}
    for sizes in ([5], [2, 3], [1, 1, 1, 1, 1]):
        scores = ImageScores(4, tuple(METRICS))
        for p, t in zip(prediction.split(sizes), target.split(sizes), strict=True):
            scores.update(p, t)
        assert scores.compute() == pytest.approx(expected, abs=1e-12)


def test_scores_count_pictures_of_different_sizes_alike():
    scores = ImageScores(0, ["psnr_y"])
    scores.update(grey(105, side=12), grey(100, side=12))
    scores.update(grey(110, side=40), grey(100, side=40))
    step = (65.481 + 128.553 + 24.966) / 255  # of luma, for a step of grey
    expected = (20 * math.log10(255 / (5 * step)) + 20 * math.log10(255 / (10 * step))) / 2
    assert scores.compute() == {"psnr_y": pytest.approx(expected, abs=1e-12)}


def test_scores_are_summed_over_ranks_even_if_one_has_no_picture(monkeypatch: pytest.MonkeyPatch):
    prediction, target = pair(3, 3, 20, 26)
    here, there, idle, last, whole = (ImageScores(4) for _ in range(5))
    here.update(prediction[:2], target[:2])
    for scores in (there, last):
        scores.update(prediction[2:], target[2:])
    whole.update(prediction, target)
    expected, expected_of_last = whole.compute(), last.compute()
    monkeypatch.setattr(multigen.image.metrics, "all_sum", lambda x: x + there.totals)
    assert here.compute() == pytest.approx(expected, abs=1e-12)
    assert idle.compute() == pytest.approx(expected_of_last, abs=1e-12)


def test_wrong_input_is_named():
    with pytest.raises(ConfigError, match="fid"):
        ImageScores(4, ["psnr_y", "fid"])
    with pytest.raises(DataError, match="no image was scored"):
        ImageScores(4).compute()
    with pytest.raises(DataError, match="float32"):
        psnr_y(torch.rand(3, 16, 16), grey(1), 0)
    with pytest.raises(DataError, match=r"target.*\(1, 16, 16\)"):
        psnr_y(grey(1), grey(1)[:1], 0)
    with pytest.raises(DataError, match=r"\(3, 16, 16\).*\(3, 18, 18\)"):
        psnr_y(grey(1), grey(1, side=18), 0)
    with pytest.raises(DataError, match="16x16 pixels with a border of 8"):
        psnr_y(grey(1), grey(1), 8)
    with pytest.raises(DataError, match="at least 11x11"):
        ssim_y(grey(1), grey(1), 3)
    with pytest.raises(DataError, match="not below 0"):
        psnr_y(grey(1), grey(1), -1)


@pytest.mark.data
@pytest.mark.parametrize(("name", "psnr", "ssim"), [("Set5", 28.43, 0.8113), ("BSD100", 25.96, 0.6682)])
def test_bicubic_baselines_of_the_literature(data_root, name: str, psnr: float, ssim: float):
    scores = ImageScores(border=4)
    for path in find_images(data_root / "photos" / name / "HR"):
        picture = read_image(path)
        height, width = (side - side % 4 for side in picture.shape[1:])
        target = picture[:, :height, :width]
        scores.update(imresize(imresize(target, 1 / 4), 4.0), target)
    result = scores.compute()
    assert result["psnr_y"] == pytest.approx(psnr, abs=0.02)
    assert result["ssim_y"] == pytest.approx(ssim, abs=0.001)
