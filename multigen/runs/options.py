"""The options of a command: tyro reads them, and a mistake in them is one line, as all errors are."""

import contextlib
import difflib
import io
import itertools
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import tyro

from multigen.errors import ConfigError

try:
    from tyro._errors import on_parse_error
except ImportError:  # not every version of tyro has it
    on_parse_error = None

__all__ = ["Code", "Model", "cli", "flags_in", "help_of"]

Model = Annotated[
    str,
    tyro.conf.arg(
        metavar="RUN",
        help="A run or its model folder, a folder of runs (the newest is taken), or hf:OWNER/NAME.",
    ),
]
"""Of verbs that use a model."""
Code = Annotated[
    str,
    tyro.conf.arg(metavar="FILE.py", help="Your own file that trained the model, if one did (multigen cp); it is run."),
]

KINDS = {"INT": "whole number", "FLOAT": "number", "STR": "text", "PATH": "path"}
"""tyro's short forms of types, in words."""
OPTION = re.compile(r"--?[A-Za-z]")
NEAREST = 3  # options that are named instead of an unknown one, at most


def cli(f: Any, command: str, args: Sequence[str], **more: Any) -> Any:
    """What `tyro.cli` makes of `f`, a function that it calls or a class, from the words behind `command`.

    Raises ConfigError for a mistake in the words. What is wrong with them tyro tells a hook that is not part of its public
    interface; where its version has none, or tells something else than expected, its own box is shown, which ends with the same
    exit code.
    """
    more = {"prog": command, **more}

    def refuse(event: Any) -> None:
        try:
            line = _line(event, args, lambda: help_of(lambda: tyro.cli(f, args=["--help"], **more)))
        except Exception:  # the event is not what it was: tyro goes on and shows its box
            return
        if line:
            raise ConfigError(" ".join(f"{line}; {command} --help lists all".split()))

    with on_parse_error(refuse) if on_parse_error else contextlib.nullcontext():
        return tyro.cli(f, args=args, **more)


def help_of(show: Callable[[], object]) -> str:
    """The help text that a function prints before it exits."""
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        show()
    return printed.getvalue()


def flags_in(text: str) -> list[str]:
    """Names of options in a help text, where each option begins a line behind its frame: "| -n INT, --n INT  How many."."""
    lines = re.findall(r"^..(-.*?)(?:  |$)", text, re.MULTILINE)
    return [flag for line in lines for flag in re.findall(r"(?<!\S)--?[a-z][a-z0-9-]*", line)]


def _line(event: Any, words: Sequence[str], show_help: Callable[[], str]) -> str:
    """What is wrong, as a line without the remedy; "" for what is not known here."""
    match type(event).__name__:
        case "UnrecognizedArgs":
            return _unknown(event.tokens, show_help) or _surplus(event.tokens, show_help)
        case "MissingArgs":
            strangers = event.unrecognized_tokens
            return _unknown(strangers, show_help) or _missing(event.missing_arguments, strangers, show_help)
        case "InvalidChoice":
            expected = ", ".join(choice or "''" for choice in event.choices)
            return f"{_name(event.argument)} {event.value!r}: expected one of {expected}"
        case "BadValue" if event.argument.is_positional():  # an option came in its place
            return _unknown(words, show_help)
        case "BadValue" if event.reason == "too_few_values":
            name = _name(event.argument)
            dash = f", one that begins with a dash as {name}=VALUE" if _dash_follows(event, words) else ""
            given = _given(event.argument, words)
            given += "" if " " in given else " without a value"
            return f"{given}: expected {_expected(event.argument)}{dash}"
        case "InstantiationFailure" if event.argument is None:
            return str(event.message)
        case "InstantiationFailure":
            return f"{_given(event.argument, words)}: expected {_expected(event.argument)}"
    return ""


def _unknown(tokens: Sequence[str], show_help: Callable[[], str]) -> str:
    """Options that there are not, each with those like it."""
    options = [token.partition("=")[0] for token in tokens if OPTION.match(token)]
    known = {flag.lstrip("-"): flag for flag in flags_in(show_help())} if options else {}
    parts = []
    for option in options:
        name = option.lstrip("-").replace("_", "-")
        if name in known:
            continue
        begun = [each for each in known if len(name) > 1 and each.startswith(name)]
        near = list(dict.fromkeys([*begun, *difflib.get_close_matches(name, known)]))[:NEAREST]
        parts.append(f"{option!r}" + (f" (nearest: {', '.join(known[each] for each in near)})" if near else ""))
    return f"no option {', '.join(parts)}" if parts else ""


def _surplus(tokens: Sequence[str], show_help: Callable[[], str]) -> str:
    return f"{_quoted(tokens)} belongs to no option; expected {_usage(show_help())}"


def _missing(missing: Sequence[Any], strangers: Sequence[str], show_help: Callable[[], str]) -> str:
    arguments = [each.arg for each in missing]
    line = f"no {' and no '.join(map(_name, arguments))} given"
    if strangers:
        line += f", and {_quoted(strangers)} belongs to no option"
    if any(each.is_positional() for each in arguments):
        return f"{line}; expected {_usage(show_help())}"
    return f"{line}; expected {' '.join(f'{_name(each)} {each.lowered.metavar}' for each in arguments)}"


def _quoted(tokens: Sequence[str]) -> str:
    return repr(" ".join(tokens))


def _usage(text: str) -> str:
    """The usage of a help text, without the option for help."""
    return text.partition("\n\n")[0].removeprefix("usage: ").replace("[-h] ", "")


def _name(argument: Any) -> str:
    """--model, or FILE.py of a positional one; the long name where there are two."""
    return str(argument.lowered.metavar) if argument.is_positional() else argument.lowered.name_or_flags[-1]


def _given(argument: Any, words: Sequence[str]) -> str:
    """An option as it was last given, with its values: "--n abc"; its name where it is not found."""
    names, count = argument.lowered.name_or_flags, argument.lowered.nargs
    places = [i for i, word in enumerate(words) if word.partition("=")[0].replace("_", "-") in names]
    if not places:
        return _name(argument)
    first, *rest = words[places[-1] :]
    values = [*first.split("=", 1), *itertools.takewhile(lambda word: not OPTION.match(word), rest)]
    return " ".join(values[: count + 1] if isinstance(count, int) else values)


def _dash_follows(event: Any, words: Sequence[str]) -> bool:
    """Whether what stands where the value should be looks like an option, and may be meant as the value."""
    names = event.argument.lowered.name_or_flags
    return any(word in names and OPTION.match(after) for word, after in itertools.pairwise(words))


def _expected(argument: Any) -> str:
    """What an argument takes, in words, of tyro's form of it: INT, FLOAT FLOAT, {None}|PATH, [STR [STR ...]]."""
    form, count = str(argument.lowered.metavar), argument.lowered.nargs
    kinds = [KINDS[short] for short in re.findall("|".join(KINDS), form)]
    if len(set(kinds)) != 1:
        return form
    if len(kinds) > 1:
        return f"{count} {kinds[0]}s" if isinstance(count, int) else f"{kinds[0]}s: {form}"
    return f"a {kinds[0]}" + (" or None" if "{None}" in form else "")
