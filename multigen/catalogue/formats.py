"""File formats that are readable only with an extra, or not at all. Does not import torch.

Suffixes that are always readable are in `Modality.suffixes`; every other known one is here, with
its remedy.
"""

import functools
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, replace

__all__ = ["AUDIO", "FILM", "IMAGE", "TEXT", "Format", "installed"]


@functools.cache
def installed(package: str) -> bool:
    """Whether a package is importable, without importing it."""
    return importlib.util.find_spec(package) is not None


@dataclass(frozen=True)
class Format:
    """A file format that is readable if its extra is installed, or never."""

    name: str
    """Name of the files, in the plural, such as "HEIC files"."""
    suffixes: tuple[str, ...]
    """Suffixes in lower case."""
    convert: str
    """Remedy without any extra: a clause in the imperative."""
    extra: str = ""
    """The extra of multigen that reads them; empty: none."""
    package: str = ""
    """Import name of the extra's package."""

    @property
    def readable(self) -> bool:
        """Whether the files are readable on this machine."""
        return bool(self.package) and installed(self.package)

    @property
    def one(self) -> str:
        """ "a HEIC file"."""
        article = "an" if self.name[0].lower() in "aeiou" else "a"
        return f"{article} {self.name.removesuffix('s')}"

    @property
    def remedy(self) -> str:
        """The remedy, for the end of a message about one file or several."""
        return f"pip install 'multigen[{self.extra}]', or {self.convert}" if self.extra else self.convert


def _kinds(convert: str, **suffixes: str) -> Iterator[Format]:
    """Formats with the same remedy: name, with _ for spaces -> suffixes without dots."""
    for name, words in suffixes.items():
        yield Format(name.replace("_", " "), tuple(f".{word}" for word in words.split()), convert)


def _media(convert: str, **suffixes: str) -> Iterator[Format]:
    """As `_kinds`, for formats whose sound ffmpeg reads."""
    for result in _kinds(convert, **suffixes):
        yield replace(result, extra="media", package="av")


ANY = tuple(_kinds("unpack first", archives="zip tar gz tgz bz2 xz 7z rar zst"))
"""Formats for every modality."""
VIDEO = "mp4 m4v mov avi mkv webm wmv flv mpg mpeg 3gp 3g2 mts m2ts ts ogv vob"

IMAGE: tuple[Format, ...] = (
    Format("HEIC files", (".heic", ".heif", ".hif"), "convert to JPEG or PNG", "heif", "pillow_heif"),
    *_kinds("convert to PNG: djxl FILE.jxl FILE.png", JPEG_XL_files="jxl"),
    *_kinds("convert to JPEG or PNG", JPEG_XR_files="jxr wdp hdp"),
    *_kinds(
        "convert to TIFF or PNG with a program for photographs, such as darktable or the camera's own",
        RAW_camera_files="cr2 cr3 crw nef nrw dng arw sr2 srf orf rw2 raf pef raw rwl srw x3f 3fr iiq kdc dcr erf mrw",
    ),
    *_kinds(
        "export as PNG from the program that made it, or from GIMP",
        layered_images="psb xcf kra afphoto ora clip",
        uncommon_images="tga icns ico cur pcx sgi rgb dds qoi wmf emf exr hdr pfm",
    ),
    *_kinds("draw as PNG, as Inkscape does", drawings="svg svgz ai eps ps"),
    *_kinds("convert to PNG with the library that wrote it", scientific_images="dcm nii fits fit czi lif nd2"),
    *_kinds("turn its pages into images: pdftoppm -png FILE.pdf page", PDF_files="pdf"),
    *_kinds("take images out of it: ffmpeg -i FILE frame-%05d.png", videos=VIDEO),
    *ANY,
)
AUDIO: tuple[Format, ...] = (
    *_media(
        "convert to FLAC: ffmpeg -i FILE FILE.flac",
        AAC_files="m4a aac m4b m4r",
        Windows_Media_files="wma",
        telephone_recordings="amr awb",
        Matroska_files="mka weba",
    ),
    *_media("take its sound out: ffmpeg -i FILE -vn FILE.flac", videos="mp4 m4v mov mkv webm wmv 3gp 3g2"),
    *_kinds(
        "convert to FLAC: ffmpeg -i FILE FILE.flac",
        uncommon_recordings="ape wv tta mpc ac3 dts ra spx gsm mp2 mpga shn dsf dff voc",
    ),
    *_kinds("take its sound out: ffmpeg -i FILE -vn FILE.flac", other_videos="avi flv mpg mpeg mts m2ts ts ogv vob"),
    *_kinds("render to WAV with a synthesiser, such as FluidSynth", note_files="mid midi mod xm s3m it"),
    *ANY,
)
TEXT: tuple[Format, ...] = (
    *_kinds("save as .txt in UTF-8: pdftotext FILE.pdf", PDF_files="pdf"),
    *_kinds(
        "save as .txt in UTF-8: pandoc -t plain FILE -o FILE.txt; rename it if it is plain text",
        documents="doc docx odt rtf pages epub fb2 mobi azw3 djvu",
        web_pages="html htm xhtml",
        Markdown_and_TeX_files="md markdown rst tex org",
    ),
    *_kinds("save the words alone as .txt in UTF-8", subtitles="srt vtt ass"),
    *ANY,
)
FILM: tuple[Format, ...] = tuple(_media("take images out of it: ffmpeg -i FILE frame-%05d.png", videos=VIDEO))
