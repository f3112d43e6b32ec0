"""A function of sounds, or of their mels, applied chunk by chunk: the same as of the whole, in
memory for a chunk."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

__all__ = ["in_parts", "streamed", "streamed_at"]


def streamed(
    chunks: Iterable[Tensor], function: Callable[[Tensor], Tensor], radius: int, step: int = 1, ratio: int = 1
) -> Iterator[Tensor]:
    """As `streamed_at`, of a function that is the same wherever its window begins."""
    return streamed_at(chunks, lambda window, _: function(window), radius, step, ratio)


def streamed_at(
    chunks: Iterable[Tensor], function: Callable[[Tensor, int], Tensor], radius: int, step: int = 1, ratio: int = 1
) -> Iterator[Tensor]:
    """`function` of the chunks (C, L) one behind another, as soon as each part of it is known.

    A part is passed on once `radius` of the input behind it are there, so the delay is `radius`
    and what is left of a step. Windows begin at multiples of `step`, with `radius` before what is
    new, where there is so much.

    Args:
        function: ((C, l), the position of its first sample) -> (..., l * ratio), for any l; its
            values depend on at most `radius` of the input on either side, and on where the input
            ends only as far as that.
        radius: of the input, on each side; a multiple of `step`.
        step: of the input, whose multiples are alike to the function.
        ratio: of the output's length to the input's.
    """
    pending, first, done = (
        torch.empty(0),
        0,
        0,
    )  # the input from position `first` on; results before `done` are passed on
    for chunk in chunks:
        pending = torch.cat([pending, chunk], -1) if pending.numel() else chunk
        count = (first + pending.shape[-1] - radius - done) // step * step
        if count > 0:
            at = (done - first) * ratio
            yield function(pending, first)[..., at : at + count * ratio]
            done += count
            start = max(done - radius, 0)
            pending, first = pending[..., start - first :], start
    if first + pending.shape[-1] > done:
        yield function(pending, first)[..., (done - first) * ratio :]


def in_parts(sound: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """The same chunks (C, L), none longer than `size`."""
    for chunk in sound:
        yield from chunk.split(size, -1)
