"""What the tests of the engine share."""

import os

import pytest


@pytest.fixture(autouse=True)
def unflushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for the disk would take most of the time of runs that last a few milliseconds."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
