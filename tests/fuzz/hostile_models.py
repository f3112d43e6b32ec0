"""Model folders that somebody made to do harm, for `tests.fuzz.fuzzing`: whole files, whose
settings, headers, tokenizers and descriptions ask for anything. `tests.fuzz.fuzzed_models` damages
the same files blindly."""

import copy
import dataclasses
import json
import math
import random
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

import multigen
from multigen.audio.translation.speaker_statistics import SpeakerInfo
from multigen.catalogue import METHODS
from multigen.config import to_table
from multigen.errors import MultigenError
from multigen.image.synthesis.base import ImageInfo
from multigen.storage.model_folder import write_model
from multigen.tasks.loading import trainer_in
from multigen.tasks.synthesis.settings import SynthesisInfo
from multigen.text.datasets import TextInfo
from multigen.text.tokenizers import Tokenizer, read_tokenizer
from tests.fuzz.fuzzing import Reader

__all__ = ["HOSTILE", "LINES", "make", "use"]

NUMBERS = [-1, 0, 1, 3, 100, 1 << 16, 10**7, 10**8, 10**9, 1 << 31, 1 << 62, 10**30, 0.5, -0.5, 1e308]
OTHERS = [None, True, "", "owner/name", "kernels-community/x", [], {}, [1] * 1000, {"a": 1}]
LINES = ["the fox sat.", "a hen ran by the fox.", "the hen sat."]
PICTURE = torch.zeros(3, 4, 5, dtype=torch.uint8)
TRANSFORMERS: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 4, "n_layer": 1, "n_head": 2, "n_positions": 16},
    "gptj": {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 16, "rotary_dim": 4},
    "gpt_neox": {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8},
    "llama": {"hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 4},
}


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def make(folder: Path, method: str, texts: Mapping[str, str] | None = None, G: Any = None, **changes: Any) -> Path:
    """The model folder of an untrained generator of a method, as small as its tiny preset."""
    module = import_module(METHODS[method].module)
    trainer = trainer_in(module)(dataclasses.replace(module.PRESETS["tiny"], **changes))
    files = dict(texts or {})
    if METHODS[method].task == "text-synthesis":
        made = Tokenizer.train(LINES, "words")
        trainer.data_info = TextInfo("", len(made), made.start, made.end, made.pad, made.fingerprint)
        files["tokenizer.json"] = made.to_json()
    elif isinstance(trainer.data_info, ImageInfo):
        trainer.data_info = ImageInfo(classes=("a", "b"), channels=1)
    elif isinstance(trainer.data_info, SpeakerInfo):
        rows = trainer.rows
        trainer.data_info = SpeakerInfo("", ("a", "b"), (5.0, 0.2, 4.7, 0.1), (-5.0, 1.0) * (4 * rows))
    elif isinstance(trainer.data_info, SynthesisInfo):
        trainer.data_info = SynthesisInfo(classes=("a", "b"))
    weights = (G or trainer.generator()).state_dict()
    write_model(folder, method, to_table(trainer.config), {"G": weights}, files, to_table(trainer.data_info))
    return folder


def make_pretrained(folder: Path, kind: str) -> Path:
    """The model folder of a pretrained transformer that was trained on."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from multigen.text.networks.descriptions import describe
    from multigen.text.networks.generators import Transformer

    tokens = len(Tokenizer.train(LINES, "words"))
    config = AutoConfig.for_model(kind, vocab_size=tokens, bos_token_id=1, eos_token_id=2, **TRANSFORMERS[kind])
    G = Transformer(AutoModelForCausalLM.from_config(config), 1)
    texts = {"transformer.json": json.dumps(describe(config.to_dict()))}
    return make(folder, "seqgan", texts, G, network="pretrained", pretrained="owner/name", length=5)


def use(model: Any, folder: Path) -> None:
    """What it is for, once. An error then need not name the folder, which its user knows."""
    try:
        if hasattr(model, "upscale"):
            model.upscale(PICTURE)
        elif hasattr(model, "restore"):
            model.restore(PICTURE)
        elif hasattr(model, "inpaint"):
            model.inpaint(PICTURE, (torch.eye(4, 5) * 255).to(torch.uint8))
        elif hasattr(model, "translate"):
            model.translate(PICTURE)
        elif hasattr(model, "generate"):
            model.generate("the", length=3)
        else:
            model.sample(2)
    except MultigenError as error:
        raise type(error)(f"{folder}: {error}") from error


def used(folder: Path, path: Path) -> None:
    use(multigen.load(str(path.parent)), path.parent)


# ---------------------------------------------------------------------------------------------------- what is changed


def places(value: Any, inside: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in JSON its values are, tables and lists among them."""
    result = [inside] if inside else []
    match value:
        case dict():
            return result + [place for name, each in value.items() for place in places(each, (*inside, name))]
        case list():
            return result + [place for i, each in enumerate(value[:20]) for place in places(each, (*inside, i))]
    return result


def settings(data: bytes, rng: random.Random) -> bytes:
    """One or two of the values of a JSON file replaced by hostile ones, most of them numbers by
    numbers."""
    about = json.loads(data)
    for _ in range(rng.choice([1, 1, 2])):
        chosen = rng.choice(places(about))
        *way, last = chosen
        at = about
        for name in way:
            at = at[name]
        number = type(at[last]) in (int, float) and rng.random() < 0.9
        # A copy: the next change may lie within it, and must change it here alone.
        at[last] = copy.deepcopy(rng.choice(NUMBERS if number or rng.random() < 0.3 else OTHERS))
    return json.dumps(about).encode()


def header(data: bytes, rng: random.Random) -> bytes:
    """A safetensors file whose header asks for anything, with the data that were there."""
    length = int.from_bytes(data[:8], "little")
    table: dict[str, Any] = json.loads(data[8 : 8 + length])
    table.pop("__metadata__", None)
    name = rng.choice(list(table))
    how = rng.randrange(8)
    if how == 0:  # a length that is not the header's
        wrong = rng.choice([0, 1, length - 1, length + 1, 1 << 31, 1 << 60, (1 << 64) - 1])
        return wrong.to_bytes(8, "little") + data[8:]
    if how == 1:
        table[name]["shape"] = [
            rng.choice([0, 1, 10**6, 1 << 40, 10**30, -1, "a", None]) for _ in range(rng.choice([1, 2, 9]))
        ]
    elif how == 2:
        table[name]["dtype"] = rng.choice(["F64", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "C64", "", None, 7])
    elif how == 3:
        begin, end = table[name]["data_offsets"]
        table[name]["data_offsets"] = rng.choice(
            [[begin + 4, end + 4], [0, end - begin], [end, begin], [0, 1 << 60], [begin], None]
        )
    elif how == 4:
        table |= {
            f"x{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
            for i in range(rng.choice([1, 1000, 20_000]))
        }
    elif how == 5:
        table[rng.choice(["", "G", "\n", "x" * 10**5])] = table.pop(name)
    elif how == 6:
        table = rng.choice([[], "x", None, {name: []}, {name: {}}, {name: 1}])  # pyright: ignore[reportAssignmentType]
    text = json.dumps(table).encode()
    if how == 7:  # a name twice
        text = text[:-1] + b", " + json.dumps({name: table[name]}).encode()[1:]
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


PARTS: dict[str, list[Any]] = {
    "normalizer": [
        {"type": "Precompiled", "precompiled_charsmap": ""},
        {"type": "Precompiled", "precompiled_charsmap": "BAAAAP////8="},
        {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10},
        {"type": "Replace", "pattern": {"String": ""}, "content": "a"},
        {"type": "Replace", "pattern": {"Regex": "(a|a)*b"}, "content": ""},
        {"type": "Replace", "pattern": {"Regex": ""}, "content": "aaaaaaaa"},
        {"type": "Prepend", "prepend": "the " * 400},
        {"type": "Strip", "strip_left": True, "strip_right": True},
        {"type": "ByteLevel"},
        {"type": "NFKD"},
        {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
    ],
    "pre_tokenizer": [
        {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False},
        {"type": "Split", "pattern": {"Regex": r"\w*\w*!"}, "behavior": "MergedWithNext", "invert": True},
        {"type": "Split", "pattern": {"String": " "}, "behavior": "Removed", "invert": False},
        {"type": "FixedLength", "length": 0},
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "split": True},
    ],
    "decoder": [
        {"type": "Strip", "content": "a", "start": 10**18, "stop": 0},
        {"type": "Strip", "content": "a", "start": 1, "stop": 5},
        {"type": "Strip", "content": "a", "start": 3, "stop": 0},
        {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 100},
        {"type": "Replace", "pattern": {"Regex": "(a*)*b"}, "content": ""},
        {"type": "CTC", "pad_token": "a", "word_delimiter_token": "b", "cleanup": True},
        {"type": "WordPiece", "prefix": "", "cleanup": True},
        {"type": "ByteFallback"},
    ],
}  # fmt: skip
SEQUENCES = {"normalizer": "normalizers", "pre_tokenizer": "pretokenizers", "decoder": "decoders"}


def parts(data: bytes, rng: random.Random) -> bytes:
    """A tokenizer with hostile parts, one or several in a row."""
    about = json.loads(data)
    for part in rng.sample(list(PARTS), rng.choice([1, 1, 2])):
        chosen = [rng.choice(PARTS[part]) for _ in range(rng.choice([1, 1, 2, 10, 100]))]
        whole = {"type": "Sequence", SEQUENCES[part]: chosen} if len(chosen) > 1 or rng.random() < 0.2 else chosen[0]
        for _ in range(rng.choice([0, 0, 0, 3, 100])):
            whole = {"type": "Sequence", SEQUENCES[part]: [whole]}
        about["tokenizer"][part] = whole
    return json.dumps(about).encode()


# ---------------------------------------------------------------------------------------------------- the readers


def folders(place: Path) -> dict[str, bytes]:
    """A model folder of every method."""
    for method in METHODS:
        make(place / method, method)
    make(place / "transformer", "seqgan", network="transformer")
    make(place / "srresnet", "srgan", generator="srresnet")
    make(place / "nearest", "wavegan", upsample="nearest")
    make(place / "conditional", "sngan", conditional=True)
    return content_of(place)


def hostile_settings(place: Path) -> Reader:
    files = folders(place)
    return Reader(files, [used], [name for name in files if name.endswith("config.json")], (), [settings])


def hostile_weights(place: Path) -> Reader:
    files = folders(place)
    return Reader(files, [used], [name for name in files if name.endswith(".safetensors")], (), [header])


def hostile_descriptions(place: Path) -> Reader:
    for kind in TRANSFORMERS:
        make_pretrained(place / kind, kind)
    files = content_of(place)
    return Reader(files, [used], [name for name in files if name.endswith("transformer.json")], (), [settings])


def hostile_tokenizers(place: Path) -> Reader:
    """Read, and used at texts that hostile parts grow or go back at."""
    files = {
        f"{kind}/tokenizer.json": Tokenizer.train(LINES, kind, 270).to_json() for kind in ("words", "characters", "bpe")
    }  # pyright: ignore[reportArgumentType]
    table = json.loads(files["bpe/tokenizer.json"])
    for name in ("pretrained", "again", "thrice"):  # the others are refused whatever is changed
        files[f"{name}/tokenizer.json"] = json.dumps({**table, "kind": "pretrained"})

    def read(folder: Path, path: Path) -> None:
        result = read_tokenizer(path.parent)
        assert result is not None
        for text in [*LINES, "a" * 100 + "!", " ".join(LINES * 20)]:
            try:
                ids = result.encode(text)
                grown = len(result.decode(ids))
            except MultigenError as error:
                raise type(error)(f"{folder}: {error}") from error
            assert grown <= 2_000 * (len(text) + 2_000), "it grows"
            assert math.isfinite(sum(ids))

    return Reader({name: text.encode() for name, text in files.items()}, [read], (), (), [parts, settings])


HOSTILE: dict[str, Callable[[Path], Reader]] = {
    f.__name__: f for f in (hostile_settings, hostile_weights, hostile_descriptions, hostile_tokenizers)
}
"""Name -> the reader, which may be made with the help of an empty folder."""
