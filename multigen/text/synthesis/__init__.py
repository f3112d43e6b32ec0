"""Texts: one file per method, and what a method of your own derives from."""

from multigen.text.synthesis.base import TextSynthesisTrainer
from multigen.text.synthesis.config import PolicyGradientConfig, TextSynthesisConfig
from multigen.text.synthesis.policy import PolicyGradientTrainer, Reward

__all__ = ["PolicyGradientConfig", "PolicyGradientTrainer", "Reward", "TextSynthesisConfig", "TextSynthesisTrainer"]
