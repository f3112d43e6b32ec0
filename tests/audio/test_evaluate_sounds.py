"""`multigen evaluate` on recordings."""

import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from multigen.audio.drums import drums
from multigen.audio.files import Info, write_sound
from multigen.audio.synthesis.evaluator import _common
from multigen.cli.evaluate import kind
from multigen.tasks.synthesis import extractors
from tests import tiny

LABELS = ("high", "low")


def recordings(
    folder: Path, first: int = 0, noise: float = 0.0, rate: int = 8000, count: int = 24, length: int = 1500
) -> Path:
    """Tones of two classes, each in its folder."""
    draw = torch.Generator().manual_seed(first)
    for i in range(count):
        pitch = (1000, 200)[i % 2] * (1 + 0.3 * torch.rand(1, generator=draw))
        t = torch.arange(length * rate // 8000) / rate
        sound = 0.4 * (2 * torch.pi * pitch * t).sin() + noise * torch.randn(len(t), generator=draw)
        place = folder / LABELS[i % 2] / f"{i}.wav"
        place.parent.mkdir(parents=True, exist_ok=True)
        write_sound(place, sound.clamp(-1, 1), rate)
    return folder


def evaluate(*words: str | Path) -> int:
    return tiny.multigen(["evaluate", "--device", "cpu", *words])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MULTIGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MULTIGEN_DATA", raising=False)
    return tmp_path


def test_two_folders_are_compared_beside_the_floor(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real, out, figures = recordings(place / "real"), place / "out.json", {}
    for name, noise in (("like", 0.0), ("noise", 0.3)):
        assert evaluate("--real", real, "--fake", recordings(place / name, 50, noise), "--out", out) == 0
        printed = capsys.readouterr()
        content = json.loads(out.read_text())
        assert [*content["rows"]] == ["real", "fake"]
        assert all(f"  {metric}: " in printed.out for metric in content["definitions"])
        assert "sounds of 1024 samples at 8000 Hz" in content["definitions"]["fd_logmel"]
        assert "compared at 8,000 Hz by the first 1,024 samples (0.13 s)" in printed.err
        figures[name] = content["rows"]
    assert figures["like"]["real"] == figures["noise"]["real"]
    assert figures["like"]["fake"]["fd_logmel"] < 0.5 * figures["noise"]["fake"]["fd_logmel"]


def test_the_lower_rate_is_taken_and_flags_override_it(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real, fake = recordings(place / "real", rate=16_000, count=8), recordings(place / "fake", 50, count=8)
    assert evaluate("--real", real, "--fake", fake) == 0
    printed = capsys.readouterr().err
    assert "compared at 8,000 Hz" in printed and "8 recordings resampled from 16000 Hz to 8000 Hz" in printed
    assert evaluate("--real", real, "--fake", fake, "--rate", "4000", "--length", "300") == 0
    printed = capsys.readouterr()
    assert "sounds of 300 samples at 4000 Hz" in printed.out and "compared at" not in printed.err


def test_rate_and_length_follow_the_headers() -> None:
    def headers(rate: int, *frames: int) -> list[Info]:
        return [Info(rate, 1, n, "PCM_16") for n in frames]

    slow, fast = headers(8000, 4096, 4096, 900), headers(16_000, 5000, 9000, 90_000)
    assert _common(0, 0, [slow, fast]) == (8000, 4096)
    assert _common(16_000, 0, [slow, fast]) == (16_000, 8192)
    assert _common(0, 0, [headers(8000, 4095), fast]) == (8000, 2048)
    assert _common(0, 123, [fast]) == (16_000, 123)
    assert _common(0, 0, [headers(8000, 1, 2)]) == (8000, 256)  # 32 ms
    assert _common(0, 0, []) == (8000, 4096)


def test_the_classifier_learns_the_classes_of_the_real_recordings(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train = extractors.train_classifier
    monkeypatch.setattr(extractors, "train_classifier", lambda *a, **k: train(*a, **{**k, "steps": 20, "batch": 16}))
    real, fake = recordings(place / "real"), recordings(place / "fake", 50)
    assert evaluate("--real", real, "--fake", fake, "--features", "classifier") == 0
    assert "is_classifier" in capsys.readouterr().out
    assert evaluate("--real", real / "low", "--fake", fake, "--features", "classifier") == 2
    assert "no labels; take logmel, or give --labels or a folder a class" in capsys.readouterr().err


def test_the_drum_machine_s_classifier_needs_no_labels(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from multigen.audio import recordings as data

    train = extractors.train_classifier
    monkeypatch.setattr(extractors, "train_classifier", lambda *a, **k: train(*a, **{**k, "steps": 5, "batch": 16}))
    monkeypatch.setattr(data, "DRUMS", {"train": (16, 0), "test": (8, 1)})
    real = recordings(place / "real", count=8)
    assert evaluate("--real", real / "low", "--fake", real / "high", "--features", "drums") == 0
    printed = capsys.readouterr()
    assert "training a classifier of 8 classes on drums" in printed.err
    assert "fd_drums" in printed.out and "on the embedded drum machine, whatever the training" in printed.out


def test_the_drum_machine_stands_for_real_recordings(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from multigen.audio import recordings as data

    monkeypatch.setattr(data, "DRUMS", {"train": (16, 0), "test": (8, 1)})
    (place / "fake").mkdir()
    for i, sound in enumerate(drums(8, 1024, 8000, seed=5)[0]):
        write_sound(place / "fake" / f"{i}.flac", sound, 8000)
    assert evaluate("--real", "drums", "--fake", place / "fake") == 0
    assert "sounds of 1024 samples at 8000 Hz" in capsys.readouterr().out


def test_damaged_recordings_are_named_or_counted(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real, fake = recordings(place / "real", count=8), recordings(place / "fake", 50, count=8)
    (fake / "low" / "bad.wav").write_bytes(b"no sound")
    assert evaluate("--real", real, "--fake", fake) == 2
    assert re.search(
        r"\nerror: .*fake/low/bad\.wav: expected a whole sound file.*--skip-bad\n$", capsys.readouterr().err
    )
    assert evaluate("--real", real, "--fake", fake, "--skip-bad") == 0
    assert "1 recording skipped, the first: " in capsys.readouterr().err


def test_what_does_not_fit_together_is_one_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real, pictures = recordings(place / "real", count=4), tiny.photos(place / "images", 2)
    both, empty, nothing = recordings(place / "both", count=4), place / "empty", place / "nothing"
    Image.fromarray(tiny.pixels(9, 9)).save(both / "cover.PNG")
    empty.mkdir()
    nothing.mkdir()
    (nothing / "notes.py").write_text("no sound")
    two = ["--real", real, "--fake", real]
    for words, message in (
        (
            ["--real", real, "--fake", pictures],
            "--real .*/real holds sounds, --fake .*/images images; .* give another",
        ),
        (
            ["--real", "digits", "--fake", real],
            "--real digits holds images, --fake .*/real sounds; .* give another folder",
        ),
        (
            ["--real", pictures, "--fake", "drums"],
            "--real .*/images holds images, --fake drums sounds; .* give another",
        ),
        (["--real", both, "--fake", real], "/both: 1 image and 4 sounds; expected files of one kind; give a folder"),
        (
            ["--real", real, "--fake", nothing],
            "/nothing: neither images nor texts nor sounds in it; expected files ending in .*wav",
        ),
        (["--real", real, "--fake", empty], "/empty: neither images nor texts nor sounds in it"),
        (
            ["--real", real, "--fake", "gone"],
            "gone: no such file or folder .*; expected a folder of images or of texts or of sounds",
        ),
        ([*two, "--size", "32"], "--size: not for sounds, .*; expected --rate and --length, .*; leave out what is not"),
        (
            [*two, "--features", "inception"],
            "--features inception: not for sounds, .*--features logmel or drums or classifier",
        ),
        (["--real", pictures, "--fake", pictures, "--rate", "1", "--length", "9"], "--rate --length: not for images"),
        (["--real", pictures, "--fake", pictures, "--features", "logmel"], "--features logmel: not for images"),
        (
            [*two, "--rate", "-1", "--length", "9"],
            "rate -1 Hz, length 9, .*: expected a rate and a length of 1 or more",
        ),
        ([*two, "--length", "-1"], "length -1, .*: expected a rate and a length of 1 or more"),
        ([*two, "--length", "50"], "a sound of 50 samples is too short for n_fft 256"),
    ):
        assert evaluate(*words) == 2
        printed = capsys.readouterr()
        assert re.fullmatch(f"error: .*{message}.*\n", printed.err.split("others\n")[-1]), printed.err
        assert printed.out == ""


def test_names_and_files_say_what_data_are(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    assert {name: kind(name) for name in ("digits", "mnist", "cifar10", "drums")} == {
        "digits": "image", "mnist": "image", "cifar10": "image", "drums": "audio",
    }  # fmt: skip
    for name, expected in (("a.npz", "image"), ("train-images-idx3-ubyte.gz", "image"), ("b.OGG", "audio")):
        (place / name).mkdir()
        (place / name / name).touch()
        (place / name / ".DS_Store.png").touch()
        assert kind(name) == expected
        assert kind(f"{name}/{name}") == expected
