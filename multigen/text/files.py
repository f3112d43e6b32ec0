"""Texts: finding and reading them, cutting them into pieces, splitting them for training and testing, and token ids.

Files are UTF-8. What cannot be decoded is named with its path and line, or left out and counted (`skip_bad`).
"""

import bisect
import hashlib
import json
import re
import statistics
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from multigen.catalogue import MODALITIES
from multigen.console import counted, say
from multigen.data.folders import files_in
from multigen.data.locate import locate
from multigen.data.unread import check_readable, known
from multigen.errors import ConfigError, DataError, one_line
from multigen.storage.files import expanded, read_json
from multigen.storage.reading import JSON, UnreadableFile, check_file, check_folder, open_regular
from multigen.text.tokenizers import WIDE, Tokenizer

__all__ = [
    "BLANK_LINES",
    "TEXT",
    "UNDECODED",
    "Split",
    "Unit",
    "count_words",
    "encode",
    "is_fables",
    "normal",
    "open_documents",
    "open_texts",
    "split",
]

TEXT = MODALITIES["text"]
Unit = Literal["auto", "line", "file", "paragraph"]
"""What counts as one text of a file."""

EXPECTED = "a .txt file, a folder of them, fables, fables:N, hf:NAME, hf:NAME:COLUMN or hf:FOLDER"
FABLES = 12000  # stories, where no number is given
SHORT_FILE = 2000  # characters; below this median a folder's files are texts of their own
WRAPPED = (1.2, 50)  # lines that a block holds on average where line breaks are those of prose
LARGEST = 1 << 31  # bytes of a corpus, which is held in memory
LONGEST = 10_000_000  # characters of a text: the longest novels have a third
LEAST_WORDS = 3  # of a paragraph; shorter ones are titles
UNDECODED = re.compile("[\udc80-\udcff]")  # how Python's "surrogateescape" reads bytes that are no UTF-8
BLANK_LINES = re.compile(r"\n\s*\n")


@dataclass(frozen=True)
class Split:
    """Texts of the three parts; none is empty, and no text is in two of them."""

    train: list[str]
    validation: list[str]
    test: list[str]


# ---------------------------------------------------------------------------------------------------- reading


def open_texts(data: str, unit: Unit = "auto", skip_bad: bool = False) -> list[str]:
    """The texts meant by a data argument, in order; blank ones are skipped.

    - a .txt file, or a folder of .txt files, sorted by path at any depth; hidden ones are skipped. A relative path that does
      not exist here is looked up in the folder that the environment variable MULTIGEN_DATA names.
    - "fables", "fables:N": N made-up stories, 12,000 without a number.
    - "hf:NAME", "hf:NAME:COLUMN": the training split of a data set on the Hugging Face hub; also a folder that `datasets` saved
      by `save_to_disk`, or one of .jsonl files. Without a column it is `text`, or else the only one of strings.

    Args:
        unit: "line", "file" (for hf and fables: an entry) or "paragraph": what lies between blank lines, with its white space
            collapsed; those of fewer than 3 words, such as titles, are left out and counted. "auto" takes

            - entries of hf and fables as they are;
            - a folder of several files as files if their median is below 2,000 characters;
            - other files as paragraphs if they have blank lines with 1.2 to 50 lines between them on average, as prose with
              line breaks does, else as lines.
        skip_bad: leave out, and count, lines that are no UTF-8 or too long (files, where they are not cut into lines) and empty
            files.

    Raises:
        ConfigError: no such unit, no number after "fables:", or the library for hf is missing.
        DataError: nothing there, no text, or (without skip_bad) an empty file or bytes that are no UTF-8.
    """
    if unit not in get_args(Unit):
        raise ConfigError(f"unit {unit!r}: expected one of {', '.join(get_args(Unit))}; choose one")
    documents, auto = open_documents(data)
    if (unit, auto) == ("auto", "paragraph"):
        say(f"{data}: taken as paragraphs, since blank lines part its lines; --unit line takes each line")
    texts = _cut(documents, auto if unit == "auto" else unit, data, skip_bad)
    if not texts:
        raise DataError(
            f"{data} holds no text; expected at least one {unit.replace('auto', 'text')}, check its content"
        )
    return texts


def open_documents(data: str) -> tuple[list[tuple[str, str]], str]:
    """(where, content) of each file or entry of a data argument, uncut, and the unit that "auto" takes for them.

    Bytes that are no UTF-8 become what `UNDECODED` matches. Errors as of `open_texts`, but those of the contents.
    """
    if is_fables(data):
        return _fables(data), "file"
    if data.startswith("hf:"):
        return _hub(data), "file"
    documents = _files(data)
    return documents, _unit([text for _, text in documents])


def _files(data: str) -> list[tuple[str, str]]:
    """(path, content) of each file; bytes that are no UTF-8 become what `UNDECODED` matches."""
    place = locate(data, EXPECTED)
    if place.is_dir():
        files = files_in(place)
        paths = [path for path in files if path.suffix.lower() in TEXT.readable]
        if not paths:
            lines = ["no .txt file in this folder", *known(files, TEXT)]
            raise DataError(f"{place}: {'; '.join(lines)}; expected {EXPECTED}; check the path")
    elif place.suffix.lower() not in TEXT.readable:
        check_readable(place, TEXT)
        raise DataError(f"{place}: this file does not end in .txt; expected {EXPECTED}; rename it if it is plain text")
    else:
        paths = [place]
    try:
        if (total := sum(path.stat().st_size for path in paths)) > LARGEST:
            raise DataError(
                f"{place}: {total:,} bytes of text, which are held in memory; expected at most {LARGEST:,}; give a part of it"
            )
        for path in paths:
            check_file(path, LARGEST)
        return [(str(p), p.read_text(encoding="utf-8-sig", errors="surrogateescape")) for p in paths]
    except UnreadableFile as error:
        raise DataError(f"{place}: cannot be read ({error}); give a text file, or a folder of them") from error
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions") from error


def is_fables(data: str) -> bool:
    """Whether a data argument means the made-up stories: "fables", or "fables:N"."""
    return data.partition(":")[0] == "fables"


def _fables(data: str) -> list[tuple[str, str]]:
    number = data.partition(":")[2] or str(FABLES)
    if not (number.isascii() and number.isdigit() and int(number)):
        raise ConfigError(f"{data}: expected a whole number of stories after the colon, such as fables:{FABLES}")
    from multigen.text.fables import sample

    return [(data, story) for story in sample(int(number))]


def _hub(data: str) -> list[tuple[str, str]]:
    """Entries of a data set's text column; those without text are skipped."""
    name, column = data[3:], ""
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
    if files := sorted(folder.glob("*.jsonl")):  # read here: of lines nested deeply the library's reader crashes
        return _columns_of_lines(files)
    import datasets

    if folder.exists():
        _check_saved(folder)
        found: Any = datasets.load_from_disk(str(folder), keep_in_memory=True)  # mapped, a damaged one ends the process
    else:
        found = datasets.load_dataset(name, split="train")
    table = found["train"] if isinstance(found, dict) else found
    if folder.exists():
        table.data.table.validate(full=True)
    return {
        c: table[c] for c, kind in table.features.items() if getattr(kind, "dtype", "") in ("string", "large_string")
    }


def _check_saved(folder: Path) -> None:
    """Raises ValueError and others for a saved data set whose files are not regular ones in its folder."""
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
    """The columns of strings, of which some may lack, of files with a table in JSON on each line."""
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


# ---------------------------------------------------------------------------------------------------- cutting


def _unit(files: Sequence[str]) -> str:
    """What `open_texts` takes for a text where the unit is "auto"."""
    if len(files) > 1 and statistics.median(map(len, files)) < SHORT_FILE:
        return "file"
    blocks = sum(len(BLANK_LINES.split(text.strip())) for text in files)
    lines = sum(bool(line.strip()) for text in files for line in text.split("\n"))
    return "paragraph" if blocks > len(files) and WRAPPED[0] <= lines / blocks <= WRAPPED[1] else "line"


def _cut(documents: Sequence[tuple[str, str]], unit: str, data: str, skip_bad: bool) -> list[str]:
    """The texts of all documents. What is left out is counted and said."""
    texts, bad, long, titles = [], 0, 0, 0
    for where, document in documents:
        if not document.strip():
            if not skip_bad:
                raise DataError(
                    f"{where}: this file is empty; expected text; remove it, or leave such files out: --skip-bad"
                )
            bad += 1
        for piece in document.split("\n") if unit == "line" else [document]:
            if UNDECODED.search(piece):
                if not skip_bad:
                    raise _undecodable(where, document)
                bad += 1
            elif (
                len(piece) > LONGEST
                and max(map(len, BLANK_LINES.split(piece) if unit == "paragraph" else [piece])) > LONGEST
            ):
                if not skip_bad:
                    raise DataError(
                        f"{where}: a text of more than {LONGEST:,} characters; divide it by line breaks, or leave "
                        "such texts out: --skip-bad"
                    )
                long += 1
            elif unit == "paragraph":
                blocks = _blocks(where, piece)
                kept = [block for block in blocks if count_words(block) >= LEAST_WORDS]
                titles += len(blocks) - len(kept)
                texts += kept
            elif piece.strip():
                texts.append(piece.strip())
    if bad:
        say(f"{data}: {'lines' if unit == 'line' else 'files'} left out, empty or no UTF-8: {bad}")
    if long:
        say(f"{data}: {'lines' if unit == 'line' else 'files'} left out, of more than {LONGEST:,} characters: {long}")
    if titles:
        say(f"{data}: {counted(len(texts), 'paragraphs')}, {titles} of fewer than {LEAST_WORDS} words left out")
    return texts


def _blocks(where: str, document: str) -> list[str]:
    """What lies between blank lines, each block as one line."""
    blocks = [" ".join(block.split()) for block in BLANK_LINES.split(document.strip())]
    lines = document.strip().count("\n") + 1
    if len(blocks) == 1 and lines > WRAPPED[1]:
        say(f"{where}: no blank line between {lines} lines, which are taken as one paragraph")
    return [block for block in blocks if block]


def _undecodable(where: str, document: str) -> DataError:
    found = UNDECODED.search(document)
    assert found
    return DataError(
        f"{where}, line {document.count(chr(10), 0, found.start()) + 1}: byte 0x{ord(found[0]) - 0xDC00:02x} is no UTF-8; "
        "expected UTF-8 text; convert the file, or leave such lines out: --skip-bad"
    )


def count_words(text: str) -> int:
    """Number of words; Han and kana count singly."""
    return len(re.findall(rf"[{WIDE}]|[^\W{WIDE}]\S*", text))


# ---------------------------------------------------------------------------------------------------- splitting


def split(texts: Sequence[str], validation: float = 0.05, test: float = 0.05, where: str = "the data") -> Split:
    """Splits texts by a hash of what they say (SHA-256; after NFC, white space collapsed); each part keeps their order.

    Equal texts fall into one part, so none that is trained on is tested on, and texts added later move no other. Only where
    a part would be empty, as may happen with a few dozen texts, is it given the text of the next smallest hash.

    Args:
        validation, test: expected share of the different texts, above 0, together below 1.
        where: name of the data in errors.

    Raises:
        ConfigError: shares that cannot be.
        DataError: fewer than 3 different texts.
    """
    if not (validation > 0 and test > 0 and validation + test < 1):
        raise ConfigError(
            f"shares of validation {validation} and test {test}: expected both above 0, their sum below 1; give others"
        )
    hashes = [_hash(text) for text in texts]
    ranked = sorted(set(hashes))
    if len(ranked) < 3:
        raise DataError(
            f"{where} holds {len(ranked)} different texts; expected at least 3, to train, validate and test; give more, or cut "
            "them otherwise: --unit line, file or paragraph"
        )
    # Those of smallest hash are tested on, the next are validated on; at least one each, and one is left.
    first = min(max(bisect.bisect_left(ranked, test), 1), len(ranked) - 2)
    second = min(max(bisect.bisect_left(ranked, test + validation), first + 1), len(ranked) - 1)
    parts: tuple[list[str], list[str], list[str]] = ([], [], [])
    for text, h in zip(texts, hashes, strict=True):
        parts[(h >= ranked[first]) + (h >= ranked[second])].append(text)
    return Split(train=parts[2], validation=parts[1], test=parts[0])


def _hash(text: str) -> float:
    """0 to 1, even over different texts; all that a float holds, so that two of a million meet once in 18,000 times."""
    return (int.from_bytes(hashlib.sha256(normal(text).encode()).digest()[:8]) >> 11) / 2**53


def normal(text: str) -> str:
    """The form that texts share which count as equal: after NFC, with white space collapsed."""
    return " ".join(unicodedata.normalize("NFC", text).split())


# ---------------------------------------------------------------------------------------------------- ids


def encode(texts: Sequence[str], tokenizer: Tokenizer, length: int) -> tuple[Tensor, int]:
    """Token ids int64 (N, length): each text, its end, and pad up to the length; and the number of texts cut.

    A text that does not fit together with its end is cut: it fills the row, and there is no end.

    Raises:
        ConfigError: a length below 1.
        DataError: a text without tokens.
    """
    if length < 1:
        raise ConfigError(f"length {length}: expected at least 1 token a text; give a greater one")
    ids = torch.full((len(texts), length), tokenizer.pad, dtype=torch.int64)  # (N, length)
    cut = 0
    for i, text in enumerate(texts):
        found = tokenizer.encode(text)
        if not found:
            raise DataError(
                f"text {i + 1} of {len(texts)}, {text[:40]!r}, has no tokens; expected at least one; remove it"
            )
        cut += len(found) >= length
        row = [*found, tokenizer.end][:length]
        ids[i, : len(row)] = torch.tensor(row)
    return ids, cut
