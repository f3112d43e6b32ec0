"""What the tests of the engine share."""

from pathlib import Path

import pytest

from multigen.engine import Run
from tests.engine.toys import Small, cut, options


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with checkpoints at steps 0, 2 and 4; its last step, the sixth, is still to do."""
    run = options(tmp_path / "run", save_every=2, keep=100)
    cut(run, 5, Small)
    return run
