"""Options of `multigen translate` for recordings of speech."""

from dataclasses import dataclass, fields
from typing import Annotated, Any

import tyro

from multigen.errors import ConfigError

__all__ = ["NO_VOICES", "Mix", "Vocoder", "VoiceWords", "check_no_voices", "spoken_by"]

Vocoder = Annotated[
    str,
    tyro.conf.arg(
        metavar="RUN",
        help="Of voices: a run of vocoder, of the same mels as the model, that makes the sound; without it an algorithm does "
        "(Griffin and Lim's), which sounds metallic.",
    ),
]
Mix = Annotated[
    bool,
    tyro.conf.arg(help="Of voices: average the channels of stereo recordings, which are refused otherwise."),
]


@dataclass(frozen=True)
class VoiceWords:
    """The options as they were given."""

    to: str = ""
    vocoder: str = ""
    mix: bool = False


NO_VOICES = VoiceWords()


def check_no_voices(words: VoiceWords) -> None:
    """Raises ConfigError for an option of voices, where there are none."""
    for field in fields(words):
        if getattr(words, field.name) != field.default:
            raise ConfigError(f"--{field.name}: for voices, and the model converts none; leave it out")


def spoken_by(model: Any, words: VoiceWords, direction: str | None, device: str) -> Any:
    """A loaded model of voices with the options. Raises ConfigError for a speaker that it was not
    trained on, or a vocoder of other mels."""
    if words.to and direction:
        raise ConfigError(f"--to {words.to}, --direction {direction}: each names the target; give one of them")
    model = model.to(words.to) if words.to else model
    model = model.by(words.vocoder, device) if words.vocoder else model
    model.mix = words.mix
    if model.origin:
        model.origin = {**model.origin, "speaker": model.speakers[model.pair[1]]}
    return model
