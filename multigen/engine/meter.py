"""Means of what losses report, summed on the device: nothing is read from it until a logging step."""

from collections.abc import Mapping

import torch
from torch import Tensor

from multigen.engine.distributed import all_sum, rank

__all__ = ["Meter"]


class Meter:
    """Weighted means by name. The same on every rank once read."""

    def __init__(self):
        self.held: dict[str, tuple[Tensor, Tensor | float]] = {}

    def add(self, name: str, value: Tensor, weight: Tensor | float) -> None:
        """Adds `value`, a mean over `weight` rows (or tokens)."""
        total, weights = self.held.get(name, (0.0, 0.0))
        self.held[name] = (total + value * weight, weights + weight)

    def gather(self) -> dict[str, Tensor]:
        """Name -> (sum, weight) float64 (2,), over all ranks; one reduction. Rank 0 holds it all from now on."""
        if not self.held:
            return {}
        names = sorted(self.held)
        pairs = [torch.stack([t.double(), torch.as_tensor(w, device=t.device).double()]) for t, w in map(self.held.get, names)]
        gathered = dict(zip(names, all_sum(torch.stack(pairs)), strict=True))
        self.load(gathered if rank() == 0 else {name: pair * 0 for name, pair in gathered.items()})
        return gathered

    def load(self, pairs: Mapping[str, Tensor]) -> None:
        self.held = {name: (pair[0], pair[1]) for name, pair in pairs.items()}

    def read(self) -> dict[str, float]:
        """Means since the last read, over all ranks; one transfer from the device. Empties the meter."""
        gathered = self.gather()
        self.held = {}
        values = torch.stack([*gathered.values()]).tolist() if gathered else []
        return {name: s / w if w else 0.0 for name, (s, w) in zip(gathered, values, strict=True)}
