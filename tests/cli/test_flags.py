"""Options that several verbs share: each verb has those of them that apply to it, under one name."""

import re

import pytest

from multigen.cli import VERBS
from tests import tiny

SHARED = {"--model", "--device", "--out", "--overwrite", "--json", "--skip-bad", "--seed"}

TABLE = {
    "bench": "--device --out --overwrite --json",
    "compare": "--out --overwrite --json --seed",
    "completion": "",
    "cp": "",
    "doctor": "--json",
    "evaluate": "--device --out --overwrite --json --skip-bad",
    "export": "--model --out --overwrite",
    "inspect": "--json",
    "interpolate": "--model --out --overwrite --seed",
    "ls": "--json",
    "report": "--out --overwrite",
    "sample": "--model --out --overwrite --seed",
    "train": "--device --out --skip-bad --seed",
    "upscale": "--model --out --overwrite --skip-bad",
    "write": "--model --out --overwrite --json --seed",
}
"""Verb -> what it has of the options that are shared."""


def test_the_table_has_every_verb() -> None:
    assert list(TABLE) == list(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_has_the_options_that_apply_to_it(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "dcgan"] if verb == "train" else [verb]
    assert tiny.multigen([*words, "--help"]) == 0
    lines = re.findall(r"^[^\w\n-]*(-.*)", capsys.readouterr().out, re.M)  # those that an option begins
    options = {word for line in lines for word in re.findall(r"(?<![\w-])--[a-z-]+", line)}
    assert "--help" in options or verb == "train"
    assert options & SHARED == set(TABLE[verb].split())
