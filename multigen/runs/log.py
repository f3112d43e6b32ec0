"""`log.jsonl`, the log of a run: start, messages, learning-rate changes, errors, end.

Each line has `time` and `step`, and one of `began` (command, commit, machine, steps by stage),
`said` (a message), `rates` (network -> learning rate, when one has changed), `error` (a line of
text) and `finished`. A resumed run appends to it.
"""

import contextlib
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from multigen.console import shortened, sinks
from multigen.engine import Callback, Trainer
from multigen.engine.distributed import rank
from multigen.runs.record import beginning
from multigen.storage.files import to_json
from multigen.storage.lines import LineFile

__all__ = ["History"]


class History(Callback):
    """Writes `log.jsonl` of a trainer's run, on the first rank. Messages before the run has a
    folder are written once it has one."""

    def __init__(self, trainer: Trainer[Any]):
        self.trainer = trainer
        self._began = False
        self._file: LineFile | None = None
        self._waiting: list[dict[str, Any]] = []
        self._rates: dict[str, float] = {}

    @property
    def folder(self) -> Path | None:
        """The run's folder; None before it has one."""
        return getattr(self.trainer, "folder", None)

    def on_checkpoint(self, trainer: Trainer[Any], folder: Path) -> None:
        self._begin()

    def on_step(self, trainer: Trainer[Any]) -> None:
        if trainer.index % trainer.run.log_every == 0 or trainer.index == trainer.stage.steps:
            groups = {name: o.param_groups[0] for name, o in trainer.updater.optimisers.items()}
            trained = {name for update in trainer.stage.updates for name in update.trains}
            rates = {name: float(f"{group['lr']:.4g}") for name, group in groups.items() if name in trained}
            if rates != self._rates:
                self._rates = rates
                self._write(rates=rates)

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        """Records messages while the trainer runs, and its end: an error, or `finished`."""
        sinks.append(self._message)
        try:
            yield
            self._write(finished=True)
        except BaseException as error:
            self._write(error=shortened(f"{type(error).__name__}: {error}"))
            raise
        finally:
            sinks.remove(self._message)
            if self._file is not None:
                self._file.close()

    def _message(self, text: str) -> None:
        self._write(said=text)

    def _begin(self) -> None:
        if not self._began:
            self._began = True
            self._write(began=beginning(self.trainer.run_info()))
            for line in self._waiting:
                self._append(line)

    def _write(self, **what: Any) -> None:
        now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        if self.folder is None:
            self._waiting.append({"time": now, "step": 0, **what})
        else:
            self._begin()
            self._append({"time": now, "step": self.trainer.step, **what})

    def _append(self, line: dict[str, Any]) -> None:
        if self.folder is not None and rank() == 0:
            self._file = self._file or LineFile(self.folder / "log.jsonl")
            self._file.add(to_json(line))
