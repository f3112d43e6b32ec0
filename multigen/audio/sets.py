"""Datasets of recordings of one length and rate: in memory, or read from a file on demand where
they are large."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Self, cast

import torch
from torch import Tensor

from multigen.audio.store import Store
from multigen.data.datasets import ItemSet, origin_of
from multigen.engine.batches import Batch, Rows, TensorSource

__all__ = ["SliceSource", "SoundSet", "Windows"]

FADE = 0.002  # seconds
READ = 1 << 19  # samples read at once
FEW = 1 << 22  # bytes of a part of a set on disk that are held in memory


class Windows:
    """Windows of a store, float32 (N, C, length), read on demand; they can be indexed like a
    tensor.

    Args:
        spans: int64 (N, 2), first frame of each and the one behind its last; of a longer span its
            beginning is taken, and a shorter one is faded out and padded.
    """

    dtype = torch.float32

    def __init__(self, store: Store, spans: Tensor, length: int, rate: int):
        self.store, self.spans, self.length, self.rate = store, spans, length, rate
        self.shape = torch.Size((len(spans), store.channels, length))
        self._digest = ""

    def __len__(self) -> int:
        return len(self.spans)

    def __getitem__(self, which: slice | Tensor) -> Tensor:
        windows = [
            _fitted(self.store[a : min(b, a + self.length)], self.length, self.rate)
            for a, b in self.spans[which].tolist()
        ]
        return torch.stack(windows) if windows else torch.empty(0, *self.shape[1:])

    @property
    def at_once(self) -> int:
        """How many are well read at once."""
        return max(READ // self.shape[1:].numel(), 1)

    def split(self, size: int) -> Iterator[Tensor]:
        """All of them, in parts of at most that many."""
        return (self[first : first + size] for first in range(0, len(self), size))

    def __repr__(self) -> str:
        """Names them by their content, for the cache."""
        if not self._digest:
            digest = hashlib.blake2b(digest_size=20)
            for part in self.split(self.at_once):
                digest.update(part.numpy().data)
            self._digest = digest.hexdigest()
        return f"Windows({tuple(self.shape)}, {self._digest})"


@dataclass(frozen=True, eq=False)
class SoundSet(ItemSet):
    """Recordings of one length and rate, float32 (N, C, length) in -1..1.

    Args:
        items: a tensor, or of large sets `Windows`.
        rate: Hz.
        whole: (C, T) all recordings one after another, uncut, where windows are drawn from them at
            random, else None.
        spans: int64 (N, 2), first sample of `whole` that each item stands for, and the one behind
            its last.
    """

    noun: ClassVar[str] = "recordings"
    key: ClassVar[str] = "sound"

    rate: int = 0
    whole: Tensor | Store | None = None
    spans: Tensor | None = None

    def subset(self, indices: Iterable[int] | Tensor) -> Self:
        """The items of these indices, in this order; windows are drawn from what these stand for
        alone."""
        selection = torch.as_tensor(indices if isinstance(indices, Tensor) else list(indices), dtype=torch.int64)
        part = self
        if isinstance(self.items, Windows):
            windows = Windows(self.items.store, self.items.spans[selection], self.items.length, self.rate)
            few = 4 * windows.shape.numel() <= FEW
            part = replace(self, items=windows[:] if few else cast(Tensor, windows))
            labels = None if self.labels is None else self.labels[selection]
            part = replace(part, labels=labels, names=tuple(self.names[i] for i in selection.tolist()))
        else:
            part = super().subset(selection)
        return part if self.spans is None else replace(part, spans=self.spans[selection])

    def origins(self) -> tuple[str, ...]:
        """N names of the recordings: "a/loop.wav" of item "a/loop.wav#3"."""
        return tuple(map(origin_of, self.names))

    def fingerprint(self) -> str:
        """Hash of the recordings; where windows are drawn from them, of all of each, held-out ones
        included."""
        if isinstance(self.items, Windows):
            digest = hashlib.blake2b(digest_size=8)
            for part in self.items.split(self.items.at_once):
                digest.update(part.numpy().data)
            if self.labels is not None:
                digest.update(self.labels.numpy().data)
            fingerprint = digest.hexdigest()
        else:
            fingerprint = super().fingerprint()
        if self.whole is None:
            return fingerprint
        digest = hashlib.blake2b(fingerprint.encode(), digest_size=8)
        parts = (part for _, part in self.whole.blocks()) if isinstance(self.whole, Store) else (self.whole,)
        for part in parts:
            digest.update(part.contiguous().numpy().data)
        return digest.hexdigest()

    def to_source(self) -> TensorSource:
        """Batches of "sound" (B, C, length), cut at random if the set was opened so, and perhaps
        "label" (B,) int64."""
        if self.whole is not None and self.spans is not None:
            return SliceSource(self.whole, _joined(self.spans), self.items.shape[-1], self.rate, self.labels)
        if isinstance(self.items, Windows):
            return SliceSource(
                self.items.store, self.items.spans, self.items.length, self.rate, self.labels, at_random=False
            )
        return super().to_source()


class SliceSource(TensorSource):
    """Windows of long recordings, at random places.

    Each item stands for a span of a recording, about a window long. Spans that adjoin are joined,
    and a window is drawn from anywhere in what the item's span was joined to, never from what
    belongs to no item: that may be held out.

    Args:
        whole: (C, T) recordings one after another, with a sample that is in no span between each
            two.
        spans: int64 (N, 2) as in `SoundSet`, joined.
        length: of a window, samples. Of what is shorter, all is taken, faded out and padded.
        rate: Hz.
        labels: int64 (N,), or None.
        at_random: else each window is the beginning of its item's span.
    """

    def __init__(
        self,
        whole: Tensor | Store,
        spans: Tensor,
        length: int,
        rate: int,
        labels: Tensor | None = None,
        at_random: bool = True,
    ):
        super().__init__({"span": spans} | ({} if labels is None else {"label": labels}))
        self.whole, self.length, self.rate, self.at_random = whole, length, rate, at_random

    def batch(self, rows: Rows) -> Batch:
        """Float32 "sound" (B, C, length), and where there are labels "label" (B,)."""
        batch = super().batch(rows)
        sounds = []
        for i, (first, end) in enumerate(batch.pop("span").tolist()):
            room = max(end - first - self.length, 0) if self.at_random else 0
            start = first + (int(rows.rng(i).integers(room + 1)) if self.at_random else 0)
            span = slice(start, min(end, start + self.length))
            window = self.whole[span] if isinstance(self.whole, Store) else self.whole[:, span]
            sounds.append(_fitted(window, self.length, self.rate))
        return {"sound": torch.stack(sounds), **batch}


def _joined(spans: Tensor) -> Tensor:
    """For each span (N, 2) the first sample and the end of the unbroken row of spans that it is
    in."""
    order = spans[:, 0].argsort()
    first, end = spans[order].unbind(1)
    number = torch.cat([torch.zeros(1, dtype=torch.int64), (first[1:] != end[:-1]).cumsum(0)])  # (N,) of the row
    starts = torch.searchsorted(number, number)
    ends = torch.searchsorted(number, number, right=True) - 1
    joined = torch.empty_like(spans)
    joined[order] = torch.stack([first[starts], end[ends]], 1)
    return joined


def _fitted(sound: Tensor, length: int, rate: int) -> Tensor:
    """The first `length` samples, (C, T) -> (C, length); a shorter sound is faded out at its end,
    which avoids a click, and padded."""
    count = sound.shape[1]
    if count >= length:
        return sound[:, :length]
    padded = torch.zeros(len(sound), length)
    padded[:, :count] = sound
    fade = min(round(FADE * rate), count)
    padded[:, count - fade : count] *= torch.arange(fade - 1, -1, -1) / max(fade, 1)
    return padded
