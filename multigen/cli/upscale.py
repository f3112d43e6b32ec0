"""`multigen upscale IN... --model RUN --out OUT`: enlarges image files and whole folders with a trained model."""

from pathlib import Path

from multigen.cli.restoring import PUBLISHED, Frames, Inputs, Metadata, Options, Provenance, Tile, restore_images
from multigen.runs.options import Code, Device, Json, Model, Overwrite, SkipBad, cli

__all__ = ["run"]


def run(args: list[str]) -> None:
    """Upscales images."""

    def upscale(
        inputs: Inputs,
        out: Path,
        model: Model = PUBLISHED[0],
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
        """Enlarges images with a trained model. Transparency, depth, colour profile and metadata, among them the place where
        a photograph was taken, are kept; folders keep their structure; results are PNG.

        Args:
            model: A run or its model folder, a folder of runs (the newest is taken), hf:OWNER/NAME, a file of another project
                (.pth, .safetensors, ncnn), or published weights: realesrgan-x4plus, realesrgan-anime-6b,
                realesrgan-animevideov3 (extra pretrained).
            out: Folder of the results; for one image also a file, whose suffix says the format: .png .jpg .webp .tif .gif.
        """
        options = Options(
            tile=tile, frames=frames, skip_bad=skip_bad, metadata=metadata, provenance=provenance, overwrite=overwrite,
            device=device, json=json, code=code,
        )  # fmt: skip
        restore_images("upscale", inputs, out, model, options)

    cli(upscale, "multigen upscale", args)
