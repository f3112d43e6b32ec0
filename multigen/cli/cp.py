"""`multigen cp METHOD FILE.py`: copies a method to a user's own file, to change and run
anywhere."""

import keyword
import os
import re
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Annotated

import tyro

from multigen.catalogue import METHODS
from multigen.console import shell_word, show
from multigen.errors import ConfigError
from multigen.runs.options import cli
from multigen.storage.files import writing
from multigen.storage.output import replacing
from multigen.version import __version__

__all__ = ["check_name", "copy_of", "run"]

ENDING = """

if __name__ == "__main__":
    from multigen.runs.runner import main

    main({trainer}, PRESETS)
"""


def run(args: list[str]) -> None:
    """Copies a method."""

    def cp(
        method: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="METHOD")],
        file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE.py")],
    ) -> None:
        """Copies a method to a file of your own, which runs wherever multigen is installed: python
        FILE.py tiny.

        Args:
            method: The method, such as dcgan.
            file: The new file, such as my_gan.py; the method is named after it.
        """
        text = copy_of(method, file.name)
        check_name(file)
        if os.path.lexists(file):
            raise ConfigError(f"{file} exists and is not overwritten; choose another name, or remove it")
        with writing(file, "a file elsewhere"), replacing(file) as new:
            new.write_text(text, encoding="utf-8")
        show(f"{file}: {method}, yours to change; train it: python {shell_word(str(file))} tiny")

    cli(cp, "multigen cp", args)


def copy_of(method: str, file: str) -> str:
    """The source of a method, to save as `file`, such as "my_gan.py": its trainer's name and the
    commands in its docstring are the file's. Raises ConfigError for an unknown method."""
    if method not in METHODS:
        raise ConfigError(f"no method {method!r}; expected one of {', '.join(METHODS)}")
    package = Path(__file__).parents[1]
    source = (package / METHODS[method].file).read_text(encoding="utf-8")
    source = source.replace(f"python -m multigen.recipes.{method} ", f"python {file} ")
    source = source.replace(f'    name = "{method}"\n', f'    name = "{Path(file).stem}"\n')
    trainer = re.findall(r"^class (\w+Trainer)\b", source, re.MULTILINE)[-1]
    return f"# Copied from {method} of multigen {__version__}; yours to change.\n\n{source}{ENDING.format(trainer=trainer)}"


def check_name(path: Path) -> None:
    """Raises ConfigError for an unsuitable file name: not a module name, or another module's."""
    stem = path.stem
    if path.suffix != ".py" or not stem.isidentifier() or keyword.iskeyword(stem):
        why = "cannot be the name of a module"
    elif stem in METHODS:
        why = "has the name of a method of multigen, with whose models its own would be confused"
    elif stem == "multigen" or stem in sys.stdlib_module_names or _installed(stem):
        why = f"would hide the module {stem} from Python when it is run"
    else:
        return
    raise ConfigError(f"{path} {why}; expected letters, digits and _ such as my_gan.py, and no known name")


def _installed(module: str) -> bool:
    """Whether there is a package or module of that name, but for those of the present folder."""
    here = {"", os.getcwd()}
    return PathFinder.find_spec(module, [place for place in sys.path if place not in here]) is not None
