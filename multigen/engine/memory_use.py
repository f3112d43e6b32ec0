"""The memory that batches take, and what to lower where it is short."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from multigen.config import Run
from multigen.engine import distributed
from multigen.engine.batches import Rows, Source
from multigen.memory import require

__all__ = ["check_batch", "what_to_lower"]

LARGE_BATCH = 4096  # rows of a batch from which on its memory is estimated


def check_batch(data: Source, batch: int, drawn: int, seed: int, remedy: str) -> None:
    """Raises OutOfMemory where a batch of data alone, without activations, exceeds memory.

    Args:
        drawn: random numbers per row, which each rank draws for all.
    """
    if batch < LARGE_BATCH:
        return
    row = data.batch(Rows(np.zeros(1, np.int64), 0, (seed, "size")))
    numbers = sum(t.numel() for t in row.values()) + drawn * distributed.world()
    require(4 * numbers * batch // distributed.world(), f"a batch of {batch}", remedy)


def what_to_lower(config: Any, run: Run, sizes: Sequence[str]) -> str:
    """What to do where memory is short. `sizes`: fields of which a smaller value needs less."""
    flags = [f"--{name.replace('_', '-')}" for name in sizes if hasattr(config, name)]
    batch = f"lower --batch {config.batch}, or raise --accumulate {run.accumulate}"
    return batch + (f"; a smaller {' or '.join(flags)} needs less too" if flags else "")
