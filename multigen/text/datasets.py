"""What a text model is trained on: token sequences from texts or from an oracle, in three parts, with what they mean."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
import tyro
from torch import Tensor

from multigen.config import check_ranges
from multigen.console import say
from multigen.data.locate import locate
from multigen.errors import ConfigError, DataError
from multigen.storage.model_folder import find_model, read_model
from multigen.text.decoding import valid
from multigen.text.files import encode, normal, open_texts, split
from multigen.text.metrics import require_pair_metrics
from multigen.text.oracle import Oracle
from multigen.text.tokenizers import Tokenizer, read_tokenizer

__all__ = ["Corpus", "TextConfig", "given_tokenizer", "open_corpus"]


@dataclass(frozen=True)
class TextConfig:
    """Settings of the data, the same for all methods."""

    data: str = "fables"
    """fables, fables:N (so many), oracle, an oracle's .npz, a text file, a folder of them, or hf:NAME."""
    test: str = ""
    """Texts that are measured against in the end; empty: a twentieth of the data."""
    unit: Literal["auto", "line", "file", "paragraph"] = "auto"
    """What is one text."""
    tokenizer: str = ""
    """words, characters or bpe, made from the training texts; or a transformers tokenizer by name or folder. Empty: words, or
    what a pretrained model brings."""
    vocabulary_size: int = 0
    """Tokens at most, the rarest are left out; 0: all words or characters, 4,000 of bpe."""
    vocabulary: Annotated[str, tyro.conf.Suppress] = ""
    """Fingerprint of the tokenizer; filled in from the data."""
    trained_on: Annotated[str, tyro.conf.Suppress] = ""
    """Fingerprint of the training texts, so that no run goes on with others; filled in from the data. Empty for an oracle."""
    tokens: Annotated[int, tyro.conf.Suppress] = 0
    """Number of different tokens; filled in from the data."""
    start: Annotated[int, tyro.conf.Suppress] = 0
    end: Annotated[int, tyro.conf.Suppress] = -1
    pad: Annotated[int, tyro.conf.Suppress] = 0
    """Tokens before the first, after the last (-1: none, all texts have one length), and behind that; filled in from the data."""
    length: int = 52
    """Tokens of a text at most, its end included; longer ones are cut. An oracle's all have it."""
    oracle_texts: int = 10_000
    """Sequences drawn from an oracle to train on, and as many to test on."""
    skip_bad: bool = False
    """Go on without lines or files that cannot be read, and say how many."""
    batch: int = 64
    samples: int = 1_000
    """Samples that are measured."""
    judge_steps: int = 1_000
    """Steps of the language models that score samples, where neither an oracle nor a grammar can."""
    prompt: int = 0
    """Tokens of held-out texts that are given, to compare what is written on with what stands there; 0: not measured."""

    ranges: ClassVar[dict[str, float | tuple[float, float]]] = {
        **{"length": (2, 1 << 20), "batch": 1, "samples": 10, "judge_steps": 1},
        **{"prompt": 0, "oracle_texts": 10, "vocabulary_size": 0},
    }
    """Setting -> the least, or the least and the most that it may be; a method adds its own."""

    def __post_init__(self):
        check_ranges(self, self.ranges)

    @property
    def last(self) -> int | None:
        """The token that ends a text; None where all have one length."""
        return None if self.end < 0 else self.end


@dataclass(frozen=True)
class Corpus:
    """Token sequences (N, T), and where they come from: texts by a tokenizer, or an oracle."""

    train: Tensor
    validation: Tensor
    test: Tensor
    tokenizer: Tokenizer | None = None
    oracle: Oracle | None = None
    real_texts: Sequence[str] = ()
    """Training and validation texts as they were given."""
    test_texts: Sequence[str] = ()

    def real(self, n: int) -> tuple[Tensor, list[str]]:
        """n texts that are no test texts, as tokens (n, T) and as they were given."""
        return torch.cat([self.train, self.validation])[:n], list(self.real_texts[:n])

    def texts(self, tokens: Tensor) -> list[str]:
        """Sequences (N, T) as people read them; an oracle's as numbers."""
        if self.tokenizer is None:
            return [" ".join(map(str, row)) for row in tokens.tolist()]
        return [self.tokenizer.decode(row) for row in tokens.tolist()]


def open_corpus(config: Any, given: Tokenizer | None = None) -> tuple[Corpus, Any]:
    """The corpus that a TextConfig names, and the configuration completed by what it holds.

    `given` is the tokenizer of a model to start from: it takes the place of the configured one.
    """
    if config.data == "oracle" or Path(config.data).suffix == ".npz":
        oracle = open_oracle(config)
        n = config.oracle_texts
        train, validation, test = (oracle.sample(count, seed) for seed, count in enumerate((n, max(n // 10, 10), n)))
        about = {"tokens": oracle.vocabulary, "vocabulary": "", "start": 0, "end": -1, "pad": 0}
        return checked(Corpus(train, validation, test, oracle=oracle), replace(config, **about))
    parts = split(open_texts(config.data, config.unit, config.skip_bad), where=config.data)
    train_texts, validation_texts, test_texts = parts.train, parts.validation, parts.test
    if config.test:  # then nothing need be set aside for it
        test_texts = open_texts(config.test, config.unit, config.skip_bad)
        train_texts = without([*parts.train, *parts.test], test_texts, config)
        validation_texts = without(validation_texts, test_texts, config)
    tokenizer = given or open_tokenizer(config, train_texts)
    try:
        parts = [encode(part, tokenizer, config.length) for part in (train_texts, validation_texts, test_texts)]
    except DataError as error:
        raise DataError(f"{config.data}: {error}") from error
    if cut := sum(count for _, count in parts):
        say(f"{cut} of {sum(len(tokens) for tokens, _ in parts)} texts are cut at {config.length} tokens (--length)")
    about = {"tokens": len(tokenizer), "start": tokenizer.start, "end": tokenizer.end, "pad": tokenizer.pad}
    train, validation, test = (tokens for tokens, _ in parts)
    corpus = Corpus(train, validation, test, tokenizer, None, [*train_texts, *validation_texts], test_texts)
    return checked(corpus, replace(config, vocabulary=tokenizer.fingerprint, **about))


def without(texts: list[str], test: list[str], config: Any) -> list[str]:
    """The texts that are not tested on; how many are left out is said. DataError where none is left."""
    tested = set(map(normal, test))
    kept = [text for text in texts if normal(text) not in tested]
    if not kept:
        raise DataError(
            f"{config.test} holds all texts of {config.data}; expected others; give another --test, or none"
        )
    if len(kept) < len(texts):
        say(f"{config.data}: {len(texts) - len(kept)} of its texts left out, which {config.test} holds too")
    return kept


def checked(corpus: Corpus, config: Any) -> tuple[Corpus, Any]:
    """Both, with the fingerprint of the training texts. Raises DataError where no held-out text is long enough for a prompt,
    ConfigError where the metrics of continuations are not installed: now, not after the training."""
    longest = int(valid(corpus.test, config.last).sum(1).max())
    if config.prompt and config.prompt + 1 >= longest:
        raise DataError(
            f"prompt {config.prompt}: the longest text held out of {config.test or config.data} has {longest} tokens; expected "
            f"{max(longest - 2, 0)} or fewer, so that something is left to write; give a smaller --prompt, or 0 for none"
        )
    if config.prompt:
        require_pair_metrics()
    # An oracle is drawn from anew on each machine, and need not round alike on all.
    fingerprint = "" if corpus.oracle else hashlib.sha256(corpus.train.numpy().tobytes()).hexdigest()[:16]
    return corpus, replace(config, trained_on=fingerprint)


def open_oracle(config: Any) -> Oracle:
    """`oracle` is the one of seed 0; an .npz file is sought in MULTIGEN_DATA too."""
    if config.data == "oracle":
        return Oracle.seeded(0, length=config.length)
    return Oracle.read(locate(config.data, "an .npz file"), config.length)


def open_tokenizer(config: Any, texts: list[str]) -> Tokenizer:
    """The configured tokenizer: made from texts, or a transformers one by name or folder."""
    kind = config.tokenizer or getattr(config, "pretrained", "") or "words"
    if kind in ("words", "characters", "bpe"):
        try:
            return Tokenizer.train(texts, kind, config.vocabulary_size)
        except DataError as error:
            raise DataError(f"{config.data}: {error}") from error
    return Tokenizer.pretrained(kind)


def given_tokenizer(c: Any, start: str) -> Tokenizer | None:
    """The tokenizer of the model of --from; None without one. Raises ConfigError where the configuration names another."""
    if not start:
        return None
    folder = find_model(start)
    tokenizer, trained = read_tokenizer(folder), read_model(folder).config
    theirs = trained.get("tokenizer") or trained.get("pretrained") or "words"
    if (c.tokenizer or theirs) != theirs:
        raise ConfigError(
            f"tokenizer {c.tokenizer!r}: {folder} was trained with {theirs!r}; give --tokenizer {theirs}, or start from another "
            "model"
        )
    return tokenizer
