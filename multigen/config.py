"""Configurations: frozen dataclasses, as TOML and back; and the options of a run, common to all methods."""

import dataclasses
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from multigen.errors import ConfigError
from multigen.storage.files import write_whole
from multigen.storage.older import run_table
from multigen.storage.reading import CONFIG, read_bounded

__all__ = [
    "BELOW_ONE",
    "FREE",
    "Run",
    "check_ranges",
    "check_texts",
    "chosen",
    "differences",
    "differing",
    "from_table",
    "read_config",
    "read_toml",
    "to_table",
    "write_toml",
]

T = TypeVar("T")

DOTS = 64  # of a line, but those of numbers: the time that a dotted key takes grows as the square of their number
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+\.\d+(e[-+]?\d+)?(?![\w.])")


@dataclass(frozen=True)
class Run:
    """How to train, whatever the method."""

    out: str = ""
    """Folder of the run; empty: runs/METHOD/DATE-TIME. A folder that holds a run is refused without --resume."""
    seed: int = 0
    """All randomness follows from it."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N, mps."""
    precision: Literal["auto", "bf16", "fp16", "fp32", "fp64"] = "auto"
    """auto: a trial before training measures fp32 and, where the hardware has it, bf16, which must be 1.1 times as fast; a run
    of fewer than 50 steps is fp32. Penalties are always in fp32."""
    layout: Literal["channels_last", "contiguous"] = "channels_last"
    """Memory format of images and 2-d convolutions; contiguous where the trial of precision auto finds it 1.1 times as fast."""
    minutes: float = 0.0
    """Training time: the speed is measured, then the steps are fixed to fit and recorded. 0: the steps as configured."""
    most_minutes: float = 0.0
    """Training time that a preset's steps are shortened to, in quarters of them (and where one is too long, its half, and so
    on); 0: never. Not used with --minutes, --resume or --config, nor where a flag gives the steps."""
    accumulate: int = 1
    """Micro-batches that an update's batch is divided into, to save memory."""
    workers: int = 0
    """Threads that make batches ahead; 0: batches are made between the steps."""
    compile: bool = False
    """torch.compile the networks (their penalties use the raw ones)."""
    log_every: int = 50
    """Steps between lines of metrics.jsonl."""
    save_every: int = 1000
    """Steps between checkpoints."""
    validate_every: int = 1000
    """Steps between validations, which choose the best checkpoint and stop early."""
    preview_every: int = 1000
    """Steps between previews."""
    keep: int = 2
    """Newest checkpoints kept, besides the best and the last of each stage."""
    tensorboard: bool = False
    """Also write TensorBoard event files."""
    data_license: str = ""
    """Licence of the training data, for the model card, such as cc-by-4.0; empty: the card says that it is not stated."""
    resume: str = ""
    """A run folder to resume; of a folder of runs the newest."""
    start: str = ""
    """A run or model folder, or hf:OWNER/NAME, whose weights training starts from (fine-tuning)."""

    def __post_init__(self):
        least = {"accumulate": 1, "log_every": 1, "save_every": 1, "validate_every": 1, "preview_every": 1, "keep": 1}
        check_ranges(self, least | {"workers": (0, 256), "minutes": 0, "most_minutes": 0})

    def resolved(self, device: str, precision: str, layout: str) -> "Run":
        """The options as a run records them: what was chosen by itself is named, what belongs to this call alone left out."""
        chosen: dict[str, Any] = {"device": device, "precision": precision, "layout": layout}
        return dataclasses.replace(self, **chosen, out="", resume="", minutes=0.0, most_minutes=0.0)


FREE = {"out", "minutes", "most_minutes", "workers", "keep", "tensorboard", "data_license", "resume", "start"}
"""Options of a run that a resume may change: they do not touch the numbers."""


BELOW_ONE = 1 - 1e-6
"""The most that a decay of Adam may be: of 1 it would never learn what gradients are like, and torch refuses it."""


LARGEST = {
    "width": 1 << 16, "discriminator_width": 1 << 16, "spectral_width": 1 << 16, "max_channels": 1 << 16, "group": 1 << 16,
    "latent": 1 << 16, "embedding": 1 << 16, "discriminator_embedding": 1 << 16, "heads": 1 << 12, "expansion": 1 << 12,
    "size": 1 << 14, "crop": 1 << 14, "length": 1 << 24, "rate": 768_000, "post_filter": 1 << 20, "spectra": 1 << 20,
}  # fmt: skip
"""Setting -> the most that it may be, in every method: a configuration that somebody else made may ask for anything."""


def check_ranges(config: Any, ranges: Mapping[str, float | tuple[float, float]]) -> None:
    """Raises ConfigError for a number of `config`, or one of several in a field, below the least or above the most allowed, there
    or in `LARGEST`.

    Args:
        ranges: field -> the least, or the least and the most; names that are no fields are skipped.
    """
    for name, bounds in ranges.items():
        least, most = bounds if isinstance(bounds, tuple) else (bounds, float("inf"))
        value = getattr(config, name, least)
        for number in value if isinstance(value, tuple) else (value,):
            if not least <= number <= most:
                expected = f"{least} or more" if most == float("inf") else f"{least} to {most}"
                raise ConfigError(f"{name} {number}: expected {expected}")
    for name, most in LARGEST.items():
        value = getattr(config, name, 0)
        for number in value if isinstance(value, tuple) else (value,):
            if number > most:
                raise ConfigError(f"{name} {number}: expected at most {most}")


def chosen(setting: str, text: str, known: Collection[str]) -> tuple[str, ...]:
    """ "a,b" as ("a", "b"); "" as (). Raises ConfigError for a name that is not `known`, or is there twice."""
    names = tuple(name.strip() for name in text.split(",")) if text else ()
    for name in names:
        if name not in known or names.count(name) > 1:
            raise ConfigError(
                f"{setting} {text!r}: {name!r} is unknown or named twice; expected some of {','.join(known)}"
            )
    return names


def to_table(config: Any) -> dict[str, Any]:
    """A dataclass as TOML values: tuples become lists, nested dataclasses tables."""
    return _plain(dataclasses.asdict(config))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def from_table(default: T, table: dict[str, Any], where: str) -> T:
    """`default` with the fields of `table` replaced. Raises ConfigError for an unknown field or a value of another type."""
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: {table!r}; expected a table of settings")
    changes, hints = {}, get_type_hints(type(default))
    for name, value in table.items():
        if name not in vars(default):
            raise ConfigError(f"{where}: unknown field {name!r}; the fields are {', '.join(vars(default))}")
        old = getattr(default, name)
        if dataclasses.is_dataclass(old) and isinstance(value, dict):
            value = from_table(old, value, f"{where}, {name}")
        hint = hints[name]
        if get_origin(hint) is Literal and value not in get_args(hint):
            raise ConfigError(f"{where}: {name} = {value!r}; expected one of {', '.join(map(repr, get_args(hint)))}")
        try:
            changes[name] = _typed(value, hint)
        except (TypeError, OverflowError) as error:
            raise ConfigError(f"{where}: {name} = {value!r}; expected {_called(hint)}, as in {old!r}") from error
    try:
        return dataclasses.replace(default, **changes)  # pyright: ignore[reportArgumentType]
    except ConfigError as error:  # of a value out of its range
        raise ConfigError(f"{where}: {error}") from error


def _typed(value: Any, hint: Any) -> Any:
    """A value of TOML or JSON as a field has it: lists as tuples, whole numbers as floats where such are expected.

    Raises TypeError for one of another type, OverflowError for a whole number too large for a float.
    """
    kind, inside = get_origin(hint) or hint, get_args(hint)
    if kind is Literal and value in inside:
        return value
    if kind is float and type(value) is int:
        return float(value)
    if kind is tuple and isinstance(value, list | tuple):
        inside = inside[:1] * len(value) if inside[1:] == (...,) else inside
        if len(inside) == len(value):
            return tuple(map(_typed, value, inside))
    elif type(value) is kind:
        return value
    raise TypeError(value)


def _called(hint: Any) -> str:
    """int, tuple[float, float], ..."""
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)


def read_toml(path: Path, inside: Path | None = None) -> dict[str, Any]:
    """The content of a regular file, in the folder `inside`. Raises ConfigError."""
    try:
        text = read_bounded(path, CONFIG, inside).decode()
        for number, line in enumerate(text.split("\n"), 1):
            if (dots := line.count(".") - len(NUMBER.findall(line))) > DOTS and not line.lstrip().startswith("#"):
                raise ValueError(f"line {number} has {dots:,} dots; expected at most {DOTS}")
        return tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read as TOML ({error}); give a configuration file") from error


def read_config(path: Path, inside: Path | None = None) -> dict[str, Any]:
    """A run's config.toml, or a configuration file like it, as this version writes it, whichever version wrote it. `inside`: a
    folder that it must be in, once links are followed."""
    return run_table(read_toml(path, inside))


def write_toml(path: Path, table: dict[str, Any]) -> None:
    """Writes whole or not at all; nothing where the file says the same already."""
    import tomli_w

    text = tomli_w.dumps(table)
    if not path.is_file() or path.read_bytes() != text.encode():
        write_whole(path, text)


def check_texts(value: Any) -> None:
    """Raises ConfigError for a text in a table that is no UTF-8, as names of files may be, and cannot stand in a TOML file."""
    match value:
        case str():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise ConfigError(
                    f"{value!r}: expected a name in UTF-8, as config.toml is written; rename it"
                ) from error
        case Mapping():
            check_texts([*value, *value.values()])
        case list() | tuple():
            for each in value:
                check_texts(each)


def differing(*tables: Mapping[str, Any]) -> list[str]:
    """Names, sorted, that have not the same value in all tables; one that is not there counts as None."""
    names = sorted({name for table in tables for name in table})
    return [name for name in names if any(table.get(name) != tables[0].get(name) for table in tables)]


def differences(path: Path, method: str, config: Any, run: Run) -> tuple[list[str], int]:
    """Settings that differ from those saved at `path`, as "name: saved -> now", options that do not touch the numbers apart;
    and the saved `steps` where nothing differs but more of them, else 0."""
    table = read_config(path)
    then = (table.get("method"), table.get("config", {}), table.get("run", {}))
    before, now = (
        {"method": name, **fields, **{k: v for k, v in options.items() if k not in FREE}}
        for name, fields, options in (then, (method, to_table(config), to_table(run)))
    )
    names = differing(before, now)
    lines = [f"{n}: {before.get(n)!r} -> {now.get(n)!r}" for n in names]
    steps = before.get("steps")  # of a damaged file anything, or nothing
    return lines, steps if names == ["steps"] and isinstance(steps, int) and steps < now["steps"] else 0
