"""Long texts, such as books: passages that training and test divide between them, and windows of
tokens over each passage."""

from collections.abc import Sequence

import torch
from torch import Tensor

from multigen.text.scripts import is_spaceless
from multigen.text.tokenizers import Tokenizer
from multigen.text.units import count_words

__all__ = ["are_long", "encode_windows", "passages"]

LONG = 2  # windows that a text takes at least, to be divided
WINDOWS = 8  # of a passage, about
LETTERS = 4  # of a token, about, where words have spaces between them
LEAST = 20  # passages of all texts together, so that there are some to test on


def are_long(texts: Sequence[str], length: int) -> bool:
    """Whether some texts take so many tokens that cutting them at `length` would leave out more
    than is kept."""
    return any(len(text) > length and count_words(text) >= LONG * length for text in texts)


def passages(text: str, length: int, total: int) -> list[str]:
    """A text in passages of about `WINDOWS` windows of `length` tokens, cut before white space.
    Together they are the text.

    Args:
        total: characters of all texts; of few there are shorter passages.
    """
    letters = 1 if is_spaceless(text[:10_000]) else LETTERS
    size = max(min(WINDOWS * length * letters, total // LEAST), length)  # characters
    parts, begin = [], 0
    while len(text) - begin > size * 3 // 2:
        end = begin + size
        space = max(text.rfind(sign, begin + size // 2, end) for sign in " \n")
        end = space if space > begin else end
        parts.append(text[begin:end])
        begin = end
    return [passage for passage in (*parts, text[begin:]) if passage.strip()]


def encode_windows(texts: Sequence[str], tokenizer: Tokenizer, length: int) -> tuple[Tensor, list[int]]:
    """Token ids int64 (N, length): windows one after the other over each text, the last one
    overlapping the one before it to be full. A text that fits with its end is one row, as of
    `multigen.text.files.encode`; no other window has an end. Also the index of the text of each
    window."""
    rows, owners = [], []
    for owner, text in enumerate(texts):
        ids = tokenizer.encode(text)
        if len(ids) < length:
            rows.append([*ids, tokenizer.end] + [tokenizer.pad] * (length - 1 - len(ids)))
            owners.append(owner)
            continue
        starts = [*range(0, len(ids) - length + 1, length)]
        if starts[-1] + length < len(ids):
            starts.append(len(ids) - length)
        rows += [ids[start : start + length] for start in starts]
        owners += [owner] * len(starts)
    return torch.tensor(rows, dtype=torch.int64).view(-1, length), owners
