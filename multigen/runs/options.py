"""Command-line options: tyro derives them from a function's parameters or a configuration's fields,
and reports mistakes."""

import contextlib
import functools
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from multigen.console import printable
from multigen.storage.files import expanded

__all__ = ["Code", "Model", "Overwrite", "cli", "function_of"]

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
    if (words := [printable(word) for word in args]) != list(args):
        _check(f, args, words, options)
    return tyro.cli(f, args=args, **options)


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
