"""Inpainting masks: random strokes and boxes. Suvorov et al. 2021 (LaMa),
arXiv:2109.07161, section 2.3; its released options where the paper leaves them open. Lengths are
for images of 256 pixels, and scale down with smaller ones."""

from dataclasses import dataclass

import numpy as np

from multigen.data.datasets import hash_of

__all__ = ["MASKS", "TRAINING", "Strokes", "draw_mask", "draw_named"]

PUBLISHED = 256  # pixels: side of the images for which lengths are stated
LARGEST = 0.5  # of the image, at most
SEGMENTS = 5  # of a stroke, at most
TRIES = 200  # masks that are drawn until one is not too large
MARGIN = 10  # pixels between a box and the border

Range = tuple[int, int]
"""Smallest and largest value, both included."""


@dataclass(frozen=True)
class Strokes:
    """Distributions of a mask: all values in a range are equally likely."""

    boxes: float
    """Probability of boxes instead of strokes."""
    strokes: Range
    length: Range
    """Length of each segment of a stroke, pixels."""
    width: Range
    """Width of each segment, pixels."""


MASKS: dict[str, Strokes] = {
    "thin": Strokes(0.0, (4, 51), (10, 49), (5, 14)),
    "medium": Strokes(0.3, (4, 6), (10, 109), (5, 54)),
    "thick": Strokes(0.3, (1, 6), (10, 209), (5, 104)),
}
"""Masks of the evaluation, by name."""
TRAINING = Strokes(0.5, (1, 6), (10, 209), (5, 104))
"""Masks of training."""
BOXES: Range = 1, 4
BOX: Range = 30, 150
"""Height and width of a box, pixels."""


def draw_mask(height: int, width: int, how: Strokes, rng: np.random.Generator) -> np.ndarray:
    """A mask, bool (height, width), true in the hole, neither empty nor more than half of the
    image, if that has two pixels; a single pixel where the image is too small for strokes."""
    scale = min(height, width) / PUBLISHED
    for _ in range(TRIES):
        mask = (
            _boxes(height, width, scale, rng) if rng.random() < how.boxes else _strokes(height, width, scale, how, rng)
        )
        if 0 < mask.mean() <= LARGEST:
            return mask
    pixel = np.zeros((height, width), bool)
    pixel.flat[int(rng.integers(pixel.size))] = True
    return pixel


def draw_named(height: int, width: int, kind: str, name: str) -> np.ndarray:
    """The mask of a kind, a key of `MASKS`, seeded by the name of the image."""
    key = int.from_bytes(hash_of(f"{kind}/{name}", 0)[:8])
    return draw_mask(height, width, MASKS[kind], np.random.default_rng(key))


def _whole(rng: np.random.Generator, values: Range, scale: float = 1.0) -> int:
    return max(1, round(scale * rng.integers(*values, endpoint=True)))


def _strokes(height: int, width: int, scale: float, how: Strokes, rng: np.random.Generator) -> np.ndarray:
    """Chains of segments with round ends, in four directions (0, 1, 2 and 3 radians), mirrored in
    every other stroke."""
    from PIL import Image, ImageDraw

    canvas = Image.new("1", (width, height))
    draw = ImageDraw.Draw(canvas)
    for number in range(_whole(rng, how.strokes)):
        x, y = float(rng.integers(width)), float(rng.integers(height))
        for _ in range(_whole(rng, (1, SEGMENTS))):
            angle = 0.01 + rng.integers(4)
            angle = -angle if number % 2 == 0 else angle
            length, thick = _whole(rng, how.length, scale), _whole(rng, how.width, scale)
            end = np.clip(x + length * np.sin(angle), 0, width), np.clip(y + length * np.cos(angle), 0, height)
            draw.line([(x, y), end], fill=1, width=thick)
            for centre in ((x, y), end):
                draw.circle(centre, thick / 2, fill=1)
            x, y = end
    return np.array(canvas)


def _boxes(height: int, width: int, scale: float, rng: np.random.Generator) -> np.ndarray:
    mask, margin = np.zeros((height, width), bool), round(MARGIN * scale)
    for _ in range(_whole(rng, BOXES)):
        h, w = (min(_whole(rng, BOX, scale), side - 2 * margin) for side in (height, width))
        top, left = (
            int(rng.integers(margin, side - margin - length + 1)) for side, length in ((height, h), (width, w))
        )
        mask[top : top + h, left : left + w] = True
    return mask
