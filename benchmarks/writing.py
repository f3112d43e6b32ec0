"""How fast texts are written, beside `generate` of the transformers library with the same weights.

    python -m benchmarks.writing
    python -m benchmarks.writing --model smollm2-135m-instruct --batch 4 --length 24

Texts of T tokens without a prompt, drawn at temperature 1, with a cache of keys and values and an
equal batch, in one process, in turn, round after round; tokens a processor second of one thread,
ratios are medians of the rounds.

- ours: `Writer.generate`, what `multigen write` calls.
- transformers: `model.generate(do_sample=True, use_cache=True)`, no truncation of its own, no end.

Then roll-outs, N continuations of each beginning of the texts:

- ours: `multigen.text.synthesis.rollout.continued`, which reads each text once, and continues all
  beginnings together.
- transformers: `generate` from each beginning, the N continuations of all texts in one batch.

Allowed: ours at least as fast.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping

import torch
import tyro
from torch import Tensor

from multigen.engine.device import choose_device
from multigen.runs.record import machine
from multigen.text.decoding import sample
from multigen.text.networks.generators import Transformer
from multigen.text.networks.pretrained import load_pretrained
from multigen.text.synthesis.rollout import continued
from multigen.text.synthesis.writer import Writer
from multigen.text.vocabularies import open_tokenizer

__all__ = ["Generating", "main", "measure"]


class Generating:
    """The same model in the hands of transformers."""

    def __init__(self, G: Transformer, length: int):
        from transformers import GenerationConfig

        self.G, self.length = G, length
        G.model.generation_config = GenerationConfig(do_sample=True, use_cache=True, top_k=0, pad_token_id=0)

    def texts(self, batch: int) -> list[str]:
        """Texts of `length` tokens, as numbers."""
        first = torch.full((batch, 1), self.G.start)
        return [" ".join(map(str, row)) for row in self._continued(first, self.length)[:, 1:].tolist()]

    def rollouts(self, tokens: Tensor, n: int) -> None:
        first = torch.cat([torch.full_like(tokens[:, :1], self.G.start), tokens], 1).repeat(n, 1)
        for given in range(1, self.length):
            self._continued(first[:, : given + 1], self.length - given)

    def _continued(self, tokens: Tensor, new: int) -> Tensor:
        return self.G.model.generate(
            tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=new, min_new_tokens=new
        )


def rollouts(G: Transformer, tokens: Tensor, n: int) -> None:
    rows, length = tokens.shape
    uniform = torch.rand(rows, n, length - 1, length)
    for _ in continued(G, tokens, uniform):
        pass


def measure(cases: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Processor seconds of each round, by case; the cases take turns, after a first pass of
    each."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, case in cases.items():
            began = time.process_time()
            case()
            if number:
                seconds[name].append(time.process_time() - began)
    return seconds


def lines(what: str, tokens: int, seconds: dict[str, list[float]]) -> Iterable[str]:
    yield f"{what:24}{'tokens/s':>10}{'min':>10}{'max':>10}{'ours is':>9}"
    for name, each in seconds.items():
        speeds = [tokens / second for second in each]
        ratio = statistics.median(other / own for other, own in zip(each, seconds["ours"], strict=True))
        yield f"{name:24}{statistics.median(speeds):10.1f}{min(speeds):10.1f}{max(speeds):10.1f}{ratio:9.2f}"


def network(model: str, length: int) -> Transformer:
    """A model by name or folder, or one of GPT-2's shape with random weights, of the size of the
    preset `laptop`."""
    if not model:
        return Transformer.gpt2(1_000, 128, 2, 4, length, 0)
    tokenizer = open_tokenizer(model, [], 0, model)
    return load_pretrained(model, tokenizer.start, len(tokenizer), length)


def main(model: str = "", batch: int = 16, length: int = 48, n: int = 4, rounds: int = 5) -> None:
    """Times writing, and roll-outs.

    Args:
        model: of the transformers library, a model folder, or smollm2-135m-instruct; empty: a small
            one with random weights.
        batch: texts at a time.
        length: T, tokens of a text.
        n: roll-outs of each beginning; 0: none are timed.
        rounds: of both in turn.
    """
    choose_device("cpu")  # as loading a model does: freed memory is kept
    torch.set_num_threads(1)
    torch.manual_seed(0)
    G = network(model, length + 1).requires_grad_(False).eval()
    ours, theirs = Writer(G, None, length, None, 0), Generating(G, length)
    print(f"{model or 'GPT-2, 2 layers of 128'}; {batch} texts of {length} tokens; {machine()}; {rounds} rounds")
    cases = {"ours": lambda: ours.generate(n=batch), "transformers": lambda: theirs.texts(batch)}
    for line in lines("writing", batch * length, measure(cases, rounds)):
        print(line, flush=True)
    if not n:
        return
    tokens = sample(G, torch.rand(batch, length))
    cases = {"ours": lambda: rollouts(G, tokens, n), "transformers": lambda: theirs.rollouts(tokens, n)}
    for line in lines(f"roll-outs, {n}", batch * n * length * (length - 1) // 2, measure(cases, rounds)):
        print(line, flush=True)


if __name__ == "__main__":
    tyro.cli(main)
