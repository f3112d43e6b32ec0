"""Image files whose headers promise what they do not hold, or that unpack to gigabytes: one line,
and no memory taken."""

import contextlib
import gzip
import io
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import multigen.image.arrays
from multigen.errors import DataError
from multigen.image.datasets import open_images
from multigen.image.files import open_photos, read_image
from multigen.image.inspection import inspect_images
from multigen.storage import provenance
from tests import tiny
from tests.special import SPECIAL

MOST = (
    300 << 20
)  # bytes that Python may have allocated at once: far more than a reader needs, far less than a bomb promises


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    pixels = zlib.compress(b"\0" + bytes(3 * min(width, 10)))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def whole(kind: str = "PNG", **settings: Any) -> bytes:
    held = io.BytesIO()
    Image.fromarray(tiny.pixels(20, 20)).save(held, kind, **settings)
    return held.getvalue()


def gif_of(width: int, height: int) -> bytes:
    result = bytearray(whole("GIF"))
    result[6:10] = struct.pack("<HH", width, height)
    return bytes(result)


def jpeg_of(width: int, height: int) -> bytes:
    result = bytearray(whole("JPEG"))
    at = result.index(b"\xff\xc0")
    result[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(result)


def scans_of(count: int) -> bytes:
    """A progressive JPEG whose last scan comes so many times, between others' and a thumbnail's
    markers."""
    result = whole("JPEG", progressive=True, exif=b"Exif\0\0" + b"\xff\xda" * 200)
    last = result.rindex(b"\xff\xda")
    return result[:-2] + result[last:-2] * count + result[-2:] + b"\xff\xda" * 200  # a film, as telephones add


def tiff_of(width: int, height: int) -> bytes:
    """A header of strips without number."""
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    entries += [(273, 4, 1 << 30, 8), (277, 3, 1, 1), (278, 4, 1, 1), (279, 4, 1 << 30, 8)]
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries)) + directory + bytes(4)


ZEROS = zlib.compress(bytes(50_000_000), 9)
BOMBS: dict[str, tuple[str, bytes]] = {
    "PNG of 60,000 x 60,000": (".png", png(60_000, 60_000)),
    "PNG of 13,000 x 13,000 in 200 bytes": (".png", png(13_000, 13_000)),
    "PNG with a zTXt bomb": (".png", png(10, 10, chunk(b"zTXt", b"Comment\0\0" + ZEROS))),
    "PNG with an iTXt bomb": (".png", png(10, 10, chunk(b"iTXt", b"Comment\0\1\0\0\0" + ZEROS))),
    "PNG with an iCCP bomb": (".png", png(10, 10, chunk(b"iCCP", b"profile\0\0" + ZEROS))),
    "JPEG of 65,535 x 65,535": (".jpg", jpeg_of(65_535, 65_535)),
    "JPEG of 13,000 x 13,000 in 900 bytes": (".jpg", jpeg_of(13_000, 13_000)),
    "JPEG of 10,000 scans": (".jpg", scans_of(10_000)),
    "GIF of 65,535 x 65,535": (".gif", gif_of(65_535, 65_535)),
    "GIF of 10,000 x 10,000 in 700 bytes": (".gif", gif_of(10_000, 10_000)),
    "TIFF of strips without number": (".tif", tiff_of(100_000, 100_000)),
    "TIFF of few pixels and many strips": (".tif", tiff_of(10, 10)),
    "PPM with a comment without end": (".ppm", b"P6\n3 #" + b"a" * 10_000_000),
    "PNG that is a PPM with spaces without end": (".png", b"P5 3 3" + b" " * 10_000_000),
    "PostScript": (".png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"),
    "WebP of 16,383 x 16,383": (".webp", b"RIFF\x1a\0\0\0WEBPVP8L\x0e\0\0\0\x2f\xff\xff\xff\x0f\0\0\0\0\0\0\0\0\0"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_an_image_that_promises_too_much_is_named_or_skipped(name: str, tmp_path: Path) -> None:
    suffix, content = BOMBS[name]
    path = tmp_path / f"bomb{suffix}"
    path.write_bytes(content)
    (tmp_path / "a.png").write_bytes(whole())
    (tmp_path / "b.png").write_bytes(whole(compress_level=1))
    with pytest.raises(DataError, match=rf"^[^\n]*bomb{suffix}: [^\n]*--skip-bad$"):
        read_image(path)
    with pytest.raises(DataError, match=rf"bomb{suffix}: "):
        open_images(str(tmp_path), 8)
    result = open_images(str(tmp_path), 8, skip_bad=True)
    assert len(result) == 2 and [path for path, _ in result.skipped] == [path]
    assert [path for path, _ in inspect_images(str(tmp_path)).unreadable] == [path]
    with contextlib.suppress(DataError):  # what is not decoded may have no metadata
        assert provenance.read(path) == {}


def test_a_photograph_of_some_scans_with_a_thumbnail_and_a_film_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(scans_of(3))
    assert read_image(tmp_path / "a.jpg").shape == (3, 20, 20)
    (tmp_path / "several.jpg").write_bytes(whole("MPO", save_all=True, append_images=[Image.new("RGB", (20, 20))] * 3))
    assert read_image(tmp_path / "several.jpg").shape == (3, 20, 20)


def test_a_large_image_of_one_colour_is_read(tmp_path: Path) -> None:
    Image.new("RGB", (7000, 6000), "red").save(tmp_path / "a.png")
    assert open_photos(str(tmp_path))[0].width == 7000


@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a device"])
def test_what_is_no_regular_file_is_named_alone_and_skipped_in_a_folder(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    SPECIAL[kind](path)
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(whole(compress_level=i))
    assert len(open_images(str(tmp_path), 8)) == 3 and len(open_photos(str(tmp_path))) == 3
    for act in (read_image, lambda p: open_photos(str(p)), lambda p: inspect_images(str(p)), provenance.read):
        with pytest.raises(DataError, match=rf"^[^\n]*x\.png[^\n]*{kind}; expected a regular file[^\n]*$"):
            act(path)


@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a device"])
def test_a_table_of_labels_is_a_regular_file(kind: str, tmp_path: Path) -> None:
    SPECIAL[kind](tmp_path / "labels.csv")
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(whole(compress_level=i))
    with pytest.raises(DataError, match=rf"labels\.csv: cannot be read as CSV \({kind}; expected a regular file\)"):
        open_images(str(tmp_path), 8, labels=str(tmp_path / "labels.csv"))
    assert any(kind in warning for warning in inspect_images(str(tmp_path)).warnings)


# ---------------------------------------------------------------------------------------------------- arrays


def idx(shape: tuple[int, ...], content: bytes) -> bytes:
    return bytes((0, 0, 8, len(shape))) + struct.pack(f">{len(shape)}I", *shape) + content


LIES: dict[str, tuple[Callable[[bytes], bytes], Callable[[], bytes], str]] = {
    "10**9 images": (bytes, lambda: idx((10**9, 28, 28), bytes(99)), r"99 bytes for \[1000000000, 28, 28\]"),
    "10**9 images, gzipped": (
        gzip.compress,
        lambda: idx((10**9, 28, 28), bytes(99)),
        "its header promises 784,000,000,000 bytes",
    ),
    "2**96 pixels": (bytes, lambda: idx((2**32 - 1,) * 3, bytes(99)), "99 bytes for"),
    "2**96 pixels, gzipped": (gzip.compress, lambda: idx((2**32 - 1,) * 3, bytes(99)), "its header promises 79,228,"),
    "200 MB of zeros behind few images": (
        gzip.compress,
        lambda: idx((2, 9, 9), bytes(200_000_000)),
        "more than 162 bytes",
    ),
    "fewer than promised": (gzip.compress, lambda: idx((3, 9, 9), bytes(162)), "fewer than 243 bytes"),
}


@pytest.mark.parametrize("name", LIES)
def test_an_idx_file_is_read_as_far_as_its_header_promises(name: str, tmp_path: Path) -> None:
    pack, content, reason = LIES[name]
    suffix = "" if pack is bytes else ".gz"
    (tmp_path / f"train-images-idx3-ubyte{suffix}").write_bytes(pack(content()))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx((2,), b"\0\1"))
    tracemalloc.reset_peak()  # of what the test itself made
    for act in (lambda place: open_images(place, 8), inspect_images):
        with pytest.raises(DataError, match=rf"^[^\n]*train-images-idx3-ubyte[^\n]*{reason}[^\n]*$"):
            act(str(tmp_path))
    assert tracemalloc.get_traced_memory()[1] < 20 << 20


def test_a_gigabyte_of_zeros_as_images_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multigen.storage.reading.SMALL", 1 << 20)
    content = idx((50_000, 28, 28), bytes(50_000 * 28 * 28))
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx((2,), b"\0\1"))
    with pytest.raises(DataError, match="its header promises 39,200,000 bytes, unpacked from"):
        open_images(str(tmp_path), 8)


def test_an_npz_bomb_is_one_line(tmp_path: Path) -> None:
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (10000000, 100, 100), }".ljust(117) + b"\n"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("images.npy", b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header)
    for act in (lambda place: open_images(place, 8), inspect_images):
        with pytest.raises(
            DataError, match=r"^[^\n]*a\.npz: cannot be read as \.npz \(images: 100,000,000,000 bytes[^\n]*$"
        ):
            act(str(tmp_path / "a.npz"))


def test_an_archive_that_unpacks_to_more_than_cifar_has_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multigen.image.arrays, "CIFAR10_BYTES", 1 << 20)
    path = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("data_batch_1.bin")
        member.size = 2 << 20
        archive.addfile(member, io.BytesIO(bytes(2 << 20)))
    with pytest.raises(DataError, match=r"is not CIFAR-10's binary archive \(more than 1,048,576 bytes in it\)"):
        multigen.image.arrays.read_arrays(path, "train", (32, 32))


def test_random_pixels_pass_through(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((200, 28, 28), np.uint8))
    assert len(open_images(str(tmp_path / "a.npz"), 8)) == 200
