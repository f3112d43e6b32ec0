"""Compatibility: converts files of earlier versions to this version's form. Files of this version
are returned unchanged."""

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
"""Keys, settings and metrics of 0.1.0 -> current names."""

REWORDED = {
    "pictures": "images",
    "picture": "image",
    "share of samples that the classifier takes for the class asked for": "share of samples classified as the requested class",
    "are taken for what was asked for": "are classified as requested",
    "that at least a tenth of an even share of the samples falls in": "that get at least a tenth of an even share of the samples",
    "tell them apart": "distinguish them",
    "it knows the training": "it has memorised the training",
    " by heart": "",
}
"""Wording of definitions of 0.1.0 -> current wording, so that equal metrics have equal
definitions."""

DATA = ("classes", "shares", "tokens", "start", "end", "pad", "vocabulary")
"""Settings of 0.1.0 that were determined from the data; they now have a record of their own."""
ROLLOUT = ("rollouts", "follow", "filters", "dropout", "weight_decay")
DENSE = ("discount",)
"""Settings of 0.1.0's seqgan for one kind of reward only; with dense rewards it is now
scratchgan."""

TASKS = {
    "pictures": "image-synthesis",
    "photographs": "super-resolution",
    "texts": "text-synthesis",
    "sounds": "audio-synthesis",
}
"""Outputs of models of 0.1.0 -> their task."""


def model_table(about: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a model folder's config.json. One of 0.1.0 states no version."""
    if "version" in about:
        return dict(about)
    method, config, data = _settings(about["method"], about["config"])
    return {**about, "method": method, "config": config, "data": data}


def run_table(table: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a run's config.toml, or of a configuration file like it. One of 0.1.0 states
    no version, and neither does the result; a user's own file need not state one."""
    if "version" in table:
        run = table.get("run")
        # Before the memory format was an option, it was always this one.
        return {**table, "run": {"layout": "channels_last", **run}} if isinstance(run, dict) else dict(table)
    if "recipe" not in table:  # written by a user, for any version
        config = table.get("config")
        return {**table, "config": _renamed(config)} if isinstance(config, dict) else dict(table)
    converted = _renamed(table)
    if "makes" in converted and (task := TASKS.get(str(converted.pop("makes")))):
        converted.setdefault("task", task)
    if isinstance(table.get("config"), dict):
        converted["method"], converted["config"], data = _settings(str(table["recipe"]), table["config"])
        converted.setdefault("data", data)
    return converted


def evaluation_table(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of evaluation.json, or of a benchmark result; those of 0.1.0 have the key
    "recipe". Values of unexpected types are unchanged."""
    if "recipe" not in content:
        return dict(content)
    converted = _renamed(content)
    if isinstance(definitions := converted.get("definitions"), dict):
        converted["definitions"] = {metric(name): _reworded(text) for name, text in definitions.items()}
    if isinstance(rows := converted.get("rows"), dict):
        converted["rows"] = {
            row: {metric(name): value for name, value in values.items()} if isinstance(values, dict) else values
            for row, values in rows.items()
        }
    return converted


def recipe_table(table: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a benchmark recipe; those of 0.1.0 name the method "recipe"."""
    if "recipe" not in table:
        return dict(table)
    converted = _renamed(table)
    if isinstance(config := table.get("config"), dict):
        converted["method"], converted["config"], _ = _settings(str(table["recipe"]), config)
    if isinstance(variants := table.get("variants"), dict):
        converted["variants"] = {n: _renamed(v) if isinstance(v, dict) else v for n, v in variants.items()}
    for checks in {"reach", "expect"} & converted.keys():
        if isinstance(lines := converted[checks], list):
            converted[checks] = [
                {**x, "metric": metric(str(x["metric"]))} if isinstance(x, dict) and "metric" in x else x for x in lines
            ]
    return converted


def metric(name: str) -> str:
    """A metric's current name; also for SET/METRIC, on a named set, and METRIC_std, the deviation
    over seeds."""
    head, slash, last = name.rpartition("/")
    stem = last.removesuffix("_std")
    return head + slash + RENAMED.get(stem, stem) + last[len(stem) :]


def _renamed(table: Mapping[str, Any]) -> dict[str, Any]:
    return {RENAMED.get(name, name): value for name, value in table.items()}


def _reworded(text: Any) -> Any:
    return re.sub(rf"\b({'|'.join(REWORDED)})\b", lambda m: REWORDED[m[0]], text) if isinstance(text, str) else text


def _settings(method: str, config: Mapping[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Converts a method of 0.1.0 and its settings to the method, its settings, and facts about its
    data."""
    config = dict(config)
    if method == "seqgan" and "reward" in config:
        dense = config.pop("reward") == "dense"
        method = "scratchgan" if dense else method
        for name in ROLLOUT if dense else DENSE:
            config.pop(name, None)
    if method == "srgan":  # settings that it had not, whose presets are others now
        config = {"shift": 0, "gradient_weight": 0.0, "grid_weight": 0.0, **config}
    data = {name: config.pop(name) for name in DATA if name in config}
    if "trained_on" in config:
        data["fingerprint"] = config.pop("trained_on")
    if "channels" in config:
        data["channels"] = config["channels"]
    return method, _renamed(config), data
