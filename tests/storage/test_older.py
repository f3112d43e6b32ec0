"""Model folders of 0.1.0 in this version's form."""

import pytest

from multigen.storage.older import model_table

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
    found = model_table(before)
    assert found["method"] == method and found["config"] == {"data": "fables", "baseline": "mean", **own}
    data = {"tokens": 9, "start": 1, "end": 2, "pad": 0, "vocabulary": "ab12", "fingerprint": "cd34"}
    assert found["data"] == data
    assert before == {"method": "seqgan", "config": {**SEQGAN, "reward": reward}}  # as it was


def test_methods_of_other_names_keep_settings_of_these_names() -> None:
    found = model_table({"method": "my_gan", "config": {"reward": "dense", "dropout": 0.5, "channels": 3}})
    assert (found["method"], found["config"]) == ("my_gan", {"reward": "dense", "dropout": 0.5, "channels": 3})
    assert found["data"] == {"channels": 3}
