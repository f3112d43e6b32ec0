"""Corpora: texts, or sequences of an oracle, as token sequences for training, validation and
test."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from multigen.console import say
from multigen.data.locate import locate
from multigen.data.unread import report_unread
from multigen.engine import DataInfo
from multigen.errors import ConfigError, DataError
from multigen.text import conversations
from multigen.text.decoding import token_mask
from multigen.text.files import TEXT, Texts, encode, is_fables, normal, open_parts, read_texts, split
from multigen.text.metrics import require_pair_metrics
from multigen.text.oracle import Oracle
from multigen.text.tokenizers import Tokenizer
from multigen.text.units import Reading, Unit
from multigen.text.vocabularies import open_tokenizer
from multigen.text.windows import are_long, encode_windows, passages

__all__ = ["Corpus", "TextInfo", "check_prompt", "open_corpus", "open_oracle"]


@dataclass(frozen=True)
class TextInfo(DataInfo):
    """Properties of an opened corpus. The fingerprint is that of the training texts; an oracle has
    none, since its sequences are drawn again on each machine, and need not be rounded alike on
    all."""

    tokens: int = 0
    """Number of different tokens."""
    start: int = 0
    """Token before the first one of a text."""
    end: int = -1
    """Token that ends a text; -1: none, all texts have one length."""
    pad: int = 0
    """Token that fills the places after the end."""
    vocabulary: str = ""
    """Fingerprint of the tokenizer; empty for an oracle, which has none."""
    classes: tuple[str, ...] = ()
    """Names of the classes. The last tokens stand for them, in this order; each text begins with
    that of its class."""

    dialogue: bool = False
    """Whether the texts are conversations, of which the answers are learnt."""

    @property
    def last(self) -> int | None:
        """The end token; None where all texts have one length."""
        return None if self.end < 0 else self.end

    @property
    def words(self) -> int:
        """Number of tokens that are text; those from there on are classes."""
        return self.tokens - len(self.classes)

    def mismatch(self, tokenizer: Tokenizer | None) -> str:
        """Describes how the ids do not fit the tokenizer (None: an oracle's texts); "" if they
        fit."""
        corpus_ids = {"tokens": self.tokens, "start": self.start, "end": self.end, "pad": self.pad}
        listing = ", ".join(f"{name} {value}" for name, value in corpus_ids.items())
        if tokenizer is not None:
            tokenizer_ids = {
                "tokens": len(tokenizer) + len(self.classes),
                "start": tokenizer.start,
                "end": tokenizer.end,
                "pad": tokenizer.pad,
            }
            return "" if corpus_ids == tokenizer_ids else f"{listing}: expected {tokenizer_ids}, as in tokenizer.json"
        ids = (self.start, max(self.end, 0), self.pad)
        return "" if all(0 <= each < self.tokens for each in ids) else f"{listing}: expected ids of 0 to tokens - 1"


@dataclass(frozen=True)
class Corpus:
    """Token sequences (N, T), and where they come from: texts by a tokenizer, or an oracle."""

    train: Tensor
    validation: Tensor
    test: Tensor
    info: TextInfo
    tokenizer: Tokenizer | None = None
    oracle: Oracle | None = None
    real_texts: Sequence[str] = ()
    """Training and validation texts as they were read."""
    test_texts: Sequence[str] = ()
    whole: tuple[Sequence[str], Sequence[str]] = ((), ())
    """The same two before long texts are divided into windows."""
    fables: bool = False
    """Whether the texts are fables, whose grammar is known."""
    held_out: str = ""
    """Fingerprint of the validation and the test texts; of an oracle that was read from a file, of
    its weights."""

    given: tuple[Tensor, ...] = ()
    """Of conversations, for training, validation and test: how many tokens of each sequence stand
    before the answer, which is learnt. Empty: all are."""

    @property
    def kind(self) -> Literal["oracle", "fables", "texts"]:
        """Knowledge of the true distribution: exact, a grammar, or none."""
        return "oracle" if self.oracle else "fables" if self.fables else "texts"

    def real(self, n: int) -> tuple[Tensor, list[str]]:
        """The first n training and validation texts, as tokens (n, T) and as they were read."""
        return torch.cat([self.train, self.validation])[:n], list(self.real_texts[:n])

    def texts(self, tokens: Tensor) -> list[str]:
        """Sequences (N, T) as texts; an oracle's as numbers."""
        if self.tokenizer is None:
            return [" ".join(map(str, row)) for row in tokens.tolist()]
        words = self.info.words
        return [self.tokenizer.decode(token for token in row if token < words) for row in tokens.tolist()]


def open_corpus(
    data: str,
    length: int,
    *,
    test: str = "",
    unit: Unit = "auto",
    tokenizer: str = "",
    vocabulary_size: int = 0,
    oracle_texts: int = 10_000,
    skip_bad: bool = False,
    encoding: str = "",
    column: str = "",
    keep_lines: bool = False,
    conditional: bool = False,
    label_column: str = "",
    given: Tokenizer | None = None,
) -> Corpus:
    """The corpus of a data argument, split into training, validation and test texts.

    Args:
        data: what `multigen.text.files.read_texts` takes, "oracle" (that of seed 0), or an oracle's
            .npz file.
        length: tokens of a text at most, its end included; longer ones are cut, and counted. An
            oracle's all have it. Long files (and entries), such as books, are divided into windows
            of it.
        test: texts to test on, as `data`; empty: the split that `data` bring for it, else a
            twentieth of them.
        unit, skip_bad, encoding, column, keep_lines, label_column: of
            `multigen.text.units.Reading`.
        conditional: every text begins with a token of its class: that of the folder it is in, or of
            `label_column`.
        tokenizer: words, characters or bpe, made from the training texts; or a transformers
            tokenizer by name or folder. Empty: bpe, which keeps every text as it is; of fables,
            words.
        vocabulary_size: tokens at most; 0: as `Tokenizer.train` says.
        oracle_texts: sequences drawn from an oracle to train on, and as many to test on.
        given: a tokenizer that takes the place of `tokenizer`, such as that of a model to start
            from.

    Raises:
        ConfigError, DataError: as `read_texts`, `split` and `Tokenizer.train`; and where `test`
            holds all texts of `data`.
    """
    if data == "oracle" or Path(data).suffix == ".npz":
        if conditional:
            raise ConfigError(
                f"conditional: {data} has no classes; give texts that have some, or leave --conditional out"
            )
        return _oracle_corpus(open_oracle(data, length), oracle_texts, data == "oracle")
    reading = Reading(unit, skip_bad, encoding, column, keep_lines, label_column)
    (train, validation, tested), labels, divided = _read_splits(data, test, reading, length)
    chats = [conversations.parse(text) is not None for part in (train, validation, tested) for text in part]
    if any(chats) and not all(chats):
        raise DataError(
            f"{data}: {sum(chats):,} conversations among {len(chats):,} texts, those to test with included; expected nothing "
            "else beside conversations: separate them"
        )
    if all(chats):
        return _conversations(data, (train, validation, tested), given, tokenizer, vocabulary_size, length, conditional)
    classes = _classes(data, labels, [*train, *validation], tested) if conditional else ()
    fitted = given or open_tokenizer(tokenizer or ("words" if is_fables(data) else "bpe"), train, vocabulary_size, data)
    numbers = {text: len(fitted) + classes.index(labels[text]) for text in labels} if classes else {}
    tokens = _encoded(data, (train, validation, tested), fitted, length, divided, numbers)
    fingerprint = hashlib.sha256(tokens[0].numpy().tobytes()).hexdigest()[:16]
    info = TextInfo(
        fingerprint,
        len(fitted) + len(classes),
        fitted.start,
        fitted.end,
        fitted.pad,
        fitted.fingerprint,
        tuple(classes),
    )
    held_out = hashlib.sha256(repr((validation, tested)).encode()).hexdigest()[:16]
    real = [*train, *validation]
    corpus = Corpus(
        tokens[0], tokens[1], tokens[2], info, fitted, None, real, tested, (real, tested), is_fables(data), held_out
    )
    if divided:  # for comparison with samples, which are windows
        windows = corpus.texts(torch.cat(tokens[:2])), corpus.texts(tokens[2])
        return replace(corpus, real_texts=windows[0], test_texts=windows[1])
    return corpus


def _conversations(
    data: str,
    parts: Sequence[list[str]],
    given: Tokenizer | None,
    tokenizer: str,
    size: int,
    length: int,
    conditional: bool,
) -> Corpus:
    """The corpus of the answers in conversations."""
    if conditional:
        raise ConfigError(f"conditional: {data} holds conversations, which have no classes; leave --conditional out")
    fitted = given or open_tokenizer(tokenizer or "bpe", conversations.content_of(parts[0]), size, data)
    try:
        encoded = [conversations.encode_answers(part, fitted, length) for part in parts]
    except DataError as error:
        raise DataError(f"{data}: {error}") from error
    total, left = sum(len(rows) for rows, _, _ in encoded), sum(left for _, _, left in encoded)
    say(f"{data}: conversations; {total:,} answers are learnt, each after what was said before it")
    if left:
        say(f"{left:,} answers left out, since what was said before them takes {length} tokens (--length) or more")
    fingerprint = hashlib.sha256(encoded[0][0].numpy().tobytes()).hexdigest()[:16]
    ids = (len(fitted), fitted.start, fitted.end, fitted.pad, fitted.fingerprint)
    held_out = hashlib.sha256(repr(tuple(parts[1:])).encode()).hexdigest()[:16]
    train, validation, test = (rows for rows, _, _ in encoded)
    info = TextInfo(fingerprint, *ids, dialogue=True)
    return Corpus(train, validation, test, info, fitted, held_out=held_out, given=tuple(g for _, g, _ in encoded))


def _read_splits(
    data: str, test: str, reading: Reading, length: int
) -> tuple[Sequence[list[str]], dict[str, str], bool]:
    """Training, validation and test texts: the splits of the data, or `test`, else parts of the
    training texts; the label of each; and whether long ones are divided into passages."""
    parts = open_parts(data, reading)
    own = parts if parts and parts.divided else None
    source = read_texts(data, replace(reading, split="train" if own else ""))
    if parts and not source.entries:
        report_unread(parts.root, TEXT)
        parts.report_left("files")
    texts, labels, divided = _divided(data, source, length)
    alike = replace(reading, unit=source.cut.unit, keep_lines=source.cut.keep_lines)  # splits are cut in one way
    parted = None if own and own.validation else split(texts, where=data)
    train, validation = (parted.train, parted.validation) if parted else (texts, [])
    if own and not parted:
        validation, others, also = _divided(data, read_texts(data, replace(alike, split="validation")), length)
        divided, labels = divided or also, {**others, **labels}
    origin = test or (own.folders("test") if own else "")  # of the test texts; "": they are held out of `data`
    if test:
        brought = open_parts(test, reading)
        test_texts = read_texts(test, replace(reading, split="test" if brought and brought.test else ""))
    else:
        test_texts = read_texts(data, replace(alike, split="test")) if origin else None
    if test_texts:
        tested, others, also = _divided(origin, test_texts, length)
        divided, labels = divided or also, {**others, **labels}
        train = _without([*train, *(parted.test if parted else ())], tested, data, origin)
        validation = _without(validation, tested, data, origin)
    else:
        tested = parted.test if parted else []
    if own:
        chosen = own.folders("validation") or "some of these"
        say(
            f"{data}: {own.folders('train')} is trained on ({len(train):,} texts), {chosen} ({len(validation):,}) gives the best "
            f"checkpoint, {origin or 'others of these'} ({len(tested):,}) is for the final evaluation alone"
        )
    return (train, validation, tested), labels, divided


def _divided(data: str, source: Texts, length: int) -> tuple[list[str], dict[str, str], bool]:
    """Texts, long ones divided into passages; the label of each; and whether any is long."""
    labels = dict(zip(source.texts, source.labels, strict=True))
    made = is_fables(data) or conversations.parse(source.texts[0]) is not None
    if source.cut.unit != "file" or made or not are_long(source.texts, length):
        return source.texts, labels, False
    total = sum(map(len, source.texts))
    divided = [(passage, labels[text]) for text in source.texts for passage in passages(text, length, total)]
    return [passage for passage, _ in divided], dict(divided), True


def _classes(data: str, labels: Mapping[str, str], train: Sequence[str], tested: Sequence[str]) -> list[str]:
    """The classes of texts, sorted. Raises DataError for fewer than two, or a class that the
    training data lack."""
    classes = sorted({labels[text] for text in train})
    if len(classes) < 2 or "" in labels.values():
        raise DataError(
            f"{data}: no classes of its texts; expected one folder per class with its files, or a table and --label-column NAME; "
            "or train without --conditional"
        )
    if strange := {labels[text] for text in tested} - {*classes}:
        raise DataError(
            f"class {min(strange)!r} of test texts: expected one of {', '.join(classes)}, which are trained on"
        )
    return classes


def _encoded(
    data: str,
    parts: Sequence[Sequence[str]],
    tokenizer: Tokenizer,
    length: int,
    divided: bool,
    classes: Mapping[str, int],
) -> list[Tensor]:
    """Token ids (N, length) of each part; reports how many texts are cut, or into how many windows
    they are divided. `classes`: the token that each text begins with; empty: none."""
    encoded: list[Tensor] = []
    owners: list[Sequence[int]] = []
    cuts: list[int] = []
    for part in parts:
        if divided:
            rows, of = encode_windows(part, tokenizer, length - bool(classes))
        else:
            try:
                rows, cut = encode(part, tokenizer, length - bool(classes))
            except DataError as error:
                raise DataError(f"{data}: {error}") from error
            of = range(len(part))
            cuts.append(cut)
        encoded.append(rows)
        owners.append(of)
    total = sum(map(len, encoded))
    if divided:
        say(
            f"{data}: long texts are divided into {total:,} windows of {length} tokens (--length), over the whole of each"
        )
    elif cut := sum(cuts):
        say(f"{cut} of {total} texts cut at {length} tokens (--length)")
    if not classes:
        return encoded
    first = [torch.tensor([classes[part[i]] for i in of]) for part, of in zip(parts, owners, strict=True)]
    return [torch.cat([column[:, None], rows], 1) for column, rows in zip(first, encoded, strict=True)]


def _oracle_corpus(oracle: Oracle, n: int, fixed: bool) -> Corpus:
    """The corpus that an oracle writes. `fixed`: the oracle is the built-in one, which needs no
    fingerprint."""
    train, validation, test = (oracle.sample(count, seed) for seed, count in enumerate((n, max(n // 10, 10), n)))
    weights = b"".join(tensor.numpy().tobytes() for tensor in oracle.network.state_dict().values())
    held_out = "" if fixed else hashlib.sha256(weights).hexdigest()[:16]
    return Corpus(train, validation, test, TextInfo(tokens=oracle.vocabulary), oracle=oracle, held_out=held_out)


def _without(texts: list[str], tested: list[str], data: str, test: str) -> list[str]:
    """The texts of `data` without the test texts; reports how many are removed. Raises DataError
    where none remains."""
    excluded = set(map(normal, tested))
    remaining = [text for text in texts if normal(text) not in excluded]
    if not remaining:
        raise DataError(f"{test} holds all texts of {data}; expected others; give another --test, or none")
    if len(remaining) < len(texts):
        say(f"{data}: {len(texts) - len(remaining)} of its texts left out, which {test} holds too")
    return remaining


def check_prompt(corpus: Corpus, prompt: int, where: str) -> None:
    """Raises, before training, DataError where no test text is long enough to be continued after
    `prompt` tokens, ConfigError where the metrics of continuations are not installed. 0 tokens:
    none are made. `where` names the data of the test texts."""
    if not prompt:
        return
    if corpus.given:
        raise ConfigError(f"prompt {prompt}: conversations are continued after their questions; leave --prompt out")
    longest = int(token_mask(corpus.test, corpus.info.last).sum(1).max())
    if prompt + 1 >= longest:
        raise DataError(
            f"prompt {prompt}: the longest text held out of {where} has {longest} tokens; expected {max(longest - 2, 0)} or "
            "fewer, so that something is left to write; give a smaller --prompt, or 0 for none"
        )
    require_pair_metrics()


def open_oracle(data: str, length: int) -> Oracle:
    """ "oracle": that of seed 0; an .npz file is also sought in the folder that MULTIGEN_DATA
    names."""
    if data == "oracle":
        return Oracle.seeded(0, length=length)
    return Oracle.read(locate(data, "an .npz file"), length)
