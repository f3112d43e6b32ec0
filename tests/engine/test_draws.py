"""Draws and batches: which numbers and which items a loss gets is a function of where it stands,
and of nothing else."""

import gc
import threading
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from multigen.engine import Batch, Rows, Source, Stage, Step, TensorSource, Update
from multigen.engine.randomness import seed_everything
from multigen.errors import DataError
from tests.engine.toys import AtStep, Numbers, ToyConfig, options, points

Place = tuple[str, str, int, int]
"""(stage, update, index, repeat)"""


class Watched(Numbers):
    """Notes what each firing of an update draws and gets."""

    settings: dict[str, Any] = {}  # noqa: RUF012
    """Of update "u"."""

    def stages(self) -> list[Stage]:
        self.seen: dict[Place, list[dict[str, Tensor]]] = {}  # a dictionary for each micro-batch
        updates = [Update("u", ["G"], self.u, **self.settings), Update("v", ["D"], self.v)]
        return [Stage("a", self.config.steps, updates), Stage("b", 2, updates)]

    def u(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        return self.note("u", batch, step) | {"w": self.G().mean()}

    def v(self, batch: Batch, step: Step) -> dict[str, Tensor]:
        return self.note("v", batch, step) | {"w": self.D().mean()}

    def note(self, update: str, batch: Batch, step: Step) -> dict[str, Tensor]:
        drawn = {
            "z": step.randn("z", 3),
            "other": step.randn("other", 3),
            "mix": step.rand("mix"),
            "global": torch.rand(2),
        }
        self.seen.setdefault((step.stage, update, step.index, step.repeat), []).append(drawn | batch)
        return {}

    def all(self, name: str) -> list[Tensor]:
        """What was seen under a name, in order, a tensor for each batch."""
        return [torch.cat([part[name] for part in parts]) for parts in self.seen.values()]

    def used(self, stage: str, update: str) -> list[list[int]]:
        """The batches of an update, in order."""
        return [parts[0]["id"].tolist() for place, parts in self.seen.items() if place[:2] == (stage, update)]


class Repeating(Watched):
    settings = {"repeat": 2}  # noqa: RUF012


def watch(
    folder: Path, kind: type[Watched] = Watched, steps: int = 3, batch: int = 4, attempt: int = 0, **run: Any
) -> Watched:
    trainer = kind(ToyConfig(batch, steps), options(folder, **run))
    trainer.prepare()
    trainer.state.scalars["attempt"] = attempt
    return trainer.fit()


def distinct(tensors: list[Tensor]) -> int:
    return len({tuple(t.flatten().tolist()) for t in tensors})


def same(a: Watched, b: Watched, *names: str) -> bool:
    return all(torch.equal(x, y) for name in names for x, y in zip(a.all(name), b.all(name), strict=True))


def test_a_draw_depends_on_every_part_of_its_place(tmp_path: Path) -> None:
    trainers = [
        watch(tmp_path / "0", Repeating),
        watch(tmp_path / "1", Repeating, seed=1),
        watch(tmp_path / "2", Repeating, attempt=1),
    ]
    # 3 + 2 steps in two stages, three firings a step, of two updates, one of them repeated
    assert list(trainers[0].seen)[:4] == [("a", "u", 0, 0), ("a", "u", 0, 1), ("a", "v", 0, 0), ("a", "u", 1, 0)]
    draws = [draw for trainer in trainers for stream in ("z", "other") for draw in trainer.all(stream)]
    assert len(draws) == 3 * 2 * 15
    assert distinct(draws) == len(draws)
    assert distinct([draw for trainer in trainers for draw in trainer.all("global")]) == 3 * 15


def test_a_draw_depends_on_nothing_drawn_before(tmp_path: Path) -> None:
    class Wasteful(Watched):
        def note(self, update: str, batch: Batch, step: Step) -> dict[str, Tensor]:
            step.randn("more", 5)
            step.rng("z").manual_seed(3)
            return super().note(update, batch, step)

    plain = watch(tmp_path / "0")
    assert same(plain, watch(tmp_path / "1", Wasteful), "z", "other", "mix", "global", "id")
    disturbed = Watched(plain.config, options(tmp_path / "2"), [AtStep(lambda _: torch.rand(7))]).fit()
    assert same(plain, disturbed, "z", "other", "mix", "global", "id")


def test_draws_are_those_of_the_whole_batch_cut_by_rows(tmp_path: Path) -> None:
    whole = watch(tmp_path / "0", batch=5)
    parts = watch(tmp_path / "1", batch=5, accumulate=2)
    assert all(t.shape == (5, 3) for t in whole.all("z"))
    assert {len(seen) for seen in parts.seen.values()} == {2}
    assert same(whole, parts, "z", "other", "mix", "id")
    # Dropout has a seed of its own in each micro-batch.
    assert distinct([part["global"] for seen in parts.seen.values() for part in seen]) == 2 * len(parts.seen)


def test_draws_have_the_right_distribution_and_type(tmp_path: Path) -> None:
    trainer = watch(tmp_path, batch=20_000, steps=1, precision="fp64")
    first = next(iter(trainer.seen.values()))[0]
    assert first["z"].dtype == first["mix"].dtype == torch.float64
    assert first["z"].mean().abs() < 0.02
    assert abs(first["z"].std() - 1) < 0.02
    assert first["mix"].shape == (20_000,)
    assert first["mix"].min() >= 0
    assert first["mix"].max() < 1
    assert abs(first["mix"].mean() - 0.5) < 0.01


def test_five_critic_steps_have_five_latents_and_five_batches(tmp_path: Path) -> None:
    class Critic(Watched):
        settings = {"repeat": 5}  # noqa: RUF012

    def of_one_step(trainer: Watched, name: str) -> list[Tensor]:
        return [trainer.seen["a", "u", 1, repeat][0][name] for repeat in range(5)]

    one, again, other = (watch(tmp_path / str(i), Critic, seed=i // 2) for i in range(3))
    assert distinct(of_one_step(one, "z")) == distinct(of_one_step(one, "id")) == 5
    assert same(one, again, "z", "id")
    assert distinct(of_one_step(one, "z") + of_one_step(other, "z")) == 10
    assert distinct(of_one_step(one, "id") + of_one_step(other, "id")) == 10


@pytest.mark.parametrize("batch", [5, 100])
def test_every_item_is_used_equally_often(tmp_path: Path, batch: int) -> None:
    """Batches that divide nothing, and batches larger than the set, straddle its epochs."""
    trainer = watch(tmp_path, batch=batch, steps=24)
    used = Counter[int]()
    for items in trainer.used("a", "u"):
        used.update(items)
        assert max(used.values()) - min(used[i] for i in range(24)) <= 1
    assert set(used.values()) == {batch}
    assert {len(items) for items in trainer.used("a", "u")} == {batch}


def test_each_update_of_each_stage_has_an_order_of_its_own(tmp_path: Path) -> None:
    trainers = [watch(tmp_path / "0", batch=24, steps=2), watch(tmp_path / "1", batch=24, steps=2, seed=1)]
    orders = [tuple(items) for t in trainers for stage in "ab" for update in "uv" for items in t.used(stage, update)]
    assert len(orders) == len(set(orders)) == 16  # so epochs differ, too
    assert all(sorted(order) == list(range(24)) for order in orders)


@pytest.mark.parametrize(
    ("settings", "firings"),
    [({"repeat": 3}, 15), ({"every": 2}, 3), ({"every": 2, "repeat": 2}, 6), ({"every": 3, "lazy": True}, 2)],
)
def test_firing_k_and_repeat_r_take_batch_k_times_repeat_plus_r(tmp_path: Path, settings: dict, firings: int) -> None:
    class Changed(Watched):
        pass

    Changed.settings = settings
    expected = watch(tmp_path / "0", steps=20).used("a", "u")
    changed = watch(tmp_path / "1", Changed, steps=5)
    assert changed.used("a", "u") == expected[:firings]
    assert [p[2:] for p in changed.seen if p[:2] == ("a", "u")] == [
        (index, repeat)
        for index in range(0, 5, settings.get("every", 1))
        for repeat in range(settings.get("repeat", 1))
    ]


def test_a_dropped_update_has_used_its_batch(tmp_path: Path) -> None:
    class Overflowing(Watched):
        def u(self, batch: Batch, step: Step) -> dict[str, Tensor]:
            return {"w": super().u(batch, step)["w"] * (torch.inf if step.index == 1 else 1)}

    overflowing = watch(tmp_path / "1", Overflowing)
    assert overflowing.state.scalars["dropped"] == 2  # one in each stage
    assert same(watch(tmp_path / "0"), overflowing, "id")


def test_an_update_may_have_data_of_its_own(tmp_path: Path) -> None:
    class Others(Watched):
        settings = {"data": TensorSource({"id": torch.arange(100, 107)})}  # noqa: RUF012

    trainer = watch(tmp_path, Others, steps=7)
    assert Counter(chain.from_iterable(trainer.used("a", "u"))) == dict.fromkeys(range(100, 107), 4)
    assert set(chain.from_iterable(trainer.used("a", "v"))) == set(range(24))


class Noise:
    """Items that are made again for each batch, as crops are."""

    def __len__(self) -> int:
        return 6

    def batch(self, rows: Rows) -> Batch:
        assert rows.rng(0).random() == rows.rng(0).random()
        noise = [rows.rng(i).random() for i in range(len(rows))]
        return {"noise": torch.tensor(noise), "id": torch.from_numpy(rows.indices)}


class Noisy(Watched):
    def open_data(self) -> Source:
        return Noise()


def test_rows_have_random_numbers_of_their_own(tmp_path: Path) -> None:
    noise = torch.cat([t for seed in (0, 1) for t in watch(tmp_path / str(seed), Noisy, seed=seed).all("noise")])
    assert len(noise.unique()) == len(noise) == 2 * 2 * 5 * 4


@pytest.mark.parametrize("change", [{"workers": 2}, {"accumulate": 3}, {"attempt": 1}], ids=str)
def test_batches_depend_neither_on_workers_nor_on_micro_batches_nor_on_rollbacks(tmp_path: Path, change: dict) -> None:
    assert same(watch(tmp_path / "0", Noisy), watch(tmp_path / "1", Noisy, **change), "noise", "id")


def test_workers_end_with_their_stage_and_with_the_run(tmp_path: Path) -> None:
    """At once, not when the garbage collector comes by."""

    def workers() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread not in before]

    class Busy(Noisy):
        def note(self, update: str, batch: Batch, step: Step) -> dict[str, Tensor]:
            if step.stage == "a":
                of_the_first[:] = workers()
            elif step.index == 0:
                for thread in of_the_first:
                    thread.join(timeout=5)
                assert not any(thread.is_alive() for thread in of_the_first)
            return super().note(update, batch, step)

    before, of_the_first = threading.enumerate(), list[threading.Thread]()
    gc.disable()
    try:
        trainer = watch(tmp_path, Busy, workers=2)
        for thread in workers():
            thread.join(timeout=5)
        assert workers() == []
    finally:
        gc.enable()
    assert trainer.step == 5
    assert 1 < len(of_the_first) <= 4  # at most two for each update


def test_errors_in_a_worker_are_raised(tmp_path: Path) -> None:
    class Broken(Noise):
        def batch(self, rows: Rows) -> Batch:
            raise DataError("photo.jpg cannot be read")

    class Unlucky(Watched):
        def open_data(self) -> Source:
            return Broken()

    with pytest.raises(DataError, match=r"photo\.jpg"):
        watch(tmp_path, Unlucky, workers=2)


def test_a_batch_is_moved_to_the_precision_of_the_run(tmp_path: Path) -> None:
    class Pictures(Watched):
        def open_data(self) -> Source:
            return TensorSource({"x": points(24).view(24, 2, 1, 1).expand(24, 2, 3, 3), "id": torch.arange(24)})

    seen = next(iter(watch(tmp_path, Pictures, precision="fp64").seen.values()))[0]
    assert seen["x"].dtype == torch.float64
    assert seen["x"].is_contiguous(memory_format=torch.channels_last)
    assert seen["id"].dtype == torch.int64


def test_tensors_of_a_source_have_one_length() -> None:
    with pytest.raises(ValueError, match=r"'x': 3, 'y': 4"):
        TensorSource({"x": torch.zeros(3), "y": torch.zeros(4)})


def test_each_kind_of_device_is_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apple's GPU through a stand-in: it has a generator of its own, which the CPU's does not
    seed."""
    seeds: list[int] = []
    monkeypatch.setattr(torch.mps, "manual_seed", seeds.append)
    for device in ("cpu", "mps"):
        seed_everything(7, torch.device(device))
        assert torch.default_generator.initial_seed() == 7
    assert seeds == [7]
