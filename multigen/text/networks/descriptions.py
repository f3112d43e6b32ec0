"""Descriptions of pretrained transformers: the fields of a transformers configuration that
determine the network.

A configuration of unknown origin can do more than give sizes: it can name code to import, kernels
and adapters to download, and quantisers. So only fields that the configuration's class declares are
kept, with plain values of bounded size; the library never sees the others.
"""

import inspect
import math
from collections.abc import Mapping
from typing import Any

__all__ = ["describe", "to_config"]

TYPES = """
apertus arcee biogpt bloom codegen cohere cohere2 ctrl exaone4 falcon gemma gemma2 gemma3_text glm glm4 gpt2 gpt_bigcode gpt_neo
gpt_neox gpt_neox_japanese gptj granite helium llama ministral mistral nemotron olmo olmo2 olmo3 openai-gpt opt persimmon phi phi3
qwen2 qwen3 seed_oss smollm3 stablelm starcoder2 xglm
"""
"""Decoders of attention and feed-forward layers: no mixtures of experts, no state space models,
whose layers download kernels."""
OLDER = frozenset({"rope_theta", "rope_scaling", "partial_rotary_factor"})
"""Fields that came before `rope_parameters`, and are still read."""
LARGEST, MOST_LAYERS, MOST_ITEMS, LONGEST = 1 << 26, 1_000, 4_096, 64
"""The greatest whole number, and number of layers; items of a list or table; characters of a
string."""


def to_config(about: Any) -> Any:
    """The transformers configuration of a description. Raises ValueError for one that is out of
    bounds."""
    from transformers import AutoConfig

    return AutoConfig.for_model(**describe(about))


def describe(about: Any) -> dict[str, Any]:
    """The fields of a configuration that determine the network, as a table. Raises ValueError for
    values out of bounds."""
    from transformers import PreTrainedConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind = about.get("model_type") if isinstance(about, Mapping) else None
    if not isinstance(kind, str) or kind not in TYPES.split():
        raise ValueError(
            f"model_type {str(kind)[:LONGEST]!r}, expected a decoder such as gpt2, gpt_neox, llama or qwen2"
        )
    config = CONFIG_MAPPING[kind]
    declared = inspect.signature(config).parameters.keys() - inspect.signature(PreTrainedConfig).parameters.keys()
    fields = declared | config.attribute_map.keys() | OLDER
    description = {name: value for name, value in about.items() if name in fields}
    for name, value in description.items():
        most = MOST_LAYERS if "layer" in name else LARGEST
        if not _is_plain(value, most, deep=2):
            raise ValueError(f"{name} {str(value)[:LONGEST]}, expected numbers of at most {most:,}, and few of them")
    return {"model_type": kind, **description}


def _is_plain(value: Any, most: int, deep: int) -> bool:
    """Whether a value is a number, a word, or a list or table of these; numbers in nested lists are
    numbers of layers."""
    match value:
        case None | bool():
            return True
        case int():
            return -1 <= value <= (most if deep else MOST_LAYERS)
        case float():
            return math.isfinite(value)
        case str():
            return len(value) <= LONGEST
        case list() | tuple():
            return len(value) <= MOST_ITEMS and deep >= 0 and all(_is_plain(each, most, deep - 1) for each in value)
        case dict():
            return (
                len(value) <= MOST_ITEMS
                and deep >= 0
                and all(_is_plain(each, most, deep - 1) for each in value.values())
            )
    return False
