"""Checks that all ranks of a run were started with the same command, version of the code, and
data."""

import sys
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from multigen.config import Run, to_table
from multigen.engine import distributed
from multigen.version import __version__

__all__ = ["check_data", "check_run"]

OWN = ("workers", "tensorboard", "data_license")
"""Options that may differ between ranks."""


def check_run(trainer: type, name: str, config: Any, run: Run, device: torch.device) -> None:
    """Raises ConfigError, on every rank, where ranks were started with different code, settings or
    options."""
    options = {n: value for n, value in to_table(replace(run, device=device.type)).items() if n not in OWN}
    file = getattr(sys.modules.get(trainer.__module__), "__file__", None)  # a notebook has none
    code = {
        "multigen": __version__,
        "torch": torch.__version__,
        "code": zlib.crc32(Path(file).read_bytes()) if file and Path(file).is_file() else 0,
    }
    distributed.check_alike(
        {**code, "method": name, **to_table(config), **options}, "start all with one command and one version"
    )


def check_data(info: Any, items: int) -> None:
    """Raises ConfigError, on every rank, where ranks have opened different data."""
    checksums = {f"data, {name}": zlib.crc32(repr(value).encode()) for name, value in to_table(info).items()}
    distributed.check_alike({"data, items": items, **checksums}, "give all ranks the same data")
