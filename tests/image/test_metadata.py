"""What image files say besides their pixels goes into their enlarged copies, and marks of what
models made stay."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import multigen.console.messages
from multigen.image.decoding import Raster
from multigen.image.metadata import Metadata, read_metadata
from multigen.image.sources import read_source
from multigen.image.writing import write_image
from multigen.storage import provenance
from multigen.storage.provenance import ENLARGED, SAMPLE, source_type, xmp
from tests.image.test_depth import chunk, png, values

ABOUT = {"software": "multigen 1", "model": "m", "source": "a.jpg"}
IPTC = b"\x1c\x02\x69\x00\x05Title\x1c\x02\x50\x00\x02Me"
ROTATED = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" tiff:Artist="Anna"/>'
    b"</rdf:RDF></x:xmpmeta>"
)


def exif() -> Image.Exif:
    made = Image.Exif()
    made[0x0112], made[0x010F], made[0x0132] = 6, "Maker", "2020:01:02 03:04:05"
    made.get_ifd(0x8769).update({0x9003: "2020:01:02 03:04:05", 0xA002: 40, 0xA003: 30})
    made.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 14.0)})
    return made


def source(folder: Path, suffix: str) -> Path:
    """An image 40 wide, 30 high, lying on its side, that has of each kind of metadata what its
    format can hold."""
    picture, path = Image.fromarray(np.arange(3600, dtype=np.uint8).reshape(30, 40, 3)), folder / f"a{suffix}"
    if suffix == ".tif":
        tags = Image.Exif()
        tags.load(exif().tobytes())
        tags.update({700: ROTATED, 33723: IPTC})
        picture.save(path, exif=tags, dpi=(240, 240))
    elif suffix == ".png":
        reported = Metadata(iptc=IPTC, xmp=ROTATED, texts={"Title": "Sea"})
        picture.save(path, exif=exif(), dpi=(240, 240), pnginfo=reported.options(".png", {}, (1, 1))["pnginfo"])
    else:
        more: dict[str, Any] = Metadata(iptc=IPTC).options(".jpg", {}, (1, 1)) if suffix == ".jpg" else {}
        picture.save(path, exif=exif(), xmp=ROTATED, dpi=(240, 240), quality=95, **more)
    return path


def enlarged(path: Path, out: Path) -> Metadata:
    """What the copy says, which is twice as large."""
    given = read_source(path)
    large = given.frames[0].pixels.repeat(2, 0).repeat(2, 1)
    write_image(out, [Raster(large)], given.metadata.enlarged(ABOUT, path), ABOUT)
    with Image.open(out) as file:
        file.load()
        return read_metadata(file, out)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("result", [".png", ".jpg", ".tif", ".webp"])
def test_metadata_go_along(tmp_path: Path, suffix: str, result: str) -> None:
    given, out = source(tmp_path, suffix), tmp_path / f"out{result}"
    made = enlarged(given, out)
    with Image.open(out) as file:
        assert file.size == (60, 80)  # upright
        tags = file.getexif()
        inside, place = tags.get_ifd(0x8769), tags.get_ifd(0x8825)
        assert tags.get(0x0112, 1) == 1 and tags[0x010F] == "Maker" and tags[0x0132] == "2020:01:02 03:04:05"
        assert inside[0x9003] == "2020:01:02 03:04:05" and (inside[0xA002], inside[0xA003]) == (60, 80)
        assert place[1] == "N" and place[2] == (48.0, 8.0, 14.0)
    assert b'tiff:Orientation="1"' in made.xmp and b'tiff:Artist="Anna"' in made.xmp
    assert source_type(made.xmp) == ENLARGED and provenance.read(out) == ABOUT
    if ".webp" not in (suffix, result):  # which has no place for them
        assert made.iptc == IPTC
        assert made.dpi is not None and abs(made.dpi[0] - 240) < 0.1
    if suffix == result == ".png":
        assert made.texts["Title"] == "Sea"


def test_a_png_of_16_bits_has_them_too(tmp_path: Path) -> None:
    path = png(tmp_path / "a.png", values(3), chunk(b"eXIf", exif().tobytes()[6:]) + chunk(b"tEXt", b"Title\0Sea"))
    made = enlarged(path, tmp_path / "b.png")
    assert made.exif and made.texts["Title"] == "Sea" and source_type(made.xmp) == ENLARGED
    with Image.open(tmp_path / "b.png") as file:
        assert file.getexif()[0x010F] == "Maker"


# ---------------------------------------------------------------------------------------------------- marks


@pytest.mark.parametrize("form", ["attribute", "element", "resource"])
@pytest.mark.parametrize(
    ("given", "result"),
    [(SAMPLE, SAMPLE), (ENLARGED, ENLARGED), ("digitalCapture", ENLARGED), ("algorithmicMedia", ENLARGED)],
)
def test_what_a_model_made_stays_marked_so(form: str, given: str, result: str) -> None:
    uri = f"http://cv.iptc.org/newscodes/digitalsourcetype/{given}"
    shapes = {
        "attribute": f' e:DigitalSourceType="{uri}"/>',
        "element": f"><e:DigitalSourceType>{uri}</e:DigitalSourceType></rdf:Description>",
        "resource": f'><e:DigitalSourceType rdf:resource="{uri}"/></rdf:Description>',
    }
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        f'rdf:about="" xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"{shapes[form]}</rdf:RDF></x:xmpmeta>'
    ).encode()
    assert source_type(packet) == given
    made = Metadata(xmp=packet).enlarged(ABOUT, "a.png").xmp
    assert source_type(made) == result and made.count(b"DigitalSourceType") == 1
    assert source_type(Metadata(xmp=packet).enlarged({}, "a.png").xmp) == given  # unmarked: as it was
    assert source_type(Metadata(xmp=packet).without_private().xmp) == (given if given in (SAMPLE, ENLARGED) else "")


def test_marking_twice_is_marking_once() -> None:
    once = xmp(ENLARGED, ABOUT)
    assert xmp(ENLARGED, ABOUT, once).count(b"multigen:about=") == 1 and once == xmp(ENLARGED, ABOUT)


@pytest.mark.parametrize(
    "packet",
    [b"no xml", b"<a>", b'<!DOCTYPE a [<!ENTITY b "c">]><rdf:RDF></rdf:RDF>', b"\xff\xfe<\0", b"<a></a>"],
)
def test_damaged_xmp_is_skipped_with_a_message(
    packet: bytes, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multigen.console.messages.output, "once", set())
    made = Metadata(xmp=packet).enlarged(ABOUT, "a.png").xmp
    assert source_type(made) == ENLARGED and b"ENTITY" not in made
    assert "a.png: its XMP is damaged" in capsys.readouterr().err


def test_damaged_exif_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multigen.console.messages.output, "once", set())
    for content in (b"garbage", b"MM\0*\0\0\0\x08\0\x05" + bytes(3), b"II*\0\xff\xff\xff\xff"):
        Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + content)
        assert not read_source(tmp_path / "a.jpg").metadata.exif


def test_a_c2pa_manifest_is_dropped_with_a_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multigen.console.messages.output, "once", set())
    box = b"\0\0\0\x40jumb\0\0\0\x26jumdc2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71\x03c2pa\0"
    path = source(tmp_path, ".png")
    content = path.read_bytes()
    path.write_bytes(content[:33] + chunk(b"caBX", box) + content[33:])
    enlarged(path, tmp_path / "b.png")
    assert "a.png: its C2PA manifest is not kept" in capsys.readouterr().err
    assert b"jumb" not in (tmp_path / "b.png").read_bytes()


def test_a_gif_says_it_in_xmp_too(tmp_path: Path) -> None:
    write_image(tmp_path / "a.gif", [Raster(np.zeros((3, 3, 1), np.uint8))], Metadata().enlarged(ABOUT, "x"), ABOUT)
    content = (tmp_path / "a.gif").read_bytes()
    at = content.find(b"\x21\xff\x0bXMP DataXMP")
    assert source_type(content[at:]) == ENLARGED and content[-1:] == b";"
    read_source(tmp_path / "a.gif")
    assert provenance.read(tmp_path / "a.gif") == ABOUT
