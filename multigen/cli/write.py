"""`multigen write --model RUN --prompt "The old fox" -n 5`: texts of a trained model, with or without a beginning."""

from pathlib import Path
from typing import Annotated

import tyro

from multigen.cli.loaded import load_for
from multigen.console import counted, show, show_text
from multigen.runs.options import Code, Device, Model, Overwrite, cli
from multigen.storage.files import write_whole, writing
from multigen.storage.output import check_targets

__all__ = ["run"]


def run(args: list[str]) -> None:
    """Writes texts."""

    def write(
        model: Model,
        prompt: str = "",
        n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 1,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
        length: int = 0,
        out: Path | None = None,
        overwrite: Overwrite = False,
        device: Device = "auto",
        code: Code = "",
    ) -> None:
        """Continues a prompt, or writes whole texts, with a trained model; a blank line stands between two texts.

        Args:
            prompt: The beginning of all texts.
            n: How many.
            temperature: Below 1 more probable and less varied texts.
            top_k: Draw among so many of the most probable tokens; 0: among all.
            top_p: Draw among the fewest tokens that have this probability together; 1: among all.
            seed: The same seed gives the same texts, and a larger number adds to them.
            length: Tokens of a text at most, the prompt's included; 0: as in training.
            out: A text file to write them to, instead of the terminal.
        """
        if out is not None:
            check_targets([out], overwrite, "another file for --out")
        writer = load_for("write", model, code, device)
        texts = writer.generate(prompt, n, seed, temperature, top_k, top_p, length)
        page = "\n\n".join(texts)
        if out is None:
            show_text(page)
            return
        with writing(out):
            out.parent.mkdir(parents=True, exist_ok=True)
            write_whole(out, page + "\n")
        show(f"{counted(n, 'texts')} in {out}")

    cli(write, "multigen write", args)
