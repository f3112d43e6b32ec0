"""Mode-collapse detection: warns when samples of fixed latents become near-identical."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from multigen.console import say
from multigen.engine import Decision, Trainer

__all__ = ["LOW", "diversity", "watch"]

LOW, WARM_UP, EARLY, CHECKS = 0.3, 200, 0.2, 3
"""Diversity below which samples count as collapsed; steps, and share of a stage, within which a
generator that has never been diverse gets no warning (the perceptron begins with a single grey
digit, and needs 1,500 of 12,000 steps); consecutive checks before the warning."""


@torch.no_grad()
def diversity(
    generator: nn.Module,
    latents: Tensor,
    labels: Tensor | None,
    real: Tensor,
    collapse_features: Callable[[Tensor], Tensor],
) -> float:
    """Mean distance of samples to their nearest neighbour among each other, divided by that of
    equally many real items.

    About 1 for a generator as diverse as the data, 0 for one that makes a single item. The
    generator runs in training mode; its buffers are unchanged.

    Args:
        latents: (N, latent); `labels` (N,) or None.
        real: (N, ...), float32 on the CPU, as the generator makes them.
        collapse_features: items (N, ...) -> vectors (N, D) whose distances are measured:
            low-resolution, so that noise does not count as variety.
    """
    state = {k: v for k, v in generator.named_parameters()} | {k: v.clone() for k, v in generator.named_buffers()}
    fake = functional_call(generator, state, (latents, labels if labels is None else labels.to(latents.device)))
    return _spread(collapse_features(fake.float().cpu())) / max(_spread(collapse_features(real)), 1e-8)


def _spread(flat: Tensor) -> float:
    """Mean distance of a vector (N, D) to its nearest neighbour among the others."""
    distance = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(float("inf"))
    return distance.min(1).values.mean().item()


def watch(trainer: Trainer[Any], measure: Callable[[], float], lows: float, signals: Mapping[str, float]) -> Decision:
    """A control's rule: `lows` counts consecutive checks with low diversity; warns once, then stays
    at -1."""
    if lows < 0 or trainer.index < WARM_UP:
        return Decision(lows, "")
    value = measure()
    if value >= LOW:
        trainer.state.scalars["collapse/diverse"] = 1
        return Decision(0.0, f"diversity {value:.2f}")
    if not trainer.state.scalars.get("collapse/diverse") and trainer.index < EARLY * trainer.stage.steps:
        return Decision(0.0, f"diversity {value:.2f}, early in training")
    if lows + 1 < CHECKS:
        return Decision(lows + 1, f"diversity {value:.2f}, below {LOW}")
    warning = (
        f"step {trainer.step}: the generator has collapsed: samples differ {value:.0%} as much as real ones do; lower "
        "its learning rate, or try R1, augmentation or another method"
    )
    say(warning)
    return Decision(-1.0, warning)
