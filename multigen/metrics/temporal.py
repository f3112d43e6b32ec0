"""Metrics of films: how well the change from frame to frame agrees with the true film's.

    tof_tvl1        mean |flow(true pair) - flow(generated pair)|, pixels, after TecoGAN (Chu et
                    al. 2020). Theirs is OpenCV's Farneback flow; here it is scikit-image's TV-L1,
                    hence the name
    tlp_NAME        100 |d(true[t-1], true[t]) - d(generated[t-1], generated[t])| with a named
                    image distance (tLP100 with LPIPS)
    warping_error   mean squared difference between a frame and the previous one warped by the
                    flow, where nothing is occluded (Lai et al. 2018): blur lowers it, so it is
                    reported beside PSNR and beside a blurred film's
    psnr, ssim      of each frame, then the mean of frames

All are lower for a film that does not move, or is blurred: report them with the same figures of a
blurred film.
"""

import functools
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from multigen.errors import DataError

__all__ = [
    "TemporalReference",
    "blurred",
    "flow",
    "luma",
    "occluded",
    "temporal_metrics",
    "tlp",
    "tof_tvl1",
    "warped",
    "warping_error",
]

Film = Sequence[np.ndarray]
"""uint8 frames (H, W, 3)."""
BLUR = 1.5  # sigma of the blurred film's Gaussian, pixels


def luma(frame: np.ndarray) -> np.ndarray:
    """Grey (H, W) in 0..1 of an RGB frame: BT.601's weights, as those of MATLAB's and OpenCV's
    conversion."""
    return frame.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32) / 255


def flow(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The motion (2, H, W), rows and columns, by which `first` at a pixel is found in `second` at
    the pixel + motion: TV-L1 (Zach et al. 2007) with scikit-image's settings. Grey frames (H, W) in
    0..1."""
    from skimage.registration import optical_flow_tvl1

    return np.asarray(optical_flow_tvl1(first, second, dtype=np.float32))


def warped(frame: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """`frame` (H, W) at each pixel + motion, bilinear; at the border the nearest pixel."""
    from skimage.transform import warp

    rows, columns = np.mgrid[: frame.shape[0], : frame.shape[1]].astype(np.float32)
    places = np.stack([rows + motion[0], columns + motion[1]])
    return warp(frame, places, order=1, mode="edge", preserve_range=True)


def occluded(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """Where (H, W) a pixel is not seen in the other frame: the way there and back does not end
    where it began, more than .01 (|there|^2 + |back|^2) + .5 pixels^2 away (Sundaram et al. 2010),
    or leaves the frame."""
    back = np.stack([warped(part, forward) for part in backward])
    apart = ((forward + back) ** 2).sum(0)
    rows, columns = np.mgrid[: apart.shape[0], : apart.shape[1]]
    ends = rows + forward[0], columns + forward[1]
    outside = (ends[0] < 0) | (ends[0] > apart.shape[0] - 1) | (ends[1] < 0) | (ends[1] > apart.shape[1] - 1)
    return (apart > 0.01 * ((forward**2).sum(0) + (back**2).sum(0)) + 0.5) | outside


class TemporalReference:
    """A film that others are compared with: its motion is found once, when it is asked for."""

    def __init__(self, true: Film):
        self.true = true
        self.lumas = [*map(luma, true)]

    @functools.cached_property
    def there(self) -> list[np.ndarray]:
        """The flow from each frame to the next."""
        return [flow(a, b) for a, b in pairwise(self.lumas)]

    @functools.cached_property
    def back(self) -> list[np.ndarray]:
        """The flow from each frame but the first to the one before."""
        return [flow(b, a) for a, b in pairwise(self.lumas)]

    def tof_tvl1(self, made: Film) -> float:
        """Mean length of the difference of both films' flows, pixels. Raises DataError."""
        _check(self.true, made)
        flows = (flow(a, b) for a, b in pairwise(map(luma, made)))
        return float(np.mean([np.linalg.norm(x - y, axis=0).mean() for x, y in zip(self.there, flows, strict=True)]))

    def warping_error(self, made: Film) -> float:
        """`warping_error` with this film's flow. Raises DataError."""
        _check(self.true, made)
        errors = []
        for (before, after), back, there in zip(pairwise(map(luma, made)), self.back, self.there, strict=True):
            seen = ~occluded(back, there)
            if seen.any():
                errors.append(float(((after - warped(before, back)) ** 2)[seen].mean()))
        return float(np.mean(errors)) if errors else float("nan")


def tof_tvl1(true: Film, made: Film) -> float:
    """Mean length of the difference of both films' flows, pixels. Raises DataError."""
    return TemporalReference(true).tof_tvl1(made)


def tlp(true: Film, made: Film, distance: Callable[[np.ndarray, np.ndarray], float]) -> float:
    """100 times the mean |d(true pair) - d(made pair)|. `distance`: of two frames. Raises
    DataError."""
    _check(true, made)
    pairs = zip(pairwise(true), pairwise(made), strict=True)
    return 100 * float(np.mean([abs(distance(*real) - distance(*fake)) for real, fake in pairs]))


def warping_error(made: Film, true: Film | None = None) -> float:
    """Mean squared difference, of 0..1, of frames and those before moved along, where the flow
    finds no occlusion.

    `true`: the film whose flow is used, the same for all films that are compared; None: `made`
    itself. Raises DataError.
    """
    return TemporalReference(made if true is None else true).warping_error(made)


def blurred(film: Film) -> list[np.ndarray]:
    """The film that the temporal metrics prefer: each frame blurred (sigma `BLUR`)."""
    from skimage.filters import gaussian

    return [np.rint(gaussian(frame, BLUR, channel_axis=-1, preserve_range=True)).astype(np.uint8) for frame in film]


def temporal_metrics(
    true: Film,
    made: Film,
    distances: dict[str, Callable[[np.ndarray, np.ndarray], float]] | None = None,
    quality: dict[str, Callable[[np.ndarray, np.ndarray], float]] | None = None,
) -> dict[str, dict[str, float]]:
    """All of them, of `made` and of the blurred true film, as rows "film" and "blurred": metric ->
    value.

    Args:
        distances: name -> distance of two frames, for `tlp_NAME`.
        quality: name -> a measure of (made frame, true frame), such as PSNR and SSIM; frame by
            frame, then the mean.

    Raises DataError for films of other sizes or lengths, or of one frame.
    """
    _check(true, made)
    rows, reference = {}, TemporalReference(true)
    for row, film in {"film": made, "blurred": blurred(true)}.items():
        rows[row] = {
            **{
                name: float(np.mean([f(x, y) for x, y in zip(film, true, strict=True)]))
                for name, f in (quality or {}).items()
            },
            "tof_tvl1": reference.tof_tvl1(film),
            **{f"tlp_{name}": tlp(true, film, f) for name, f in (distances or {}).items()},
            "warping_error": reference.warping_error(film),
        }
    return rows


def _check(true: Film, made: Film) -> None:
    shapes = {frame.shape for frame in (*true, *made)}
    if len(true) != len(made) or len(true) < 2 or len(shapes) != 1:
        raise DataError(
            f"films of {len(true)} and {len(made)} frames of {', '.join(map(str, sorted(shapes)))}; expected the same number, "
            "two or more, and one size"
        )
