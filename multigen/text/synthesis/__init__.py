"""Texts: one file per method, and what a method of your own derives from."""

from multigen.text.synthesis.base import Reward, TextSynthesisTrainer
from multigen.text.synthesis.config import TextSynthesisConfig

__all__ = ["Reward", "TextSynthesisConfig", "TextSynthesisTrainer"]
