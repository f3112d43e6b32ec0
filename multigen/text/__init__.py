"""Texts: one file per method; data, tokenizers and metrics that they share."""

from multigen.text.synthesis.scratchgan import ScratchGANConfig, ScratchGANTrainer
from multigen.text.synthesis.seqgan import SeqGANConfig, SeqGANTrainer

__all__ = ["ScratchGANConfig", "ScratchGANTrainer", "SeqGANConfig", "SeqGANTrainer"]
