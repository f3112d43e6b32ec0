"""`multigen import FILE --out DIR`: weights of another project as a model folder."""

from pathlib import Path
from typing import Annotated

import tyro

from multigen.console import printable, show
from multigen.errors import ConfigError
from multigen.runs.options import cli

__all__ = ["run"]


def run(args: list[str]) -> None:
    """Imports weights."""

    def imports(
        file: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")],
        out: Path = Path(),
    ) -> None:
        """Turns weights of another project into a model folder, which every verb takes as --model, and training as --from.

        Networks that are read: SRVGGNetCompact, RRDBNet (ESRGAN, Real-ESRGAN, BSRGAN) and SPAN. Nothing in the file is run.

        Args:
            file: .pth, .safetensors, or .param beside .bin (ncnn); or a name: realesrgan-x4plus, realesrgan-anime-6b,
                realesrgan-animevideov3.
            out: Folder of the model, which must be new or empty; models/NAME if not given.
        """
        _import(file, out)

    cli(imports, "multigen import", args)


def _import(file: str, out: Path) -> None:
    from multigen.image.restoration.published import PUBLISHED, write_foreign

    if out == Path():
        out = Path("models") / (file if file in PUBLISHED else Path(file).stem)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} exists and is not empty; choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    try:
        foreign = write_foreign(file, out)
    except BaseException:
        if not any(out.iterdir()):
            out.rmdir()
        raise
    settings = ", ".join(f"{name} {value}" for name, value in foreign.settings.items())
    show(f"{out}: {settings}; use it: multigen upscale photo.jpg --model {printable(str(out))} --out large/")
