"""The work folder of a video job: its finished segments, so that an interrupted job continues.

FILM.parts/
  job.json       hashes of source and model, and the settings; a job continues only with the same
  00000.mp4      the first frames, encoded
  00000.json     their number; written last, so that only finished segments have one
  00000.safetensors  of a recurrent model, the state after the part; of the last two parts
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from multigen.console import say, shell_word
from multigen.errors import DataError
from multigen.storage.files import ends, read_json, write_json
from multigen.storage.lock import locked
from multigen.storage.output import check_space, json_table, replacing
from multigen.storage.reading import JSON
from multigen.storage.tensors import load_tensors

__all__ = ["Job", "folder_of", "open_job"]

KEPT = 2  # states: of the last part, and of the one before, from which it continues if that was damaged
SUFFIXES = (".mp4", ".json", ".safetensors")


class Job:
    """An opened job. `finished`: the records of the finished segments."""

    def __init__(self, folder: Path, frame: Callable[[int], Path] | None = None):
        self.folder = folder
        self.finished: list[dict[str, Any]] = []
        while (record := self._record(len(self.finished))) is not None:
            first = self.frames + 1
            if frame and not all(frame(first + i).is_file() for i in range(record["frames"])):
                break
            self.finished.append(record)
        while self.finished and not self._has_state(len(self.finished) - 1):
            self.finished.pop()

    @property
    def frames(self) -> int:
        """Number of finished frames."""
        return sum(record["frames"] for record in self.finished)

    def file(self, number: int) -> Path:
        """The file of a segment."""
        return self.folder / f"{number:05}.mp4"

    def finish(self, record: Mapping[str, Any], state: Mapping[str, np.ndarray] | None = None) -> None:
        """Records the next segment, whose file, if any, is complete. Raises OSError.

        Args:
            state: of the model after the part, from which the next one continues.
        """
        number = len(self.finished)
        file = self.file(number)
        record = {**record, "file": list(ends(file)) if file.exists() else None}
        if state is not None:
            record["state"] = self._write_state(number, state)
        write_json(self.folder / f"{number:05}.json", record)
        self.finished.append(record)
        if number >= KEPT:
            self._state_file(number - KEPT).unlink(missing_ok=True)

    def state(self) -> dict[str, np.ndarray]:
        """The state after the last finished part; empty at the beginning."""
        if not self.finished or "state" not in self.finished[-1]:
            return {}
        tensors = load_tensors(self._state_file(len(self.finished) - 1))
        return {name: tensor.numpy() for name, tensor in tensors.items()}

    def check_space(self, state: Mapping[str, np.ndarray], parts: int) -> None:
        """Raises DataError where the disk has no space for states of this size after so many more
        parts: those that are kept, and the next one, which is written before the oldest is
        removed."""
        there = sum(self._state_file(number).exists() for number in range(len(self.finished)))
        more, each = min(parts, KEPT + 1 - there), sum(array.nbytes for array in state.values())
        remedy = "free some, give --out on another disk, or shrink the film"
        check_space(more, "states, from which a stopped job continues,", self.folder.with_suffix(""), each, remedy)

    def _state_file(self, number: int) -> Path:
        return self.folder / f"{number:05}.safetensors"

    def _write_state(self, number: int, state: Mapping[str, np.ndarray]) -> list[int]:
        from safetensors.numpy import save_file

        with replacing(self._state_file(number)) as file:
            save_file({name: np.ascontiguousarray(array) for name, array in state.items()}, file)
        return list(ends(self._state_file(number)))

    def _has_state(self, number: int) -> bool:
        """Whether the state that was recorded of a part, if one was, is there as it was written."""
        recorded, file = self.finished[number].get("state"), self._state_file(number)
        with contextlib.suppress(DataError):
            return recorded is None or (file.is_file() and list(ends(file)) == recorded)
        return False

    def remove(self) -> None:
        """Removes the folder once the video is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _record(self, number: int) -> dict[str, Any] | None:
        """The record of a segment; None if it is unfinished or damaged."""
        try:
            record = read_json(self.folder / f"{number:05}.json", JSON, self.folder)
            file = self.file(number)
            same = record["file"] == (list(ends(file)) if file.exists() else None)
            whole = all(type(record[name]) is int for name in ("frames", "start", "length"))
        except (OSError, ValueError, LookupError, TypeError, DataError):
            return None
        return record if same and whole else None


def folder_of(target: Path) -> Path:
    """The folder of the job whose result is `target`."""
    return target.with_name(f"{target.name}.parts")


@contextlib.contextmanager
def open_job(
    target: Path, about: Mapping[str, Any], overwrite: bool, frame: Callable[[int], Path] | None = None
) -> Iterator[Job]:
    """Opens the job whose result is `target`, locked by this process: a new one, or one that was
    interrupted.

    Args:
        about: all that results depend on; as JSON.
        overwrite: start over where the folder holds a job on something else.
        frame: number -> file of a frame, where each has its own; a segment without one of them is
            not finished.

    Raises DataError for a folder of another job, ConfigError where another process has it open,
    OSError.
    """
    folder = folder_of(target)
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise DataError(f"{folder} exists and is no folder; give another --out")
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        before = json_table(folder / "job.json")
        others = [name for name, value in about.items() if before.get(name) != value]
        if before and others and not overwrite:
            raise DataError(
                f"{folder} holds the finished part of a job with another {' and '.join(others)}; give those again to "
                f"continue it, --overwrite to start over, or remove it: rm -r {shell_word(str(folder))}"
            )
        if others:
            _clear(folder)
            write_json(folder / "job.json", about)
        job = Job(folder, frame)
        if job.frames:
            say(f"{target}: continues after {job.frames:,} finished frames")
        yield job


def _clear(folder: Path) -> None:
    """Removes the files of a job. Raises DataError where there are others."""
    for path in sorted(folder.iterdir()):
        if path.name == ".lock":
            continue
        ours = path.name == "job.json" or (path.stem.removeprefix(".").isdecimal() and path.suffix in SUFFIXES)
        if not ours or not path.is_file():
            raise DataError(f"{folder} is not empty: {path.name} in it was not written by multigen; move it elsewhere")
        path.unlink()
