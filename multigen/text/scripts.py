"""Scripts that are written without spaces between words, as insides of classes of a regular
expression."""

import re

__all__ = ["JOINED", "SPACELESS", "WIDE", "is_spaceless"]

WIDE = (
    "\u2e80-\u2fdf\u3001-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff01-\uff9f\U00020000-\U0003ffff"
)
"""Han, kana, their punctuation."""
JOINED = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\u1b00-\u1b7f\ua980-\ua9ff"
    "\uaa60-\uaadf\U00011700-\U0001174f"
)
"""Thai, Lao, Tibetan, Burmese, Khmer, Tai, Javanese, Balinese, Ahom: letters with marks, phrases
parted by spaces."""
SPACELESS = WIDE + JOINED


def is_spaceless(text: str) -> bool:
    """Whether most letters of a text are of such scripts."""
    letters = sum(character.isalpha() for character in text)
    return len(re.findall(f"[{SPACELESS}]", text)) * 2 > max(letters, 1)
