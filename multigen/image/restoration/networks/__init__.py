"""Networks that several methods of image restoration have; published weights fit SRVGG, RRDB and
SPAN."""

from collections.abc import Callable

from torch import nn

from multigen.image.restoration.networks.compact import CompactGenerator
from multigen.image.restoration.networks.discriminators import (
    PatchDiscriminator,
    UNetDiscriminator,
    VGGDiscriminator,
)
from multigen.image.restoration.networks.ffc import FFCGenerator, SmoothFFCGenerator
from multigen.image.restoration.networks.resize import ResizeGenerator
from multigen.image.restoration.networks.rrdb import RRDB
from multigen.image.restoration.networks.span import SPAN
from multigen.image.restoration.networks.srvgg import SRVGG

__all__ = [
    "GENERATORS",
    "RRDB",
    "SPAN",
    "SRVGG",
    "CompactGenerator",
    "FFCGenerator",
    "PatchDiscriminator",
    "ResizeGenerator",
    "SmoothFFCGenerator",
    "UNetDiscriminator",
    "VGGDiscriminator",
]

GENERATORS: dict[str, Callable[..., nn.Module]] = {
    "compact": CompactGenerator,
    "resize": ResizeGenerator,
    "rrdb": RRDB,
    "span": SPAN,
    "srvgg": SRVGG,
}
"""Name of a setting `generator` -> (scale, blocks, width) -> the network, untrained."""
