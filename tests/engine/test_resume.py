"""A run that is broken off, at any moment and by anything, ends bit for bit as one that never
was."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from multigen.engine import Adam, EarlyStop, Run, Stage, Update
from multigen.engine.schedules import Cosine, Linear
from multigen.errors import CheckpointError, ConfigError
from multigen.storage.files import verify_checksum, with_checksum
from tests.cases import few
from tests.engine.toys import (
    Numbers,
    PowerCut,
    Toy,
    ToyConfig,
    Whole,
    assert_same,
    assert_same_runs,
    checkpoints,
    cut,
    lines,
    options,
    resumed,
    saved_files,
    saved_numbers,
)

ROOT = Path(__file__).resolve().parents[2]


def logged(run: Run) -> list[dict[str, Any]]:
    """All but the speed."""
    return [{k: v for k, v in line.items() if k not in ("items_per_second", "seconds")} for line in lines(run.out)]


@pytest.mark.parametrize(("workers", "precision"), few(product([0, 2], ["fp32", "bf16"]), (0, "fp32"), (2, "bf16")))
def test_n_steps_resumed_for_n_steps_are_2n_steps(tmp_path: Path, precision: str, workers: int) -> None:
    """7 + 6 steps, cut within each stage and at its end; checkpoints lie elsewhere than the
    cuts."""
    often: dict[str, Any] = {
        "precision": precision,
        "save_every": 4,
        "log_every": 2,
        "validate_every": 2,
        "preview_every": 5,
    }
    whole = options(tmp_path / "whole", **often)
    Whole(ToyConfig(), whole).fit()
    run = options(tmp_path / "cut", workers=workers, **often)
    for step in (5, 7, 8, 12) if not workers else (5, 12):
        cut(resumed(run) if (tmp_path / "cut").exists() else run, step)
    Whole(ToyConfig(), resumed(run)).fit()
    assert len(saved_files(run.out)) == 7
    assert saved_numbers(run.out)["step"] == 13
    assert_same_runs(whole, run)
    assert logged(whole) == logged(run)
    assert len(logged(run)) > 10


def test_accumulation_resumes_as_well(tmp_path: Path) -> None:
    whole, run = (options(tmp_path / name, accumulate=2, save_every=3) for name in ("whole", "cut"))
    Whole(ToyConfig(), whole).fit()
    cut(run, 11)
    Whole(ToyConfig(), resumed(run)).fit()
    assert_same_runs(whole, run)


def test_half_precision_resumes_as_well(tmp_path: Path) -> None:
    """With its scales, which are still falling."""
    whole, run = (options(tmp_path / name, precision="fp16", save_every=3) for name in ("whole", "cut"))
    Whole(ToyConfig(), whole).fit()
    cut(run, 5)
    cut(resumed(run), 11)
    Whole(ToyConfig(), resumed(run)).fit()
    assert_same_runs(whole, run)


def test_two_runs_of_one_seed_are_the_same_and_of_two_seeds_are_not(tmp_path: Path) -> None:
    a, b, c = (options(tmp_path / str(i), seed=i // 2) for i in range(3))
    for run in (a, b, c):
        Whole(ToyConfig(), run).fit()
    assert_same_runs(a, b)
    first, other = saved_files(a.out), saved_files(c.out)
    assert not any(bool((first["G"][name] == other["G"][name]).all()) for name in ("0.weight", "4.weight"))


def test_a_finished_run_resumes_to_what_it_was(tmp_path: Path) -> None:
    run = options(tmp_path)
    Whole(ToyConfig(), run).fit()
    before, model = saved_files(tmp_path), (tmp_path / "model" / "G.safetensors").read_bytes()
    again = Whole(ToyConfig(), resumed(run)).fit()
    assert again.step == 13
    assert_same(saved_files(tmp_path), before)
    assert (tmp_path / "model" / "G.safetensors").read_bytes() == model


def test_another_number_of_threads_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, threads = options(tmp_path / "run"), torch.get_num_threads()
    cut(run, 8)
    Whole(ToyConfig(), resumed(run)).fit()
    assert "last bits" not in capsys.readouterr().err
    record = checkpoints(run.out)[-1] / "run.json"
    content = verify_checksum(record.read_bytes())
    content["versions"] |= {"torch": "2.0", "instructions": "old"}
    record.write_bytes(with_checksum(content))
    try:
        torch.set_num_threads(threads + 1)
        Whole(ToyConfig(), resumed(run)).fit()
    finally:
        torch.set_num_threads(threads)
    message = capsys.readouterr().err
    assert f"torch 2.0 -> {torch.__version__}, threads {threads} -> {threads + 1}, instructions old -> " in message
    assert "the last bits may differ from those of a run that was never stopped" in message


def test_the_newest_of_a_folder_of_runs_is_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i, name in enumerate(("old", "new")):
        cut(options(tmp_path / name, save_every=2), 5)
        os.utime(tmp_path / name / "config.toml", (i, i))
    trainer = Whole(ToyConfig(), resumed(options(tmp_path), save_every=2)).fit()
    assert trainer.folder == tmp_path / "new"
    assert str(tmp_path / "new") in capsys.readouterr().err


def test_a_run_cut_before_its_first_checkpoint_begins_at_its_beginning(tmp_path: Path) -> None:
    """Its folder is claimed already, so it cannot be started again there; nothing is lost by
    starting."""
    whole, run = options(tmp_path / "whole"), options(tmp_path / "cut")
    Whole(ToyConfig(), whole).fit()

    class Cut(Whole):
        def enter(self, stage: Stage) -> None:
            raise PowerCut

    with pytest.raises(PowerCut):
        Cut(ToyConfig(), run).fit()
    assert (tmp_path / "cut" / "config.toml").exists()
    Whole(ToyConfig(), resumed(run)).fit()
    assert_same_runs(whole, run)


@pytest.mark.parametrize("where", ["nowhere", "empty"])
def test_a_resume_of_what_is_no_run_says_so(tmp_path: Path, where: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=rf"{where}.*give a run"):
        Whole(ToyConfig(), resumed(options(tmp_path / where))).fit()


def test_a_folder_that_holds_a_run_is_refused(tmp_path: Path) -> None:
    cut(options(tmp_path, save_every=2), 3)
    with pytest.raises(ConfigError, match=r"holds a run already.*--resume.*--out"):
        Whole(ToyConfig(), options(tmp_path)).fit()


# ------------------------------------------------------------------------------------------------------- other configurations


def test_every_difference_is_listed(tmp_path: Path) -> None:
    run = options(tmp_path, save_every=2)
    cut(run, 3)
    changed = resumed(run, seed=3, precision="fp64", accumulate=2, log_every=7)
    with pytest.raises(ConfigError) as caught:
        Whole(ToyConfig(batch=5, lr=0.5, betas=(0.5, 0.8)), changed).fit()
    message = str(caught.value)
    assert str(tmp_path) in message
    for field in (
        "batch: 4 -> 5",
        "lr: 0.01 -> 0.5",
        "seed: 0 -> 3",
        "precision: 'fp32' -> 'fp64'",
        "accumulate: 1 -> 2",
    ):
        assert field in message
    assert "betas" in message
    assert "steps" not in message
    assert "workers" not in message


def test_one_difference_is_enough(tmp_path: Path) -> None:
    run = options(tmp_path, save_every=2)
    cut(run, 3)
    for name, value in {"batch": 5, "lr": 0.5, "steps": 5}.items():
        with pytest.raises(ConfigError, match=f"{name}: "):
            Whole(ToyConfig(**{name: value}), resumed(run)).fit()
    others = {"seed": 1, "accumulate": 2, "precision": "bf16", "save_every": 5, "log_every": 5}
    for name, value in others.items():
        with pytest.raises(ConfigError, match=f"{name}: "):
            Whole(ToyConfig(), resumed(run, **{name: value})).fit()
    Whole(ToyConfig(), resumed(run)).fit()  # and it is unharmed


def test_another_method_is_refused(tmp_path: Path) -> None:
    class Other(Whole):
        name = "other"

    run = options(tmp_path, save_every=2)
    cut(run, 3)
    with pytest.raises(ConfigError, match="method: 'toy' -> 'other'"):
        Other(ToyConfig(), resumed(run)).fit()


def test_options_that_do_not_touch_the_numbers_may_change(tmp_path: Path) -> None:
    whole, run = options(tmp_path / "whole", save_every=3), options(tmp_path / "cut", save_every=3)
    Whole(ToyConfig(), whole).fit()
    cut(run, 8)
    Whole(ToyConfig(), resumed(run, workers=2, keep=7, tensorboard=True, start=str(tmp_path / "whole"))).fit()
    assert_same_runs(whole, run)
    assert len(checkpoints(run.out)) > len(checkpoints(whole.out))


@dataclass(frozen=True)
class More(ToyConfig):
    width: int = 3


def test_a_field_that_a_newer_version_has_is_a_difference(tmp_path: Path) -> None:
    run = options(tmp_path, save_every=2)
    cut(run, 3)
    with pytest.raises(ConfigError, match="width: None -> 3"):
        Whole(More(), resumed(run)).fit()


# -------------------------------------------------------------------------------------------------------- a longer last stage


@pytest.mark.parametrize("end", [4, 13], ids=["broken off", "finished"])
def test_the_last_stage_may_be_made_longer(tmp_path: Path, end: int) -> None:
    whole, run = options(tmp_path / "whole", save_every=3), options(tmp_path / "cut", save_every=3)
    Whole(ToyConfig(steps=11), whole).fit()
    if end < 13:
        cut(run, end)
    else:
        Whole(ToyConfig(), run).fit()
    trainer = Whole(ToyConfig(steps=11), resumed(run)).fit()
    assert trainer.step == 18
    files, expected = saved_files(run.out), saved_files(whole.out)
    assert_same(files, expected)
    assert json.loads((checkpoints(run.out)[-1] / "run.json").read_text())["config"]["steps"] == 11
    assert "steps = 11" in (tmp_path / "cut" / "config.toml").read_text()


class Scheduled(Toy):
    lr: Any = 1e-2
    decay: Any = 0.9
    optim: Any = None
    earlier: Any = None

    def optimisers(self) -> Any:
        return Adam(self.lr)

    def averaged(self) -> Any:
        return {"G": self.decay}

    def stages(self) -> list[Stage]:
        g = Update("g", ["G"], lambda batch, step: {"mse": (self.fakes(step) - batch["x"]).square().mean()})
        return [Stage("a", 3, [g], optim=self.earlier), Stage("b", self.config.steps, [g], optim=self.optim)]


@pytest.mark.parametrize(
    ("changing", "rate"),
    few(
        [
            ({"lr": Cosine(1e-2, 1e-3)}, 1e-3),
            ({"decay": Linear(0.5, 0.9)}, 1e-2),
            ({"optim": Adam(Linear(1e-2, 2e-2))}, 2e-2),
            ({"optim": Adam(1e-2, betas=(Linear(0.5, 0.9), 0.999))}, 1e-2),
            ({"earlier": Adam(Cosine(1e-2, 1e-3))}, 1e-3),  # the last stage goes on with it
        ],
        ({"lr": Cosine(1e-2, 1e-3)}, 1e-3),
        ({"decay": Linear(0.5, 0.9)}, 1e-2),
        ({"earlier": Adam(Cosine(1e-2, 1e-3))}, 1e-3),
    ),
    ids=["rate", "average", "stage", "betas", "stage before"],
)
def test_schedules_end_where_they_ended_when_a_stage_is_made_longer(
    tmp_path: Path, changing: dict[str, Any], rate: float, capfd: pytest.CaptureFixture[str]
) -> None:
    """Finished, then made longer twice, with a stop between: as if the end values had been planned
    to hold."""
    Changing = type("Changing", (Scheduled,), changing)
    run = options(tmp_path / "a", save_every=1)
    Changing(ToyConfig(), run).fit()
    end = saved_files(run.out)
    trainer = Changing(ToyConfig(steps=9), resumed(run)).fit()
    assert "schedules end after 6 steps of b, as planned before" in capfd.readouterr().err
    assert trainer.updater.optimisers["G"].param_groups[0]["lr"] == pytest.approx(rate)
    trainer = Changing(ToyConfig(steps=12), resumed(run)).fit()
    assert "schedules end after 6 steps of b" in capfd.readouterr().err and trainer.step == 15
    assert trainer.state.scalars["planned/b"] == 6

    again = options(tmp_path / "b", save_every=1)
    Changing(ToyConfig(), again).fit()
    assert_same(saved_files(again.out), end)
    Changing(ToyConfig(steps=12), resumed(again)).fit()
    assert_same(saved_files(again.out), saved_files(run.out))


def test_a_rate_that_ended_at_zero_cannot_go_on(tmp_path: Path) -> None:
    Ended = type("Ended", (Scheduled,), {"optim": {"G": Adam(Cosine(1e-2, 0.0))}})
    run = options(tmp_path)
    Ended(ToyConfig(), run).fit()
    with pytest.raises(ConfigError, match="steps: 6 -> 7"):
        Ended(ToyConfig(steps=7), resumed(run)).fit()


@pytest.mark.parametrize(
    "constant",
    [{}, {"optim": Adam(Linear(1e-2, 1e-2))}, {"earlier": Adam(Cosine(1e-2, 1e-3)), "optim": Adam(1e-2)}],
    ids=["", "level line", "stage before"],
)
def test_schedules_that_are_over_do_not_matter(tmp_path: Path, constant: dict[str, Any]) -> None:
    Ended = type("Ended", (Scheduled,), constant)
    run = options(tmp_path)
    Ended(ToyConfig(), run).fit()
    assert Ended(ToyConfig(steps=8), resumed(run)).fit().step == 11


def test_a_configuration_that_also_lengthens_an_earlier_stage_is_refused(tmp_path: Path) -> None:
    """What is over cannot be made longer."""

    class Both(Scheduled):
        def stages(self) -> list[Stage]:
            return [replace(stage, steps=self.config.steps) for stage in super().stages()]

    run = options(tmp_path)
    Both(ToyConfig(), run).fit()
    with pytest.raises(ConfigError, match="steps"):
        Both(ToyConfig(steps=8), resumed(run)).fit()


def test_a_stage_that_stopped_early_stays_stopped(tmp_path: Path) -> None:
    class Stopped(Numbers):
        def stages(self) -> list[Stage]:
            g = Update("g", ["G"], lambda batch, step: {"w": self.G().sum()})
            return [Stage("only", self.config.steps, [g], until=EarlyStop("same", patience=2))]

        def validate(self, nets: Mapping[str, nn.Module]) -> dict[str, float]:
            return {"same": 1.0}

    run = options(tmp_path, validate_every=2)
    assert Stopped(ToyConfig(steps=20), run).fit().step == 6
    assert Stopped(ToyConfig(steps=30), resumed(run)).fit().step == 6
