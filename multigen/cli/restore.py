"""`multigen restore IN... --model RUN --out OUT`: files of images or sounds, and whole folders,
through any restoration model."""

from pathlib import Path

from multigen.catalogue import MODALITIES, imported
from multigen.cli.film_options import Codec, Crf, FilmWords, Fps, From, Hdr, Preview, To
from multigen.cli.loaded import modality_of
from multigen.cli.masks import Holes
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
    Rate,
    Tile,
)
from multigen.runs.options import Code, Device, Json, Overwrite, SkipBad, cli

__all__ = ["run"]


def run(args: list[str]) -> None:
    """Restores images, films and sounds."""

    def restore(
        inputs: Inputs,
        out: Path,
        model: AnyModel = "",
        blend: Blend = None,
        mask: Path | None = None,
        dilate: int | None = None,
        feather: int | None = None,
        tile: Tile = None,
        frames: Frames = "first",
        rate: Rate = None,
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
        """Restores images, films or sounds with a trained model, in the size that its network
        gives: most keep that of the image, one for super-resolution enlarges it (other sizes:
        multigen upscale). Transparency, depth, colour profile and metadata, among them the place
        where a photograph was taken, are kept; folders keep their structure.

        Args:
            out: Folder of the results; for one image also a file, whose suffix says the format:
                .png .jpg .webp .tif .gif, of a film .mp4 .mov .mkv .webm, or %05d.png for numbered
                frames.
            mask: For a model that fills holes: an image of the same size, white (or transparent)
                where it is to be filled, or a folder of masks with the names of the images. All
                other pixels stay exactly as they are.
            dilate: Pixels added around the mask, since remains of an object at its edge would be
                continued into the hole; by default 1/250 of the longer side, at least 2.
            feather: Pixels at the edge of the dilated mask over which the image turns into the
                filling; by default half of --dilate.
        """
        from multigen.image.sizes import OWN

        options = Options(
            blend=blend, tile=tile, frames=frames, format=format, quality=quality, existing=existing, skip_bad=skip_bad,
            metadata=metadata, provenance=provenance, overwrite=overwrite, device=device, json=json, code=code, size=OWN,
            rate=rate, film=FilmWords(codec=codec, crf=crf, start=from_, to=to, preview=preview, fps=fps, hdr=hdr),
            holes=Holes(mask, dilate, feather),
        )  # fmt: skip
        modality, result = modality_of(inputs, model or (blend[0] if blend else ""), code)
        restoring = MODALITIES[modality].restore or MODALITIES["image"].restore  # which says what the model is for
        imported(restoring)("restore", inputs, out, model and result, options)

    cli(restore, "multigen restore", args)
