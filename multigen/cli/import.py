"""`multigen import FILE --out DIR`: weights of another project as a model folder."""

from pathlib import Path
from typing import Annotated, Any

import tyro

from multigen.catalogue import TASKS
from multigen.cli.output import print_json
from multigen.console import show
from multigen.console.words import did_you_mean
from multigen.errors import ConfigError
from multigen.runs.options import Json, cli
from multigen.runs.usage import shell_of

__all__ = ["run"]


def run(args: list[str]) -> None:
    """Imports weights."""

    def imports(
        file: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")],
        out: Path = Path(),
        json: Json = False,
    ) -> None:
        """Turns weights of another project into a model folder, which every verb takes as --model,
        and training as --from.

        Networks that are read: SRVGGNetCompact, RRDBNet (ESRGAN, Real-ESRGAN, BSRGAN) and SPAN,
        which training can start from; with the extra models also SwinIR, HAT, DAT, PLKSR, NAFNet,
        SCUNet, DnCNN and some 30 other architectures. Language models are read from GGUF files of
        the architecture llama; training fine-tunes them with --pretrained. Nothing in the file is
        run.

        Args:
            file: .pth, .safetensors, .param beside .bin (ncnn), or .gguf; or a name:
                realesrgan-x4plus, realesrgan-anime-6b, realesrgan-animevideov3,
                smollm2-135m-instruct.
            out: Folder of the model, which must be new or empty; models/NAME if not given.
        """
        out, settings = _import(file, out)
        if json:
            print_json({"model": str(out), **settings})
        else:
            result = ", ".join(f"{name} {value}" for name, value in settings.items())
            enlarges = "super-resolution" if settings.get("scale", 1) > 1 else "image-restoration"
            task = TASKS[enlarges if "scale" in settings else "text-synthesis"]
            show(f"{out}: {result}; use it: {shell_of(task, str(out))}")

    cli(imports, "multigen import", args)


def _import(file: str, out: Path) -> tuple[Path, dict[str, Any]]:
    """Writes the folder. Returns it, and what the network is."""
    text, image = TASKS["text-synthesis"], TASKS["super-resolution"]
    names, suffixes = (*image.published, *text.published), (*image.weights, *text.weights)
    if file not in names and Path(file).suffix.lower() not in suffixes and not Path(file).expanduser().is_file():
        raise ConfigError(
            f"{file}: no such file; expected weights, {', '.join(suffixes)}, or one of {', '.join(names)}"
            f"{did_you_mean(file, names)}"
        )
    if file in text.published or Path(file).suffix.lower() in text.weights:
        from multigen.text.synthesis.published import write_foreign
    else:
        from multigen.image.restoration.published import write_foreign

    if out == Path():
        out = Path("models") / (file if file in names else Path(file).stem)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} exists and is not empty; choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    try:
        return out, write_foreign(file, out)
    except BaseException:
        if not any(out.iterdir()):
            out.rmdir()
        raise
