"""Small GGUF files, written by hand: a llama of two layers, and files that are no good."""

import itertools
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

TEXT = "The fox ran over the hill and the owl saw the fox by the river in the night. "
HEADS, KEY_HEADS, WIDTH, LAYERS = 4, 2, 16, 2
CONTROL, NORMAL = 3, 1


def string(text: str) -> bytes:
    content = text.encode()
    return struct.pack("<Q", len(content)) + content


def value(content: Any) -> bytes:
    """A type and a value of it."""
    if isinstance(content, str):
        return struct.pack("<I", 8) + string(content)
    if isinstance(content, float):
        return struct.pack("<If", 6, content)
    if isinstance(content, list):
        if isinstance(content[0], str):
            return struct.pack("<IIQ", 9, 8, len(content)) + b"".join(map(string, content))
        return struct.pack("<IIQ", 9, 5, len(content)) + struct.pack(f"<{len(content)}i", *content)
    return struct.pack("<IQ", 10, content)


def gguf(path: Path, settings: Mapping[str, Any], tensors: Mapping[str, np.ndarray], version: int = 3) -> Path:
    """A file of float32 tensors."""
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(settings))
    head += b"".join(string(name) + value(content) for name, content in settings.items())
    data = b""
    for name, tensor in tensors.items():
        head += string(name) + struct.pack(f"<I{tensor.ndim}Q", tensor.ndim, *tensor.shape[::-1])
        head += struct.pack("<IQ", 0, len(data))
        data += tensor.astype("<f4").tobytes()
        data += bytes(-len(data) % 32)
    path.write_bytes(head + bytes(-len(head) % 32) + data)
    return path


def vocabulary() -> tuple[list[str], list[str]]:
    """Entries and merges of a byte-level tokenizer; the first three entries are control tokens, as
    SmolLM2's."""
    backend: Any = Tokenizer(models.BPE())
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=290, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator([TEXT], trainer)
    merges = [
        pair if isinstance(pair, str) else " ".join(pair) for pair in json.loads(backend.to_str())["model"]["merges"]
    ]
    ordered = sorted(backend.get_vocab().items(), key=lambda entry: entry[1])
    return [entry for entry, _ in ordered], merges


def settings(**changed: Any) -> dict[str, Any]:
    """Of a small llama; a keyword's double underscores are points."""
    entries, merges = vocabulary()
    table = {
        "general.architecture": "llama",
        "llama.block_count": LAYERS,
        "llama.context_length": 64,
        "llama.embedding_length": WIDTH,
        "llama.feed_forward_length": 24,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KEY_HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.freq_base": 10_000.0,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": entries,
        "tokenizer.ggml.token_type": [CONTROL] * 3 + [NORMAL] * (len(entries) - 3),
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.padding_token_id": 2,
    }
    table |= {name.replace("__", "."): content for name, content in changed.items()}
    return {name: content for name, content in table.items() if content is not None}


NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


def llama(seed: int = 0) -> Any:
    """A small model of transformers."""
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=len(vocabulary()[0]), hidden_size=WIDTH, intermediate_size=24, num_hidden_layers=LAYERS,
            num_attention_heads=HEADS, num_key_value_heads=KEY_HEADS, max_position_embeddings=64, rms_norm_eps=1e-5,
            tie_word_embeddings=True, initializer_range=0.2, bos_token_id=1, eos_token_id=2,
        )  # fmt: skip
        return LlamaForCausalLM(config).eval()


def tensors(model: Any) -> dict[str, np.ndarray]:
    """Its weights as llama.cpp writes them: of queries and keys, each pair that is rotated
    together."""
    out = {}
    for name, weight in model.state_dict().items():
        parts = name.split(".")
        if name == "lm_head.weight":
            continue
        if parts[1] == "layers":
            theirs = f"blk.{parts[2]}.{NAMES['.'.join(parts[3:-1])]}.weight"
            for part, heads in (("attn_q", HEADS), ("attn_k", KEY_HEADS)):
                if f".{part}." in theirs:
                    half = WIDTH // HEADS // 2
                    rows = [
                        h * 2 * half + i * half + j for h, j, i in itertools.product(range(heads), range(half), (0, 1))
                    ]
                    weight = weight[rows]
        else:
            theirs = {"embed_tokens": "token_embd", "norm": "output_norm"}[parts[1]] + ".weight"
        out[theirs] = weight.numpy()
    return out


def small(path: Path, without: Sequence[str] = (), **changed: Any) -> Path:
    """The small llama, with some settings changed, and without some tensors."""
    kept = {name: tensor for name, tensor in tensors(llama()).items() if name not in without}
    return gguf(path, settings(**changed), kept)
