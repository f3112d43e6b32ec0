"""Using what was trained: texts from a model folder, with or without a prompt."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from multigen.config import from_table
from multigen.errors import CheckpointError, ConfigError
from multigen.tasks.loading import load_network
from multigen.text.decoding import sample
from multigen.text.networks.generators import Generator, build_generator, check_length
from multigen.text.tokenizers import Tokenizer, read_tokenizer

__all__ = ["Writer", "load_writer"]

TOGETHER = 256  # texts written at a time


class Writer:
    """A trained generator that writes texts.

    Args:
        G: in evaluation mode.
        tokenizer: None for a model of an oracle, whose texts are numbers.
        length: tokens of a text at most.
        end, pad: of `multigen.text.decoding.sample`.
    """

    task: ClassVar[str] = "text-synthesis"

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
