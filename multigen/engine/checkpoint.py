"""Checkpoints: a folder of safetensors and `run.json`, written whole or not at all, read strictly, never unpickled.

A folder is written under a temporary name, flushed to the disk, then renamed; `run.json` lists every file with its length and
checksum, and has one itself, so a damaged checkpoint is recognised before a single weight is used.
"""

import shutil
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load
from torch import Tensor

from multigen.console import shell_word
from multigen.errors import CheckpointError
from multigen.storage.files import sealed, unsealed, write_flushed, writing_whole
from multigen.storage.tensors import to_bytes

__all__ = ["drop_newer", "load_strict", "prune", "read", "saved", "write"]

Tensors = dict[str, Tensor]


def write(folder: Path, files: Mapping[str, Tensors], record: Mapping[str, Any]) -> None:
    """Writes each entry of `files` to NAME.safetensors and `record` to run.json. On failure nothing of it remains."""
    try:
        with writing_whole(folder) as new:  # it may be there: the same step, after a return to an older checkpoint
            contents = {}
            for name, tensors in files.items():
                data = to_bytes(tensors)
                write_flushed(new / f"{name}.safetensors", data)
                contents[f"{name}.safetensors"] = [len(data), zlib.crc32(data)]
            write_flushed(new / "run.json", sealed({**record, "files": contents}))
    except OSError as error:
        kept = "".join(path.name for path in saved(folder.parent)[-1:])
        remedy = (
            f"then go on from {kept} with --resume {shell_word(str(folder.parents[1]))}"
            if kept
            else "or give another --out"
        )
        raise CheckpointError(f"cannot save {folder}: {error.strerror}; make room, {remedy}") from error


def saved(folder: Path) -> list[Path]:
    """Checkpoints in `folder`, oldest first; whole ones and damaged ones."""
    return sorted(path for path in folder.glob("step-*") if path.is_dir())


def prune(folder: Path, keep: int, always: Collection[str]) -> None:
    """Removes all but the last `keep` checkpoints and those named in `always`, and what an interrupted save left."""
    old = [path for path in saved(folder)[: -max(keep, 1)] if path.name not in always]
    for path in [*old, *folder.glob(".step-*")]:
        shutil.rmtree(path, ignore_errors=True)


def drop_newer(folder: Path) -> None:
    """Removes the checkpoints of the same run that are newer than `folder`; each is gone whole, or still there."""
    for path in [path for path in saved(folder.parent) if path.name > folder.name]:
        shutil.rmtree(path.rename(path.with_name(f".{path.name}.dropped")), ignore_errors=True)


def read(folder: Path) -> tuple[dict[str, Tensors], dict[str, Any]]:
    """Files and record of one checkpoint. Raises CheckpointError when anything is missing, damaged or left over."""
    try:
        record = unsealed((folder / "run.json").read_bytes())
        contents = record.pop("files")
        data = {path.name: path.read_bytes() for path in folder.glob("*.safetensors")}
        found = {name: [len(content), zlib.crc32(content)] for name, content in data.items()}
        if wrong := sorted(name for name in found.keys() | contents.keys() if found.get(name) != contents.get(name)):
            raise CheckpointError(f"{folder} is damaged: {', '.join(wrong)} missing, left over, or not as written")
        return {name.removesuffix(".safetensors"): load(content) for name, content in data.items()}, record
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder} is not a whole checkpoint ({error})") from error


def load_strict(into: Mapping[str, Tensor], tensors: Mapping[str, Tensor], what: str) -> None:
    """Copies `tensors` into those of the same names. CheckpointError names what is missing, left over or misshapen, and nothing
    is copied then."""
    missing, left = sorted(into.keys() - tensors.keys()), sorted(tensors.keys() - into.keys())
    if missing or left:
        raise CheckpointError(f"{what} does not fit: missing {missing[:5]}, left over {left[:5]}")
    for name, target in into.items():
        if target.shape != (shape := tensors[name].shape):
            raise CheckpointError(f"{what}: {name} has shape {tuple(shape)}, expected {tuple(target.shape)}")
    for name, target in into.items():
        target.detach().copy_(tensors[name])
