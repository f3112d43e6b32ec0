"""Pretrained causal language models of the transformers library: by name, from a folder, or from a
model folder of multigen."""

from pathlib import Path
from typing import Any

from multigen.catalogue import TASKS
from multigen.console import if_slow
from multigen.errors import CheckpointError, ConfigError, one_line
from multigen.storage.files import expanded, read_json
from multigen.storage.hub import files_folder
from multigen.storage.model_folder import find_model, read_model
from multigen.storage.reading import CONFIG, JSON, check_folder
from multigen.storage.tensors import TensorFile
from multigen.tasks.loading import Plan, load_network
from multigen.text.networks.descriptions import to_config
from multigen.text.networks.generators import Transformer, check_length

__all__ = ["DESCRIPTION", "load_described", "load_pretrained", "model_folder_of"]

DESCRIPTION = "transformer.json"
"""File of a model folder with the transformers configuration of a pretrained G."""


def model_folder_of(name: str) -> Path | None:
    """The model folder of multigen that a pretrained model is: an imported one, a run's, published
    weights by name or a .gguf file. None for a model of transformers, by name or folder."""
    task, path = TASKS["text-synthesis"], expanded(name)
    if name in task.published or path.suffix.lower() in task.weights:
        return find_model(name)
    if not path.is_dir():
        return None
    try:
        folder = find_model(name)
        about = read_json(folder / "config.json", CONFIG)
    except (CheckpointError, OSError, ValueError):
        return None
    return folder if isinstance(about, dict) and "method" in about else None


def load_pretrained(name: str, start: int, tokens: int, length: int) -> Transformer:
    """A causal model of the transformers library, by name or folder, or in a model folder of
    multigen; safetensors only, and no code of the model's own.

    Args:
        start: the token before the first one.
        tokens: size of the vocabulary; entries that the model has beyond it are removed, so that
            they are never drawn.
        length: tokens of a text at most.

    Raises:
        ConfigError: it is not available, has a smaller vocabulary, or reads fewer tokens.
    """
    with if_slow("loading transformers"):
        from transformers import AutoModelForCausalLM

    if not name:
        raise ConfigError("network pretrained: no model is named; give --pretrained NAME or FOLDER")
    if (ours := model_folder_of(name)) is not None:
        return _load_ours(ours, start, tokens, length)
    folder = expanded(name)
    local = folder.is_dir()
    try:
        config = _config_in(folder) if local else _config_of(name)
        with if_slow(f"loading the pretrained model {name}"):
            model = AutoModelForCausalLM.from_pretrained(
                str(folder) if local else name,
                config=config,
                local_files_only=local,
                use_safetensors=True,
                trust_remote_code=False,
            )
    except Exception as error:  # each model has its own errors
        raise ConfigError(
            f"pretrained {name!r}: no causal model there ({one_line(error)}); give a folder with config.json and "
            "model.safetensors, or a name that can be downloaded"
        ) from error
    embedded: Any = model.get_input_embeddings()
    if (most := embedded.num_embeddings) < tokens:
        raise ConfigError(
            f"tokenizer of {tokens} tokens: {name} has {most}; give the tokenizer that it was trained with"
        )
    G = Transformer(model.float(), start)
    if most > tokens:
        G.model.resize_token_embeddings(tokens)
    check_length(G, length)
    return G


def _load_ours(folder: Path, start: int, tokens: int, length: int) -> Transformer:
    """The pretrained model in a model folder of multigen."""
    if not (folder / DESCRIPTION).exists():
        raise ConfigError(
            f"pretrained {folder}: its model was not made from a pretrained one; start from it with --from {folder}"
        )
    with if_slow(f"loading the pretrained model {folder}"):
        weights = read_model(folder, ("G",)).weights.get("G", {})
        G = load_network(lambda: load_described(folder / DESCRIPTION, start, tokens), weights, f"{folder}, G", "cpu")
    check_length(G, length)
    return G


def _config_of(name: str) -> Any:
    """The configuration of a model on the hub, reduced to the fields that determine the network."""
    from transformers import AutoConfig

    return to_config(AutoConfig.from_pretrained(name, trust_remote_code=False).to_dict())


def _config_in(folder: Path) -> Any:
    """The configuration of a model in a folder, checked against the size of the weights there.
    Raises ValueError and others."""
    from transformers import AutoModelForCausalLM

    if (folder / "adapter_config.json").exists():
        raise ValueError("adapter_config.json: an adapter to a model elsewhere; expected a whole model, merge it first")
    check_folder(folder)
    for index in folder.glob("*.index.json"):
        if not all(isinstance(n, str) and Path(n).name == n for n in read_json(index, JSON)["weight_map"].values()):
            raise ValueError(f"{index.name}: expected names of files in the folder")
    config = to_config(read_json(folder / "config.json", CONFIG))
    files = [TensorFile.open(path) for path in sorted(folder.glob("*.safetensors"))]
    _, plan = Plan.of(lambda: AutoModelForCausalLM.from_config(config), sum(map(len, files)))
    plan.check(sum(file.nbytes for file in files))
    return config


def load_described(file: Path, start: int, tokens: int) -> Transformer:
    """The untrained network of `file`, a transformers configuration as JSON, of so many tokens.
    Raises CheckpointError where it describes none."""
    with if_slow("loading transformers"):
        from transformers import AutoModelForCausalLM

    try:
        config = to_config(read_json(file, CONFIG, inside=files_folder(file.parent)))
        if config.vocab_size != tokens:
            raise ValueError(f"vocab_size {config.vocab_size}, expected {tokens}")
        return Transformer(AutoModelForCausalLM.from_config(config, trust_remote_code=False), start)
    except Exception as error:  # each model has its own errors
        raise CheckpointError(f"{file} describes no model ({one_line(error)}); copy the model folder again") from error
