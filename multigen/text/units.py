"""Units of text: cutting files into lines, paragraphs or poems, and skipping unusable parts."""

import itertools
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from multigen.console import counted, say
from multigen.data.skipped import name_first
from multigen.errors import DataError
from multigen.text.encodings import BAD, conversion
from multigen.text.scripts import SPACELESS, is_spaceless

__all__ = [
    "BLANK_LINES",
    "DEFAULT",
    "UNDECODED",
    "Cut",
    "Document",
    "Reading",
    "Unit",
    "count_words",
    "cut_texts",
    "cutting",
    "encoding_error",
]

Unit = Literal["auto", "line", "file", "paragraph"]
"""What counts as one text of a file."""

SHORT_FILE = 2000  # characters; below this median a folder's files are texts of their own
WRAPPED = (1.2, 50)  # lines that a block holds on average where line breaks are those of prose
LONGEST = 10_000_000  # characters of a text: the longest novels have a third
STANZAS = 20  # of a poem on average, up to which wider gaps part poems
LEAST_WORDS = 3  # of a paragraph; shorter ones are titles
LEAST_BREAKS = 8  # lines, from which on verse is detected
SHORT_LINE = 20  # characters, up to which lines of a script without spaces are taken as those of poems
UNDECODED = re.compile(f"[{BAD}]")
BLANK_LINES = re.compile(r"\n\s*\n")
BETWEEN_POEMS = re.compile(r"\n[^\S\n]*\n[^\S\n]*\n\s*")


@dataclass(frozen=True)
class Reading:
    """How data are read."""

    unit: Unit = "auto"
    """ "line", "file" (for hf, tables and fables: an entry) or "paragraph": what lies between blank
    lines, with its white space collapsed; those of fewer than 3 words, such as titles, are left out
    and counted. "auto" takes

    - entries of hf, tables and fables as they are;
    - a folder of several files as files if their median is below 2,000 characters; also files of
      one long line;
    - other files as paragraphs if they have blank lines with 1.2 to 50 lines between them on
      average, as prose with line breaks does, else as lines. Paragraphs whose lines end before they
      are full, as those of poems do, keep their lines."""
    skip_bad: bool = False
    """Leave out, and count, lines that are damaged or too long (files, where they are not cut into
    lines) and empty files."""
    encoding: str = ""
    """Of files that are not UTF-8 and have no mark; empty: there are none."""
    column: str = ""
    """Of a table that holds the texts; empty: `text`, or the only one."""
    keep_lines: bool = False
    """Paragraphs keep their line breaks; where two blank lines or more stand between some, stanzas
    stay together."""
    label_column: str = ""
    """Of a table that holds their classes; empty: none."""
    split: str = ""
    """ "train", "validation" or "test", of a folder with such splits; empty: all of them."""


DEFAULT = Reading()


class Document(NamedTuple):
    """A file, a row of a table or another entry, uncut."""

    where: str
    text: str
    """Bytes that are no UTF-8 are what `UNDECODED` matches."""
    fault: str = ""
    """What is wrong with its encoding as a whole."""
    guessed: str = ""
    """The encoding that it is likely in, with a fault."""
    label: str = ""
    """Its class: of a table, or the folder it is in."""
    entry: bool = False
    """Whether it is a text as it is, and not a file."""

    @property
    def file(self) -> str:
        """Without the line of a table."""
        return self.where.rpartition(", line ")[0] if self.entry and ", line " in self.where else self.where


class Cut(NamedTuple):
    """How documents are cut."""

    unit: str
    keep_lines: bool


def cutting(documents: Sequence[Document], reading: Reading) -> Cut:
    """How documents are cut, by the settings of `reading`."""
    if reading.unit != "auto":
        return Cut(reading.unit, reading.keep_lines)
    if documents and documents[0].entry:
        return Cut("file", True)
    files = [document.text for document in documents]
    if len(files) > 1 and statistics.median(map(len, files)) < SHORT_FILE:
        return Cut("file", True)
    blocks = sum(len(BLANK_LINES.split(text.strip())) for text in files)
    lines = sum(bool(line.strip()) for text in files for line in text.split("\n"))
    if lines == len(files) and files and statistics.median(map(len, files)) >= SHORT_FILE:
        return Cut("file", True)  # books without line breaks
    if blocks > len(files) and WRAPPED[0] <= lines / blocks <= WRAPPED[1]:
        return Cut("paragraph", reading.keep_lines or _is_verse(files))
    return Cut("line", False)


def _is_verse(files: Sequence[str]) -> bool:
    """Whether lines end before they are full, as in poems and plays; in prose the next word would
    not have fitted."""
    breaks: list[tuple[int, int]] = []  # of lines with another after them: their length, and with the next word
    for text in files:
        lines = [line.strip() for line in text.split("\n")]
        for line, after in itertools.pairwise(lines):
            if line and after:
                breaks.append((len(line), len(line) + 1 + len(after.split()[0])))
    if len(breaks) < LEAST_BREAKS:
        return False
    width = sorted(length for length, _ in breaks)[len(breaks) * 95 // 100]
    if width <= SHORT_LINE and is_spaceless("".join(files)[:10_000]):
        return True
    return sum(needed > width for _, needed in breaks) * 2 < len(breaks)


def cut_texts(documents: Sequence[Document], cut: Cut, data: str, skip_bad: bool) -> list[tuple[str, str]]:
    """(text, label) of all documents. Skipped ones are counted and reported, with the first
    reasons."""
    texts: list[tuple[str, str]] = []
    bad: list[str] = []
    long: list[str] = []
    titles = 0
    for document in documents:
        if fault := _fault(document):
            if document.guessed or not skip_bad:
                raise DataError(fault)
            bad.append(fault)
            continue
        for number, piece in enumerate(document.text.split("\n") if cut.unit == "line" else [document.text], 1):
            if UNDECODED.search(piece):
                fault = _undecodable(document, number if cut.unit == "line" else 1, piece)
                if not skip_bad:
                    raise DataError(
                        f"{fault}; expected UTF-8 text; convert the file, or leave such lines out: --skip-bad"
                    )
                bad.append(fault)
            elif _longest(piece, cut.unit) > LONGEST:
                if not skip_bad:
                    raise DataError(
                        f"{document.where}: a text of more than {LONGEST:,} characters; divide it by line breaks, or leave "
                        "such texts out: --skip-bad"
                    )
                line = f", line {number}" if cut.unit == "line" else ""
                long.append(f"{document.where}{line}: {len(piece):,} characters")
            elif cut.unit == "paragraph":
                blocks = _blocks(document.where, piece, cut.keep_lines)
                paragraphs = [block for block in blocks if count_words(block) >= LEAST_WORDS]
                titles += len(blocks) - len(paragraphs)
                texts += [(block, document.label) for block in paragraphs]
            elif piece.strip():
                texts.append((piece.strip(), document.label))
    items = "lines" if cut.unit == "line" else "files"
    if bad:
        say(f"{data}: {items} left out, empty or no UTF-8: {len(bad)}")
        name_first([fault.partition(";")[0] for fault in bad])
    if long:
        say(f"{data}: {items} left out, of more than {LONGEST:,} characters: {len(long)}")
        name_first(long)
    if titles:
        say(f"{data}: {counted(len(texts), 'paragraphs')}, {titles} of fewer than {LEAST_WORDS} words left out")
    return texts


def _fault(document: Document) -> str:
    """Why a whole document is unusable, and how to fix it; "" for a usable one."""
    if document.fault:
        return encoding_error(document)
    if not document.text.strip():
        return f"{document.where}: this file is empty; expected text; remove it, or leave such files out: --skip-bad"
    return ""


def encoding_error(document: Document) -> str:
    """The fault of a document's encoding, and how to fix it."""
    fault, guessed = f"{document.where}: {document.fault}; expected UTF-8 text", document.guessed
    if not guessed:
        return f"{fault}; convert the file, or leave it out: --skip-bad"
    return (
        f"{fault}; read it as that: --encoding {guessed}, or convert it: {conversion(document.file, guessed)} (--skip-bad "
        "leaves out no file for its encoding)"
    )


def _undecodable(document: Document, line: int, piece: str) -> str:
    match = UNDECODED.search(piece)
    assert match
    line += piece.count("\n", 0, match.start())
    description = "a NUL" if match[0] == "\x00" else f"byte 0x{ord(match[0]) - 0xDC00:02x} is no UTF-8"
    return f"{document.where}, line {line}: {description}"


def _longest(piece: str, unit: str) -> int:
    """Characters of the longest text in a piece, where that may be more than are allowed."""
    if len(piece) <= LONGEST or unit != "paragraph":
        return len(piece)
    return max(map(len, BLANK_LINES.split(piece)))


def _blocks(where: str, document: str, keep_lines: bool) -> list[str]:
    """Blocks between blank lines; each as one line, or with its lines."""
    document = document.strip()
    if keep_lines:
        poems, stanzas = BETWEEN_POEMS.split(document), BLANK_LINES.split(document)
        parts = poems if len(poems) > 2 and len(poems) * STANZAS >= len(stanzas) else stanzas
        return ["\n".join(line.rstrip() for line in part.strip("\n").split("\n")) for part in parts if part.strip()]
    blocks = [" ".join(block.split()) for block in BLANK_LINES.split(document)]
    lines = document.count("\n") + 1
    if len(blocks) == 1 and lines > WRAPPED[1]:
        say(f"{where}: no blank line between {lines} lines, which are taken as one paragraph")
    return [block for block in blocks if block]


def count_words(text: str) -> int:
    """Number of words; characters of scripts without spaces count singly."""
    return len(re.findall(rf"[{SPACELESS}]|[^\W{SPACELESS}]\S*", text))
