"""Text for printing: escaped control characters, shell quoting, counts with singular and plural,
suggestions."""

import difflib
import re
import shlex
from collections.abc import Iterable

__all__ = ["counted", "did_you_mean", "printable", "resume_option", "shell_word", "shortened"]

UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0, DEL and C1: ESC and CSI begin commands to a terminal
    "\xad\u061c\u180e\u200b\u200e\u200f\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"  # invisible; marks and isolates
    "\u2028-\u202e"  # line and paragraph separators; embeddings and overrides, which change the order of letters
    "\ud800-\udfff]"  # bytes of a file's name that are not UTF-8
)
"""Characters that are printed as escapes, except the joiners U+200C and U+200D, which Persian,
Indic scripts and emoji need."""

LONGEST = 2_000
"""Maximum characters of a message."""


def printable(text: str, lines: bool = False) -> str:
    """`text` with control characters, and characters that hide or reorder others, as escapes such
    as \\x1b and \\u202e.

    Args:
        text: the text to print.
        lines: keep line breaks and tabs, for a text of several lines; not for a name or a message.
    """
    return UNSAFE.sub(lambda c: c[0] if lines and c[0] in "\n\t" else c[0].encode("unicode_escape").decode(), text)


def shortened(text: str, longest: int = LONGEST) -> str:
    """A message, without its middle where it is too long, such as one that quotes a value from a
    file: its subject comes first, and the remedy last."""
    return text if len(text) <= longest else f"{text[: longest // 2]} ... {text[-longest // 2 :]}"


def shell_word(text: str) -> str:
    """`text` as one word of a command line to copy: quoted where needed, with escapes that bash and
    zsh read."""
    if not UNSAFE.search(text):
        return shlex.quote(text)
    escaped = UNSAFE.sub(_bytes, text.replace("\\", r"\\").replace("'", r"\'"))
    return f"$'{escaped}'"


def counted(n: int, plural: str) -> str:
    """ "1 image", "1,234 images", "0 classes": a count with its noun, passed in the plural."""
    ends = {"ies": "y", "sses": "ss", "ches": "ch", "s": ""}
    end = next((end for end in ends if plural.endswith(end)), "")
    return f"{n:,} {plural.removesuffix(end) + ends.get(end, '') if n == 1 else plural}"


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """ "; did you mean dcgan?" for a word close to one of the choices, as the end of an error
    message; "" for any other."""
    near = difflib.get_close_matches(word.lower(), choices, 1)
    return f"; did you mean {near[0]}?" if near else ""


def resume_option(folder: object) -> str:
    """The option that resumes the run in a folder, quoted for a shell: --resume FOLDER."""
    return f"--resume {shell_word(str(folder))}"


def _bytes(match: re.Match[str]) -> str:
    errors = (
        "surrogateescape" if "\udc80" <= match[0] <= "\udcff" else "surrogatepass"
    )  # a file name's byte, or a lone surrogate
    return "".join(f"\\x{byte:02x}" for byte in match[0].encode("utf-8", errors))
