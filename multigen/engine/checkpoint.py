"""Checkpoints: a folder of safetensors and `run.json`, written whole or not at all, read strictly, never unpickled.

A folder is written under a temporary name, flushed to the disk, then renamed; `run.json` lists every file with its length and
checksum, so a damaged checkpoint is recognised before a single weight is used.
"""

import json
import os
import shutil
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from multigen.errors import CheckpointError

__all__ = ["load_strict", "load_tensors", "prune", "read", "saved", "write"]

Tensors = dict[str, Tensor]


def write(folder: Path, files: Mapping[str, Tensors], record: Mapping[str, Any]) -> None:
    """Writes each entry of `files` to NAME.safetensors and `record` to run.json. On failure nothing of it remains."""
    from safetensors.torch import save

    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        temporary.mkdir(parents=True)
        contents = {}
        for name, tensors in files.items():
            data = save({k: t.detach().cpu().contiguous() for k, t in tensors.items()})
            _write_flushed(temporary / f"{name}.safetensors", data)
            contents[f"{name}.safetensors"] = [len(data), zlib.crc32(data)]
        _write_flushed(temporary / "run.json", json.dumps({**record, "files": contents}, indent=1).encode())
        if folder.exists():  # the same step again, after a return to an older checkpoint
            shutil.rmtree(folder)
        temporary.rename(folder)
        _flush(folder.parent)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        kept = ", ".join(path.name for path in saved(folder.parent)[-1:])
        remedy = f"make room, then go on from {kept} with --resume {folder.parents[1]}" if kept else "make room, or give another --out"
        raise CheckpointError(f"cannot save {folder}: {error.strerror}; {remedy}") from error


def _write_flushed(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def saved(folder: Path) -> list[Path]:
    """Checkpoints in `folder`, oldest first; whole ones and damaged ones."""
    return sorted(p for p in folder.glob("step-*") if p.is_dir())


def prune(folder: Path, keep: int, always: Collection[str]) -> None:
    """Removes all but the last `keep` checkpoints and those named in `always`, and what an interrupted save left."""
    for path in saved(folder)[: -max(keep, 1)]:
        if path.name not in always:
            shutil.rmtree(path)
    for path in folder.glob(".step-*"):
        shutil.rmtree(path, ignore_errors=True)


def read(folder: Path) -> tuple[dict[str, Tensors], dict[str, Any]]:
    """Files and record of one checkpoint. Raises CheckpointError when anything is missing, damaged or left over."""
    from safetensors.torch import load

    try:
        record = json.loads((folder / "run.json").read_bytes())
        contents = record.pop("files")
        present = {p.name for p in folder.glob("*.safetensors")}
        if present != set(contents):
            raise CheckpointError(f"{folder}: expected the files {sorted(contents)}, found {sorted(present)}")
        files = {}
        for name, (length, checksum) in contents.items():
            data = (folder / name).read_bytes()
            if len(data) != length or zlib.crc32(data) != checksum:
                raise CheckpointError(f"{folder / name} is damaged ({len(data)} bytes, {length} were written)")
            files[name.removesuffix(".safetensors")] = load(data)
        return files, record
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder} is not a whole checkpoint ({error})") from error


def load_tensors(path: Path) -> Tensors:
    """Tensors of a safetensors file. A pickle is refused whatever its name."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.suffix in {".pt", ".pth", ".pkl", ".ckpt", ".bin"}:
        raise CheckpointError(f"{path} is a pickle, which can run code; convert it to .safetensors where you trust it")
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read as safetensors ({error}); give a whole .safetensors file") from error


def load_strict(into: Mapping[str, Tensor], tensors: Mapping[str, Tensor], what: str) -> None:
    """Copies `tensors` into the tensors of the same names. Raises CheckpointError on anything missing, left over or misshapen."""
    missing, left = sorted(into.keys() - tensors.keys()), sorted(tensors.keys() - into.keys())
    if missing or left:
        raise CheckpointError(f"{what} does not fit: missing {missing[:5]}, left over {left[:5]}")
    for name, target in into.items():
        if target.shape != tensors[name].shape:
            raise CheckpointError(f"{what}: {name} has shape {tuple(tensors[name].shape)}, expected {tuple(target.shape)}")
        target.detach().copy_(tensors[name])
