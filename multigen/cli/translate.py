"""`multigen translate IN... --model RUN --out OUT`: files of images or sounds, and whole folders,
from one domain to the other."""

from pathlib import Path

from multigen.catalogue import MODALITIES, imported
from multigen.cli.film_options import Codec, Crf, FilmWords, Fps, From, Hdr, Preview, SpeakerOrTime
from multigen.cli.loaded import modality_of
from multigen.cli.restoring_options import (
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
from multigen.cli.voices import Mix, Vocoder, VoiceWords
from multigen.runs.options import Code, Device, Direction, Json, Model, Overwrite, SkipBad, cli

__all__ = ["run"]


def run(args: list[str]) -> None:
    """Translates images and films, and converts voices."""

    def translate(
        inputs: Inputs,
        out: Path,
        model: Model,
        direction: Direction = None,
        to: SpeakerOrTime = "",
        vocoder: Vocoder = "",
        mix: Mix = False,
        rate: Rate = None,
        tile: Tile = None,
        frames: Frames = "first",
        format: Format = None,
        quality: Quality = None,
        codec: Codec = "",
        crf: Crf = None,
        from_: From = "",
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
        """Translates images and films to the other domain of a trained model, in their own size,
        and recordings of speech to another voice, in their own length. Transparency, depth and
        metadata of images are kept, and the colour profile, but of grey images, which get colours;
        folders keep their structure.

        Args:
            out: Folder of the results; for one image also a file, whose suffix says the format:
                .png .jpg .webp .tif .gif, of a film .mp4 .mov .mkv .webm, or %05d.png for numbered
                frames; for one recording .wav .flac .ogg .mp3.
        """
        from multigen.image.sizes import OWN

        modality, result = modality_of(inputs, model, code)
        spoken = modality == "audio"
        options = Options(
            tile=tile, frames=frames, format=format, quality=quality, existing=existing, skip_bad=skip_bad,
            metadata=metadata, provenance=provenance, overwrite=overwrite, device=device, json=json, code=code, size=OWN,
            film=FilmWords(codec=codec, crf=crf, start=from_, to="" if spoken else to, preview=preview, fps=fps, hdr=hdr),
            direction=direction, rate=rate, voices=VoiceWords(to if spoken else "", vocoder, mix),
        )  # fmt: skip
        translating = MODALITIES[modality].restore or MODALITIES["image"].restore  # which says what the model is for
        imported(translating)("translate", inputs, out, result, options)

    cli(translate, "multigen translate", args)
