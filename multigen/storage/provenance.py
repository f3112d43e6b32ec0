"""Where a generated file comes from, written into the file itself: software, model, method, seed, class. One shape in all kinds.

    about = {"software": "multigen 0.1.0", "model": "dcgan", "method": "dcgan", "seed": 0, "class": "3", "index": 7}
    image.save(path, **png(about))            # as the text chunk Comment
    write_sound(path, sound, rate, comment=text(about))
    read(path)                                  # the same again

It holds no time and no folder's name: the same model and seed give the same bytes, and nobody learns where a model lay.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from multigen.errors import DataError
from multigen.storage.files import aside
from multigen.storage.reading import check_netpbm

__all__ = ["FORMATS", "NOTHING", "Provenance", "gif", "origin", "png", "read", "text", "together"]

Provenance = Mapping[str, Any]
NOTHING: Provenance = MappingProxyType({})
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "DIB", "PPM", "WEBP", "TIFF", "JPEG2000")
"""Pillow's decoders of images that are read. Of its others one, for PostScript, starts a program that runs the file."""
CHUNK = "Comment"
"""Keyword of the text chunk in PNG: one of those that the format names."""


def origin(name: str, folder: Path, method: str) -> dict[str, Any]:
    """What all files of a model say.

    Args:
        name: the model as it was asked for; of a hub's model it is kept, of a folder only the run's name.
        folder: the model folder that was found.
        method: of the model.
    """
    from multigen.version import __version__

    if not name.startswith("hf:"):
        place = folder.absolute()
        name = place.parent.name if place.name in ("model", aside(Path("model")).name) else place.name
    return {"software": f"multigen {__version__}", "model": name, "method": method}


def together(origins: Sequence[Provenance], **more: Any) -> dict[str, Any]:
    """What a file that shows several models says: of each its name and method; {} for none."""
    lists = {name: [each[name] for each in origins] for name in ("model", "method")}
    return {"software": origins[0]["software"], **lists, **more} if origins else {}


def text(about: Provenance) -> str:
    """One line of JSON in ASCII, which every format can hold; "" for nothing. What is None is left out."""
    known = {name: value for name, value in about.items() if value is not None}
    return json.dumps(known) if known else ""


def png(about: Provenance) -> dict[str, Any]:
    """What Pillow's `save` needs to write it into a PNG; {} for nothing."""
    from PIL.PngImagePlugin import PngInfo

    if not about:
        return {}
    info = PngInfo()
    info.add_text(CHUNK, text(about))
    return {"pnginfo": info}


def gif(about: Provenance) -> dict[str, Any]:
    """What Pillow's `save` needs to write it into a GIF; {} for nothing."""
    return {"comment": text(about).encode()} if about else {}


def read(path: str | Path) -> dict[str, Any]:
    """What an image (PNG, GIF) or a sound says of itself; {} where it says nothing, or nothing of this shape.

    Raises DataError for a file that is neither, or cannot be read.
    """
    path = Path(path)
    try:
        check_netpbm(path)
        said = _comment_of_sound(path) if path.suffix.lower() in SOUNDS else _comment_of_picture(path)
    except Exception as error:  # decoders of damaged files raise OSError, SyntaxError, ValueError, struct.error, ...
        raise DataError(f"{path}: cannot be read as an image or a sound ({error}); give another file") from error
    try:
        about = json.loads(said)
    except (ValueError, RecursionError):
        return {}
    return about if isinstance(about, dict) and "software" in about else {}


SOUNDS = (".flac", ".mp3", ".ogg", ".wav")


def _comment_of_sound(path: Path) -> str:
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            return file.comment
    except soundfile.SoundFileError as error:
        raise OSError(str(error)) from error


def _comment_of_picture(path: Path) -> str:
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of damaged metadata beside it
        picture = Image.open(path, formats=FORMATS)
    with picture:
        said = picture.info.get(CHUNK) or picture.info.get("comment") or ""
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)
