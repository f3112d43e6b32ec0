"""Text columns of Hugging Face datasets, from the hub or saved in a folder."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from multigen.errors import ConfigError, DataError, one_line
from multigen.storage.files import expanded, read_json
from multigen.storage.reading import JSON, check_folder, open_regular

__all__ = ["open_hub"]

LARGEST = 1 << 31  # bytes, which are held in memory


def open_hub(data: str, column: str = "") -> list[tuple[str, str]]:
    """(data, text) of the entries of a data set's text column; those without text are skipped.

    Args:
        data: hf:NAME, hf:NAME:COLUMN or hf:FOLDER, as of `multigen.text.files.open_texts`.
        column: where `data` names none. Empty: `text`, or else the only one of strings.
    """
    name = data[3:]
    if ":" in name and not expanded(name).exists():
        name, _, column = name.rpartition(":")
    try:
        columns = _columns(name)
    except ImportError as error:
        raise ConfigError(f"{data} needs the package datasets ({error}); pip install 'multigen[hub]'") from error
    except Exception as error:  # missing, damaged, no network, a name that must be completed: each has its own errors
        raise DataError(
            f"{data} is not available ({one_line(error)}); expected a data set of the Hugging Face hub, "
            "which needs a network the first time, or a folder with .jsonl files or a saved data set"
        ) from error
    strings = [*columns]
    if not column:
        column = "text" if "text" in strings else strings[0] if len(strings) == 1 else ""
    if column not in strings:
        raise DataError(
            f"{data}: no column {column or 'text'} of strings; expected one of {', '.join(strings) or 'them at all'}; "
            f"say which: hf:{name}:COLUMN"
        )
    return [(data, text) for text in columns[column] if text and text.strip()]


def _columns(name: str) -> Mapping[str, Sequence[str | None]]:
    """The data set's columns of strings; of several splits, those of that for training."""
    folder = expanded(name)
    if files := sorted(folder.glob("*.jsonl")):  # read without the library, whose reader crashes on deeply nested lines
        return _columns_of_lines(files)
    import datasets

    if folder.exists():
        _check_saved(folder)
        dataset: Any = datasets.load_from_disk(str(folder), keep_in_memory=True)  # a damaged mapped one is fatal
    else:
        dataset = datasets.load_dataset(name, split="train")
    table = dataset["train"] if isinstance(dataset, dict) else dataset
    if folder.exists():
        table.data.table.validate(full=True)
    return {
        c: table[c] for c, kind in table.features.items() if getattr(kind, "dtype", "") in ("string", "large_string")
    }


def _check_saved(folder: Path) -> None:
    """Raises ValueError and others for a saved data set whose files are not regular ones in its
    folder."""
    if (file := folder / "dataset_dict.json").exists():
        splits = read_json(file, JSON)["splits"]
        _check_names(file, splits)
        for split in splits:
            _check_saved(folder / split)
    elif (file := folder / "state.json").exists():
        check_folder(folder)
        if (size := sum(path.stat().st_size for path in folder.iterdir())) > LARGEST:
            raise ValueError(
                f"{size:,} bytes, which are held in memory; expected at most {LARGEST:,}; save a part of it"
            )
        _check_names(file, [each["filename"] for each in read_json(file, JSON)["_data_files"]])


def _check_names(file: Path, names: Sequence[Any]) -> None:
    if not all(isinstance(name, str) and Path(name).name == name for name in names) or len({*names}) < len(names):
        raise ValueError(f"{file.name}: expected names of what is in its folder, each once")


def _columns_of_lines(files: Iterable[Path]) -> dict[str, list[str | None]]:
    """The columns of strings, of which some may lack, of files with a table in JSON on each
    line."""
    rows: list[dict[str, Any]] = []
    for path in files:
        with open_regular(path, LARGEST) as file:
            for i, line in enumerate(file, 1):
                try:
                    row = json.loads(line) if line.strip() else {}
                except (ValueError, RecursionError) as error:
                    raise ValueError(f"{path.name}, line {i}: no JSON ({error})") from error
                if not isinstance(row, dict):
                    raise ValueError(f"{path.name}, line {i}: expected a table")
                rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row.get(name) for row in rows] for name in names}
    return {name: c for name, c in columns.items() if {*map(type, c)} - {type(None)} == {str}}
