"""`multigen restore` of sounds and of mels: files, folders, rates, channels, long recordings, bad
input."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from multigen.audio.files import read_info, read_sound, write_sound
from multigen.audio.mel_files import read_mels
from multigen.audio.mels import MelSpec
from multigen.audio.voice import utterance
from multigen.storage import provenance
from tests import tiny
from tests.audio.restoration.toys import untrained
from tests.tiny import multigen

SPEC = MelSpec(rate=8_000, bands=40)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vocoder at 8 kHz that is not trained: it keeps magnitudes, as its mels have them."""
    return untrained(tmp_path_factory.mktemp("vocoder"))


def sentence(rate: int = 8_000, seconds: float = 1.0) -> torch.Tensor:
    return utterance("M1", 3, rate).sound[: int(seconds * rate)]


def restore(*words: str | Path) -> int:
    return multigen(["restore", *words])


# -- what goes in and comes out ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "channels", "out", "length"),
    [
        (8_000, 1, 0, 8_001),
        (44_100, 2, 0, 30_011),
        (48_000, 8, 0, 5_003),
        (16_000, 1, 22_050, 16_001),
        (8_000, 1, 0, 7),
    ],
)
def test_results_have_the_rate_the_channels_and_the_length_of_their_sources(
    model: Path, tmp_path: Path, rate: int, channels: int, out: int, length: int
) -> None:
    sound = torch.randn(channels, length, generator=torch.Generator().manual_seed(0)) / 10
    write_sound(tmp_path / "a.wav", sound, rate)
    words = ["--rate", str(out)] if out else []
    assert restore(tmp_path / "a.wav", "--model", model, "--out", tmp_path / "out", *words) == 0
    info = read_info(tmp_path / "out" / "a.wav")
    expected = out or rate
    assert (info.rate, info.channels, info.frames) == (expected, channels, -(-length * expected // rate))


def test_loudness_is_kept_and_channels_are_not_mixed(model: Path, tmp_path: Path) -> None:
    left = sentence(seconds=2)
    right = 0.1 * torch.randn(len(left), generator=torch.Generator().manual_seed(0))
    write_sound(tmp_path / "a.wav", torch.stack([left, 0 * left, right]), 8_000)
    assert restore(tmp_path / "a.wav", "--model", model, "--out", tmp_path / "b.flac") == 0
    made = read_sound(tmp_path / "b.flac", mono=False)[0]
    levels, given = (x.square().mean(1).sqrt() for x in (made, torch.stack([left, 0 * left, right])))
    # Magnitudes are the mels'; random phases lose energy where frames overlap.
    assert made[1].abs().max() < 1e-3
    assert 0.3 < levels[0] / given[0] < 1.1 and 0.3 < levels[2] / given[2] < 1.1


def test_peaks_that_would_be_clipped_make_the_whole_less_loud(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = 40 * sentence()
    _write_float(tmp_path / "a.wav", sound)
    assert restore(tmp_path / "a.wav", "--model", model, "--out", tmp_path / "out") == 0
    assert "dB less loud, since its peak of" in capsys.readouterr().err
    made = read_sound(tmp_path / "out" / "a.wav")[0]
    assert 0.99 < made.abs().max() <= 1 and (made.abs() > 0.999).sum() < 3


def _write_float(path: Path, sound: torch.Tensor) -> None:
    import soundfile

    soundfile.write(path, sound.numpy(), 8_000, "FLOAT")


def test_mels_become_the_sound_that_a_recording_of_them_becomes(model: Path, tmp_path: Path) -> None:
    sound = sentence()
    write_sound(tmp_path / "a.wav", sound, 8_000, "PCM_24")
    np.save(tmp_path / "b.npy", SPEC(read_sound(tmp_path / "a.wav")[0][0]).numpy())
    assert restore(tmp_path / "a.wav", tmp_path / "b.npy", "--model", model, "--out", tmp_path / "out") == 0
    a, b = (read_sound(tmp_path / "out" / f"{name}.wav")[0] for name in "ab")
    assert a.shape == b.shape == (1, 8_000) and torch.allclose(a, b, atol=1e-4)


def test_folders_keep_their_structure_and_results_say_what_made_them(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one/a.wav", "two/a.flac"):
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        write_sound(tmp_path / "in" / name, sentence(), 8_000)
    np.save(tmp_path / "in" / "two" / "b.npy", SPEC(sentence()).numpy())
    words = [tmp_path / "in", "--model", model, "--out", tmp_path / "out"]
    assert restore(*words, "--json") == 0
    message = json.loads(capsys.readouterr().out)
    assert [Path(pair["file"]).relative_to(tmp_path / "out").as_posix() for pair in message["sounds"]] == [
        *("one/a.wav", "two/a.wav", "two/b.wav")
    ]
    about = provenance.read(tmp_path / "out" / "two" / "b.wav")
    assert about["method"] == "vocoder" and about["source"] == "b.npy"
    assert restore(*words) == 0  # its own results are replaced
    assert "3 sounds in" in capsys.readouterr().out
    assert restore(*words, "--existing", "skip") == 0
    assert "0 sounds in" in (printed := capsys.readouterr().out) and "3 there already" in printed
    assert restore(*words, "--existing", "error") == 2
    write_sound(tmp_path / "out" / "one" / "a.wav", sentence(), 8_000)  # somebody else's
    assert restore(*words) == 2 and "not known as results of multigen" in capsys.readouterr().err
    assert restore(*words, "--overwrite", "--no-provenance") == 0
    assert provenance.read(tmp_path / "out" / "one" / "a.wav") == {}


def test_two_models_of_one_network_can_be_blended(model: Path, tmp_path: Path) -> None:
    write_sound(tmp_path / "a.wav", sentence(), 8_000)
    assert restore(tmp_path / "a.wav", "--blend", model, model, "0.5", "--out", tmp_path / "out") == 0
    assert (tmp_path / "out" / "a.wav").exists()


@pytest.mark.parametrize(
    ("subtype", "suffix", "expected"),
    [
        *[("PCM_16", ".wav", "PCM_16"), ("PCM_24", ".wav", "PCM_24"), ("FLOAT", ".wav", "FLOAT")],
        *[("DOUBLE", ".flac", "PCM_24"), ("PCM_24", ".flac", "PCM_24"), ("FLOAT", ".ogg", "VORBIS")],
    ],
)
def test_results_are_as_deep_as_their_sources(
    model: Path, tmp_path: Path, subtype: str, suffix: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import soundfile

    soundfile.write(tmp_path / "a.wav", sentence(16_000).numpy(), 16_000, subtype)
    out = tmp_path / f"b{suffix}"
    assert restore(tmp_path / "a.wav", "--model", model, "--out", out) == 0
    assert read_info(out).subtype == expected
    assert provenance.read(out)["method"] == "vocoder"


def test_lost_frequencies_are_said_once(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.setattr("multigen.audio.sound_to_sound.say_once", lambda text: print(text))
    write_sound(tmp_path / "a.wav", sentence(16_000), 16_000)
    assert restore(tmp_path / "a.wav", "--model", model, "--out", tmp_path / "out") == 0
    assert "recordings of more than 8,000 Hz keep nothing above 4,000 Hz" in capsys.readouterr().out
    write_sound(tmp_path / "b.wav", sentence(), 8_000)
    assert restore(tmp_path / "b.wav", "--model", model, "--out", tmp_path / "out") == 0
    assert "keep nothing above" not in capsys.readouterr().out


# -- bad input -----------------------------------------------------------------------------------------------------

BAD_MELS = {
    "bands": (
        np.full((80, 20), -3.0, np.float32),
        r"an array \(80, 20\), expected \(40, frames\); give mels of 40 bands",
    ),
    "turned": (np.full((20, 40), -3.0, np.float32), r"transpose it"),
    "decibels": (np.full((40, 20), -60.0, np.float32), "mels of another definition; make them by the model's"),
    "no logarithm": (np.full((40, 20), 0.3, np.float32), "mels before the logarithm, or scaled to 0..1, as it seems"),
    "not finite": (np.full((40, 20), np.nan, np.float32), "not a finite number"),
    "one frame": (np.full((40, 1), -3.0, np.float32), "mels of one frame"),
    "integers": (np.zeros((40, 20), np.int16), "int16, expected an array of floats"),
    "objects": (np.array([{}], dtype=object), "object, expected an array of floats"),
}


@pytest.mark.parametrize(("mels", "message"), BAD_MELS.values(), ids=BAD_MELS.keys())
def test_mels_of_another_definition_are_refused(
    model: Path, tmp_path: Path, mels: np.ndarray, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "a.npy", mels)
    assert restore(tmp_path / "a.npy", "--model", model, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert f"{tmp_path / 'a.npy'}: " in error and re.search(message, error)
    assert not (tmp_path / "out" / "a.wav").exists()


HEADERS = {
    "cut off": "{'descr': '<f4', 'fortran_order': False, 'shape': (40, ",
    "a great size": "{'descr': '<f4', 'fortran_order': False, 'shape': (40, 1" + "0" * 40 + "), }",
    "more than the file": "{'descr': '<f4', 'fortran_order': False, 'shape': (40, 900000000), }",
    "nothing": "{'descr': '<f4', 'fortran_order': False, 'shape': (40, 0), }",
    "keys of two types": "{'descr': '<f4', 1: False, 'shape': (40, 20), }",
    "a key that is a list": "{'descr': '<f4', 'fortran_order': False, 'shape': (40, 20), []: 1}",
    "truths": "{'descr': '<f4', 'fortran_order': False, 'shape': (True, True), }",
    "many minuses": "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "-" * 9_000 + "1, 20), }",
    "many brackets": "[" * 3_000,
    "no such type": "{'descr': '<f7', 'fortran_order': False, 'shape': (40, 20), }",
    "fields": "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (40, 20), }",
    "empty": "",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
def test_a_hostile_npy_is_one_short_line_and_can_be_skipped(
    model: Path, tmp_path: Path, header: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "in" / "a.npy"
    place.parent.mkdir()
    content = np.full((40, 20), -3.0, np.float32).tobytes()
    place.write_bytes(b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode() + content)
    write_sound(tmp_path / "in" / "b.wav", sentence(), 8_000)
    words = [tmp_path / "in", "--model", model, "--out", tmp_path / "out"]
    assert restore(*words) == 2
    error = capsys.readouterr().err
    assert "a.npy: it is damaged, or no .npy file" in error and len(error.replace(str(place), "")) < 250
    assert "pickle" not in error and error.count("\n") == 1
    assert restore(*words, "--skip-bad") == 0 and "1 skipped" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["<f2", "<f4", ">f4", "<f8"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_mels_of_any_float_order_and_version_are_read(tmp_path: Path, kind, order, version) -> None:
    mels = np.array(np.linspace(-11, 1, 200).reshape(40, 5), kind, order=order)
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, mels, version)
    made = read_mels(tmp_path / "a.npy")
    assert made.dtype == (np.float16 if kind == "<f2" else np.float32) and np.array_equal(made, mels.astype(made.dtype))


def test_mels_rounded_to_16_bits_with_silence_in_them_are_restored(model: Path, tmp_path: Path) -> None:
    mels = SPEC(torch.cat([sentence(), torch.zeros(2_000)])).numpy()
    np.save(tmp_path / "a.npy", mels.astype(np.float16))
    assert restore(tmp_path / "a.npy", "--model", model, "--out", tmp_path / "out") == 0


def test_mels_scaled_to_0_to_1_are_refused(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mels = SPEC(sentence()).numpy()
    np.save(tmp_path / "a.npy", (mels - mels.min()) / (mels.max() - mels.min()))
    assert restore(tmp_path / "a.npy", "--model", model, "--out", tmp_path / "out") == 2
    assert "or scaled to 0..1" in capsys.readouterr().err


def test_bad_files_are_skipped_if_asked(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    write_sound(tmp_path / "in" / "a.wav", sentence(), 8_000)
    (tmp_path / "in" / "b.wav").write_bytes((tmp_path / "in" / "a.wav").read_bytes()[:600])
    (tmp_path / "in" / "c.npy").write_bytes(b"\x93NUMPY damaged")
    words = [tmp_path / "in", "--model", model, "--out", tmp_path / "out"]
    assert restore(*words) == 2
    assert restore(*words, "--skip-bad", "--json") == 0
    message = json.loads(capsys.readouterr().out)
    assert len(message["files"]) == 1 and [Path(each["path"]).name for each in message["skipped"]] == ["b.wav", "c.npy"]


def test_a_file_that_no_format_holds_does_not_stop_the_others(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import soundfile

    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "a.wav", np.zeros((900, 12)) + 0.1, 8_000)
    write_sound(tmp_path / "in" / "b.wav", sentence(), 8_000)
    words = [tmp_path / "in", "--model", model, "--out", tmp_path / "out"]
    assert restore(*words) == 2
    assert "a.wav: 12 channels in WAV, expected at most 8; mix some of them first" in capsys.readouterr().err
    assert restore(*words, "--skip-bad") == 0 and (tmp_path / "out" / "b.wav").exists()
    assert "1 skipped" in capsys.readouterr().out
    write_sound(tmp_path / "c.wav", torch.full((3, 900), 0.1), 96_000)
    assert restore(tmp_path / "c.wav", "--model", model, "--out", tmp_path / "c.mp3") == 2
    assert "3 channels in MP3, expected at most 2; write ." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tile", "64"], "--tile: for images, and the model is of sounds"),
        (["--format", "png"], "--format: for images"),
        (["--mask", "m.png"], "--mask: for images"),
        (["--no-metadata"], "--no-metadata: for images"),
        (["--crf", "20"], "--crf is for films"),
        (["--rate", "0"], "--rate 0: expected 1 Hz or more"),
        pytest.param(["--rate", "7919"], None, marks=pytest.mark.slow),
        (["--rate", "10000000"], "error: rate 10000000: the model's 8000 Hz cannot be brought to it; expected a usual"),
        (["--rate", "10000000", "--skip-bad"], "error: rate 10000000: the model's 8000 Hz"),
        (["--out", "b.aiff"], "files of .aiff are read, not written; expected .flac .mp3 .ogg .wav"),
        (["--out", "b.mp3", "--rate", "9999"], "MP3 at 9999 Hz cannot be encoded"),
        (["--model", "nowhere"], "nowhere"),
    ],
)
def test_options_that_do_not_apply_are_refused(
    model: Path, tmp_path: Path, words: list[str], message: str | None, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_sound(tmp_path / "a.wav", sentence(), 8_000)
    given = ["a.wav", *(["--model", model] if "--model" not in words else []), *words]
    given += [] if "--out" in words else ["--out", "out"]
    assert restore(*given) == (0 if message is None else 2)
    assert message is None or message in capsys.readouterr().err


def test_other_files_and_other_models_are_named(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.photos(tmp_path / "photos", count=1)
    assert restore(tmp_path / "photos", "--model", model, "--out", tmp_path / "out") == 2
    assert "no sounds in it" in (error := capsys.readouterr().err) or "sound" in error
    assert restore("--model", model, "--out", tmp_path / "out") == 2
    assert "no sound to restore" in capsys.readouterr().err
    write_sound(tmp_path / "a.wav", sentence(), 8_000)
    assert multigen(["upscale", tmp_path / "a.wav", "--model", model, "--out", tmp_path / "out"]) == 2


# -- long recordings -----------------------------------------------------------------------------------------------

MEMORY = """
import resource, sys
import multigen.audio.writing, multigen.audio.restoration.vocoder, multigen.tasks.loading as loading
import soundfile, torchaudio.functional
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
from pathlib import Path
multigen.audio.writing.restore_file(loading.load(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


def taken(model: Path, source: Path, target: Path) -> int:
    """MiB that restoring a file takes beyond imports."""
    words = [sys.executable, "-c", MEMORY, str(model), str(source), str(target)]
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[-1])


@pytest.mark.parametrize("minutes", [pytest.param(4, marks=pytest.mark.slow), pytest.param(60, marks=pytest.mark.long)])
def test_an_hour_takes_500_megabytes_at_most(model: Path, tmp_path: Path, minutes: int) -> None:
    piece = 0.1 * torch.randn(2, 60 * 22_050, generator=torch.Generator().manual_seed(0))
    from multigen.audio.files import write_blocks

    write_blocks(tmp_path / "long.wav", (piece for _ in range(minutes)), 22_050, 2)
    assert taken(model, tmp_path / "long.wav", tmp_path / "out.wav") < 500
    assert read_info(tmp_path / "out.wav").frames == minutes * 60 * 22_050
