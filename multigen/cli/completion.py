"""`multigen completion SHELL`: prints a shell's completion script for verbs, their options, methods
and presets.

tyro generates the script from the verbs' functions. It contains all words, so completion imports
neither multigen nor torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, make_dataclass
from importlib import import_module
from typing import Annotated, Literal, Union

import tyro
from tyro.extras import SubcommandApp

from multigen.catalogue import METHODS
from multigen.cli import VERBS
from multigen.console import show
from multigen.runs.options import cli, function_of

__all__ = ["run"]

FILES = {
    "bash": """
_multigen() { _tyro_multigen; [[ -n ${COMPREPLY[*]} ]] || COMPREPLY=(); }
complete -o default -F _multigen multigen
""",
    "zsh": "\n(( compstate[nmatches] )) || _files\n",
    "fish": "\ncomplete --command multigen --condition 'test (count (commandline -opc)) -gt 1' --force-files\n",
}
"""Additions to each script: file names complete where it has no word to offer (images to upscale, a
run to report on)."""


def run(args: list[str]) -> None:
    """Prints a script."""

    def completion(
        shell: Annotated[Literal["bash", "zsh", "fish"], tyro.conf.Positional, tyro.conf.arg(metavar="SHELL")],
    ) -> None:
        """Prints the script that completes `multigen` in a shell.

        For bash: multigen completion bash > ~/.local/share/bash-completion/completions/multigen.
        For zsh: multigen completion zsh > _multigen, a file in $fpath. For fish: multigen
        completion fish > ~/.config/fish/completions/multigen.fish. Print it again after an update.

        Args:
            shell: bash, zsh or fish.
        """
        try:
            _verbs().cli(
                prog="multigen",
                args=["--tyro-write-completion", shell, "-"],
                config=[tyro.conf.OmitArgPrefixes],
            )
        except SystemExit as end:  # tyro exits after printing the script
            if end.code:
                raise
        show(FILES[shell].removesuffix("\n"), lines=True)

    cli(completion, "multigen completion", args)


@dataclass(kw_only=True)
class Training:
    """The most used options of every method. All options of all methods would make a script of a
    megabyte."""

    data: str = ""
    out: str = ""
    config: str = ""
    resume: str = ""
    start: Annotated[str, tyro.conf.arg(name="from")] = ""
    steps: int = 0
    minutes: float = 0
    seed: int = 0
    seeds: int = 0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    skip_bad: bool = False


@dataclass
class Nothing:
    """No options."""


def _verbs() -> SubcommandApp:
    """The verbs of `multigen` as tyro's subcommands; presets and names of shells are subcommands
    too."""
    verbs, train = SubcommandApp(), SubcommandApp()
    for method in METHODS.values():
        train.command(name=method.name)(_with_choices(Training, method.presets))
    for verb in VERBS:
        if verb == "train":
            verbs.command(train, name=verb)
        elif verb == "completion":
            verbs.command(name=verb)(_with_choices(Nothing, tuple(FILES)))
        else:
            verbs.command(name=verb)(function_of(import_module(f"multigen.cli.{verb}").run))
    return verbs


def _with_choices(options: type, words: Sequence[str]) -> type:
    """Options that may follow one of the words, or stand alone."""
    choices = tuple(Annotated[options, tyro.conf.subcommand(word)] for word in words)
    return make_dataclass("Choices", [("choice", Union[choices])], bases=(options,), kw_only=True)  # noqa: UP007
