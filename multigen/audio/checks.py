"""Checks of recordings before they are measured, and of the packages that a metric needs."""

import hashlib
import importlib
import io
import warnings
from importlib import metadata
from pathlib import Path

import torch
from torch import Tensor

from multigen.errors import CheckpointError, ConfigError, DataError, one_line
from multigen.storage.reading import open_regular

__all__ = ["check_rate", "checked", "checked_one", "not_silent", "packaged", "require"]

EXTRAS = {
    "pesq": "pip install 'multigen[speech-compiled]', which needs a C compiler",
    "pyworld": "pip install 'multigen[speech-compiled]', which needs a C compiler",
    "resemblyzer": "pip install --no-deps resemblyzer",  # what it depends on needs a compiler, and serves nothing here
}
"""Package -> how it is installed, where that is not `INSTALL`."""
CARRIERS = ("resemblyzer", "speechmos")
"""Packages that are wanted for the weights in them, and not imported."""
INSTALL = "pip install 'multigen[speech]'"
LARGEST = 1 << 27  # bytes of weights in a package


def checked(prediction: Tensor, target: Tensor, least: int, same_length: bool = True) -> tuple[Tensor, Tensor]:
    """Both recordings in float64; raises DataError if they differ in shape, are shorter than
    `least` samples, or not finite."""
    pair = checked_one(prediction, "prediction", least), checked_one(target, "target", least)
    a, b = tuple(prediction.shape), tuple(target.shape)
    if a != b if same_length else a[:-1] != b[:-1]:
        raise DataError(f"prediction {a} and target {b} differ in shape; cut both to the shorter")
    return pair


def checked_one(x: Tensor, name: str, least: int) -> Tensor:
    """One recording in float64; raises DataError as `checked`."""
    if not x.is_floating_point() or x.ndim not in (1, 2):
        raise DataError(
            f"{name}: floats (B, T) or (T,) expected, got {x.dtype} {tuple(x.shape)}; mix it to one channel"
        )
    if x.shape[-1] < least:
        raise DataError(
            f"{name}: {x.shape[-1]} samples, at least {least} expected; leave it out, or fill it with silence"
        )
    if not x.isfinite().all():
        raise DataError(f"{name}: a sample is not a finite number; leave the recording out, or look for what made it")
    return x.detach().double()


def not_silent(x: Tensor, name: str, why: str) -> None:
    """Raises DataError, with `why` it matters, if a recording of the batch is all zeros."""
    silent = torch.nonzero((x == 0).all(dim=-1).reshape(-1)).flatten().tolist()
    if silent:
        raise DataError(f"{name}: recording {silent[0]} of the batch is silent and {why}; leave it out")


def check_rate(metric: str, name: str, rate: int, rates: tuple[int, ...]) -> None:
    """Raises ConfigError for a rate at which a metric is not defined."""
    if rate not in rates:
        raise ConfigError(
            f"{name} at {rate} Hz: it is defined at {' and '.join(map(str, rates))}; resample the recordings, or leave {metric} "
            "out"
        )


def require(*packages: str) -> None:
    """Raises ConfigError for a package that is missing or cannot be imported, with the command that
    installs it."""
    for package in packages:
        try:
            if package in CARRIERS:
                metadata.distribution(package)
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # pyworld asks pkg_resources, which is deprecated, for its version
                importlib.import_module(package)
        except ImportError as error:  # PackageNotFoundError is one too
            how = f"the package {package} is not installed"
            if error.name not in (package, None):
                how = f"the package {package} cannot be imported ({one_line(error)})"
            raise ConfigError(f"{how}; {EXTRAS.get(package, INSTALL)}") from error


def packaged(package: str, file: str, sha256: str) -> io.BytesIO:
    """A file of weights inside an installed package, which is not imported.

    Raises:
        ConfigError: the package is not installed.
        CheckpointError: its file is missing, or another than the one whose checksum is given.
    """
    require(package)
    path = Path(str(metadata.distribution(package).locate_file(file)))
    with open_regular(path, LARGEST) as source:
        content = source.read()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise CheckpointError(
            f"{path}: not the weights that this version knows, by their SHA-256; reinstall {package}: "
            f"{EXTRAS.get(package, INSTALL)}"
        )
    return io.BytesIO(content)
