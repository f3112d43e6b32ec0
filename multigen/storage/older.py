"""What earlier versions wrote, read as this version writes it."""

from typing import Any

__all__ = ["model_of_0_1", "task_of_0_1"]

DATA = ("classes", "shares", "tokens", "start", "end", "pad", "vocabulary")
"""Settings of 0.1.0 that were filled in from the data: they are a record of their own now."""

TASKS = {
    "pictures": "image-synthesis",
    "photographs": "super-resolution",
    "texts": "text-synthesis",
    "sounds": "audio-synthesis",
}
"""What models of 0.1.0 make -> their task."""


def model_of_0_1(about: dict[str, Any]) -> dict[str, Any]:
    """The content of a model folder's config.json, written by 0.1.0, in this version's form."""
    config = dict(about["config"])
    data = {name: config.pop(name) for name in DATA if name in config}
    if "trained_on" in config:
        data["fingerprint"] = config.pop("trained_on")
    if "channels" in config:
        data["channels"] = config["channels"]
    return {**about, "config": config, "data": data}


def task_of_0_1(table: dict[str, Any]) -> str:
    """The task of a run whose config.toml, written by 0.1.0, says what it makes; "" where it does not."""
    return TASKS.get(str(table.get("makes")), "")
