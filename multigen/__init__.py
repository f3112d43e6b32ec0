"""Adversarial generation of images, text and audio: one training engine, modalities that plug into it."""

from typing import TYPE_CHECKING, Any

from multigen.version import __version__

if TYPE_CHECKING:
    from multigen.tasks.loading import load

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    # `load` needs torch, which takes a second to import.
    if name == "load":
        from multigen.tasks.loading import load

        return load
    raise AttributeError(f"module 'multigen' has no attribute {name!r}")
