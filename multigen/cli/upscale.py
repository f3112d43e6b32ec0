"""`multigen upscale IN... --model RUN --out OUT`: enlarges image files and whole folders with a trained model."""

import contextlib
import datetime
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from multigen.catalogue import TASKS
from multigen.cli.loaded import load_for
from multigen.cli.output import print_json
from multigen.cli.targets import is_file_name, targets_of
from multigen.console import counted, say, show
from multigen.data.skipped import LIST, NAMED, Skipped, is_list, report_skipped, write_list
from multigen.errors import ConfigError, DataError
from multigen.runs.options import Code, Device, Json, Model, Overwrite, SkipBad, cli
from multigen.storage.files import writing
from multigen.storage.output import check_folder, check_targets, replacing

__all__ = ["run"]

PUBLISHED = TASKS["super-resolution"].published
NOTABLE = 1 << 15  # pixels: what is less takes a moment, whatever the model


def run(args: list[str]) -> None:
    """Upscales images."""

    def upscale(
        inputs: Annotated[list[Path], tyro.conf.Positional, tyro.conf.arg(metavar="IN ...")],
        out: Path,
        model: Model = PUBLISHED[0],
        tile: int = 256,
        frames: Literal["first", "all"] = "first",
        skip_bad: SkipBad = False,
        metadata: bool = True,
        provenance: bool = True,
        overwrite: Overwrite = False,
        device: Device = "auto",
        json: Json = False,
        code: Code = "",
    ) -> None:
        """Enlarges images with a trained model. Transparency, depth, colour profile and metadata, among them the place where
        a photograph was taken, are kept; folders keep their structure; results are PNG.

        Args:
            inputs: Image files, or folders of them.
            model: A run or its model folder, a folder of runs (the newest is taken), hf:OWNER/NAME, a file of another project
                (.pth, .safetensors, ncnn), or published weights: realesrgan-x4plus, realesrgan-anime-6b,
                realesrgan-animevideov3 (extra pretrained).
            out: Folder of the results; for one image also a file, whose suffix says the format: .png .jpg .webp .tif .gif.
            tile: Side of the tiles in which images are processed, pixels; smaller needs less memory.
            frames: Of animations and of TIFF files with many pages: the first one, or all, in a file of the same format.
            metadata: Keep what sources say: EXIF, XMP, IPTC, resolution, texts. The colour profile stays in any case.
            provenance: Write the model, the name of the source, and that a model enlarged it into the files.
        """
        from multigen.image.sources import moving_suffix

        jobs = targets_of(inputs, out, moving_suffix if frames == "all" else lambda _: ".png")
        other = "another file for --out" if is_file_name(out) else "another folder for --out"
        check_folder(out.parent if is_file_name(out) else out, other)
        check_targets(jobs.values(), overwrite, other)
        listed = (out.parent if is_file_name(out) else out) / LIST
        if skip_bad:
            check_targets([listed], overwrite, other, is_list)
        skipped: list[tuple[Path, str]] | None = [] if skip_bad else None
        scale = _upscale(jobs, model, tile, frames == "all", skipped, metadata, provenance, code, device)
        _report(jobs, skipped or [], scale, out, listed, {"model": model, "scale": scale} if json else None)

    cli(upscale, "multigen upscale", args)


def _upscale(
    jobs: dict[Path, Path],
    model: str,
    tile: int,
    frames: bool,
    skipped: list[tuple[Path, str]] | None,
    metadata: bool,
    provenance: bool,
    code: str,
    device: str,
) -> int:
    """Enlarges images, and returns how many times. Those that are no good go to `skipped`, if there is such a list."""
    import rich.progress

    upscaler = load_for("upscale", model, code, device)
    if tile < 1:
        raise ConfigError(f"--tile {tile}: expected 1 pixel or more, 256 is usual")
    upscaler.tile = tile
    _say_time(upscaler, [*jobs], model)
    for source, target in rich.progress.track(jobs.items(), "upscaling", disable=not sys.stderr.isatty()):
        try:
            _enlarge(upscaler, source, target, frames, metadata, provenance)
        except DataError as error:
            if skipped is None:
                raise
            skipped.append((source, str(error)))
    return upscaler.scale


def _say_time(upscaler: Any, sources: list[Path], model: str) -> None:
    """Says about how long it will take, unless that is a moment; and which model is faster, where it takes minutes."""
    from multigen.image.files import size_of

    sizes = []
    for path in sources:
        with contextlib.suppress(DataError):  # named when it is read
            sizes.append(size_of(path))
    if sum(height * width for height, width in sizes) < NOTABLE:
        return
    seconds = upscaler.seconds(sizes)
    faster = f"; faster, with less detail: --model {PUBLISHED[-1]}" if model in PUBLISHED[:-1] and seconds > 120 else ""
    if seconds > 2:
        say(f"{counted(len(sizes), 'images')}: about {datetime.timedelta(seconds=round(seconds))}{faster}")


def _report(
    jobs: dict[Path, Path],
    skipped: Skipped,
    scale: int,
    out: Path,
    listed: Path,
    asked: dict[str, Any] | None,
) -> None:
    """Says what was made and what was skipped; `asked`: as JSON, with what was asked for."""
    bad = {path for path, _ in skipped}
    made = {source: target for source, target in jobs.items() if source not in bad}
    if len(skipped) > NAMED:
        with writing(listed, "another folder for --out"):
            listed.parent.mkdir(parents=True, exist_ok=True)
            write_list(listed, skipped)
    report_skipped(skipped, "images", rest=f"{listed} lists all")
    if asked is not None:
        sources = [{"source": str(source), "file": str(target)} for source, target in made.items()]
        left_out = [{"path": str(path), "reason": reason} for path, reason in skipped]
        files = [str(target) for target in made.values()]
        print_json({**asked, "files": files, "images": sources, "skipped": left_out})
        return
    show(f"{counted(len(made), 'images')} x{scale} in {out}" + (f", {len(skipped)} skipped" if skipped else ""))


def _enlarge(upscaler: Any, path: Path, target: Path, frames: bool, metadata: bool, provenance: bool) -> None:
    from multigen.image.sources import read_source
    from multigen.image.writing import check_side, write_image
    from multigen.storage.provenance import source_type

    source = read_source(path, frames)
    for frame in source.frames:
        height, width = frame.pixels.shape[:2]
        check_side(target, height * upscaler.scale, width * upscaler.scale)
    about = {}
    if provenance:
        about = {**upscaler.origin, "source": path.name, "source_type": source_type(source.metadata.xmp) or None}
    said = source.metadata if metadata else source.metadata.without_private()
    made = [upscaler.enlarge(frame) for frame in source.frames]
    with writing(target, "another folder for --out"):
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as file:
            write_image(file, made, said.enlarged(about, path), about, source.motion)
