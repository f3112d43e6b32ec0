"""Batches: the items of a batch are a pure function of (seed, stage, update, number of the batch).

Permutations of the data, each keyed by its epoch, follow one another in an endless sequence; batch
n takes positions n*B to n*B + B - 1 of it. Every item is used equally often, a data set smaller
than a batch works, and any batch can be remade without those before it.
"""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from multigen.engine.randomness import key, order, row_generator

__all__ = ["Batch", "DataInfo", "Rows", "Source", "Stream", "TensorSource"]

Batch = dict[str, Tensor]


class Rows:
    """A request for rows of one batch: `indices` (n,) of the items, and a generator for each
    row."""

    def __init__(self, indices: np.ndarray, first: int, name: tuple[int | str, ...]):
        self.indices, self.first, self.name = indices, first, name

    def __len__(self) -> int:
        return len(self.indices)

    def rng(self, i: int) -> np.random.Generator:
        """Random numbers of row i of these rows (crop, flip): the same however a batch is
        divided."""
        return row_generator(key(*self.name), self.first + i)


class Source(Protocol):
    """The interface of training data."""

    def __len__(self) -> int:
        """Number of items."""
        ...

    def batch(self, rows: Rows) -> Batch:
        """Named tensors whose first dimension is len(rows), on the CPU or the data's own device."""
        ...


@dataclass(frozen=True)
class DataInfo:
    """Facts determined by opening the training data, saved beside the configuration: inference
    needs them, and a resume compares them."""

    fingerprint: str = ""
    """Hash of the training data; empty: not compared."""


class TensorSource:
    """Data in memory as named tensors (N, ...), on any device: a batch is one gather per tensor."""

    def __init__(self, tensors: Mapping[str, Tensor]):
        if len({len(t) for t in tensors.values()}) != 1:
            raise ValueError(f"tensors of one length expected, got { {name: len(t) for name, t in tensors.items()} }")
        self.tensors = dict(tensors)

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def batch(self, rows: Rows) -> Batch:
        indices = torch.from_numpy(rows.indices)
        return {name: t.index_select(0, indices.to(t.device)) for name, t in self.tensors.items()}


class Stream:
    """The batches of one update. `at(number)` makes batch `number`; with workers (threads) the
    following ones are prefetched."""

    def __init__(self, source: Source, batch: int, rows: slice, name: tuple[int | str, ...], workers=0, pin=False):
        self.source, self.size, self.rows, self.name, self.workers, self.pin = source, batch, rows, name, workers, pin
        self._pool = ThreadPoolExecutor(workers) if workers else None
        self._ahead: dict[int, Future[Batch]] = {}

    def at(self, number: int) -> Batch:
        """The rows of batch `number` that are this rank's."""
        if self._pool is None:
            return self[number]
        numbers = range(number, number + 2 * self.workers)
        self._ahead = {n: self._ahead.get(n) or self._pool.submit(self.__getitem__, n) for n in numbers}
        return self._ahead[number].result()

    def __getitem__(self, number: int) -> Batch:
        length, first = len(self.source), number * self.size + self.rows.start
        stop = first + self.rows.stop - self.rows.start
        epochs = range(first // length, (stop - 1) // length + 1)
        orders = [order(length, *self.name, "epoch", e)[max(first - e * length, 0) : stop - e * length] for e in epochs]
        indices = orders[0] if len(orders) == 1 else np.concatenate(orders)
        batch = self.source.batch(Rows(indices, self.rows.start, (*self.name, "rows", number)))
        return {name: t.pin_memory() for name, t in batch.items()} if self.pin else batch
