"""A run is not resumed after its data were replaced by others of the same names and sizes; a copy
is no other."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from multigen.audio.restoration import vocoder
from multigen.audio.synthesis import wavegan
from multigen.config import read_config
from multigen.engine import Run, Trainer
from multigen.errors import ConfigError, DataError
from multigen.image.restoration import srgan
from multigen.image.synthesis import dcgan
from multigen.text.networks.generators import LSTM
from multigen.text.synthesis import seqgan
from tests.cases import few
from tests.image.test_arrays import write_idx
from tests.text.test_datasets import oracle_file

Write = Callable[[Path, int], object]
"""Writes the data at a path; another seed gives others, of as many bytes."""


def images(folder: Path, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(6):
        pixels = np.random.default_rng([seed, i]).integers(0, 256, (48, 48, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png", compress_level=0)


def arrays(folder: Path, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "test"):
        pixels = np.random.default_rng([seed, *part.encode()]).integers(0, 256, (6, 32, 32), np.uint8)
        np.savez(folder / f"{part}.npz", images=pixels)


def idx(folder: Path, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "t10k"):
        pixels = np.random.default_rng([seed, *part.encode()]).integers(0, 256, (6, 28, 28), np.uint8)
        write_idx(folder / f"{part}-images-idx3-ubyte", pixels)
        write_idx(folder / f"{part}-labels-idx1-ubyte", np.arange(6, dtype=np.uint8) % 2)


def sounds(folder: Path, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(6):
        soundfile.write(folder / f"{i}.wav", np.random.default_rng([seed, i]).normal(0, 0.1, 3_000), 16_000)


def recordings(folder: Path, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(6):
        soundfile.write(folder / f"{i}.wav", np.random.default_rng([seed, i]).normal(0, 0.1, 4_000), 8_000)


def mels(folder: Path, seed: int) -> None:
    """Of the recordings beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    recordings(folder.parent / "data", 0)
    for i in range(6):
        np.save(folder / f"{i}.npy", np.random.default_rng([seed, i]).normal(-5, 0.1, (40, 41)).astype(np.float32))


def late_sounds(folder: Path, seed: int) -> None:
    """Those of another seed differ in what no item shows, but random windows do: the end of a
    recording."""
    sounds(folder, 0)
    for i in range(6 if seed else 0):
        sound, rate = soundfile.read(folder / f"{i}.wav")
        soundfile.write(folder / f"{i}.wav", np.concatenate([sound[:-200], sound[-200:][::-1]]), rate)


def texts(file: Path, seed: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    words = np.random.default_rng(seed).choice(["aaaa", "bbbb", "cccc", "dddd", "eeee"], (60, 6))
    file.write_text("\n".join(" ".join(line) for line in words) + "\n")


def oracle(file: Path, seed: int) -> None:
    oracle_file(file.parent)
    with np.load(file) as stored:
        content = dict(stored)
    content["bo"] = content["bo"] + np.float32(seed)
    np.savez(file, **content)  # pyright: ignore[reportArgumentType]


TINY = {
    "dcgan": (dcgan.DCGANTrainer, replace(dcgan.PRESETS["tiny"], batch=2, validation_size=0)),
    "srgan": (srgan.SRGANTrainer, replace(srgan.PRESETS["tiny"], crop=32, batch=2, blocks=1, width=4)),
    "wavegan": (wavegan.WaveGANTrainer, replace(wavegan.PRESETS["tiny"], batch=2, validation_size=0)),
    "wavegan, windows": (
        wavegan.WaveGANTrainer,
        replace(wavegan.PRESETS["tiny"], batch=2, validation_size=0, cut="random"),
    ),
    "vocoder": (vocoder.VocoderTrainer, replace(vocoder.PRESETS["tiny"], batch=2, width=2)),
    "seqgan": (seqgan.SeqGANTrainer, replace(seqgan.PRESETS["tiny"], length=8)),
}
CASES: dict[str, tuple[str, str, Write]] = {
    "images": ("dcgan", "data", images),
    "arrays": ("dcgan", "data", arrays),
    "idx": ("dcgan", "data", idx),
    "photographs": ("srgan", "data", images),
    "sounds": ("wavegan", "data", sounds),
    "ends of sounds": ("wavegan, windows", "data.", late_sounds),
    "recordings": ("vocoder", "data", recordings),
    "mels": ("vocoder", "mels", mels),
    "texts": ("seqgan", "data.txt", texts),
    "oracle": ("seqgan", "oracle.npz", oracle),
    "test images": ("dcgan", "test", images),
    "test photographs": ("srgan", "test", images),
    "test sounds": ("wavegan", "test", sounds),
    "test recordings": ("vocoder", "test", recordings),
    "test texts": ("seqgan", "test.txt", texts),
}


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is evaluated here, so nothing need be prepared for it."""
    for trainer in (dcgan.DCGANTrainer, wavegan.WaveGANTrainer):
        monkeypatch.setattr(trainer, "open_evaluator", lambda self: SimpleNamespace())
    monkeypatch.setattr("multigen.text.synthesis.base.Evaluator", lambda *arguments: None)
    monkeypatch.setattr("multigen.image.restoration.base.open_distances", lambda *arguments: [])


def begun(trainer: type[Trainer], config: Any, run: Run) -> None:
    """A run whose folder is there, not trained any further."""
    running = trainer(config, run)
    with running.claimed() as folder:
        running.prepare()
        running._begin_folder(folder)


def sizes(place: Path) -> list[tuple[str, int]]:
    files = sorted(place.rglob("*")) if place.is_dir() else [place]
    return [(str(file), file.stat().st_size) for file in files]


@pytest.mark.parametrize("case", few(CASES, *[*CASES][::3]))
def test_data_of_the_same_names_and_sizes_are_noticed(case: str, tmp_path: Path) -> None:
    method, name, write = CASES[case]
    trainer, config = TINY[method]
    replaced = tmp_path / name.rstrip(".")
    if name.startswith("test"):
        write(data := tmp_path / name.replace("test", "data"), 7)
        test: Any = (str(replaced),) if method in ("srgan", "vocoder") else str(replaced)
    else:
        data, test = replaced, config.test
    if name == "mels":
        config = replace(config, data=str(tmp_path / "data"), mels=str(replaced))
    else:
        config = replace(config, data=str(data), test=test)
    write(replaced, 0)
    before = sizes(replaced)
    run = Run(out=str(tmp_path / "run"), device="cpu", precision="fp32")
    begun(trainer, config, run)
    again = replace(run, out="", resume=run.out)

    copy = tmp_path / "copy"
    shutil.copytree(replaced, copy) if replaced.is_dir() else shutil.copy(replaced, copy)
    for file in [replaced, *replaced.rglob("*")]:
        os.utime(file, (0, 0))
    begun(trainer, config, again)  # of another time, but the same

    write(replaced, 1)
    assert sizes(replaced) == before
    with pytest.raises(ConfigError, match=r"other data, which differ in fingerprint|other validation or test data"):
        begun(trainer, config, again)
    shutil.rmtree(replaced) if replaced.is_dir() else replaced.unlink()
    copy.rename(replaced)
    begun(trainer, config, again)


def test_other_data_are_noticed_before_anything_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a classifier, which takes minutes to train."""
    for method in ("dcgan", "wavegan"):
        trainer, config = TINY[method]
        write = images if method == "dcgan" else sounds
        write(data := tmp_path / method, 0)
        config = replace(config, data=str(data))
        run = Run(out=str(tmp_path / f"{method}-run"), device="cpu", precision="fp32")
        begun(trainer, config, run)
        write(data, 1)
        monkeypatch.setattr(trainer, "open_evaluator", lambda self: pytest.fail("measured first"))
        with pytest.raises(ConfigError, match=r"other data, which differ in fingerprint"):
            begun(trainer, config, replace(run, out="", resume=run.out))


def test_another_content_of_a_file_that_a_setting_names_is_noticed(tmp_path: Path) -> None:
    images(tmp_path / "photos", 0)
    (weights := tmp_path / "vgg.safetensors").write_bytes(b"weights")
    trainer, config = TINY["srgan"]
    config = replace(config, data=str(tmp_path / "photos"), perceptual_weights=str(weights))
    run = Run(out=str(tmp_path / "run"), device="cpu", precision="fp32")
    begun(trainer, config, run)
    again = replace(run, out="", resume=run.out)
    begun(trainer, config, again)
    weights.write_bytes(b"another")
    with pytest.raises(ConfigError, match=r"another content of the file that perceptual_weights names; resume with"):
        begun(trainer, config, again)
    weights.unlink()
    with pytest.raises(DataError, match="no such file"):
        begun(trainer, config, again)


def test_a_pretrained_model_that_was_changed_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder := tmp_path / "gpt").mkdir()
    (folder / "config.json").write_text("{}")
    texts(tmp_path / "data.txt", 0)
    monkeypatch.setattr(seqgan.SeqGANTrainer, "generator", lambda self: LSTM(self.data_info.tokens, 4, 4, 1, 0))
    trainer, config = TINY["seqgan"]
    named = {"network": "pretrained", "pretrained": str(folder), "tokenizer": "words"}
    config = replace(config, data=str(tmp_path / "data.txt"), **named)
    run = Run(out=str(tmp_path / "run"), device="cpu", precision="fp32")
    begun(trainer, config, run)
    (folder / "config.json").write_text('{"dropout": 1}')
    with pytest.raises(ConfigError, match=r"another content of the file that pretrained names"):
        begun(trainer, config, replace(run, out="", resume=run.out))


def test_a_run_that_recorded_nothing_of_its_test_data_is_resumed(tmp_path: Path) -> None:
    """As one of an earlier version."""
    trainer, config = TINY["seqgan"]
    run = Run(out=str(tmp_path / "run"), device="cpu", precision="fp32")
    begun(trainer, config, run)
    file = tmp_path / "run" / "config.toml"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if not line.startswith("held_out")))
    assert file.read_text().count("\n") == len(lines) - 1
    begun(trainer, config, replace(run, out="", resume=run.out))


def test_without_a_pretrained_model_no_folder_is_recorded(tmp_path: Path) -> None:
    """An empty name is not the folder that the command is run in."""
    trainer, config = TINY["seqgan"]
    begun(trainer, config, Run(out=str(tmp_path / "run"), device="cpu", precision="fp32"))
    assert "files" not in read_config(tmp_path / "run" / "config.toml")
