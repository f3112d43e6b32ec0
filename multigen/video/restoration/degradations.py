"""Degradation of clips: the two reductions that are measured with, the pictures' blind ones as
random walks, and H.264."""

from fractions import Fraction
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from multigen.errors import ConfigError, DataError
from multigen.image.degrade import imresize, reduced
from multigen.image.restoration.blind import Strength
from multigen.image.restoration.blind import degrade as blind
from multigen.image.restoration.kernels import gaussian

__all__ = ["Degradation", "Wandering", "along", "compressed", "cubic", "degrade", "interpolated", "to_bytes"]

Degradation = Literal["bi", "bd", "mild", "strong"]
SIGMA = 1.6  # of BD's Gaussian at scale 4, pixels
PACE = 0.05  # standard deviation of a parameter's step from frame to frame, of its range


def degrade(clip: Tensor, scale: int, degradation: Degradation, rng: np.random.Generator) -> Tensor:
    """uint8 (T, 3, H, W), H and W multiples of the scale -> uint8 (T, 3, H / scale, W / scale).

    - bi: MATLAB's bicubic reduction, whose pixels lie in the middle of squares of `scale` pixels.
    - bd: a Gaussian blur of 1.6 pixels (at scale 4; others in proportion), then the first pixel of
      each square.
    - mild, strong: blind degradation (`multigen.image.restoration.blind`): the same operations for
      all frames, whose parameters wander from frame to frame; noise is drawn for each.
    """
    if degradation == "bi":
        return reduced(clip, scale)
    if degradation == "bd":
        return _blurred(clip, SIGMA * scale / 4, scale)
    draws = Wandering(rng)
    frames = []
    for frame in clip:
        frames.append(blind(frame, scale, cast("Strength", degradation), cast("np.random.Generator", draws)))
        draws.wander()
    return torch.stack(frames)


def interpolated(clip: Tensor, scale: int, degradation: Degradation) -> Tensor:
    """Bicubic interpolation of uint8 (T, 3, H, W), aligned with what the degradation reduces: the
    baseline without training."""
    if degradation != "bd":
        return imresize(clip, scale)
    x = clip.double()
    for dim, around in ((-1, (1, 2, 0, 0)), (-2, (0, 0, 1, 2))):  # first pixels of squares stay where they are
        x = F.pad(x, around, mode="replicate")
        phases = [along(x, cubic(phase / scale), dim) for phase in range(scale)]
        x = torch.stack(phases, dim).flatten(-2) if dim == -1 else torch.stack(phases, dim).flatten(-3, -2)
    return to_bytes(x)


def cubic(fraction: float | Tensor) -> Tensor:
    """Weights (4, ...) of the pixels at -1, 0, 1 and 2 for places in 0..1: Keys 1981, a = -1/2."""
    place = torch.as_tensor(fraction, dtype=torch.float64)
    x = torch.stack([1 + place, place, 1 - place, 2 - place])
    inner, outer = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return torch.where(x <= 1, inner, outer)


class Wandering:
    """Random numbers for the frames of a clip, in place of a generator: of the first frame drawn,
    of later ones the same decisions and nearly the same parameters. Noise is drawn for each frame.

    Each call of a frame must be that of the first frame at the same place.
    """

    def __init__(self, rng: np.random.Generator):
        self.rng, self.drawn, self.at = rng, [], 0

    def wander(self) -> None:
        """Begins the next frame."""
        self.at = 0

    def random(self) -> float:
        return self._same(self.rng.random)

    def choice(self, values: Any, p: Any = None) -> Any:
        return self._same(lambda: self.rng.choice(values, p=p))

    def uniform(self, low: float, high: float) -> float:
        place = self.at
        value = self._same(lambda: self.rng.uniform(low, high))
        moved = value + PACE * (high - low) * self.rng.standard_normal()
        self.drawn[place] = float(np.clip(moved, low, high))
        return value

    def standard_normal(self, *shape: Any, **options: Any) -> Any:
        return self.rng.standard_normal(*shape, **options)

    def poisson(self, *mean: Any) -> Any:
        return self.rng.poisson(*mean)

    def _same(self, draw: Any) -> Any:
        if self.at == len(self.drawn):
            self.drawn.append(draw())
        self.at += 1
        return self.drawn[self.at - 1]


def compressed(clip: Tensor, crf: int) -> Tensor:
    """uint8 (T, 3, H, W) as H.264 of a quality gives it back, colour at half the resolution. Raises
    ConfigError without PyAV."""
    try:
        import av
    except ImportError as error:
        raise ConfigError("h264: compressing clips needs PyAV; pip install 'multigen[media]'") from error
    height, width = clip.shape[-2:]
    even = F.pad(clip.float(), (0, width % 2, 0, height % 2), mode="replicate").to(torch.uint8)
    coder: Any = av.CodecContext.create("libx264", "w")
    coder.height, coder.width, coder.pix_fmt = even.shape[-2], even.shape[-1], "yuv420p"
    coder.time_base, coder.framerate, coder.thread_count = Fraction(1, 25), Fraction(25), 1
    # Looking ahead, x264 makes other frames of the same ones in one of a hundred runs.
    same = "rc-lookahead=0:mbtree=0:sync-lookahead=0"
    coder.options = {"crf": str(crf), "preset": "veryfast", "x264-params": same}
    packets = []
    for pts, frame in enumerate(even):
        given = av.VideoFrame.from_ndarray(frame.permute(1, 2, 0).contiguous().numpy(), format="rgb24")
        given.pts, given.time_base = pts, coder.time_base
        packets += coder.encode(given)
    decoder: Any = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    frames = [f for packet in [*packets, *coder.encode(None)] for f in decoder.decode(packet)]
    frames += decoder.decode(None)
    if len(frames) != len(clip):
        raise DataError(f"h264: {len(frames)} of {len(clip)} frames came back; install PyAV again")
    return torch.stack([_planes(frame) for frame in frames])[..., :height, :width].contiguous()


def _planes(frame: Any) -> Tensor:
    return torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)


def _blurred(clip: Tensor, sigma: float, step: int) -> Tensor:
    """uint8 (T, 3, H, W) under a Gaussian of 4 standard deviations to each side, mirrored at
    borders, not rounded in between; every `step` pixels."""
    around = min(int(4 * sigma + 0.5), min(clip.shape[-2:]) - 1)
    line = gaussian(2 * around + 1, sigma).double().sum(0)  # a Gaussian is the product of two
    x = F.pad(clip.double(), (around,) * 4, mode="reflect")
    return to_bytes(along(along(x, line, -1, step), line, -2, step))


def along(x: Tensor, weights: Tensor, dim: int, step: int = 1) -> Tensor:
    """Weighted sums of as many neighbours in one direction, -1 or -2, as there are weights, (taps,)
    or for frames of a clip (taps, T, 1, 1, 1), at every `step` pixels."""
    count = x.shape[dim] - len(weights) + 1
    total = None
    for tap, weight in enumerate(weights.to(x.dtype)):
        part = x.narrow(dim, tap, count)
        part = (part[..., ::step] if dim == -1 else part[..., ::step, :]) * weight
        total = part if total is None else total.add_(part)
    assert total is not None
    return total


def to_bytes(x: Tensor) -> Tensor:
    """Rounded and clipped, uint8."""
    return x.round().clamp(0, 255).to(torch.uint8)
