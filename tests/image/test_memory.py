"""Memory that images take: linear in their pixels, and far below what the machine has."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.tiny import environment, python

MEASURE = """
import resource, sys, types
import torch
import multigen.cli.restoring as shared, multigen.cli.upscale as verb, multigen.image.datasets as datasets
from multigen.image.restoration.upscaler import Upscaler
import rich.progress, multigen.image.sources, multigen.image.writing
torch.set_num_threads(1)
kind, place, out = sys.argv[1:]

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

network = torch.nn.Upsample(scale_factor=4)
network.register_parameter("weight", torch.nn.Parameter(torch.zeros(1)))
network.radius = 2
ready = Upscaler(network, 4)
shared.load_for = lambda *_: ready
before = peak()
if kind == "upscale":
    verb.run([place, "--model", "none", "--out", out])
else:
    datasets.open_images(place, 32)
print(peak() - before)
"""


def megabytes(kind: str, place: Path, out: Path) -> float:
    """Above those of the process after its imports."""
    done = python("-c", MEASURE, kind, place, out, cwd=out.parent, env=environment(PYTHONWARNINGS="ignore"))
    assert done.returncode == 0, done.stderr
    return float(done.stdout.split()[-1])


def picture(path: Path, width: int, height: int, mode: str = "RGB", **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (height // 16, width // 16, 3), np.uint8)).convert(mode)
    small.resize((width, height), Image.Resampling.NEAREST).save(path, **options)
    return path


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss differs")
def test_enlarging_takes_memory_in_proportion(tmp_path: Path) -> None:
    """7 bytes for a pixel of the result, 3 of them for its values and 4 for Pillow's copy, and
    little else."""
    taken = megabytes("upscale", picture(tmp_path / "a.png", 1120, 800, compress_level=1), tmp_path / "up")
    assert taken < 1120 * 800 * 16 * 9 / 1e6 + 60


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss differs")
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_enlarging_a_large_photograph(tmp_path: Path, mode: str) -> None:
    taken = megabytes("upscale", picture(tmp_path / "a.png", 4000, 3000, mode, compress_level=1), tmp_path / "up")
    assert taken < 2000


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss differs")
@pytest.mark.parametrize(("mode", "suffix"), [("RGB", "png"), ("RGBA", "png"), ("RGB", "jpg")])
def test_a_small_set_of_huge_images(tmp_path: Path, mode: str, suffix: str) -> None:
    options = {"compress_level": 1} if suffix == "png" else {"quality": 50}
    picture(tmp_path / "set" / f"a.{suffix}", 13_000, 13_000, mode, **options)
    picture(tmp_path / "set" / "b.png", 64, 64)
    taken = megabytes("set", tmp_path / "set", tmp_path / "up")
    assert taken < (2000 if suffix == "png" else 300)
