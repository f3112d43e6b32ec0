"""`multigen upscale IN... --model RUN --out OUT`: enlarges image files and whole folders with a
trained model."""

from pathlib import Path
from typing import Annotated

import tyro

from multigen.cli.film_options import Codec, Crf, FilmWords, Fps, From, Hdr, Preview, To
from multigen.cli.restoring import PUBLISHED, restore_images
from multigen.cli.restoring_options import (
    AnyModel,
    Blend,
    Existing,
    Format,
    Frames,
    Inputs,
    Metadata,
    Options,
    Provenance,
    Quality,
    Tile,
)
from multigen.runs.options import Code, Device, Json, Overwrite, SkipBad, cli

__all__ = ["run"]


def run(args: list[str]) -> None:
    """Upscales images and films."""

    def upscale(
        inputs: Inputs,
        out: Path,
        model: AnyModel = "",
        blend: Blend = None,
        scale: Annotated[float | None, tyro.conf.arg(metavar="FLOAT")] = None,
        width: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
        height: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
        short: Annotated[int | None, tyro.conf.arg(metavar="INT")] = None,
        tile: Tile = None,
        frames: Frames = "first",
        format: Format = None,
        quality: Quality = None,
        codec: Codec = "",
        crf: Crf = None,
        from_: From = "",
        to: To = "",
        preview: Preview = "",
        fps: Fps = "",
        hdr: Hdr = False,
        skip_bad: SkipBad = False,
        metadata: Metadata = True,
        provenance: Provenance = True,
        existing: Existing = None,
        overwrite: Overwrite = False,
        device: Device = "auto",
        json: Json = False,
        code: Code = "",
    ) -> None:
        """Enlarges images and films with a trained model. Transparency, depth, colour profile and
        metadata, among them the place where a photograph was taken, are kept; folders keep their
        structure. Without --model and --blend it is that of realesrgan-x4plus.

        Without a size, results have the network's: usually 4 times as large. With one, the network
        runs until an image is large enough, again where once is not, and is followed by one
        reduction. Aspect is kept.

        Args:
            scale: How many times as large, such as 3 or 1.5.
            width: Pixels. With --height: the largest size that fits into both. An image that is
                large enough is only reduced.
            height: Pixels.
            short: The shorter side, pixels.
            out: Folder of the results; for one image also a file, whose suffix says the format:
                .png .jpg .webp .tif .gif, of a film .mp4 .mov .mkv .webm, or %05d.png for numbered
                frames.
        """
        from multigen.image.sizes import Size

        options = Options(
            blend=blend, tile=tile, frames=frames, format=format, quality=quality, existing=existing, skip_bad=skip_bad,
            metadata=metadata, provenance=provenance, overwrite=overwrite, device=device, json=json, code=code,
            size=Size(scale, width, height, short),
            film=FilmWords(codec=codec, crf=crf, start=from_, to=to, preview=preview, fps=fps, hdr=hdr),
        )  # fmt: skip
        restore_images("upscale", inputs, out, model, options, default=PUBLISHED[0])

    cli(upscale, "multigen upscale", args)
