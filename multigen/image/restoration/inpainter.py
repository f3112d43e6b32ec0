"""Inference with a trained inpainting generator: images of any size, changed only in the holes."""

import copy
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from multigen.errors import ConfigError, DataError
from multigen.image.decoding import Raster, raster_of, to_pil
from multigen.image.degrade import imresize
from multigen.image.image_to_image import ignore, opaque
from multigen.image.restoration.holes import composed, masked
from multigen.image.restoration.masks import draw_named
from multigen.image.restoration.user_masks import (
    Window,
    check_hole,
    dilated,
    feathered,
    hole_of,
    pieces,
    rings,
    thickness,
    whole_holes,
)
from multigen.image.sheets import strip
from multigen.memory import require
from multigen.tasks.graph import Graph
from multigen.tasks.ready import Ready

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["Inpainter"]

DILATION = 250  # of the longer side one part in so many is added around a hole, but at least 2 pixels
THICKEST = 0.6  # of the training crops' side: what is thicker is filled in a smaller copy
SHEET = 64  # side of the pattern of holes that `sheet` repeats


class Inpainter(Ready):
    """A trained generator as a function of an image and a mask.

    Holes are filled one after the other, or those that are near together, each in a window with its
    surroundings: at the image's own resolution, as the network was trained, and in a smaller copy
    where a hole is thicker than it was trained for. No window is larger than `tile` pixels and its
    context, so memory does not grow with the image.

    Args:
        crop: side of the crops that the network was trained on, pixels.
    """

    task = "inpainting"
    scale = 1
    on_tile: Callable[[float], object]
    """Called after each part of a hole with a share of the image's pixels, together no more than
    the image has."""

    def __init__(self, network: nn.Module, crop: int, tile: int = 256):
        self.network, self.crop, self.tile, self.on_tile = network, crop, tile, ignore
        self.multiple = int(network.multiple)  # pyright: ignore[reportArgumentType]

    def inpaint(
        self,
        image: "Tensor | np.ndarray | Picture",
        mask: "Tensor | np.ndarray | Picture",
        dilate: int | None = None,
        feather: int | None = None,
    ) -> Any:
        """The image with its holes filled, of the kind given: uint8 tensor (3, H, W), uint8 array
        (H, W, 3), or PIL image of any mode, whose depth, opacity and profile are kept. All pixels
        that are not in the dilated mask stay exactly as they were.

        Args:
            mask: of the same size: bool or uint8 (H, W), of which at least 128 is the hole, or a
                PIL image, white in the hole; of one with transparency, the transparent part is the
                hole.
            dilate: pixels added around the mask, since remains of an object at its edge would be
                continued into the hole; None: 1/250 of the longer side, at least 2.
            feather: pixels at the edge of the dilated mask over which the image turns into the
                filling; None: half of `dilate`.

        Raises DataError for anything else, a mask of another size, an empty one, and one that
        covers everything.
        """
        if isinstance(image, Tensor):
            pixels = image.permute(1, 2, 0).cpu().numpy() if image.dim() == 3 else image.numpy()
            filled = self.restore_raster(_rgb(pixels), hole_of(mask), dilate, feather).pixels
            return torch.from_numpy(filled).permute(2, 0, 1)
        if isinstance(image, np.ndarray):
            return self.restore_raster(_rgb(image), hole_of(mask), dilate, feather).pixels
        from PIL.Image import Image

        if not isinstance(image, Image):
            raise DataError(
                f"a tensor, an array or a PIL image is expected, got {image!r}; open files with PIL.Image.open"
            )
        return to_pil(self.restore_raster(raster_of(image), hole_of(mask), dilate, feather))

    def restore_raster(
        self, raster: Raster, hole: np.ndarray, dilate: int | None = None, feather: int | None = None
    ) -> Raster:
        """The pixels of an image file with its holes filled, with the same channels, bits and
        profile.

        Args:
            hole: bool (H, W).
            dilate, feather: as of `inpaint`.

        Opacity is kept. Images that are all grey stay grey: the mean of the network's channels.
        """
        height, width = raster.pixels.shape[:2]
        check_hole(hole, height, width)
        require(height * width * 32, f"holes of {width:,} x {height:,} pixels", "cut the image into parts")
        grown, feather = _grown(hole, dilate, feather)
        colour = raster.colour if raster.alpha is None else opaque(raster.colour, raster.alpha[..., 0])
        most = int(np.iinfo(colour.dtype).max)
        grey = all(np.array_equal(colour[..., 0], colour[..., i]) for i in range(1, colour.shape[-1]))
        image = np.broadcast_to(colour, (height, width, 3)).astype(np.float32) / most
        filled = self._filled(image, grown)
        filled = filled.mean(-1, keepdims=True) if grey else filled
        share = feathered(grown, feather)[..., None]  # (H, W, 1): 0 outside, 1 in the hole
        mixed = np.rint(colour + share * (filled * most - colour)).astype(colour.dtype)
        pixels = raster.pixels.copy()
        pixels[..., : colour.shape[-1]] = np.where(share > 0, mixed, raster.colour)
        return Raster(pixels, raster.profile)

    def windows(self, hole: np.ndarray, dilate: int | None = None, feather: int | None = None) -> list[tuple[int, int]]:
        """(height, width) of what the network is given for a hole, bool (H, W), at most: holes that
        are near together are filled at once."""
        hole = _grown(hole, dilate, feather)[0]
        result = (self._window(piece, hole[piece]) for piece in pieces(hole, self.tile))
        return [
            tuple(round(shrink * len(range(length)[side])) for side, length in zip(window, hole.shape, strict=True))
            for window, shrink in result
        ]  # pyright: ignore[reportReturnType]

    def seconds(self, sizes: Sequence[tuple[int, int]]) -> float:
        """About how long `windows` of these sizes take: one is timed."""
        image, hole = np.zeros((self.crop, self.crop, 3), np.float32), np.eye(self.crop, dtype=bool)
        self._pass(image[:32, :32], hole[:32, :32])  # memory is taken at the first pass
        began = time.perf_counter()
        self._pass(image, hole)
        return (time.perf_counter() - began) / self.crop**2 * sum(height * width for height, width in sizes)

    def __call__(self, given: Tensor) -> Tensor:
        """Masked image and mask, uint8 (4, H, W) -> the image with the hole filled, uint8 (3, H,
        W), both on the CPU: in one forward pass, without dilation."""
        image = given[:3].permute(1, 2, 0).cpu().numpy().astype(np.float32) / 255
        filled = self._pass(image, given[3].cpu().numpy() > 0)
        return composed(given.cpu(), torch.from_numpy(np.rint(filled * 255).astype(np.uint8)).permute(2, 0, 1))

    def sheet(self, n: int, seed: int = 0) -> "Picture":
        """Up to n crops of the embedded held-out photographs with holes filled, side by side in one
        image: those with the most detail, the same for every model and seed. Raises ConfigError for
        n < 1."""

        def degrade(image: Tensor, name: str) -> Tensor:
            height, width = image.shape[1:]
            pattern = draw_named(SHEET, SHEET, "medium", name)
            return masked(image, np.tile(pattern, (-(-height // SHEET), -(-width // SHEET)))[:height, :width])

        return strip(self, 1, n, degrade=degrade)

    def graph(self) -> Graph:
        """A copy of the network for `multigen export`."""
        m = self.multiple

        def example(n: int, side: int) -> tuple[Tensor, ...]:
            height, width = m * (side // m + 4), m * (side // m + 5)
            given = torch.rand(n, 4, height, width, generator=torch.Generator().manual_seed(0))
            mask = (given[:, 3:] > 0.5).float()
            return (torch.cat([given[:, :3] * (1 - mask), mask], dim=1),)

        says = {
            "masked": f"float32 (batch, 4, height, width), RGB in 0..1, 0 in the hole, and the mask, 1 there; multiples of {m}",
            "image": "float32 (batch, 3, height, width), RGB, 0..1; use it in the hole alone",
        }
        names = {0: "batch", 2: "height", 3: "width"}
        network = copy.deepcopy(self.network).cpu().float()
        return Graph(network, {"masked": names}, example, "image", ("batch", 3, "height", "width"), says)

    # ---------------------------------------------------------------------------------- filling

    def _filled(self, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        """Fills the holes, bool (H, W), of (H, W, 3) in 0..1 piece by piece, from known pixels
        inwards."""
        image, left, ring = image.copy(), hole.copy(), rings(hole, self.tile)
        parts = sorted(
            pieces(hole, self.tile), key=lambda piece: ring[tuple((side.start + side.stop) // 2 for side in piece)]
        )
        for piece in parts:
            if not left[piece].any():
                continue  # filled with another
            window, shrink = self._window(piece, left[piece])
            done = whole_holes(left, window)
            done[tuple(slice(p.start - w.start, p.stop - w.start) for p, w in zip(piece, window, strict=True))] = True
            done &= left[window]
            filled = self._shrunk(image[window], left[window], shrink)
            image[window][done] = filled[done]
            left[window][done] = False
            self.on_tile(hole.size / len(parts))
        return image

    def _window(self, piece: Window, hole: np.ndarray) -> tuple[Window, float]:
        """A piece with its surroundings, and how many times as large the network sees it. `hole`:
        bool (h, w), in the piece."""
        shrink = min(1.0, THICKEST * self.crop / thickness(hole))
        context = round(self.crop / 2 / shrink)
        rows, columns = (slice(max(side.start - context, 0), side.stop + context) for side in piece)
        return (rows, columns), shrink

    def _shrunk(self, image: np.ndarray, hole: np.ndarray, shrink: float) -> np.ndarray:
        """Fills the hole of (h, w, 3) in a copy downsampled by the factor `shrink`."""
        if shrink == 1:
            return self._pass(image, hole)
        height, width = hole.shape
        size = max(1, round(height * shrink)), max(1, round(width * shrink))
        # Holes take the mean of what is known near them, so that nothing of them is seen when the image shrinks.
        known = opaque((image * 65535).astype(np.uint16), ~hole * 255)
        small = imresize(torch.from_numpy(known.astype(np.float32) / 65535).permute(2, 0, 1), size)
        holes = imresize(torch.from_numpy(hole.astype(np.float32)), size) > 0.01
        filled = self._pass(small.clamp(0, 1).permute(1, 2, 0).numpy(), holes.numpy())
        large = imresize(torch.from_numpy(filled).permute(2, 0, 1), (height, width)).clamp(0, 1)
        return large.permute(1, 2, 0).numpy()

    @torch.no_grad()
    def _pass(self, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        """The network's output, float32 (h, w, 3) in 0..1, for an image of any size and its hole,
        bool (h, w)."""
        height, width = hole.shape
        least = 4 * self.multiple  # reflections within the network need more than a pixel
        more = [(0, max(least, side + -side % self.multiple) - side) for side in (height, width)]
        known = np.where(hole[..., None], 0, image)
        given = np.concatenate([known, hole[..., None]], axis=-1, dtype=np.float32)
        given = np.pad(given, (*more, (0, 0)), mode="symmetric")
        weight = next(self.network.parameters())
        x = torch.from_numpy(given).permute(2, 0, 1)[None].to(weight.device, weight.dtype)  # (1, 4, h', w')
        y = self.network(x.contiguous(memory_format=torch.channels_last))[0, :, :height, :width]
        return y.float().clamp(0, 1).permute(1, 2, 0).cpu().numpy()


def _grown(hole: np.ndarray, dilate: int | None, feather: int | None) -> tuple[np.ndarray, int]:
    """A mask as it is filled, and the pixels over which the image turns into the filling. Raises
    ConfigError."""
    dilate = max(2, max(hole.shape) // DILATION) if dilate is None else dilate
    feather = dilate // 2 if feather is None else feather
    if dilate < 0 or not 0 <= feather <= dilate:
        raise ConfigError(
            f"dilate {dilate}, feather {feather}: expected 0 or more pixels, and not more feather than dilate"
        )
    grown = dilated(hole, dilate)
    return (hole, 0) if grown.all() else (grown, feather)  # something known must be left


def _rgb(pixels: np.ndarray) -> Raster:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise DataError(f"a uint8 image (3, H, W) or array (H, W, 3) is expected, got {pixels.dtype} {pixels.shape}")
    return Raster(pixels)
