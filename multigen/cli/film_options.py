"""Options of `multigen restore`, `translate` and `upscale` for films."""

from dataclasses import dataclass, fields
from typing import Annotated

import tyro

from multigen.errors import ConfigError

__all__ = ["Codec", "Crf", "FilmWords", "Fps", "From", "Hdr", "Preview", "SpeakerOrTime", "To", "check_unused"]

Codec = Annotated[
    str,
    tyro.conf.arg(
        metavar="NAME",
        help="Of films: h264 (default), hevc, av1, vp9 (default in .webm), or ffv1, without loss.",
    ),
]
Crf = Annotated[
    int | None,
    tyro.conf.arg(metavar="INT", help="Of films: quality, 0 is best; default: 17 for h264, 16 hevc, 23 av1, 22 vp9."),
]
From = Annotated[str, tyro.conf.arg(name="from", metavar="TIME", help="Of films: start there, such as 1:20.")]
To = Annotated[str, tyro.conf.arg(metavar="TIME", help="Of films: stop there, such as 1:40.")]
SpeakerOrTime = Annotated[
    str,
    tyro.conf.arg(
        metavar="SPEAKER|TIME",
        help="Of voices: the one that speaks in the result, by name. Of films: stop there, such as 1:40.",
    ),
]
"""In the place of `To` where voices are converted too."""
Preview = Annotated[
    str, tyro.conf.arg(metavar="TIME", help="Of films: only so long, such as 5s, from the start or --from.")
]
Fps = Annotated[
    str,
    tyro.conf.arg(metavar="RATE", help="Take a folder of numbered frames as a film of so many a second, such as 25."),
]
Hdr = Annotated[bool, tyro.conf.arg(help="Take films of high dynamic range (PQ, HLG) too, their values as they are.")]


@dataclass(frozen=True, kw_only=True)
class FilmWords:
    """The options as they were given."""

    codec: str = ""
    crf: int | None = None
    start: str = ""
    to: str = ""
    preview: str = ""
    fps: str = ""
    hdr: bool = False


def check_unused(words: FilmWords) -> None:
    """Raises ConfigError for an option of films, where there are none."""
    for field in fields(words):
        if getattr(words, field.name) != field.default:
            name = {"start": "from"}.get(field.name, field.name)
            raise ConfigError(f"--{name} is for films, and there is none; leave it out, or give films")
