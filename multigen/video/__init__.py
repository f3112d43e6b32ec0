"""Films: methods, and the readers and writers of video files, animations and numbered frames."""

from typing import TYPE_CHECKING, Any

from multigen.catalogue import lazy

# catalogue: methods
if TYPE_CHECKING:
    from multigen.video.restoration.rrn import RRNConfig, RRNTrainer

__all__ = [
    "RRNConfig",
    "RRNTrainer",
]
# end


def __getattr__(name: str) -> Any:
    return lazy(__name__, name)
