"""Configurations: frozen dataclasses, as TOML and back. Nothing is executed, an unknown field is an error."""

import dataclasses
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from multigen.errors import ConfigError

__all__ = ["differences", "from_table", "read_toml", "to_table", "write_toml"]

T = TypeVar("T")


def to_table(config: Any) -> dict[str, Any]:
    """A dataclass as TOML values: tuples become lists, nested dataclasses tables."""
    return _plain(dataclasses.asdict(config))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def from_table(default: T, table: dict[str, Any], where: str) -> T:
    """`default` with the fields of `table` replaced. Raises ConfigError for an unknown field or a value of another type."""
    changes = {}
    for name, value in table.items():
        if name not in vars(default):
            raise ConfigError(f"{where}: unknown field {name!r}; the fields are {', '.join(vars(default))}")
        old = getattr(default, name)
        if dataclasses.is_dataclass(old) and isinstance(value, dict):
            value = from_table(old, value, f"{where}, {name}")
        elif isinstance(old, tuple) and isinstance(value, list):
            value = tuple(value)
        elif isinstance(old, float) and type(value) is int:
            value = float(value)
        if type(value) is not type(old):
            raise ConfigError(f"{where}: {name} = {value!r}; expected {type(old).__name__}, as in {old!r}")
        changes[name] = value
    return dataclasses.replace(default, **changes)  # pyright: ignore[reportArgumentType]


def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as TOML ({error}); give a configuration file") from error


def write_toml(path: Path, table: dict[str, Any]) -> None:
    """Writes whole or not at all."""
    import tomli_w

    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(tomli_w.dumps(table), encoding="utf-8")
    temporary.replace(path)


def differences(saved: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Fields that differ, as "name: saved -> now", sorted."""
    names = sorted(saved.keys() | now.keys())
    return [f"{n}: {saved.get(n)!r} -> {now.get(n)!r}" for n in names if saved.get(n) != now.get(n)]
