"""Data of training on films: photographs, films and both; splits, damaged files, H.264."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from multigen.config import Run
from multigen.errors import ConfigError, DataError
from multigen.image.files import Photo
from multigen.video.restoration.footage import Footage
from multigen.video.restoration.rrn import PRESETS, RRNTrainer
from tests import tiny
from tests.video import made

pytest.importorskip("av")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photographs, a film, and something else."""
    root = tiny.photos(tmp_path_factory.mktemp("base") / "mixed", 2, 56)
    made.film(root / "a.mp4", 4, (56, 64))
    (root / "notes.txt").write_text("notes")
    return root


def trainer_of(**changes: Any) -> RRNTrainer:
    c = replace(PRESETS["tiny"], crop=16, scale=2, steps=0, **changes)
    return RRNTrainer(c, Run(device="cpu", precision="fp32"))


def kinds(trainer: RRNTrainer) -> list[str]:
    return sorted(type(item).__name__ for item in trainer.open_items())


def test_photographs_films_and_both(folder: Path, tmp_path: Path) -> None:
    film = folder / "a.mp4"
    assert kinds(trainer_of(data=str(folder))) == ["Footage", "Photo", "Photo"]
    assert kinds(trainer_of(data=str(film))) == ["Footage"]
    assert kinds(trainer_of(data=str(folder / "0.png"))) == ["Photo"]
    shutil.copy(film, tmp_path / "b.mp4")
    assert kinds(trainer_of(data=str(tmp_path))) == ["Footage"]
    assert kinds(trainer_of(clips=str(tmp_path))) == ["Footage"] + ["Photo"] * 5
    numbered = tiny.photos(tmp_path / "numbered", 3, 56)
    assert kinds(trainer_of(data=str(film), clips=str(numbered))) == ["Footage", "Footage"]


def test_films_of_a_test_split_are_not_trained_on(folder: Path, tmp_path: Path) -> None:
    for split in ("train", "test"):
        shutil.copytree(folder, tmp_path / split)
    items = trainer_of(data=str(tmp_path)).open_items()
    assert len(items) == 3 and all("train" in item.path.parts for item in items)


def test_what_is_not_there_and_what_is_damaged(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        trainer_of(data="nowhere").open_items()
    with pytest.raises(DataError, match="no films in it"):
        trainer_of(clips=str(tiny.photos(tmp_path / "one", 1))).open_items()
    shutil.copytree(folder, tmp_path / "bad")
    (tmp_path / "bad" / "b.mp4").write_bytes(b"no film")
    with pytest.raises(DataError, match=r"b\.mp4: not a video file"):
        trainer_of(data=str(tmp_path / "bad")).open_items()
    items = trainer_of(data=str(tmp_path / "bad"), skip_bad=True).open_items()
    assert len(items) == 3 and [path.name for path, _ in items.skipped] == ["b.mp4"]


def test_a_batch_of_films_with_h264(folder: Path) -> None:
    trainer = trainer_of(
        data=str(folder / "a.mp4"), clips=str(folder), h264=True, degradation="mild", test=(str(folder),)
    )
    trainer.prepare()
    assert all(isinstance(item, Footage) for item in trainer.data.items) and trainer.items() == 2
    small = trainer.reduce(torch.zeros(3, 3, 16, 16, dtype=torch.uint8) + 90, np.random.default_rng(0))
    assert small.shape == (3, 3, 8, 8) and small.dtype == torch.uint8


def test_low_is_not_of_films(folder: Path) -> None:
    with pytest.raises(ConfigError, match="low x: not of films; leave it out"):
        trainer_of(data=str(folder), low="x")


def test_data_that_changed_are_noticed(folder: Path, tmp_path: Path) -> None:
    from multigen.video.restoration.footage import find_footage, fingerprint

    numbered = tiny.photos(tmp_path / "numbered", 3, 56)
    before = fingerprint(find_footage(str(numbered)))
    assert fingerprint(find_footage(str(numbered))) == before
    shutil.copy(folder / "0.png", numbered / "1.png")
    assert fingerprint(find_footage(str(numbered))) != before
    photos = [item for item in trainer_of(data=str(folder)).open_items() if isinstance(item, Photo)]
    assert fingerprint(photos) != fingerprint(photos[:1])
