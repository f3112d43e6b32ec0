"""Cache of long computations on data (features of real items, trained classifiers) between runs.

A result is named by a hash of all its inputs, so it never goes stale: other data have another name.
It is written atomically, so several processes may compute the same result at once. The files may be
removed at any time.

Whoever can write to the folder can change every metric computed from it, since a checksum detects
damage, not intent. So the folder is private to its owner, and one that belongs to another user, or
that others can write to, is not used.
"""

import contextlib
import hashlib
import os
import re
import stat
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import platformdirs
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from multigen.console import say, say_once
from multigen.errors import CheckpointError
from multigen.storage.files import expanded, sha256_of
from multigen.storage.reading import WEIGHTS, UnreadableFile, check_file
from multigen.version import __version__

__all__ = ["cache_folder", "cached", "converted", "not_private", "private_folder"]


def cache_folder() -> Path:
    """The folder named by MULTIGEN_CACHE, else `multigen` in the user's cache folder of this
    platform (~/.cache on Linux)."""
    if own := os.environ.get("MULTIGEN_CACHE"):
        return expanded(own)
    return platformdirs.user_cache_path("multigen", appauthor=False)


def private_folder() -> Path:
    """The cache folder, created if missing. Raises UnreadableFile (an OSError) where others may
    have written to it."""
    folder = cache_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if reason := not_private(folder):
        raise UnreadableFile(reason)
    return folder


def converted(file: Path, name: str, write: Callable[[Path], object]) -> Path:
    """The model folder `name` that `write` makes of a file of another project: made once, under the
    file's SHA-256. Raises CheckpointError where it cannot be made."""
    try:
        folder = private_folder() / "imported" / sha256_of(file, WEIGHTS)[:16] / name
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(
            f"{file} cannot be converted ({error.strerror}); name a folder: MULTIGEN_CACHE"
        ) from error
    if not (folder / "config.json").exists():
        write(folder)
    return folder


def not_private(folder: Path) -> str:
    """Why a folder is not private to this user, and the remedy; "" if it is, or does not exist."""
    if not hasattr(os, "getuid"):  # on Windows, users' folders are private
        return ""
    try:
        status = os.stat(folder)
    except OSError:
        return ""
    if status.st_uid != os.getuid():
        return "it belongs to another user; name a folder of your own with the environment variable MULTIGEN_CACHE"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"other users may write to it; remove its content, then: chmod 700 {folder}"
    return ""


def cached(
    kind: str,
    key_parts: Sequence[bytes | str | int | Tensor],
    compute: Callable[[], Mapping[str, Tensor]],
    like: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """The result of `compute`, from the cache if computed before; contiguous tensors on the CPU
    either way.

    Where the cache cannot be read or written, is not private, or holds a damaged file, a warning is
    printed and the result is computed.

    Args:
        kind: prefix of the file's name: lower-case letters, digits, _ and -.
        key_parts: all inputs of the result, in order; the version of multigen is added.
        compute: computes the result, named tensors; called only if it is not in the cache.
        like: tensors with the names, types and shapes of the result; a file with others is not
            used.
    """
    if not re.fullmatch(r"[a-z0-9_-]+", kind):
        raise ValueError(
            f"kind {kind!r}: expected lower-case letters, digits, _ and -, since it is part of a file's name"
        )
    path = cache_folder() / f"{kind}-{_digest([__version__, *key_parts])}.safetensors"
    shared = not_private(path.parent)
    if shared:
        say_once(f"{path.parent}: this cache is not used: {shared}")
    elif (stored := _read(path, like)) is not None:
        return stored
    result = {n: t.detach().cpu().clone(memory_format=torch.contiguous_format) for n, t in compute().items()}
    if not shared:
        _write(path, result)
    return result


def _digest(parts: Sequence[bytes | str | int | Tensor]) -> str:
    """Hash of the parts, of their types, shapes and order."""
    digest = hashlib.blake2b(digest_size=20)
    for part in parts:
        if isinstance(part, Tensor):
            flat = part.detach().cpu().contiguous().reshape(-1)
            digest.update(f"{part.dtype} {tuple(part.shape)};".encode())
            digest.update(flat.view(torch.uint8).numpy().data)
        else:
            digest.update(f"{part!r};".encode())  # repr distinguishes b"1", "1" and 1, and delimits them
    return digest.hexdigest()


def _read(path: Path, like: Mapping[str, Tensor] | None) -> dict[str, Tensor] | None:
    """The tensors of a file that `_write` made; None if it is missing, or differs from `like` in
    names, types or shapes."""
    try:
        check_file(path, WEIGHTS, inside=path.parent)
        with safe_open(path, "pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (not a dict)
            valid = like is None or shapes == {name: tuple(tensor.shape) for name, tensor in like.items()}
            tensors = {name: file.get_tensor(name) for name in shapes} if valid else {}
            valid = valid and (file.metadata() or {}).get("checksum") == _checksum(tensors)
            valid = valid and (like is None or all(tensors[name].dtype == like[name].dtype for name in tensors))
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError) as error:
        say(f"{path} cannot be read ({error}); computing its content again")
        return None
    if not valid:
        say(f"{path} is damaged; computing its content again")
    return tensors if valid else None


def _write(path: Path, tensors: dict[str, Tensor]) -> None:
    """Writes atomically; an error is printed as a warning, once per reason."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")  # unique to each process and thread
    try:
        private_folder()
        temporary.write_bytes(save(tensors, {"checksum": _checksum(tensors)}))
        os.replace(temporary, path)
    except OSError as error:
        say_once(
            f"{path.parent}: results cannot be cached there ({error.strerror or error}) and will be computed again next time; "
            "free space, or name another folder with the environment variable MULTIGEN_CACHE"
        )
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _checksum(tensors: dict[str, Tensor]) -> str:
    return _digest([part for item in sorted(tensors.items()) for part in item])
