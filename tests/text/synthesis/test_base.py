"""The base trainer of text synthesis, by its methods: stages, whole runs, resuming, settings."""

import json
import math
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import multigen
from multigen.config import read_toml, to_table
from multigen.engine import Trainer
from multigen.errors import ConfigError
from multigen.text.synthesis import evaluation
from multigen.text.synthesis.evaluator import Evaluator
from multigen.text.synthesis.seqgan import PRESETS, SeqGANTrainer
from tests.cases import few
from tests.engine.toys import assert_same_runs, cut, options, resumed, saved_numbers
from tests.text.synthesis.toys import METHODS, TRAINERS, assert_equal, configured, lines_file, made, weights
from tests.text.test_datasets import oracle_file

# ---------------------------------------------------------------------------------------------------- whole runs

CASES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "fables:200": ({}, {"grammatical", "divergence_bits", "self_bleu_3"}),
    "oracle": ({"baseline": "critic"}, {"nll_oracle", "distinct_tokens"}),
    "texts": ({"length": 8, "prompt": 2, "scale_rewards": True}, {"lm_score", "reverse_lm_score", "bleu_4", "rouge_l"}),
    "dense": ({"length": 8, "method": "scratchgan", "tokenizer": "characters"}, {"lm_score"}),
    "transformer": ({"length": 8, "network": "transformer", "heads": 2}, {"lm_score"}),
    "relational": ({"length": 8, "network": "relational", "slots": 2}, {"lm_score"}),
}


@pytest.mark.parametrize("case", few(CASES, "texts"))
def test_a_run_trains_measures_and_writes(case: str, tmp_path: Path) -> None:
    settings, metrics = CASES[case]
    place = {"fables:200": case, "oracle": str(oracle_file(tmp_path))}.get(case) or lines_file(tmp_path)
    trainer = made(place, tmp_path / "run", **settings).fit()
    result = trainer.evaluate()

    models = ["mle/best", "constant/last", "random/last", "adversarial/best"]
    other_setting = ["mle/best", "adversarial/best"]
    at = {f"{name} at {t:g}" for name in other_setting for t in evaluation.TEMPERATURES if t != 1}
    extra = {"shuffled"} if trainer.config.prompt or trainer.corpus.kind == "texts" else set()
    assert result.rows.keys() == {"real", *models, "mle/last", "adversarial/last", *at, *extra}
    assert metrics <= result.rows["adversarial/last"].keys()
    assert (
        result.rows["adversarial/last"]["nll_test"] == result.rows["adversarial/best"]["nll_test"]
    )  # one and the same
    assert all(math.isfinite(v) for row in result.rows.values() for v in row.values())
    assert {m for row in result.rows.values() for m in row} == result.definitions.keys()
    assert result.remarks.keys() == {"chosen", "verdict", "change"}
    assert result.remarks["verdict"].count("/") == 3 and result.remarks["change"].startswith(
        "adversarial/last against mle/best"
    )

    run = tmp_path / "run"
    assert json.loads((run / "evaluation.json").read_text())["rows"] == result.rows
    assert (run / "curves.png").exists()
    shown = (run / "samples.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in shown if " = " in line] == ["mle/best = mle/last", "adversarial/best = adversarial/last"]
    files = {"G.safetensors", "README.md", "config.json"} | ({"tokenizer.json"} if case != "oracle" else set())
    assert {path.name for path in (run / "model").iterdir()} == files
    previews = sorted((run / "previews").iterdir())
    assert len(previews) == 5 and previews[0].read_text(encoding="utf-8").strip()  # a stage each

    table, about = read_toml(run / "config.toml"), json.loads((run / "model" / "config.json").read_text())
    assert table["data"] == about["data"] and about["data"]["tokens"] == trainer.data_info.tokens > 0
    assert (about["data"]["vocabulary"] == about["data"]["fingerprint"] == "") == (case == "oracle")
    assert not about["data"].keys() & about["config"].keys()
    writer = multigen.load(str(run))
    texts = writer.generate(n=3, seed=1)
    assert texts == writer.generate(n=4, seed=1)[:3]
    assert_equal(weights(writer.G), {k: v.float() for k, v in trainer.saved("G", "adversarial", "best").items()})


@pytest.mark.parametrize("discriminator_steps", few([0, 2], 2))
def test_maximum_likelihood_alone(discriminator_steps: int, data: str, tmp_path: Path) -> None:
    trainer = made(data, tmp_path / "run", discriminator_steps=discriminator_steps, control_steps=0, steps=0).fit()
    result = trainer.evaluate()
    assert {name.split(" at ")[0] for name in result.rows} == {"real", "mle/best", "mle/last"}
    assert result.remarks.keys() == {"chosen"}
    assert_equal(weights(multigen.load(str(tmp_path / "run")).G), trainer.saved("G", "mle", "best"))


@pytest.mark.parametrize(
    ("method", "settings"),
    few(
        [("seqgan", {"follow": 0.5, "dropout": 0.25}), ("scratchgan", {"baseline": "critic"})],
        ("seqgan", {"follow": 0.5, "dropout": 0.25}),
    ),
)
def test_a_run_that_is_broken_off_ends_bit_for_bit_as_one_that_never_was(
    method: str, settings: dict[str, Any], data: str, tmp_path: Path
) -> None:
    """Cut in each of the five stages; checkpoints lie elsewhere than the cuts."""
    config = configured(data, method, kl=0.1, **settings)
    often = {"save_every": 2, "validate_every": 2, "preview_every": 3}
    whole, broken = options(tmp_path / "whole", **often), options(tmp_path / "broken", **often)
    TRAINERS[method](config, whole).fit()
    for step in (3, 5, 7, 10, 13):
        cut(resumed(broken) if (tmp_path / "broken").exists() else broken, step, TRAINERS[method], config)
    TRAINERS[method](config, resumed(broken)).fit()
    assert saved_numbers(whole.out)["step"] == 14
    assert_same_runs(whole, broken)


def test_a_run_starts_from_the_weights_and_the_tokenizer_of_another(seqgan_run: Path, tmp_path: Path) -> None:
    place = lines_file(tmp_path)
    second = made(place, tmp_path / "second", run={"start": str(seqgan_run)})
    second.prepare()
    first, now = read_toml(seqgan_run / "config.toml")["data"], to_table(second.data_info)
    assert now["vocabulary"] == first["vocabulary"] != ""
    assert now["tokens"] == first["tokens"] and now != first
    assert_equal(weights(second.nets["G"]), load_file(seqgan_run / "model" / "G.safetensors"))


@pytest.mark.parametrize("method", ["scratchgan", "seqgan"])
def test_own_texts_take_the_tokenizer_of_the_pretrained_model(method: str) -> None:
    """Where none is named: that of the texts is bpe by itself."""
    assert import_module(f"multigen.text.synthesis.{method}").PRESETS["default"].tokenizer == ""


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", PRESETS)
def test_the_stages_of_a_preset_are_as_long_as_it_says(name: str, method: str) -> None:
    c = METHODS[method].PRESETS[name]
    steps = {stage.name: stage.steps for stage in TRAINERS[method](c).stages()}
    controls = {name: c.control_steps for name in ("constant", "random") if hasattr(c, "control_steps")}
    rest = {"discriminator": c.discriminator_steps, "adversarial": c.steps}
    assert steps == {"mle": c.mle_steps, **controls, **rest}


# ---------------------------------------------------------------------------------------------------- stages


@pytest.mark.parametrize("begin_from", ["best", "last"])
def test_controls_and_the_adversarial_stage_start_from_maximum_likelihood(
    begin_from: Any, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worse = iter(range(99))
    monkeypatch.setattr(
        Evaluator, "validation_nll", lambda self, G: float(next(worse))
    )  # the first validated is the best
    starts: dict[str, dict[str, Tensor]] = {}
    true = SeqGANTrainer.advance

    def advance(self: Any, index: int) -> None:
        starts.setdefault(self.stage.name, weights(self.G))
        true(self, index)

    monkeypatch.setattr(SeqGANTrainer, "advance", advance)
    trainer = made(data, tmp_path / "run", run={"validate_every": 2}, begin_from=begin_from, kl=0.1).fit()
    best, last = (trainer.saved("G", "mle", which) for which in ("best", "last"))
    assert any(not torch.equal(best[name], last[name]) for name in best)
    for stage in ("constant", "random", "discriminator", "adversarial"):
        assert_equal(starts[stage], best if begin_from == "best" else last)
    assert_equal(weights(trainer.copies["reference"]), starts["adversarial"])


def test_controls_are_rewarded_with_a_constant_and_at_random(data: str, tmp_path: Path, seen: list[Any]) -> None:
    made(data, tmp_path / "run", control_steps=3, steps=1, scale_rewards=False).fit()
    constant, random = (torch.stack([a for _, a, _ in part]) for part in (seen[:3], seen[3:6]))
    assert len(seen) == 7 and constant.shape == (3, 6, 6)
    assert (constant == 1).all()
    assert random.min().item() >= 0 and random.max() < 1 and len(random.unique()) == random.numel()
    assert abs(random.mean() - 0.5) < 4 * (1 / 12 / random.numel()) ** 0.5


def test_the_negatives_are_sampled_again_when_due(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled: list[tuple[str, int, int]] = []
    true = SeqGANTrainer.negatives

    def negatives(self: Any, step: Any) -> Any:
        filled.append((step.stage, step.index, step.repeat))
        batch = true(self, step)
        assert batch["fake"].shape == batch["real"].shape == (12, 6)
        train = {tuple(row) for row in self.corpus.train.tolist()}
        assert all(tuple(row) in train for row in batch["real"].tolist())
        return batch

    monkeypatch.setattr(SeqGANTrainer, "negatives", negatives)
    made(data, tmp_path / "run", discriminator_steps=5, steps=4, critic_steps=2, refill=3).fit()
    begun = [("discriminator", 0, 0), ("discriminator", 3, 0)]
    assert filled == [*begun, ("adversarial", 0, 0), ("adversarial", 1, 1), ("adversarial", 3, 0)]


# ---------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    "settings", ["mle_steps 0", "steps -1", "rollouts 0", "discriminator_embedding 0", "follow 1.5", "kl -1"]
)
def test_settings_out_of_their_range_are_refused(settings: str) -> None:
    name, value = settings.split()
    number = float(value) if "." in value else int(value)
    with pytest.raises(ConfigError, match=rf"{name} {value}: expected"):
        replace(PRESETS["tiny"], **{name: number})


def test_micro_batches_are_refused_where_texts_are_compared(data: str, tmp_path: Path) -> None:
    trainer: Trainer = made(data, tmp_path / "run", run={"accumulate": 2}, baseline="mean")
    with pytest.raises(ConfigError, match=r"accumulate 2: .* give --accumulate 1"):
        trainer.fit()
