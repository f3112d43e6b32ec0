"""Decoding text files: by a byte order mark (BOM), as UTF-8, or in an encoding that the user names.

Other files are refused: the error names the likely encoding, which is guessed, and the command that
converts the file.
"""

import codecs
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from multigen.console import shell_word
from multigen.errors import ConfigError

__all__ = ["BAD", "Decoded", "check_encoding", "conversion", "decode", "guess"]

MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",  # before UTF-16: its mark begins with that of UTF-16
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
BAD = "\x00\udc80-\udcff"
"""Inside of a class of a regular expression: NUL, and how Python's "surrogateescape" reads bytes
that are no UTF-8."""
WIDE_ENCODINGS = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
CANDIDATES = (
    *("cp1252", "cp1251", "koi8-r", "shift_jis", "cp932", "euc_jp", "gb18030", "big5", "cp950", "euc_kr", "cp949"),
    *("cp1250", "cp1253", "cp1254", "cp1255", "cp1256", "cp874", "cp866", "mac_roman", "latin-1"),
)
"""In a tie the first one is chosen."""
MULTIBYTE = ("shift_jis", "cp932", "euc_jp", "gb18030", "big5", "cp950", "euc_kr", "cp949")
ICONV = {
    **{
        "mac_roman": "MACINTOSH",
        "latin-1": "LATIN1",
        "iso2022_jp": "ISO-2022-JP",
        "euc_jp": "EUC-JP",
        "euc_kr": "EUC-KR",
    },
    **{"utf-16-le": "UTF-16LE", "utf-16-be": "UTF-16BE", "utf-32-le": "UTF-32LE", "utf-32-be": "UTF-32BE"},
}
"""Encodings with another name in the command iconv."""
NO_TEXT = ("idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem")
SAMPLE = 4_000  # bytes that an encoding is guessed from
PLAUSIBLE = 0.45
FEW = 5  # letters of another alphabet than the Latin one (CJK count twice), where the rest is ASCII
LIKELIEST = 0.08  # prior advantage of the most frequent encoding
ALPHABETS = ("LATIN", "CYRILLIC", "GREEK", "HEBREW", "ARABIC", "THAI")
BINARY = 50  # characters to each NUL or bad byte, below which a file with NULs is no text
MIXED = 3  # valid UTF-8 characters per bad byte, from which a file is UTF-8 with some damage

# Frequent characters of the languages written in each script, and their weight as evidence for an encoding.
LETTERS = {
    1.0: "éäöüßоеаинтсрвлкмдпуыяαοιετσνηυρπκμλγήόάί",
    0.9: "áíóúčěřšžąęłśżώύέ“”‘’–—…«»„‚¡¿",  # noqa: RUF001
    0.8: "èàåæñýćńůűőğış€£•°©№",
    0.6: "çøœ",
    0.5: "êâîôûãõëïзбгхйцчшщъьэюёждфθξφχψωδβς",
    0.4: "ìòù",
    0.3: "ءآؤئثجخذزشصضطظغة",
    0.0: "ÿþð",
}
WEIGHTS = {character: weight for weight, characters in reversed(LETTERS.items()) for character in characters}
FREQUENT = set(
    "的一是不了在人有我他這这個个們们中來来上大為为和國国地到以說说時时要就出會会可也你對对生能而子那得于於着著下自之年過过發发後后作里裡"
    "用道行所然家事成方多經经去法學学如都同現现當当沒没動动面起看定天分還还進进好小部其些主樣样理心她本前開开但因只從从想實实日者意無无"
    "力它與与長长把機机十民第公此已工使情明性知全三又關关點点正業业外將将兩两高間间由問问很最重並并物手應应向頭头文體体美相見见利二等產产"
    "或新己身果加西月話话合回特代信表化老給给世位次度常先海通教原東东提立及比員员水名真走各入口平氣气活更別别打女四神安少目太再感必場场"
    "山空白光王色路南北死今私思何言見気山田語本猫"
)


@dataclass(frozen=True)
class Decoded:
    """A file's text. With a `fault`, what is wrong with its encoding and how to correct it, `text`
    is what is likely meant, by the encoding `guessed`, or "". Single damaged bytes of UTF-8 are
    what `BAD` matches in `text`."""

    text: str
    fault: str = ""
    guessed: str = ""


def check_encoding(encoding: str) -> None:
    """Raises ConfigError where Python knows no encoding of texts by that name."""
    try:
        codec = codecs.lookup(encoding or "utf-8")
        usable = getattr(codec, "_is_text_encoding", True) and codec.name.replace("-", "_") not in NO_TEXT
    except (LookupError, ValueError):
        usable = False
    if not usable:
        raise ConfigError(
            f"encoding {encoding!r}: no encoding of texts has this name; expected one such as {', '.join(CANDIDATES[:6])}"
        )


def decode(content: bytes, encoding: str = "") -> Decoded:
    """The text of a file: by its mark, else as UTF-8 where it is that, else by `encoding`; "":
    UTF-8 only."""
    mark = next((mark for mark in MARKS if content.startswith(mark)), b"")
    declared = MARKS.get(mark, "") or ("" if _is_utf8(content) else encoding)
    if declared and declared != "utf-8":
        return _by(content[len(mark) :], declared, bool(mark))
    text = _lines(content[len(mark) :].decode("utf-8", "surrogateescape"))
    bad = len(re.findall("[\udc80-\udcff]", text))
    valid = len(re.findall("[^\x00-\x7f]", text)) - bad if bad else 0
    if "\x00" not in text and "\x1b$" not in text and (not bad or valid >= MIXED * bad):
        return Decoded(text)
    if likely := guess(content, valid / max(valid + bad, 1)):
        fault = f"NULs, as of {likely} without a mark" if "\x00" in text else f"no UTF-8 but likely {likely}"
        read = _lines(content.decode(likely))
        return Decoded(read, f"{fault} ({_shown(read)})", likely)
    if "\x00" in text and (text.count("\x00") + bad) * BINARY > len(text):
        return Decoded("", "NULs, as binary files have")
    return Decoded(text)


def _lines(text: str) -> str:
    """The text with universal newlines, as Python reads them."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def conversion(file: str, encoding: str) -> str:
    """The command that converts a file to UTF-8."""
    return f"iconv -f {ICONV.get(encoding, encoding.upper())} -t UTF-8 {shell_word(file)} > NEW"


def _is_utf8(content: bytes) -> bool:
    """Whether bytes are recognisably UTF-8: valid, with more than ASCII, which many encodings
    share, and without NUL."""
    try:
        return b"\x00" not in content and not content.isascii() and bool(content.decode("utf-8"))
    except UnicodeDecodeError:
        return False


def _by(content: bytes, encoding: str, marked: bool) -> Decoded:
    """Decodes by a known encoding; where the content does not fit it, the fault says so."""
    try:
        return Decoded(_lines(content.decode(encoding)))
    except UnicodeError as error:
        at = getattr(error, "start", 0)
        origin = "its mark says" if marked else "--encoding says"
        likely = guess(content)
        byte = content[at : at + 1].hex() or "00"
        fault = f"byte 0x{byte} at {at:,} is not {encoding}, as {origin}"
        return Decoded("", fault, "" if likely == encoding else likely)


def guess(content: bytes, valid: float = 0.0) -> str:
    """The likely encoding of bytes that are no UTF-8, or have NULs; "" where none is likely.

    `valid`: the share of non-ASCII bytes that is valid UTF-8; near 0 in single-byte encodings.
    """
    wide = b"\x00" in content
    sample = content[: SAMPLE // 4 * 4] if wide else _telling(content)
    best, likeliest = PLAUSIBLE, ""
    candidates = WIDE_ENCODINGS if wide else ("iso2022_jp",) if content.isascii() else CANDIDATES
    for encoding in candidates:
        try:
            score = _plausibility(sample.decode(encoding), encoding, wide) - valid * (encoding not in MULTIBYTE)
            if score > best:
                content.decode(encoding)
                best, likeliest = score, encoding
        except UnicodeError:
            continue
    return likeliest


def _telling(content: bytes) -> bytes:
    """Lines with non-ASCII characters, up to the number of bytes that a guess reads."""
    lines, size = [], 0
    for line in content.splitlines(keepends=True):
        if not line.isascii() or b"\x1b$" in line:
            lines.append(line[: 2 * SAMPLE])
            size += len(lines[-1])
            if size > SAMPLE:
                break
    return b"".join(lines)


def _plausibility(text: str, encoding: str, everything: bool) -> float:
    """Plausibility of a decoded text by its non-ASCII characters (or `everything`): about 1 for the
    right encoding."""
    foreign = sum(len(c.encode()) - 1 for c in text if c > "\x7f" and _script(c) not in ("", "LATIN"))
    if 0 < foreign < FEW:  # single letters of another alphabet are damage
        return 0.0
    japanese = encoding in ("shift_jis", "cp932", "euc_jp", "iso2022_jp", *WIDE_ENCODINGS)
    scores = [*_scores(text, japanese, everything)]
    return sum(scores) / len(scores) + LIKELIEST * (encoding == "cp1252") if scores else 0.0


def _scores(text: str, japanese: bool, everything: bool) -> Iterator[float]:
    before, script_before, run = " ", "", 0
    for character in text:
        script = _script(character)
        run = run + 1 if character > "\x7f" and script == "LATIN" else 0
        if character < "\x80":
            if everything or (character < " " and character not in "\t\n\r\f"):
                yield 1.0 if character >= " " or character in "\t\n\r\f" else -5.0
        elif unicodedata.category(character) in ("Cc", "Cn", "Co", "Cs"):
            yield -5.0
        elif script in ALPHABETS and script_before in ALPHABETS and script != script_before:
            yield -2.0
        elif script in ("LATIN", "CYRILLIC", "GREEK"):
            yield _letter(character, before, run)
        else:
            yield _sign(character, script, japanese, everything)
        before, script_before = character, script


def _letter(character: str, before: str, run: int) -> float:
    """Score of a letter of an alphabet with capitals, given the character before it; `run`:
    non-ASCII Latin letters in a row."""
    if character.isupper() and before.islower():
        return -2.0
    if run > 2:
        return -1.0  # words have ASCII letters too
    return WEIGHTS.get(character.lower(), 0.2) * (0.8 if character.isupper() else 1.0)


def _sign(character: str, script: str, japanese: bool, wide: bool) -> float:
    if character in WEIGHTS:
        return WEIGHTS[character]
    if script == "CJK":
        return 1.5 if character in FREQUENT else 0.3 if _is_common(character) else -0.5
    if script in ("HIRAGANA", "KATAKANA"):
        return 1.2 if japanese else 0.0
    if character in "、。，！？：；「」『』（）《》・ー～〜　％":  # noqa: RUF001
        return 1.0
    if script in ("HANGUL", "HEBREW", "ARABIC", "THAI"):
        return 1.0 if character.isalpha() or script == "THAI" else -0.5  # vowel points are rare
    return 0.5 if wide and unicodedata.category(character)[0] in "LMNPZ" else -1.5


def _is_common(character: str) -> bool:
    """Whether a Chinese character is of the first level of GB 2312, Big5 or JIS X 0208."""
    for encoding, last in (("gb2312", 0xD7), ("euc_jp", 0xCF), ("big5", 0xC6)):
        try:
            first = character.encode(encoding)[0]
        except UnicodeEncodeError:
            continue
        if 0xA4 <= first <= last:
            return True
    return False


def _script(character: str) -> str:
    """Script of a letter or mark by its Unicode name: LATIN, CJK."""
    letter = unicodedata.category(character)[0] in "LM"
    return unicodedata.name(character, "").partition(" ")[0].partition("-")[0] if letter else ""


def _shown(text: str) -> str:
    """Shows the first non-ASCII characters in context, for the user to check."""
    at = next((i for i, character in enumerate(text) if character > "\x7f"), 0)
    return repr(text[max(at - 10, 0) : at + 20].strip())
