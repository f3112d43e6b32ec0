"""What a file may be in place of a regular one: named pipes, sockets, devices, folders, and links
that lead elsewhere."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

__all__ = ["SPECIAL", "replace_by"]


def make_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the names of sockets are at most 108 bytes
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(path.name)
    finally:
        os.chdir(here)


SPECIAL: dict[str, Callable[[Path], object]] = {
    "a named pipe": os.mkfifo,
    "a socket": make_socket,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": Path.mkdir,
}
"""What `multigen.storage.reading` calls it -> makes one."""


def replace_by(kind: str, path: Path, elsewhere: Path) -> None:
    """Puts in place of a file one of `SPECIAL`, "a link" to it, moved to the folder `elsewhere`, or
    one that is "too large"."""
    if kind == "a link":
        moved = elsewhere / f"moved-{path.name}"
        shutil.move(path, moved)
        path.symlink_to(moved)
    elif kind == "too large":
        os.truncate(path, 1 << 40)  # sparse: it takes no room
    else:
        path.unlink()
        SPECIAL[kind](path)
