"""Recipes: `python -m multigen.recipes.<method> [preset] [flags]` trains, evaluates and reports."""

from multigen.catalogue import METHODS

__all__ = ["RECIPES"]

RECIPES = tuple(METHODS)
"""Methods that have a recipe; each is a module here with TRAINER and PRESETS."""
