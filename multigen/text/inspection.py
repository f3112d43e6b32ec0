"""What a text file or a folder of them holds, and how one would train on it."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from multigen.console import counted
from multigen.data.inspection import Inspection, Suggestion, batch_for, listed, spread
from multigen.errors import ConfigError, DataError
from multigen.storage.files import expanded
from multigen.text.files import BLANK_LINES, UNDECODED, count_words, is_fables, normal, open_documents, open_texts
from multigen.text.oracle import Oracle
from multigen.text.tokenizers import WIDE, Tokenizer

__all__ = ["inspect_texts"]

WORDS_AT_MOST = 6_000  # different words, beyond which byte pairs make the smaller vocabulary
LENGTHS = (8, 128)  # tokens, between which lengths are suggested
MEASURED = 2_000  # texts whose tokens are counted
FEW = 1_000  # texts


def inspect_texts(data: str) -> Inspection:
    """Units, lengths, scripts, vocabulary, duplicates and encoding faults of what `open_texts` takes, or what `oracle` is;
    nothing is downloaded.

    Raises ConfigError for the name of a data set on the hub, and DataError where there is nothing to read.
    """
    if data.startswith("hf:") and not expanded(data[3:]).exists():
        raise ConfigError(f"{data}: inspect downloads nothing; expected a folder or file that is here, or fables")
    if data == "oracle":
        return _oracle()
    documents, unit = open_documents(data)
    found = Inspection()
    whole = "".join(text for _, text in documents)
    lines = [line for _, text in documents for line in text.split("\n")]
    blank = sum(not line.strip() for line in lines)
    blocks = sum(len(BLANK_LINES.split(text.strip())) for _, text in documents)
    value = {"files": len(documents), "lines": len(lines), "blank_lines": blank, "blocks": blocks}
    text = f"files {len(documents):,}, lines {len(lines):,} (blank {blank:,}), blocks between blank lines {blocks:,}"
    if is_fables(data) or data.startswith("hf:"):
        value, text = {"entries": len(documents)}, f"{len(documents):,} entries"
    found.add("layout", value, text)
    _describe_faults(found, documents, unit)
    _describe_scripts(found, whole)
    found.add("bytes", size := len(whole.encode(errors="surrogateescape")), f"{size / 1e6:,.2f} MB")
    try:
        texts = open_texts(data, "auto", skip_bad=True)
    except DataError as error:
        found.warnings.append(str(error))
        return found
    _describe_texts(found, texts, unit)
    if is_fables(data):
        found.suggestions = [Suggestion("seqgan", "laptop", (), "the preset laptop was made for them")]
    else:
        _suggest(found, texts, unit)
    return found


def _oracle() -> Inspection:
    """The network of seed 0, which writes the training data as training begins."""
    oracle, found = Oracle.seeded(0), Inspection()
    found.add("length", oracle.length, f"{oracle.length} tokens, in all sequences, unless --length says another")
    found.add("vocabulary", oracle.vocabulary, f"{oracle.vocabulary:,} different tokens, which have no meaning")
    found.suggestions = [Suggestion("seqgan", "paper", (), "the preset paper was made for it")]
    return found


def _describe_faults(found: Inspection, documents: Sequence[tuple[str, str]], unit: str) -> None:
    for where, text in documents:
        if not text.strip():
            found.unreadable.append((Path(where), "this file is empty"))
        if text.startswith(("\udcff\udcfe", "\udcfe\udcff")):
            found.unreadable.append((Path(where), "UTF-16, expected UTF-8; convert the file: iconv -f UTF-16 -t UTF-8"))
        elif UNDECODED.search(text):
            for number, line in enumerate(text.split("\n"), 1):
                if fault := UNDECODED.search(line):
                    byte = ord(fault[0]) - 0xDC00
                    found.unreadable.append((Path(where), f"line {number}: byte 0x{byte:02x} is no UTF-8"))
    if found.unreadable and unit != "line":
        files = len({path for path, _ in found.unreadable})
        found.warnings.append(
            f"{files} files are no UTF-8 or empty, and --skip-bad leaves each out as a whole; better convert them"
        )


def _describe_scripts(found: Inspection, text: str) -> None:
    """Adds how many different characters there are, and the scripts that the letters belong to, as Unicode names them."""
    characters = Counter(text)
    scripts: Counter[str] = Counter()
    for character, count in characters.items():
        if character.isalpha():
            scripts[unicodedata.name(character, "UNNAMED").split()[0].split("-")[0].lower()] += count
    letters = max(scripts.total(), 1)
    shares = {name: count / letters for name, count in scripts.most_common()}
    shown = ", ".join(f"{name} {share:.1%}" for name, share in list(shares.items())[:5])
    found.add(
        "characters",
        {"different": len(characters), "scripts": shares},
        f"{len(characters):,} different; letters: {shown}",
    )


def _describe_texts(found: Inspection, texts: Sequence[str], unit: str) -> None:
    found.add(
        "texts", {"count": len(texts), "unit": unit}, f"{len(texts):,}, each a {unit.replace('file', 'file or entry')}"
    )
    counts = [count_words(text) for text in texts]
    words = spread(counts) | {"total": sum(counts)}
    found.add(
        "words",
        words,
        f"{sum(counts):,}; a text has {words['least']} to {words['most']}, half of them up to {words['median']:g}",
    )
    repeats = Counter(normal(text) for text in texts)
    repeated = len(texts) - len(repeats)
    often = {text[:40]: n for text, n in repeats.most_common(3) if n > 1}
    found.add(
        "duplicates", repeated, f"{repeated:,} texts repeat others, most often {listed(often)}" if repeated else "none"
    )
    if repeated > len(texts) // 10:
        found.warnings.append(
            f"{repeated:,} of {len(texts):,} texts repeat others; they are kept together when texts are held out, but learned by "
            "heart sooner"
        )
    if len(repeats) < FEW:
        found.warnings.append(
            f"{len(repeats):,} different texts are few: expect them to be learned by heart; --patience stops early"
        )


def _suggest(found: Inspection, texts: Sequence[str], unit: str) -> None:
    if len({normal(text) for text in texts}) < 3:
        found.warnings.append(
            f"{counted(len(texts), 'texts')}, expected at least 3 different ones, to train, validate and test; add texts"
        )
        return
    try:
        tokenizer = Tokenizer.train(texts, "words")
    except DataError as error:
        found.warnings.append(str(error))
        return
    vocabulary = len(tokenizer)
    found.add("vocabulary", vocabulary, f"{vocabulary:,} different words and signs")
    wide = len(re.findall(f"[{WIDE}]", "".join(texts[:MEASURED])))
    kind, why = "words", f"{vocabulary:,} different words are few enough to be tokens"
    if wide * 2 > sum(map(len, texts[:MEASURED])):
        why = "Han and kana are tokens one by one"
    elif vocabulary > WORDS_AT_MOST:
        kind, why = "bpe", f"{vocabulary:,} different words are many, so byte pairs are the tokens"
        tokenizer = Tokenizer.train(texts, "bpe")
    step = -(-len(texts) // MEASURED)
    tokens = sorted(len(tokenizer.encode(text)) + 1 for text in texts[::step])  # their end included
    fitting = tokens[len(tokens) * 95 // 100]
    length = min(max(-(-fitting // 4) * 4, LENGTHS[0]), LENGTHS[1])
    over = sum(n > length for n in tokens) / len(tokens)
    if over > 0.1:
        found.warnings.append(
            f"{over:.0%} of the texts are longer than {length} tokens and would be cut (half have up to {median(tokens):g}); a "
            "longer --length costs time in proportion, another --unit makes shorter texts"
        )
    options = (
        "--unit",
        unit,
        "--tokenizer",
        kind,
        "--length",
        str(length),
        *(("--skip-bad",) if found.unreadable else ()),
    )
    reason = f"{len(texts):,} texts, each a {unit}; {why}; {1 - over:.0%} of them fit into {length}"
    found.suggestions = [Suggestion("seqgan", "default", (*options, *batch_for(len(texts) * 9 // 10)), reason)]
