"""Images of a domain made from those of another, so that any folder of photographs gives pairs."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from multigen.errors import ConfigError
from multigen.image.degrade import imresize

__all__ = ["MADE", "Make", "made_of"]

Make = Callable[[Tensor, str], Tensor]
"""(image of B, uint8 (3, H, W); its name) -> its image of A, of the same size. The same each
time."""

EDGES = 0.15  # of the pixels: those of the strongest gradients, from which edges start; they continue to twice as many
FAINT = 2  # of 255: difference of neighbours, below which there is no edge
BLUR = 4  # factor by which an image is reduced and enlarged again
COLOURS = 4  # of a map of segments
ROUNDS, PIXELS = 12, 4096  # of k-means, and pixels, spread over the image, that it is computed from


def grey(image: Tensor, name: str) -> Tensor:
    """Luma (BT.601), in three equal channels."""
    return _planes(_luma(image))


def edges(image: Tensor, name: str) -> Tensor:
    """Canny's edges of luma, black on white: Gaussian of 1 pixel; the strongest 15 % of the
    gradients, and of the next 15 % what is connected to them. Gradients of less than 2 of 255
    levels per pixel are none."""
    from skimage.feature import canny
    from skimage.filters import gaussian, sobel

    luma = _luma(image) / 255
    smooth = gaussian(luma, 1.0)
    lengths = 4 * np.hypot(sobel(smooth, axis=0), sobel(smooth, axis=1))  # as Canny's: 8 times the change per pixel
    low, high = np.maximum(np.quantile(lengths, (1 - 2 * EDGES, 1 - EDGES)), 8 * FAINT / 255)
    return _planes(np.where(canny(luma, 1.0, low, high, mode="nearest"), 0.0, 255.0))


def sketch(image: Tensor, name: str) -> Tensor:
    """A pencil drawing: luma divided by its Gaussian mean (of 1/32 of the shorter side, at least 2
    pixels), so that only what is darker than its surroundings is drawn."""
    from skimage.filters import gaussian

    luma = _luma(image)
    around = gaussian(luma, max(2.0, min(luma.shape) / 32))
    return _planes((luma + 1) / (around + 1) * 255)


def blurred(image: Tensor, name: str) -> Tensor:
    """Reduced to a quarter of the height and width, and enlarged again, both bicubically."""
    return imresize(imresize(image, 1 / BLUR), (image.shape[1], image.shape[2]))


def segments(image: Tensor, name: str) -> Tensor:
    """A map of four colours: k-means of the colours of the image blurred by 1/64 of its shorter
    side (at least a pixel), each segment in its mean colour. The means start at those of four equal
    parts of the pixels by luma."""
    from skimage.filters import gaussian

    sigma = max(1.0, min(image.shape[1:]) / 64)
    smooth = gaussian(image.numpy().astype(np.float64), sigma, channel_axis=0)
    pixels = smooth.reshape(3, -1).T  # (H W, 3)
    some = pixels[:: max(1, len(pixels) // PIXELS)]
    order = np.argsort(some @ (0.299, 0.587, 0.114), kind="stable")
    means = np.stack([some[part].mean(0) for part in np.array_split(order, min(COLOURS, len(order)))])
    for _ in range(ROUNDS):
        nearest = _nearest(some, means)
        means = np.stack([some[nearest == k].mean(0) if (nearest == k).any() else mean for k, mean in enumerate(means)])
    colours = np.rint(means).astype(np.uint8)[_nearest(pixels, means)]  # (H W, 3)
    return torch.from_numpy(colours).T.reshape(image.shape).contiguous()


def swapped(image: Tensor, name: str) -> Tensor:
    """Red and blue exchanged."""
    return image[[2, 1, 0]]


def night(image: Tensor, name: str) -> Tensor:
    """Darker and bluer: each value v of 0..1 becomes v^1.5, times .35 in red, .45 in green, .75 in
    blue."""
    shares = torch.tensor([0.35, 0.45, 0.75], dtype=torch.float64)[:, None, None]
    return ((image.double() / 255) ** 1.5 * shares * 255).round().to(torch.uint8)


MADE: Mapping[str, Make] = {
    "colour": grey,
    "edges": edges,
    "sketch": sketch,
    "blur": blurred,
    "segments": segments,
    "swap": swapped,
    "night": night,
}
"""Value of a setting `task`, named after what is learned -> how the image of A is made."""


def made_of(task: str) -> Make:
    """How the images of A are made. Raises ConfigError for another name."""
    if task not in MADE:
        raise ConfigError(f"task {task!r}: expected one of {', '.join(MADE)}")
    return MADE[task]


def _nearest(pixels: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Numbers (N,) of the means (K, 3) nearest to pixels (N, 3)."""
    return np.argmin(np.stack([((pixels - mean) ** 2).sum(1) for mean in means]), axis=0)


def _luma(image: Tensor) -> np.ndarray:
    """uint8 (3, H, W) -> float64 (H, W), 0..255, BT.601."""
    red, green, blue = image.numpy().astype(np.float64)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _planes(values: np.ndarray) -> Tensor:
    """(H, W) of 0..255 -> uint8 (3, H, W), rounded and clipped."""
    return torch.from_numpy(np.rint(values).clip(0, 255).astype(np.uint8)).repeat(3, 1, 1)
