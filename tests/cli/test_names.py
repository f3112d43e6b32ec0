"""Names that others gave, of files, classes, metrics, settings: no command prints one so that a
terminal obeys it."""

import json
import logging
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from multigen import console
from multigen.console import printable, shell_word, words
from multigen.image.synthesis import dcgan
from multigen.image.synthesis.base import ImageInfo
from tests import tiny
from tests.fuzz import hostile_names
from tests.fuzz.hostile_names import CASES, EVERYTHING, NAMES, forbidden


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile_names.place_of(tmp_path_factory.mktemp("names"), EVERYTHING)


@pytest.mark.parametrize("case", CASES)
def test_no_name_speaks_to_the_terminal(
    case: str, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MULTIGEN_CACHE", str(place / "cache"))
    monkeypatch.chdir(place)
    code, words = CASES[case]
    assert tiny.multigen(words(place, EVERYTHING)) == code
    out, err = capsys.readouterr()
    assert forbidden(out + err) == []
    shown = re.sub(r"\s", "", out + err)  # tyro wraps
    assert "x07" in shown or "u0007" in shown  # it was there to be printed
    if words(place, EVERYTHING)[-1] == "--json":
        assert EVERYTHING in json.loads(out)["classes"] if "classes" in out else json.loads(out)[0]["recipe"]


def test_a_run_on_such_names_speaks_to_nobody(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, run = tiny.photos(place / f"large{EVERYTHING}"), place / f"run{EVERYTHING}"
    words = ["train", "srgan", "tiny", *tiny.WORDS, "--data", data, "--test", data, "--out", run]
    assert tiny.multigen(words) == 0
    assert tiny.multigen(["train", "srgan", "--resume", run]) == 0
    out, err = capsys.readouterr()
    assert forbidden(out + err) == [] and printable(str(run)) in out
    for page in (run / "report.html", run / "model" / "README.md"):
        written = page.read_text(encoding="utf-8").replace("\n", "")
        assert forbidden(written) == []
    for kept in ("log.jsonl", "evaluation.json"):  # for programs: ASCII, and the name as it is
        text = (run / kept).read_text(encoding="ascii")
        assert forbidden(text) == [] and r"\u001b" in text
    assert not (place / "owned").exists()


def test_a_message_that_quotes_a_long_value_keeps_its_beginning_and_its_end(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("method", "x" * 10**6), ("config", {"size": [1] * 10**5}), ("config", {"y" * 10**5: 1})):
        path = place / f"long-{name}-{len(str(value))}"
        tiny.untrained(path, dcgan.DCGANTrainer(dcgan.PRESETS["tiny"]), ImageInfo(classes=("a", "b"), channels=1))
        about = json.loads((path / "model" / "config.json").read_text())
        about[name] = {**about[name], **value} if isinstance(value, dict) else value
        (path / "model" / "config.json").write_text(json.dumps(about))
        assert tiny.multigen(["sample", "--model", path]) == 2
        err = capsys.readouterr().err
        assert len(err) < 3 * words.LONGEST and err.startswith("error: ") and " ... " in err and err.count("\n") == 1
    message: list[str] = []
    console.sinks.append(message.append)
    console.say("a" * 10**6 + "; remove it")
    console.sinks.clear()
    assert len(message[0]) < 2 * words.LONGEST and message[0].endswith("; remove it")
    assert len(capsys.readouterr().err) < 2 * words.LONGEST


# -- the parts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*NAMES.values(), EVERYTHING, "\udcff.png", "\ud800"])
def test_what_is_escaped_is_one_line_of_text(name: str) -> None:
    assert forbidden(printable(name)) == [] and "\n" not in printable(name)
    assert forbidden(printable(name, lines=True).replace("\nerror", "")) == []
    assert forbidden(console.text_table([(name, "1")], ("a", name))) == []


def test_other_letters_stay_as_they_are() -> None:
    for text in (
        "plain",
        "Füchse 狐狸 ثعلب שועל",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "👩\u200d🔬",
        "a\\b",
    ):
        assert printable(text) == text
    assert printable("a\nb\tc\r", lines=True) == "a\nb\tc\\r" and printable("a\nb\t") == r"a\nb\t"


@pytest.mark.parametrize("name", [*NAMES.values(), EVERYTHING, "\udcff", "é\x1b", "\\x1b", "$'\x07"])
def test_a_command_to_copy_names_the_file_and_nothing_else(name: str, tmp_path: Path) -> None:
    word = shell_word(name)
    assert forbidden(word) == [] and printable(word) == word
    done = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, cwd=tmp_path, check=True)
    assert done.stdout == name.encode("utf-8", "surrogateescape") and not [*tmp_path.iterdir()]


def test_a_name_that_is_no_text_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file's name of an old archive; where it only is read, it will do."""
    photos = tiny.photos(tmp_path / "\udcff\x1b" / "photos", 6, 48)
    for path in sorted(photos.iterdir()):
        path.rename(path.with_name(f"{path.stem}\udcff.png"))
    out = tmp_path / "run"
    assert tiny.multigen(["train", "srgan", "tiny", *tiny.WORDS, "--data", photos, "--out", out]) == 2
    assert tiny.multigen(["inspect", photos]) == 0
    out, err = capsys.readouterr()
    assert forbidden(out + err) == [] and err.count("\n") == 1 and "expected a name in UTF-8" in err
    assert not (tmp_path / "run").exists()


def test_texts_are_raw_for_a_file_and_escaped_on_a_terminal(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["write", "--model", place / "texts-model", "-n", "9"]
    assert tiny.multigen(words) == 0
    raw = capsys.readouterr().out
    assert forbidden(raw)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert tiny.multigen(words) == 0
    assert capsys.readouterr().out == printable(raw, lines=True)


def test_the_live_line_shows_names_as_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "500")
    bar = console.Progress(f"[red]{EVERYTHING}", 3, 0)
    bar.show(1, f"[/]{EVERYTHING}")
    bar.close()
    shown = capsys.readouterr().err
    assert "[red]" in shown and r"[/]\x1b]0;owned" in shown and forbidden(shown) == []


def test_what_libraries_say_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    library = logging.getLogger("a library")
    library.addHandler(logging.StreamHandler(sys.stderr))
    assert console.exit_code(lambda: library.warning("%s was read", EVERYTHING)) == 0
    message = warnings.formatwarning(EVERYTHING, UserWarning, "a.py", 1)  # pyright: ignore[reportArgumentType]
    err = capsys.readouterr().err
    assert r"0;owned\x07" in err and r"0;owned\x07" in message
    assert forbidden(err) == forbidden(message) == []


def test_a_traceback_is_escaped_too(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.multigen(["sample", "--model", place / "wrong-json", "--traceback"]) == 2
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err and forbidden(err.replace("\nerror", "")) == []
