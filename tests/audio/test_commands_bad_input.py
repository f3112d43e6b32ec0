"""Bad input of the methods that make sounds from noise, through their commands: exit code 2, one
line, value and remedy."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from multigen.audio.files import write_sound
from multigen.audio.synthesis import evaluator as evaluator
from multigen.audio.synthesis.wavegan import WaveformCritic
from multigen.recipes import specgan, wavegan
from multigen.runs.runner import main
from multigen.tasks.synthesis.extractors import Extractor
from tests import tiny

Words = list[str | Path]
Spoil = Callable[[Path], object]
WORDS: Words = ["tiny", "--length", "1024", "--width", "2", "--steps", "1", "--batch", "4", "--samples", "8"]
WORDS += ["--device", "cpu", "--precision", "fp32"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, to work in; features cost nothing."""
    quick = Extractor(lambda sound: (sound.abs().unflatten(2, (4, -1)).mean(3).flatten(1), None))
    monkeypatch.setattr(evaluator, "open_extractor", lambda *arguments: quick)
    monkeypatch.setenv("MULTIGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MULTIGEN_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recipe(place: Path, *words: str | Path, method=wavegan) -> int:
    """Exit code of `python -m multigen.recipes.wavegan WORDS`, run in this process, in
    `place`/run."""
    return tiny._run(lambda: main(method.TRAINER, method.PRESETS), [*WORDS, "--out", place / "run", *words])


def noise(frames: int = 1100, channels: int = 1, seed: int = 0) -> np.ndarray:
    """(T, C) in -.5..0.5."""
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (frames, channels)).astype(np.float32)


def recordings(folder: Path, count: int = 12, rate: int = 8000, frames: int = 1100) -> Path:
    folder.mkdir(parents=True)
    for i in range(count):
        write_sound(folder / f"{i:02}.wav", torch.from_numpy(noise(frames, seed=i).T), rate)
    return folder


def classes(folder: Path) -> Path:
    for name in ("kick", "snare"):
        recordings(folder / name, 6)
    return folder


# -- what is bad -------------------------------------------------------------------------------------------------


def saved(samples: np.ndarray, subtype: str = "PCM_16", kind: str = "WAV") -> Spoil:
    import soundfile

    return lambda path: soundfile.write(path, samples, 8000, subtype, format=kind)


def cut_short(kind: str, subtype: str) -> Spoil:
    def spoil(path: Path) -> None:
        saved(noise(9000), subtype, kind)(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return spoil


def out_of_phase() -> np.ndarray:
    left = noise()
    return np.concatenate([left, -left], 1)


NAN = np.where(np.arange(1100) == 500, np.float32("nan"), noise()[:, 0])
DAMAGED: dict[str, tuple[str, Spoil, str]] = {
    "not audio": ("bad.wav", lambda p: p.write_bytes(b"no sound"), "it cannot be decoded"),
    "another kind": ("bad.mp3", lambda p: p.write_text("no sound at all\n" * 99), "it cannot be decoded"),
    "no bytes": ("bad.flac", lambda p: p.write_bytes(b""), "it cannot be decoded"),
    "no frames": ("bad.wav", saved(noise(0)), "its header promises 0 frames"),
    "truncated": ("bad.wav", cut_short("WAV", "PCM_16"), "it was cut off after about 4[0-9]{3} frames"),
    "truncated flac": ("bad.flac", cut_short("FLAC", "PCM_16"), "it (ends before frame|cannot be decoded)"),
    "truncated ogg": ("bad.ogg", cut_short("OGG", "VORBIS"), "it was cut off"),
    "NaN": ("bad.wav", saved(NAN, "FLOAT"), "1 of its samples are NaN or infinite"),
    "infinite": ("bad.wav", saved(np.where(np.isnan(NAN), np.inf, NAN), "FLOAT"), "1 of its samples are NaN or inf"),
    "silent": ("bad.wav", saved(noise() * 0), "a peak of -inf dB of full scale.*: silence is no data; remove it"),
    "nearly silent": (
        "bad.wav",
        saved(noise() * 1e-4, "FLOAT"),
        "a peak of -86 dB of full scale.*: silence is no data",
    ),
    "silent when averaged": ("bad.wav", saved(out_of_phase(), "FLOAT"), "a peak of .*, once averaged to one channel"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_named_with_the_remedy(name: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, spoil, reason = DAMAGED[name]
    bad = recordings(place / "p") / file
    spoil(bad)
    assert recipe(place, "--data", place / "p") == 2
    printed = capsys.readouterr()
    assert re.fullmatch(f"error: {bad}: .*{reason}.*--skip-bad\n", printed.err), printed.err
    assert printed.out == "" and not (place / "run").exists()


def test_damaged_files_that_are_skipped_are_counted_and_the_first_is_named(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = recordings(place / "p")
    for i, (file, spoil, _) in enumerate(DAMAGED.values()):
        spoil(folder / f"bad{i:02}{Path(file).suffix}")
    assert recipe(place, "--data", folder, "--skip-bad") == 0
    message = capsys.readouterr().err
    assert f"{len(DAMAGED)} recordings skipped, the first: {folder}/bad00.wav: expected a whole sound file" in message
    assert "Traceback" not in message


@pytest.mark.slow
def test_damage_is_found_in_test_recordings_too(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = recordings(place / "bad") / "bad.wav"
    bad.write_bytes(b"no sound")
    words = ["--test", place / "bad", "--data", recordings(place / "good")]
    assert recipe(place, *words) == 2
    assert re.fullmatch(f"error: {bad}: .*--skip-bad\n", capsys.readouterr().err)
    assert recipe(place, *words, "--skip-bad") == 0
    assert f"1 recording skipped, the first: {bad}: " in capsys.readouterr().err


# -- what is made to fit, and said -------------------------------------------------------------------------------


def test_adapted_recordings_are_reported(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a set smaller than a batch recordings are used more than once, for one that gives no batch
    would train nothing."""
    folder = recordings(place / "p", rate=16_000, frames=2200)
    saved(noise(channels=8))(folder / "eight.wav")
    saved(3 * noise(), "FLOAT")(folder / "loud.wav")
    assert recipe(place, "--data", folder, "--batch", "16") == 0
    message = capsys.readouterr().err
    assert "12 recordings resampled from 16000 Hz to 8000 Hz\n" in message
    assert "1 recording of 8 channels averaged to one\n" in message
    assert "1 recording with peaks beyond -1..1 made less loud to fit\n" in message
    assert (
        "12 recordings to train on, fewer than a batch of 16, which contains some more than once; add recordings"
        in message
    )
    assert "adversarial 1/1" in message


@pytest.mark.slow
def test_a_class_that_was_never_trained(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, words, message in (
        ("classes", ["--conditional"], "class 'tom' is unknown; choose from kick, snare"),
        ("none", [], "class 'tom': the model was trained without classes; leave the class out"),
    ):
        assert recipe(place, "--data", classes(place / name), *words, "--out", place / f"run-{name}") == 0
        capsys.readouterr()
        out = place / "made"
        assert (
            tiny.multigen(["sample", "--model", place / f"run-{name}", "-n", "2", "--class", "tom", "--out", out]) == 2
        )
        assert capsys.readouterr().err == f"error: {message}\n" and not out.exists()


# -- settings and data that cannot be ----------------------------------------------------------------------------


def given(make: Callable[[Path], Path], *words: str | Path) -> Callable[[Path], Words]:
    return lambda place: ["--data", make(place / "p"), *words]


def silent_only(folder: Path) -> Path:
    for i in range(3):
        folder.mkdir(exist_ok=True)
        saved(noise() * 0)(folder / f"{i}.wav")
    return folder


def pictures(folder: Path) -> Path:
    return tiny.photos(folder, 2)


CASES: dict[str, tuple[Callable[[Path], Words], str]] = {
    "no folder": (lambda p: ["--data", "gone"], "gone: no such file or folder .*sound files, .*or the name drums"),
    "no sounds": (given(pictures), "/p: no sound files in this folder; expected files ending in .*wav"),
    "one": (
        given(lambda p: recordings(p, 1)),
        "/p: 1 recording, expected at least 2; add recordings, or cut long ones: --cut slices",
    ),
    "three": (given(lambda p: recordings(p, 3)), "/p: 3 recordings, expected at least 4, two of them for testing; add"),
    "one for testing": (
        lambda p: ["--data", recordings(p / "p"), "--test", recordings(p / "t", 1)],
        "/t: 1 recording, expected at least 2; add recordings",
    ),
    "nothing left": (given(silent_only, "--skip-bad"), "/p, 3 damaged or silent: 0 recordings, expected at least 2"),
    "one file": (
        lambda p: ["--data", recordings(p / "p", 2) / "00.wav"],
        r"/00\.wav: 1 recording, expected at least 2; add recordings, or cut long ones: --cut slices",
    ),
    "no classes": (
        given(recordings, "--conditional"),
        "/p has no labels; sort the recordings into one folder per class",
    ),
    "no class names": (given(recordings, "--labels", "name"), r"/00\.wav: expected CLASS_NAME in the file's name"),
    "all classes held out": (given(classes, "--test-classes", "2"), "2 of 2 classes are to be held out, expected 0 to"),
    "a class that there is not": (given(classes, "--classes", "a", "zebra"), "classes 'zebra': .*/p has "),
    "more to train on than there are": (
        given(recordings, "--train-size", "99"),
        r"train_size 99: .*/p has \d+ recordings to train on; expected 2 to \d+, or 0 for all",
    ),
    "test twice": (
        given(recordings, "--test-files", "0*", "--test-classes", "1"),
        "each names the test data; give one",
    ),
    "no test files": (given(recordings, "--test-files", "*.ogg"), r"'\*\.ogg' fits 0 of 12 files in .*/p, .* pattern"),
    "labels of drums": (lambda p: ["--data", "drums", "--labels", "name"], "drums holds no files; leave both empty"),
    "no power of two": (given(recordings, "--length", "1000"), "length 1000: expected a power of two of at least 1024"),
    "short": (given(recordings, "--length", "512"), "length 512: expected a power of two of at least 1024"),
    "no length": (given(recordings, "--length", "0"), "length 0: expected 64 or more"),
    "negative length": (given(recordings, "--length", "-1024"), "length -1024: expected 64 or more"),
    "no rate": (given(recordings, "--rate", "0"), "rate 0: expected 4000 or more"),
    "negative rate": (given(recordings, "--rate", "-8000"), "rate -8000: expected 4000 or more"),
    "an instant": (
        given(recordings, "--rate", "96000"),
        "length 1024: expected 3072 or more at 96000 Hz, .*lower rate",
    ),
    "long spectra": (
        given(recordings, "--spectra", "512"),
        r"spectra \(512,\): expected .* a quarter of the length 1024",
    ),
    "odd spectra": (given(recordings, "--spectra", "100"), r"spectra \(100,\): expected multiples of 16"),
    "deaf": (
        given(recordings, "--no-waveform", "--spectra"),
        "D would have no critic; give --waveform",
    ),
    "shuffle": (given(recordings, "--shuffle", "64"), "shuffle 64: expected at most 63, .* 64 steps long; the paper's"),
    "augment": (
        given(recordings, "--augment", "echo"),
        "augment 'echo': 'echo' is unknown or named twice; expected some",
    ),
    "batch": (given(recordings, "--batch", "0"), "batch 0: expected 1 or more"),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_line_with_the_value_and_the_remedy(
    name: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, message = CASES[name]
    assert recipe(place, *make(place)) == 2
    printed = capsys.readouterr()
    assert re.fullmatch(f"error: .*{message}.*\n", printed.err), printed.err
    assert printed.out == "" and not (place / "run").exists()


def test_phases_are_shuffled_as_far_as_a_layer_is_long() -> None:
    c = wavegan.PRESETS["tiny"]
    furthest = replace(c, shuffle=4 * c.start - 1)
    assert WaveformCritic(furthest)(torch.rand(64, 1, 1024)).isfinite().all()


def test_specgan_names_the_lengths_it_has(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert recipe(place, "--data", recordings(place / "p"), "--length", "1000", method=specgan) == 2
    assert re.fullmatch("error: length 1000: expected a multiple of 4096, .*\n", capsys.readouterr().err)
