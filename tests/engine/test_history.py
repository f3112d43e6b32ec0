"""A history of generated items: what it returns, what it keeps, and that micro-batches do not
matter."""

from typing import Any

import pytest
import torch
from torch import Tensor

from multigen.engine import Step
from multigen.engine.history import exchange

BATCH = 4


def step_at(index: int, rows: slice = slice(0, BATCH)) -> Step:
    return Step((0, 0, "only", "d", index, 0), 0.0, rows, BATCH, "cpu", torch.float32, None)


def numbered(index: int, rows: slice = slice(0, BATCH)) -> Tensor:
    """Items (rows, 1, 2) that say which they are: 4, 5, 6, 7 in the second firing."""
    return (torch.arange(BATCH) + BATCH * index)[rows, None, None].float().expand(-1, 1, 2) + 1


def fired(size: int, firings: int) -> tuple[list[list[int]], dict[str, Any]]:
    """What each firing returned, as numbers of items, and the state after them."""
    scalars: dict[str, Any] = {}
    result = []
    for index in range(firings):
        scalars["fired/d"] = index
        returned = exchange(scalars, "x", numbered(index), step_at(index), size)
        assert (returned[..., 0] == returned[..., 1]).all()
        result.append([int(x) - 1 for x in returned[:, 0, 0]])
    return result, scalars


def test_the_first_items_fill_the_history_and_are_returned() -> None:
    returned, scalars = fired(8, 2)
    assert returned == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert (scalars["history/x"][:, 0, 0] - 1).tolist() == [0, 1, 2, 3, 4, 5, 6, 7]


def test_then_half_are_earlier_items_whose_places_the_fresh_ones_take() -> None:
    returned, scalars = fired(10, 200)
    held = set(range(10))
    fresh = 0
    for index, batch in enumerate(returned):
        if index < 3:  # the third fills two places; its other rows are returned as they are
            assert batch == [*range(4 * index, 4 * index + 4)]
            continue
        for row, number in enumerate(batch):
            if number == 4 * index + row:
                fresh += 1
            else:
                assert number in held
                held = held - {number} | {4 * index + row}
    assert {int(x) - 1 for x in scalars["history/x"][:, 0, 0]} == held
    assert 0.4 < fresh / (4 * 197) < 0.6


def test_a_history_smaller_than_a_batch_returns_the_other_rows() -> None:
    returned, _ = fired(2, 50)
    assert all(batch[2:] == [4 * i + 2, 4 * i + 3] for i, batch in enumerate(returned))
    assert any(batch[:2] != [4 * i, 4 * i + 1] for i, batch in enumerate(returned))


def test_without_a_history_the_fresh_items_are_returned() -> None:
    scalars: dict[str, Any] = {}
    fresh = numbered(0)
    assert exchange(scalars, "x", fresh, step_at(0), 0) is fresh and not scalars


def test_micro_batches_change_nothing() -> None:
    whole, scalars = fired(10, 20)
    parts: dict[str, Any] = {}
    for index in range(20):
        parts["fired/d"] = index
        rows = slice(0, 1), slice(1, 4)
        halves = [exchange(parts, "x", numbered(index, own), step_at(index, own), 10) for own in rows]
        assert [int(x) - 1 for x in torch.cat(halves)[:, 0, 0]] == whole[index]
    assert torch.equal(parts["history/x"], scalars["history/x"])


def test_items_that_are_not_finite_are_not_kept() -> None:
    scalars: dict[str, Any] = {"fired/d": 0}
    for index in range(30):
        fresh = numbered(index)
        fresh[1, 0, 1] = torch.nan if index % 2 else torch.inf
        scalars["fired/d"] = index
        returned = exchange(scalars, "x", fresh, step_at(index), 8)
        assert returned.isfinite().flatten(1).all(1).tolist()[2:] == [True, True]
    assert scalars["history/x"].isfinite().all()


def test_a_place_without_a_finite_item_is_filled_later_and_never_shown() -> None:
    """Items 1 to 8 should fill the history; of them 2 and 3 are not finite."""
    scalars: dict[str, Any] = {}
    for index in range(60):
        fresh = numbered(index)
        if index == 0:
            fresh[1, 0, 1], fresh[2] = torch.nan, torch.inf
        scalars["fired/d"] = index
        returned = exchange(scalars, "x", fresh, step_at(index), 8)
        if index == 0:
            assert (
                scalars["history/x"].isfinite().flatten(1).all(1).tolist() == [True, False, False, True] + [False] * 4
            )
        else:
            assert returned.isfinite().all() and (returned > 0).all()
    history = scalars["history/x"]
    assert history.isfinite().all() and (history > 0).all() and len(history[:, 0, 0].unique()) == 8


def test_no_gradient_passes_and_the_type_of_the_items_stays() -> None:
    fresh = numbered(0).bfloat16().requires_grad_()
    scalars: dict[str, Any] = {}
    returned = exchange(scalars, "x", fresh, step_at(0), 8)
    assert returned.dtype == torch.bfloat16 and not returned.requires_grad
    assert scalars["history/x"].dtype == torch.float32


@pytest.mark.parametrize("name", ["a", "b"])
def test_histories_of_two_names_are_apart(name: str) -> None:
    scalars: dict[str, Any] = {}
    for each, sign in (("a", 1), ("b", -1)):
        exchange(scalars, each, sign * numbered(0), step_at(0), 4)
    assert (scalars[f"history/{name}"] * (1 if name == "a" else -1)).min() > 0
