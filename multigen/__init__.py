"""Adversarial generation of images, text and audio: one training engine, modalities that plug into
it."""

from typing import TYPE_CHECKING, Any

from multigen.version import __version__

if TYPE_CHECKING:
    from multigen.config import Run
    from multigen.tasks.loading import load
    from multigen.tasks.restoration.blending import blend

__all__ = ["Run", "__version__", "blend", "load"]


def __getattr__(name: str) -> Any:
    # Imported when they are used: `load` needs torch, which takes a second.
    if name == "load":
        from multigen.tasks.loading import load

        return load
    if name == "blend":
        from multigen.tasks.restoration.blending import blend

        return blend
    if name == "Run":
        from multigen.config import Run

        return Run
    raise AttributeError(f"module 'multigen' has no attribute {name!r}")
