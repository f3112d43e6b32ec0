"""What the tests of audio restoration share."""

from pathlib import Path

import pytest

from multigen.audio.files import write_sound
from multigen.audio.voice import SPEAKERS, utterance


@pytest.fixture(scope="session")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 sentences of a second of two speakers at 8 kHz, in a folder for each, named by their
    numbers; nobody may change it."""
    folder = tmp_path_factory.mktemp("voices")
    for speaker in ("F1", "M1"):
        (folder / speaker).mkdir()
        for number in range(4):
            sound = utterance(SPEAKERS[speaker], number, 8_000).sound[1_000:9_000]
            write_sound(folder / speaker / f"{number}.wav", sound, 8_000)
    return folder
