"""`multigen translate` of voices, and training on recordings that are no good, as commands: what is
written, what is refused, in one line each."""

from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
import torch

from multigen.audio.drums import drums
from multigen.audio.files import write_sound
from multigen.audio.voice import utterance
from multigen.storage import provenance
from tests import tiny
from tests.audio.translation.toys import RATE, recordings, untrained


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained(tmp_path_factory.mktemp("voices") / "run", strength=0.05)


def sentence(path: Path, rate: int = RATE, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_sound(path, utterance("F2", 7, rate=rate).sound.expand(channels, -1), rate)
    return path


def test_a_sentence_gets_another_voice(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = sentence(tmp_path / "a.wav", 11_025)
    assert tiny.multigen(["translate", source, "--model", run, "--out", tmp_path / "out"]) == 0
    assert "1 sound in" in capsys.readouterr().out
    made, before = soundfile.info(tmp_path / "out" / "a.wav"), soundfile.info(source)
    assert (made.samplerate, made.frames, made.channels) == (11_025, before.frames, 1)
    about = provenance.read(tmp_path / "out" / "a.wav")
    assert about["method"] == "maskcyclegan" and about["speaker"] == "M1" and about["source"] == "a.wav"
    words = ["translate", source, "--model", run, "--to", "F2", "--out", tmp_path / "back.flac", "--no-provenance"]
    assert tiny.multigen(words) == 0
    assert provenance.read(tmp_path / "back.flac") == {}


REFUSED: dict[str, tuple[list[str], str]] = {
    "a target never trained": (
        ["--to", "anna"],
        "speaker 'anna': the model was not trained on such; expected one of F2, M1",
    ),
    "two targets": (["--to", "M1", "--direction", "BA"], "--to M1, --direction BA: each names the target"),
    "an option of images": (["--quality", "90"], "--quality: for images"),
    "an option of films": (["--fps", "25"], "--fps is for films"),
    "no such vocoder": (["--vocoder", "nothing"], "nothing"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_options_that_do_not_fit_are_refused(
    case: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, message = REFUSED[case]
    source = sentence(tmp_path / "a.wav")
    assert tiny.multigen(["translate", source, "--model", run, "--out", tmp_path / "out", *words]) in (1, 2)
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error:") and message in error and not (tmp_path / "out").exists()


def test_a_model_that_is_no_vocoder_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["translate", sentence(tmp_path / "a.wav"), "--model", run, "--vocoder", run, "--out", tmp_path / "out"]
    assert tiny.multigen(words) == 2
    assert "a model that converts a voice to another; expected a run of vocoder" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--to", "M1"], ["--mix"], ["--vocoder", "runs/vocoder"]])
def test_options_of_voices_are_refused_for_images(
    option: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, image = tiny.both_ways(tmp_path / "run"), tiny.photos(tmp_path / "photos", count=1, side=8)
    assert tiny.multigen(["translate", image, "--model", model, "--out", tmp_path / "out", *option]) == 2
    assert f"error: {option[0]}" in capsys.readouterr().err


def silent(path: Path) -> Path:
    write_sound(path, torch.zeros(1, 2 * RATE), RATE)
    return path


def cut_off(path: Path) -> Path:
    whole = sentence(path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def missing(path: Path) -> Path:
    return path


def text(path: Path) -> Path:
    path.write_text("a sentence")
    return path


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "stereo": (
        lambda path: sentence(path, channels=2),
        "2 channels; expected one, since a voice is in one: average them, --mix",
    ),
    "silence": (silent, "silence, by a peak below -60 dB of full scale; expected somebody who speaks"),
    "a file that was cut off": (cut_off, "a.wav"),
    "no file": (missing, "a.wav"),
    "no sound": (text, "a.wav"),
}


@pytest.mark.parametrize("case", BAD)
def test_recordings_that_are_no_good_are_refused(
    case: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, message = BAD[case]
    source = make(tmp_path / "a.wav")
    assert tiny.multigen(["translate", source, "--model", run, "--out", tmp_path / "out"]) in (1, 2)
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("error:") and message in lines[-1]


def test_stereo_is_averaged_by_name(run: Path, tmp_path: Path) -> None:
    source = sentence(tmp_path / "a.wav", channels=2)
    assert tiny.multigen(["translate", source, "--model", run, "--mix", "--out", tmp_path / "out"]) == 0
    assert soundfile.info(tmp_path / "out" / "a.wav").channels == 1


@pytest.mark.parametrize("rest", [0, RATE // 4], ids=["organ", "tune with pauses"])
def test_music_is_refused(run: Path, tmp_path: Path, rest: int, capsys: pytest.CaptureFixture[str]) -> None:
    notes = torch.nn.functional.pad(organ(2).view(8, -1), (0, rest)).view(1, -1)
    write_sound(tmp_path / "tune.wav", notes, RATE)
    assert tiny.multigen(["translate", tmp_path / "tune.wav", "--model", run, "--out", tmp_path / "out"]) == 2
    said = capsys.readouterr().err
    assert "of its pitch is held like notes, as in music; expected speech of one person" in said
    assert not (tmp_path / "out" / "tune.wav").exists()


def test_drums_are_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sound(tmp_path / "beat.wav", drums(3, RATE, RATE, 0)[0].reshape(1, -1), RATE)
    assert tiny.multigen(["translate", tmp_path / "beat.wav", "--model", run, "--out", tmp_path / "out"]) == 2
    assert "expected speech of one person, without music" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------ training


def one_speaker(folder: Path) -> list[str]:
    return ["--data", str(recordings(folder / "F2only", ("F2",), 1))]


def seconds(folder: Path) -> list[str]:
    return ["--data", str(recordings(folder / "short", count=2))]


def others(folder: Path) -> list[str]:
    return ["--data", str(recordings(folder / "two", count=4)), "--speakers", "F2", "anna"]


def organ(seconds: int) -> torch.Tensor:
    """Notes without a gap between them."""
    notes = torch.tensor([262.0, 330.0, 392.0, 523.0]).repeat(seconds).repeat_interleave(RATE // 4)
    return 0.3 * torch.sin(2 * torch.pi * (notes / RATE).cumsum(0))


def music(folder: Path) -> list[str]:
    for name in ("a", "b"):
        (folder / name).mkdir()
        for i in range(2):
            write_sound(folder / name / f"{i}.wav", organ(10)[None], RATE)
    return ["--data", str(folder / "a"), "--target", str(folder / "b")]


def quiet(folder: Path) -> list[str]:
    recordings(folder / "two", count=4)
    silent(folder / "two" / "F2" / "0.wav")
    return ["--data", str(folder / "two")]


def test_music_is_refused_before_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "maskcyclegan", "tiny", "--steps", "1", "--test-size", "1", *music(tmp_path)]
    assert tiny.multigen([*words, "--out", tmp_path / "run"]) != 0
    assert "a: 96% of its pitch is held like notes" in (said := capsys.readouterr().err)
    assert "expected speech of one person, without music" in said and "give recordings of somebody" in said


def unlike_names(folder: Path) -> list[str]:
    recordings(folder / "two", count=5)
    for i, file in enumerate(sorted((folder / "two" / "M1").iterdir())):
        file.rename(file.with_name(f"other{i}.wav"))
    return ["--data", str(folder / "two"), "--parallel"]


UNFIT: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "one speaker": (one_speaker, "one speaker, as far as the names of folders and files say; expected two or more"),
    "5 seconds": (seconds, "seconds of F2 to train on, expected at least 8"),
    "a speaker that is not there": (others, "speakers anna: not in the data; expected some of F2, M1"),
    "silence": (quiet, "silence is no data"),
    "no parallel sentences": (unlike_names, "no recordings of F2 and M1 share a name; expected the same sentences"),
    "an embedded machine as the target": (
        lambda _: ["--data", "voice", "--target", "voice"],
        "data voice, target voice",
    ),
    "a speaker named twice": (
        lambda folder: ["--data", str(recordings(folder / "two", count=4)), "--speakers", "F2", "F2"],
        "speakers F2, F2: one is named twice",
    ),
    "one folder twice": (
        lambda folder: [*one_speaker(folder), "--target", f"{folder}/../{folder.name}/F2only"],
        "the same recordings; name those of another speaker",
    ),
    "drums": (lambda _: ["--data", "drums"], "drums: nobody speaks in them"),
    "an unknown embedded speaker": (lambda _: ["--speakers", "F2", "anna"], "speakers anna: not in the data"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_data_that_will_not_do_are_refused_before_training(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, message = UNFIT[case]
    words = make(tmp_path)
    given = ["train", "maskcyclegan", "tiny", "--device", "cpu", "--out", tmp_path / "run", *words]
    assert tiny.multigen(given) in (1, 2)
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("error:") and message in lines[-1] and not (tmp_path / "run").exists()
