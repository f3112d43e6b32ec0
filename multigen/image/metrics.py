"""Full-reference image metrics: PSNR and SSIM, as papers on super-resolution measure them.

SSIM is Wang et al. 2004, "Image quality assessment: from error visibility to structural
similarity". Everything is computed in float64 on 8-bit images, so values agree to the last digit
with those that other tools give under the same definition (`DEFINITIONS`); most disagreements in
the literature are of definition: colour channel, border, window.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from multigen.engine.distributed import all_sum
from multigen.errors import ConfigError, DataError
from multigen.image.detail import detail, gradient_correlation, grid

__all__ = ["DEFINITIONS", "NOISY", "ImageScores", "psnr", "psnr_y", "rgb_to_y", "saturation", "ssim", "ssim_y"]

WINDOW, SIGMA = 11, 1.5  # SSIM's Gaussian: width and standard deviation, pixels
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

NOISY = "; noisy images, which are the row input, are neither rounded nor clipped"
"""What definitions say for models that remove noise; others leave it out."""
DEFINITIONS = {
    "psnr_y": "PSNR in dB (peak 255) between the luma channels (BT.601, 16..235, unrounded) of 8-bit RGB images, "
    "borders as wide as the scale left out; mean over images.",
    "ssim_y": "SSIM (Gaussian window 11x11, sigma 1.5, whole windows only, data range 255) between the luma channels "
    "(BT.601, 16..235, unrounded) of 8-bit RGB images, borders as wide as the scale left out; mean over images.",
    "psnr": f"PSNR in dB (peak 255) over all pixels of the three channels of 8-bit images{NOISY}; mean over images.",
    "ssim": "SSIM (Gaussian window 11x11, sigma 1.5, whole windows only, data range 255), mean over the three channels of 8-bit "
    f"images{NOISY}; mean over images.",
    "detail": "Mean length of the luma's gradients (differences of neighbours) over that of the original's; luma and borders as "
    "of psnr_y; mean over images.",
    "gradient_correlation": "Correlation of the lengths of the luma's gradients with the original's, over pixels; luma and "
    "borders as of psnr_y; mean over images.",
    "grid": "Strongest peak, dB, of the spectrum of the luma's difference from the original's at the frequencies of a pattern "
    "that repeats after `scale` pixels, over the median of the frequencies around it (Hann windows of 64 pixels); mean over "
    "images.",
}
"""Metric name -> what exactly it measures, for reports (with `border` equal to the scale, as is
customary)."""


def rgb_to_y(image: Tensor) -> Tensor:
    """Luma by ITU-R BT.601: uint8 RGB (..., 3, H, W) -> float64 (..., 1, H, W), 16..235, not
    rounded."""
    red, green, blue = image.double().split(1, dim=-3)  # (..., 1, H, W) each
    return 16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255


def saturation(images: Tensor) -> Tensor:
    """Mean saturation of HSV, 0..1: uint8 (..., 3 or 4, H, W) -> (...)."""
    colours = images[..., :3, :, :].double()
    most = colours.amax(-3)
    return ((most - colours.amin(-3)) / most.clamp(min=1)).mean((-2, -1))


def psnr_y(prediction: Tensor, target: Tensor, border: int) -> Tensor:
    """Peak signal-to-noise ratio of the luma channel, dB; infinite for equal images.

    Args:
        prediction, target: uint8 RGB, (B, 3, H, W) or (3, H, W).
        border: pixels left out at each side; the customary value is the scale.

    Returns:
        float64, (B,) or () for a single image. (So does `ssim_y`.)

    Raises:
        DataError: the images differ in size, are not 8-bit RGB, or are too small for the border
            (and SSIM's window).
    """
    return _psnr(*_luma(prediction, target, border, least=1))


def ssim_y(prediction: Tensor, target: Tensor, border: int) -> Tensor:
    """Structural similarity of the luma channel, at most 1; arguments and result as for
    `psnr_y`."""
    return _ssim(*_luma(prediction, target, border, least=WINDOW))


def psnr(prediction: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio over all pixels of the three channels, dB; where these are equal,
    that of a grey image.

    Args:
        prediction: uint8 RGB, (B, 3, H, W) or (3, H, W); or floats in 0..1 and beyond, which are
            measured as they are.
        target: uint8 RGB of the same shape.

    Returns, and raises, as `psnr_y`.
    """
    return _psnr(*_in_255(prediction, target))


def ssim(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean of the structural similarities of the three channels, at most 1; arguments and result as
    for `psnr`."""
    return _ssim(*_in_255(prediction, target, least=WINDOW))


METRICS: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "psnr_y": psnr_y,
    "ssim_y": ssim_y,
    "psnr": lambda prediction, target, border: psnr(prediction, target),
    "ssim": lambda prediction, target, border: ssim(prediction, target),
    "detail": lambda prediction, target, border: detail(*_luma(prediction, target, border)),
    "gradient_correlation": lambda prediction, target, border: gradient_correlation(*_luma(prediction, target, border)),
    "grid": lambda prediction, target, border: grid(*_luma(prediction, target, border), border),
}


class ImageScores:
    """Means over images, gathered batch by batch and rank by rank; each image counts the same.

        scores = ImageScores(border=4)
        scores.update(prediction, target)           # as often as there are images; sizes may differ
        scores.compute()                            # {"psnr_y": 28.43, "ssim_y": .8113}

    Args:
        border: pixels left out at each side, by the metrics of luma.
        metrics: names out of `DEFINITIONS`.
        device: of the totals; with NCCL it must be the rank's GPU.
    """

    def __init__(self, border: int, metrics: Sequence[str] = ("psnr_y", "ssim_y"), device: torch.device | str = "cpu"):
        unknown = sorted(set(metrics) - set(METRICS))
        if unknown:
            raise ConfigError(f"unknown image metrics {', '.join(unknown)}; choose from {', '.join(METRICS)}")
        self.border, self.metrics = border, tuple(metrics)
        self.totals = torch.zeros(len(self.metrics) + 1, dtype=torch.float64, device=device)  # sums, number of images

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Adds images, as the functions take them: (B, 3, H, W) or (3, H, W). Raises DataError as
        they do."""
        scores = [METRICS[name](prediction, target, self.border).reshape(-1) for name in self.metrics]  # (B,) each
        scores.append(torch.ones_like(scores[0]))
        self.totals += torch.stack(scores).sum(dim=1).to(self.totals.device)

    def compute(self) -> dict[str, float]:
        """Means over all images of all ranks; every rank must call it. Raises DataError if there
        was no image."""
        *sums, count = all_sum(self.totals).tolist()
        if not count:
            raise DataError("no image was scored: at least one expected; check the evaluation data")
        return {name: total / count for name, total in zip(self.metrics, sums, strict=True)}


def _luma(prediction: Tensor, target: Tensor, border: int, least: int = 2) -> tuple[Tensor, Tensor]:
    """The luma of both images without their borders, after the checks."""
    predicted, expected = _cropped(prediction, target, border, least)
    return rgb_to_y(predicted), rgb_to_y(expected)


def _in_255(prediction: Tensor, target: Tensor, least: int = 1) -> list[Tensor]:
    """Both images in float64, 0..255, after the checks; `prediction` may be floats in 0..1."""
    if prediction.is_floating_point():
        _cropped(torch.zeros_like(prediction, dtype=torch.uint8), target, 0, least)
        return [prediction.double() * 255, target.double()]
    return [x.double() for x in _cropped(prediction, target, 0, least)]


def _cropped(prediction: Tensor, target: Tensor, border: int, least: int = 1) -> list[Tensor]:
    """Both images without their borders, after the checks; at least `least` pixels high and
    wide."""
    for name, x in (("prediction", prediction), ("target", target)):
        if x.dtype != torch.uint8 or x.ndim not in (3, 4) or x.shape[-3] != 3:
            shape = tuple(x.shape)
            raise DataError(f"{name}: uint8 (B, 3, H, W) or (3, H, W) expected, got {x.dtype} {shape}; round to 8 bits")
    if prediction.shape != target.shape:
        a, b = tuple(prediction.shape), tuple(target.shape)
        raise DataError(f"prediction {a} and target {b} differ in size; crop the target to a multiple of the scale")
    height, width = target.shape[-2:]
    if border < 0 or min(height, width) - 2 * border < least:
        raise DataError(
            f"an image of {height}x{width} pixels with a border of {border} left out: at least {least}x{least} must "
            "remain; leave it out of the evaluation, or choose a smaller border (not below 0)"
        )
    return [x[..., border : height - border, border : width - border] for x in (prediction, target)]


def _psnr(prediction: Tensor, target: Tensor) -> Tensor:
    # Not torchmetrics': its logarithm of the peak is in float32, which moves values by 1e-6 dB.
    error = (prediction - target).square().mean(dim=(-3, -2, -1))
    return 10 * torch.log10(255**2 / error)


def _ssim(prediction: Tensor, target: Tensor) -> Tensor:
    # Not torchmetrics': its mean takes in mirrored borders, and its dense 11x11 convolution in float64 is slow.
    x, y = prediction, target  # (..., C, H, W)
    mean_x, mean_y, xx, yy, xy = (_blur(z) for z in (x, y, x * x, y * y, x * y))
    var_x, var_y, cov = xx - mean_x**2, yy - mean_y**2, xy - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    structure = (2 * cov + C2) / (var_x + var_y + C2)
    return (luminance * structure).mean(dim=(-3, -2, -1))


def _blur(x: Tensor) -> Tensor:
    """Gaussian means over whole windows, (..., H, W) -> (..., H-10, W-10): 20 times faster than
    conv2d in float64."""
    at = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    kernel = torch.exp(-(at**2) / (2 * SIGMA**2))
    taps = (kernel / kernel.sum()).tolist()
    for dim in (-1, -2):
        size = x.shape[dim] - WINDOW + 1
        mean = torch.zeros_like(x.narrow(dim, 0, size))
        for i, tap in enumerate(taps):
            mean.add_(x.narrow(dim, i, size), alpha=tap)
        x = mean
    return x
