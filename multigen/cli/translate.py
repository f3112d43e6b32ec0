"""`multigen translate IN... --model RUN --out OUT`: image files and whole folders, from one domain
to the other."""

from pathlib import Path

from multigen.cli.film_options import Codec, Crf, FilmWords, Fps, From, Hdr, Preview, To
from multigen.cli.restoring import restore_images
from multigen.cli.restoring_options import (
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
from multigen.runs.options import Code, Device, Direction, Json, Model, Overwrite, SkipBad, cli

__all__ = ["run"]


def run(args: list[str]) -> None:
    """Translates images and films."""

    def translate(
        inputs: Inputs,
        out: Path,
        model: Model,
        direction: Direction = None,
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
        """Translates images and films to the other domain of a trained model, in their own size.
        Transparency, depth and metadata are kept, and the colour profile, but of grey images, which
        get colours; folders keep their structure.

        Args:
            out: Folder of the results; for one image also a file, whose suffix says the format:
                .png .jpg .webp .tif .gif, of a film .mp4 .mov .mkv .webm, or %05d.png for numbered
                frames.
        """
        from multigen.image.sizes import OWN

        options = Options(
            tile=tile, frames=frames, format=format, quality=quality, existing=existing, skip_bad=skip_bad,
            metadata=metadata, provenance=provenance, overwrite=overwrite, device=device, json=json, code=code, size=OWN,
            film=FilmWords(codec=codec, crf=crf, start=from_, to=to, preview=preview, fps=fps, hdr=hdr),
            direction=direction,
        )  # fmt: skip
        restore_images("translate", inputs, out, model, options)

    cli(translate, "multigen translate", args)
