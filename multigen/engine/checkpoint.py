"""Checkpoints: a folder of safetensors and `run.json`, written whole or not at all, read strictly, never unpickled.

A folder is written under a temporary name, flushed to the disk, then renamed; `run.json` lists every file with its length and
checksum, and has one itself, so a damaged checkpoint is recognised before a single weight is used.
"""

import contextlib
import re
import shutil
import zlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from multigen.console import resume_option, say
from multigen.errors import CheckpointError
from multigen.storage.files import MARK, remedy, sealed, unsealed, write_flushed, writing_whole
from multigen.storage.reading import JSON, read_bounded
from multigen.storage.tensors import Stored, from_bytes, to_bytes

__all__ = ["check_fit", "drop_newer", "load_strict", "not_finite", "prune", "read", "rename", "saved", "write"]

Tensors = dict[str, Tensor]
FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
STEP = re.compile(r"step-\d{9,}")
LEFT = re.compile(r"\.step-\d{9,}\.(new|old|dropped|\d+)(-\d+)?")
"""Names of the temporary folders of this version and of earlier ones."""


def write(folder: Path, files: Mapping[str, Tensors], record: Mapping[str, Any]) -> None:
    """Writes each entry of `files` to NAME.safetensors and `record` to run.json. On failure nothing of it remains."""
    try:
        folder.parent.mkdir(exist_ok=True)  # in the run's folder, which is not made again where it is gone
        # It may be there: the same step, after a return to an older checkpoint.
        with writing_whole(folder, _written(folder)) as new:
            contents = {}
            for name, tensors in files.items():
                data = to_bytes(tensors)
                write_flushed(new / f"{name}.safetensors", data)
                contents[f"{name}.safetensors"] = [len(data), zlib.crc32(data)]
            write_flushed(new / "run.json", sealed({**record, "files": contents}))
    except OSError as error:
        kept = "".join(path.name for path in saved(folder.parent)[-1:])
        resume = f"{resume_option(folder.parents[1])}"
        then = f"then resume from {kept} with {resume}" if kept else "or choose another --out"
        first = "" if isinstance(error, FileExistsError) else f"{remedy(error)}, "
        raise CheckpointError(f"cannot save {folder}: {error.strerror}; {first}{then}") from error


def saved(folder: Path) -> list[Path]:
    """Checkpoints in `folder`, oldest first; whole ones and damaged ones."""
    return sorted(
        path for path in folder.glob("step-*") if STEP.fullmatch(path.name) and any(map(_is_of_ours, _in(path)))
    )


def prune(folder: Path, keep: int, always: Collection[str]) -> None:
    """Removes all but the last `keep` checkpoints and those named in `always`, and what an interrupted save left. Files of others
    that are in their folders stay; so does a checkpoint whose record cannot be read."""
    for path in saved(folder)[: -max(keep, 1)]:
        if path.name not in always:
            _remove(path)
    for path in folder.glob(".step-*"):
        if LEFT.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            _remove_left(path, path.with_name(path.name[1:].partition(".")[0]))


def drop_newer(folder: Path) -> None:
    """Removes the checkpoints of the same run that are newer than `folder`; each is gone whole, or still there. Files of others
    that are in their folders stay. Raises CheckpointError for one that cannot be removed."""
    for path in [path for path in saved(folder.parent) if path.name > folder.name]:
        if not _remove(path):
            rename(path, f"damaged-{path.name}")


def rename(folder: Path, name: str) -> Path:
    """Gives a checkpoint a name under which it is no longer found. Raises CheckpointError where that fails."""
    try:
        return folder.rename(folder.with_name(name))
    except OSError as error:
        raise CheckpointError(
            f"{folder} cannot be renamed ({error.strerror}); {remedy(error)}, then resume: {resume_option(folder.parents[1])}"
        ) from error


def _remove(folder: Path) -> bool:
    """Removes the files that a checkpoint lists, and its folder where nothing else is in it. False for one without a record."""
    if folder.is_symlink() or not _written(folder):
        return False
    _clear(rename(folder, f".{folder.name}.dropped"), folder)
    return True


def _clear(hidden: Path, folder: Path) -> None:
    """Removes a checkpoint that was renamed to `hidden`; with a user's files in it, what is left returns to `folder`."""
    with contextlib.suppress(OSError):
        for name in _written(hidden):
            (hidden / name).unlink(missing_ok=True)
    try:
        hidden.rmdir()
    except OSError:  # a user's files are in it
        hidden.rename(folder)


def _remove_left(hidden: Path, folder: Path) -> None:
    """Removes what a killed process left beside the checkpoint `folder`, unless it holds the only copy of a user's file."""
    copied = (hidden / MARK).exists() and (hidden.suffix.startswith(".new") or folder.exists())
    if copied or all(map(_is_of_ours, hidden.iterdir())):
        shutil.rmtree(hidden, ignore_errors=True)
    elif hidden.suffix == ".dropped" and not folder.exists():
        _clear(hidden, folder)


def _written(folder: Path) -> list[str]:
    """Names of the files of a checkpoint, its record last; none where this cannot be read."""
    try:
        names = [*unsealed(read_bounded(folder / "run.json", JSON))["files"], "run.json"]
    except (OSError, ValueError, LookupError, TypeError):
        return []
    return [name for name in names if _is_of_ours(Path(name)) and Path(name).name == name]


def _is_of_ours(file: Path) -> bool:
    """Whether checkpoints have files of this kind."""
    return file.suffix == ".safetensors" or file.name in ("run.json", MARK)


def _in(folder: Path) -> list[Path]:
    return [*folder.iterdir()] if folder.is_dir() and not folder.is_symlink() else []


def read(folder: Path, only: Collection[str] | None = None) -> tuple[dict[str, Tensors], dict[str, Any]]:
    """Files, those of the names in `only` if it is given, and record of one checkpoint. Raises CheckpointError when anything is
    missing, damaged or left over. What is not of the size that the record says is not read."""
    try:
        record = unsealed(read_bounded(folder / "run.json", JSON, inside=folder))
        contents = record.pop("files")
        sizes = {path.name: path.stat().st_size for path in folder.glob("*.safetensors")}
        _compare(folder, sizes, {name: size for name, (size, _) in contents.items()})
        chosen = [name for name in contents if only is None or name.removesuffix(".safetensors") in only]
        data = {name: read_bounded(folder / name, contents[name][0], inside=folder) for name in chosen}
        _compare(folder, {n: zlib.crc32(content) for n, content in data.items()}, {n: contents[n][1] for n in chosen})
        return {name.removesuffix(".safetensors"): from_bytes(content) for name, content in data.items()}, record
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder} is not a whole checkpoint ({error})") from error


def _compare(folder: Path, found: Mapping[str, int], expected: Mapping[str, int]) -> None:
    """Raises CheckpointError that names the files whose numbers, found and expected, are not the same."""
    if wrong := sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)):
        raise CheckpointError(f"{folder} is damaged: {', '.join(wrong)} missing, left over, or not as written")


def check_fit(into: Mapping[str, Tensor], tensors: Mapping[str, Tensor | Stored], what: str) -> None:
    """Raises CheckpointError that names what is missing, left over or misshapen in `tensors`, or in a file's header."""
    missing, left = sorted(into.keys() - tensors.keys()), sorted(tensors.keys() - into.keys())
    if missing or left:
        raise CheckpointError(f"{what} does not fit: missing {missing[:5]}, left over {left[:5]}")
    for name, target in into.items():
        if target.shape != (shape := tensors[name].shape):
            raise CheckpointError(f"{what}: {name} has shape {tuple(shape)}, expected {tuple(target.shape)}")


def load_strict(into: Mapping[str, Tensor], tensors: Mapping[str, Tensor], what: str) -> None:
    """Copies `tensors` into those of the same names. CheckpointError names what is missing, left over, misshapen, of another type
    (see `check_dtype`) or not finite, and nothing is copied then."""
    check_fit(into, tensors, what)
    tensors = dict(tensors)  # of a file each is read once
    for name, target in into.items():
        check_dtype(tensors[name], target.dtype, f"{what}: {name}")
    # A mask of a network's own may hold infinities, which its fresh copy then has too.
    if bad := not_finite(tensors, lambda name: bool(into[name].isinf().any())):
        raise CheckpointError(f"{what}: {bad}; copy the file again, or train again")
    if kinds := sorted(
        {f"{tensors[n].dtype}, used as {t.dtype}" for n, t in into.items() if tensors[n].dtype != t.dtype}
    ):
        say(f"{what}: weights of {'; '.join(kinds)}")
    for name, target in into.items():
        target.detach().copy_(tensors[name])


def check_dtype(value: Tensor, expected: torch.dtype, what: str) -> None:
    """Raises CheckpointError for a tensor of another type. One float type for another will do: see `load_strict`."""
    if value.dtype != expected and not {value.dtype, expected} <= FLOATS:
        raise CheckpointError(f"{what} is of {value.dtype}, expected {expected}; convert it where it was made")


def not_finite(tensors: Mapping[str, Tensor], infinite: Callable[[str], bool] = lambda name: False) -> str:
    """ "NAME holds NaN" or "NAME holds infinities", for the first tensor that does; "" if all are finite. One transfer from the
    device, unless one is not.

    Args:
        infinite: whether the tensor of a name may hold infinities.
    """
    floats = {name: t.detach() for name, t in tensors.items() if t.is_floating_point()}
    sums = [t.sum().float() for t in floats.values()]  # NaN or infinite where one of the numbers is
    if not sums or torch.stack([x.to(sums[0].device) for x in sums]).isfinite().all():
        return ""
    for name, t in floats.items():
        if t.isnan().any():
            return f"{name} holds NaN"
        if t.isinf().any() and not infinite(name):
            return f"{name} holds infinities"
    return ""
