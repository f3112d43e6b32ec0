"""Where memory is short, and where half precision overflows: images are restored all the same, and
what was done is said once."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from multigen.errors import CheckpointError, OutOfMemory
from multigen.image.decoding import Raster
from multigen.image.image_to_image import SURROUNDINGS
from multigen.image.restoration.upscaler import Upscaler
from multigen.image.tiles import LEAST, TILE
from tests.tiny import pixels


def picture(height: int, width: int) -> Tensor:
    """uint8 (3, H, W)."""
    return torch.from_numpy(pixels(height, width)).permute(2, 0, 1)


class Needy(nn.Module):
    """Inverts an image, and fails at inputs with a side above `most`."""

    radius = 0

    def __init__(self, most: int, error: Exception) -> None:
        super().__init__()
        self.most, self.error = most, error
        self.w = nn.Parameter(-torch.ones(()))
        self.sides: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.sides.append(max(x.shape[-2:]))
        if self.sides[-1] > self.most:
            raise self.error
        return 1 + self.w * x


SHORT: list[Exception] = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:119] . DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


@pytest.mark.parametrize("error", SHORT, ids=lambda error: type(error).__name__)
def test_tiles_are_halved_where_memory_runs_out(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    network, image = Needy(70, error), picture(90, 200)
    upscaler = Upscaler(network, 1)
    assert upscaler.tile == TILE and torch.equal(upscaler(image), 255 - image)
    assert "out of memory with tiles of 200 pixels; continuing with tiles of 50\n" in capsys.readouterr().err
    assert upscaler.tile == 50
    network.sides.clear()
    assert torch.equal(upscaler(image), 255 - image) and capsys.readouterr().err == ""
    assert max(network.sides) == 50  # larger ones are not tried again


def test_tiles_are_halved_down_to_a_least_side() -> None:
    with pytest.raises(
        OutOfMemory, match=r"with tiles of 50 pixels and 0 around them; close other programs, or choose a"
    ):
        Upscaler(Needy(10, SHORT[0]), 1)(picture(90, 200))
    assert LEAST > 50 // 2
    with pytest.raises(RuntimeError, match="shapes"):
        Upscaler(Needy(10, RuntimeError("shapes do not fit")), 1)(picture(90, 200))


class Fragile(nn.Module):
    """Halves an image; not finite in some types of numbers."""

    radius = 0

    def __init__(self, *fails: torch.dtype) -> None:
        super().__init__()
        self.fails = fails
        self.w = nn.Parameter(torch.full((), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.w * x / (0 if x.dtype in self.fails else 1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_output_that_is_not_finite_in_half_precision_is_computed_again(
    dtype: torch.dtype, capsys: pytest.CaptureFixture[str]
) -> None:
    image = picture(20, 300)
    expected = Upscaler(Fragile(), 1)(image)
    upscaler = Upscaler(Fragile(dtype).to(dtype), 1, tile=100)
    upscaler.origin = {"model": "mine"}
    assert torch.equal(upscaler(image), expected)
    assert capsys.readouterr().err.count("mine: its output is not finite in") == 1


def test_sixteen_bits_pass_a_network_in_half_precision() -> None:
    """65,535 is no number of float16."""
    raster = Raster(pixels(20, 24).astype(np.uint16) * 257, b"")
    upscaler = Upscaler(Fragile().half(), 1)
    result = upscaler.restore_raster(raster).pixels.astype(int)
    assert np.abs(result - raster.pixels / 2).max() < 40
    assert next(upscaler.network.parameters()).dtype == torch.float16


def test_a_model_whose_output_is_never_finite_is_named() -> None:
    upscaler = Upscaler(Fragile(torch.float16, torch.float32).half(), 1)
    upscaler.origin = {"model": "mine"}
    with pytest.raises(CheckpointError, match=r"mine: its output is not finite.*choose another model"):
        upscaler(picture(9, 9))


class Everywhere(nn.Module):
    """Adds the mean of its input, so that it has no radius."""

    radius = None

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.w * (x + x.mean((-2, -1), keepdim=True)) / 2


def test_a_network_without_a_radius_has_the_most_surroundings_and_a_cross_fade() -> None:
    image = torch.zeros(3, 40, 300, dtype=torch.uint8)
    image[:, :, 150:] = 200
    upscaler = Upscaler(Everywhere(), 1, tile=100)
    assert upscaler.radius == SURROUNDINGS and upscaler.fade > 0
    row = upscaler(image)[0, 20].int()
    assert row[150:].diff().abs().max() <= 4 < (row[299] - row[150]).abs()


def test_a_network_that_needs_whole_images_gets_them() -> None:
    class Whole(Everywhere):
        whole = True

    image = picture(40, 300)
    expected = (Everywhere()(image[None] / 255)[0] * 255).round().byte()
    assert torch.equal(Upscaler(Whole(), 1)(image), expected)
    assert not torch.equal(Upscaler(Whole(), 1, tile=100)(image), expected)
