"""Words of a text as the published BLEU tables count them: the Penn Treebank's rules in NLTK's
form.

The rules are those of `nltk.tokenize.NLTKWordTokenizer` (NLTK 3.10, Apache-2.0), which extends
Robert MacIntyre's script of 1995. Splitting by other rules gives other figures, so the tests
compare with NLTK.
"""

import re

__all__ = ["words"]

_RULES = [  # (pattern, replacement), applied to the whole text one after the other
    # Opening quotes.
    (r"([«\u201c\u2018\u201e]|[`]+)", r" \1 "),
    (r"^\"", r"``"),
    (r"(``)", r" \1 "),
    (r"([ \(\[{<])(\"|\'{2})", r"\1 `` "),
    (r"(?i)(?<!\w)(\')(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)", r"\1 "),
    # Punctuation. A full stop is a word at the end of the text only.
    (r"([^\.])(\.)([\]\)}>\"' »\u201d\u2019]*+)\s*$", r"\1 \2 \3 "),
    (r"([:,])([^\d])", r" \1 \2"),
    (r"([:,])$", r" \1 "),
    (r"\.{2,}", r" \g<0> "),
    (r"[;@#$%&]", r" \g<0> "),
    (r"[\u2012-\u2015]", r" \g<0> "),
    (r"([^\.])(\.)([\]\)}>\"']*)\s*$", r"\1 \2\3 "),
    (r"[?!]", r" \g<0> "),
    (r"([^'])' ", r"\1 ' "),
    (r"[*]", r" \g<0> "),
    (r"[\]\[\(\)\{\}\<\>]", r" \g<0> "),
    (r"--", r" -- "),
    (r"^|\Z", " "),
    # Closing quotes and what an apostrophe joins to a word.
    (r"([»\u201d\u2019])", r" \1 "),
    (r"''", r" '' "),
    (r"\"", r" '' "),
    (r"\s+", r" "),
    (r"([^' ])('[sS]|'[mM]|'[dD]|') ", r"\1 \2 "),
    (r"([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ", r"\1 \2 "),
    # Contractions.
    (r"(?i)\b(can)(not)\b", r" \1 \2 "),
    (r"(?i)\b(d)('ye)\b", r" \1 \2 "),
    (r"(?i)\b(gim)(me)\b", r" \1 \2 "),
    (r"(?i)\b(gon)(na)\b", r" \1 \2 "),
    (r"(?i)\b(got)(ta)\b", r" \1 \2 "),
    (r"(?i)\b(lem)(me)\b", r" \1 \2 "),
    (r"(?i)\b(more)('n)\b", r" \1 \2 "),
    (r"(?i)\b(wan)(na)(?=\s)", r" \1 \2 "),
    (r"(?i) ('t)(is)\b", r" \1 \2 "),
    (r"(?i) ('t)(was)\b", r" \1 \2 "),
]
_COMPILED = [(re.compile(pattern), replacement) for pattern, replacement in _RULES]


def words(text: str) -> list[str]:
    """The text's words, with punctuation apart: "It's 3.88 (at most)." has It, 's, 3.88, (, at,
    most, ), and the full stop."""
    for pattern, replacement in _COMPILED:
        text = pattern.sub(replacement, text)
    return text.split()
