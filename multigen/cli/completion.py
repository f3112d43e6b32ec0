"""`multigen completion SHELL`: a script by which a shell completes verbs, their options, methods and presets.

The script is static: it holds what the verbs' help says as it is printed, and no completion starts Python.
"""

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Annotated, Literal

import tyro

from multigen.catalogue import METHODS
from multigen.cli import VERBS
from multigen.config import Run
from multigen.runs.options import cli, flags_in, help_of

__all__ = ["run"]

TRAIN = ("--data", "--steps", "--seeds", "--config", "--skip-bad", "--traceback")
"""Options that all methods have, besides those of `multigen.config.Run`; a method's own would take torch to be known."""

BASH = """\
_multigen() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} words=
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        words="{verbs}"
    elif [[ $word == -* ]]; then
        case ${{COMP_WORDS[1]}} in
{options}
        esac
    elif [[ ${{COMP_WORDS[1]}} == train ]] && ((COMP_CWORD == 2)); then
        words="{methods}"
    elif [[ ${{COMP_WORDS[1]}} == train ]] && ((COMP_CWORD == 3)); then
        case ${{COMP_WORDS[2]}} in
{presets}
        esac
    elif [[ ${{COMP_WORDS[1]}} == completion ]]; then
        words="bash zsh fish"
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _multigen multigen
"""

ZSH = """\
(( $+functions[compdef] )) || {{ autoload -Uz compinit && compinit; }}
autoload -Uz bashcompinit && bashcompinit
"""
"""What zsh needs to use the script of bash."""


def run(args: list[str]) -> None:
    """Prints a script."""

    def completion(
        shell: Annotated[Literal["bash", "zsh", "fish"], tyro.conf.Positional, tyro.conf.arg(metavar="SHELL")],
    ) -> None:
        """Prints the script that completes `multigen` in a shell.

        For bash: multigen completion bash > ~/.local/share/bash-completion/completions/multigen. For zsh: multigen completion zsh
        > ~/.multigen.zsh, and `source ~/.multigen.zsh` in .zshrc. For fish: multigen completion fish >
        ~/.config/fish/completions/multigen.fish. Print it anew after an update.

        Args:
            shell: bash, zsh or fish.
        """
        print(_fish() if shell == "fish" else ("" if shell == "bash" else ZSH) + _bash(), end="")

    cli(completion, "multigen completion", args)


def options_of(verb: str) -> list[str]:
    """The options of a verb, by its help; of `train` those that all methods have."""
    if verb == "train":
        return [*flags_in(help_of(lambda: cli(Run, "multigen train", ["--help"]))), *TRAIN]
    return [*flags_in(help_of(lambda: import_module(f"multigen.cli.{verb}").run(["--help"]))), "--traceback"]


def _bash() -> str:
    def cases(words: Mapping[str, Iterable[str]]) -> str:
        return "\n".join(f'            {name}) words="{" ".join(each)}" ;;' for name, each in words.items())

    return BASH.format(
        verbs=" ".join(VERBS),
        methods=" ".join(METHODS),
        options=cases({verb: options_of(verb) for verb in VERBS}),
        presets=cases({method.name: method.presets for method in METHODS.values()}),
    )


def _fish() -> str:
    lines = []

    def offer(position: str, words: str, rest: str = "") -> None:
        lines.append(f"complete -c multigen -n '{position}' {words}{rest}")

    for verb, what in VERBS.items():
        about = what.partition(":")[0].replace("'", "\\'")
        offer("__fish_is_nth_token 1", f"-f -a {verb}", f" -d '{about}'")
        names = [f"{'-l' if option.startswith('--') else '-s'} {option.lstrip('-')}" for option in options_of(verb)]
        offer(f"__fish_seen_subcommand_from {verb}", " ".join(names))
    for method in METHODS.values():
        offer(
            "__fish_is_nth_token 2; and __fish_seen_subcommand_from train",
            f"-f -a {method.name}",
            f" -d '{method.about}'",
        )
        position = f"__fish_is_nth_token 3; and __fish_seen_subcommand_from {method.name}"
        offer(position, f"-f -a '{' '.join(method.presets)}'")
    offer("__fish_is_nth_token 2; and __fish_seen_subcommand_from completion", "-f -a 'bash zsh fish'")
    return "\n".join(lines) + "\n"
