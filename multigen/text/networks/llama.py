"""Models of the architecture llama in GGUF files: their settings, weights and tokenizer under the
names that transformers uses.

llama.cpp keeps the rows of queries and keys in another order than transformers: it rotates pairs of
neighbours, which here are the two halves of a head.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from multigen.errors import CheckpointError
from multigen.storage.gguf import GGUFFile
from multigen.storage.tensors import Stored

__all__ = ["LlamaWeights", "check_architecture", "configuration", "tokenizer_json"]

ARCHITECTURE = "llama"
SCALES = "rope.scaling.factor", "rope.scale_linear", "rope.scaling.attn_factor"
"""Settings that change the rotation of queries and keys, unless they are 1."""
LISTS = {"tokens": str, "merges": str, "token_type": int}
"""Lists of the tokenizer -> the kind of their entries."""
SETTINGS = {
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "context_length": "max_position_embeddings",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
}
"""Settings that a file must have: theirs -> those of transformers."""
LAYER = {
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
}  # fmt: skip
OTHERS = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
CONTROL, USER_DEFINED = 3, 4
"""Types of tokens that stand beside the vocabulary: those that no text holds, and those that one
may."""
CONTRACTIONS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
SPLITS = {
    "gpt-2": [BYTES],
    "default": [BYTES],
    "smollm": [{"type": "Digits", "individual_digits": True}, BYTES],
    **{
        kind: [
            {"type": "Split", "pattern": {"Regex": CONTRACTIONS % digits}, "behavior": "Isolated", "invert": False},
            {**BYTES, "use_regex": False},
        ]
        for kind, digits in {"llama-bpe": r"\p{N}{1,3}", "qwen2": r"\p{N}"}.items()
    },
}
"""Pre-tokenizers by the names that files give them."""


def check_architecture(file: GGUFFile) -> None:
    """Raises CheckpointError for another architecture than llama, or a tokenizer that is missing or
    of a kind that is not read."""
    kind = file.settings.get("general.architecture")
    if kind != ARCHITECTURE:
        raise CheckpointError(f"{file.path}: architecture {kind!r:.40}, expected {ARCHITECTURE!r}; give another model")
    tokenizer = file.settings.get("tokenizer.ggml.model")
    if tokenizer is None or not file.settings.get("tokenizer.ggml.tokens"):
        raise CheckpointError(f"{file.path}: it has no tokenizer; give a file that holds one")
    for name, of in LISTS.items():
        entries = file.settings.get(f"tokenizer.ggml.{name}", [])
        if not isinstance(entries, list) or not all(isinstance(entry, of) for entry in entries):
            raise CheckpointError(
                f"{file.path}: tokenizer.ggml.{name} is no list of {'texts' if of is str else 'whole numbers'}; download it again"
            )
    split = file.settings.get("tokenizer.ggml.pre", "default")
    if tokenizer != "gpt2" or split not in [*SPLITS]:
        raise CheckpointError(
            f"{file.path}: tokenizer {tokenizer!r:.40} of kind {split!r:.40}, expected 'gpt2' of one of {', '.join(SPLITS)}; "
            "give another model"
        )


def configuration(file: GGUFFile) -> dict[str, Any]:
    """The configuration of transformers. Raises CheckpointError where a setting is missing or no
    number, and for positions that are scaled."""
    for name in SCALES:
        if (scale := file.settings.get(f"{ARCHITECTURE}.{name}", 1)) != 1:
            raise CheckpointError(
                f"{file.path}: {ARCHITECTURE}.{name} is {scale!r:.40}: a context that was made longer, which is not read; "
                "give another model"
            )
    about = {ours: _number(file, name) for name, ours in SETTINGS.items()}
    heads = about["num_attention_heads"]
    return {
        "model_type": ARCHITECTURE,
        **about,
        "num_key_value_heads": _number(file, "attention.head_count_kv", heads),
        "head_dim": _number(file, "rope.dimension_count", about["hidden_size"] // heads),
        "rope_theta": _number(file, "rope.freq_base", 10_000.0),
        "vocab_size": len(file.settings["tokenizer.ggml.tokens"]),
        "tie_word_embeddings": "output.weight" not in file,
    }


def _number(file: GGUFFile, name: str, default: float | None = None) -> Any:
    value = file.settings.get(f"{ARCHITECTURE}.{name}", default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise CheckpointError(
            f"{file.path}: {ARCHITECTURE}.{name} is {value!r:.40}, expected a number above 0; download it again"
        )
    return value


class LlamaWeights(Mapping[str, Tensor]):
    """The weights of a file under the names of `Transformer`; each is unpacked on access.

    Raises CheckpointError for tensors that such a model does not have.
    """

    def __init__(self, file: GGUFFile, heads: int, key_heads: int):
        self.file = file
        self.heads = {"attn_q": heads, "attn_k": key_heads}
        self.names = {_name(name, file): name for name in file}
        if "output.weight" not in file and "token_embd.weight" in file:
            self.names["model.lm_head.weight"] = "token_embd.weight"

    @property
    def stored(self) -> dict[str, Stored]:
        """Their shapes, from the header."""
        return {ours: self.file.stored[theirs] for ours, theirs in self.names.items()}

    def __getitem__(self, name: str) -> Tensor:
        theirs = self.names[name]
        weight = self.file[theirs]
        heads = self.heads.get(theirs.split(".")[-2])
        if heads is None:
            return weight
        return weight.unflatten(0, (heads, -1, 2)).transpose(1, 2).reshape(weight.shape)  # (heads, half, 2, ...)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def _name(theirs: str, file: GGUFFile) -> str:
    if match := re.fullmatch(r"blk\.(\d{1,4})\.(\w+)\.weight", theirs):
        number, part = match.groups()
        if part in LAYER:
            return f"model.model.layers.{int(number)}.{LAYER[part]}.weight"
    elif theirs.endswith(".weight") and theirs.removesuffix(".weight") in OTHERS:
        return f"model.{OTHERS[theirs.removesuffix('.weight')]}.weight"
    raise CheckpointError(f"{file.path}: {theirs!r:.60}: a tensor that no plain llama model has; give another model")


def tokenizer_json(file: GGUFFile) -> str:
    """The tokenizer as JSON for `Tokenizer.from_json`: byte pairs, as GPT-2's."""
    settings = file.settings
    entries, kinds = settings["tokenizer.ggml.tokens"], settings.get("tokenizer.ggml.token_type", [])
    added = [
        {
            **{"id": i, "content": entries[i], "special": kind == CONTROL, "normalized": False},
            **{"single_word": False, "lstrip": False, "rstrip": False},
        }
        for i, kind in enumerate(kinds[: len(entries)])
        if kind in (CONTROL, USER_DEFINED)
    ]
    model = {
        **{"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None},
        **{"end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False},
        "vocab": {entry: i for i, entry in enumerate(entries)},
        "merges": settings.get("tokenizer.ggml.merges", []),
    }
    table = {
        **{"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": SPLITS[settings.get("tokenizer.ggml.pre", "default")]},
        "post_processor": None,
        "decoder": BYTES,
        "model": model,
    }
    end = settings.get("tokenizer.ggml.eos_token_id")
    start, pad = settings.get("tokenizer.ggml.bos_token_id", end), settings.get("tokenizer.ggml.padding_token_id", end)
    return json.dumps({"kind": "pretrained", "special": {"pad": pad, "start": start, "end": end}, "tokenizer": table})
