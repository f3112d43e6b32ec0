"""A history of generated items, of which a discriminator sees some again, so that its generator
does not return to what it made before.

Shrivastava et al. 2017, arXiv:1612.07828, section 2.3; CycleGAN keeps the last 50 images of each
domain.
"""

from typing import Any

import torch
from torch import Tensor

from multigen.engine import distributed
from multigen.engine.plan import Step

__all__ = ["exchange"]


@torch.no_grad()
def exchange(scalars: dict[str, Any], name: str, fresh: Tensor, step: Step, size: int) -> Tensor:
    """What a discriminator sees in place of `fresh`, items (rows, ...): half of them are items of
    the history, and the fresh ones are kept in their places.

    The first `size` items of a stage fill the history, and are returned themselves. Each row of a
    global batch has a place of its own, so neither ranks nor micro-batches change the result; rows
    beyond `size` are returned as they are. Items that are not finite are not kept: a place that has
    none yet, which holds infinities, gets the next one that is.

    Args:
        scalars: those of the training state, which hold the history as "history/NAME": it is saved
            and resumed.
        size: number of items kept; 0: `fresh` is returned.
    """
    if not size:
        return fresh
    shape = fresh.shape[1:]
    history: Tensor = scalars.setdefault(f"history/{name}", fresh.new_full((size, *shape), torch.inf, dtype=step.dtype))
    seen = scalars.get(f"fired/{step.update}", 0) * step.batch  # in earlier firings of the update
    generator, number = step.rng(f"history/{name}"), torch.arange(step.batch)  # of each row in the global batch
    places, turns = torch.randperm(size, generator=generator), torch.rand(step.batch, generator=generator)
    filling = seen + number < size
    drawn = (number < size) & (seen >= size)
    place = torch.where(filling, seen + number, places[number % size]).to(history.device)  # (batch,)
    empty = ~history[place].flatten(1).isfinite().all(1)
    returns = ((turns < 0.5) & drawn).to(history.device) & ~empty
    stores = filling.to(history.device) | (empty & drawn.to(history.device)) | returns
    own = step.rows
    earlier = history[place[own]]
    kept, arrived = fresh.new_zeros(step.batch, *shape, dtype=step.dtype), torch.zeros(step.batch, device=fresh.device)
    finite = fresh.flatten(1).isfinite().all(1)
    kept[own] = torch.where(_along(finite, fresh), fresh, 0).to(step.dtype)
    arrived[own] = finite.float()
    kept, arrived = distributed.all_sum(kept), distributed.all_sum(arrived) > 0  # of all ranks
    stored = arrived & stores
    history[place[stored]] = kept[stored]
    return torch.where(_along(returns[own], fresh), earlier.to(fresh.dtype), fresh)


def _along(mask: Tensor, items: Tensor) -> Tensor:
    """A mask of rows (N,) in the shape that broadcasts over items (N, ...)."""
    return mask.view(-1, *[1] * (items.dim() - 1))
