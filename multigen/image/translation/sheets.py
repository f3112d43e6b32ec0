"""What tasks of translation make of images, as a sheet to look at before training."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from multigen.console import say
from multigen.errors import ConfigError, DataError
from multigen.image.files import open_photos, read_image
from multigen.image.sizes import Size, resized
from multigen.image.translation.evaluator import sheet
from multigen.image.translation.made import MADE, made_of

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["made_sheet"]

ROWS, SIDE = 4, 256  # photographs, and their shorter side, pixels
ALL = "all"


def made_sheet(data: str, task: str, seed: int = 0) -> "tuple[Picture, list[str]]":
    """A few photographs, chosen by the seed, each beside what a task, or "all" of them, makes of
    it; and the names of the photographs. Unreadable files are skipped and reported.

    Raises ConfigError for an unknown task, DataError if no image can be used.
    """
    if task != ALL and task not in MADE:
        raise ConfigError(f"task {task!r}: expected one of {', '.join(MADE)}, or {ALL}")
    tasks = [*MADE] if task == ALL else [task]
    images = _images(data, seed)
    columns = {name: [made_of(name)(image, photo) for photo, image in images.items()] for name in tasks}
    return sheet({"B": [*images.values()], **columns}), [*images]


def _images(data: str, seed: int) -> dict[str, Tensor]:
    """Name -> photograph, uint8 (3, H, W), in random order by the seed."""
    photos = open_photos(data, skip_bad=True)
    images, problem = {}, None
    for i in np.random.default_rng(seed).permutation(len(photos)):
        if len(images) == ROWS:
            break
        try:
            image = read_image(photos[i].path)
        except DataError as error:
            problem = error
            say(f"skipped: {error}")
            continue
        height, width = image.shape[1:]
        size = Size(short=min(SIDE, height, width)).of(height, width, 1)
        pixels = resized(image.permute(1, 2, 0).numpy(), size)
        images[photos[i].name] = torch.from_numpy(pixels).permute(2, 0, 1).contiguous()
    if problem is not None and not images:
        raise problem
    return images
