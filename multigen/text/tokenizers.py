"""Tokenizers: of characters, words or byte pairs, trained on one's texts, or pretrained ones."""

import hashlib
import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from multigen.console import if_slow
from multigen.errors import CheckpointError, ConfigError, DataError, one_line
from multigen.storage.files import expanded
from multigen.storage.hub import files_folder
from multigen.storage.reading import JSON, check_folder, read_bounded
from multigen.text.scripts import JOINED, SPACELESS, WIDE
from multigen.text.tokenizer_json import LONGEST_ENTRY, MOST_CHARACTERS, check_table, check_vocabulary, guarded

__all__ = ["SPECIAL", "Kind", "Tokenizer", "read_tokenizer"]

Kind = Literal["characters", "words", "bpe"]
"""What the entries of a vocabulary made from texts are."""

SPECIAL = ("<pad>", "<start>", "<end>", "<unk>")
"""The first entries, ids 0 to 3, of a vocabulary made from texts."""

# In the dialect of Oniguruma, where && intersects classes and \w holds the marks that many scripts write their vowels with.
WORDS = rf"[{WIDE}]|[\w&&[^{WIDE}]]+(?:['\u2019-][\w&&[^{WIDE}]]+)*|[^\w\s]"
WORDS_OF_JOINED = rf"[{SPACELESS}]\p{{M}}*|[\w&&[^{SPACELESS}]]+(?:['\u2019-][\w&&[^{SPACELESS}]]+)*|[^\w\s]"
"""For scripts without spaces other than Han and kana: a token is a letter with its marks."""
PIECES = "|".join(
    (
        rf" ?[{SPACELESS}]\p{{M}}*",
        rf" ?[\p{{L}}\p{{M}}&&[^{SPACELESS}]]+(?:['\u2019\u200c\u200d-][\p{{L}}\p{{M}}&&[^{SPACELESS}]]+)*",
        r" ?\p{N}+",
        r" ?[^\s\p{L}\p{M}\p{N}]+",
        r"[\r\n]",
        r"[^\S\r\n]+(?!\S)|[^\S\r\n]+",
    )
)
"""Byte pairs are joined within words (with the space before), numbers, signs, line breaks."""
OPENING, CLOSING = "([{\u201c\u2018", ".,;:!?\u2026)]}\u201d\u2019"  # \u2018, \u2019: curly single quotes
UNKNOWN_SIGN = "\U000f0000"  # of no script: the first sign at which a vocabulary without its own <unk> fails
BPE_SIZE = 4000  # entries, where no size is given


class Tokenizer:
    """Texts to ids and back, around a `tokenizers.Tokenizer`. Make one by `train`, `pretrained` or
    `from_json`.

    Attributes:
        backend: the `tokenizers.Tokenizer`.
        kind: characters, words, bpe, or pretrained.
        pad, start, end: ids of the tokens that fill up, begin and end a text. Encoding a text never
            gives one of them, even where the text contains their names.
        unknown: id of tokens outside the vocabulary; None where every text can be encoded (bpe).
    """

    def __init__(self, backend: tokenizers.Tokenizer, kind: str, pad: int, start: int, end: int):
        if kind not in (*get_args(Kind), "pretrained"):
            raise ValueError(f"kind {kind!r} is unknown")
        backend.encode_special_tokens = True  # "<end>" in a user's text is text
        backend.no_truncation()
        backend.no_padding()
        self.backend, self.kind = backend, kind
        self.pad, self.start, self.end = pad, start, end
        self._size = 1 + max(backend.get_vocab().values(), default=-1)
        for name, number in self._special.items():
            if not isinstance(number, int) or not 0 <= number < self._size:
                raise ValueError(f"{name} {number!r} is not among ids 0 to {self._size - 1}")
        model = json.loads(backend.to_str())["model"]
        unknown = model.get("unk_id") if model.get("unk_token") is None else backend.token_to_id(model["unk_token"])
        self.unknown: int | None = None if unknown in self._special.values() else unknown

    # ------------------------------------------------------------------------------------------------ making one

    @classmethod
    def train(cls, texts: Sequence[str], kind: Kind, size: int = 0) -> "Tokenizer":
        r"""A tokenizer whose vocabulary is made from texts; the same texts give the same one.

        - characters: every Unicode character, white space too.
        - words: after NFC normalisation, runs of letters and digits, apostrophes and hyphens inside
          them included, and single other signs: `\w+(?:['\u2019-]\w+)*|[^\w\s]`. Scripts without
          spaces, such as Han, kana and Thai, are a token a character with its marks. White space is
          not kept, so `$3.14` is not given back as it was.
        - bpe: byte pair encoding of the UTF-8 bytes (Sennrich et al. 2016, arXiv:1508.07909; of
          bytes as in GPT-2), within words, each with the space before it; characters of scripts
          without spaces stay single. With few different words each becomes one token. It encodes
          any text and gives it back exactly.

        Args:
            size: most entries, `SPECIAL` among them; the rarest are left out, of equally rare ones
                the last by code point. 0: all for characters and words, 4,000 for bpe.

        Raises:
            ConfigError: no such kind, or a size below 6 (bpe: 260, special tokens and bytes).
            DataError: no text, or a vocabulary of a single entry.
        """
        if kind not in get_args(Kind):
            raise ConfigError(f"tokenizer {kind!r}: expected one of {', '.join(get_args(Kind))}; choose one")
        least = len(SPECIAL) + (256 if kind == "bpe" else 2)
        if size and size < least:
            raise ConfigError(f"vocabulary size {size}: expected 0 or at least {least} for {kind}; give a larger one")
        if not any(text.strip() for text in texts):
            raise DataError(
                f"no text among {len(texts)} to make a vocabulary of; expected at least one, check the data"
            )
        joined = kind == "words" and any(re.search(f"[{JOINED}]", text) for text in texts)
        backend, trainer = _byte_pairs(size) if kind == "bpe" else _entries(kind, size, joined)
        backend.train_from_iterator(texts, trainer)
        entries = sorted(backend.get_vocab().keys() - set(SPECIAL))
        if len(entries) < 2:
            raise DataError(
                f"a vocabulary of one {kind.removesuffix('s')} {entries[0]!r}: expected at least 2; give texts that differ"
            )
        if longest := max((entry for entry in entries if len(entry) > LONGEST_ENTRY), key=len, default=""):
            raise DataError(
                f"{longest[:20]!r}...: a piece of {len(longest):,} characters, expected at most {LONGEST_ENTRY:,}; leave it "
                "out, or train with tokenizer characters"
            )
        return cls(backend, kind, *range(3))

    @classmethod
    def pretrained(cls, name_or_folder: str) -> "Tokenizer":
        """The tokenizer of a pretrained language model, by its name on the Hugging Face hub or from
        a local folder.

        Its end is the model's eos or else sep token, its pad the model's or else the end, its start
        the model's bos or cls or else the end. Code that comes with the model is never run.

        Raises ConfigError where there is none, it cannot be fetched, has no form for the
        `tokenizers` library or no end.
        """
        fast = _fast_tokenizer(name_or_folder)
        end = _first(fast.eos_token_id, fast.sep_token_id)
        if end is None:
            raise ConfigError(
                f"tokenizer {name_or_folder!r} has neither an eos nor a sep token to end a text with; name one in its "
                "tokenizer_config.json, or give another model's"
            )
        pad, start = _first(fast.pad_token_id, end), _first(fast.bos_token_id, fast.cls_token_id, end)
        backend: Any = fast.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        try:
            copied = _pretrained_backend(json.loads(backend.to_str()))  # whose settings may be changed
            return cls(copied, "pretrained", pad, start, end)
        except Exception as error:  # the tokenizers library raises bare Exceptions
            raise ConfigError(
                f"tokenizer {name_or_folder!r} cannot be used ({one_line(error)}); give another model's"
            ) from error

    @classmethod
    def from_json(cls, text: str, where: str) -> "Tokenizer":
        """The tokenizer that `to_json` wrote. Raises CheckpointError, which names `where`."""
        try:
            if len(text) > MOST_CHARACTERS:
                raise ValueError(f"{len(text):,} characters, expected at most {MOST_CHARACTERS:,}")
            about = json.loads(text)
            kind, table = about["kind"], about["tokenizer"]
            backend = _pretrained_backend(table) if kind == "pretrained" else _own_backend(kind, table)
            tokenizer = cls(backend, kind, **about["special"])
            if kind != "pretrained" and (tokenizer.pad, tokenizer.start, tokenizer.end) != (0, 1, 2):
                raise ValueError(f"special tokens {about['special']}, expected those of ids 0 to 2")
            tokenizer.encode(UNKNOWN_SIGN)
            return tokenizer
        except Exception as error:  # the tokenizers library raises bare Exceptions
            raise CheckpointError(
                f"{where} is no tokenizer of multigen ({type(error).__name__}: {one_line(error)}); give the model folder of a "
                "finished run, or copy it again"
            ) from error

    # ------------------------------------------------------------------------------------------------ using it

    def __len__(self) -> int:
        """Size of the vocabulary: one more than the greatest id."""
        return self._size

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without start and end."""
        special = set(self._special.values())
        ids = self._encoded(text).ids
        if special.isdisjoint(ids):
            return ids
        # Some pretrained vocabularies hold "</s>" among their ordinary pieces.
        instead = [] if self.unknown is None else [self.unknown]
        return [j for i in ids for j in (instead if i in special else [i])]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids up to the first end; pad and start are left out.

        Words are joined as is usual in print: no space before . , ; : ! ? and closing brackets,
        after opening ones, between equal signs (--), nor beside characters of scripts without
        spaces. Curly quotes, and straight double ones by turns, stand close to what they enclose; a
        straight single one, like any other sign, stands between spaces. Tokens outside the
        vocabulary read <unk>.

        Raises DataError for an id that the vocabulary lacks.
        """
        content = []
        for i in map(int, ids):
            if i == self.end:
                break
            if not 0 <= i < self._size:
                raise DataError(f"token id {i}: expected 0 to {self._size - 1}; decode with the tokenizer that encoded")
            if i not in (self.pad, self.start):
                content.append(i)
        if self.kind in ("characters", "words"):
            pieces = [self.backend.id_to_token(i) or "" for i in content]
            return "".join(pieces) if self.kind == "characters" else _join(pieces)
        if self.kind == "bpe":
            return self.backend.decode(content)
        with guarded():
            return self.backend.decode(content)

    def _encoded(self, text: str) -> Any:
        """Raises ConfigError where a pretrained tokenizer fails at a text."""
        if self.kind != "pretrained":
            return self.backend.encode(text, add_special_tokens=False)
        try:
            with guarded():
                return self.backend.encode(text, add_special_tokens=False)
        except Exception as error:  # the tokenizers library raises bare Exceptions
            raise ConfigError(
                f"{text[:40]!r}: the pretrained tokenizer fails ({error}); give another model's"
            ) from error

    def unknown_words(self, text: str) -> list[str]:
        """The pieces of a text that the vocabulary lacks, each once, in their order."""
        if self.unknown is None:
            return []
        if self.kind == "words":
            text = unicodedata.normalize("NFC", text)  # as the backend does, so that its offsets fit
        encoding = self._encoded(text)
        return list(
            dict.fromkeys(
                text[a:b] for i, (a, b) in zip(encoding.ids, encoding.offsets, strict=True) if i == self.unknown
            )
        )

    def to_json(self) -> str:
        """The tokenizer as JSON, the same for equal tokenizers."""
        about = {"kind": self.kind, "special": self._special, "tokenizer": json.loads(self.backend.to_str())}
        return json.dumps(about, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    @cached_property
    def fingerprint(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of `to_json`."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    @property
    def _special(self) -> dict[str, int]:
        return {"pad": self.pad, "start": self.start, "end": self.end}


def _entries(kind: Kind, size: int, joined: bool = False) -> tuple[tokenizers.Tokenizer, Any]:
    """A vocabulary of words or characters, and its trainer: by frequency, then code point."""
    backend: Any = tokenizers.Tokenizer(models.WordLevel({}, unk_token=SPECIAL[3]))
    if kind == "words":
        backend.normalizer = normalizers.NFC()
        backend.pre_tokenizer = pre_tokenizers.Split(
            tokenizers.Regex(WORDS_OF_JOINED if joined else WORDS), "removed", invert=True
        )
    else:
        backend.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex(r"[\s\S]"), "isolated")
    return backend, trainers.WordLevelTrainer(
        vocab_size=size or sys.maxsize, show_progress=False, special_tokens=list(SPECIAL)
    )


def _byte_pairs(size: int, within: str = PIECES) -> tuple[tokenizers.Tokenizer, Any]:
    """`within`: pattern of what pairs are joined within; "": GPT-2's, as in earlier versions."""
    backend: Any = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = (
        pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(tokenizers.Regex(within), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        if within
        else pre_tokenizers.ByteLevel(add_prefix_space=False)
    )
    backend.decoder = decoders.ByteLevel()
    return backend, trainers.BpeTrainer(
        vocab_size=size or BPE_SIZE,
        show_progress=False,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )


def _fast_tokenizer(name_or_folder: str) -> Any:
    """A tokenizer of transformers with a backend of `tokenizers`. Raises ConfigError."""
    try:
        with if_slow("loading transformers"):
            from transformers import AutoTokenizer
    except ImportError as error:
        raise ConfigError(
            f"tokenizer {name_or_folder!r} needs transformers ({error}); pip install 'multigen[hub]'"
        ) from error
    place = expanded(name_or_folder)
    local = place.is_dir()
    try:
        if local:
            check_folder(place)
        if local and (place / "tokenizer.json").exists():
            _check_file(place / "tokenizer.json")
        source = str(place) if local else name_or_folder
        with guarded():
            fast: Any = AutoTokenizer.from_pretrained(source, trust_remote_code=False, local_files_only=local)
    except Exception as error:  # OSError, ValueError, KeyError, ...: each cause has its own type
        raise ConfigError(
            f"tokenizer {name_or_folder!r} is not available ({one_line(error)}); expected a name on "
            "the Hugging Face hub, which needs a network the first time, or a folder that holds its tokenizer.json"
        ) from error
    if not fast.is_fast:
        raise ConfigError(
            f"tokenizer {name_or_folder!r} ({type(fast).__name__}) runs in Python only; expected one with a tokenizer.json, "
            "give another model's, or train one: characters, words or bpe"
        )
    return fast


def _own_backend(kind: str, table: Any) -> tokenizers.Tokenizer:
    """A tokenizer of `Tokenizer.train`, rebuilt from vocabulary and merges. Raises ValueError where
    `table` holds more."""
    if kind not in get_args(Kind):
        raise ValueError(f"kind {kind!r} is unknown")
    model = table["model"]
    vocabulary, merges = model["vocab"], model.get("merges")
    check_vocabulary(vocabulary)
    if {*vocabulary.values()} != {*range(len(vocabulary))} or [vocabulary.get(s) for s in SPECIAL] != [*range(4)]:
        raise ValueError(f"ids: expected 0 to {len(vocabulary) - 1}, each once, and {' '.join(SPECIAL)} first")
    if kind == "bpe":
        merges = [pair.split(" ") if isinstance(pair, str) else pair for pair in merges]
        if not all(len(pair) == 2 and {*pair, "".join(pair)} <= vocabulary.keys() for pair in merges):
            raise ValueError("merges: expected pairs of entries that make an entry")
        filled: Any = models.BPE(vocabulary, [(a, b) for a, b in merges])
        backends = [_byte_pairs(0, within)[0] for within in (PIECES, "")]
    else:
        filled = models.WordLevel(vocabulary, unk_token=SPECIAL[3])
        kinds: list[Kind] = ["words" if kind == "words" else "characters"]
        backends = [_entries(each, 0, joined)[0] for each in kinds for joined in (False, True)]
    for backend in backends:
        backend.model = filled
        backend.add_special_tokens(list(SPECIAL))
        rebuilt = json.loads(backend.to_str())
        if rebuilt == {**table, "model": {**model, "merges": merges} if kind == "bpe" else model}:
            return backend
    raise ValueError(f"not a tokenizer of {kind} as training writes it")


def _pretrained_backend(table: Any) -> tokenizers.Tokenizer:
    """The tokenizer of a language model. Raises ValueError, among others, if out of bounds."""
    check_table(table)
    with guarded():
        return tokenizers.Tokenizer.from_str(json.dumps(table))


def _check_file(path: Path) -> None:
    """Raises ValueError for the tokenizer.json of a language model that is out of bounds."""
    text = read_bounded(path, JSON).decode()
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"tokenizer.json of {len(text):,} characters, expected at most {MOST_CHARACTERS:,}")
    check_table({**json.loads(text), "truncation": None, "padding": None})


def _first(*ids: int | None) -> Any:
    return next((i for i in ids if i is not None), None)


def _join(pieces: Iterable[str]) -> str:
    """Words and signs as a line of text."""
    text, before, attach, quoted = "", "", True, False
    for piece in pieces:
        wide, opens, closes = bool(re.match(f"[{SPACELESS}]", piece)), piece in OPENING, piece in CLOSING
        if piece == '"':
            opens, closes, quoted = not quoted, quoted, not quoted
        same_sign = piece == before != '"' and len(piece) == 1 and not piece.isalnum()
        text += piece if attach or closes or wide or same_sign else " " + piece
        before, attach = piece, opens or wide
    return text


def read_tokenizer(folder: Path) -> Tokenizer | None:
    """The tokenizer of a model folder; None where there is none."""
    path = folder / "tokenizer.json"
    try:
        if not path.exists():
            return None
        text = read_bounded(path, JSON, inside=files_folder(folder)).decode()
        return Tokenizer.from_json(text, str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); copy the model folder again") from error
