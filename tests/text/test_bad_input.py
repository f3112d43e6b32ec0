"""Bad input to the commands for texts: exit code 2 and one line on standard error that says what
and what to do."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import multigen
from multigen.image.synthesis import gan
from multigen.recipes import seqgan
from multigen.runs.runner import main
from multigen.text.tokenizers import Tokenizer
from tests import tiny
from tests.cli.test_bad_input import everything
from tests.cli.test_sample import model as pictures

Words = Sequence[str | Path]
FLAGS = "--length 6 --embedding 4 --discriminator-embedding 4 --width 8 --batch 4 --samples 10 --rollouts 2"
FLAGS += " --negatives 8 --refill 4 --mle-steps 3 --discriminator-steps 2 --control-steps 1 --steps 2 --critic-steps 1"
FLAGS += " --lm-steps 2 --filters 1 4 2 4 --device cpu --precision fp32"
LINES = [
    f"{who} {what} {where}" for who in ("the fox", "a hen") for what in ("sat", "ran") for where in ("by", "in", "on")
]


def recipe(words: Words) -> int:
    """Exit code of `python -m multigen.recipes.seqgan WORDS`, run in this process."""
    return tiny._run(lambda: main(seqgan.TRAINER, seqgan.PRESETS), words)


def texts(path: Path, lines: Sequence[str] = LINES) -> Path:
    path.write_bytes(b"".join(line.encode() + b"\n" for line in lines))
    return path


def train_on(data: str | Path, out: Path, *words: str | Path) -> Words:
    return ["tiny", *FLAGS.split(), "--data", data, "--out", out, *words]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def place(seqgan_run: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be spoilt, and a folder `bad` beside it."""
    shutil.copy(seqgan_run.parent / "good.txt", tmp_path)
    config = tiny.copy_of(seqgan_run, tmp_path) / "config.toml"
    config.write_text(config.read_text().replace(str(seqgan_run.parent), str(tmp_path)))
    (tmp_path / "bad").mkdir()
    return tmp_path


# -- what is bad -------------------------------------------------------------------------------------------------


def file_of(content: bytes, name: str = "x.txt") -> Callable[[Path], Words]:
    def make(place: Path) -> Words:
        (place / "bad" / name).write_bytes(content)
        return train_on(place / "bad" / name, place / "new")

    return make


def data(name: str) -> Callable[[Path], Words]:
    return lambda place: train_on(name.format(place), place / "new")


def words_of(content: bytes) -> Callable[[Path], Words]:
    return lambda place: [*file_of(content)(place), "--tokenizer", "words"]


def flags(words: str) -> Callable[[Path], Words]:
    return lambda place: train_on(place / "good.txt", place / "new", *words.format(place).split())


def the_same_to_test_on(place: Path) -> Words:
    return train_on(place / "good.txt", place / "new", "--test", place / "good.txt")


def another_npz(place: Path) -> Words:
    np.savez(place / "bad" / "x.npz", images=np.zeros(3))
    return train_on(place / "bad" / "x.npz", place / "new")


def data_gone(place: Path) -> Words:
    (place / "good.txt").unlink()
    return ["--resume", place / "run"]


def data_changed(place: Path) -> Words:
    texts(place / "good.txt", [f"{line} again" for line in LINES])
    return ["--resume", place / "run"]


def data_in_another_order(place: Path) -> Words:
    texts(place / "good.txt", LINES[::-1])
    return ["--resume", place / "run"]


def picture_model_to_start_from(place: Path) -> Words:
    pictures(place / "gan", gan.GANConfig(size=16, channels=1, latent=4, width=8))
    return train_on(place / "good.txt", place / "new", "--from", place / "gan")


def changed_tokenizer(place: Path) -> Words:
    path = place / "run" / "model" / "tokenizer.json"
    path.write_text(Tokenizer.train([*LINES, "a zebra"], "words").to_json())
    return ["write", "--model", place / "run"]


def changed_tokenizer_to_start_from(place: Path) -> Words:
    changed_tokenizer(place)
    return train_on(place / "good.txt", place / "new", "--from", place / "run")


def no_tokenizer(place: Path) -> Words:
    (place / "run" / "model" / "tokenizer.json").write_bytes(b"\xff")
    return ["write", "--model", place / "run"]


def picture_model_written_with(place: Path) -> Words:
    return ["write", "--model", pictures(place / "gan", gan.GANConfig(size=16, channels=1, latent=4, width=8))]


@dataclass(frozen=True)
class Case:
    make: Callable[[Path], Words]
    named: str
    """What is named: a path below the test's folder, or other words."""
    remedy: str
    before: int = 0
    """Lines printed before the error."""


def setting(words: str, expected: str) -> Case:
    """A flag with a number out of its range."""
    name, number = words.removeprefix("--").replace("-", "_", words.split()[0].count("-") - 2).split()
    return Case(flags(words), f"{name} {number}", expected)


CASES = {
    "empty file": Case(file_of(b""), "{}/bad/x.txt: this file is empty", "--skip-bad"),
    "blank file": Case(file_of(b" \n\n\t\n"), "{}/bad/x.txt: this file is empty", "--skip-bad"),
    "one line": Case(file_of(b"the fox sat\n"), "{}/bad/x.txt holds 1 different texts", "expected at least 3"),
    "one line again and again": Case(file_of(b"the fox sat\n" * 9), "{}/bad/x.txt holds 1 different", "at least 3"),
    "bytes that are no UTF-8": Case(
        file_of(b"the fox\nran\n\xffa hen\nsat\n"), "{}/bad/x.txt, line 3: byte 0xff is no UTF-8", "--skip-bad"
    ),
    "one word": Case(
        words_of(b"fox\nfox fox\nfox fox fox\nfox fox fox fox\n"), "vocabulary of one word 'fox'", "that differ"
    ),
    "no .txt": Case(file_of(b"the fox\n", "x.doc"), "{}/bad/x.doc", "rename it"),
    "empty folder": Case(data("{}/bad"), "{}/bad: no .txt file", "check the path"),
    "missing file": Case(data("{}/bad/gone.txt"), "{}/bad/gone.txt: no such file", "expected a .txt file"),
    "missing oracle": Case(data("{}/bad/gone.npz"), "{}/bad/gone.npz: no such file", "expected an .npz file"),
    "another .npz": Case(another_npz, "{}/bad/x.npz holds no oracle", "copy the file again"),
    "no stories": Case(data("fables:0"), "fables:0", "such as fables:12000"),
    "some stories": Case(data("fables:some"), "fables:some", "such as fables:12000"),
    "missing test file": Case(flags("--test {}/bad/gone.txt"), "{}/bad/gone.txt: no such file", "expected a .txt"),
    "tested on what it is trained on": Case(the_same_to_test_on, "{}/good.txt holds all texts of", "another --test"),
    "vocabulary size": Case(flags("--vocabulary-size 3"), "vocabulary size 3", "at least 260"),
    "vocabulary size of bpe": Case(flags("--tokenizer bpe --vocabulary-size 9"), "vocabulary size 9", "at least 260"),
    "tokenizer": Case(flags("--tokenizer {}/bad"), "{}/bad", "a folder that holds its tokenizer.json"),
    "pretrained": Case(
        flags("--network pretrained --tokenizer words --pretrained {}/bad"), "{}/bad", "give a folder with config.json"
    ),
    "pretrained, no name": Case(flags("--network pretrained"), "network pretrained", "give --pretrained NAME"),
    "heads": Case(flags("--network transformer --width 9 --heads 2"), "width 9", "take a multiple of 2"),
    "filters": Case(flags("--filters 0 4"), "filters ((0, 4),)", "expected pairs (tokens, how many) of 1 or more"),
    "prompt": Case(
        flags("--prompt 9"), "prompt 9: the longest text held out of {}/good.txt has 5 tokens", "smaller --prompt"
    ),
    "micro-batches": Case(flags("--baseline mean --accumulate 2"), "accumulate 2", "give --accumulate 1"),
    "no steps of maximum likelihood": setting("--mle-steps 0", "1 or more"),
    "steps": setting("--steps -1", "0 or more"),
    "control steps": setting("--control-steps -1", "0 or more"),
    "discriminator steps": setting("--discriminator-steps -1", "0 or more"),
    "critic steps": setting("--critic-steps -2", "0 or more"),
    "length": setting("--length 1", "2 to 32768"),
    "length below 0": setting("--length -4", "2 to 32768"),
    "batch": setting("--batch 0", "1 or more"),
    "samples": setting("--samples 3", "10 or more"),
    "language model steps": setting("--lm-steps 0", "1 or more"),
    "rollouts": setting("--rollouts 0", "1 or more"),
    "follow": setting("--follow 1.5", "0 to 1"),
    "kl": setting("--kl -1.0", "0 or more"),
    "negatives": setting("--negatives 0", "1 or more"),
    "refill": setting("--refill 0", "1 or more"),
    "dropout": setting("--dropout -0.5", "0 to 1"),
    "lr": setting("--lr -0.1", "0 or more"),
    "clip norm": setting("--clip-norm -1.0", "0 or more"),
    "weight decay": setting("--weight-decay -1.0", "0 or more"),
    "patience": setting("--patience -1", "0 or more"),
    "embedding": setting("--embedding 0", "1 or more"),
    "embedding of D": setting("--discriminator-embedding 0", "1 or more"),
    "layers": setting("--layers 0", "1 to 1000"),
    "another tokenizer than the model's": Case(
        flags("--from {}/run --tokenizer characters"), "tokenizer 'characters': {}/run/model", "give --tokenizer bpe"
    ),
    "a model of another size": Case(flags("--from {}/run --width 9"), "{}/run/model, ", "expected"),
    "a model of images to start from": Case(picture_model_to_start_from, "{}/gan/model, G", "does not fit"),
    "no model to start from": Case(flags("--from {}/bad"), "{}/bad", "give a run's folder"),
    "a changed tokenizer to start from": Case(changed_tokenizer_to_start_from, "{}/run/model", "expected"),
    "a changed tokenizer": Case(changed_tokenizer, "{}/run/model: tokenizer ", "copy the whole model folder again"),
    "a damaged tokenizer": Case(no_tokenizer, "{}/run/model/tokenizer.json", "copy the model folder again"),
    "a model of images": Case(
        picture_model_written_with, "--model {}/gan: expected a model for `multigen write`", "multigen sample --model"
    ),
    "resumed after the data were changed": Case(
        data_changed,
        "{}/run was trained on other data, which differ in fingerprint;",
        "start a new run",
    ),
    "resumed after the data were turned round": Case(
        data_in_another_order, "{}/run was trained on other data, which differ in fingerprint;", "start a new run"
    ),
    "resumed after the data are gone": Case(data_gone, "{}/good.txt: no such file", "expected a .txt file"),
    "resumed with other settings": Case(lambda p: ["--resume", p / "run", "--kl", "0.5"], "{}/run", "kl: 0.0 -> 0.5"),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input(name: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = CASES[name]
    words = case.make(place)
    before = everything(place)
    capsys.readouterr()
    assert (tiny.multigen if words[0] == "write" else recipe)(words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == case.before + 1, lines
    assert lines[-1].startswith("error: ")
    assert case.named.replace("{}", str(place)) in lines[-1] and case.remedy in lines[-1]
    assert everything(place) == before  # nothing was begun, and nothing spoilt


# -- what one can go on with -------------------------------------------------------------------------------------


def rows_of(run: Path) -> dict[str, dict[str, float]]:
    return json.loads((run / "evaluation.json").read_text())["rows"]


def test_lines_that_are_too_long_are_cut_and_counted(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = [f"{line} and then the hen ran" for line in LINES[:3]]
    assert recipe(train_on(texts(place / "long.txt", [*LINES, *long]), place / "new")) == 0
    assert "3 of 15 texts cut at 6 tokens (--length)" in capsys.readouterr().err
    assert "adversarial/last" in rows_of(place / "new")


def test_skip_bad_goes_on_and_counts(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "bad" / "x.txt").write_bytes("\n".join(LINES).encode() + b"\n\xff\xfe\nan owl \xc3\n")
    (place / "bad" / "y.txt").touch()
    words = train_on(place / "bad", place / "new", "--unit", "line", "--skip-bad")
    assert recipe(words) == 0
    assert f"{place}/bad: lines left out, empty or no UTF-8: 3" in capsys.readouterr().err


@pytest.mark.slow
def test_three_lines_are_enough(place: Path) -> None:
    """One to train on, one to validate, one to test on."""
    data = texts(place / "three.txt", ["the fox sat", "a hen ran", "the owl saw all"])
    assert recipe(train_on(data, place / "new")) == 0
    assert rows_of(place / "new").keys() >= {"real", "mle/best", "adversarial/last"}


@pytest.mark.slow
def test_a_finished_run_is_resumed_to_the_same_report(place: Path) -> None:
    rows = rows_of(place / "run")
    assert recipe(["--resume", place / "run"]) == 0
    assert rows_of(place / "run") == rows


def test_a_run_goes_on_from_a_models_weights_with_its_tokenizer(place: Path) -> None:
    other = texts(place / "other.txt", [f"a zebra {line}" for line in LINES])
    assert recipe(train_on(other, place / "new", "--from", place / "run")) == 0
    tokenizers = [(place / run / "model" / "tokenizer.json").read_text() for run in ("run", "new")]
    assert tokenizers[0] == tokenizers[1]
    assert multigen.load(str(place / "new")).generate("the fox")[0].startswith("the fox")
