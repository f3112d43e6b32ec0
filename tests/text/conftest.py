"""What the tests of texts share."""

from pathlib import Path

import pytest
from torch import Tensor

from tests.text.test_datasets import oracle_file


@pytest.fixture
def data(tmp_path: Path) -> str:
    """An oracle of 30 tokens."""
    return str(oracle_file(tmp_path))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor, Tensor]]:
    """(log p, advantages, mask) of each policy gradient."""
    from multigen.text.synthesis import base

    calls: list[tuple[Tensor, Tensor, Tensor]] = []
    true = base.policy_gradient

    def policy_gradient(log_p: Tensor, advantages: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        calls.append((log_p, advantages, mask))
        return true(log_p, advantages, mask)

    monkeypatch.setattr(base, "policy_gradient", policy_gradient)
    return calls
