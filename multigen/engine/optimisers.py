"""Descriptions of optimisers; the engine builds one for each network, and sets its hyper-parameters
at every step.

A hyper-parameter may follow a schedule: a function of the stage's progress
(`multigen.engine.schedules`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from multigen.engine.schedules import Schedule, is_constant, value_at

__all__ = ["SGD", "Adam", "AdamW", "Optimiser", "RMSprop"]

Betas = tuple[Schedule, Schedule]


@dataclass(frozen=True)
class Optimiser:
    """A torch optimiser, fused where available, and its hyper-parameters, each a number or a
    schedule."""

    kind: type[torch.optim.Optimizer]
    numbers: dict[str, Schedule | Betas]

    def build(self, parameters: Sequence[Tensor]) -> torch.optim.Optimizer:
        """Builds the torch optimiser. An unfused one (RMSprop) waits for the non-finite check at
        every step on a GPU."""
        how: Any = {"foreach" if self.kind is torch.optim.RMSprop else "fused": True}
        return self.kind(parameters, **self.settings(0.0), **how)

    def settings(self, progress: float, lazy: float = 1.0) -> dict[str, Any]:
        """The hyper-parameters at `progress`. Lazy regularisation, c = every / (every + 1), makes
        them lr c and betas ** c (Karras et al. 2020, appendix B)."""
        now: dict[str, Any] = {name: value_at(number, progress) for name, number in self.numbers.items()}
        betas = {"betas": tuple(beta**lazy for beta in now["betas"])} if "betas" in now else {}
        return now | {"lr": now["lr"] * lazy} | betas

    def constant(self) -> bool:
        """Whether no hyper-parameter depends on progress, so that a stage may be extended without
        changing its past."""
        return all(map(is_constant, self.numbers.values()))


def Adam(lr: Schedule = 1e-4, betas: Betas = (0.9, 0.999), eps: float = 1e-8) -> Optimiser:
    """Kingma and Ba 2015, arXiv:1412.6980."""
    return Optimiser(torch.optim.Adam, {"lr": lr, "betas": betas, "eps": eps})


def AdamW(lr: Schedule = 1e-4, betas: Betas = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.01) -> Optimiser:
    """Adam with decoupled weight decay: Loshchilov and Hutter 2019, arXiv:1711.05101."""
    return Optimiser(torch.optim.AdamW, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})


def RMSprop(lr: Schedule = 5e-5, alpha: float = 0.99, eps: float = 1e-8) -> Optimiser:
    """The optimiser of the first Wasserstein GAN, Arjovsky et al. 2017, algorithm 1."""
    return Optimiser(torch.optim.RMSprop, {"lr": lr, "alpha": alpha, "eps": eps})


def SGD(lr: Schedule = 1e-2, momentum: float = 0.0) -> Optimiser:
    """Stochastic gradient descent."""
    return Optimiser(torch.optim.SGD, {"lr": lr, "momentum": momentum})
