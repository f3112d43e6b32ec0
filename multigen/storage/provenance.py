"""Provenance metadata in generated files: software, model, method, seed, class; the same form in
all formats.

    about = {"software": "multigen 0.1.0", "model": "dcgan", "method": "dcgan", "seed": 0, "class": "3", "index": 7}
    image.save(path, **png(about))            # as the text chunk Comment
    write_sound(path, sound, rate, comment=text(about))
    read(path)                                  # returns `about`

It contains no time and no path: the same model and seed give the same bytes, and no folder name is
disclosed.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from multigen.errors import DataError
from multigen.storage.files import backup_path
from multigen.storage.reading import check_netpbm

__all__ = ["FORMATS", "NO_PROVENANCE", "Provenance", "gif", "merge", "origin", "png", "read", "text"]

Provenance = Mapping[str, Any]
NO_PROVENANCE: Provenance = MappingProxyType({})
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "DIB", "PPM", "WEBP", "TIFF", "JPEG2000")
"""Pillow's decoders that are used. Another, for PostScript, starts a program that runs the file."""
CHUNK = "Comment"
"""Keyword of the text chunk in PNG, one of the standard's."""


def origin(name: str, folder: Path, method: str) -> dict[str, Any]:
    """Metadata common to all files made by a model.

    Args:
        name: the model as the user named it; unchanged for a model on the hub, reduced to the run's
            name for a folder.
        folder: the model folder.
        method: the model's method.
    """
    from multigen.version import __version__

    if not name.startswith("hf:"):
        place = folder.absolute()
        name = place.parent.name if place.name in ("model", backup_path(Path("model")).name) else place.name
    return {"software": f"multigen {__version__}", "model": name, "method": method}


def merge(origins: Sequence[Provenance], **more: Any) -> dict[str, Any]:
    """Metadata of a file made by several models: the name and method of each; {} for none."""
    lists = {name: [each[name] for each in origins] for name in ("model", "method")}
    return {"software": origins[0]["software"], **lists, **more} if origins else {}


def text(about: Provenance) -> str:
    """One line of ASCII JSON, which every format can hold; "" for no metadata. Values of None are
    omitted."""
    present = {name: value for name, value in about.items() if value is not None}
    return json.dumps(present) if present else ""


def png(about: Provenance) -> dict[str, Any]:
    """Arguments of Pillow's `save` that write the metadata into a PNG; {} for none."""
    from PIL.PngImagePlugin import PngInfo

    if not about:
        return {}
    info = PngInfo()
    info.add_text(CHUNK, text(about))
    return {"pnginfo": info}


def gif(about: Provenance) -> dict[str, Any]:
    """Arguments of Pillow's `save` that write the metadata into a GIF; {} for none."""
    return {"comment": text(about).encode()} if about else {}


def read(path: str | Path) -> dict[str, Any]:
    """The metadata of an image (PNG, GIF) or a sound; {} where it has none, or none of this form.

    Raises DataError for any other file, or one that cannot be read.
    """
    path = Path(path)
    try:
        check_netpbm(path)
        comment = _comment_of_sound(path) if path.suffix.lower() in SOUNDS else _comment_of_image(path)
    except Exception as error:  # decoders of damaged files raise OSError, SyntaxError, ValueError, struct.error, ...
        raise DataError(f"{path}: cannot be read as an image or a sound ({error}); give another file") from error
    try:
        about = json.loads(comment)
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


def _comment_of_image(path: Path) -> str:
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about other, damaged metadata
        image = Image.open(path, formats=FORMATS)
    with image:
        comment = image.info.get(CHUNK) or image.info.get("comment") or ""
    return comment.decode(errors="replace") if isinstance(comment, bytes) else str(comment)
