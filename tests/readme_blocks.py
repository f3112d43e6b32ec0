"""Runs the code blocks of a Markdown file, in order, in one temporary folder.

    python tests/readme_blocks.py README.md

The line above a bash or python block says what becomes of it, and must be there, so that no block is forgotten:

    <!-- run -->               the block is run, and must succeed
    <!-- not run: REASON -->   it is only printed with its reason

The folder holds `photo.jpg` and three pictures in `photos/` for the blocks to work on.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Block", "find_blocks", "main", "run_block"]

BLOCK = re.compile(r"^(?:<!-- (?P<tag>[^\n]+) -->\n)?```(?P<language>bash|python)\n(?P<code>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced code block of a Markdown file."""

    line: int
    """Line of its first line of code, from 1."""
    language: str
    """bash or python."""
    code: str
    skip: str
    """Why it is not run; empty where it is."""


def find_blocks(text: str) -> list[Block]:
    """The bash and python blocks of `text`; ValueError for one with neither comment, or where none is to be run."""
    blocks = []
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("code")) + 1
        kind, _, reason = (match["tag"] or "").partition(": ")
        if not (kind == "run" and not reason) and not (kind == "not run" and reason):
            raise ValueError(
                f"line {line}: block under {match['tag']!r}: expected <!-- run --> or <!-- not run: REASON --> above it"
            )
        blocks.append(Block(line, match["language"], match["code"], reason))
    if all(block.skip for block in blocks):
        raise ValueError("no block is to be run: expected <!-- run --> above at least one")
    return blocks


def run_block(block: Block, folder: Path) -> int:
    """Runs a block with `folder` as the working directory; returns its exit status."""
    interpreter = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}[block.language]
    here = os.path.dirname(sys.executable)  # `python` and `multigen` in a block are those of this environment
    environment = {**os.environ, "PATH": here + os.pathsep + os.environ.get("PATH", "")}
    return subprocess.run([*interpreter, block.code], cwd=folder, env=environment).returncode


def write_photos(folder: Path) -> None:
    """Writes photo.jpg and photos/*.jpg, from the pictures that scikit-image carries."""
    from PIL import Image
    from skimage import data

    (folder / "photos").mkdir()
    Image.fromarray(data.chelsea()[:120, :160]).save(folder / "photo.jpg")
    for name in ("astronaut", "coffee", "rocket"):
        Image.fromarray(getattr(data, name)()).save(folder / "photos" / f"{name}.jpg")


def main(path: Path) -> int:
    """Runs the blocks of the file; returns 0, or 1 after the first block that fails."""
    blocks = find_blocks(path.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photos(folder)
        for block in blocks:
            where = f"{path}, line {block.line}"
            if block.skip:
                print(f"-- {where}: not run: {block.skip}", flush=True)
                continue
            print(f"-- {where}: {block.language}\n{block.code}", end="", flush=True)
            start = time.perf_counter()
            status = run_block(block, folder)
            if status:
                print(f"-- {where}: failed with exit status {status}", flush=True)
                return 1
            print(f"-- {where}: done in {time.perf_counter() - start:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
