"""Commands that ask for more than the machine or the disk has: one line that says what to lower,
and nothing is left behind."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import multigen
from multigen import memory
from multigen.audio.synthesis import wavegan
from multigen.image.decoding import Raster
from multigen.image.degrade import imresize
from multigen.image.restoration import srgan
from multigen.image.synthesis import gan
from multigen.storage import output
from multigen.tasks.synthesis import sampler as sampling
from tests import tiny
from tests.cases import few
from tests.cli.test_sample import GREY, model
from tests.text.synthesis.test_writer import model as text_model

ABSURD = str(10**12)


def one_line(words: list[Any], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says that ends with exit code 2."""
    capsys.readouterr()
    assert tiny.multigen(words) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1, message
    return message


@pytest.fixture
def small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 MB are left."""
    monkeypatch.setattr("multigen.cli.restoring.NOTABLE", 1 << 40)  # no line about the time
    monkeypatch.setattr(memory, "available", lambda: 100_000_000)


# ------------------------------------------------------------------------------------------------------------- sample, write


@pytest.mark.parametrize("n", [ABSURD, str(10**30)])
def test_more_samples_than_the_disk_holds_are_refused(
    n: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    message = one_line(["sample", "--model", model(tmp_path / "run", GREY), "-n", n, "--out", out], capsys)
    assert f"--out {out}: {n} images take" in message and "request fewer: -n" in message
    assert not out.exists()


def test_more_sounds_than_the_disk_holds_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = wavegan.WaveGANConfig(data="drums", length=16384, width=4, latent=4)
    run = tiny.untrained(tmp_path / "run", wavegan.WaveGANTrainer(config))
    usage = shutil.disk_usage(tmp_path)._replace(free=40_000)
    monkeypatch.setattr(output.shutil, "disk_usage", lambda place: usage)
    out = tmp_path / "out"
    message = one_line(["sample", "--model", run, "-n", "10", "--out", out], capsys)
    assert "10 sounds take 41 kB at least, and 40 kB are free there" in message
    assert not out.exists()


@pytest.mark.parametrize("n", ["0", "-1"])
def test_no_samples_leave_no_folder(n: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert "expected 1 or more" in one_line(
        ["sample", "--model", model(tmp_path / "run", GREY), "-n", n, "--out", out], capsys
    )
    assert not out.exists()


def test_samples_are_written_before_the_next_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, out, there = model(tmp_path / "run", GREY), tmp_path / "out", list[int]()
    draw = sampling.Sampler.sample

    def counted(self: Any, n: int, *more: Any) -> torch.Tensor:
        there.append(len(list(out.glob("*.png"))))
        return draw(self, n, *more)

    monkeypatch.setattr(sampling.Sampler, "sample", counted)
    assert tiny.multigen(["sample", "--model", run, "-n", "150", "--out", out]) == 0
    assert there == [0, 64, 128]
    expected = draw(multigen.load(str(run)), 150)
    for i in (0, 63, 64, 149):
        assert np.array_equal(np.asarray(Image.open(out / f"{i:04d}.png")), expected[i, 0].numpy())


def test_from_python_too_many_samples_at_once_are_refused(tmp_path: Path, small_machine: None) -> None:
    sampler = multigen.load(str(model(tmp_path / "run", GREY)))
    with pytest.raises(
        multigen.errors.OutOfMemory, match=r"100000000000 samples: 1\.6 TB of memory needed, 100 MB available"
    ):
        sampler.sample(10**11)
    assert len(next(sampler.batches(10**11))) == sampler.batch


@pytest.mark.parametrize("words", [["-n", ABSURD], ["--length", ABSURD], ["-n", "1000", "--length", "100000"]])
def test_texts_that_do_not_fit_are_refused(
    words: list[str], tmp_path: Path, small_machine: None, capsys: pytest.CaptureFixture[str]
) -> None:
    message = one_line(["write", "--model", text_model(tmp_path / "run"), *words], capsys)
    assert "of memory needed, 100 MB available; lower -n or --length" in message


@pytest.mark.parametrize("words", [["-n", ABSURD], ["--frames", ABSURD]])
def test_an_animation_that_does_not_fit_is_refused(
    words: list[str], tmp_path: Path, small_machine: None, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "walk.gif"
    message = one_line(["interpolate", "--model", model(tmp_path / "run", GREY), "--out", out, *words], capsys)
    assert "lower -n or --frames" in message
    assert not out.exists()


# -------------------------------------------------------------------------------------------------------------------- upscale


@pytest.fixture
def upscaler(tmp_path: Path) -> Path:
    return model(tmp_path / "srgan", srgan.SRGANConfig(generator="compact", blocks=1, width=4))


@pytest.mark.parametrize(("mode", "needs"), [("RGB", "112 MB"), ("RGBA", "128 MB")])
def test_an_image_too_large_to_enlarge_is_refused(
    upscaler: Path, tmp_path: Path, small_machine: None, capsys: pytest.CaptureFixture[str], mode: str, needs: str
) -> None:
    Image.new(mode, (1000, 1000)).save(tmp_path / "large.png")
    out = tmp_path / "up"
    message = one_line(["upscale", tmp_path / "large.png", "--model", upscaler, "--out", out], capsys)
    assert f"an image of 4,000 x 4,000 pixels, 4 times 1,000 x 1,000: {needs} of memory needed" in message
    assert not list(out.glob("*"))


def test_a_file_too_large_to_read_is_refused_and_not_taken_for_a_damaged_one(
    upscaler: Path, tmp_path: Path, small_machine: None, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("1", (3000, 3000)).save(tmp_path / "large.png")
    words = ["upscale", tmp_path / "large.png", "--model", upscaler, "--out", tmp_path / "up"]
    expected = "large.png: 3,000 x 3,000 pixels: 108 MB of memory needed"
    assert expected in one_line(words, capsys)
    assert tiny.multigen([*words, "--skip-bad"]) == 0
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_opacity_in_tiles_is_that_of_the_whole_image(scale: int) -> None:
    torch.manual_seed(0)
    ready = multigen.image.restoration.upscaler.Upscaler(srgan.CompactGenerator(scale, 1, 4).eval(), scale, tile=7)
    pixels = torch.randint(0, 256, (23, 31, 4), dtype=torch.uint8)
    large = ready.restore_raster(Raster(pixels.numpy())).pixels
    assert torch.equal(torch.from_numpy(large[..., 3]), imresize(pixels[..., 3], scale))


# -------------------------------------------------------------------------------- training, and other verbs


@pytest.mark.parametrize("method", few(["gan", "srgan", "wavegan", "seqgan"], "gan", "srgan", "seqgan"))
def test_a_batch_that_does_not_fit_is_refused(method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    capsys.readouterr()
    words = ["train", method, "tiny", "--batch", str(10**9), "--device", "cpu", "--out", out]
    assert tiny.multigen(words) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert f"a batch of {10**9}: " in message and "lower --batch" in message and "--accumulate" in message
    assert not out.exists()


@pytest.mark.slow
def test_memory_that_runs_out_while_training_is_one_line_also_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def loss(*_: Any) -> Any:
        return torch.empty(1 << 60)

    monkeypatch.setattr(gan.GANTrainer, "generator_loss", loss)
    assert tiny.multigen(["train", "gan", "tiny", "--device", "cpu", "--out", tmp_path / "run"]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("error: out of memory (") and "lower --batch" in message
    assert "OutOfMemory: out of memory" in (tmp_path / "run" / "log.jsonl").read_text()

    # -------------------------------------------------------------------------------- models that are spoilt
    photos = tiny.photos(tmp_path / "photos")
    words = ["evaluate", "--real", photos, "--fake", photos, "--size", "2000000"]
    assert "lower --size" in one_line(words, capsys)


# -------------------------------------------------------------------------------- models that are spoilt


@pytest.mark.parametrize("value", few([torch.nan, torch.inf], torch.inf))
@pytest.mark.parametrize("verb", ["sample", "interpolate", "export", "train"])
def test_weights_that_are_not_finite_are_named(
    verb: str, value: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = model(tmp_path / "run", GREY)
    file = run / "model" / "G.safetensors"
    weights = load_file(file)
    name = sorted(name for name, t in weights.items() if t.is_floating_point())[0]
    weights[name].view(-1)[0] = value
    save_file(weights, file)
    words = {
        "sample": ["--model", run, "--out", tmp_path / "out"],
        "interpolate": ["--model", run, "--out", tmp_path / "out.gif"],
        "export": ["--model", run, "--out", tmp_path / "out.onnx"],
        "train": ["gan", "tiny", "--from", run, "--size", "16", "--latent", "4", "--width", "8", "--device", "cpu"],
    }[verb]
    capsys.readouterr()
    assert tiny.multigen([verb, *words, *(["--out", tmp_path / "new"] if verb == "train" else [])]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    kind = "NaN" if value != value else "infinities"
    assert f"{run / 'model'}, G: {name} holds {kind}" in message


def test_texts_and_enlargements_of_spoilt_weights(
    upscaler: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    for run, words in (
        (upscaler, ["upscale", tmp_path / "a.png", "--out", tmp_path / "up", "--model"]),
        (text_model(tmp_path / "texts"), ["write", "--model"]),
    ):
        file = run / "model" / "G.safetensors"
        weights = {name: t * torch.nan for name, t in load_file(file).items()}
        save_file(weights, file)
        assert "holds NaN; copy the file again" in one_line([*words, run], capsys)
