"""Losses: adversarial losses by name; `penalties` of the discriminator; `policy_gradient` for
discrete data."""

from multigen.losses.adversarial import (
    LOSSES,
    AdversarialLoss,
    hinge,
    least_squares,
    least_squares_to,
    minimax,
    non_saturating,
    relativistic_average,
    relativistic_pairing,
    wasserstein,
)
from multigen.losses.contrastive import patch_nce
from multigen.losses.features import feature_matching
from multigen.losses.gradient import gradient_error
from multigen.losses.grid import grid_error

__all__ = [
    "LOSSES",
    "AdversarialLoss",
    "feature_matching",
    "gradient_error",
    "grid_error",
    "hinge",
    "least_squares",
    "least_squares_to",
    "minimax",
    "non_saturating",
    "patch_nce",
    "relativistic_average",
    "relativistic_pairing",
    "wasserstein",
]
