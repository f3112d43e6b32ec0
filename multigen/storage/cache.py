"""Results of long computations on data (features of real items, trained classifiers), kept between runs.

A result is named by a hash of all that it was computed from, so it never goes stale: other data have another name. It is
written under a temporary name and renamed, so processes may compute the same at once. The files may be removed at any time.
"""

import contextlib
import functools
import hashlib
import os
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import platformdirs
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from multigen.console import say
from multigen.version import __version__

__all__ = ["cache_folder", "cached"]


def cache_folder() -> Path:
    """The folder that MULTIGEN_CACHE names, else `multigen` in the user's cache folder of this platform (~/.cache on Linux)."""
    if own := os.environ.get("MULTIGEN_CACHE"):
        return Path(own).expanduser()
    return platformdirs.user_cache_path("multigen", appauthor=False)


def cached(
    kind: str, key_parts: Sequence[bytes | str | int | Tensor], compute: Callable[[], Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """What `compute` gives, from the cache if it was computed before; as contiguous tensors on the CPU either way.

    Where the cache cannot be read or written, or holds a damaged file, a line says so and the result is computed.

    Args:
        kind: what it is: lower-case letters, digits, _ and -; the file's name begins with it.
        key_parts: all that the result depends on, in order; the version of multigen is added.
        compute: makes the result, named tensors; called only if it must be.
    """
    if not re.fullmatch(r"[a-z0-9_-]+", kind):
        raise ValueError(
            f"kind {kind!r}: expected lower-case letters, digits, _ and -, since it is part of a file's name"
        )
    path = cache_folder() / f"{kind}-{_digest([__version__, *key_parts])}.safetensors"
    kept = _read(path)
    if kept is not None:
        return kept
    result = {n: t.detach().cpu().clone(memory_format=torch.contiguous_format) for n, t in compute().items()}
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


def _read(path: Path) -> dict[str, Tensor] | None:
    """The tensors of a file as `_write` left it; None if there is none."""
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            whole = (file.metadata() or {}).get("checksum") == _checksum(tensors)
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
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(save(tensors, {"checksum": _checksum(tensors)}))
        os.replace(temporary, path)
    except OSError as error:
        _say_once(
            f"{path.parent}: results cannot be kept there ({error.strerror or error}) and will be computed again next time; make "
            "room, or name another folder with the environment variable MULTIGEN_CACHE"
        )
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


_say_once = functools.cache(say)


def _checksum(tensors: dict[str, Tensor]) -> str:
    return _digest([part for item in sorted(tensors.items()) for part in item])
