"""Results of long computations on data (features of real items, trained classifiers), kept between runs.

A result is named by a hash of all that it was computed from, so it never goes stale: other data have another name. It is
written under a temporary name and renamed, so processes may compute the same at once. The files may be removed at any time.

Whoever can write to the folder can change every figure that is computed from it, since a checksum shows damage, not intent. So it
is created for its owner alone, and a folder that belongs to another user, or that others can write to, is not used.
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
from multigen.storage.files import expanded
from multigen.storage.reading import WEIGHTS, UnreadableFile, check_file
from multigen.version import __version__

__all__ = ["cache_folder", "cached", "not_private", "private_folder"]


def cache_folder() -> Path:
    """The folder that MULTIGEN_CACHE names, else `multigen` in the user's cache folder of this platform (~/.cache on Linux)."""
    if own := os.environ.get("MULTIGEN_CACHE"):
        return expanded(own)
    return platformdirs.user_cache_path("multigen", appauthor=False)


def private_folder() -> Path:
    """The cache folder, made if it is not there. Raises UnreadableFile (an OSError) where others may have written to it."""
    folder = cache_folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if reason := not_private(folder):
        raise UnreadableFile(reason)
    return folder


def not_private(folder: Path) -> str:
    """Who else can write to a folder, and what to do about it; "" if nobody can, or there is no such folder."""
    if not hasattr(os, "getuid"):  # Windows, whose users' folders are their own
        return ""
    try:
        about = os.stat(folder)
    except OSError:
        return ""
    if about.st_uid != os.getuid():
        return "it belongs to another user; name a folder of your own with the environment variable MULTIGEN_CACHE"
    if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"other users may write to it; remove what is in it, then: chmod 700 {folder}"
    return ""


def cached(
    kind: str,
    key_parts: Sequence[bytes | str | int | Tensor],
    compute: Callable[[], Mapping[str, Tensor]],
    like: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """What `compute` gives, from the cache if it was computed before; as contiguous tensors on the CPU either way.

    Where the cache cannot be read or written, is not the user's alone, or holds a damaged file, a line says so and the result is
    computed.

    Args:
        kind: what it is: lower-case letters, digits, _ and -; the file's name begins with it.
        key_parts: all that the result depends on, in order; the version of multigen is added.
        compute: makes the result, named tensors; called only if it must be.
        like: tensors with the names, types and shapes of the result; a file with any others is not used.
    """
    if not re.fullmatch(r"[a-z0-9_-]+", kind):
        raise ValueError(
            f"kind {kind!r}: expected lower-case letters, digits, _ and -, since it is part of a file's name"
        )
    path = cache_folder() / f"{kind}-{_digest([__version__, *key_parts])}.safetensors"
    shared = not_private(path.parent)
    if shared:
        say_once(f"{path.parent}: results kept there are not used, and none are added: {shared}")
    elif (kept := _read(path, like)) is not None:
        return kept
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
            digest.update(f"{part!r};".encode())  # repr keeps apart b"1", "1" and 1, and shows where each ends
    return digest.hexdigest()


def _read(path: Path, like: Mapping[str, Tensor] | None) -> dict[str, Tensor] | None:
    """The tensors of a file as `_write` left it; None if there is none, or of other names, types or shapes than `like`."""
    try:
        check_file(path, WEIGHTS, inside=path.parent)
        with safe_open(path, "pt") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (not a dict)
            whole = like is None or found == {name: tuple(tensor.shape) for name, tensor in like.items()}
            tensors = {name: file.get_tensor(name) for name in found} if whole else {}
            whole = whole and (file.metadata() or {}).get("checksum") == _checksum(tensors)
            whole = whole and (like is None or all(tensors[name].dtype == like[name].dtype for name in tensors))
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError) as error:
        say(f"{path} cannot be read ({error}); computing its content again")
        return None
    if not whole:
        say(f"{path} is damaged; computing its content again")
    return tensors if whole else None


def _write(path: Path, tensors: dict[str, Tensor]) -> None:
    """Writes whole or not at all; what goes wrong is said, once for each reason."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")  # of its own for each process and thread
    try:
        private_folder()
        temporary.write_bytes(save(tensors, {"checksum": _checksum(tensors)}))
        os.replace(temporary, path)
    except OSError as error:
        say_once(
            f"{path.parent}: results cannot be kept there ({error.strerror or error}) and will be computed again next time; make "
            "room, or name another folder with the environment variable MULTIGEN_CACHE"
        )
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _checksum(tensors: dict[str, Tensor]) -> str:
    return _digest([part for item in sorted(tensors.items()) for part in item])
