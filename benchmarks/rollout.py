"""How fast Monte-Carlo search continues texts, against a literal implementation that reads each
beginning again.

    python -m benchmarks.rollout

Sampling only: no discriminator. In one process, in turn, round after round; ratios are medians of
the rounds.

- literal: for each of the T - 1 beginnings and each of the N roll-outs the LSTM reads the beginning
  token by token from its zero state and draws the rest with torch.multinomial, a batch of B texts
  at a time: N (T - 1) T steps in sequence.
- literal, our sampler: the same with `multigen.text.decoding.draw`.
- ours: `multigen.text.synthesis.rollout.continued`, T steps in sequence.
- transformer, with its cache of keys and values, and the same when every token is read again at
  every step.

Peak memory is what a process's resident set grows by, at most, during a pass (Linux). Allowed: ours
at least 5 times as fast as the literal one, and faster than it with our sampler.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import tyro
from torch import Tensor

from multigen.engine.device import choose_device
from multigen.runs.record import machine
from multigen.text.decoding import draw, sample
from multigen.text.networks.generators import LSTM, Generator, Transformer
from multigen.text.synthesis.rollout import continued

__all__ = ["Uncached", "literal", "main", "measure"]

Draw = Callable[[Tensor], Tensor]


def multinomial(logits: Tensor) -> Tensor:
    return torch.multinomial(logits.softmax(-1), 1)[:, 0]


def by_inversion(logits: Tensor) -> Tensor:
    return draw(logits, torch.rand(len(logits), 1))[:, 0]


@torch.no_grad()
def literal(G: Generator, tokens: Tensor, rollouts: int, drawn: Draw) -> Tensor:
    """(B, T) -> (T - 1, N, B, T), one roll-out of one beginning after another."""
    rows, length = tokens.shape
    out = torch.empty(length - 1, rollouts, rows, length, dtype=torch.int64)
    for given in range(1, length):
        for n in range(rollouts):
            previous, state = torch.full((rows,), G.start), G.begin(rows, length)
            for t in range(length):
                h, state = G.step(previous, state)
                previous = tokens[:, t] if t < given else drawn(G.logits(h))
                out[given - 1, n, :, t] = previous
    return out


class Uncached(Generator):
    """A transformer that reads the whole text again for each token."""

    def __init__(self, G: Transformer):
        super().__init__()
        self.G, self.start = G, G.start

    def begin(self, n: int, length: int, room: int = 0) -> Tensor:
        return torch.zeros(n, 0, dtype=torch.int64)

    def step(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        read = torch.cat([state, tokens[:, None]], 1)
        return self.G.model.base_model(input_ids=read, use_cache=False).last_hidden_state[:, -1], read

    def branch(self, state: Tensor, first: int, times: int) -> Tensor:
        return torch.cat([state, state[:first].repeat(times, 1)])

    def size(self, state: Tensor) -> int:
        return state.nbytes

    def logits(self, features: Tensor) -> Tensor:
        return self.G.logits(features)


def ours(G: Generator, tokens: Tensor, rollouts: int) -> None:
    rows, length = tokens.shape
    for _ in continued(G, tokens, torch.rand(rows, rollouts, length - 1, length)):
        pass


def measure(cases: dict[str, Callable[[], object]], rounds: int) -> dict[str, tuple[list[float], float]]:
    """Seconds of each round and peak memory in MiB, by case; the cases take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    peaks = dict.fromkeys(cases, 0.0)
    for _ in range(rounds):
        for name, case in cases.items():
            before = resident("VmRSS", reset=True)
            began = time.perf_counter()
            case()
            seconds[name].append(time.perf_counter() - began)
            peaks[name] = max(peaks[name], resident("VmHWM") - before)
    return {name: (seconds[name], peaks[name]) for name in cases}


def resident(field: str, reset: bool = False) -> float:
    """The process's resident set now (VmRSS) or at its peak since the last reset (VmHWM), MiB; 0
    where Linux does not tell."""
    status, clear = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not status.exists():
        return 0.0
    if reset:
        clear.write_text("5")
    return next(int(line.split()[1]) / 1024 for line in status.read_text().splitlines() if line.startswith(field))


def main(batch: int = 64, length: int = 20, vocabulary: int = 5_000, rollouts: int = 16, rounds: int = 3) -> None:
    """Times roll-outs.

    Args:
        batch: B, texts.
        length: T, tokens of a text.
        vocabulary: V.
        rollouts: N, continuations of each beginning.
        rounds: of all cases in turn.
    """
    choose_device("cpu")  # as training does: freed memory is kept
    torch.manual_seed(0)
    G = LSTM(vocabulary, 32, 32).requires_grad_(False)
    T = Transformer.gpt2(vocabulary, 64, 2, 4, length, 0).requires_grad_(False)
    tokens = sample(G, torch.rand(batch, length))
    cases: dict[str, Callable[[], object]] = {
        "literal": lambda: literal(G, tokens, rollouts, multinomial),
        "literal, our sampler": lambda: literal(G, tokens, rollouts, by_inversion),
        "ours": lambda: ours(G, tokens, rollouts),
        "transformer": lambda: ours(T, tokens, rollouts),
        "transformer, no cache": lambda: ours(Uncached(T), tokens, rollouts),
    }
    result = measure(cases, rounds)
    print(f"B {batch}, T {length}, V {vocabulary}, {rollouts} roll-outs; {machine()}; {rounds} rounds")
    print(f"{'':24}{'seconds':>9}{'min':>8}{'max':>8}{'MiB':>8}")
    for name, (seconds, peak) in result.items():
        print(f"{name:24}{statistics.median(seconds):9.2f}{min(seconds):8.2f}{max(seconds):8.2f}{peak:8.0f}")
    for slow, fast in (("literal", "ours"), ("literal, our sampler", "ours"), ("transformer, no cache", "transformer")):
        ratio = statistics.median(a / b for a, b in zip(result[slow][0], result[fast][0], strict=True))
        print(f"{fast} against {slow}: {ratio:.1f} times as fast")


if __name__ == "__main__":
    tyro.cli(main)
