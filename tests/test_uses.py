"""The one table of how models are used is what trainers, models and the command line have."""

import ast
import shlex
import subprocess
import sys

import pytest

from multigen.audio.synthesis.sampler import ImageSampler as SoundSampler
from multigen.catalogue import METHODS, USES, Use
from multigen.cli import VERBS
from multigen.image.restoration.upscaler import Upscaler
from multigen.image.synthesis.sampler import ImageSampler as PictureSampler
from multigen.text.synthesis.writer import Writer

MODELS = {"pictures": PictureSampler, "photographs": Upscaler, "texts": Writer, "sounds": SoundSampler}
"""Noun -> class of what `multigen.load` gives."""


def test_every_method_and_every_model_has_its_use() -> None:
    assert set(USES) == {method.noun for method in METHODS.values()} == set(MODELS)
    assert all(kind.noun == noun for noun, kind in MODELS.items())


@pytest.mark.parametrize("noun", USES)
def test_a_command_and_lines_that_there_are(noun: str) -> None:
    use = USES[noun]
    program, verb, *words = shlex.split(use.shell("runs/my run", "mine/my gan.py"))
    assert program == "multigen" and verb in VERBS
    assert words[words.index("--model") + 1] == "runs/my run" and words[words.index("--code") + 1] == "mine/my gan.py"
    assert "--code" not in use.shell("runs/x")
    # What the lines call on the model is there and takes what it is given.
    tree = ast.parse(use.lines("runs/x", 'my "gan".py'))
    (call,) = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func).startswith("model.")]
    assert isinstance(call.func, ast.Attribute)
    names = getattr(MODELS[noun], call.func.attr).__code__.co_varnames
    assert {str(keyword.arg) for keyword in call.keywords} <= set(names)
    (load,) = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "multigen.load"]
    assert [ast.literal_eval(load.args[0]), ast.literal_eval(load.keywords[0].value)] == ["runs/x", 'my "gan".py']
    assert use.lines("runs/x").endswith(f"  # {use.gives}") and "code=" not in use.lines("runs/x")


def test_of_an_unknown_kind_loading_alone_is_known() -> None:
    assert Use().shell("runs/x") == ""
    assert Use().lines("runs/x", "my_gan.py") == (
        'import multigen\n\nmodel = multigen.load("runs/x", code="my_gan.py")'
    )


def test_the_table_needs_no_torch() -> None:
    code = "import sys, multigen.catalogue; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"torch", "numpy", "tyro", "rich"}.isdisjoint(done.stdout.split())
