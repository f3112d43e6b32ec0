"""What `multigen restore` and `multigen upscale` share: image files and whole folders through a restoration model."""

import contextlib
import datetime
import sys
from dataclasses import dataclass
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
from multigen.storage.files import writing
from multigen.storage.output import check_folder, check_targets, replacing

__all__ = ["PUBLISHED", "Frames", "Inputs", "Metadata", "Options", "Provenance", "Tile", "restore_images"]

PUBLISHED = TASKS["super-resolution"].published
NOTABLE = 1 << 15  # pixels: what is less takes a moment, whatever the model

Inputs = Annotated[
    list[Path],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="IN ...", help="Image files, or folders of them."),
]
Tile = Annotated[
    int | None,
    tyro.conf.arg(
        help="Side of the tiles in which images are processed, pixels; smaller needs less memory. 256 if not given; the whole "
        "image for networks where tiles would show."
    ),
]
Frames = Annotated[
    Literal["first", "all"],
    tyro.conf.arg(
        help="Of animations and of TIFF files with many pages: the first one, or all, in a file of the same format."
    ),
]
Metadata = Annotated[
    bool,
    tyro.conf.arg(
        help="Keep what sources say: EXIF, XMP, IPTC, resolution, texts. The colour profile stays in any case."
    ),
]
Provenance = Annotated[
    bool,
    tyro.conf.arg(help="Write the model, the name of the source, and that a model changed it into the files."),
]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of both verbs."""

    tile: int | None
    frames: str
    skip_bad: bool
    metadata: bool
    provenance: bool
    overwrite: bool
    device: str
    json: bool
    code: str


def restore_images(verb: str, inputs: list[Path], out: Path, model: str, options: Options) -> None:
    """Restores images for a verb, and says what was made."""
    from multigen.image.sources import moving_suffix

    o = options
    jobs = targets_of(verb, inputs, out, moving_suffix if o.frames == "all" else lambda _: ".png")
    other = "another file for --out" if is_file_name(out) else "another folder for --out"
    check_folder(out.parent if is_file_name(out) else out, other)
    check_targets(jobs.values(), o.overwrite, other)
    listed = (out.parent if is_file_name(out) else out) / LIST
    if o.skip_bad:
        check_targets([listed], o.overwrite, other, is_list)
    skipped: list[tuple[Path, str]] | None = [] if o.skip_bad else None
    scale = _restore(verb, jobs, model, o, skipped)
    _report(jobs, skipped or [], scale, out, listed, {"model": model, "scale": scale} if o.json else None)


def _restore(
    verb: str, jobs: dict[Path, Path], model: str, options: Options, skipped: list[tuple[Path, str]] | None
) -> int:
    """Restores images, and returns the model's scale. Those that are no good go to `skipped`, if there is such a list."""
    import rich.progress

    restorer = load_for(verb, model, options.code, options.device)
    if options.tile is not None and options.tile < 1:
        raise ConfigError(f"--tile {options.tile}: expected 1 pixel or more, 256 is usual")
    restorer.tile = options.tile or restorer.tile
    _say_time(restorer, [*jobs], model)
    for source, target in rich.progress.track(jobs.items(), verb, disable=not sys.stderr.isatty()):
        try:
            _restore_file(restorer, source, target, options)
        except DataError as error:
            if skipped is None:
                raise
            skipped.append((source, str(error)))
    return restorer.scale


def _say_time(restorer: Any, sources: list[Path], model: str) -> None:
    """Says about how long it will take, unless that is a moment; and which model is faster, where it takes minutes."""
    from multigen.image.files import size_of

    sizes = []
    for path in sources:
        with contextlib.suppress(DataError):  # named when it is read
            sizes.append(size_of(path))
    if sum(height * width for height, width in sizes) < NOTABLE:
        return
    seconds = restorer.seconds(sizes)
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
    times = f" x{scale}" if scale != 1 else ""
    show(f"{counted(len(made), 'images')}{times} in {out}" + (f", {len(skipped)} skipped" if skipped else ""))


def _restore_file(restorer: Any, path: Path, target: Path, options: Options) -> None:
    from multigen.image.sources import read_source
    from multigen.image.writing import check_side, write_image
    from multigen.storage.provenance import source_type

    source = read_source(path, options.frames == "all")
    for frame in source.frames:
        height, width = frame.pixels.shape[:2]
        check_side(target, height * restorer.scale, width * restorer.scale)
    about = {}
    if options.provenance:
        about = {**restorer.origin, "source": path.name, "source_type": source_type(source.metadata.xmp) or None}
    said = source.metadata if options.metadata else source.metadata.without_private()
    made = [restorer.restore_raster(frame) for frame in source.frames]
    with writing(target, "another folder for --out"):
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as file:
            write_image(file, made, said.enlarged(about, path), about, source.motion)
