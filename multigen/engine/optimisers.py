"""Optimisers as plain descriptions; the engine builds them, one for each network, and sets their numbers at every step.

Every number that may follow a schedule takes a float or a function of the stage's progress (`multigen.engine.schedules`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from multigen.engine.schedules import Schedule, is_constant, value_at

__all__ = ["SGD", "Adam", "AdamW", "Optimiser", "RMSprop"]


@dataclass(frozen=True)
class Optimiser:
    """What all optimisers share: a learning rate, perhaps scheduled."""

    lr: Schedule = 1e-4

    def build(self, parameters: Sequence[Tensor]) -> torch.optim.Optimizer:
        raise NotImplementedError

    def settings(self, progress: float, lazy: float = 1.0) -> dict[str, Any]:
        """Numbers of a parameter group at `progress` of the stage; `lazy` is c = every / (every + 1), see `Update.lazy`."""
        return {"lr": value_at(self.lr, progress) * lazy}

    def constant(self) -> bool:
        """Whether no number depends on progress, so that a stage may be made longer without changing its past."""
        return all(is_constant(v) for f in vars(self).values() for v in (f if isinstance(f, tuple) else (f,)))


@dataclass(frozen=True)
class Adam(Optimiser):
    """Kingma and Ba 2015, fused. Lazy regularisation also corrects the betas (Karras et al. 2020, appendix B)."""

    betas: tuple[Schedule, Schedule] = (0.9, 0.999)
    eps: float = 1e-8

    def build(self, parameters: Sequence[Tensor]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, eps=self.eps, fused=True, **self.settings(0.0))

    def settings(self, progress: float, lazy: float = 1.0) -> dict[str, Any]:
        betas = tuple(float(value_at(b, progress)) ** lazy for b in self.betas)
        return {**super().settings(progress, lazy), "betas": betas}


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    weight_decay: float = 0.01

    def build(self, parameters: Sequence[Tensor]) -> torch.optim.Optimizer:
        decay = self.weight_decay
        return torch.optim.AdamW(parameters, eps=self.eps, weight_decay=decay, fused=True, **self.settings(0.0))


@dataclass(frozen=True)
class RMSprop(Optimiser):
    """The optimiser of the first Wasserstein GAN. Not fused, so on a GPU its steps wait for the non-finite check."""

    alpha: float = 0.99
    eps: float = 1e-8

    def build(self, parameters: Sequence[Tensor]) -> torch.optim.Optimizer:
        return torch.optim.RMSprop(parameters, alpha=self.alpha, eps=self.eps, foreach=True, **self.settings(0.0))


@dataclass(frozen=True)
class SGD(Optimiser):
    momentum: float = 0.0

    def build(self, parameters: Sequence[Tensor]) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, momentum=self.momentum, fused=True, **self.settings(0.0))
