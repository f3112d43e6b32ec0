"""Locating data: of the user, and of installed packages."""

import contextlib
import importlib.util
import os
import re
from pathlib import Path

from multigen.errors import DataError

__all__ = ["NotFound", "in_package", "locate", "may_not_be_read", "no_path"]


class NotFound(DataError):
    """There is nothing of that name."""


def locate(data: str, expected: str) -> Path:
    """The file or folder of that name in the working directory, or in the folder named by the
    environment variable MULTIGEN_DATA.

    Raises NotFound if neither is (`expected` says what else the name may be), and DataError for a
    folder that may not be read.
    """
    if reason := no_path(data):
        raise NotFound(f"{data} {reason}")
    root = os.environ.get("MULTIGEN_DATA")
    path = Path(os.path.expanduser(data))
    places = [path] if path.is_absolute() or not root else [path, Path(root) / path]
    for place in places:
        with contextlib.suppress(OSError, ValueError):  # a name that no file can have, such as one too long
            if data and place.exists():
                break
    else:
        sought = " and ".join(str(place) for place in places)
        raise NotFound(
            f"{data}: no such file or folder (sought {sought}); expected {expected}; relative paths may also lie in the folder "
            "named by MULTIGEN_DATA"
        )
    if place.is_dir() and not os.access(place, os.R_OK | os.X_OK):
        raise may_not_be_read(place)
    return place


def no_path(name: str | Path) -> str:
    """Why a URL is not accepted as a path, and what to do; "" for any other name."""
    if re.match(r"(https?|s3|gs|ftp):/", str(name)):
        return "is a URL; expected a file or folder here; download it first"
    return ""


def in_package(package: str, inside: str) -> Path | None:
    """A file of an installed package, by its path in the package's folder; None where there is
    none.

    The package is not imported for it: that may take seconds.
    """
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    return next((path for folder in folders if (path := Path(folder, inside)).is_file()), None)


def may_not_be_read(folder: str | Path) -> DataError:
    """The error of a folder that its permissions close."""
    return DataError(
        f"{folder}: this folder cannot be read; expected one that you may list and enter; change its permissions, or leave it out"
    )
