"""Images of a domain made from those of another, so that any folder of photographs gives pairs."""

from collections.abc import Callable

from torch import Tensor

from multigen.errors import ConfigError

__all__ = ["MADE", "Make", "made_of"]

Make = Callable[[Tensor, str], Tensor]
"""(image of B, uint8 (3, H, W); its name) -> its image of A, of the same size. The same each
time."""


def grey(image: Tensor, name: str) -> Tensor:
    """Luma (BT.601), in three equal channels."""
    red, green, blue = image.float()
    luma = (0.299 * red + 0.587 * green + 0.114 * blue).round().to(image.dtype)
    return luma.expand_as(image)


MADE: dict[str, Make] = {"colour": grey}
"""Value of a setting `task` -> how the image of A is made."""


def made_of(task: str) -> Make:
    """How the images of A are made. Raises ConfigError for another name."""
    if task not in MADE:
        raise ConfigError(f"task {task!r}: expected one of {', '.join(MADE)}")
    return MADE[task]
