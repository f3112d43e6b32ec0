"""What tests of the commands share: small images, a run of seconds, commands run within this
process or as users run them."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from multigen.cli import main as multigen_main
from multigen.config import to_table
from multigen.recipes import srgan
from multigen.runs.runner import main as recipe_main
from multigen.storage.model_folder import write_model

SETTINGS: dict[str, Any] = {
    "crop": 32,
    "blocks": 1,
    "width": 8,
    "discriminator_width": 4,
    "batch": 2,
    "pretrain_steps": 4,
    "steps": 2,
}
"""Of the configuration: what makes the tiny preset smaller still."""

WORDS = [w for name, value in SETTINGS.items() for w in (f"--{name.replace('_', '-')}", str(value))]
WORDS += ["--device", "cpu", "--precision", "fp32"]
"""The same as flags."""

KEYS = ["method", "status", "command", "commit", "seed", "seeds", "steps", "date", "machine", "seconds", "definitions"]
KEYS += ["rows"]
"""Of every evaluation.json and every result of a benchmark recipe."""


def pixels(height: int, width: int, seed: int = 0) -> np.ndarray:
    """An image with smooth and with rough parts, uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width][..., None] / 9  # (H, W, 1) each
    waves = np.sin(x * rng.uniform(0.5, 2, 3) + rng.uniform(0, 6, 3)) * np.cos(y * rng.uniform(0.5, 2, 3))
    rough = rng.normal(0, 25, (height, width, 1)) * (x > width / 18)
    return (128 + 80 * waves + rough).clip(0, 255).astype(np.uint8)


class Stop:
    """Ends a run after a number of steps, as a power cut would."""

    def __init__(self, after: int):
        self.after = after

    def on_step(self, trainer: Any) -> None:
        if trainer.step > self.after:
            raise KeyboardInterrupt

    def __getattr__(self, name: str):
        return lambda *arguments: None


def untrained(folder: Path, trainer: Any, info: Any = None, texts: Mapping[str, str] | None = None) -> Path:
    """The folder of a run whose model has the random weights of seed 0. `info`: what the data would
    have been."""
    import torch

    if info is not None:
        trainer.data_info = info
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = {"G": trainer.generator().state_dict()}
    data = to_table(trainer.data_info)
    write_model(folder / "model", trainer.name, to_table(trainer.config), weights, texts or {}, data)
    return folder


def both_ways(folder: Path, direction: Any = "AB") -> Path:
    """As `untrained`, a model that translates images in both directions."""
    import torch

    from multigen.image.translation.cyclegan import CycleGANConfig, CycleGANTrainer

    trainer = CycleGANTrainer(CycleGANConfig(width=2, blocks=1, direction=direction))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = {name: trainer.networks()[name].state_dict() for name in trainer.exports}
    write_model(folder / "model", trainer.name, to_table(trainer.config), weights, {}, to_table(trainer.data_info))
    return folder


def photos(folder: Path, count: int = 3, side: int = 48) -> Path:
    """A folder of PNG files 0.png, 1.png, ... of `side` x `side` + 8 pixels."""
    from PIL import Image

    folder.mkdir(parents=True)
    for i in range(count):
        Image.fromarray(pixels(side, side + 8, seed=i)).save(folder / f"{i}.png")
    return folder


def recipe(words: Sequence[str | Path], module: Any = srgan) -> int:
    """Exit code of `python -m multigen.recipes.srgan WORDS`, or of another recipe, run in this
    process."""
    return _run(lambda: recipe_main(module.TRAINER, module.PRESETS), words)


def multigen(words: Sequence[str | Path]) -> int:
    """Exit code of `multigen WORDS`, run in this process."""
    return _run(multigen_main, words)


def _run(main: Any, words: Sequence[str | Path]) -> int:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(sys, "argv", ["multigen", *map(str, words)])
        main()
    assert isinstance(end.value.code, int)
    return end.value.code


def python(*words: str | Path, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """`python WORDS` as a process of its own, in the folder `cwd`; its warnings are not errors."""
    return subprocess.run([sys.executable, *map(str, words)], cwd=cwd, capture_output=True, text=True, **options)


def environment(**more: str) -> dict[str, str]:
    """That of this process, with more variables: for `python(..., env=...)`."""
    return {**os.environ, **more}


def trained(folder: Path, *words: str | Path) -> Path:
    """A run of the tiny preset on the images of `folder`/photos, in `folder`/run."""
    data = folder / "photos" if (folder / "photos").exists() else photos(folder / "photos")
    assert recipe(["tiny", *WORDS, "--data", data, "--test", data, "--out", folder / "run", *words]) == 0
    return folder / "run"


def without_charts(patch: pytest.MonkeyPatch) -> None:
    """Reports and comparisons have stand-ins for their curves, and reports have images as they are
    in their files."""
    from multigen.runs.comparison import curves
    from multigen.runs.report import media, page

    patch.setattr(media, "SMALL", media.LARGEST)  # none is compressed
    patch.setattr(curves, "draw", without_curves)
    patch.setattr(page, "chart", lambda title, *_: f'<figure class="chart">{escape(title)}</figure>')


def without_curves(path: Path, runs: Mapping[str, Any], about: Any) -> bool:
    """`multigen.runs.comparison.curves.draw` that draws nothing on its image."""
    from PIL import Image

    from multigen.runs.comparison.curves import shared
    from multigen.storage.provenance import png

    if not shared([*runs.values()]):
        return False
    Image.new("L", (2, 2)).save(path, **png(about))
    return True


@contextmanager
def only_read(folder: Path) -> Iterator[None]:
    """Fails with the name of a file below `folder` that came, went, or has other contents than at
    the beginning."""
    before = _files(folder)
    yield
    after = _files(folder)
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if changed:
        pytest.fail(
            f"{folder / changed[0]} was written by a test (in all {len(changed)}), though other tests read it; "
            "give the test a copy: tiny.copy_of(run, tmp_path)",
            pytrace=False,
        )


def _files(folder: Path) -> dict[str, tuple[int, str]]:
    """Size and checksum by name."""
    result = {}
    for file in folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            result[file.relative_to(folder).as_posix()] = len(content), hashlib.sha256(content).hexdigest()
    return result


def copy_of(run: Path, folder: Path) -> Path:
    """`folder`/run, for a test that writes into the run."""
    return shutil.copytree(run, folder / "run")
