"""Runs the code blocks of Markdown files, in order, each file's in a temporary folder of its own.

    python tests/readme_blocks.py README.md docs/tutorials/*.md

The line above a bash or python block says what becomes of it, and must be there, so that no block
is forgotten:

    <!-- run -->               the block is run, and must succeed
    <!-- write: NAME -->       the block becomes the file NAME, for those after it
    <!-- not run: REASON -->   it is only printed with its reason

The folder holds `photo.jpg`, images in `photos/`, and for the tutorials a file in `texts/`, sounds
in `sounds/`, a folder a class, and speech in `recordings/` and, narrow and noisy, in `phone/`.
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
    file: str = ""
    """Name of the file it becomes instead of being run."""


def find_blocks(text: str) -> list[Block]:
    """The bash and python blocks of `text`; ValueError for one with neither comment, or where none
    is to be run."""
    blocks = []
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("code")) + 1
        kind, _, what = (match["tag"] or "").partition(": ")
        if not (kind == "run" and not what) and not (kind in ("not run", "write") and what):
            raise ValueError(
                f"line {line}: block under {match['tag']!r}: expected <!-- run -->, <!-- write: NAME --> or "
                "<!-- not run: REASON --> above it"
            )
        skip, file = ("", what) if kind == "write" else (what, "")
        blocks.append(Block(line, match["language"], match["code"], skip, file))
    if all(block.skip or block.file for block in blocks):
        raise ValueError("no block is to be run: expected <!-- run --> above at least one")
    return blocks


def run_block(block: Block, folder: Path) -> int:
    """Runs a block with `folder` as the working directory; returns its exit status."""
    interpreter = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}[block.language]
    here = os.path.dirname(sys.executable)  # `python` and `multigen` in a block are those of this environment
    environment = {**os.environ, "PATH": here + os.pathsep + os.environ.get("PATH", "")}
    return subprocess.run([*interpreter, block.code], cwd=folder, env=environment).returncode


def write_data(folder: Path) -> None:
    """Writes photo.jpg and photos/*.jpg from the images that scikit-image carries, texts/ and
    sounds/ from seeds."""
    from PIL import Image
    from skimage import data

    from multigen.audio.drums import drum
    from multigen.audio.files import write_sound
    from multigen.audio.restoration.degradations import coloured, draws_of, mix
    from multigen.audio.voice import utterance
    from multigen.text import fables

    for name in ("photos", "texts", "sounds/kick", "sounds/snare", "recordings", "phone"):
        (folder / name).mkdir(parents=True)
    Image.fromarray(data.chelsea()[:120, :160]).save(folder / "photo.jpg")
    for name in ("astronaut", "coffee", "rocket", "chelsea"):
        Image.fromarray(getattr(data, name)()).save(folder / "photos" / f"{name}.jpg")
    (folder / "texts" / "fables.txt").write_text("\n".join(fables.sample(200)) + "\n", encoding="utf-8")
    for kind in ("kick", "snare"):
        for i, sound in enumerate(drum(kind, 20)):
            write_sound(folder / "sounds" / kind / f"{i}.wav", sound, 8000)
    for i in range(12):
        speaker = ("F1", "M1")[i % 2]
        write_sound(folder / "recordings" / f"{speaker}_{i:02d}.wav", utterance(speaker, i, 16_000).sound[None], 16_000)
    call = utterance("F2", 0, 8_000).sound
    write_sound(folder / "phone" / "call.wav", call[None], 8_000)
    noisy = mix(call, coloured(len(call), 8_000, -3, draws_of("noisy")), 10)
    write_sound(folder / "phone" / "noisy.wav", noisy[None], 8_000)


def main(path: Path) -> int:
    """Runs the blocks of the file; returns 0, or 1 after the first block that fails."""
    blocks = find_blocks(path.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder)
        for block in blocks:
            where = f"{path}, line {block.line}"
            if block.skip:
                print(f"-- {where}: not run: {block.skip}", flush=True)
                continue
            if block.file:
                (folder / block.file).write_text(block.code, encoding="utf-8")
                print(f"-- {where}: written to {block.file}", flush=True)
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
    sys.exit(max(main(Path(name)) for name in sys.argv[1:]))
