"""Generators of token sequences. All have one interface, so that sampling, scoring and roll-outs
are written once.

    state = G.begin(8, length=20, capacity=14)  # 8 rows, 14 at most, of up to 20 tokens
    h, state = G.step(tokens, state)            # tokens (8,) -> features (8, H)
    G.logits(h)                                 # (8, V), of the tokens after them
    state = G.branch(state, first=3, times=2)   # appends the first 3 of the 8 rows, twice

What a state is depends on the generator. `step` and `branch` may reuse its memory, so a state that
was passed to them is no longer valid. `start` is the token before the first one. Logits are a call
of their own, since those of thousands of rows at once do not fit into a processor's cache.
"""

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from multigen.console import if_slow
from multigen.errors import ConfigError

__all__ = ["LSTM", "Generator", "Transformer", "check_length", "shifted"]


STATES = 1 << 29
"""Bytes that the keys and values of texts drawn at a time may take."""


class Generator(nn.Module):
    """p(token | tokens before it)."""

    start: int

    def begin(self, n: int, length: int, capacity: int = 0) -> Any:
        """The initial state of n rows, with memory for `length` tokens and for `capacity` rows, or
        n if that is more."""
        raise NotImplementedError

    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Reads one token per row, (B,): features (B, H) that `logits` takes, and the state after
        it."""
        raise NotImplementedError

    def branch(self, state: Any, first: int, times: int) -> Any:
        """The state with copies of its `first` rows appended, `times` times."""
        raise NotImplementedError

    def size(self, state: Any) -> int:
        """Bytes of a state."""
        raise NotImplementedError

    def most_rows(self, length: int) -> int:
        """Rows of `length` tokens whose states are held in memory at a time."""
        return 1 << 20

    def logits(self, features: Tensor) -> Tensor:
        """(..., H) -> logits of the next token, (..., V)."""
        raise NotImplementedError

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (B, T) -> logits (B, T, V); those at t are of token t, conditioned on the tokens
        before it."""
        raise NotImplementedError


def shifted(tokens: Tensor, start: int) -> Tensor:
    """tokens (B, T) -> the inputs that predict them: the start token and all but the last, (B,
    T)."""
    return torch.cat([torch.full_like(tokens[:, :1], start), tokens[:, :-1]], 1)


class LSTM(Generator):
    """Embedding, LSTM, linear layer; Yu et al. 2017 (SeqGAN), section 3, with one layer of 32
    units."""

    def __init__(self, vocabulary: int, embedding: int, width: int, layers: int = 1, start: int = 0):
        super().__init__()
        self.start, self.layers, self.width = start, layers, width
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.lstm = nn.LSTM(embedding, width, layers, batch_first=True)
        self.output = nn.Linear(width, vocabulary)
        nn.init.normal_(self.embedding.weight, 0.0, 0.1)

    def begin(self, n: int, length: int, capacity: int = 0) -> tuple[Tensor, Tensor]:
        zero = self.output.weight.new_zeros(n, self.layers, self.width)
        return zero, zero

    def branch(self, state: tuple[Tensor, Tensor], first: int, times: int) -> tuple[Tensor, Tensor]:
        h, c = (torch.cat([part, part[:first].repeat(times, 1, 1)]) for part in state)
        return h, c

    def size(self, state: tuple[Tensor, Tensor]) -> int:
        return sum(part.nbytes for part in state)

    def step(self, tokens: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        h, c = (part.transpose(0, 1).contiguous() for part in state)  # (layers, B, width)
        x, (h, c) = self.lstm(self.embedding(tokens[:, None]), (h, c))  # (B, 1, width)
        return x[:, 0], (h.transpose(0, 1), c.transpose(0, 1))

    def logits(self, features: Tensor) -> Tensor:
        return self.output(features)

    def forward(self, tokens: Tensor) -> Tensor:
        x, _ = self.lstm(self.embedding(shifted(tokens, self.start)))  # (B, T, width)
        return self.output(x)


class Transformer(Generator):
    """A causal language model of the transformers library; its state is the cache of keys and
    values (`kv_cache`).

    Dropout is off: sampling and scoring must see one policy.

    Args:
        model: any whose logits are one layer on its last hidden states, such as GPT2LMHeadModel.
        start: the token before the first one.

    Raises:
        ConfigError: the model's logits are not that.
    """

    def __init__(self, model: Any, start: int):
        super().__init__()
        self.model, self.start = model, start
        # The argument's name depends on the model and on the version of the library.
        names = inspect.signature(model.base_model.forward).parameters
        self.cache = "cache" if "cache" in names else "past_key_values"
        if model.device.type != "meta":  # there are no values, when `multigen.tasks.loading` checks names and shapes
            self._check()
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
            elif isinstance(getattr(module, "attention_dropout", None), float):
                module.attention_dropout = 0.0

    @torch.no_grad()
    def _check(self) -> None:
        """Raises ConfigError where the model's logits are not those of `forward`."""
        token = torch.tensor([[self.start]], device=self.model.device)
        plain, forward = self.model.eval()(input_ids=token, use_cache=False).logits, self(token)
        if not torch.allclose(plain, forward, atol=1e-4):
            raise ConfigError(
                f"{type(self.model).__name__}: its logits are more than one layer on its last hidden states; give another model"
            )

    @classmethod
    def gpt2(cls, vocabulary: int, width: int, layers: int, heads: int, length: int, start: int) -> "Transformer":
        """GPT-2's network in any size, untrained. ConfigError where `width` does not divide into
        `heads`.

        Attention of short texts is faster unfused (the fused kernel's gradient takes 40 % of a step
        on a CPU), and gelu_pytorch_tanh is GPT-2's own function in one pass over memory: together
        half the time of a step.
        """
        with if_slow("loading transformers"):
            from transformers import GPT2Config, GPT2LMHeadModel

        if width % heads:
            raise ConfigError(f"width {width}: it does not divide into {heads} heads; take a multiple of {heads}")
        config = GPT2Config(
            vocab_size=vocabulary, n_embd=width, n_layer=layers, n_head=heads, n_positions=length + 1,
            bos_token_id=start, eos_token_id=start, attn_pdrop=0.0, resid_pdrop=0.0, embd_pdrop=0.0,
            activation_function="gelu_pytorch_tanh",
        )  # fmt: skip
        model = GPT2LMHeadModel(config)
        model.set_attn_implementation("eager")
        return cls(model, start)

    def begin(self, n: int, length: int, capacity: int = 0) -> Any:
        from multigen.text.networks.kv_cache import BranchingKVCache

        return BranchingKVCache(max(n, capacity), length)

    def step(self, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        out = self.model.base_model(input_ids=tokens[:, None], use_cache=True, **{self.cache: state})
        return out.last_hidden_state[:, -1], state

    def branch(self, state: Any, first: int, times: int) -> Any:
        state.branch(first, times)
        return state

    def size(self, state: Any) -> int:
        return state.nbytes

    def most_rows(self, length: int) -> int:
        c = self.model.config
        heads = getattr(c, "num_key_value_heads", None) or c.num_attention_heads
        width = (getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads) * heads
        return max(1, STATES // (2 * 4 * c.num_hidden_layers * width * length))

    def logits(self, features: Tensor) -> Tensor:
        return self.model.get_output_embeddings()(features)

    def forward(self, tokens: Tensor) -> Tensor:
        out = self.model.base_model(input_ids=shifted(tokens, self.start), use_cache=False)
        return self.logits(out.last_hidden_state)


def check_length(G: Generator, length: int) -> None:
    """Raises ConfigError where texts of so many tokens are longer than a transformer can read."""
    most = getattr(G.model.config, "max_position_embeddings", length) if isinstance(G, Transformer) else length
    if length > most:
        raise ConfigError(f"length {length}: the model reads {most} tokens at most; give a --length up to that")
