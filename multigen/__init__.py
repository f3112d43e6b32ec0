"""Adversarial generation of images, text and audio: one training engine, modalities that plug into it."""

from typing import Any

from multigen.catalogue import METHODS

__all__ = ["__version__", "load"]

__version__ = "0.1.0"


def load(run: str, code: str = "") -> Any:
    """A trained model, ready to use: `.upscale(image)` for super-resolution, `.sample(n, seed)` for pictures or sounds from
    noise, `.generate(prompt)` for texts.

    `run` is a run's folder, its `model` folder, a folder of runs (the newest complete one is taken, and named), or a model of
    the Hugging Face hub, "hf:owner/name" or "hf:owner/name@revision". Neither the data nor the trainer is needed. `code` is your
    own file that trained it (`multigen cp`), whose code is then run; a model folder never causes any to be. Raises
    CheckpointError where there is no model, ConfigError for a file that is of no use.
    """
    from importlib import import_module

    from multigen.errors import CheckpointError
    from multigen.provenance import origin
    from multigen.runs import find_model, read_model

    folder = find_model(run)
    method, config, weights = read_model(folder)
    if code:
        from multigen.copies import import_code

        module = import_code(code, method)
    elif method in METHODS:
        module = import_module(METHODS[method].module)
    else:
        raise CheckpointError(
            f"{folder} was made by {method!r}; expected one of {', '.join(METHODS)}: get a newer multigen, or if a file of your "
            f'own trained it, name that: --code {method}.py, in Python load(..., code="{method}.py")'
        )
    model = module.load_model(config, weights, str(folder))
    model.origin = origin(run, folder, method)
    return model
