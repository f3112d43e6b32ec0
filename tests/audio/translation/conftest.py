"""Recordings and models that tests of voice conversion read."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tiny
from tests.audio.translation.toys import recordings, untrained


@pytest.fixture(scope="session")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two speakers, five sentences each."""
    folder = recordings(tmp_path_factory.mktemp("voices") / "voices")
    with tiny.only_read(folder):
        yield folder


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose untrained model adds a little to what it reads."""
    return untrained(tmp_path_factory.mktemp("model") / "run", strength=0.05)
