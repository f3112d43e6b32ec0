"""What the tests of sounds share."""

from pathlib import Path

import pytest

from multigen.audio.drums import drum
from multigen.audio.files import write_sound


@pytest.fixture(scope="session")
def drum_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 recordings of half a second at 8 kHz, in a folder for each of two classes; nobody may
    change it."""
    folder = tmp_path_factory.mktemp("drums")
    for kind in ("kick", "snare"):
        (folder / kind).mkdir()
        for i, sound in enumerate(drum(kind, 32)):
            write_sound(folder / kind / f"{i:02d}.wav", sound, 8000)
    return folder


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache: no classifier and no features of other tests."""
    monkeypatch.setenv("MULTIGEN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def quick_classifier(own_cache: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A classifier of a few steps: good enough to see that figures are made."""
    from multigen.tasks.synthesis import extractors

    train = extractors.train_classifier
    monkeypatch.setattr(extractors, "train_classifier", lambda *a, **k: train(*a, **{**k, "steps": 4, "batch": 8}))
