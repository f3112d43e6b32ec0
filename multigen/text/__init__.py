"""Texts: methods, and the files, datasets, tokenizers, decoding and metrics that they share."""

from typing import TYPE_CHECKING, Any

from multigen.catalogue import lazy

# catalogue: methods
if TYPE_CHECKING:
    from multigen.text.synthesis.relgan import RelGANConfig, RelGANTrainer
    from multigen.text.synthesis.scratchgan import ScratchGANConfig, ScratchGANTrainer
    from multigen.text.synthesis.seqgan import SeqGANConfig, SeqGANTrainer

__all__ = [
    "RelGANConfig",
    "RelGANTrainer",
    "ScratchGANConfig",
    "ScratchGANTrainer",
    "SeqGANConfig",
    "SeqGANTrainer",
]
# end


def __getattr__(name: str) -> Any:
    return lazy(__name__, name)
