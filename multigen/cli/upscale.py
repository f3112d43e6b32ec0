"""`multigen upscale IN... --model RUN --out DIR`: enlarges image files and whole folders with a trained model."""

import os
import sys
from pathlib import Path
from typing import Annotated

import tyro

from multigen.cli.loaded import load_for
from multigen.console import counted, say, show
from multigen.errors import ConfigError, DataError
from multigen.runs.options import Code, Model, Overwrite, cli
from multigen.storage.files import writing
from multigen.storage.output import check_folder, check_targets, replacing

__all__ = ["run"]


def run(args: list[str]) -> None:
    """Upscales images."""

    def upscale(
        inputs: Annotated[list[Path], tyro.conf.Positional, tyro.conf.arg(metavar="IN ...")],
        model: Model,
        out: Path,
        tile: int = 256,
        skip_bad: bool = False,
        provenance: bool = True,
        overwrite: Overwrite = False,
        code: Code = "",
    ) -> None:
        """Enlarges images with a trained model; transparency is kept, folders keep their structure, results are PNG.

        Args:
            inputs: Image files, or folders of them.
            out: Folder of the results.
            tile: Side of the tiles that images pass the network in, pixels; smaller needs less memory.
            skip_bad: Skip files that cannot be read, and say how many.
            provenance: Write the model and the name of the source into the files.
        """
        jobs = _jobs(inputs, out)
        check_folder(out)
        check_targets(jobs.values(), overwrite, "another folder for --out")
        _upscale(jobs, model, out, tile, skip_bad, provenance, code)

    cli(upscale, "multigen upscale", args)


def _upscale(
    jobs: dict[Path, Path], model: str, out: Path, tile: int, skip_bad: bool, provenance: bool, code: str
) -> None:
    import rich.progress

    from multigen.image.files import read_image_with_alpha, to_picture
    from multigen.storage.provenance import png

    upscaler = load_for("upscale", model, code)
    if tile < 1:
        raise ConfigError(f"--tile {tile}: expected 1 pixel or more, 256 is usual")
    upscaler.tile = tile
    skipped: list[str] = []
    for source, target in rich.progress.track(jobs.items(), "upscaling", disable=not sys.stderr.isatty()):
        try:
            rgb, alpha = read_image_with_alpha(source)
        except DataError as error:
            if not skip_bad:
                raise
            skipped.append(str(error))
            continue
        about = {**upscaler.origin, "source": source.name} if provenance else {}
        with writing(target, "another folder for --out"):
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target) as file:
                to_picture(*upscaler.with_alpha(rgb, alpha)).save(file, **png(about))
    show(
        f"{counted(len(jobs) - len(skipped), 'images')} x{upscaler.scale} in {out}"
        + (f", {len(skipped)} skipped" if skipped else "")
    )


def _jobs(inputs: list[Path], out: Path) -> dict[Path, Path]:
    """Source -> target. Of folders what is below OUT is left out: results of an earlier run.

    Raises DataError where two images would be written to one file, or none is left.
    """
    from multigen.data.unread import check_readable, report_unread
    from multigen.image.files import IMAGE, find_images

    if not inputs:
        raise DataError("no image to upscale: give files or folders")
    targets: dict[Path, Path] = {}
    results: set[Path] = set()
    for place in inputs:
        if place.is_dir():
            sources = find_images(place)
            report_unread(place, IMAGE)
        else:
            check_readable(place, IMAGE)
            sources = [place]
        if _holds(place, out) or (len(inputs) > 1 and place.is_dir() and _real(place) == _real(out)):
            results |= {source for source in sources if _real(source).is_relative_to(_real(out))}
        for source in [source for source in sources if source not in results]:
            inside = source.relative_to(place) if place.is_dir() else Path(source.name)
            target = out / inside.with_suffix(".png")
            if _real(target) == _real(source):
                raise DataError(f"{source} would be overwritten by its result; give another folder for --out")
            if target in targets:
                raise DataError(
                    f"{source} and {targets[target]} would both become {target}; rename one or use two folders"
                )
            targets[target] = source
    if results:
        say(f"left out {counted(len(results), 'images')} in {out}, where the results go")
    if not targets:
        raise DataError(f"no image to upscale but those in {out}, where the results go; give other files or folders")
    return {source: target for target, source in targets.items()}


def _holds(folder: Path, out: Path) -> bool:
    """Whether OUT is below a folder, once links are followed."""
    return folder.is_dir() and _real(folder) in _real(out).parents


def _real(path: Path) -> Path:
    """A path without links and `..`; also of what is not there, or is a link in a circle."""
    return Path(os.path.realpath(path))
