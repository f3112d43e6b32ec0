"""Discriminators of token sequences: one scores whole sequences, one scores every token."""

import itertools

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, pad, relu

from multigen.errors import ConfigError
from multigen.losses.adversarial import at_least_float32
from multigen.text.networks.generators import shifted
from multigen.text.networks.relational import scaled_normal_

__all__ = ["RELGAN_FILTERS", "SEQGAN_FILTERS", "Convolutional", "OnFeatures", "Recurrent", "Representations"]

SEQGAN_FILTERS = (
    *((1, 100), (2, 200), (3, 200), (4, 200), (5, 200), (6, 100), (7, 100), (8, 100), (9, 100), (10, 100)),
    *((15, 160), (20, 160)),
)
"""(width in tokens, number of filters): the published ones of SeqGAN for sequences of 20 tokens,
1,720 in all."""
RELGAN_FILTERS = ((2, 300), (3, 300), (4, 300), (5, 300))
"""The published ones of RelGAN."""
HIDDEN = 100  # units before the logit of RelGAN's D


def check_filters(filters: tuple[tuple[int, int], ...]) -> None:
    """Raises ConfigError where there are none, or none of a kind."""
    if not filters or min(itertools.chain(*filters)) < 1:
        raise ConfigError(f"filters {filters}: expected pairs (tokens, how many) of 1 or more, such as 3 100 4 100")


class Convolutional(nn.Module):
    """tokens (B, T) -> logit (B,): convolutions over time, max-over-time pooling, one highway layer
    (Yu et al. 2017, SeqGAN, section 3; Kim 2014).

    Args:
        filters: pairs (width in tokens, number of filters).
        dropout: share of the features dropped before the last layer in training.
    """

    def __init__(self, vocabulary: int, embedding: int, filters: tuple[tuple[int, int], ...], dropout: float = 0.25):
        super().__init__()
        check_filters(filters)
        self.drop, self.widest = dropout, max(width for width, _ in filters)
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.filters = nn.ModuleList(nn.Conv1d(embedding, count, width) for width, count in filters)
        features = sum(count for _, count in filters)
        self.gate, self.highway = nn.Linear(features, features), nn.Linear(features, features)
        self.output = nn.Linear(features, 1)
        nn.init.constant_(self.gate.bias, -2.0)  # the highway layer starts near the identity (Srivastava et al. 2015)

    def forward(self, tokens: Tensor) -> Tensor:
        return self._logits(tokens, self.drop if self.training else 0.0)

    def score(self, tokens: Tensor) -> Tensor:
        """P(real) of sequences (B, T), nothing dropped: (B,), in float32 at least."""
        return torch.sigmoid(at_least_float32(self._logits(tokens, 0.0)))

    def _logits(self, tokens: Tensor, drop: float) -> Tensor:
        x = self.embedding(tokens).transpose(1, 2)  # (B, embedding, T)
        x = pad(x, (0, max(0, self.widest - x.shape[2])))  # every filter fits at least once
        h = torch.cat([relu(conv(x)).amax(2) for conv in self.filters], 1)  # (B, features)
        g = torch.sigmoid(self.gate(h))
        h = g * relu(self.highway(h)) + (1 - g) * h
        return self.output(dropout(h, drop)).squeeze(1)  # (B,)

    def penalty(self) -> Tensor:
        """Half the squared norm of the last layer, which the paper's L2 regularisation keeps
        small."""
        return (self.output.weight.square().sum() + self.output.bias.square().sum()) / 2


class Representations(nn.Module):
    """Texts -> a logit of each of R representations (B, R): Nie et al. 2019 (RelGAN), section 3.3.

    A token has R embeddings. The same network reads the text in each of them: convolutions over
    time, max-over-time pooling, one highway layer, two linear layers.

    Texts are tokens (B, T), or distributions over the vocabulary (B, T, V), so that their gradient
    reaches G.

    Args:
        embedding: dimensions of all R embeddings together.
        filters: pairs (width in tokens, number of filters).
        dropout: share of the features dropped after the highway layer in training.

    Raises:
        ConfigError: `embedding` does not divide into `representations`; filters that are none.
    """

    def __init__(
        self,
        vocabulary: int,
        embedding: int,
        representations: int,
        filters: tuple[tuple[int, int], ...] = RELGAN_FILTERS,
        dropout: float = 0.25,
    ):
        super().__init__()
        check_filters(filters)
        if embedding % representations:
            raise ConfigError(
                f"discriminator_embedding {embedding}: it does not divide into {representations} representations; take a "
                f"multiple of {representations}"
            )
        self.representations, self.drop, self.widest = representations, dropout, max(width for width, _ in filters)
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.filters = nn.ModuleList(nn.Conv1d(embedding // representations, count, width) for width, count in filters)
        features = sum(count for _, count in filters)
        self.gate, self.highway = (nn.Linear(features, features, bias=False) for _ in range(2))
        self.hidden, self.output = nn.Linear(features, HIDDEN), nn.Linear(HIDDEN, 1)
        scaled_normal_(self)

    def forward(self, texts: Tensor) -> Tensor:
        x = texts @ self.embedding.weight if texts.is_floating_point() else self.embedding(texts)  # (B, T, R e)
        x = x.unflatten(2, (self.representations, -1)).permute(0, 2, 3, 1).flatten(0, 1)  # (B R, e, T)
        x = pad(x, (0, max(0, self.widest - x.shape[2])))  # every filter fits at least once
        h = torch.cat([relu(conv(x)).amax(2) for conv in self.filters], 1)  # (B R, features)
        g = torch.sigmoid(self.gate(h))
        h = dropout(g * relu(self.highway(h)) + (1 - g) * h, self.drop if self.training else 0.0)
        return self.output(self.hidden(h)).view(len(texts), self.representations)


class Recurrent(nn.Module):
    """tokens (B, T) -> a score of each token (B, T), from the tokens up to it: an embedding, an
    LSTM, a linear layer.

    As a discriminator (de Masson d'Autume et al. 2019, ScratchGAN, arXiv:1905.09922, section 3.1)
    it gives a logit for each token; as a critic, `before=True`, it estimates the value of a
    position before reading its token.
    """

    def __init__(self, vocabulary: int, embedding: int, width: int, before: bool = False):
        super().__init__()
        self.before = before
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.lstm = nn.LSTM(embedding, width, batch_first=True)
        self.output = nn.Linear(width, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        x, _ = self.lstm(self.embedding(shifted(tokens, 0) if self.before else tokens))  # (B, T, width)
        return self.output(x).squeeze(2)  # (B, T)


class OnFeatures(nn.Module):
    """Features of tokens (B, T, H) -> a logit of each token (B, T): a perceptron with one hidden
    layer. The features of a pretrained causal model already depend on all tokens before."""

    def __init__(self, features: int, width: int):
        super().__init__()
        self.hidden, self.output = nn.Linear(features, width), nn.Linear(width, 1)

    def forward(self, features: Tensor) -> Tensor:
        return self.output(relu(self.hidden(features))).squeeze(2)  # (B, T)
