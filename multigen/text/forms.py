"""Forms of verse: how many lines a text has, and how long each is."""

import re
from collections import Counter
from collections.abc import Collection, Sequence

from multigen.text.metrics import Words

__all__ = ["DEFINITIONS", "Form", "form_of", "share_in_form", "usual_forms"]

BREAKS = re.compile(r"[\n,;:.!?\uff0c\u3001\uff1b\uff1a\u3002\uff01\uff1f]+")
LEAST = 0.01  # of the texts have a usual form
TOGETHER = 0.9  # of the texts have one of the usual forms, where there are such
Form = tuple[int, ...]
DEFINITIONS = {
    "form": "share of samples with a form of the data: the numbers of characters (words, in scripts with spaces) of its lines, "
    "which end at a sign or a line break, are those of at least a hundredth of the training texts; only for data of which nine "
    "in ten have such a form, of two lines or more; rhyme is not measured",
}


def form_of(text: str) -> Form:
    """Length of each line of a text, in words, or in characters of scripts without spaces. A line
    ends at a sign or a line break."""
    lengths = (len(Words().tokenize(line)) for line in BREAKS.split(text))
    return tuple(length for length in lengths if length)


def usual_forms(texts: Sequence[str]) -> set[Form]:
    """The forms, of two lines or more, that at least a hundredth of the texts have each; none
    unless nine in ten texts have one of them, as verse in strict forms does."""
    counts = Counter(map(form_of, texts))
    usual = {form for form, count in counts.items() if len(form) > 1 and count >= LEAST * len(texts)}
    return usual if sum(counts[form] for form in usual) >= TOGETHER * len(texts) else set()


def share_in_form(texts: Sequence[str], forms: Collection[Form]) -> float:
    """Share of texts that have one of the forms, 0..1."""
    return sum(form_of(text) in forms for text in texts) / len(texts)
