"""What a run says while it trains: `metrics.jsonl`, the terminal (a live line, or plain lines in a pipe), TensorBoard."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["RunLog", "say"]


def say(text: str) -> None:
    """A line for the user, on standard error so that results on standard output stay clean."""
    print(text, file=sys.stderr, flush=True)


class RunLog:
    """Writes for one rank; `folder` None (the other ranks) writes nothing."""

    def __init__(self, folder: Path | None, tensorboard: bool = False, step: int = 0):
        self.folder, self.file, self.board, self.live, self.task = folder, None, None, None, None
        if folder is None:
            return
        self.file = open(_cut(folder / "metrics.jsonl", step), "a", encoding="utf-8")  # noqa: SIM115
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(folder), purge_step=step)

    def begin(self, stage: str, steps: int, done: int) -> None:
        """Starts the progress of a stage."""
        self.stage, self.steps, self.began, self.first = stage, steps, time.monotonic(), done
        if self.folder is not None and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
            self.live = Progress(*columns, TextColumn("{task.fields[text]}"), console=Console(stderr=True))
            self.task = self.live.add_task(stage, total=steps, completed=done, text="")
            self.live.start()

    def metrics(self, step: int, index: int, values: Mapping[str, float], speed: float) -> None:
        """Means since the last logging step; `speed` in items/s."""
        if self.file is None:
            return
        self._write({"stage": self.stage, "step": step, **values, "items_per_second": round(speed, 2)})
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(f"{self.stage}/{name}", value, step)
        left = (time.monotonic() - self.began) / max(index - self.first, 1) * (self.steps - index)
        text = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        if self.live is not None and self.task is not None:
            self.live.update(self.task, completed=index, text=f"{text}  {speed:.0f} items/s")
        else:
            clock = time.strftime("%H:%M:%S", time.gmtime(left))
            say(f"{self.stage} {index}/{self.steps}  {text}  {speed:.0f} items/s  {clock} left")

    def event(self, step: int, **what: Any) -> None:
        """Something that happened once: a validation, a control's new value and its reason, a rollback."""
        if self.file is not None:
            self._write({"step": step, **what})

    def _write(self, record: Mapping[str, Any]) -> None:
        assert self.file is not None
        self.file.write(json.dumps(record) + "\n")
        self.file.flush()

    def end(self) -> None:
        """Ends the progress of a stage."""
        if self.live is not None:
            self.live.stop()
            self.live = None

    def close(self) -> None:
        self.end()
        if self.file is not None:
            self.file.close()
        if self.board is not None:
            self.board.close()


def _cut(path: Path, step: int) -> Path:
    """Drops the lines after `step`: a resumed run writes them again."""
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
        path.write_text("".join(whole), encoding="utf-8")
    return path
