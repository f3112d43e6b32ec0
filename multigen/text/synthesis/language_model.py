"""LSTM language models used as metrics: LM score and reverse LM score."""

import torch
from torch import Tensor

from multigen.engine.batches import Stream, TensorSource
from multigen.engine.randomness import key, seed_everything
from multigen.text.datasets import TextInfo
from multigen.text.decoding import log_probs, token_mask
from multigen.text.networks.generators import LSTM

__all__ = ["train_scorer"]


def train_scorer(
    tokens: Tensor,
    info: TextInfo,
    *,
    steps: int,
    seed: int,
    embedding: int = 64,
    width: int = 256,
    batch: int = 64,
    lr: float = 3e-3,
) -> LSTM:
    """An LSTM language model of texts (N, T), trained by Adam with a learning rate that falls to 0.

    On a CPU the same seed gives the same weights. Global random state is left as it was. `seed`
    should not be that of the model that is scored: a model prefers its own samples.
    """
    with torch.random.fork_rng(devices=[]):
        seed_everything(key(seed, "scorer", "weights"), torch.device("cpu"))
        model = LSTM(info.tokens, embedding, width, start=info.start)
    optimiser = torch.optim.Adam(model.parameters(), lr, fused=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, steps)
    batches = Stream(TensorSource({"tokens": tokens}), batch, slice(0, batch), (seed, "scorer"))
    for step in range(steps):
        part = batches.at(step)["tokens"]
        mask = token_mask(part, info.last)
        optimiser.zero_grad()
        (-(log_probs(model, part) * mask).sum() / mask.sum()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        schedule.step()
    return model.requires_grad_(False).eval()
