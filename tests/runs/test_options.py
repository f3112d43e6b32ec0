"""A mistake in the options of a command is one line: what was given, what was expected, where all is listed; exit code 2."""

import re
from pathlib import Path
from typing import Any

import pytest

from multigen.cli import VERBS
from multigen.recipes import dcgan, seqgan
from multigen.runs import options
from multigen.runs.runner import main
from tests import tiny
from tests.tiny import python

USE = ["--model", "r", "--out", "o"]

MISTAKES = {
    # options that there are not
    "misspelt": ("sample --modle x", "no option '--modle' (nearest: --model, --code)"),
    "misspelt, with a value": ("sample --model=r --sede=3", "no option '--sede' (nearest: --seed)"),
    "cut short": ("sample --model r --trunc 1", "no option '--trunc' (nearest: --truncation)"),
    "with an underscore": ("evaluate --real r --fake f --skip_bda", "no option '--skip_bda' (nearest: --skip-bad, "),
    "like none": ("ls --zzz", "no option '--zzz';"),
    "several": ("ls --jsno --zzz", "no option '--jsno' (nearest: --json), '--zzz';"),
    "short": ("ls -q", "no option '-q';"),
    "of another verb": ("write --model r --truncation 1", "no option '--truncation'"),
    # what is missing
    "no model": ("sample -n 3", "no --model given; expected --model RUN;"),
    "two missing": ("evaluate", "no --real and no --fake given; expected --real DATA --fake DATA;"),
    "a model by its place": ("sample runs/x", "no --model given, and 'runs/x' belongs to no option; expected --model RUN;"),
    "no word": ("cp dcgan", "no FILE.py given; expected multigen cp METHOD FILE.py;"),
    "no data": ("inspect", "no DATA given; expected multigen inspect DATA [--json | --no-json];"),
    "no value": ("sample --model", "--model without a value: expected RUN;"),
    "an option for a value": ("sample --model --seed 3", "--model without a value: expected RUN, one that begins with"),
    "an option in a word's place": ("report --otu f", "no option '--otu' (nearest: --out);"),
    "an option behind the dashes": ("ls -- --json", "'--json' belongs to no option; expected multigen ls ["),
    "too few values": ("train dcgan --lr 1 --seed 3", "--lr 1: expected 2 numbers;"),
    # values that cannot be used
    "no whole number": ("sample --model r -n abc", "-n abc: expected a whole number;"),
    "half a whole number": ("sample --model r --n=1.5", "--n 1.5: expected a whole number;"),
    "no number, last of two": ("sample --truncation 1 --model r --truncation x", "--truncation x: expected a number or None;"),
    "no two numbers": ("train dcgan tiny --betas a b --seed 3", "--betas a b: expected 2 numbers;"),
    "no pairs": ("train seqgan --filters 1 2 3", "--filters 1 2 3: expected whole numbers: [INT INT [INT INT ...]];"),
    "none of the choices": ("train dcgan --precision bf61", "--precision 'bf61': expected one of auto, bf16, fp16, fp32, fp64;"),
    "none of the words": ("completion tcsh", "SHELL 'tcsh': expected one of bash, zsh, fish;"),
    "one of several": ("train wavegan --features logmel a", "--features 'a': expected one of logmel, classifier, drums;"),
    # words too many
    "a word too many": ("report a b", "'b' belongs to no option; expected multigen report RUN [--out FILE];"),
    "a value of a switch": ("ls --json true", "'true' belongs to no option; expected multigen ls"),
    "a preset that is not first": ("train dcgan --steps 3 tiny", "'tiny' belongs to no option; expected multigen train dcgan ["),
}  # fmt: skip


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of an error, behind its mark."""
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("error: ") and printed.err.count("\n") == 1, printed
    return printed.err.removeprefix("error: ").rstrip("\n")


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    words, line = MISTAKES[name]
    assert tiny.multigen(words.split()) == 2
    command = "multigen " + " ".join(words.split()[: 2 if words.startswith("train") else 1])
    found = said(capsys)
    assert found.startswith(line) and found.endswith(f"; {command} --help lists all")


@pytest.mark.parametrize("verb", sorted(VERBS.keys() - {"train"}))
def test_every_verb_tells_it_so(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.multigen([verb, "--nonsuch", "3"]) == 2
    assert said(capsys) == f"no option '--nonsuch'; multigen {verb} --help lists all"


def test_a_recipe_tells_it_by_its_own_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.recipe(["tiny", "--stepz", "3"]) == 2
    line = "no option '--stepz' (nearest: --steps); python -m multigen.recipes.srgan --help lists all"
    assert said(capsys) == line


def test_the_nearest_options_of_a_recipe_are_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for recipe, nearest in ((dcgan, "(nearest: --latent)"), (seqgan, "(nearest: --patience)")):
        monkeypatch.setattr("sys.argv", ["recipe", nearest.rpartition(" ")[2].strip(")").replace("t", "tt")])
        with pytest.raises(SystemExit, match="2"):
            main(recipe.TRAINER, recipe.PRESETS)
        assert nearest in said(capsys)


def test_line_breaks_stay_out_of_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.multigen(["sample", *USE, "-n", "three\nor four"]) == 2
    assert said(capsys).startswith("-n three or four: expected a whole number;")


def test_a_value_that_begins_with_a_dash_can_be_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.multigen(["write", "--model", tmp_path / "none", "--prompt", "-abc"]) == 2
    assert "one that begins with a dash as --prompt=VALUE" in said(capsys)
    assert tiny.multigen(["write", "--model", tmp_path / "none", "--prompt=-abc"]) == 2
    assert "none is not a folder" in said(capsys)


def test_where_it_came_from_can_be_seen(capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.multigen(["ls", "--traceback", "--zzz"]) == 2
    assert re.match(r"error: no option '--zzz'; .*\nTraceback \(most recent call last\):\n", capsys.readouterr().err)


@pytest.mark.parametrize("change", ["no hook", "other events", "unknown events"])
def test_a_changed_tyro_shows_its_own_box(
    change: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def other(event: Any, *_: Any) -> str:
        return event.no_longer_there

    match change:
        case "no hook":
            monkeypatch.setattr(options, "on_parse_error", None)
        case "other events":
            monkeypatch.setattr(options, "_line", other)
        case _:
            monkeypatch.setattr(options, "_line", lambda _, *rest: line(object(), *rest))
    line = options._line
    assert tiny.multigen(["sample", "--modle", "x"]) == 2
    printed = capsys.readouterr().err
    assert "--modle" in printed and "multigen sample --help" in printed and printed.count("\n") > 3


@pytest.mark.slow
def test_the_real_commands_and_a_file_of_ones_own(tmp_path: Path) -> None:
    assert python("-m", "multigen", "cp", "dcgan", "my_gan.py", cwd=tmp_path).returncode == 0
    for words in (["-m", "multigen.recipes.dcgan"], ["my_gan.py"]):
        done = python(*words, "--stepz", "3", cwd=tmp_path)
        line = f"error: no option '--stepz' (nearest: --steps); python {' '.join(words)} --help lists all\n"
        assert (done.returncode, done.stdout, done.stderr) == (2, "", line)
