"""Checks of a tokenizer.json of unknown origin, made before the `tokenizers` library reads it.

The library trusts its files: a hostile one makes it panic, match for minutes, or turn a word into
gigabytes of text. Its panics are no `Exception`, and are printed past Python.
"""

import contextlib
import os
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from multigen.errors import one_line

__all__ = ["LONGEST_ENTRY", "MOST_CHARACTERS", "check_regex", "check_table", "check_vocabulary", "guarded"]

MOST_CHARACTERS = 64 << 20
"""Of the file: the largest vocabularies of language models take 35 million."""
LONGEST_ENTRY = 1 << 16
"""Characters of an entry of a vocabulary."""
MOST_IDS = 1 << 24
MOST_ADDED, LONGEST_ADDED = 20_000, 256  # tokens beside the vocabulary, and their characters
MOST_VALUES, LONGEST_VALUE, DEEPEST = 2_000, 2_000, 6
"""Of the parts around the vocabulary: values, their characters, and levels of nesting."""
MOST_GROWTH = 1_000
"""Characters that one of a text may become on its way to tokens and back."""

PARTS = {
    "normalizer": "Sequence NFC NFD NFKC NFKD Nmt Lowercase Strip StripAccents Prepend Replace BertNormalizer ByteLevel",
    "pre_tokenizer": "Sequence ByteLevel Whitespace WhitespaceSplit BertPreTokenizer Metaspace Punctuation Digits Split "
    "CharDelimiterSplit UnicodeScripts",
    "post_processor": "Sequence ByteLevel BertProcessing RobertaProcessing TemplateProcessing",
    "decoder": "Sequence ByteLevel ByteFallback Fuse Metaspace WordPiece BPEDecoder Replace Strip",
}
"""Part of a tokenizer -> the types that it may have. Precompiled, a trie that is followed
unchecked, is none of them."""
MODELS = ("BPE", "WordPiece", "Unigram", "WordLevel")
MOST_WAYS = 256
"""In which a branch of a regular expression can match, its repetitions apart."""
OPTIONAL = re.compile(r"\??\)*(([^()?]|\([^()]*\))\?+\)*)*")
"""What may stand behind two repetitions: what need not be there."""
GROWTH = {"NFD": 4, "NFKD": 18, "NFKC": 18, "BertNormalizer": 3, "ByteLevel": 4}
"""Type -> characters that it makes of one, at most."""


def check_table(table: Any) -> None:
    """Raises ValueError for a table that is out of bounds, or has parts of other types than
    known."""
    allowed = {*PARTS, "version", "truncation", "padding", "added_tokens", "model"}
    if not isinstance(table, dict) or table.keys() - allowed:
        raise ValueError("expected a table of the tokenizers library")
    if table.get("truncation") is not None or table.get("padding") is not None:
        raise ValueError("truncation or padding: expected none")
    growth = 1.0
    for part, kinds in PARTS.items():
        _check_values(table.get(part), part)
        for component in _components(table.get(part), part):
            if component.get("type") not in kinds.split():
                raise ValueError(f"{part} of type {str(component.get('type'))[:50]!r}, expected one of {kinds}")
            growth *= _growth(component)
    if growth > MOST_GROWTH:
        raise ValueError(f"its parts make up to {growth:.3g} characters of one, expected at most {MOST_GROWTH:,}")
    _check_added(table.get("added_tokens") or [])
    _check_model(table.get("model"))


def _components(value: Any, part: str, deep: int = DEEPEST) -> Iterator[dict[str, Any]]:
    """A component, and those of a sequence."""
    if value is None:
        return
    if not isinstance(value, dict) or not deep:
        raise ValueError(f"{part}: expected a table that is not nested deeply")
    yield value
    for inside in value.values() if value.get("type") == "Sequence" else ():
        for each in inside if isinstance(inside, list) else ():
            yield from _components(each, part, deep - 1)


def _check_values(value: Any, where: str) -> None:
    """Raises ValueError for too many values, long ones or large ones."""
    left, waiting = MOST_VALUES, [value]
    while waiting:
        each, left = waiting.pop(), left - 1
        if left < 0:
            raise ValueError(f"{where} of more than {MOST_VALUES:,} values")
        match each:
            case dict():
                waiting += [*each, *each.values()]
            case list():
                waiting += each[: MOST_VALUES + 1]
            case str() if len(each) > LONGEST_VALUE:
                raise ValueError(f"{where}: {len(each):,} characters, expected at most {LONGEST_VALUE:,}")
            case int() | float() if not 0 <= each < MOST_IDS:
                raise ValueError(f"{where}: {each}, expected a smaller number")


def _growth(component: Mapping[str, Any]) -> float:
    """How many characters a component makes of one, at most. Raises ValueError for a pattern or
    number that is out of bounds."""
    kind, pattern, content = component["type"], component.get("pattern"), component.get("content")
    start, stop = component.get("start", 0), component.get("stop", 0)  # of a decoder's Strip
    if not 0 <= start <= 16 or stop != 0:
        raise ValueError(f"{kind} of {start} characters before and {stop} behind, expected at most 16, and 0")
    if kind not in ("Replace", "Split"):
        return GROWTH.get(kind, 1)
    if (
        not isinstance(pattern, dict)
        or len(pattern) != 1
        or not all(isinstance(p, str) and p for p in pattern.values())
    ):
        raise ValueError(f"{kind} without a pattern")
    if "Regex" in pattern:
        check_regex(pattern["Regex"])
    if kind == "Split":
        return 1
    if not isinstance(content, str):
        raise ValueError("Replace without content")
    # A regular expression may match between any two characters.
    return 1 + len(content) if "Regex" in pattern else max(1, len(content) / len(pattern["String"]))


def check_regex(pattern: str) -> None:
    """Raises ValueError for a regular expression that may take long: one that repeats a group or a
    repetition, has a back reference or more than two repetitions in a branch, requires something
    after two repetitions, or can match in very many ways. Those of language models have none of
    these."""
    simplified = re.sub(r"\\[pPx]\{[^}]*\}|\\[^0-9kg]", "a", pattern)  # escapes are one character
    if re.search(r"\\|\(\?[(~#&P0-9+]|\(\?[a-z-]*x", simplified):
        raise ValueError("a regular expression that refers back, or has comments")
    simplified = re.sub(r"([*+?])\+", r"\1", _without_classes(simplified))  # possessive ones do not go back
    repeated = r"(?:[*+]|\{\d*,?\d*\})"
    if re.search(rf"[)*+?}}]\??{repeated}", simplified):
        raise ValueError("a regular expression that repeats what may be repeated")
    simplified = re.sub(r"\(\?(?:[:=!>]|<[=!]|[imx-]+[:)])", "(", simplified)
    for branch in _branches(simplified):
        repetitions = [*re.finditer(repeated, branch)]
        if len(repetitions) > 2:
            raise ValueError("a regular expression with more than two repetitions in a branch")
        if len(repetitions) == 2 and not OPTIONAL.fullmatch(branch[repetitions[1].end() :]):
            raise ValueError(
                "a regular expression that goes back through two repetitions where what follows is missing"
            )
        if (ways := _ways(branch)) > MOST_WAYS:
            raise ValueError(f"a regular expression that matches in up to {ways:,} ways, expected at most {MOST_WAYS}")


def _without_classes(pattern: str) -> str:
    """The pattern with a letter in place of each character class, [...], which may hold others."""
    out, depth = [], 0
    for character in pattern:
        if character == "[":
            out += [] if depth else ["a"]
            depth += 1
        elif character == "]" and depth:
            depth -= 1
        elif not depth:
            out.append(character)
    if depth:
        raise ValueError("a regular expression with a class without an end")
    return "".join(out)


def _branches(pattern: str) -> list[str]:
    """Split at each | that is outside all groups."""
    out, depth = [""], 0
    for character in pattern:
        depth += (character == "(") - (character == ")")
        if character == "|" and not depth:
            out.append("")
        else:
            out[-1] += character
    return out


def _ways(branch: str) -> int:
    """In how many ways its options and alternatives can be taken, at most."""
    waiting, before, ways = [], 0, 1
    for character in branch:
        if character == "(":
            waiting.append((before, ways))
            before, ways = 0, 1
        elif character == "|":
            before, ways = before + ways, 1
        elif character == ")" and waiting:
            inside = before + ways
            before, ways = waiting.pop()
            ways *= inside
        elif character == "?":
            ways *= 2
    return before + ways


def _check_added(added: Any) -> None:
    if not isinstance(added, list) or len(added) > MOST_ADDED:
        raise ValueError(f"added_tokens: expected a list of at most {MOST_ADDED:,}")
    for token in added:
        content, number = token["content"], token["id"]
        if not isinstance(content, str) or not 0 < len(content) <= LONGEST_ADDED:
            raise ValueError(f"an added token: expected text of at most {LONGEST_ADDED} characters")
        if type(number) is not int or not 0 <= number < MOST_IDS:
            raise ValueError(f"added token {content!r}: id {number}, expected less than {MOST_IDS:,}")


def _check_model(model: Any) -> None:
    if not isinstance(model, dict) or model.get("type") not in MODELS:
        raise ValueError(f"no model of type {', '.join(MODELS)}")
    _check_values({k: v for k, v in model.items() if k not in ("vocab", "merges")}, "model")
    if model.get("dropout"):
        raise ValueError("dropout: expected none")
    vocabulary = model.get("vocab")
    if model["type"] == "Unigram":
        vocabulary = {entry: i for i, (entry, _) in enumerate(vocabulary or [])}
    check_vocabulary(vocabulary)


def check_vocabulary(vocabulary: Any) -> None:
    """Raises ValueError for one that is no table of entries of bounded length and their ids."""
    if not isinstance(vocabulary, dict) or not vocabulary:
        raise ValueError("no vocabulary")
    if max(map(len, vocabulary)) > LONGEST_ENTRY:
        raise ValueError(f"an entry of more than {LONGEST_ENTRY:,} characters")
    if not all(type(number) is int and 0 <= number < MOST_IDS for number in vocabulary.values()):
        raise ValueError(f"ids: expected whole numbers below {MOST_IDS:,}")


_redirecting = threading.Lock()


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Within it a panic of the tokenizers library, which is no `Exception`, becomes a ValueError,
    and prints nothing.

    The library prints to file descriptor 2, past Python; until the block ends, that leads nowhere.
    One thread at a time: two that restored it out of order would leave it so.
    """
    with _redirecting, contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # there may be no standard error
            saved = os.dup(2)
            stack.callback(os.close, saved)
            stack.callback(os.dup2, saved, 2)
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
        try:
            yield
        except BaseException as error:
            if type(error).__name__ != "PanicException":
                raise
            raise ValueError(f"the tokenizers library fails: {one_line(error)}") from None
