"""Inspection of text files, with suggestions how to train on them."""

import itertools
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from multigen.console import counted
from multigen.data.inspection import Inspection, Suggestion, batch_for, describe_classes, listed, spread
from multigen.errors import ConfigError, DataError
from multigen.storage.files import expanded
from multigen.text import conversations
from multigen.text.encodings import conversion
from multigen.text.files import is_fables, normal, open_documents, open_parts
from multigen.text.oracle import Oracle
from multigen.text.scripts import is_spaceless
from multigen.text.tokenizers import Tokenizer
from multigen.text.units import BLANK_LINES, UNDECODED, Cut, Document, Reading, count_words, cut_texts, cutting
from multigen.text.windows import are_long

__all__ = ["inspect_texts"]

WORDS_AT_MOST = 6_000  # different words, beyond which byte pairs make the smaller vocabulary
LENGTHS = (8, 128)  # tokens, between which lengths are suggested
MEASURED = 2_000  # texts whose tokens are counted
FEW = 1_000  # texts
DESTROYED = 0.01  # of them, up to which words as tokens may change what stands between two spaces


def inspect_texts(data: str, encoding: str = "", column: str = "", label_column: str = "") -> Inspection:
    """Units, lengths, scripts, vocabulary, duplicates and encoding faults of what `read_texts`
    takes, or what `oracle` is; nothing is downloaded. Files in another encoding are described by
    the one that they are likely in.

    Raises ConfigError for the name of a data set on the hub, and DataError where there is nothing
    to read.
    """
    if data.startswith("hf:") and not expanded(data[3:]).exists():
        raise ConfigError(f"{data}: inspect downloads nothing; expected a folder or file that is here, or fables")
    if data == "oracle":
        return _oracle()
    reading = Reading("auto", True, encoding, column, label_column=label_column)
    inspection, parts = Inspection(), open_parts(data, reading)
    if parts and parts.divided:
        uses = [use for use in ("train", "validation", "test") if getattr(parts, use)]
        value = {use: len(getattr(parts, use)) for use in uses}
        text = ", ".join(f"{parts.folders(use)} ({counted(value[use], 'files')}) for {use}" for use in uses)
        inspection.add("splits", value, f"{text}; what follows is of those to train on")
        reading = replace(reading, split="train")
    documents = open_documents(data, reading)
    _describe_layout(inspection, documents, data)
    guessed = _describe_faults(inspection, documents)
    documents = [document._replace(fault="") if document.guessed else document for document in documents]
    dialogue = documents[0].entry and conversations.parse(documents[0].text) is not None
    if dialogue:  # what is said, one message per text
        said = conversations.content_of([document.text for document in documents])
        documents = [Document(data, text, entry=True) for text in said]
    cut = cutting(documents, reading)
    if inspection.unreadable and cut.unit != "line" and not guessed:
        files = len({path for path, _ in inspection.unreadable})
        inspection.warnings.append(
            f"{files} files are no UTF-8 or empty, and --skip-bad leaves each out as a whole; better convert them"
        )
    whole = "".join(document.text for document in documents)
    _describe_scripts(inspection, whole)
    inspection.add("bytes", size := len(whole.encode(errors="surrogateescape")), f"{size / 1e6:,.2f} MB")
    read = cut_texts(documents, cut, data, skip_bad=True)
    texts = [text for text, _ in read]
    if not texts:
        inspection.warnings.append(f"{data} holds no text; expected at least one text, check its content")
        return inspection
    _describe_texts(inspection, texts, cut)
    options = ("--column", column) if column else ()
    counts = dict(sorted(Counter(label for _, label in read).items()))
    if len(counts) > 1 and "" not in counts:
        describe_classes(inspection, counts, f" by {label_column or 'folders'}")
        options = (*options, "--conditional", *(("--label-column", label_column) if label_column else ()))
    if encoding or guessed:
        options = (*options, "--encoding", encoding or guessed)
    if is_fables(data):
        inspection.suggestions = [Suggestion("seqgan", "laptop", (), "the preset laptop was made for them")]
    elif dialogue:
        length = ("--length", "256")
        inspection.suggestions = [
            Suggestion("scratchgan", "default", length, "conversations, whose answers are learnt")
        ]
    else:
        _suggest(inspection, texts, cut, options)
    return inspection


def _describe_layout(inspection: Inspection, documents: Sequence[Document], data: str) -> None:
    if documents[0].entry:
        noun = "entries" if data.partition(":")[0] in ("fables", "dialogues", "hf") else "rows"
        inspection.add("layout", {noun: len(documents)}, counted(len(documents), noun))
        return
    lines = [line for document in documents for line in document.text.split("\n")]
    blank = sum(not line.strip() for line in lines)
    blocks = sum(len(BLANK_LINES.split(document.text.strip())) for document in documents)
    inspection.add(
        "layout",
        {"files": len(documents), "lines": len(lines), "blank_lines": blank, "blocks": blocks},
        f"files {len(documents):,}, lines {len(lines):,} (blank {blank:,}), blocks between blank lines {blocks:,}",
    )


def _oracle() -> Inspection:
    """The network of seed 0, which generates the training data when training begins."""
    oracle, inspection = Oracle.seeded(0), Inspection()
    inspection.add("length", oracle.length, f"{oracle.length} tokens, in all sequences, unless --length says another")
    inspection.add("vocabulary", oracle.vocabulary, f"{oracle.vocabulary:,} different tokens, which have no meaning")
    inspection.suggestions = [Suggestion("seqgan", "paper", (), "the preset paper was made for it")]
    return inspection


def _describe_faults(inspection: Inspection, documents: Sequence[Document]) -> str:
    """Adds what training would refuse or skip; returns the encoding that most files are likely in,
    if they are not UTF-8."""
    guesses: Counter[str] = Counter()
    for document in {document.file: document for document in documents}.values():
        where = Path(document.file)
        if document.fault:
            inspection.unreadable.append((where, document.fault))
            guesses[document.guessed] += bool(document.guessed)
        elif not document.text.strip():
            inspection.unreadable.append((where, "this file is empty"))
    for document in documents:
        for number, line in enumerate(document.text.split("\n") if UNDECODED.search(document.text) else (), 1):
            if fault := UNDECODED.search(line):
                description = "a NUL" if fault[0] == "\x00" else f"byte 0x{ord(fault[0]) - 0xDC00:02x} is no UTF-8"
                inspection.unreadable.append((Path(document.where), f"line {number}: {description}"))
    likely = guesses.most_common(1)[0][0] if guesses.total() else ""
    if likely:
        example = next(document.file for document in documents if document.guessed == likely)
        inspection.warnings.append(
            f"{counted(guesses.total(), 'files')} in another encoding than UTF-8, likely {' or '.join(g for g in guesses if g)}: "
            f"--encoding {likely} reads them, {conversion(example, likely)} converts one; --skip-bad does neither"
        )
    return likely


def _describe_scripts(inspection: Inspection, text: str) -> None:
    """Adds how many different characters there are, and the scripts that the letters belong to, as
    Unicode names them."""
    characters = Counter(text)
    scripts: Counter[str] = Counter()
    for character, count in characters.items():
        if character.isalpha():
            scripts[unicodedata.name(character, "UNNAMED").split()[0].split("-")[0].lower()] += count
    letters = max(scripts.total(), 1)
    shares = {name: count / letters for name, count in scripts.most_common()}
    listing = ", ".join(f"{name} {share:.1%}" for name, share in list(shares.items())[:5])
    inspection.add(
        "characters",
        {"different": len(characters), "scripts": shares},
        f"{len(characters):,} different; letters: {listing}",
    )


def _describe_texts(inspection: Inspection, texts: Sequence[str], cut: Cut) -> None:
    unit = cut.unit
    inspection.add(
        "texts", {"count": len(texts), "unit": unit}, f"{len(texts):,}, each a {unit.replace('file', 'file or entry')}"
    )
    if unit == "paragraph":
        kept = (
            "kept: lines end before they are full, as those of poems" if cut.keep_lines else "joined, as those of prose"
        )
        inspection.add("line_breaks", "kept" if cut.keep_lines else "joined", kept)
    counts = [count_words(text) for text in texts]
    words = spread(counts) | {"total": sum(counts)}
    inspection.add(
        "words",
        words,
        f"{sum(counts):,}; a text has {words['least']} to {words['most']}, half of them up to {words['median']:g}",
    )
    repeats = Counter(normal(text) for text in texts)
    repeated = len(texts) - len(repeats)
    often = {text[:40]: n for text, n in repeats.most_common(3) if n > 1}
    inspection.add(
        "duplicates", repeated, f"{repeated:,} texts repeat others, most often {listed(often)}" if repeated else "none"
    )
    if repeated > len(texts) // 10:
        inspection.warnings.append(
            f"{repeated:,} of {len(texts):,} texts repeat others; they are kept together when texts are held out, but learned by "
            "heart sooner"
        )
    if len(repeats) < FEW:
        inspection.warnings.append(
            f"{len(repeats):,} different texts are few: expect them to be memorised; --patience stops early"
        )


def _suggest(inspection: Inspection, texts: Sequence[str], cut: Cut, options: tuple[str, ...]) -> None:
    if len({normal(text) for text in texts}) < 3:
        inspection.warnings.append(
            f"{counted(len(texts), 'texts')}, expected at least 3 different ones, to train, validate and test; add texts"
        )
        return
    try:
        tokenizer, kind, why = _tokenizer(inspection, texts)
    except DataError as error:
        inspection.warnings.append(str(error))
        return
    step = -(-len(texts) // MEASURED)
    tokens = sorted(len(tokenizer.encode(text)) + 1 for text in texts[::step])  # their end included
    fitting = tokens[len(tokens) * 95 // 100]
    length = min(max(-(-fitting // 4) * 4, LENGTHS[0]), LENGTHS[1])
    over = sum(n > length for n in tokens) / len(tokens)
    if cut.unit == "file" and are_long(texts, length):
        fit = f"long ones are divided into windows of {length} tokens"
    else:
        fit = f"{1 - over:.0%} of them fit into {length}"
        if over > 0.1:
            inspection.warnings.append(
                f"{over:.0%} of the texts are longer than {length} tokens and would be cut (half have up to "
                f"{median(tokens):g}); a longer --length costs time in proportion, another --unit makes shorter texts"
            )
    if cut.unit == "paragraph" and cut.keep_lines:
        options = (*options, "--keep-lines")
    skip = any("--encoding" not in options or "line" in reason for _, reason in inspection.unreadable)
    options = (
        "--unit",
        cut.unit,
        *options,
        "--tokenizer",
        kind,
        "--length",
        str(length),
        *(("--skip-bad",) if skip else ()),
    )
    reason = f"{len(texts):,} texts, each a {cut.unit}; {why}; {fit}"
    inspection.suggestions = [Suggestion("seqgan", "default", (*options, *batch_for(len(texts) * 9 // 10)), reason)]


def _tokenizer(inspection: Inspection, texts: Sequence[str]) -> tuple[Tokenizer, str, str]:
    """The suggested tokenizer, its kind, and the reason."""
    words = Tokenizer.train(texts, "words")
    vocabulary = len(words)
    inspection.add("vocabulary", vocabulary, f"{vocabulary:,} different words and signs")
    some = texts[:: -(-len(texts) // MEASURED)]
    if sum(not _keeps_words(words, text) for text in some) > DESTROYED * len(some):
        why = "words and signs alone do not give them back as they are, byte pairs do"
    elif vocabulary > WORDS_AT_MOST:
        why = f"{vocabulary:,} different words are many, so byte pairs are the tokens"
    else:
        few = f"{vocabulary:,} different words are few enough to be tokens"
        return words, "words", "Han and kana are tokens one by one" if is_spaceless("".join(some)) else few
    return Tokenizer.train(texts, "bpe"), "bpe", why


def _keeps_words(tokenizer: Tokenizer, text: str) -> bool:
    """Whether encoding and decoding keeps words between spaces intact, and line breaks."""
    read = tokenizer.decode(tokenizer.encode(text))
    return "\n" not in text and set(_ends(read)) <= set(_ends(text)) and "".join(read.split()) == "".join(text.split())


def _ends(text: str) -> list[int]:
    """Where its words end, without the spaces."""
    return [*itertools.accumulate(map(len, text.split()))]
