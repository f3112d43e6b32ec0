"""`multigen cp METHOD FILE.py`: a method and its recipe as one file of one's own, to be changed and run anywhere."""

from pathlib import Path
from typing import Annotated

import tyro

from multigen.errors import ConfigError
from multigen.options import cli

__all__ = ["run"]


def run(args: list[str]) -> None:
    """Copies a method."""

    def cp(
        method: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="METHOD")],
        file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE.py")],
    ) -> None:
        """Writes a method and its recipe as one file of your own, which runs wherever multigen is installed: python FILE.py tiny.

        Args:
            method: The method, such as dcgan.
            file: The new file, such as my_gan.py; its name becomes that of the method.
        """
        from multigen.copies import check_name, copy_of

        text = copy_of(method, file.name)
        check_name(file)
        try:
            with file.open("x", encoding="utf-8") as opened:
                opened.write(text)
        except FileExistsError as error:
            raise ConfigError(
                f"{file} exists, and is not overwritten; give another name, or remove it first"
            ) from error
        except OSError as error:
            raise ConfigError(f"{file} cannot be written ({error.strerror}); give a file elsewhere") from error
        print(f"{file}: {method} and its recipe, yours to change; train it: python {file} tiny")

    cli(cp, "multigen cp", args)
