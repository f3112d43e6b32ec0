"""Where a user's data are."""

import contextlib
import os
from pathlib import Path

from multigen.errors import DataError

__all__ = ["locate"]


def locate(data: str, expected: str) -> Path:
    """The file or folder of that name here, or in the folder that the environment variable MULTIGEN_DATA names.

    Raises DataError if neither is; `expected` says what else the name may be.
    """
    root = os.environ.get("MULTIGEN_DATA")
    here = Path(os.path.expanduser(data))
    places = [here] if here.is_absolute() or not root else [here, Path(root) / here]
    for place in places:
        with contextlib.suppress(OSError):  # a name that no file can have, such as one too long
            if data and place.exists():
                return place
    sought = " nor ".join(str(place) for place in places)
    raise DataError(
        f"{data}: no such file or folder (sought {sought}); expected {expected}; relative paths may also lie in the folder named "
        "by MULTIGEN_DATA"
    )
