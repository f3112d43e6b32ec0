"""Checkpoints: folders of safetensors and `run.json`, written atomically, read strictly, never
unpickled.

A folder is written under a temporary name, flushed to the disk, then renamed; `run.json` lists
every file with its length and checksum and carries its own, so a damaged checkpoint is detected
before any weight is used.
"""

import contextlib
import errno
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
from multigen.storage.files import MARK, remedy, verify_checksum, with_checksum, write_flushed, writing_whole
from multigen.storage.reading import JSON, read_bounded
from multigen.storage.tensors import Stored, from_bytes, to_bytes

__all__ = ["check_fit", "drop_newer", "load_strict", "not_finite", "prune", "read", "rename", "saved", "write"]

Tensors = dict[str, Tensor]
FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
STEP = re.compile(r"step-\d{9,}")
TEMPORARY = re.compile(r"\.step-\d{9,}\.(new|old|dropped|\d+)(-\d+)?")
"""Names of the temporary folders of this version and of earlier ones."""


def write(folder: Path, files: Mapping[str, Tensors], record: Mapping[str, Any]) -> None:
    """Writes each entry of `files` to NAME.safetensors and `record` to run.json. A failed write
    leaves nothing behind."""
    try:
        if not folder.parent.is_dir():
            _make(folder.parent)
        # The same step may exist already, after a rollback to an older checkpoint.
        with writing_whole(folder, _listed_files(folder)) as new:
            contents = {}
            for name, tensors in files.items():
                data = to_bytes(tensors)
                write_flushed(new / f"{name}.safetensors", data)
                contents[f"{name}.safetensors"] = [len(data), zlib.crc32(data)]
            write_flushed(new / "run.json", with_checksum({**record, "files": contents}))
    except OSError as error:
        newest = "".join(path.name for path in saved(folder.parent)[-1:])
        resume = f"{resume_option(folder.parents[1])}"
        next_step = f"then resume from {newest} with {resume}" if newest else "or choose another --out"
        first = "" if isinstance(error, FileExistsError) else f"{remedy(error)}, "
        raise CheckpointError(f"cannot save {folder}: {error.strerror}; {first}{next_step}") from error


def _make(folder: Path) -> None:
    """Makes `checkpoints` in the run's folder, but not the run's folder itself where it has been
    removed."""
    try:
        folder.mkdir()
    except FileExistsError as error:
        raise FileExistsError(errno.EEXIST, f"{folder} is no folder; move it elsewhere") from error


def saved(folder: Path) -> list[Path]:
    """Checkpoints in `folder`, intact or damaged, oldest first."""
    return sorted(
        path for path in folder.glob("step-*") if STEP.fullmatch(path.name) and any(map(_is_of_ours, _entries(path)))
    )


def prune(folder: Path, keep: int, always: Collection[str]) -> None:
    """Removes all but the last `keep` checkpoints and those named in `always`, and the leftovers of
    an interrupted save. A user's files in their folders stay, and so does a checkpoint whose record
    cannot be read."""
    for path in saved(folder)[: -max(keep, 1)]:
        if path.name not in always:
            _remove(path)
    for path in folder.glob(".step-*"):
        if TEMPORARY.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            _remove_left(path, path.with_name(path.name[1:].partition(".")[0]))


def drop_newer(folder: Path) -> None:
    """Removes the checkpoints of the same run that are newer than `folder`, each completely or not
    at all. A user's files in their folders stay. Raises CheckpointError for one that cannot be
    removed."""
    for path in [path for path in saved(folder.parent) if path.name > folder.name]:
        if not _remove(path):
            rename(path, f"damaged-{path.name}")


def rename(folder: Path, name: str) -> Path:
    """Renames a checkpoint, so that a resume no longer finds it. Raises CheckpointError where that
    fails."""
    try:
        return folder.rename(folder.with_name(name))
    except OSError as error:
        raise CheckpointError(
            f"{folder} cannot be renamed ({error.strerror}); {remedy(error)}, then resume: {resume_option(folder.parents[1])}"
        ) from error


def _remove(folder: Path) -> bool:
    """Removes the files that a checkpoint lists, and its folder if that is then empty. False for
    one without a record."""
    if folder.is_symlink() or not _listed_files(folder):
        return False
    _clear(rename(folder, f".{folder.name}.dropped"), folder)
    return True


def _clear(hidden: Path, folder: Path) -> None:
    """Removes a checkpoint that was renamed to `hidden`; where it holds a user's files, these
    return to `folder`."""
    with contextlib.suppress(OSError):
        for name in _listed_files(hidden):
            (hidden / name).unlink(missing_ok=True)
    try:
        hidden.rmdir()
    except OSError:  # a user's files are in it
        hidden.rename(folder)


def _remove_left(hidden: Path, folder: Path) -> None:
    """Removes a killed process's temporary folder beside the checkpoint `folder`, unless it holds
    the only copy of a user's file."""
    copied = (hidden / MARK).exists() and (hidden.suffix.startswith(".new") or folder.exists())
    if copied or all(map(_is_of_ours, hidden.iterdir())):
        shutil.rmtree(hidden, ignore_errors=True)
    elif hidden.suffix == ".dropped" and not folder.exists():
        _clear(hidden, folder)


def _listed_files(folder: Path) -> list[str]:
    """Names of a checkpoint's files, its record last; [] where the record cannot be read."""
    try:
        names = [*verify_checksum(read_bounded(folder / "run.json", JSON))["files"], "run.json"]
    except (OSError, ValueError, LookupError, TypeError):
        return []
    return [name for name in names if _is_of_ours(Path(name)) and Path(name).name == name]


def _is_of_ours(file: Path) -> bool:
    """Whether a file is of a kind that checkpoints contain."""
    return file.suffix == ".safetensors" or file.name in ("run.json", MARK)


def _entries(folder: Path) -> list[Path]:
    return [*folder.iterdir()] if folder.is_dir() and not folder.is_symlink() else []


def read(folder: Path, only: Collection[str] | None = None) -> tuple[dict[str, Tensors], dict[str, Any]]:
    """The files of one checkpoint, or only those named in `only`, and its record. Raises
    CheckpointError when anything is missing, damaged or left over. A file whose size differs from
    the record is not read."""
    try:
        record = verify_checksum(read_bounded(folder / "run.json", JSON, inside=folder))
        contents = record.pop("files")
        sizes = {path.name: path.stat().st_size for path in folder.glob("*.safetensors")}
        _compare(folder, sizes, {name: size for name, (size, _) in contents.items()})
        chosen = [name for name in contents if only is None or name.removesuffix(".safetensors") in only]
        data = {name: read_bounded(folder / name, contents[name][0], inside=folder) for name in chosen}
        _compare(folder, {n: zlib.crc32(content) for n, content in data.items()}, {n: contents[n][1] for n in chosen})
        return {name.removesuffix(".safetensors"): from_bytes(content) for name, content in data.items()}, record
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder} is not a complete checkpoint ({error})") from error


def _compare(folder: Path, actual: Mapping[str, int], expected: Mapping[str, int]) -> None:
    """Raises CheckpointError naming the files whose actual and expected numbers differ."""
    if wrong := sorted(name for name in actual.keys() | expected.keys() if actual.get(name) != expected.get(name)):
        raise CheckpointError(f"{folder} is damaged: {', '.join(wrong)} missing, left over, or not as written")


def check_fit(into: Mapping[str, Tensor], tensors: Mapping[str, Tensor | Stored], what: str) -> None:
    """Raises CheckpointError naming the tensors that are missing, left over or of another shape in
    `tensors`, or in a file's header."""
    missing, extra = sorted(into.keys() - tensors.keys()), sorted(tensors.keys() - into.keys())
    if missing or extra:
        raise CheckpointError(f"{what} does not fit: missing {missing[:5]}, left over {extra[:5]}")
    for name, target in into.items():
        if target.shape != (shape := tensors[name].shape):
            raise CheckpointError(f"{what}: {name} has shape {tuple(shape)}, expected {tuple(target.shape)}")


def load_strict(into: Mapping[str, Tensor], tensors: Mapping[str, Tensor], what: str) -> None:
    """Copies `tensors` into those of the same names. Raises CheckpointError naming tensors that are
    missing, left over, of another shape or type (see `check_dtype`), or not finite; nothing is
    copied then."""
    check_fit(into, tensors, what)
    tensors = dict(tensors)  # reads each tensor of a file once
    for name, target in into.items():
        check_dtype(tensors[name], target.dtype, f"{what}: {name}")
    # A network's mask may hold infinities; then its fresh copy has them too.
    if bad := not_finite(tensors, lambda name: bool(into[name].isinf().any())):
        raise CheckpointError(f"{what}: {bad}; copy the file again, or train again")
    if kinds := sorted(
        {f"{tensors[n].dtype}, used as {t.dtype}" for n, t in into.items() if tensors[n].dtype != t.dtype}
    ):
        say(f"{what}: weights of {'; '.join(kinds)}")
    for name, target in into.items():
        target.detach().copy_(tensors[name])


def check_dtype(value: Tensor, expected: torch.dtype, what: str) -> None:
    """Raises CheckpointError for a tensor of another type. Any float type is accepted for another:
    see `load_strict`."""
    if value.dtype != expected and not {value.dtype, expected} <= FLOATS:
        raise CheckpointError(f"{what} is of {value.dtype}, expected {expected}; convert it where it was made")


def not_finite(tensors: Mapping[str, Tensor], infinite: Callable[[str], bool] = lambda name: False) -> str:
    """ "NAME holds NaN" or "NAME holds infinities", for the first tensor that does; "" if all are
    finite. One transfer from the device if all are finite.

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
