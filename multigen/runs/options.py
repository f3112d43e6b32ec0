"""Command-line options: tyro derives them from a function's parameters or a configuration's fields,
and reports mistakes."""

import contextlib
import functools
import inspect
import io
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tyro

from multigen.console import printable
from multigen.errors import ConfigError
from multigen.storage.files import expanded

__all__ = [
    "Code",
    "Device",
    "Direction",
    "Json",
    "Model",
    "Overwrite",
    "SkipBad",
    "check_words",
    "cli",
    "function_of",
    "number_spec",
]

Model = Annotated[
    str,
    tyro.conf.arg(
        metavar="RUN",
        help="A run or its model folder, a folder of runs (uses the newest), or hf:OWNER/NAME.",
    ),
]
"""Option of verbs that use a model."""
Overwrite = Annotated[
    bool,
    tyro.conf.arg(help="Replace any existing file; without it only earlier results are replaced."),
]
"""Option of verbs that write files."""
Code = Annotated[
    str,
    tyro.conf.arg(metavar="FILE.py", help="Your own file that trained the model, if one did (multigen cp); it is run."),
]
"""Of verbs that use a model."""
Device = Annotated[str, tyro.conf.arg(help="Where to compute: auto (a GPU if there is one), cpu, cuda, cuda:N, mps.")]
"""Of verbs that compute."""
Json = Annotated[bool, tyro.conf.arg(help="Print the results as one JSON object, in place of sentences or tables.")]
"""Of verbs that have results for programs."""
Direction = Annotated[
    Literal["AB", "BA"] | None,
    tyro.conf.arg(
        metavar="AB|BA",
        help="Of translation: from A to B, or from B to A; without it the one that the model was trained for, or by which it "
        "was chosen.",
    ),
]
"""Of verbs that use one direction of a translation model."""
SkipBad = Annotated[bool, tyro.conf.arg(help="Skip files that cannot be used, and say which and why.")]
"""Of verbs that read many files."""

HINTS = {
    "--steps N (a step is a batch), or --minutes N": "epochs epoch num-epochs iterations max-steps num-steps n-steps",
    "--device cuda, or cuda:N": "gpu gpus cuda use-gpu use-cuda gpu-id gpu-ids",
    "--device cpu": "cpu no-cuda no-gpu use-cpu",
    "--device mps": "mps",
    "--lr": "learning-rate lr-g",
    "--size": "image-size img-size resolution",
    "--size N, whose images are squares (stylegan2, fastgan and projected have --image-width)": "image-width image-height",
    "--out": "output-dir output out-dir outdir save-dir log-dir logdir",
    "--precision fp16": "fp16 half",
    "--precision auto, which measures bf16": "amp mixed-precision bf16 use-amp autocast",
    "--batch": "batch-size bs",
    "--workers": "num-workers",
    "--data": "dataset data-dir data-path dataroot dataset-path train-dir",
    "--resume RUN": "checkpoint ckpt resume-from continue",
    "--keep": "max-checkpoints",
}
"""Our option -> its names in other tools."""
FUNCTION = "--function"
PATHS = tyro.constructors.ConstructorRegistry()


@PATHS.primitive_rule
def _expanded_path(
    info: tyro.constructors.PrimitiveTypeInfo,
) -> tyro.constructors.PrimitiveConstructorSpec[Path] | None:
    """Paths with ~ expanded to the home folder also where no shell does so, as in --out=~/up."""
    if info.type is not Path:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH",
        instance_from_str=lambda words: expanded(words[0]),
        is_instance=lambda value: isinstance(value, Path),
        str_from_instance=lambda path: [str(path)],
    )


@PATHS.primitive_rule
def _number(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
    """Numbers, of which a whole one may be written as 1e3."""
    return number_spec(info.type) if info.type in (int, float) else None


@PATHS.primitive_rule
def _optional(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
    """A value that may be left out is named like one that may not: `--tile INT`, not
    `--tile {None}|INT`."""
    kinds = [kind for kind in get_args(info.type) if kind is not type(None)]
    if len(kinds) != 1 or type(None) not in get_args(info.type) or kinds[0] not in (int, float, str, Path):
        return None
    kind = kinds[0]
    read = {str: str, Path: expanded}.get(kind, functools.partial(_read_number, kind=kind))
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar={int: "INT", float: "FLOAT", str: "STR", Path: "PATH"}[kind],
        instance_from_str=lambda words: read(words[0]),
        is_instance=lambda value: value is None or isinstance(value, (kind, int) if kind is float else kind),
        str_from_instance=lambda value: [str(value)],
    )


def number_spec(kind: type, most: int = 1) -> tyro.constructors.PrimitiveConstructorSpec[Any]:
    """How tyro reads an int or a float; with `most` 2, a pair of them, or one that stands for
    both."""

    def read(words: list[str]) -> Any:
        result = [_read_number(word, kind) for word in words]
        return result[0] if most == 1 else tuple(result * (most // len(result)))

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1 if most == 1 else (1, most),
        metavar=" ".join([kind.__name__.upper(), *[f"[{kind.__name__.upper()}]"] * (most - 1)]),
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, tuple) if most > 1 else isinstance(value, (int, kind)),
        str_from_instance=lambda value: list(map(str, value)) if most > 1 else [str(value)],
    )


def _read_number(word: str, kind: type) -> Any:
    try:
        if kind is float:
            return float(word)
        if re.fullmatch(r"[-+]?\d[\d_]*", word):
            return int(word)
        exact = Decimal(word if len(word) < 30 else "nan")
        if exact.is_finite() and abs(exact.adjusted()) < 30 and exact == exact.to_integral_value():
            return int(exact)
    except (ValueError, InvalidOperation):
        pass
    raise _NoNumber(word, kind)


class _NoNumber(Exception):
    """Carries a word that is no number from where tyro reads it to `cli`, which knows its
    option."""


class _Function(Exception):
    """Carries the function of a command from `cli` to `function_of`."""


def cli(f: Any, command: str, args: Sequence[str], **more: Any) -> Any:
    """The result of `tyro.cli` for `f`, a function or a class, on the arguments after `command`.

    For a mistake in the arguments, tyro prints it on standard error, with the nearest options, and
    exits with code 2.
    """
    if not isinstance(f, type):
        f.__doc__ = _descriptions_joined(inspect.cleandoc(f.__doc__ or ""))
    if list(args) == [FUNCTION]:
        raise _Function(f)
    options = {
        "registry": PATHS,
        **more,
        "prog": printable(more.get("prog", command)),
    }  # it may be a user's file
    if not isinstance(f, type):
        check_words(args, {name.replace("_", "-") for name in inspect.signature(f).parameters})
    try:
        if (words := [printable(word) for word in args]) != list(args):
            _check(f, args, words, options)
        return tyro.cli(f, args=args, **options)
    except _NoNumber as error:
        raise ConfigError(_no_number(args, *error.args)) from None


def _descriptions_joined(doc: str) -> str:
    """A docstring with the description of each argument on one line: tyro would break the help
    where the source does."""
    return re.sub(r"\n {8,}(?=\S)", " ", doc)


def _no_number(words: Sequence[str], word: str, kind: type) -> str:
    """The error of a word in the place of a number, with the option before it."""
    before = [option for option, value in pairwise(words) if value == word and option.startswith("-")]
    inside = [option for option in words if option.startswith("-") and option.endswith(f"={word}")]
    where = f"{before[0]} {word}" if before else inside[0] if inside else word
    return f"{where}: expected {'a whole number, such as 10 or 1e3' if kind is int else 'a number, such as 0.5'}"


def check_words(args: Sequence[str], own_options: Collection[str]) -> None:
    """Raises ConfigError for an option of other tools that has another name among `own_options`."""
    for word in args:
        option = word.partition("=")[0]
        name = option.removeprefix("--").replace("_", "-").lower()
        hint = next((option_here for option_here, words in HINTS.items() if name in words.split()), "")
        exists = hint.removeprefix("--").partition(" ")[0] in own_options
        if option.startswith("--") and exists and name not in own_options:
            raise ConfigError(f"{option}: no such option; expected {hint}")


def _check(f: Any, args: Sequence[str], words: Sequence[str], options: Mapping[str, Any]) -> None:
    """Exits as `tyro.cli` does where it would print something, quoting `words`, the printable form
    of `args`."""

    @functools.wraps(f, updated=())
    def reads(*_: Any, **__: Any) -> None: ...

    parsed = f if isinstance(f, type) else reads  # a function must not run yet
    unseen = io.StringIO()
    try:
        with contextlib.redirect_stdout(unseen), contextlib.redirect_stderr(unseen):
            tyro.cli(parsed, args=args, **options)
    except SystemExit:
        tyro.cli(parsed, args=words, **options)
        raise


def function_of(run: Callable[[list[str]], None]) -> Callable[..., None]:
    """The function that a verb's `run` passes to `cli`: its parameters are the verb's options."""
    try:
        run([FUNCTION])
    except _Function as carried:
        return carried.args[0]
    raise TypeError(f"{run.__module__}.run does not give its words to `cli`")
