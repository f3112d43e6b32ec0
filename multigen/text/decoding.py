"""Autoregressive sampling (temperature, top-k, nucleus), log-probabilities of sequences, and their
differentiable relaxation."""

import torch
from torch import Tensor

from multigen.errors import ConfigError
from multigen.losses.adversarial import at_least_float32
from multigen.text.networks.generators import Generator

__all__ = [
    "draw",
    "draw_next",
    "gather_log_probs",
    "log_probs",
    "relaxed",
    "rows_within",
    "sample",
    "token_mask",
    "truncated",
]

ROWS = 128  # whose logits are computed at a time
LOGITS = 1 << 29
"""Bytes that the logits of the texts read at a time may take."""
SMALLEST = 1e-30
"""In place of a uniform number 0, whose logarithm is infinite."""


def rows_within(tokens: int, length: int, most: int) -> int:
    """Number of texts of `length` tokens that are read at a time, `most` at most: a large
    vocabulary has large logits."""
    return max(1, min(most, LOGITS // (4 * tokens * length)))


def draw(logits: Tensor, uniform: Tensor) -> Tensor:
    """Inverse-CDF sampling of tokens: each uniform number in [0, 1) becomes one token.

    Several times faster on a CPU than torch.multinomial over thousands of tokens, and the same
    numbers give the same tokens in batches of any size.

    Args:
        logits: (B, V).
        uniform: (B, n), n draws a row.

    Returns:
        int64 (B, n). A token of probability 0 is never drawn.
    """
    below = at_least_float32(logits).softmax(-1).cumsum(-1)  # (B, V)
    # Rounding leaves the last value a little off 1, so the numbers are stretched to it.
    stretched = uniform.to(below) * below[:, -1:]
    return torch.searchsorted(below, stretched, right=True).clamp(max=logits.shape[-1] - 1)


def draw_next(G: Generator, features: Tensor, uniform: Tensor) -> Tensor:
    """Tokens (B, n) that follow the features (B, H) of `G.step`, by uniform (B, n); some rows at a
    time, to stay in the cache."""
    parts = zip(features.split(ROWS), uniform.split(ROWS), strict=True)
    return torch.cat([draw(G.logits(f), u) for f, u in parts])


def truncated(logits: Tensor, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Tensor:
    """Logits (B, V) at a temperature, -inf outside the k most probable tokens and outside the
    fewest that have probability p.

    Args:
        temperature: below 1 sharpens; 0 leaves the most probable token alone.
        top_k: 0: all.
        top_p: nucleus of Holtzman et al. 2020, arXiv:1904.09751, section 3.1; 1: all. The most
            probable token stays.

    Raises:
        ConfigError: a number out of its range.
    """
    if not 0 <= temperature < torch.inf:
        raise ConfigError(f"temperature {temperature}: expected a number above 0, such as .8, or 0 for no draw")
    if top_k < 0:
        raise ConfigError(f"top_k {top_k}: expected a number of tokens, or 0 for all")
    if not 0 < top_p <= 1:
        raise ConfigError(f"top_p {top_p}: expected a share of probability above 0, at most 1")
    if not temperature:
        best = logits.argmax(-1, keepdim=True)
        return torch.full_like(at_least_float32(logits), -torch.inf).scatter(-1, best, 0.0)
    logits = at_least_float32(logits) / temperature
    if 0 < top_k < logits.shape[-1]:
        least = logits.topk(top_k).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if top_p < 1:
        ordered, order = logits.sort(descending=True)
        p = ordered.softmax(-1)
        outside = p.cumsum(-1) - p >= top_p  # sorted by probability
        logits = logits.masked_fill(outside.scatter(1, order, outside), -torch.inf)
    return logits


def token_mask(tokens: Tensor, end: int | None, given: Tensor | None = None) -> Tensor:
    """Mask of valid tokens (B, T), bool: True up to and including the first `end`; of rows that
    begin with `given` tokens (B,) of a prompt, of those after it."""
    if end is None:
        return torch.ones_like(tokens, dtype=torch.bool)
    ends = tokens == end
    if given is None:
        return ends.cumsum(1) - ends.long() == 0
    after = torch.arange(tokens.shape[1], device=tokens.device) >= given[:, None]
    ends &= after
    return (ends.cumsum(1) - ends.long() == 0) & after


@torch.no_grad()
def sample(
    G: Generator,
    uniform: Tensor,
    end: int | None = None,
    pad: int = 0,
    prompt: Tensor | None = None,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    given: Tensor | None = None,
) -> Tensor:
    """Samples sequences (B, T) autoregressively; `end` is followed by `pad`.

    Args:
        uniform: (B, T), uniform in [0, 1): the randomness, one number a token.
        end: the token that ends a sequence; None: all have T tokens.
        prompt: (P,) or (B, P), tokens that every sequence begins with, P < T; the uniform numbers
            at their places are not used.
        temperature, top_k, top_p: as in `truncated`.
        given: (B,), how many tokens of its `prompt` each sequence begins with; None: all.
    """
    rows, length = uniform.shape
    prefix = torch.zeros(rows, 0, dtype=torch.int64, device=uniform.device) if prompt is None else prompt
    prefix = prefix.expand(rows, -1)  # (B, P)
    if rows > (most := G.most_rows(length)):
        each = [None] * rows if given is None else given.split(most)
        parts = zip(uniform.split(most), prefix.split(most), each, strict=False)
        return torch.cat([sample(G, u, end, pad, p, temperature, top_k, top_p, g) for u, p, g in parts])
    given = torch.full_like(prefix[:, 0], prefix.shape[1]) if prefix.shape[1] and given is None else given
    first = 0 if given is None else int(given.min())
    tokens = torch.full((rows, length), pad, dtype=torch.int64, device=uniform.device)
    previous, state = torch.full_like(tokens[:, 0], G.start), G.begin(rows, length)
    ended = torch.zeros_like(previous, dtype=torch.bool)
    for t in range(length):
        features, state = G.step(previous, state)
        if t >= first:
            previous = draw(truncated(G.logits(features), temperature, top_k, top_p), uniform[:, t : t + 1])[:, 0]
        inside = None if given is None or t >= prefix.shape[1] else given > t  # rows still in their prompts
        if inside is not None:
            previous = prefix[:, t].where(inside, previous)
        tokens[:, t] = previous = previous.masked_fill(ended, pad)
        if end is not None and t >= first:
            ended |= previous == end if inside is None else (previous == end) & ~inside
            if ended.all():
                break
    return tokens


def log_probs(G: Generator, tokens: Tensor, temperature: float = 1.0) -> Tensor:
    """log p of each token (B, T) given those before it, nats; (B, T), differentiable."""
    return gather_log_probs(at_least_float32(G(tokens)) / temperature, tokens)


def gather_log_probs(logits: Tensor, tokens: Tensor) -> Tensor:
    """log p of each token (B, T) by logits (B, T, V), nats; (B, T), differentiable, in float32 at
    least."""
    return at_least_float32(logits).log_softmax(-1).gather(2, tokens[:, :, None])[:, :, 0]


def relaxed(logits: Tensor, tokens: Tensor, uniform: Tensor, beta: float) -> Tensor:
    """The Gumbel softmax of sampled tokens: softmax(beta (logits + g)), a differentiable stand-in
    for their one-hot vectors, (B, T, V), in float32 at least.

    g are Gumbel numbers given that the token is the one where logits + g is largest, so (token, g)
    has the distribution of the Gumbel-max trick (Maddison et al. 2014, arXiv:1411.0030; Jang et al.
    2017 and Maddison et al. 2017 for the relaxation). With E = exp(-logits - g) it is a race of
    clocks that ring after exponential times at the rates p: the winner's time has rate 1, and those
    of the others, which have no memory, count from there.

    Args:
        logits: (B, T, V), those that the tokens were drawn by.
        tokens: (B, T).
        uniform: (B, T, V) in [0, 1).
        beta: inverse temperature; large: nearly one-hot.
    """
    logits, winner = at_least_float32(logits), tokens[:, :, None]
    with torch.no_grad():
        log_p = logits.log_softmax(-1)
        waiting = -uniform.clamp(min=SMALLEST).log()
        first = waiting.gather(2, winner)
        times = (first + waiting / log_p.exp()).scatter(2, winner, first)
        noise = -times.log() - log_p
    return (beta * (logits + noise)).softmax(-1)
