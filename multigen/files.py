"""Files that are there whole or not at all."""

import os
from pathlib import Path

__all__ = ["flush_folder", "write_flushed", "write_whole"]


def write_whole(path: Path, text: str) -> None:
    """Writes under a temporary name and renames: whoever reads finds the old file or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def write_flushed(path: Path, data: bytes) -> None:
    """Writes, and waits until it is on the disk."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Waits until the names in a folder, after a renaming, are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
