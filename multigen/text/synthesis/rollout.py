"""Monte-Carlo search: the action value of each token, from continuations that a policy samples.
SeqGAN, equation 4.

Every prefix of a sequence is continued N times. A literal implementation reads the prefix again for
each continuation and token. Here the sequence is read once, and each continuation branches off from
its state (that of the LSTM, or keys and values). The continuations of all prefixes are sampled
together, one token at a time, so T tokens take T steps of one large batch.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from multigen.text.decoding import draw_next, token_mask
from multigen.text.networks.generators import Generator

__all__ = ["LIMIT", "continued", "rewards"]

LIMIT = 256 * 2**20
"""Bytes that the states of one step may take by default; more sequences are continued in several
parts."""


def rewards(
    G: Generator,
    score: Callable[[Tensor], Tensor],
    tokens: Tensor,
    uniform: Tensor,
    end: int | None = None,
    pad: int = 0,
    limit: int = LIMIT,
) -> Tensor:
    """The action value of each token: the mean score of N complete sequences that begin with the
    tokens up to it.

    For the token that completes a sequence, its `end` or the T-th, it is the score of that
    sequence.

    Args:
        G: the roll-out policy.
        score: complete sequences (M, T) -> (M,).
        tokens: (B, T), as `sample` draws them.
        uniform: (B, N, T - 1, T) in [0, 1): one number per token of each continuation.
        end, pad: of `sample`.
        limit: bytes of the states of a step, see LIMIT.

    Returns:
        (B, T); 0 after the end of a sequence.
    """
    whole = score(tokens)  # (B,)
    n, length = uniform.shape[1], tokens.shape[1]
    totals = whole.new_zeros(len(tokens), length)
    totals[:, -1] = whole
    for rows, ends in continued(G, tokens, uniform, end, pad, limit):
        scores = score(ends.flatten(0, 2)).unflatten(0, ends.shape[:3])  # (b, m, T - 1)
        totals[rows, :-1] += scores.sum(1) / n
    inside = token_mask(tokens, end)
    last = inside.sum(1, keepdim=True) - 1
    return torch.where(inside, totals.scatter(1, last, whole[:, None]), 0.0)


@torch.no_grad()
def continued(
    G: Generator, tokens: Tensor, uniform: Tensor, end: int | None = None, pad: int = 0, limit: int = LIMIT
) -> Iterator[tuple[slice, Tensor]]:
    """Continuations of all prefixes, in parts: (rows of `tokens`, (b, m, T - 1, T)); m of the N at
    a time.

    `continuation[i, j, t]` keeps tokens 0 to t of its sequence. Arguments as in `rewards`.
    """
    rows, n, _, length = uniform.shape
    # Each continuation of a sequence takes a row per prefix.
    together = max(1, limit // (length * _state_bytes(G, length)))
    some, many = max(1, together // n), min(n, together)
    for first in range(0, rows, some):
        part = slice(first, min(first + some, rows))
        for begin in range(0, n, many):
            yield part, _branches(G, tokens[part], uniform[part, begin : begin + many], end, pad)


def _state_bytes(G: Generator, length: int) -> int:
    """Bytes of the state of one row that will read `length` tokens."""
    token = torch.tensor([G.start], device=next(G.parameters()).device)
    return G.size(G.step(token, G.begin(1, length))[1])


def _branches(G: Generator, tokens: Tensor, uniform: Tensor, end: int | None, pad: int) -> Tensor:
    """(B, T), (B, N, T - 1, T) -> (B, N, T - 1, T). Rows of the state: the sequences, then N * B
    branches per prefix."""
    (B, n, _, T), device = uniform.shape, tokens.device
    prefix_mask = torch.ones(T - 1, T, dtype=torch.bool, device=device).tril()[:, None, None]  # prefix i: tokens 0 to i
    out = tokens.expand(T - 1, n, B, T).where(prefix_mask, pad)
    uniform = uniform.permute(2, 1, 0, 3).to(device)  # (T - 1, N, B, T)
    inside = token_mask(tokens, end)
    over = ~inside[:, 1:].T[:, None].expand(T - 1, n, B).clone()  # complete continuations
    previous, state = torch.full((B,), G.start, device=device), G.begin(B, T, capacity=B + (T - 1) * n * B)
    for t in range(T):
        h, state = G.step(previous, state)
        if t:
            new = draw_next(G, h[:B], uniform[t - 1, :, :, t].T).T[None]  # (1, N, B), branching off here
            old = draw_next(G, h[B:], uniform[: t - 1, :, :, t].reshape(-1, 1)).view(t - 1, n, B)
            sequences = torch.cat([old, new]).masked_fill(over[:t], pad)  # (t, N, B)
            out[:t, :, :, t] = sequences
            if end is not None:
                over[:t] |= sequences == end
            state = G.branch(state, B, n)
        if over.all():
            break
        previous = torch.cat([tokens[:, t], out[:t, :, :, t].flatten()])
    return out.permute(2, 1, 0, 3)  # (B, N, T - 1, T)
