"""Words that a recogniser reads, and how many are lost."""

import pytest
import torch

from multigen.audio import recognition
from multigen.audio.recognition import edits, word_error
from multigen.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("words", "reference", "count"),
    [
        ("", "", 0),
        ("a b c", "a b c", 0),
        ("a c", "a b c", 1),
        ("a x c", "a b c", 1),
        ("a b c d", "a b c", 1),
        ("b a", "a b", 2),
    ],
)
def test_edits_are_counted(words: str, reference: str, count: int) -> None:
    assert edits(words.split(), reference.split()) == count == edits(reference.split(), words.split())


def test_the_error_is_a_share_of_the_words_of_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognition, "require", lambda *_: None)
    monkeypatch.setattr(recognition, "words_of", lambda sound: ("one", "two", "three", "four")[: int(sound[0] * 10)])
    two, four, none = (torch.full((5_000,), level) for level in (0.21, 0.41, 0.01))
    assert float(word_error(two, four, 16_000)) == 0.5 and float(word_error(four, two, 16_000)) == 1.0
    with pytest.raises(DataError, match="no word is read in the target"):
        word_error(two, none, 16_000)
    with pytest.raises(ConfigError, match="the recogniser at 8000 Hz: it is defined at 16000"):
        word_error(two, four, 8_000)


@pytest.mark.slow
def test_noise_has_no_words_and_a_recording_has_its_own() -> None:
    pytest.importorskip("pocketsphinx", reason="needs the extra speech: pip install 'multigen[speech]'")
    noise = 0.1 * torch.randn(16_000, generator=torch.Generator().manual_seed(0))
    assert len(recognition.words_of(noise)) < 4
