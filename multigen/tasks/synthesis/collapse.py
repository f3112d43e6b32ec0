"""A generator that has collapsed makes few different items, whatever the latents. Here it is noticed, and said in words."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from multigen.console import say
from multigen.engine import Decision, Trainer

__all__ = ["LOW", "diversity", "watch"]

LOW, WARM_UP, YOUNG, IN_A_ROW = 0.3, 200, 0.2, 3
"""Diversity below which samples count as alike; steps, and share of a stage, in which a generator that never was diverse is left
alone (the perceptron begins with a single grey digit, and needs 1,500 of 12,000 steps); checks in a row before it is said."""


@torch.no_grad()
def diversity(
    generator: nn.Module,
    latents: Tensor,
    labels: Tensor | None,
    real: Tensor,
    collapse_features: Callable[[Tensor], Tensor],
) -> float:
    """How far samples lie from their nearest neighbour among each other, over the same of as many real items.

    About 1 for a generator as diverse as the data, 0 for one that makes a single item. The generator runs in training mode;
    its buffers stay as they are.

    Args:
        latents: (N, latent); `labels` (N,) or None.
        real: (N, ...), float32 on the CPU, as the generator makes them.
        collapse_features: items (N, ...) -> vectors (N, D) between which distances are taken: low-resolution, so that
            noise does not count as variety.
    """
    state = {k: v for k, v in generator.named_parameters()} | {k: v.clone() for k, v in generator.named_buffers()}
    fake = functional_call(generator, state, (latents, labels if labels is None else labels.to(latents.device)))
    return _spread(collapse_features(fake.float().cpu())) / max(_spread(collapse_features(real)), 1e-8)


def _spread(flat: Tensor) -> float:
    """Mean distance of a vector (N, D) to its nearest neighbour among the others."""
    distance = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(float("inf"))
    return distance.min(1).values.mean().item()


def watch(trainer: Trainer[Any], look: Callable[[], float], lows: float, signals: Mapping[str, float]) -> Decision:
    """A control's rule: `lows` counts the checks in a row that found low diversity; says it once, then rests at -1."""
    if lows < 0 or trainer.index < WARM_UP:
        return Decision(lows, "")
    found = look()
    if found >= LOW:
        trainer.state.scalars["collapse/diverse"] = 1
        return Decision(0.0, f"diversity {found:.2f}")
    if not trainer.state.scalars.get("collapse/diverse") and trainer.index < YOUNG * trainer.stage.steps:
        return Decision(0.0, f"diversity {found:.2f}, but young")
    if lows + 1 < IN_A_ROW:
        return Decision(lows + 1, f"diversity {found:.2f}, below {LOW}")
    said = (
        f"step {trainer.step}: the generator has collapsed: samples differ {found:.0%} as much as real ones do; lower "
        "its learning rate, or try R1, augmentation or another method"
    )
    say(said)
    return Decision(-1.0, said)
