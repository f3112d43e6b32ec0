"""Options of a run, common to all methods."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

__all__ = ["FREE", "Run"]


@dataclass(frozen=True)
class Run:
    """How to train, whatever the method."""

    out: str = ""
    """Folder of the run; empty: runs/<recipe>/<date-time>. A folder that holds a run is refused without --resume."""
    seed: int = 0
    """All randomness follows from it."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N, mps."""
    precision: Literal["auto", "bf16", "fp16", "fp32", "fp64"] = "auto"
    """auto: bf16 where the hardware has it, else fp32. Penalties are always in fp32."""
    minutes: float = 0.0
    """Training time: the speed is measured, then the steps are fixed to fit and recorded. 0: the steps as configured."""
    accumulate: int = 1
    """Micro-batches that an update's batch is divided into, to save memory."""
    workers: int = 0
    """Processes that make batches ahead; 0: batches are made in the training process."""
    compile: bool = False
    """torch.compile the networks (their penalties use the raw ones)."""
    log_every: int = 50
    """Steps between lines of metrics.jsonl."""
    save_every: int = 1000
    """Steps between checkpoints."""
    validate_every: int = 1000
    """Steps between validations, which choose the best checkpoint and stop early."""
    preview_every: int = 1000
    """Steps between previews."""
    keep: int = 2
    """Newest checkpoints kept, besides the best and the last of each stage."""
    tensorboard: bool = False
    """Also write TensorBoard event files."""
    resume: str = ""
    """A run folder (or a folder of runs: the newest) to go on with."""
    start: Annotated[str, tyro.conf.arg(name="from")] = ""
    """A run or model folder whose weights training starts from (fine-tuning)."""


FREE = {"out", "minutes", "workers", "keep", "tensorboard", "resume", "start"}
"""Options of a run that a resume may change: they do not touch the numbers."""
