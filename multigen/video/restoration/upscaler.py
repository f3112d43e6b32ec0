"""Inference with a trained generator of films: frame by frame, with a state that can be stored."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from multigen.errors import CheckpointError, DataError
from multigen.image.decoding import Raster
from multigen.image.image_to_image import check_room, opaque
from multigen.image.restoration.upscaler import Upscaler
from multigen.image.sizes import OWN, Size, resized
from multigen.image.tiles import fill
from multigen.memory import require
from multigen.tasks.graph import Graph
from multigen.video.cuts import Cuts
from multigen.video.restoration.graph import NextState
from multigen.video.restoration.networks import RRN, enlarged

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["FilmUpscaler", "Running"]


class FilmUpscaler(Upscaler):
    """A trained generator as a function of films, and of images, which are films of one frame.

    Of a film the whole state is kept, and each step takes it through the network in tiles with as
    much of their surroundings as a step can depend on: tiles leave no seams, however many frames
    the state has run for."""

    task = "video-super-resolution"
    network: RRN

    def __init__(self, network: RRN, tile: int | None = None):
        super().__init__(network, network.scale, tile)

    def upscale(
        self,
        image: "Tensor | np.ndarray | Picture",
        scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        short: int | None = None,
    ) -> Any:
        """A film, uint8 tensor (T, 3, H, W) or array (T, H, W, 3), or one image, as
        `multigen.image.restoration.upscaler.Upscaler.upscale` has it. At cuts the state is
        reset."""
        return self._restored(image, Size(scale, width, height, short))

    def running(self, size: Size = OWN) -> "Running":
        """A film of which frames are given one by one."""
        return Running(self, size)

    def __call__(self, image: Tensor, size: Size = OWN) -> Tensor:
        """uint8 (3, H, W) -> uint8 (3, scale H, scale W), or of a size; a film (T, 3, H, W) -> (T,
        3, scale H, scale W)."""
        if image.dim() != 4:
            return super().__call__(image, size)
        _check(image.dtype == torch.uint8 and image.shape[1] == 3, image)
        return torch.from_numpy(self._film(image.permute(0, 2, 3, 1).cpu().numpy(), size)).permute(0, 3, 1, 2)

    def graph(self) -> Graph:
        """A copy of a step of the network for `multigen export`: a frame and the state before it ->
        the state after it."""
        network = NextState(self.network)
        s, state = self.scale, network.channels

        def example(n: int, side: int) -> tuple[Tensor, ...]:
            draw = torch.Generator().manual_seed(0)
            return tuple(torch.rand(n, planes, side + 8, side + 11, generator=draw) for planes in (3, state))

        says = {
            "image": "float32 (batch, 3, height, width), RGB, 0..1: a frame",
            "state": f"float32 (batch, {state}, height, width): of a first frame, and after a cut, the frame and then zeros; of "
            "others what `next` was for the frame before",
            "next": f"float32 (batch, {state}, height, width): the frame, {self.network.width} channels of the hidden "
            f"state, and the large frame, RGB in 0..1, with its squares of {s} x {s} pixels as "
            f"channels: pixel_shuffle of the last {3 * s * s}",
        }
        names = {0: "batch", 2: "height", 3: "width"}
        return Graph(
            network, {"image": names, "state": names}, example, "next", ("batch", state, "height", "width"), says
        )

    def _restored(self, image: "Tensor | np.ndarray | Picture", size: Size) -> Any:
        if isinstance(image, np.ndarray) and image.ndim == 4:
            _check(image.dtype == np.uint8 and image.shape[-1] == 3, image)
            return self._film(image, size)
        if isinstance(image, Tensor) and image.dim() == 4:
            return self(image, size)
        return super()._restored(image, size)

    def _film(self, frames: np.ndarray, size: Size) -> np.ndarray:
        _check(len(frames) > 0, frames)
        running = self.running(size)
        return np.stack([running(Raster(frame)).pixels for frame in frames])


class Running:
    """A film in which frames are enlarged in turn: uint8 or uint16 RGB. Where a scene begins, the
    state is empty again.

    `state` and `resume` let another process continue, with the same results.
    """

    def __init__(self, restorer: FilmUpscaler, size: Size):
        self.restorer, self.size = restorer, size
        self.cuts = Cuts()
        self.passes: dict[int, dict[str, np.ndarray]] = {}
        """Of each pass, which enlarges once: the frame before, the hidden state and the output, (H,
        W, C) each."""

    def __call__(self, raster: Raster) -> Raster:
        """The next frame, enlarged. Raises CheckpointError where the network gives what is no
        number; OutOfMemory."""
        pixels, scale = raster.pixels, self.restorer.scale
        height, width = pixels.shape[:2]
        passes, target = self.size.inputs(height, width, scale), self.size.of(height, width, scale)
        check_room((height, width), passes, target, scale, 3 * pixels.itemsize + 1)
        if self.cuts.begins(pixels) or not self.restorer.network.recurrent:
            self.passes.clear()
        for number, _ in enumerate(passes):
            pixels = self._enlarged(number, pixels)
        return Raster(resized(pixels, target), raster.profile)

    def restore_raster(self, raster: Raster) -> Raster:
        """The next frame of an animation, with the same channels and bits, as
        `multigen.image.image_to_image.ImageToImage.restore_raster` has it."""
        colour, alpha = raster.colour, raster.alpha
        planes = colour.shape[-1]
        if alpha is not None:
            colour = opaque(colour, alpha[..., 0])
        made = self(Raster(np.repeat(colour, 3 // planes, -1), raster.profile)).pixels[..., :planes]
        if alpha is not None:
            made = np.concatenate([made, self.restorer.opacity(alpha, self.size)], -1)
        return Raster(made, raster.profile)

    def state(self) -> dict[str, np.ndarray]:
        """All that the next frame depends on."""
        arrays = {f"{number}/{name}": array for number, arrays in self.passes.items() for name, array in arrays.items()}
        return {**arrays, "cuts/before": self.cuts.before, "cuts/usual": np.array([self.cuts.usual])}

    def resume(self, state: Mapping[str, np.ndarray]) -> None:
        """Continues after the frame for which `state` gave this; at the beginning where it is
        empty."""
        self.cuts, self.passes = Cuts(), {}
        if state:
            self.cuts.before, self.cuts.usual = state["cuts/before"], float(state["cuts/usual"][0])
        for name, array in state.items():
            number, _, what = name.partition("/")
            if number.isdecimal():
                self.passes.setdefault(int(number), {})[what] = array

    @torch.no_grad()
    def _enlarged(self, number: int, pixels: np.ndarray) -> np.ndarray:
        """One step of a pass: integers (H, W, 3) -> (s H, s W, 3)."""
        network, most = self.restorer.network, np.iinfo(pixels.dtype).max
        frame = pixels.astype(np.float32) / np.float32(most)
        height, width, _ = frame.shape
        if number not in self.passes:  # the state before and after a step, and what it is given
            each = 4 * (6 + 3 * (network.width + network.planes))
            require(each * height * width, f"the state of {width:,} x {height:,} pixels", "shrink the film")
        empty = {"before": frame, "hidden": np.zeros((height, width, network.width), np.float32)}
        state = self.passes.get(number) or {**empty, "output": np.zeros((height, width, network.planes), np.float32)}
        planes = np.concatenate([state["before"], frame, state["hidden"], state["output"]], -1)
        result = np.empty((height, width, network.width + network.planes), np.float32)
        tiling = self.restorer
        tiling.tile = fill(result, planes, 1, self._step, tiling.tile, network.radius, tiling.on_tile)
        large = enlarged(_tensor(frame), _tensor(result[..., network.width :]), network.scale)
        if not math.isfinite(large.sum().item()):
            model = tiling.origin.get("model", "the network")
            raise CheckpointError(
                f"{model}: its output is not finite, so its weights are no good; choose another model"
            )
        output = F.pixel_unshuffle(large, network.scale)
        hidden = np.ascontiguousarray(result[..., : network.width])
        self.passes[number] = {"before": frame, "hidden": hidden, "output": _array(output)}
        if (pixels == pixels[..., :1]).all():  # grey stays grey
            large = large.mean(1, keepdim=True).expand(-1, 3, -1, -1)
        return _array((large * int(most)).round().clamp(0, int(most))).astype(pixels.dtype)

    def _step(self, planes: np.ndarray) -> np.ndarray:
        """(h, w, 6 + C + 3 s^2): the frame before, the frame, hidden state and output -> (h, w, C +
        3 s^2), the new state and what is added."""
        network = self.restorer.network
        weight = next(network.parameters())
        given = _tensor(planes).to(weight.device, weight.dtype).contiguous(memory_format=torch.channels_last)
        parts = given.split([3, 3, network.width, network.planes], 1)
        return _array(torch.cat(network.step(*parts), 1).float())


def _tensor(array: np.ndarray) -> Tensor:
    """(H, W, C) -> (1, C, H, W)."""
    return torch.from_numpy(array).permute(2, 0, 1)[None]


def _array(tensor: Tensor) -> np.ndarray:
    """(1, C, H, W) -> (H, W, C)."""
    return np.ascontiguousarray(tensor[0].permute(1, 2, 0).cpu().numpy())


def _check(fits: bool, film: "Tensor | np.ndarray") -> None:
    if not fits:
        kind, shape = film.dtype, tuple(film.shape)
        raise DataError(f"a film is uint8, a tensor (T, 3, H, W) or an array (T, H, W, 3); got {kind} {shape}")
