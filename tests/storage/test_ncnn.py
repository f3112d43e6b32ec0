"""Networks of ncnn: what is written comes back, and files that do not fit together are refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from multigen.errors import CheckpointError
from multigen.storage.ncnn import FLOAT, HALF, read_ncnn

LINES = [
    "Input in 0 1 data",
    "Convolution Conv_0 1 1 data a 0=2 1=3 4=1 5=1 6=54",
    "PReLU PRelu_1 1 1 a b 0=2",
    "Convolution Conv_2 1 1 b c 0=3 1=1 5=0 6=6",
]
RNG = np.random.default_rng(0)
CONV, BIAS, SLOPE, LAST = (RNG.standard_normal(n).astype(np.float32) for n in (54, 2, 2, 6))


def write(folder: Path, lines: list[str] = LINES, binary: bytes = b"", count: int | None = None) -> tuple[Path, Path]:
    param, weights = folder / "net.param", folder / "net.bin"
    param.write_text("\n".join(["7767517", f"{len(lines) if count is None else count} 4", *lines]) + "\n")
    half = np.uint32(HALF).tobytes() + CONV.astype(np.float16).tobytes()
    whole = half + BIAS.tobytes() + SLOPE.tobytes() + np.uint32(FLOAT).tobytes() + LAST.tobytes()
    weights.write_bytes(binary or whole)
    return param, weights


def test_weights_are_read_in_their_shapes_and_types(tmp_path: Path) -> None:
    first, slopes, last = read_ncnn(*write(tmp_path))
    assert first.weight.shape == (2, 3, 3, 3) and np.array_equal(first.weight.ravel(), CONV.astype(np.float16))
    assert first.bias is not None and np.array_equal(first.bias, BIAS)
    assert slopes.kind == "PReLU" and np.array_equal(slopes.weight, SLOPE)
    assert last.weight.shape == (3, 2, 1, 1) and np.array_equal(last.weight.ravel(), LAST) and last.bias is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda place: write(place, [LINES[0].replace("Input", "Custom"), *LINES[1:]]), "a layer 'Custom'"),
        (lambda place: write(place, count=9), "4 layers; its second line says '9'"),
        (lambda place: write(place, [LINES[1].replace("6=54", "6=5400000000")]), "expected at"),
        (lambda place: write(place, [LINES[1].replace("6=54", "6=55")]), "expected a multiple of 2 x 3 x 3"),
        (lambda place: write(place, [LINES[1].replace("0=2", "0=-2")]), "a layer of -2 channels"),
        (lambda place: write(place, [LINES[1].replace("0=2", "0=" + "9" * 5000)]), "digits"),
        (lambda place: write(place, LINES[:3]), "the layers have"),
        (lambda place: write(place, binary=b"\0" * 7), "expected at"),
        (lambda place: write(place, binary=b"\1" * 400), "weights of type 0x1010101"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    tmp_path: Path, change: Callable[[Path], tuple[Path, Path]], reason: str
) -> None:
    with pytest.raises(CheckpointError, match=r"net\.param: no network of ncnn can be read") as raised:
        read_ncnn(*change(tmp_path))
    assert reason in str(raised.value) and "\n" not in str(raised.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    param, weights = write(tmp_path)
    with pytest.raises(CheckpointError, match="No such file"):
        read_ncnn(param, tmp_path / "other.bin")
    param.write_bytes(b"\xff\xfe")
    with pytest.raises(CheckpointError, match="no network of ncnn"):
        read_ncnn(param, weights)
    param.write_text("")
    with pytest.raises(CheckpointError, match="expected 7767517"):
        read_ncnn(param, weights)
