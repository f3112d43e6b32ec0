"""What earlier versions wrote, read as this version writes it."""

from typing import Any

__all__ = ["model_of_0_1"]

DATA = ("classes", "shares", "tokens", "start", "end", "pad", "vocabulary")
"""Settings of 0.1.0 that were filled in from the data: they are a record of their own now."""
ROLLOUT = ("rollouts", "follow", "filters", "dropout", "weight_decay")
DENSE = ("discount",)
"""Settings of 0.1.0's seqgan of which each kind of reward has its own; its dense rewards are the method scratchgan now."""


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
    """A method and its settings under the names that they have now."""
    if method != "seqgan" or "reward" not in config:
        return method, dict(config)
    dense = config["reward"] == "dense"
    others = ("reward", *(ROLLOUT if dense else DENSE))
    return "scratchgan" if dense else method, {name: value for name, value in config.items() if name not in others}
