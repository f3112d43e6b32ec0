"""Recipes: `python -m multigen.recipes.<method> [preset] [flags]` trains, evaluates and reports."""

__all__ = ["RECIPES"]

RECIPES = ("srgan", "gan", "dcgan", "wgan", "sngan", "r3gan", "seqgan", "wavegan", "specgan")
"""Methods that have a recipe; each is a module here with TRAINER and PRESETS."""
