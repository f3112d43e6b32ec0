"""`multigen write --model RUN --prompt "The old fox" -n 5`: generates texts with a trained model,
with or without a prompt, or answers to messages (`--chat`)."""

import re
import sys
from pathlib import Path
from typing import Annotated, Any

import tyro

from multigen.cli.loaded import load_for
from multigen.cli.output import print_json
from multigen.console import counted, say, show, show_text
from multigen.errors import ConfigError, DataError
from multigen.runs.options import Code, Device, Json, Model, Overwrite, cli
from multigen.storage.files import write_whole, writing
from multigen.storage.output import check_targets
from multigen.storage.reading import JSON, read_bounded

__all__ = ["run"]


def run(args: list[str]) -> None:
    """Writes texts."""

    def write(
        model: Model,
        prompt: str = "",
        prompts: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
        n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 1,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
        length: int = 0,
        label: Annotated[str, tyro.conf.arg(name="class")] = "",
        stop: Annotated[tuple[str, ...], tyro.conf.arg(metavar="TEXT")] = (),
        chat: bool = False,
        out: Path | None = None,
        overwrite: Overwrite = False,
        device: Device = "auto",
        json: Json = False,
        code: Code = "",
    ) -> None:
        """Continues a prompt, or writes whole texts, with a trained model; texts are separated by
        blank lines.

        Args:
            prompt: Beginning of all texts.
            prompts: A text file of prompts, one per line.
            n: How many, of each prompt.
            temperature: Below 1 more probable and less varied texts; 0: always the most probable
                token.
            top_k: Sample from the k most probable tokens; 0: from all.
            top_p: Nucleus sampling: sample from the smallest set of tokens with this total
                probability; 1: from all.
            seed: The same seed gives the same texts; a larger n adds to them.
            length: Maximum tokens of a text, including the prompt; 0: as in training.
            label: The class of all texts, by name; if empty, the model draws one for each text.
            stop: A text ends before the first of these behind its prompt; \\n is a line break.
            chat: Answer messages, with a model of conversations: each prompt is a message. Without
                any, messages are read from the terminal, one per line, and the answers take all
                before into account, until the end of the input (Ctrl-D).
            out: A text file to write them to, instead of the terminal.
        """
        if out is not None:
            check_targets([out], overwrite, "another file for --out")
        if prompts is not None and prompt:
            raise ConfigError(f"--prompt {prompt!r} and --prompts {prompts}: expected one of them; leave one out")
        talks = chat and prompts is None and not prompt
        if talks and (left := [name for name, given in {"-n": n != 1, "--out": out, "--json": json}.items() if given]):
            raise ConfigError(
                f"{left[0]} and --chat: a conversation in the terminal has one answer at a time, shown there; leave it out, or "
                "give the message by --prompt"
            )
        writer = load_for("write", model, code, device)
        ends = [text.replace("\\n", "\n") for text in stop]
        how = (n, seed, temperature, top_k, top_p, length, ends)
        if chat and label:
            raise ConfigError(f"--class {label!r} and --chat: a model of conversations has no classes; leave one out")
        if talks:
            return _converse(writer, how)
        begins = [prompt] if prompts is None else _lines(prompts)
        texts = [
            {"prompt": begin, "text": text}
            for begin in begins
            for text in (writer.answer(begin, *how) if chat else writer.generate(begin, *how, label or None))
        ]
        page = "\n\n".join(each["text"] for each in texts)
        if json:
            print_json({"model": model, "seed": seed, "texts": texts})
        elif out is None:
            show_text(page)
        if out is None:
            return
        with writing(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            write_whole(out, page + "\n")
        if not json:
            show(f"{counted(len(texts), 'texts')} in {out}")

    cli(write, "multigen write", args)


def _converse(writer: Any, how: tuple[Any, ...]) -> None:
    """Answers the lines of the input; the earliest messages are forgotten where they no longer
    fit. In a terminal a line that cannot be answered does not end the conversation."""
    messages: list[dict[str, str]] = []
    for line in iter(_line, ""):
        if not line.strip():
            continue
        said = [*messages, {"role": "user", "content": line.strip()}]
        while len(said) > 2 and not writer.fits(said, how[-2]):
            del said[:2]
        try:
            (answer, *_) = writer.answer(said, 1, *how[1:])
        except ConfigError as error:
            if not (sys.stdin.isatty() and writer.dialogue):
                raise
            say(str(error))
            continue
        messages = [*said, {"role": "assistant", "content": answer}]
        show_text(answer)


def _line() -> str:
    """The next line of the input; "" at its end. Raises DataError for one that is not UTF-8."""
    if sys.stdin.isatty():
        sys.stdout.write("> ")
        sys.stdout.flush()
    try:
        line = sys.stdin.readline()
        line.encode()  # some terminals give bytes that are no text as surrogates
    except UnicodeError as error:
        raise DataError("a line of the input is not UTF-8 text; convert it, or set the terminal to UTF-8") from error
    return line


def _lines(file: Path) -> list[str]:
    """The lines of a file that are not blank. Raises DataError where it cannot be read, is not
    UTF-8, or has none."""
    from multigen.text.encodings import BAD, decode

    try:
        result = decode(read_bounded(file, JSON))
    except OSError as error:
        raise DataError(f"--prompts {file}: cannot be read ({error.strerror}); give a text file") from error
    lines = [line.strip() for line in result.text.split("\n") if line.strip()]
    if result.fault or re.search(f"[{BAD}]", result.text):
        raise DataError(f"--prompts {file}: {result.fault or 'damaged'}; expected UTF-8 text; convert the file")
    if not lines:
        raise DataError(f"--prompts {file}: no line with text; expected one prompt per line; add some")
    return lines
