"""What the tests of texts share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import Tensor

from tests import tiny
from tests.text.test_datasets import oracle_file


@pytest.fixture(scope="session")
def seqgan_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A finished run of text synthesis, `good.txt` beside it; only to be read (`tiny.copy_of` is
    for the others)."""
    from tests.text.test_bad_input import recipe, texts, train_on

    place = tmp_path_factory.mktemp("seqgan")
    with pytest.MonkeyPatch.context() as patch:
        tiny.without_charts(patch)
        assert recipe(train_on(texts(place / "good.txt"), place / "run")) == 0
    with tiny.only_read(place):
        yield place / "run"


@pytest.fixture(autouse=True)
def without_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of quality and diversity; test_quality_diversity.py draws them."""
    from multigen.text.synthesis import evaluation

    monkeypatch.setattr(evaluation, "draw_curves", lambda path, *_: path.touch())


@pytest.fixture
def data(tmp_path: Path) -> str:
    """An oracle of 30 tokens."""
    return str(oracle_file(tmp_path))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor, Tensor]]:
    """(log p, advantages, mask) of each policy gradient."""
    from multigen.text.synthesis import policy

    calls: list[tuple[Tensor, Tensor, Tensor]] = []
    true = policy.policy_gradient

    def policy_gradient(log_p: Tensor, advantages: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        calls.append((log_p, advantages, mask))
        return true(log_p, advantages, mask)

    monkeypatch.setattr(policy, "policy_gradient", policy_gradient)
    return calls
