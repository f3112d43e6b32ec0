"""The synthetic oracle: a random LSTM as the true distribution, so that samples can be scored
exactly.

Yu et al. 2017 (SeqGAN, arXiv:1609.05473), section 5.1: embeddings and units of 32, 5,000 tokens,
sequences of 20 tokens, all weights standard normal. The lower the negative log-likelihood of a
model's samples under it, the better the samples; it does not measure diversity.
"""

from pathlib import Path

import torch
from torch import Tensor

from multigen.errors import DataError, one_line
from multigen.storage.files import read_npz
from multigen.text.decoding import log_probs, sample
from multigen.text.networks.generators import LSTM

__all__ = ["Oracle"]

GATES = ("i", "f", "c", "og")  # in the order of torch's LSTM: input, forget, cell, output
CHUNK = 512  # sequences at a time


class Oracle:
    """A distribution over sequences of `length` tokens.

        oracle = Oracle.seeded(0)
        oracle.nll(oracle.sample(1_000, seed=1)).mean()       # its entropy a token, nats

    Args:
        network: not trained any further.
        length: tokens of a sequence; none ends earlier.
    """

    def __init__(self, network: LSTM, length: int = 20):
        self.network, self.length = network.requires_grad_(False).eval(), length

    @property
    def vocabulary(self) -> int:
        return self.network.output.out_features

    @classmethod
    def seeded(cls, seed: int, vocabulary: int = 5_000, width: int = 32, length: int = 20) -> "Oracle":
        """An oracle of its own for each seed, all its weights from N(0, 1)."""
        network, rng = LSTM(vocabulary, width, width), torch.Generator().manual_seed(seed)
        for name, p in network.named_parameters():
            p.data = torch.randn(p.shape, generator=rng)
            if name == "lstm.bias_hh_l0":  # torch has two biases where the formulas have one
                p.data.zero_()
        return cls(network, length)

    @classmethod
    def read(cls, path: str | Path, length: int = 20) -> "Oracle":
        """From an .npz file: `embeddings` (V, E); W (E, H), U (H, H), b (H,) of the gates i, f, og
        and c, such as `Wi`; `Wo` (H, V) and `bo` (V,). Raises DataError for another file."""
        try:
            arrays = {name: torch.from_numpy(array).float() for name, array in read_npz(path).items()}
            gates = {kind: [arrays[f"{kind}{gate}"] for gate in GATES] for kind in "WUb"}
            (vocabulary, embedding), width = arrays["embeddings"].shape, len(arrays["bi"])
            network = LSTM(vocabulary, embedding, width)
            weights = {
                "embedding.weight": arrays["embeddings"],
                "lstm.weight_ih_l0": torch.cat([w.T for w in gates["W"]]),  # (4H, E)
                "lstm.weight_hh_l0": torch.cat([u.T for u in gates["U"]]),  # (4H, H)
                "lstm.bias_ih_l0": torch.cat(gates["b"]),
                "lstm.bias_hh_l0": torch.zeros(4 * width),
                "output.weight": arrays["Wo"].T,
                "output.bias": arrays["bo"],
            }
            network.load_state_dict(weights)
        except Exception as error:  # of `read_npz`, and of networks of other shapes
            raise DataError(
                f"{path} holds no oracle ({one_line(error)}); expected an .npz with embeddings, Wo, bo, and W, U and b of the "
                "gates i, f, og, c; check the path, or copy the file again"
            ) from error
        return cls(network, length)

    def sample(self, n: int, seed: int) -> Tensor:
        """n sequences, int64 (n, length); more of one seed begin with the same."""
        uniform = torch.rand(n, self.length, generator=torch.Generator().manual_seed(seed))
        return torch.cat([sample(self.network, part) for part in uniform.split(CHUNK)])

    @torch.no_grad()
    def nll(self, tokens: Tensor) -> Tensor:
        """-log p of sequences (n, length), nats a token: (n,)."""
        parts = tokens.cpu().split(CHUNK)
        return torch.cat([-log_probs(self.network, part).mean(1) for part in parts])
