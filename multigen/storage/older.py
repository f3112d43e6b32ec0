"""What earlier versions wrote, read as this version writes it."""

from typing import Any

__all__ = ["model_of_0_1", "task_of_0_1"]

DATA = ("classes", "shares", "tokens", "start", "end", "pad", "vocabulary")
"""Settings of 0.1.0 that were filled in from the data: they are a record of their own now."""
ROLLOUT = ("rollouts", "follow", "filters", "dropout", "weight_decay")
DENSE = ("discount",)
"""Settings of 0.1.0's seqgan that one kind of reward has and the other has not; with dense rewards it is scratchgan now."""

TASKS = {
    "pictures": "image-synthesis",
    "photographs": "super-resolution",
    "texts": "text-synthesis",
    "sounds": "audio-synthesis",
}
"""What models of 0.1.0 make -> their task."""


def model_of_0_1(about: dict[str, Any]) -> dict[str, Any]:
    """The content of a model folder's config.json, written by 0.1.0, in this version's form."""
    method, config = _method_of_0_1(about["method"], about["config"])
    data = {name: config.pop(name) for name in DATA if name in config}
    if "trained_on" in config:
        data["fingerprint"] = config.pop("trained_on")
    if "channels" in config:
        data["channels"] = config["channels"]
    return {**about, "method": method, "config": config, "data": data}


def _method_of_0_1(method: str, config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A method and its settings, under this version's names."""
    if method != "seqgan" or "reward" not in config:
        return method, dict(config)
    dense = config["reward"] == "dense"
    others = ("reward", *(ROLLOUT if dense else DENSE))
    return "scratchgan" if dense else method, {name: value for name, value in config.items() if name not in others}


def task_of_0_1(table: dict[str, Any]) -> str:
    """The task of a run whose config.toml, written by 0.1.0, says what it makes; "" where it does not."""
    return TASKS.get(str(table.get("makes")), "")
