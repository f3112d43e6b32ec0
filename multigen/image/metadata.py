"""Metadata of image files: EXIF, XMP, IPTC, resolution, texts. Read from one file, written into
another."""

import mmap
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multigen.console import say_once
from multigen.storage import provenance
from multigen.storage.provenance import ENLARGED, SAMPLE, Provenance
from multigen.storage.reading import open_regular

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile as File

__all__ = ["Metadata", "read_metadata"]

PIXELS = {
    *range(254, 270), *range(273, 282), *range(284, 296), *range(297, 305), *range(317, 348), *range(512, 533), 700, 33723, 34377,
    34675, 52545,
}  # fmt: skip
"""Tags of TIFF that say how its pixels lie in the file, or hold what is kept elsewhere: resolution,
XMP, IPTC, profile."""
ORIENTATION, EXIF, SIDES = 274, 34665, (40962, 40963)
SIGNED = b"jumdc2pa"
"""In every file that has a C2PA manifest: the type and label of its box."""
LONG = 1 << 20  # bytes of one text of a PNG, at most
IPTC_RECORD = 0x0404  # in Photoshop's resources


@dataclass(frozen=True)
class Metadata:
    """Metadata of one file; empty fields are absent."""

    exif: bytes = b""
    xmp: bytes = b""
    iptc: bytes = b""
    dpi: tuple[float, float] | None = None
    texts: dict[str, str] = field(default_factory=dict)
    """Of a PNG: keyword -> text; of other formats the comment."""

    def without_private(self) -> "Metadata":
        """The part kept with `--no-metadata`: the mark of a generated image."""
        source = provenance.source_type(self.xmp)
        return Metadata(xmp=provenance.xmp(source) if source in (SAMPLE, ENLARGED) else b"")

    def enlarged(self, about: Provenance, path: str | Path) -> "Metadata":
        """Metadata of the result: marked as made by a model from this image, if `about` names
        one."""
        try:
            packet = _upright(provenance.xmp_text(self.xmp)).encode() if self.xmp else b""
            xmp = _marked(packet, about) if about else packet
        except ValueError as error:
            _say_damaged(path, "XMP", error)
            xmp = _marked(b"", about) if about else b""
        return Metadata(self.exif, xmp, self.iptc, self.dpi, self.texts)

    def options(self, suffix: str, about: Provenance, size: tuple[int, int]) -> dict[str, Any]:
        """Arguments of Pillow's `save` that write it into a file of this suffix and size."""
        options: dict[str, Any] = {}
        if self.exif:
            options["exif"] = _with_sides(self.exif, size)
        if self.dpi:
            options["dpi"] = self.dpi
        if suffix == ".png":
            options["pnginfo"] = self._png(about)
        elif suffix in (".jpg", ".jpeg"):
            options |= {"xmp": self.xmp, "extra": _app13(self.iptc)} | _comment(provenance.text(about) or self._comment)
        elif suffix == ".gif":
            options |= _comment(provenance.text(about) or self._comment)
        elif suffix == ".webp":
            options["xmp"] = self.xmp
        elif suffix in (".tif", ".tiff"):
            options["exif"] = self._tiff(options.get("exif", b""))
        return {name: value for name, value in options.items() if value}

    @property
    def _comment(self) -> str:
        return self.texts.get("Comment", "")

    def _tiff(self, exif: bytes) -> Any:
        """Pillow takes the tags of a TIFF as EXIF, or as a table, but not both."""
        from PIL import Image

        tags = Image.Exif()
        tags.load(exif)
        tags.update({tag: value for tag, value in ((700, self.xmp), (33723, self.iptc)) if value})
        return tags

    def _png(self, about: Provenance) -> Any:
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        for keyword, value in self.texts.items():
            if keyword != provenance.CHUNK or not about:
                info.add_text(keyword, value, zip=len(value) > 1000)
            elif "Description" not in self.texts:
                info.add_text("Description", value)
        if about:
            info.add_text(provenance.CHUNK, provenance.text(about))
        if self.xmp:
            info.add_itxt(provenance.XMP_CHUNK, self.xmp.decode())
        if self.iptc:  # as ImageMagick and ExifTool write it: PNG has no place of its own for it
            lines = re.sub("(.{72})", r"\1\n", self.iptc.hex())
            info.add_text("Raw profile type iptc", f"\niptc\n{len(self.iptc):8}\n{lines}\n", zip=True)
        return info


def read_metadata(file: "File", path: str | Path) -> Metadata:
    """Metadata of an opened file, whose pixels are decoded unless it is a TIFF. Damaged parts are
    skipped with a message."""
    if _is_signed(path):
        say_once(
            f"{path}: its C2PA manifest is not kept, since it would not be valid for an enlarged image; other such images "
            "are not named",
            kind="C2PA",
        )
    texts = {name: str(value) for name, value in (getattr(file, "text", None) or {}).items()}
    comment = file.info.get("comment")
    if isinstance(comment, bytes) and comment.strip(b"\0 "):
        texts["Comment"] = comment.decode("utf-8", "replace")
    own = ("XML:com.adobe.xmp", "Raw profile type ")
    return Metadata(
        exif=_try(path, "EXIF", b"", lambda: _exif(file)),
        xmp=_try(path, "XMP", b"", lambda: _xmp(file)),
        iptc=_try(path, "IPTC", b"", lambda: _iptc(file)),
        dpi=_try(path, "resolution", None, lambda: _dpi(file)),
        texts={name: value for name, value in texts.items() if not name.startswith(own) and len(value) < LONG},
    )


# ---------------------------------------------------------------------------------------------------- reading each


def _try(path: str | Path, what: str, nothing: Any, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except Exception as error:  # damaged metadata raise as many kinds of errors as damaged pixels, but do no harm
        _say_damaged(path, what, error)
        return nothing


def _say_damaged(path: str | Path, what: str, error: Exception) -> None:
    say_once(
        f"{path}: its {what} is damaged ({error}) and not kept; other such images are not named", kind=f"damaged {what}"
    )


def _exif(file: "File") -> bytes:
    """EXIF without the orientation, which has been applied, and without the thumbnail."""
    from PIL import Image

    source = file.getexif()
    if not len(source):
        return b""
    exif = Image.Exif()
    for tag, value in source.items():
        if tag not in PIXELS and tag != ORIENTATION:
            exif[tag] = source.get_ifd(tag) if tag in (EXIF, 34853) else value
    return b"Exif\0\0" + exif.tobytes() if len(exif) else b""


def _with_sides(exif: bytes, size: tuple[int, int]) -> bytes:
    """EXIF with the width and height of the result, where it had any."""
    from PIL import Image

    resized = Image.Exif()
    resized.load(exif)
    inside = resized.get_ifd(EXIF)
    if not any(tag in inside for tag in SIDES):
        return exif
    for tag, side in zip(SIDES, size, strict=True):
        inside[tag] = side
    return b"Exif\0\0" + resized.tobytes()


def _xmp(file: "File") -> bytes:
    packet = file.info.get("xmp") or file.info.get(provenance.XMP_CHUNK) or b""
    packet = packet.encode() if isinstance(packet, str) else bytes(packet)
    if packet:
        provenance.xmp_text(packet)
    return packet


def _iptc(file: "File") -> bytes:
    tags = getattr(file, "tag_v2", {})
    value = tags.get(33723, b"")
    value = value[0] if isinstance(value, tuple) and len(value) == 1 else value
    if isinstance(value, bytes) and value:
        return value
    if packet := (file.info.get("photoshop") or {}).get(IPTC_RECORD):
        return bytes(packet)
    text = str((getattr(file, "text", None) or {}).get("Raw profile type iptc", ""))
    content = bytes.fromhex("".join(text.split()[2:]))
    start = content.find(b"8BIM\x04\x04")
    if start < 0:
        return content
    length = int.from_bytes(content[start + 8 : start + 12])  # behind an empty name
    return content[start + 12 : start + 12 + length]


def _dpi(file: "File") -> tuple[float, float] | None:
    x, y = (float(each) for each in file.info.get("dpi") or (0, 0))
    return (x, y) if 1 < x < 1e6 and 1 < y < 1e6 else None


def _is_signed(path: str | Path) -> bool:
    with open_regular(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(SIGNED) >= 0


# ---------------------------------------------------------------------------------------------------- writing each


def _marked(packet: bytes, about: Provenance) -> bytes:
    """XMP source type: a generated image stays generated, any other becomes a composite with
    generated content; without a model each stays what it is."""
    if "model" not in about:
        return provenance.xmp("", about, packet)
    return provenance.xmp(SAMPLE if provenance.source_type(packet) == SAMPLE else ENLARGED, about, packet)


def _upright(packet: str) -> str:
    """XMP whose orientation is the upright one, without thumbnails."""
    packet = re.sub(r"""(tiff:Orientation\s*=\s*["'])\d(["'])""", r"\g<1>1\2", packet)
    packet = re.sub(r"(<tiff:Orientation>\s*)\d(\s*</)", r"\g<1>1\2", packet)
    return re.sub(r"<xmp:Thumbnails>.*?</xmp:Thumbnails>", "", packet, flags=re.DOTALL)


def _app13(iptc: bytes) -> bytes:
    """The segment of a JPEG in which Photoshop keeps IPTC."""
    if not iptc or len(iptc) > 65_000:
        return b""
    block = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + len(iptc).to_bytes(4) + iptc + b"\0" * (len(iptc) % 2)
    return b"\xff\xed" + (len(block) + 2).to_bytes(2) + block


def _comment(text: str) -> dict[str, bytes]:
    return {"comment": text.encode()} if text else {}
