"""Using what was trained: texts from a model folder, with or without a prompt."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from multigen.config import from_table
from multigen.errors import CheckpointError, ConfigError
from multigen.loading import load_network
from multigen.runs import find_model, read_model
from multigen.text.decoding import sample
from multigen.text.generators import LSTM, Generator, Transformer, load_pretrained
from multigen.text.tokenizers import Tokenizer

__all__ = ["Writer", "build_generator", "given_tokenizer", "load_writer"]

TOGETHER = 256  # texts written at a time


class Writer:
    """A trained generator that writes texts.

    Args:
        G: in evaluation mode.
        tokenizer: None for a model of an oracle, whose texts are numbers.
        length: tokens of a text at most.
        end, pad: of `multigen.text.decoding.sample`.
    """

    noun: ClassVar[str] = "texts"

    def __init__(self, G: Generator, tokenizer: Tokenizer | None, length: int, end: int | None, pad: int):
        self.G, self.tokenizer, self.length, self.end, self.pad = G, tokenizer, length, end, pad

    def generate(
        self,
        prompt: str = "",
        n: int = 1,
        seed: int = 0,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        length: int = 0,
    ) -> list[str]:
        """n texts that begin with the prompt, which is part of them. The same seed gives the same, and more of them begin alike.

        Args:
            prompt: beginning of all texts.
            n: how many, at least 1.
            seed: of the draws.
            temperature, top_k, top_p: as in `multigen.text.decoding.truncated`.
            length: tokens at most, the prompt's included; 0: as in training.

        Raises:
            ConfigError: a setting out of its range; a prompt that is too long, or of words the model does not know.
        """
        if n < 1:
            raise ConfigError(f"n {n}: expected 1 text or more")
        if not -(2**63) <= seed < 2**63:
            raise ConfigError(f"seed {seed}: expected a whole number of at most 64 bits, such as 0")
        if length < 0:
            raise ConfigError(f"length {length}: expected a number of tokens, or 0 for as many as in training")
        length = length or self.length
        check_length(self.G, length)
        begin = self._encoded(prompt)
        if len(begin) >= length:
            raise ConfigError(
                f"prompt of {len(begin)} tokens: expected fewer than {length}; shorten it, or raise --length"
            )
        device = next(self.G.parameters()).device
        uniform = torch.rand(n, length, generator=torch.Generator().manual_seed(seed)).to(device)
        given = torch.tensor(begin, device=device)[None]  # (1, P)
        parts = [
            sample(self.G, part, self.end, self.pad, given, temperature, top_k, top_p)
            for part in uniform.split(TOGETHER)
        ]
        return [self._decoded(row) for row in torch.cat(parts).tolist()]

    def _encoded(self, prompt: str) -> list[int]:
        if not prompt:
            return []
        if self.tokenizer is None:
            raise ConfigError(f"prompt {prompt!r}: a model of an oracle writes numbers, not words; leave --prompt out")
        if unknown := self.tokenizer.unknown_words(prompt):
            raise ConfigError(
                f"prompt {prompt!r}: the model has never seen {', '.join(map(repr, unknown))}; use words of its training texts, "
                "or train with --tokenizer bpe, which can spell every word"
            )
        return self.tokenizer.encode(prompt)

    def _decoded(self, tokens: list[int]) -> str:
        return " ".join(map(str, tokens)) if self.tokenizer is None else self.tokenizer.decode(tokens)


def build_generator(c: Any, described: Path | None = None) -> Generator:
    """G of a configuration; a pretrained one that was trained on from `described`, the file of its model folder on its shape."""
    if c.network == "lstm":
        return LSTM(c.tokens, c.embedding, c.width, c.layers, c.start)
    if c.network == "transformer":
        return Transformer.gpt2(c.tokens, c.width, c.layers, c.heads, c.length, c.start)
    if described is not None:
        from transformers import AutoConfig, AutoModelForCausalLM

        try:
            about = AutoConfig.for_model(**json.loads(described.read_text(encoding="utf-8")))
            model = AutoModelForCausalLM.from_config(about, trust_remote_code=False)
        except Exception as error:  # as many kinds as there are models
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(f"{described} describes no model ({reason}); copy the model folder anew") from error
        return Transformer(model, c.start)
    if not c.pretrained:
        raise ConfigError("network pretrained: no model is named; give --pretrained NAME or FOLDER")
    G = load_pretrained(c.pretrained, c.start)
    if (most := G.model.get_input_embeddings().num_embeddings) < c.tokens:
        raise ConfigError(
            f"tokenizer of {c.tokens} tokens: {c.pretrained} has {most}; give the tokenizer that it was trained with"
        )
    if most > c.tokens:  # entries that no token has, which must not be drawn
        G.model.resize_token_embeddings(c.tokens)
    check_length(G, c.length)
    return G


def check_length(G: Generator, length: int) -> None:
    """Raises ConfigError where texts of so many tokens are longer than a transformer can read."""
    most = getattr(G.model.config, "max_position_embeddings", length) if isinstance(G, Transformer) else length
    if length > most:
        raise ConfigError(f"length {length}: the model reads {most} tokens at most; give a --length up to that")


def given_tokenizer(c: Any, start: str) -> Tokenizer | None:
    """The tokenizer of the model of --from; None without one. Raises ConfigError where the configuration names another."""
    if not start:
        return None
    folder = find_model(start)
    tokenizer, trained = read_tokenizer(folder), read_model(folder)[1]
    theirs = trained.get("tokenizer") or trained.get("pretrained") or "words"
    if (c.tokenizer or theirs) != theirs:
        raise ConfigError(
            f"tokenizer {c.tokenizer!r}: {folder} was trained with {theirs!r}; give --tokenizer {theirs}, or start from another "
            "model"
        )
    return tokenizer


def read_tokenizer(folder: Path) -> Tokenizer | None:
    """The tokenizer of a model folder; None where there is none."""
    path = folder / "tokenizer.json"
    try:
        return Tokenizer.from_json(path.read_text(encoding="utf-8"), str(path)) if path.exists() else None
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); copy the model folder anew") from error


def load_writer(
    default: Any, config: Mapping[str, Any], weights: Mapping[str, Mapping[str, Tensor]], where: str
) -> Writer:
    """The ready object of the model folder `where`, on the GPU if there is one. CheckpointError where its parts do not fit."""
    c = from_table(default, dict(config), f"{where}, config.json")
    tokenizer = read_tokenizer(Path(where))
    found = tokenizer.fingerprint if tokenizer else ""
    if found != c.vocabulary:
        raise CheckpointError(
            f"{where}: tokenizer {found or 'missing'}, expected {c.vocabulary or 'none'}, which the model was trained with; copy "
            "the whole model folder anew"
        )
    described = Path(where) / "transformer.json"
    shape = described if described.exists() else None
    G = load_network(lambda: build_generator(c, shape), weights.get("G", {}), f"{where}, G")
    return Writer(G, tokenizer, c.length, c.last, c.pad)
