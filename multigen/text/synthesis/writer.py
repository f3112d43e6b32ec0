"""Inference with a trained generator: texts, with or without a prompt."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from multigen.errors import ConfigError
from multigen.memory import require
from multigen.tasks.graph import Graph
from multigen.tasks.ready import Ready
from multigen.text.conversations import Message, answerable, encode_prompt
from multigen.text.decoding import sample
from multigen.text.networks.generators import Generator, check_length
from multigen.text.tokenizers import Tokenizer

__all__ = ["Writer"]

TOGETHER = 256  # texts sampled at a time


class Writer(Ready):
    """A trained generator that writes texts.

    Args:
        G: in evaluation mode.
        tokenizer: None for a model of an oracle, whose texts are numbers.
        length: tokens of a text at most.
        end, pad: of `multigen.text.decoding.sample`.
        classes: names of the classes that it was trained with; none for an unconditional one. Their
            tokens follow those of the tokenizer, and a text begins with one.
        dialogue: whether it was trained on conversations, and can answer messages.
    """

    task = "text-synthesis"

    def __init__(
        self,
        G: Generator,
        tokenizer: Tokenizer | None,
        length: int,
        end: int | None,
        pad: int,
        classes: tuple[str, ...] = (),
        dialogue: bool = False,
    ):
        self.G, self.tokenizer, self.length, self.end, self.pad = G, tokenizer, length, end, pad
        self.classes, self.dialogue = classes, dialogue

    def generate(
        self,
        prompt: str = "",
        n: int = 1,
        seed: int = 0,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        length: int = 0,
        stop: Sequence[str] = (),
        label: str | None = None,
    ) -> list[str]:
        """n texts that begin with the prompt, which is part of them. The same seed gives the same
        texts; a larger n appends some.

        Args:
            prompt: beginning of all texts.
            n: how many, at least 1.
            seed: of the draws.
            temperature, top_k, top_p: as in `multigen.text.decoding.truncated`.
            length: tokens at most, including the prompt's; 0: as in training.
            stop: a text ends before the first of these behind its prompt.
            label: the class of all texts, by its name; None: the model draws one for each, as often
                as in the data.

        Raises:
            ConfigError: a setting out of its range; an empty `stop`; a prompt that is too long, or
                of words the model does not know.
        """
        begin = [*self._class(label, bool(prompt)), *self._encode(prompt)]
        stops = [stop] if isinstance(stop, str) else [*stop]
        rows = self._sampled(begin, n, seed, temperature, top_k, top_p, length, stops)
        written = len(self._decode(begin)) if begin else 0
        return [_stopped(self._decode(row), written, stops) for row in rows]

    def answer(
        self,
        messages: Sequence[Message] | str,
        n: int = 1,
        seed: int = 0,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        length: int = 0,
        stop: Sequence[str] = (),
    ) -> list[str]:
        """n answers to the last message of a conversation, or to a single message. Arguments as of
        `generate`; `length` includes all messages.

        Raises ConfigError for a model that was not trained on conversations, messages of user and
        assistant that do not alternate or do not end with the user's, and as `generate`.
        """
        if not self.dialogue or self.tokenizer is None:
            raise ConfigError(
                "the model was not trained on conversations; leave --chat out, or train on --data of messages"
            )
        conversation = [{"role": "user", "content": messages}] if isinstance(messages, str) else [*messages]
        begin = encode_prompt(answerable(conversation), self.tokenizer)
        self._encode(conversation[-1]["content"])  # raises for words that it does not know
        stops = [stop] if isinstance(stop, str) else [*stop]
        rows = self._sampled(begin, n, seed, temperature, top_k, top_p, length, stops)
        return [_stopped(self._decode(row[len(begin) :]), 0, stops).strip() for row in rows]

    def fits(self, messages: Sequence[Message], length: int = 0) -> bool:
        """Whether an answer to messages fits after them into `length` tokens; 0: as in training."""
        return self.tokenizer is None or len(encode_prompt(messages, self.tokenizer)) < (length or self.length)

    def _sampled(
        self,
        begin: list[int],
        n: int,
        seed: int,
        temperature: float,
        top_k: int,
        top_p: float,
        length: int,
        stops: Sequence[str],
    ) -> list[list[int]]:
        """n sequences that begin with some tokens. Raises ConfigError as `generate`."""
        if n < 1:
            raise ConfigError(f"n {n}: expected 1 text or more")
        if not -(2**63) <= seed < 2**63:
            raise ConfigError(f"seed {seed}: expected a whole number of at most 64 bits, such as 0")
        if length < 0:
            raise ConfigError(f"length {length}: expected a number of tokens, or 0 for as many as in training")
        if not all(stops):
            raise ConfigError("stop '': expected some text; leave it out to end as the model does")
        length = length or self.length
        check_length(self.G, length)
        if len(begin) >= length:
            raise ConfigError(
                f"prompt of {len(begin)} tokens: expected fewer than {length}; shorten it, or raise --length"
            )
        # The texts, a few bytes a token; and while some are drawn, numbers and states for each of their tokens.
        require(
            8 * n * length + 64 * min(n, TOGETHER) * length, f"{n} texts of {length} tokens", "lower -n or --length"
        )
        device, draw = next(self.G.parameters()).device, torch.Generator().manual_seed(seed)
        prefix = torch.tensor(begin, device=device)[None]  # (1, P)
        rows: list[list[int]] = []
        while len(rows) < n:
            uniform = torch.rand(min(TOGETHER, n - len(rows)), length, generator=draw).to(device)
            rows += sample(self.G, uniform, self.end, self.pad, prefix, temperature, top_k, top_p).tolist()
        return rows

    def sheet(self, n: int, seed: int = 0) -> list[str]:
        """n texts to look at. The same seed gives the same texts. Raises ConfigError as
        `generate`."""
        return self.generate(n=n, seed=seed)

    def graph(self) -> Graph:
        """A copy of the network for `multigen export`: tokens (batch, T) -> logits (batch, T + 1,
        V) of these and of the next. The tokenizer and the draw of the next token are not part of
        it."""
        G = copy.deepcopy(self.G).cpu().float()
        with torch.no_grad():
            vocabulary = G(torch.zeros(1, 1, dtype=torch.int64)).shape[2]

        def example(n: int, side: int) -> tuple[Tensor, ...]:
            draw = torch.Generator().manual_seed(0)
            return (torch.randint(vocabulary, (n, min(side, self.length - 1)), generator=draw),)

        says = {
            "tokens": f"int64 (batch, tokens), 0..{vocabulary - 1}, from 1 to {self.length} of them, no start token; "
            "tokenizer.json of the model folder gives them, if there is one",
            "logits": f"float32 (batch, tokens + 1, {vocabulary}); those at t are of token t, given the ones before it, the last "
            "of the token that comes next",
        }
        shape = ("batch", "tokens + 1", vocabulary)
        return Graph(NextToken(G).eval(), {"tokens": {0: "batch", 1: "tokens"}}, example, "logits", shape, says)

    def _class(self, label: str | None, needed: bool) -> list[int]:
        """The token of a class; of none, where one is `needed` before a prompt, that of the first
        class."""
        if label is None:
            return [len(self.tokenizer or ())] if self.classes and needed else []
        if label not in self.classes:
            class_names = (
                f"expected one of {', '.join(self.classes)}"
                if self.classes
                else "the model was trained without classes"
            )
            raise ConfigError(f"class {label!r}: {class_names}; ask for {'another' if self.classes else 'none'}")
        return [len(self.tokenizer or ()) + self.classes.index(label)]

    def _encode(self, prompt: str) -> list[int]:
        if not prompt:
            return []
        if self.tokenizer is None:
            raise ConfigError(f"prompt {prompt!r}: a model of an oracle writes numbers, not words; leave --prompt out")
        if any("\ud800" <= character <= "\udfff" for character in prompt):
            raise ConfigError(f"prompt {prompt!r:.60}: it is not UTF-8 text; convert it")
        if unknown := self.tokenizer.unknown_words(prompt):
            raise ConfigError(
                f"prompt {prompt!r}: the model has never seen {', '.join(map(repr, unknown))}; use words of its training texts, "
                "or train with --tokenizer bpe, which can spell every word"
            )
        return self.tokenizer.encode(prompt)

    def _decode(self, tokens: list[int]) -> str:
        if self.tokenizer is None:
            return " ".join(map(str, tokens))
        words = len(self.tokenizer)
        return self.tokenizer.decode(token for token in tokens if token < words)


def _stopped(text: str, begin: int, stops: Sequence[str]) -> str:
    """A text up to the first of some texts in it, from its character `begin` on."""
    positions = [at for stop in stops if (at := text.find(stop, begin)) >= 0]
    return text[: min(positions)] if positions else text


class NextToken(nn.Module):
    """tokens (B, T) -> logits (B, T + 1, V): those at t are of token t, the last of the token after
    them all."""

    def __init__(self, G: Generator):
        super().__init__()
        self.G = G

    def forward(self, tokens: Tensor) -> Tensor:
        return self.G(torch.cat([tokens, torch.zeros_like(tokens[:, :1])], 1))
