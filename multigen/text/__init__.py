"""Text: generators of sequences, trained by likelihood and by policy gradient, and what their texts are worth."""

from multigen.text.synthesis.seqgan import SeqGANConfig, SeqGANTrainer

__all__ = ["SeqGANConfig", "SeqGANTrainer"]
