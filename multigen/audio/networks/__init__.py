"""Networks that the tasks of sounds share."""

from multigen.audio.networks.convnext import ConvNeXtBlock, initialise

__all__ = ["ConvNeXtBlock", "initialise"]
