"""Provenance metadata in generated files: software, model, method, seed, class; the same form in
all formats.

    about = {"software": "multigen 0.1.0", "model": "dcgan", "seed": 0, "class": "3"}
    image.save(path, **png(about))            # as the text chunk Comment
    write_sound(path, sound, rate, comment=text(about))
    read(path)                                  # returns `about`

It contains no time and no path: the same model and seed give the same bytes, and no folder name is
disclosed.
"""

import html
import json
import re
import struct
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from multigen.errors import DataError
from multigen.storage.files import backup_path
from multigen.storage.reading import check_netpbm

__all__ = [
    "ENLARGED",
    "FORMATS",
    "NO_PROVENANCE",
    "SAMPLE",
    "Provenance",
    "gif",
    "mark_gif",
    "mark_mp4",
    "merge",
    "origin",
    "png",
    "read",
    "source_type",
    "text",
    "xmp",
    "xmp_text",
]

Provenance = Mapping[str, Any]
NO_PROVENANCE: Provenance = MappingProxyType({})
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "DIB", "PPM", "WEBP", "TIFF", "JPEG2000", "PSD", "AVIF")
"""Pillow's decoders that are used. Another, for PostScript, starts a program that runs the file."""
CHUNK = "Comment"
"""Keyword of the text chunk in PNG, one of the standard's."""
XMP_CHUNK = "XML:com.adobe.xmp"
XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
"""Type of the box of MP4 and MOV that holds XMP."""
SAMPLE, ENLARGED = "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"
"""IPTC's codes of what a model makes from noise, and of what it makes from a photograph."""
SOURCE_TYPES, MARK = "http://cv.iptc.org/newscodes/digitalsourcetype/", "DigitalSourceType"
IPTC_EXT, OWN = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/", "urn:multigen:about"
EMPTY_XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


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


def png(about: Provenance, source: str = "") -> dict[str, Any]:
    """Arguments of Pillow's `save` that write the metadata into a PNG; {} for none. `source`: as
    for `xmp`."""
    from PIL.PngImagePlugin import PngInfo

    if not about:
        return {}
    info = PngInfo()
    info.add_text(CHUNK, text(about))
    if source:
        info.add_itxt(XMP_CHUNK, xmp(source).decode())
    return {"pnginfo": info}


def xmp(source: str, about: Provenance = NO_PROVENANCE, given: bytes = b"") -> bytes:
    """An XMP packet that states how an image was made: a new one, or `given`, a file's, with its
    statement replaced.

    Args:
        source: a code of IPTC's digital source types, such as `SAMPLE` or `ENLARGED`; "": no mark.
        about: also written, for formats without a comment.

    Raises ValueError where `given` is damaged.
    """
    marks = ""
    if source:
        name = "Iptc4xmpExt"
        uri = f"{SOURCE_TYPES}{source}"
        marks += f'<rdf:Description rdf:about="" xmlns:{name}="{IPTC_EXT}" {name}:{MARK}="{uri}"/>'
    if message := text(about):
        marks += f'<rdf:Description rdf:about="" xmlns:multigen="{OWN}" multigen:about={quoteattr(message)}/>'
    packet = xmp_text(given) if given else EMPTY_XMP
    if source:
        packet = re.sub(rf"\s[\w.-]+:{MARK}\s*=\s*(\"[^\"]*\"|'[^']*')", "", packet)
        packet = re.sub(rf"<([\w.-]+):{MARK}\b[^>]*(?:/>|>.*?</\1:{MARK}\s*>)", "", packet, flags=re.DOTALL)
    packet = re.sub(r'<rdf:Description rdf:about="" xmlns:multigen=[^>]*/>', "", packet)
    head, end, tail = packet.rpartition("</rdf:RDF>")
    if not end:
        raise ValueError("no rdf:RDF in it")
    made = (head + marks + end + tail).encode()
    xmp_text(made)
    return made


def xmp_text(packet: bytes) -> str:
    """A packet as text. Raises ValueError for invalid XML, or one that defines entities, which may
    expand without end."""
    try:
        content = packet.strip(b"\0").decode()
        if "<!" in re.sub(r"<!--.*?-->", "", content, flags=re.DOTALL):
            raise ValueError("it defines entities")
        ElementTree.fromstring(content.strip("\ufeff \r\n\t"))
    except ElementTree.ParseError as error:
        raise ValueError(str(error)) from error
    return content


def mark_gif(path: Path, packet: bytes) -> None:
    """Appends an XMP packet to a finished GIF, which Pillow cannot do: as the last block, with
    XMP's trailer."""
    if packet:
        with path.open("r+b") as file:
            file.seek(-1, 2)
            file.write(b"\x21\xff\x0bXMP DataXMP" + packet + b"\x01" + bytes(range(255, -1, -1)) + b"\0\0;")


def mark_mp4(path: Path, packet: bytes) -> None:
    """Appends an XMP packet to a finished MP4 or MOV, which ffmpeg does not do: as the last box."""
    if packet:
        with path.open("ab") as file:
            file.write(struct.pack(">I4s", 8 + len(XMP_BOX) + len(packet), b"uuid") + XMP_BOX + packet)


def source_type(packet: bytes) -> str:
    """The code of the digital source type in an XMP packet, such as "trainedAlgorithmicMedia"; ""
    for none."""
    result = re.search(
        rb"DigitalSourceType[^<>]{0,200}?[\"'>]\s*https?://cv\.iptc\.org/newscodes/digitalsourcetype/(\w+)", packet
    )
    return result[1].decode() if result else ""


def gif(about: Provenance) -> dict[str, Any]:
    """Arguments of Pillow's `save` that write the metadata into a GIF; {} for none."""
    return {"comment": text(about).encode()} if about else {}


def read(path: str | Path) -> dict[str, Any]:
    """The metadata of an image (PNG, GIF, JPEG, WebP, TIFF) or a sound; {} where it has none, or
    none of this form.

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


PICTURES = (".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Suffixes of the images that are written."""
SOUNDS = (".flac", ".mp3", ".ogg", ".wav")


def _comment_of_sound(path: Path) -> str:
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            return file.comment
    except soundfile.SoundFileError as error:
        raise OSError(str(error)) from error


def _about_in(packet: Any) -> str:
    """The metadata that `xmp` wrote into a packet."""
    result = re.search(rb"multigen:about=(?:\"([^\"]*)\"|'([^']*)')", packet) if isinstance(packet, bytes) else None
    return html.unescape((result[1] or result[2] or b"").decode(errors="replace")) if result else ""


def _comment_of_image(path: Path) -> str:
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about other, damaged metadata
        image = Image.open(path, formats=FORMATS)
    with image:
        comment = image.info.get(CHUNK) or image.info.get("comment") or _about_in(image.info.get("xmp")) or ""
    return comment.decode(errors="replace") if isinstance(comment, bytes) else str(comment)
