"""`multigen restore IN... --model RUN --out OUT`: image files and whole folders through any restoration model."""

from pathlib import Path

from multigen.cli.restoring import Frames, Inputs, Metadata, Options, Provenance, Tile, restore_images
from multigen.runs.options import Code, Device, Json, Model, Overwrite, SkipBad, cli

__all__ = ["run"]


def run(args: list[str]) -> None:
    """Restores images."""

    def restore(
        inputs: Inputs,
        out: Path,
        model: Model,
        tile: Tile = None,
        frames: Frames = "first",
        skip_bad: SkipBad = False,
        metadata: Metadata = True,
        provenance: Provenance = True,
        overwrite: Overwrite = False,
        device: Device = "auto",
        json: Json = False,
        code: Code = "",
    ) -> None:
        """Restores images with a trained model, in the size that its network gives: most keep that of the image, one for
        super-resolution enlarges it (other sizes: multigen upscale). Transparency, depth, colour profile and metadata, among
        them the place where a photograph was taken, are kept; folders keep their structure; results are PNG.

        Args:
            model: A run or its model folder, a folder of runs (the newest is taken), hf:OWNER/NAME, or a file of another
                project (.pth, .safetensors, ncnn).
            out: Folder of the results; for one image also a file, whose suffix says the format: .png .jpg .webp .tif .gif.
        """
        options = Options(
            tile=tile, frames=frames, skip_bad=skip_bad, metadata=metadata, provenance=provenance, overwrite=overwrite,
            device=device, json=json, code=code,
        )  # fmt: skip
        restore_images("restore", inputs, out, model, options)

    cli(restore, "multigen restore", args)
