"""What all tests share."""

import os
from pathlib import Path

import pytest

# Before torch is imported, and inherited by the commands that tests start: more threads than this gain the small
# networks of the tests nothing, and cost machines with many cores a lot.
os.environ.setdefault("OMP_NUM_THREADS", str(min(2, os.cpu_count() or 1)))


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder that MULTIGEN_DATA names, laid out as docs/data.md says; the test is skipped where it is unset."""
    value = os.environ.get("MULTIGEN_DATA")
    if not value:
        pytest.skip("MULTIGEN_DATA is not set: it names the folder of larger data sets (docs/data.md)")
    root = Path(value)
    if not root.is_dir():
        pytest.fail(f"MULTIGEN_DATA={value}: expected a folder; set it to one, or unset it to skip this test")
    return root
