"""Configurations: frozen dataclasses, as TOML and back; and the options of a run, common to all
methods."""

import ast
import contextlib
import dataclasses
import difflib
import functools
import inspect
import numbers
import os
import re
import textwrap
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from multigen.console.notebook import html_table
from multigen.errors import ConfigError
from multigen.storage.files import write_whole
from multigen.storage.older import run_table
from multigen.storage.reading import CONFIG, read_bounded

__all__ = [
    "BELOW_ONE",
    "FREE",
    "Run",
    "Settings",
    "check_ranges",
    "check_texts",
    "check_types",
    "differences",
    "differing",
    "field_docs",
    "from_table",
    "is_pair",
    "parse_choices",
    "read_config",
    "read_toml",
    "to_table",
    "write_toml",
]

T = TypeVar("T")

DOTS = 64  # of a line, but those of numbers: the time that a dotted key takes grows as the square of their number
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+\.\d+(e[-+]?\d+)?(?![\w.])")


class Settings:
    """Base of configurations: types and ranges of the fields are checked, and the docstring
    documents them."""

    ranges: ClassVar[Mapping[str, float | tuple[float, float]]] = {}
    """Field -> minimum, or (minimum, maximum)."""
    earlier: ClassVar[Mapping[str, Any]] = {}
    """Field -> what it stands for in runs made before it was added, which may be resumed with this
    value."""

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        cls.__doc__ = _FieldsToo(cls.__dict__.get("__doc__"))  # pyright: ignore[reportAttributeAccessIssue]

    def __post_init__(self):
        check_types(self)
        check_ranges(self, self.ranges)

    def _repr_html_(self) -> str:
        docs = field_docs(type(self))
        lines = [(name, repr(value), docs.get(name, "")) for name, value in vars(self).items()]
        return html_table(lines, ("setting", "value", "what it is"), type(self).__name__)


class _FieldsToo:
    """The docstring of a dataclass with its fields, as `help` shows it: read from the source on
    access."""

    def __init__(self, own: str | None):
        self.own = own

    def __get__(self, _: object, kind: type) -> str:
        if "__match_args__" not in vars(kind):  # `dataclass` looks for a docstring before it is done
            return self.own or kind.__name__
        docs, lines = field_docs(kind), []
        for field in dataclasses.fields(kind):  # pyright: ignore[reportArgumentType]
            default = "" if field.default is dataclasses.MISSING else f" = {field.default!r}"
            lines.append(f"    {field.name}: {_type_name(_hints(kind)[field.name])}{default}")
            lines += textwrap.wrap(docs.get(field.name, ""), 100, initial_indent=" " * 8, subsequent_indent=" " * 8)
        about = (self.own or f"How {kind.__name__.removesuffix('Config')} is trained.").strip()
        return "\n".join([about, "", "Settings:", *lines])


def field_docs(kind: type) -> dict[str, str]:
    """The docstring of each field in the source of a dataclass and its bases; {} without source."""
    return {name: doc for base in reversed(kind.__mro__[:-1]) for name, doc in _own_field_docs(base).items()}


@functools.cache  # `inspect` parses the whole file to find the class
def _own_field_docs(kind: type) -> dict[str, str]:
    try:
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except (OSError, TypeError):  # typed at a prompt
        return {}
    assert isinstance(body, ast.ClassDef)
    docs: dict[str, str] = {}
    for field, after in zip(body.body, [*body.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match after:
                case ast.Expr(value=ast.Constant(value=str(doc))):
                    docs[field.target.id] = " ".join(doc.split())
    return docs


@dataclass(frozen=True)
class Run(Settings):
    """Options of a training run, common to all methods."""

    out: str = ""
    """Folder of the run; empty: runs/METHOD/DATE-TIME. A folder that holds a run is refused without
    --resume."""
    seed: int = 0
    """Seed of all randomness."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N, mps."""
    precision: Literal["auto", "bf16", "fp16", "fp32", "fp64"] = "auto"
    """auto: a trial before training measures fp32 and, where the hardware has it, bf16, which must
    be 1.1 times as fast; a run of fewer than 50 steps is fp32. Penalties are always in fp32."""
    layout: Literal["channels_last", "contiguous"] = "channels_last"
    """Memory format of images and 2-d convolutions; contiguous where the trial of precision auto
    finds it 1.1 times as fast."""
    minutes: float = 0.0
    """Training time: the speed is measured, and the steps that fit are fixed and recorded. 0: the
    steps as configured."""
    most_minutes: float = 0.0
    """Maximum training time of a preset: its steps are reduced to 3/4, 1/2 or 1/4 (then 1/8 and so
    on) to fit; 0: never. Not used with --minutes, --resume or --config, nor where a flag sets the
    steps."""
    accumulate: int = 1
    """Number of micro-batches per batch (gradient accumulation), to save memory."""
    workers: int = 0
    """Threads that prefetch batches; 0: batches are made between the steps."""
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
    """Licence of the training data, for the model card, such as cc-by-4.0; empty: the card says
    that it is not stated."""
    resume: str = ""
    """A run folder to resume; in a folder of runs, the newest."""
    start: str = ""
    """A run or model folder, or hf:OWNER/NAME, whose weights training starts from (fine-tuning)."""

    ranges: ClassVar[Mapping[str, float | tuple[float, float]]] = {
        **{"accumulate": 1, "log_every": 1, "save_every": 1, "validate_every": 1, "preview_every": 1, "keep": 1},
        **{"workers": (0, 256), "minutes": 0, "most_minutes": 0},
    }

    def resolved(self, device: str, precision: str, layout: str) -> "Run":
        """The options as a run records them: automatic choices resolved, options of this call alone
        left out."""
        resolved: dict[str, Any] = {"device": device, "precision": precision, "layout": layout}
        return dataclasses.replace(self, **resolved, out="", resume="", minutes=0.0, most_minutes=0.0)


FREE = {"out", "minutes", "most_minutes", "workers", "keep", "tensorboard", "data_license", "resume", "start"}
"""Options of a run that a resume may change: they do not affect the results."""
BELOW_ONE = 1 - 1e-6
"""Upper limit of Adam's betas: at 1 the moment estimates would never change, and torch refuses
it."""


LARGEST = {
    "width": 1 << 16, "discriminator_width": 1 << 16, "spectral_width": 1 << 16, "max_channels": 1 << 16, "group": 1 << 16,
    "latent": 1 << 16, "embedding": 1 << 16, "discriminator_embedding": 1 << 16, "heads": 1 << 12, "slots": 1 << 12,
    "expansion": 1 << 12, "size": 1 << 14, "crop": 1 << 14, "length": 1 << 24, "rate": 768_000, "post_filter": 1 << 20,
    "spectra": 1 << 20,
}  # fmt: skip
"""Setting -> maximum in every method, since configurations may come from others."""


def check_ranges(config: Any, ranges: Mapping[str, float | tuple[float, float]]) -> None:
    """Raises ConfigError for a number of `config`, alone or in a tuple, outside the bounds in
    `ranges` or above those in `LARGEST`.

    Args:
        ranges: field -> minimum, or (minimum, maximum); names that are no fields are skipped.
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


def parse_choices(setting: str, text: str, choices: Collection[str]) -> tuple[str, ...]:
    """ "a,b" as ("a", "b"); "" as (). Raises ConfigError for a name that is not among `choices`, or
    appears twice."""
    names = tuple(name.strip() for name in text.split(",")) if text else ()
    for name in names:
        if name not in choices or names.count(name) > 1:
            raise ConfigError(
                f"{setting} {text!r}: {name!r} is unknown or named twice; expected some of {','.join(choices)}"
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
    """`default` with the fields of `table` replaced. Raises ConfigError for an unknown field or a
    value of another type."""
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: {table!r}; expected a table of settings")
    changes, hints = {}, _hints(type(default))
    for name, value in table.items():
        if name not in vars(default):
            raise ConfigError(f"{where}: unknown field {name!r}; the fields are {', '.join(vars(default))}")
        old = getattr(default, name)
        if dataclasses.is_dataclass(old) and isinstance(value, dict):
            value = from_table(old, value, f"{where}, {name}")
        changes[name] = _fitted(name, value, hints[name], old, f"{where}: ")
    try:
        return dataclasses.replace(default, **changes)  # pyright: ignore[reportArgumentType]
    except ConfigError as error:  # of a value out of its range
        raise ConfigError(f"{where}: {error}") from error


def check_types(config: Any) -> None:
    """Raises ConfigError for a field of a dataclass whose value is of another type than the
    field's; for `__post_init__`.

    Equivalent values are converted: a list to a tuple, a path to a string, a numpy number to
    Python's, and one number to two where a setting has a first and a last value, such as `lr`.
    """
    hints = _hints(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        fitted = _fitted(field.name, value, hints[field.name], field.default)
        if fitted is not value and type(value) is not int:  # a whole number will do for a float
            object.__setattr__(config, field.name, fitted)  # frozen


_hints = functools.cache(get_type_hints)


def is_pair(name: str, hint: Any) -> bool:
    """Whether a field is the first and the last value of a schedule, for which one number may
    stand."""
    inside = get_args(hint)
    pair = get_origin(hint) is tuple and inside in ((float, float), (int, int))
    return pair and name != "betas"  # those are two decays, not the ends of a line


def _fitted(name: str, value: Any, hint: Any, example: Any, where: str = "") -> Any:
    """A value converted to the field's type. Raises ConfigError where that is impossible, or it is
    none of the field's choices."""
    if get_origin(hint) is Literal and value not in get_args(hint):
        near = difflib.get_close_matches(str(value), map(str, get_args(hint)), 1, 0.5)
        suggestion = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"{where}{name} = {value!r}; expected one of {', '.join(map(repr, get_args(hint)))}{suggestion}"
        )
    if is_pair(name, hint) and isinstance(value, numbers.Real) and not isinstance(value, bool):
        value = (value, value)
    try:
        return _typed(value, hint)
    except (TypeError, OverflowError) as error:
        such = "" if example is dataclasses.MISSING else f", as in {example!r}"
        raise ConfigError(f"{where}{name} = {value!r}; expected {_type_name(hint)}{such}") from error


def _typed(value: Any, hint: Any) -> Any:
    """A value from TOML, JSON or Python converted to a field's type: lists to tuples, integers to
    floats where these are expected, paths to strings, numpy numbers to Python's.

    Raises TypeError for one of another type, OverflowError for a whole number too large for a
    float.
    """
    kind, inside = get_origin(hint) or hint, get_args(hint)
    if kind is Literal and value in inside:
        return value
    if kind is float and isinstance(value, numbers.Real) and not isinstance(value, bool | float):
        return float(value)
    if kind is int and isinstance(value, numbers.Integral) and not isinstance(value, bool | int):
        return int(value)
    if kind is str and isinstance(value, os.PathLike):
        return str(value)
    if kind is tuple and isinstance(value, list | tuple):
        inside = inside[:1] * len(value) if inside[1:] == (...,) else inside
        if len(inside) == len(value):
            return tuple(map(_typed, value, inside))
    elif kind in (Union, UnionType):  # in a user's own method
        for each in inside:
            with contextlib.suppress(TypeError):
                return _typed(value, each)
    elif not isinstance(kind, type) or (isinstance(value, kind) and (kind is not int or not isinstance(value, bool))):
        return value
    raise TypeError(value)


def _type_name(hint: Any) -> str:
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
    """A run's config.toml, or a configuration file like it, converted to this version's names,
    whichever version wrote it. `inside`: a folder that must contain it, once links are followed."""
    return run_table(read_toml(path, inside))


def write_toml(path: Path, table: dict[str, Any]) -> None:
    """Writes atomically; does nothing where the file already has this content."""
    import tomli_w

    text = tomli_w.dumps(table)
    if not path.is_file() or path.read_bytes() != text.encode():
        write_whole(path, text)


def check_texts(value: Any) -> None:
    """Raises ConfigError for a text in a table that is not valid UTF-8, as file names may be: TOML
    cannot represent it."""
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
    """Sorted names whose values differ between the tables; a missing one counts as None."""
    names = sorted({name for table in tables for name in table})
    return [name for name in names if any(table.get(name) != tables[0].get(name) for table in tables)]


def differences(path: Path, method: str, config: Any, run: Run) -> tuple[list[str], int]:
    """Settings that differ from those saved at `path`, as "name: saved -> now", except options in
    `FREE`; and the saved `steps` where the only difference is more steps now, else 0."""
    table = read_config(path)
    saved = (table.get("method"), table.get("config", {}), table.get("run", {}))
    before, now = (
        {"method": name, **fields, **{k: v for k, v in options.items() if k not in FREE}}
        for name, fields, options in (saved, (method, to_table(config), to_table(run)))
    )
    names = differing({**config.earlier, **before} if isinstance(config, Settings) else before, now)
    lines = [f"{n}: {before.get(n)!r} -> {now.get(n)!r}" for n in names]
    steps = before.get("steps")  # a damaged file may have anything here
    return lines, steps if names == ["steps"] and isinstance(steps, int) and steps < now["steps"] else 0
