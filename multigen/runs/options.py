"""Command-line options: tyro derives them from a function's parameters or a configuration's fields,
and reports mistakes."""

import contextlib
import functools
import inspect
import io
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from multigen.console import printable
from multigen.errors import ConfigError
from multigen.storage.files import expanded

__all__ = ["Code", "Device", "Json", "Model", "Overwrite", "SkipBad", "check_words", "cli", "function_of"]

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
SkipBad = Annotated[bool, tyro.conf.arg(help="Skip files that cannot be used, and say which and why.")]
"""Of verbs that read many files."""

HINTS = {
    "--steps N (a step is a batch), or --minutes N": "epochs epoch num-epochs iterations max-steps num-steps n-steps",
    "--device cuda, or cuda:N": "gpu gpus cuda use-gpu use-cuda gpu-id gpu-ids",
    "--device cpu": "cpu no-cuda no-gpu use-cpu",
    "--device mps": "mps",
    "--lr": "learning-rate lr-g",
    "--size": "image-size img-size resolution",
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


class _Function(Exception):
    """Carries the function of a command from `cli` to `function_of`."""


def cli(f: Any, command: str, args: Sequence[str], **more: Any) -> Any:
    """The result of `tyro.cli` for `f`, a function or a class, on the arguments after `command`.

    For a mistake in the arguments, tyro prints it on standard error, with the nearest options, and
    exits with code 2.
    """
    if list(args) == [FUNCTION]:
        raise _Function(f)
    options = {
        "registry": PATHS,
        **more,
        "prog": printable(more.get("prog", command)),
    }  # it may be a user's file
    if not isinstance(f, type):
        check_words(args, {name.replace("_", "-") for name in inspect.signature(f).parameters})
    if (words := [printable(word) for word in args]) != list(args):
        _check(f, args, words, options)
    return tyro.cli(f, args=args, **options)


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
