"""How ranks share what is measured."""

import pytest
import torch
from torch import Tensor

from multigen.engine import distributed
from multigen.engine.distributed import shared_rows


@pytest.mark.parametrize("n", [2, 3, 10])
def test_each_rank_makes_a_part_and_all_get_the_whole(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three ranks, one after another: what each gives to the sum is added here. Fewer rows than
    ranks are made by all."""
    rows = torch.arange(3 * n).view(n, 3), torch.arange(n).double() + 0.5
    given: list[list[Tensor]] = []
    requested: list[slice] = []

    def make(part: slice) -> list[Tensor]:
        requested.append(part)
        return [t[part] for t in rows]

    def all_sum(x: Tensor) -> Tensor:
        given[-1].append(x)
        return x

    monkeypatch.setattr(distributed, "world", lambda: 3)
    monkeypatch.setattr(distributed, "all_sum", all_sum)
    for number in range(3):
        monkeypatch.setattr(distributed, "rank", lambda number=number: number)
        given.append([])
        result = shared_rows(n, make)
        assert [t.dtype for t in result] == [torch.int64, torch.float64]
        if n < 3:
            assert given == [[]] * (number + 1)
            assert all(torch.equal(t, whole) for t, whole in zip(result, rows, strict=True))
    if n >= 3:
        assert sorted(i for part in requested for i in range(part.start, part.stop)) == list(range(n))
        assert max(part.stop - part.start for part in requested) == -(-n // 3)
        assert all(
            torch.equal(torch.stack(parts).sum(0), whole)
            for parts, whole in zip(zip(*given, strict=True), rows, strict=True)
        )


def test_one_process_makes_all() -> None:
    assert shared_rows(4, lambda part: [torch.arange(9)[part]])[0].tolist() == [0, 1, 2, 3]
