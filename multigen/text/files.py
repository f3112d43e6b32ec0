"""Texts: finding and reading them, splitting them for training and testing, and token ids.

Files are UTF-8, or have a mark (BOM) that says what they are, or are in the encoding that the user
names. Any other encoding is guessed and named, with the way to convert the file; damaged lines are
named, or left out and counted (`skip_bad`).
"""

import bisect
import hashlib
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from multigen.catalogue import MODALITIES
from multigen.console import say
from multigen.data.folders import files_in
from multigen.data.locate import locate
from multigen.data.parts import Parts, find_parts
from multigen.data.unread import check_readable, known
from multigen.errors import ConfigError, DataError
from multigen.storage.reading import UnreadableFile, read_bounded
from multigen.text import dialogues, fables
from multigen.text.encodings import check_encoding, decode
from multigen.text.hub import open_hub
from multigen.text.tables import TABLES, rows_of
from multigen.text.tokenizers import Tokenizer
from multigen.text.units import DEFAULT, Cut, Document, Reading, Unit, cut_texts, cutting

__all__ = [
    "TEXT",
    "Split",
    "Texts",
    "encode",
    "is_dialogues",
    "is_fables",
    "normal",
    "open_documents",
    "open_parts",
    "open_texts",
    "read_texts",
    "split",
]

TEXT = MODALITIES["text"]
EXPECTED = (
    "a .txt file, a folder of them, fables, fables:N, hf:NAME, hf:NAME:COLUMN or hf:FOLDER, or a table: .csv, .jsonl"
)
FABLES, DIALOGUES = 12000, 4000  # stories and dialogues, where no number is given
MOST_MADE = 10_000_000
LARGEST = 1 << 31  # bytes of a corpus, which is held in memory


@dataclass(frozen=True)
class Texts:
    """Texts, the label of each ("" for none), and how they were cut."""

    texts: list[str]
    labels: list[str]
    cut: Cut
    entries: bool
    """Whether they are rows of tables or entries of a data set, not files."""


@dataclass(frozen=True)
class Split:
    """Texts of the three parts; none is empty, and no text is in two of them."""

    train: list[str]
    validation: list[str]
    test: list[str]


# ---------------------------------------------------------------------------------------------------- reading


def open_texts(
    data: str,
    unit: Unit = "auto",
    skip_bad: bool = False,
    *,
    encoding: str = "",
    column: str = "",
    keep_lines: bool = False,
) -> list[str]:
    """The texts meant by a data argument, in order; blank ones are skipped. `read_texts` says what
    each argument means."""
    return read_texts(data, Reading(unit, skip_bad, encoding, column, keep_lines)).texts


def read_texts(data: str, reading: Reading) -> Texts:
    """The texts meant by a data argument, in order; blank ones are skipped.

    - a .txt file, or a folder of .txt files, sorted by path at any depth; hidden ones are skipped.
      A relative path that does not exist here is looked up in the folder that the environment
      variable MULTIGEN_DATA names.
    - a table, .csv, .tsv or .jsonl, or a folder of such, of which each row is a text.
    - "fables", "fables:N": N made-up stories, 12,000 without a number; "dialogues", "dialogues:N":
      made-up conversations, 4,000 without a number.
    - "hf:NAME", "hf:NAME:COLUMN": the training split of a data set on the Hugging Face hub; also a
      folder that `datasets` saved by `save_to_disk`, or one of .jsonl files. Without a column it is
      `text`, or else the only one of strings.

    Raises:
        ConfigError: no such unit or encoding, no number after "fables:", or the library for hf is
            missing.
        DataError: nothing there, no text, no such column, another encoding than UTF-8 or the one
            named, or (without skip_bad) an empty file or damaged bytes.
    """
    if reading.unit not in get_args(Unit):
        raise ConfigError(f"unit {reading.unit!r}: expected one of {', '.join(get_args(Unit))}; choose one")
    documents = open_documents(data, reading)
    cut = cutting(documents, reading)
    if reading.unit == "auto" and cut.unit == "paragraph":
        remark = "; their lines are short, as those of poems, and are kept" if cut.keep_lines else ""
        say(f"{data}: taken as paragraphs, since blank lines part its lines; --unit line takes each line{remark}")
    texts = cut_texts(documents, cut, data, reading.skip_bad)
    if not texts:
        raise DataError(
            f"{data} holds no text; expected at least one {'text' if reading.unit == 'auto' else reading.unit}, check its content"
        )
    return Texts([text for text, _ in texts], [label for _, label in texts], cut, documents[0].entry)


def open_documents(data: str, reading: Reading = DEFAULT) -> list[Document]:
    """Each file, row of a table, or entry of a data argument, uncut. Errors as of `read_texts`, but
    those of the contents."""
    check_encoding(reading.encoding)
    if is_fables(data):
        return [Document(*each, entry=True) for each in _made(data, FABLES, fables.sample)]
    if is_dialogues(data):
        return [Document(*each, entry=True) for each in _made(data, DIALOGUES, dialogues.sample)]
    if data.startswith("hf:"):
        return [Document(*each, entry=True) for each in open_hub(data, reading.column)]
    return _files(data, reading)


def _files(data: str, reading: Reading) -> list[Document]:
    place = locate(data, EXPECTED)
    parts = _parts(place, reading)
    paths = parts.of(reading.split) if reading.split else sorted([*parts.train, *parts.validation, *parts.test])
    try:
        if (total := sum(path.stat().st_size for path in paths)) > LARGEST:
            raise DataError(
                f"{place}: {total:,} bytes of text, which are held in memory; expected at most {LARGEST:,}; give a part of it"
            )
        return [document for path in paths for document in _file(path, parts, reading)]
    except UnreadableFile as error:
        raise DataError(f"{place}: cannot be read ({error}); give a text file, or a folder of them") from error
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions") from error


def open_parts(data: str, reading: Reading = DEFAULT) -> Parts | None:
    """The files of a folder of texts by their use; None for data that are no folder."""
    if (
        is_fables(data)
        or is_dialogues(data)
        or data.startswith("hf:")
        or not (place := locate(data, EXPECTED)).is_dir()
    ):
        return None
    return _parts(place, reading)


def _parts(place: Path, reading: Reading) -> Parts:
    """The files of a place by their use. Raises DataError where it holds no texts."""
    if place.is_dir():
        files = files_in(place)
        paths = [path for path in files if path.suffix.lower() in TEXT.readable]
        if reading.column or not paths:
            paths = [path for path in files if path.suffix.lower() in TABLES] or paths
        if not paths:
            lines = ["no .txt file in this folder", *known(files, TEXT)]
            raise DataError(f"{place}: {'; '.join(lines)}; expected {EXPECTED}; check the path")
    elif place.suffix.lower() not in (*TEXT.readable, *TABLES):
        check_readable(place, TEXT)
        raise DataError(f"{place}: this file does not end in .txt; expected {EXPECTED}; rename it if it is plain text")
    else:
        paths = [place]
    if reading.column and paths[0].suffix.lower() == ".txt":
        raise DataError(f"{place}: plain text has no column {reading.column!r}; expected a table; leave --column out")
    return find_parts(place, paths, files=True)


def _file(path: Path, parts: Parts, reading: Reading) -> list[Document]:
    """The text of a file, or those of the rows of a table."""
    decoded = decode(read_bounded(path, LARGEST), reading.encoding)
    suffix = path.suffix.lower()
    if suffix in TABLES and decoded.text.strip() and not (decoded.fault and not decoded.text):
        rows = rows_of(str(path), suffix, decoded.text, reading.column, reading.label_column)
        documents = [Document(where, text, decoded.fault, decoded.guessed, label, True) for where, text, label in rows]
        if not documents:
            raise DataError(f"{path} holds no text; expected rows with one; check the file, or name another --column")
        return documents
    inside = parts.below(path)
    return [Document(str(path), decoded.text, decoded.fault, decoded.guessed, inside[0] if len(inside) > 1 else "")]


def is_fables(data: str) -> bool:
    """Whether a data argument means the made-up stories: "fables", or "fables:N"."""
    return data.partition(":")[0] == "fables"


def is_dialogues(data: str) -> bool:
    """Whether a data argument means the made-up dialogues: "dialogues", or "dialogues:N"."""
    return data.partition(":")[0] == "dialogues"


def _made(data: str, usual: int, sample: Callable[[int], list[str]]) -> list[tuple[str, str]]:
    name, _, number = data.partition(":")
    number = number or str(usual)
    if not (number.isascii() and number.isdigit() and len(number) < 9 and 0 < int(number) <= MOST_MADE):
        things = {"fables": "stories"}.get(name, name)
        raise ConfigError(
            f"{data:.40}: expected a whole number of {things} after the colon, {MOST_MADE:,} at most, such as {name}:{usual}"
        )
    return [(data, text) for text in sample(int(number))]


# ---------------------------------------------------------------------------------------------------- splitting


def split(texts: Sequence[str], validation: float = 0.05, test: float = 0.05, where: str = "the data") -> Split:
    """Splits texts by a hash of their content (SHA-256; after NFC, white space collapsed); each
    part keeps their order.

    Equal texts fall into one part, so none that is trained on is tested on, and texts added later
    move no other. Only where a part would be empty, as may happen with a few dozen texts, is it
    given the text of the next smallest hash.

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
    # The smallest hashes are test texts, the next validation texts; at least one each, and one training text.
    first = min(max(bisect.bisect_left(ranked, test), 1), len(ranked) - 2)
    second = min(max(bisect.bisect_left(ranked, test + validation), first + 1), len(ranked) - 1)
    parts: tuple[list[str], list[str], list[str]] = ([], [], [])
    for text, h in zip(texts, hashes, strict=True):
        parts[(h >= ranked[first]) + (h >= ranked[second])].append(text)
    return Split(train=parts[2], validation=parts[1], test=parts[0])


def _hash(text: str) -> float:
    """0 to 1, even over different texts; all that a float holds, so that two of a million meet once
    in 18,000 times."""
    return (int.from_bytes(hashlib.sha256(normal(text).encode()).digest()[:8]) >> 11) / 2**53


def normal(text: str) -> str:
    """Normal form for comparing texts: NFC, with white space collapsed."""
    return " ".join(unicodedata.normalize("NFC", text).split())


# ---------------------------------------------------------------------------------------------------- ids


def encode(texts: Sequence[str], tokenizer: Tokenizer, length: int) -> tuple[Tensor, int]:
    """Token ids int64 (N, length): each text, its end, and pad up to the length; and the number of
    texts cut.

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
        encoded = tokenizer.encode(text)
        if not encoded:
            raise DataError(
                f"text {i + 1} of {len(texts)}, {text[:40]!r}, has no tokens; expected at least one; remove it"
            )
        cut += len(encoded) >= length
        row = [*encoded, tokenizer.end][:length]
        ids[i, : len(row)] = torch.tensor(row)
    return ids, cut
