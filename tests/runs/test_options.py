"""A mistake in the options of a command: standard error names it and what is nearest; exit code 2,
no traceback."""

import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

from multigen.catalogue import METHODS
from multigen.cli import VERBS
from multigen.engine import Run
from multigen.recipes import dcgan, seqgan
from multigen.runs.flags import COMMON, GROUPS, read_flags
from multigen.runs.options import cli, function_of
from multigen.runs.runner import main
from tests import tiny
from tests.tiny import python

MISTAKES = {
    # options that do not exist
    "misspelt": ("sample --modle x", "--modle", "--model RUN"),
    "misspelt, with a value": ("sample --model=r --sede 3", "--sede", "--seed INT"),
    "misspelt, joined to its value": ("sample --model=r --sede=3", "--sede=3"),
    "cut short": ("sample --model r --trunc 1", "--trunc", "--truncation FLOAT"),
    "with an underscore": ("evaluate --real r --fake f --skip_bda", "--skip_bda", "--skip-bad"),
    "like none": ("ls --zzz", "--zzz"),
    "several": ("ls --jsno --zzz", "--jsno", "--zzz", "--json"),
    "short": ("ls -q", "-q"),
    "of another verb": ("write --model r --truncation 1", "--truncation"),
    # what is missing
    "no model": ("sample -n 3", "Missing from multigen sample", "--model RUN"),
    "two missing": ("interpolate", "--model", "--out"),
    "a model by its place": ("sample runs/x", "--model RUN", "runs/x"),
    "no word": ("cp dcgan", "FILE.py"),
    "no value": ("sample --model", "'--model'"),
    "an option for a value": ("sample --model --seed 3", "'--model'"),
    "too few values": ("train dcgan --betas 1 --seed 3", "'--betas'", "2 values"),
    # values that cannot be used
    "none of the choices": ("train dcgan --precision bf61", "'bf61'", "--precision", "'fp64'"),
    "none of the words": ("completion tcsh", "'tcsh'", "'fish'"),
    # words too many
    "a word too many": ("report a b", "b"),
    "a value of a switch": ("ls --json true", "true"),
    "a preset that is not first": ("train dcgan --steps 3 tiny", "tiny"),
}


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    """What stands in tyro's box, on one line."""
    out, err = capsys.readouterr()
    assert out == "" and "Traceback" not in err
    return " ".join(err.translate(dict.fromkeys(map(ord, "╭╮╰╯│─"), " ")).split())


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    words, *parts = MISTAKES[name]
    assert tiny.multigen(words.split()) == 2
    text = printed(capsys)
    command = "multigen " + " ".join(words.split()[: 2 if words.startswith("train") else 1])
    for part in (*parts, command, "--help"):
        assert part in text


@pytest.mark.parametrize("verb", sorted(VERBS.keys() - {"train"}))
def test_every_verb_names_an_option_that_it_lacks(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = function_of(import_module(f"multigen.cli.{verb}").run)
    assert callable(command) and command.__doc__
    required = {"cp": ["dcgan", "a.py"], "completion": ["bash"]}.get(verb, ["word"])
    assert tiny.multigen([verb, *required, "--nonsuch", "3"]) == 2
    text = printed(capsys)
    assert "--nonsuch" in text and f"multigen {verb} --help" in text


def test_a_recipe_goes_by_its_own_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.recipe(["tiny", "--stepz", "3"]) == 2
    text = printed(capsys)
    assert "--stepz" in text and "--steps INT" in text and "python -m multigen.recipes.srgan" in text


@pytest.mark.parametrize(
    ("recipe", "option", "nearest"), [(dcgan, "--lattent", "--latent"), (seqgan, "--pattience", "--patience")]
)
def test_the_nearest_options_of_a_recipe_are_its_own(
    recipe, option: str, nearest: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["recipe", option])
    with pytest.raises(SystemExit, match="2"):
        main(recipe.TRAINER, recipe.PRESETS)
    assert f"{nearest} INT" in printed(capsys)


def test_a_value_that_begins_with_a_dash_can_be_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.multigen(["write", "--model", tmp_path / "none", "--prompt", "-abc"]) == 2
    assert "'--prompt'" in printed(capsys)
    assert tiny.multigen(["write", "--model", tmp_path / "none", "--prompt=-abc"]) == 2
    assert "none is not a folder" in printed(capsys)


def test_only_commands_have_a_function() -> None:
    with pytest.raises(TypeError, match=r"test_options\.run does not"):
        function_of(run)


def run(words: list[str]) -> None:
    assert words


@pytest.mark.slow
def test_the_real_commands_and_a_file_of_ones_own(tmp_path: Path) -> None:
    assert python("-m", "multigen", "cp", "dcgan", "my_gan.py", cwd=tmp_path).returncode == 0
    for words in (["-m", "multigen.recipes.dcgan"], ["my_gan.py"]):
        done = python(*words, "--stepz", "3", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "") and "Traceback" not in done.stderr
        assert "--stepz" in done.stderr and "--steps INT" in done.stderr and f"python {' '.join(words)}" in done.stderr


def test_help_shows_the_most_used_flags_first_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    from multigen.recipes import dcgan
    from multigen.runs.runner import parse

    with pytest.raises(SystemExit):
        parse(["--help"], "dcgan", dcgan.PRESETS)
    text = capsys.readouterr().out
    groups = re.findall(r"(\w+) options", text)
    assert groups == ["common", "data", "networks", "optimisation", "evaluation", "run"]
    common = text[text.index("common options") : text.index("data options")]
    flags = re.findall(r"^\W*--([a-z][a-z-]*)", common, re.MULTILINE)
    assert flags[:3] == ["data", "size", "conditional"] and len(flags) == 10
    assert "--from" in text and "--start" not in text


def test_every_setting_has_a_flag_and_a_word_of_documentation() -> None:
    from multigen.config import Run, field_docs

    for name, method in METHODS.items():
        presets = import_module(method.module).PRESETS
        for settings in (presets["tiny"], Run()):
            missing = vars(settings).keys() - field_docs(type(settings)).keys()
            assert missing == set(), f"{name}: no documentation of {missing}"


def test_every_setting_has_a_group_and_every_name_in_a_group_is_a_setting() -> None:
    settings = {name for method in METHODS.values() for name in vars(import_module(method.module).PRESETS["tiny"])}
    grouped = [name for names in GROUPS.values() for name in names]
    common = [name for name in COMMON if name not in vars(Run())]
    assert sorted([*grouped, *common]) == sorted(settings)  # each once


def test_settings_of_a_method_of_ones_own_are_shown_apart(capsys: pytest.CaptureFixture[str]) -> None:
    @dataclass(frozen=True)
    class Config:
        steps: int = 3
        temper: float = 0.5
        """How it begins."""

    assert read_flags(Config(), Run(), "mine", ["--temper", "2"], ["laptop"])[0] == Config(temper=2.0)
    with pytest.raises(SystemExit):
        read_flags(Config(), Run(), "mine", ["--help"], ["laptop"])
    text = capsys.readouterr().out
    assert re.findall(r"(\w+) options", text) == ["common", "other", "run"]
    assert "How it begins." in text[text.index("other options") : text.index("run options")]


def test_help_names_values_plainly_and_breaks_no_line_where_the_source_does(capsys: pytest.CaptureFixture[str]) -> None:
    def verb(size: int | None = None, out: Path | None = None) -> None:
        """Does it.

        Args:
            size: The first half of a sentence,
                and its second.
        """

    with pytest.raises(SystemExit):
        cli(verb, "multigen verb", ["--help"])
    printed = capsys.readouterr().out
    assert "--size INT" in printed and "--out PATH" in printed
    assert "The first half of a sentence, and its second." in printed
