"""Logging during training: `metrics.jsonl`, progress in the terminal, TensorBoard on request."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from multigen.console import Progress, say
from multigen.engine.distributed import all_sum, rank
from multigen.storage.files import read_log, to_json, write_whole
from multigen.storage.lines import LineFile, optional

__all__ = ["Meter", "RunLog"]


class Meter:
    """Weighted means by name, summed on the device without synchronisation until a logging step."""

    def __init__(self):
        self.sums: dict[str, Any] = {}  # name -> (sum, weight)

    def add(self, name: str, value: Tensor, weight: Tensor | float) -> None:
        """Adds `value`, a mean over `weight` rows (or tokens)."""
        total, weights = self.sums.get(name, (0.0, 0.0))
        # On a CPU, adding numbers is cheaper than adding tensors.
        number = value.item() if value.device.type == "cpu" else value.double()
        self.sums[name] = (total + number * weight, weights + weight)

    def gather(self) -> dict[str, Tensor]:
        """Name -> (sum, weight) float64 (2,), over all ranks; one reduction. Afterwards rank 0
        holds all sums."""
        if not self.sums:
            return {}
        names = sorted(self.sums)
        device = next((total.device for total, _ in self.sums.values() if isinstance(total, Tensor)), "cpu")
        pairs = [[torch.as_tensor(x, dtype=torch.float64, device=device) for x in self.sums[name]] for name in names]
        gathered = dict(zip(names, all_sum(torch.stack([torch.stack(pair) for pair in pairs])), strict=True))
        self.sums = {name: pair if rank() == 0 else pair * 0 for name, pair in gathered.items()}
        return gathered

    def read(self) -> dict[str, float]:
        """Means since the last read, over all ranks, of the names with any weight; one transfer
        from the device. Empties the meter."""
        gathered = self.gather()
        self.sums = {}
        values = torch.stack([*gathered.values()]).tolist() if gathered else []
        return {name: s / w for name, (s, w) in zip(gathered, values, strict=True) if w}


class RunLog:
    """Writes the log on rank 0; does nothing with `folder` None (the other ranks). Where a file
    cannot be written, a warning is printed and the run continues.

    Args:
        step, attempt: of the checkpoint that is resumed. Lines after it are dropped, since they are
            written again.
    """

    def __init__(self, folder: Path | None, tensorboard: bool = False, step: int = 0, attempt: int = 0):
        self.file, self.board, self.progress = None, None, None
        if folder is not None:
            with optional(folder / "metrics.jsonl"):
                self.file = self._open(folder / "metrics.jsonl", step, attempt)
            self.board = _Board(folder, step) if tensorboard else None

    def _open(self, path: Path, step: int, attempt: int) -> LineFile:
        lines, damaged = read_log(path)
        if damaged:
            say(f"{path}: {damaged} damaged lines ignored")
        written = _written_before(lines, step, attempt)
        if damaged or len(written) < len(lines):
            write_whole(path, "".join(to_json(line) + "\n" for line in written))
        return LineFile(path)

    def begin(self, stage: str, steps: int, done: int) -> None:
        """Starts the progress display of a stage."""
        self.close(self.progress)
        self.stage, self.progress = stage, Progress(stage, steps, done)

    def metrics(self, step: int, index: int, values: Mapping[str, float], speed: float, left: float) -> None:
        """Means since the last logging step; `speed` in items/s; the whole run takes `left` seconds
        more."""
        self.event(step, stage=self.stage, **values, items_per_second=round(speed, 2))
        if self.board is not None:
            self.board.add({f"{self.stage}/{name}": value for name, value in values.items()}, step)
        text = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        assert self.progress is not None
        self.progress.show(index, f"{text}  {speed:.0f} items/s", left)

    def event(self, step: int, **what: Any) -> None:
        """Adds a line to metrics.jsonl: also for a single event, such as a validation, a control's
        new value, or a rollback."""
        if self.file is not None:
            self.file.add(to_json({"step": step, **what}))

    def flush(self) -> None:
        """Waits until the lines of metrics.jsonl are on disk, which a checkpoint requires of the
        lines before it."""
        if self.file is not None:
            self.file.flush()

    def close(self, *sinks: Any) -> None:
        """Closes all sinks, or only `sinks`."""
        for sink in sinks or (self.progress, self.file, self.board):
            if sink is not None:
                sink.close()


def _written_before(lines: list[dict[str, Any]], step: int, attempt: int) -> list[dict[str, Any]]:
    """The lines up to the checkpoint at this step of an attempt; each attempt but the first follows
    the line of a rollback."""
    rollbacks = [i for i, line in enumerate(lines) if "rollback" in line]
    first = [0, *(i + 1 for i in rollbacks)][min(attempt, len(rollbacks))]
    end = [*rollbacks, len(lines)][min(attempt, len(rollbacks))]
    return lines[:first] + [line for line in lines[first:end] if line["step"] <= step]


class _Board:
    """TensorBoard's event file. A thread writes it: its errors are raised by a later call, and are
    not printed a second time."""

    def __init__(self, folder: Path, step: int):
        from torch.utils.tensorboard import SummaryWriter

        self.what, self.writer = f"{folder}: TensorBoard's file", None
        self._hook = threading.excepthook
        threading.excepthook = self._failed
        with optional(self.what):
            self.writer = SummaryWriter(str(folder), purge_step=step)

    def add(self, values: Mapping[str, float], step: int) -> None:
        if self.writer is not None:
            with optional(self.what):
                for name, value in values.items():
                    self.writer.add_scalar(name, value, step)
                return
            self.writer = None

    def close(self) -> None:
        if self.writer is not None:
            with optional(self.what):
                self.writer.close()
        threading.excepthook = self._hook

    def _failed(self, args: Any) -> None:
        if not isinstance(args.exc_value, OSError):
            self._hook(args)
