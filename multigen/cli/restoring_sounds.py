"""`multigen restore` of sounds: files and whole folders through a model of recordings, or of
mels."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from multigen.catalogue import MODALITIES, TASKS
from multigen.cli.film_options import check_unused
from multigen.cli.jobs import Jobs, left_of, print_jobs, report_bad, show_counts, try_each
from multigen.cli.loaded import task_of
from multigen.cli.masks import NO_HOLES
from multigen.cli.restoring import load_restorer
from multigen.cli.restoring_options import Options
from multigen.cli.targets import Files, is_file_name, targets_of
from multigen.console import counted
from multigen.console.bar import bar
from multigen.data.skipped import LIST, is_list
from multigen.errors import ConfigError
from multigen.storage.output import check_folder, check_targets

__all__ = ["restore_sounds"]

SUFFIX = ".wav"
"""Of the results in a folder."""


def restore_sounds(verb: str, inputs: list[Path], out: Path, model: str, options: Options, default: str = "") -> None:
    """Takes sounds through a model for a verb, and says what was made. Arguments as of
    `multigen.cli.restoring.restore_images`."""
    _check_options(options)
    files = _files(model or (options.blend or ("",))[0], options.code)
    folder, other = (
        (out.parent, "another file for --out") if is_file_name(out, files) else (out, "another folder for --out")
    )
    jobs = targets_of(verb, inputs, out, lambda _: SUFFIX, files)
    check_folder(folder, other)
    jobs, there = left_of(jobs, options.existing, other)
    check_targets(jobs.values(), options.replaces, other)
    if options.skip_bad:
        check_targets([folder / LIST], options.replaces, other, is_list)
    restorer = load_restorer(verb, model, options)
    _check_rate(restorer, jobs, options.rate)
    bad = _restore(verb, restorer, jobs, options)
    made = {source: target for source, target in jobs.items() if source not in bad}
    noun = MODALITIES["audio"].items
    report_bad(folder, bad, noun)
    if options.json:
        requested = {"model": model} if options.blend is None else {"blend": options.blend}
        print_jobs(requested, noun, made, there, bad)
        return
    show_counts(f"{counted(len(made), noun)} in {out}", there, bad)


def _files(model: str, code: str) -> Files:
    """What a model takes: sounds, and what its task takes besides."""
    from multigen.audio.files import AUDIO, WRITES

    extra = TASKS[task_of(model, code)[0]].takes if model else ()
    return Files(replace(AUDIO, suffixes=(*AUDIO.suffixes, *extra)), (((*AUDIO.readable, *extra), WRITES),))


def _check_options(options: Options) -> None:
    """Raises ConfigError for an option of images or films."""
    check_unused(options.film)
    given = {
        "tile": options.tile is not None,
        "frames": options.frames != "first",
        "format": options.format is not None,
        "quality": options.quality is not None,
        "no-metadata": not options.metadata,
        **{("mask", "dilate", "feather")[i]: getattr(options.holes, field.name) is not None
           for i, field in enumerate(fields(NO_HOLES)[:3])},
    }  # fmt: skip
    if wrong := [name for name, is_given in given.items() if is_given]:
        raise ConfigError(f"--{wrong[0]}: for images, and the model is of sounds; leave it out")
    if options.rate is not None and options.rate < 1:
        raise ConfigError(f"--rate {options.rate}: expected 1 Hz or more, such as 16000")


def _check_rate(restorer: Any, jobs: Jobs, rate: int | None) -> None:
    """Raises ConfigError for a rate of the results that the model or a format does not have."""
    from multigen.audio.files import check_written

    if rate is not None:
        restorer.check_rate(rate)
        for target in {target.suffix: target for target in jobs.values()}.values():
            check_written(target, rate, 1)


def _restore(verb: str, restorer: Any, jobs: Jobs, options: Options) -> dict[Path, str]:
    """Restores sounds. Returns those that are no good, and why, if they are to be skipped."""
    bad: dict[Path, str] = {}
    with bar(verb, len(jobs)) as shown:
        for source, target in jobs.items():
            try_each(
                _restore_file, restorer, source, target, options, bad, "cut the recording into parts, or free some"
            )
            shown.advance(1)
    return bad


def _restore_file(restorer: Any, source: Path, target: Path, options: Options) -> None:
    from multigen.audio.writing import restore_file

    about = {**restorer.origin, "source": source.name} if options.provenance else {}
    restore_file(restorer, source, target, options.rate or 0, about)
