"""What earlier versions wrote, read as this version writes it. Each function returns what this version wrote as it is."""

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["RENAMED", "evaluation_table", "model_table", "recipe_table", "run_table"]

RENAMED = {
    "recipe": "method",
    "hold": "validation_size",
    "hold_classes": "test_classes",
    "judge_steps": "lm_steps",
    "most": "max_channels",
    "as_asked": "class_accuracy",
    "classes_as_asked": "classes_learned",
    "recognised": "confident",
    "copied": "exact_copies",
}
"""Keys, settings and metrics of 0.1.0 -> their names now."""

REWORDED = {"pictures": "images", "picture": "image"}
"""Words in definitions of 0.1.0 -> the words now: what is measured in the same way is then defined in the same words."""

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


def model_table(about: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a model folder's config.json. One of 0.1.0 does not say its version."""
    if "version" in about:
        return dict(about)
    method, config, data = _settings(about["method"], about["config"])
    return {**about, "method": method, "config": config, "data": data}


def run_table(table: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a run's config.toml, or of a configuration file like it. One of 0.1.0 says no version, and what is
    returned has none either; nor need a file that a user wrote."""
    if "version" in table:
        run = table.get("run")
        # Before it was a choice, the memory format was always this one.
        return {**table, "run": {"layout": "channels_last", **run}} if isinstance(run, dict) else dict(table)
    if "recipe" not in table:  # written by a user, for whichever version
        config = table.get("config")
        return {**table, "config": _renamed(config)} if isinstance(config, dict) else dict(table)
    found = _renamed(table)
    if "makes" in found and (task := TASKS.get(str(found.pop("makes")))):
        found.setdefault("task", task)
    if isinstance(table.get("config"), dict):
        found["method"], found["config"], data = _settings(str(table["recipe"]), table["config"])
        found.setdefault("data", data)
    return found


def evaluation_table(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of evaluation.json, or of a result of a benchmark; "recipe" is in those of 0.1.0. What is of another type than
    it should be stays as it is."""
    if "recipe" not in content:
        return dict(content)
    found = _renamed(content)
    if isinstance(definitions := found.get("definitions"), dict):
        found["definitions"] = {metric(name): _reworded(text) for name, text in definitions.items()}
    if isinstance(rows := found.get("rows"), dict):
        found["rows"] = {
            row: {metric(name): value for name, value in values.items()} if isinstance(values, dict) else values
            for row, values in rows.items()
        }
    return found


def recipe_table(table: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a benchmark recipe; "recipe" names the method in those of 0.1.0."""
    if "recipe" not in table:
        return dict(table)
    found = _renamed(table)
    if isinstance(config := table.get("config"), dict):
        found["method"], found["config"], _ = _settings(str(table["recipe"]), config)
    if isinstance(variants := table.get("variants"), dict):
        found["variants"] = {n: _renamed(v) if isinstance(v, dict) else v for n, v in variants.items()}
    for checks in {"reach", "expect"} & found.keys():
        if isinstance(lines := found[checks], list):
            found[checks] = [
                {**x, "metric": metric(str(x["metric"]))} if isinstance(x, dict) and "metric" in x else x for x in lines
            ]
    return found


def metric(name: str) -> str:
    """A metric by its name now; on a named set it is SET/METRIC, and of several seeds METRIC_std is its deviation."""
    head, slash, last = name.rpartition("/")
    stem = last.removesuffix("_std")
    return head + slash + RENAMED.get(stem, stem) + last[len(stem) :]


def _renamed(table: Mapping[str, Any]) -> dict[str, Any]:
    return {RENAMED.get(name, name): value for name, value in table.items()}


def _reworded(text: Any) -> Any:
    return re.sub(rf"\b({'|'.join(REWORDED)})\b", lambda m: REWORDED[m[0]], text) if isinstance(text, str) else text


def _settings(method: str, config: Mapping[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The method, its settings and what its data were found to be, of a method of 0.1.0 and its settings."""
    config = dict(config)
    if method == "seqgan" and "reward" in config:
        dense = config.pop("reward") == "dense"
        method = "scratchgan" if dense else method
        for name in ROLLOUT if dense else DENSE:
            config.pop(name, None)
    data = {name: config.pop(name) for name in DATA if name in config}
    if "trained_on" in config:
        data["fingerprint"] = config.pop("trained_on")
    if "channels" in config:
        data["channels"] = config["channels"]
    return method, _renamed(config), data
