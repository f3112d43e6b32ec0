"""What `multigen restore`, `translate` and `upscale` share: image files and whole folders through a
model."""

import contextlib
import datetime
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from multigen.catalogue import TASKS, container_of, imported
from multigen.cli.film_options import check_unused
from multigen.cli.jobs import Jobs, left_of, print_jobs, report_bad, show_counts, try_each
from multigen.cli.loaded import check_verb, load_for
from multigen.cli.masks import NO_HOLES, Holes, holes_of
from multigen.cli.restoring_options import Options
from multigen.cli.targets import is_file_name, targets_of
from multigen.cli.voices import check_no_voices, spoken_by
from multigen.console import counted, say
from multigen.console.bar import bar
from multigen.data.skipped import LIST, NAMED, is_list
from multigen.errors import ConfigError, DataError
from multigen.storage.files import writing
from multigen.storage.output import check_folder, check_targets, replacing

__all__ = ["PUBLISHED", "load_restorer", "restore_images"]

PUBLISHED = TASKS["super-resolution"].published
SAMPLE = 8  # masks that are read, and up to twice as many, before the time is said
NOTABLE = 1 << 15  # pixels: what is less takes a moment, whatever the model
LONGEST = 10**9  # seconds that are said


def restore_images(verb: str, inputs: list[Path], out: Path, model: str, options: Options, default: str = "") -> None:
    """Takes images through a model for a verb, and says what was made. `default`: the model if none
    is named."""
    if options.blend is not None and model:
        raise ConfigError(f"--model {model}, --blend {options.blend[0]} ...: each names the model; give one of them")
    if options.rate is not None:
        raise ConfigError(f"--rate {options.rate}: for sounds, and the model is of images; leave it out")
    check_no_voices(options.voices)
    model = model or default
    folder, other = (out.parent, "another file for --out") if is_file_name(out) else (out, "another folder for --out")
    jobs = targets_of(verb, inputs, out, options.suffixes(out))
    images = {source: target for source, target in jobs.items() if container_of(source, target) is None}
    options.check_formats(images.values(), len(images) < len(jobs))
    check_folder(folder, other)
    noun = _noun(jobs)
    jobs, there = left_of(jobs, options.existing, other)
    check_targets(jobs.values(), options.replaces, other)
    if options.skip_bad:
        check_targets([folder / LIST], options.replaces, other, is_list)
    for source, target in jobs.items():
        if container := container_of(source, target):
            imported(container.check)(source, target, options)
    options, bad = _with_masks(options, [source for source in jobs if source in images], inputs)
    restorer = load_restorer(verb, model, options)
    left = {source: target for source, target in jobs.items() if source not in bad}
    bad |= _restore(verb, restorer, left, model, options)
    made = {source: target for source, target in jobs.items() if source not in bad}
    report_bad(folder, bad, noun)
    scale = options.size.factor(restorer.scale)
    if options.json:
        requested = {"model": model} if options.blend is None else {"blend": options.blend}
        requested |= {"scale": scale} if verb != "translate" else {"direction": restorer.direction}
        print_jobs(requested, "images", made, there, bad)
        return
    show_counts(f"{counted(len(made), noun)}{f' x{scale:g}' if scale not in (None, 1) else ''} in {out}", there, bad)


def _with_masks(options: Options, images: Sequence[Path], inputs: Sequence[Path]) -> tuple[Options, dict[Path, str]]:
    """The options with the masks of images, and the images to skip, which have none. Raises
    DataError, which names the first of them, where such are not to be skipped."""
    holes = options.holes.of(images, inputs)
    missing = holes.missing(images, inputs)
    if missing and not options.skip_bad:
        first, rest = [*missing][:NAMED], len(missing) - NAMED
        if len(missing) == 1:
            raise DataError(missing[first[0]])
        names = f"{', '.join(map(str, first))}{f' and {rest} more' if rest > 0 else ''}"
        raise DataError(
            f"{len(missing)} of {counted(len(images), 'images')} have no mask of their name in {holes.mask}: {names}; "
            "add them, or leave these out: --skip-bad"
        )
    return replace(options, holes=holes), missing


def load_restorer(verb: str, model: str, options: Options) -> Any:
    """The ready object of a model, or of two."""
    if options.blend is None and not model:
        two = "" if verb == "translate" else ", or two: --blend A B SHARE"
        raise ConfigError(f"no model; give --model RUN{two}")
    if options.blend is None:
        restorer = load_for(verb, model, options.code, options.device)
    else:
        from multigen.tasks.restoration.blending import blend

        first, second, share = options.blend
        restorer = check_verb(verb, blend(first, second, share, options.code, options.device), first, options.code)
    restorer = restorer.turned(options.direction) if options.direction else restorer
    if TASKS[restorer.task].modality == "audio" and verb == "translate":
        restorer = spoken_by(restorer, options.voices, options.direction, options.device)
    options.holes.check(restorer.task, model or (options.blend or (model,))[0])
    if options.tile:
        restorer.tile = options.tile
    return restorer


def _restore(verb: str, restorer: Any, jobs: Jobs, model: str, options: Options) -> dict[Path, str]:
    """Restores images. Returns unusable ones and the reasons, if they are to be skipped."""
    from multigen.image.writing import check_side

    containers = {source: each for source, target in jobs.items() if (each := container_of(source, target))}
    if not containers:
        check_unused(options.film)
    elif options.holes != NO_HOLES:
        raise ConfigError(f"--mask and {next(iter(containers))}: masks are of images; fill a folder of numbered frames")
    sizes = _sizes({source: target for source, target in jobs.items() if source not in containers})
    for path, size in sizes.items():
        check_side(jobs[path], *options.size.of(*size, restorer.scale))
    if len(sizes) > 1 and hasattr(restorer, "running") and restorer.network.recurrent:
        say(
            f"{counted(len(sizes), 'images')}: the model remembers frames, but each file begins without them; it takes "
            "a folder of numbered frames as a film with --fps 25 --out film.mp4, or frames/%05d.png"
        )
    passes = {path: options.size.inputs(*size, restorer.scale) for path, size in sizes.items()}
    if TASKS[restorer.task].masked:
        some = [*sizes][:: max(1, len(sizes) // SAMPLE)]
        windows = [_windows(restorer, path, sizes[path], options.holes) for path in some]
        _say_time(restorer, windows, model, len(sizes))
    else:
        _say_time(restorer, [*passes.values()], model, len(sizes))
    work = {path: sum(map(math.prod, sizes)) for path, sizes in passes.items()}
    bad, done = {}, 0
    with bar(verb, sum(work.values())) as shown:
        restorer.on_tile = shown.advance
        for source, target in jobs.items():
            if source not in containers:
                try_each(_restore_file, restorer, source, target, options, bad)
                done += work.get(source, 0)
                shown.reach(done)
        restorer.on_tile = lambda _: None
    for source, container in containers.items():  # which show a progress of their own
        try_each(imported(container.restore), restorer, source, jobs[source], options, bad)
    return bad


def _noun(jobs: Jobs) -> str:
    """The noun for the sources, such as image."""
    kinds = {each.items if (each := container_of(*job)) else "images" for job in jobs.items()}
    return kinds.pop() if len(kinds) == 1 else "files"


def _sizes(jobs: Jobs) -> dict[Path, tuple[int, int]]:
    """(height, width) of images; unreadable ones are left out, and reported later."""
    from multigen.image.files import size_of

    sizes = {}
    for path in jobs:
        with contextlib.suppress(DataError):
            sizes[path] = size_of(path)
    return sizes


def _windows(restorer: Any, path: Path, size: tuple[int, int], holes: Holes) -> list[tuple[int, int]]:
    """The sizes that a network which fills holes is given for an image; none where its mask is no
    good, which is said when it is filled."""
    with contextlib.suppress(DataError):
        return restorer.windows(**holes_of(restorer, holes, path, [size]))
    return []


def _say_time(restorer: Any, passes: Sequence[Sequence[tuple[int, int]]], model: str, count: int) -> None:
    """Says about how long it will take, unless that is a moment; and which model is faster, where
    it takes minutes. `passes`: the sizes that the network is given of each image, or of some of the
    `count` images."""
    sizes = [size for each in passes for size in each]
    if sum(map(math.prod, sizes)) < NOTABLE:
        return
    seconds = restorer.seconds(sizes) * count / len(passes)
    faster = f"; faster, with less detail: --model {PUBLISHED[-1]}" if model in PUBLISHED[:-1] and seconds > 120 else ""
    if seconds > 2:
        length = datetime.timedelta(seconds=min(round(seconds), LONGEST))
        say(f"{counted(count, 'images')}: about {length}{faster}")


def _restore_file(restorer: Any, path: Path, target: Path, options: Options) -> None:
    from multigen.image.sources import read_source
    from multigen.image.writing import check_side, write_image
    from multigen.storage.provenance import source_type

    source, size = read_source(path, options.frames == "all"), options.size
    sides = [(frame.pixels.shape[0], frame.pixels.shape[1]) for frame in source.frames]
    for height, width in sides:
        check_side(target, *size.of(height, width, restorer.scale))
    given = holes_of(restorer, options.holes, path, sides) or {"size": size}
    about = {}
    if options.provenance:
        about = {**restorer.origin, "source": path.name, "source_type": source_type(source.metadata.xmp) or None}
        if not any(size.inputs(height, width, restorer.scale) for height, width in sides):  # reduced, by no model
            about = {name: value for name, value in about.items() if name not in ("model", "method", "blend")}
    message = source.metadata if options.metadata else source.metadata.without_private()
    recurrent = source.animated and hasattr(restorer, "running")
    restore = restorer.running(size).restore_raster if recurrent else partial(restorer.restore_raster, **given)
    made = [restore(frame) for frame in source.frames]
    with writing(target, "another folder for --out"):
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as file:
            write_image(file, made, message.enlarged(about, path), about, source.motion, options.quality)
