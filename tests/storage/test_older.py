"""What 0.1.0 wrote, in this version's form."""

import json
from pathlib import Path
from typing import Any

import pytest

from multigen.metrics.distances import DEFINITIONS
from multigen.storage.older import RENAMED, evaluation_table, model_table, recipe_table, run_table
from multigen.tasks.synthesis.evaluator import LABELLED, OVERFIT

SEQGAN = {
    "data": "fables", "vocabulary": "ab12", "trained_on": "cd34", "tokens": 9, "start": 1, "end": 2, "pad": 0, "baseline": "mean",
    "rollouts": 2, "follow": 1.0, "discount": 0.95, "filters": [[2, 8]], "dropout": 0.25, "weight_decay": 0.2,
}  # fmt: skip


@pytest.mark.parametrize(
    ("reward", "method", "own"),
    [
        (
            "rollout",
            "seqgan",
            {"rollouts": 2, "follow": 1.0, "filters": [[2, 8]], "dropout": 0.25, "weight_decay": 0.2},
        ),
        ("dense", "scratchgan", {"discount": 0.95}),
    ],
)
def test_dense_rewards_of_seqgan_are_a_method_of_their_own(reward: str, method: str, own: dict[str, object]) -> None:
    before = {"method": "seqgan", "config": {**SEQGAN, "reward": reward}}
    result = model_table(before)
    assert result["method"] == method and result["config"] == {"data": "fables", "baseline": "mean", **own}
    data = {"tokens": 9, "start": 1, "end": 2, "pad": 0, "vocabulary": "ab12", "fingerprint": "cd34"}
    assert result["data"] == data
    assert before == {"method": "seqgan", "config": {**SEQGAN, "reward": reward}}  # as it was


def test_methods_of_other_names_keep_settings_of_these_names() -> None:
    result = model_table({"method": "my_gan", "config": {"reward": "dense", "dropout": 0.5, "channels": 3}})
    assert (result["method"], result["config"]) == ("my_gan", {"reward": "dense", "dropout": 0.5, "channels": 3})
    assert result["data"] == {"channels": 3}


RUN = {"recipe": "seqgan", "makes": "texts", "config": {**SEQGAN, "reward": "dense"}, "run": {"seed": 1}}


def test_a_runs_table_has_its_task_and_its_data_apart() -> None:
    result = run_table(RUN)
    assert "version" not in result and "makes" not in result
    assert (result["method"], result["task"], result["run"]) == ("scratchgan", "text-synthesis", {"seed": 1})
    assert result["config"] == {"data": "fables", "baseline": "mean", "discount": 0.95}
    assert result["data"] == {"tokens": 9, "start": 1, "end": 2, "pad": 0, "vocabulary": "ab12", "fingerprint": "cd34"}


def test_a_run_from_before_there_was_a_choice_of_memory_format_has_the_one_of_then() -> None:
    table = {**RUN, "version": "0.2.0"}
    assert run_table(table) == {**table, "run": {"seed": 1, "layout": "channels_last"}}
    chosen = {**table, "run": {"seed": 1, "layout": "contiguous"}}
    assert run_table(chosen) == chosen


@pytest.mark.parametrize("table", [{"version": "0.2.0", "run": 3}, {"config": {"classes": ["a"], "steps": 2}}, {}])
def test_tables_of_this_version_and_those_without_a_method_stay_as_they_are(table: dict[str, Any]) -> None:
    assert run_table(table) == table


@pytest.mark.parametrize("wrong", [{"config": 3}, {"makes": ["texts"], "config": {}}, {}])
def test_damaged_tables_are_left_to_whoever_reads_them(wrong: dict[str, Any]) -> None:
    result = run_table({"recipe": "dcgan", **wrong})
    assert result["method"] == "dcgan" and result.get("config") == wrong.get("config") and "task" not in result
    assert evaluation_table({"recipe": "dcgan", "rows": 3, "definitions": []})["rows"] == 3
    assert evaluation_table({"recipe": "dcgan", "rows": {"real": 3}})["rows"] == {"real": 3}


def test_names_are_todays(monkeypatch: pytest.MonkeyPatch) -> None:
    for before, now in {"an_old_name": "a_new_name", "an_old_setting": "a_new_setting"}.items():
        monkeypatch.setitem(RENAMED, before, now)
    row = {"an_old_name": 1.0, "an_old_name_std": 0.1, "set/an_old_name": 2.0, "no_an_old_name": 3.0}
    content = {"recipe": "dcgan", "definitions": {"an_old_name": "pictures; two picture sets"}, "rows": {"real": row}}
    result = evaluation_table(content)
    assert result["definitions"] == {"a_new_name": "images; two image sets"}
    assert [*result["rows"]["real"]] == ["a_new_name", "a_new_name_std", "set/a_new_name", "no_an_old_name"]
    assert [*result["rows"]["real"].values()] == [*row.values()]
    assert run_table({"recipe": "dcgan", "config": {"an_old_setting": 5}})["config"] == {"a_new_setting": 5}
    assert model_table({"method": "dcgan", "config": {"an_old_setting": 5}})["config"] == {"a_new_setting": 5}


def test_definitions_are_todays() -> None:
    file = Path(__file__).parents[1] / "compatibility" / "0.1.0" / "runs" / "dcgan" / "evaluation.json"
    stored = evaluation_table(json.loads(file.read_text(encoding="utf-8")))["definitions"]
    today = DEFINITIONS | LABELLED | {"d_overfit": OVERFIT.format(noun="images")}
    shared = stored.keys() & today.keys()
    assert shared >= {"classes", "class_accuracy", "classes_learned", "d_overfit"}
    assert [metric for metric in shared if not stored[metric].startswith(today[metric])] == []


def test_a_file_of_a_user_may_have_the_old_names_of_settings() -> None:
    assert run_table({"config": {"hold": 3, "judge_steps": 4}}) == {"config": {"validation_size": 3, "lm_steps": 4}}


def test_a_benchmark_recipe_of_0_1_is_read() -> None:
    result = recipe_table(
        {
            "recipe": "dcgan",
            "config": {"hold": 20, "steps": 5},
            "variants": {"a": {"hold_classes": 2}},
            "expect": [{"row": "real", "metric": "as_asked", "value": 1.0}],
        }
    )
    assert result == {
        "method": "dcgan",
        "config": {"validation_size": 20, "steps": 5},
        "variants": {"a": {"test_classes": 2}},
        "expect": [{"row": "real", "metric": "class_accuracy", "value": 1.0}],
    }
    assert recipe_table(result) == result
