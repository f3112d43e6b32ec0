"""Images of more than 8 bits a channel: read whole, scaled rightly, written whole."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import multigen.console.messages
from multigen.errors import DataError
from multigen.image.decoding import Raster, read_picture, read_raster
from multigen.image.files import open_photos, read_image
from multigen.image.writing import write_image


def values(channels: int, kind: type = np.uint16) -> np.ndarray:
    made = np.random.default_rng(channels).integers(0, 65536, (13, 11, channels)).astype(kind)
    made[0, 0] = 65535  # so that it is 16 bits to the eye
    return made


def png(path: Path, pixels: np.ndarray, chunks: bytes = b"", rows: bytes = b"") -> Path:
    """A PNG of 16 bits, each row with filter 0."""
    height, width, channels = pixels.shape
    head = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    body = rows or b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunks + chunk(b"IDAT", zlib.compress(body))
    path.write_bytes(content + chunk(b"IEND", b""))
    return path


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def reduced(pixels: np.ndarray) -> np.ndarray:
    return np.rint(pixels / 257).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_of_16_bits_is_read_whole(tmp_path: Path, channels: int) -> None:
    path = png(tmp_path / "a.png", values(channels))
    assert np.array_equal(read_raster(path).pixels, values(channels))


def test_an_interlaced_png_of_16_bits_is_read_whole(tmp_path: Path) -> None:
    pixels = values(3)
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    rows = b"".join(
        b"\0" + row.astype(">u2").tobytes()
        for top, left, down, right in passes
        for row in pixels[top::down, left::right]
    )
    path = png(tmp_path / "a.png", pixels, rows=rows)
    content = path.read_bytes()
    head = content[16:28] + b"\1"
    path.write_bytes(content[:8] + chunk(b"IHDR", head) + content[33:])
    assert np.array_equal(read_raster(path).pixels, pixels)


def test_training_takes_the_nearest_of_8_bits(tmp_path: Path) -> None:
    path = png(tmp_path / "a.png", values(3))
    assert np.array_equal(read_image(path).permute(1, 2, 0).numpy(), reduced(values(3)))
    (photo,) = open_photos(str(path))
    assert (photo.height, photo.width) == (13, 11)


def test_a_transparent_colour_of_16_bits(tmp_path: Path) -> None:
    clear = chunk(b"tRNS", values(3)[2, 3].astype(">u2").tobytes())
    raster = read_raster(png(tmp_path / "a.png", values(3), clear))
    assert raster.alpha is not None and (raster.alpha == 0).sum() == 1 and raster.alpha[2, 3, 0] == 0
    assert np.array_equal(raster.colour, values(3))


@pytest.mark.parametrize(
    "options", [{}, {"compression": "zlib", "predictor": 2}, {"planarconfig": "separate"}, {"byteorder": ">"}]
)
@pytest.mark.parametrize("channels", [3, 4])
def test_tiff_of_16_bits_is_read_whole(tmp_path: Path, channels: int, options: dict) -> None:
    pixels = values(channels)
    if options.get("planarconfig"):
        pixels = np.moveaxis(pixels, -1, 0)
    extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", **extra, **options)
    assert np.array_equal(read_raster(tmp_path / "a.tif").pixels, values(channels))


def test_tiff_of_a_compression_that_pillow_alone_has(tmp_path: Path) -> None:
    """LZW, as Photoshop writes it: of a TIFF of 8 bits made by Pillow, told to be of 16 bits and
    half as wide."""
    pixels = values(3)
    halves = pixels.astype("<u2").view(np.uint8).reshape(13, 22, 3)
    Image.fromarray(halves).save(tmp_path / "a.tif", compression="tiff_lzw")
    content = (tmp_path / "a.tif").read_bytes()
    assert content[:2] == b"II"
    at = int.from_bytes(content[4:8], "little")
    content = bytearray(content)
    for i in range(int.from_bytes(content[at : at + 2], "little")):
        place = at + 2 + 12 * i
        tag = int.from_bytes(content[place : place + 2], "little")
        if tag == 256:
            content[place + 8 : place + 10] = (11).to_bytes(2, "little")
        if tag == 258:
            where = int.from_bytes(content[place + 8 : place + 12], "little")
            content[where : where + 6] = struct.pack("<3H", 16, 16, 16)
    (tmp_path / "a.tif").write_bytes(content)
    assert np.array_equal(read_raster(tmp_path / "a.tif").pixels, pixels)


def test_ppm_of_16_bits_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a.ppm").write_bytes(b"P6\n11 13\n65535\n" + values(3).astype(">u2").tobytes())
    assert np.array_equal(read_raster(tmp_path / "a.ppm").pixels, values(3))
    narrow = values(3) >> 4
    (tmp_path / "b.ppm").write_bytes(b"P6\n11 13\n4095\n" + narrow.astype(">u2").tobytes())
    assert np.array_equal(read_raster(tmp_path / "b.ppm").pixels, np.rint(narrow.astype(float) * 65535 / 4095))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_images_of_16_bits_are_set_upright(tmp_path: Path, orientation: int, suffix: str) -> None:
    small = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(small).save(tmp_path / f"b.{suffix}", exif=exif)
    expected = read_raster(tmp_path / f"b.{suffix}").pixels
    if suffix == "png":
        png(tmp_path / "a.png", small.astype(np.uint16) * 257, chunk(b"eXIf", exif.tobytes()[6:]))
    else:
        tags = [(274, 3, 1, orientation, True)]
        tifffile.imwrite(tmp_path / "a.tif", small.astype(np.uint16) * 257, photometric="rgb", extratags=tags)
    assert np.array_equal(read_raster(tmp_path / f"a.{suffix}").pixels, expected.astype(np.uint16) * 257)
    assert np.array_equal(np.asarray(read_picture(tmp_path / f"a.{suffix}")), expected)


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_fewer_bits_in_a_file_of_16_are_scaled_up_with_a_message(
    tmp_path: Path,
    bits: int,
    channels: int,
    suffix: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(multigen.console.messages.output, "once", set())
    narrow = values(channels) >> (16 - bits)
    path = tmp_path / f"a.{suffix}"
    if suffix == "png":
        png(path, narrow)
    else:
        tifffile.imwrite(path, narrow.squeeze(), photometric="rgb" if channels == 3 else "minisblack")
    expected = np.rint(narrow.astype(float) * 65535 / ((1 << bits) - 1))
    assert np.array_equal(read_raster(path).pixels, expected)
    assert np.abs(np.asarray(read_picture(path).convert("RGB"), float) - expected / 257).max() <= 0.5 + 1e-6
    (line,) = capsys.readouterr().err.splitlines()
    assert f"taken for {bits} bits" in line and str(path) in line


def test_bits_that_the_file_names_are_not_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    narrow = (values(3) >> 4) // 5  # dark: the greatest value alone would not tell
    expected = np.rint(narrow.astype(float) * 65535 / 4095)
    png(tmp_path / "a.png", narrow, chunk(b"sBIT", bytes([12, 12, 12])))
    tifffile.imwrite(tmp_path / "a.tif", narrow, photometric="rgb", extratags=[(281, 3, 3, (4095,) * 3, True)])
    for name in ("a.png", "a.tif"):
        assert np.array_equal(read_raster(tmp_path / name).pixels, expected), name
    full = values(3)  # a PNG that is scaled up already, as its specification has it
    assert np.array_equal(read_raster(png(tmp_path / "b.png", full, chunk(b"sBIT", bytes([12, 12, 12])))).pixels, full)
    assert not capsys.readouterr().err


def test_tiff_of_12_bits(tmp_path: Path) -> None:
    narrow = (values(1)[:12, :10, 0] >> 4).astype(np.uint16)
    pairs = narrow.reshape(12, 5, 2).astype(int)
    packed = np.stack([pairs[..., 0] >> 4, (pairs[..., 0] & 15) << 4 | pairs[..., 1] >> 8, pairs[..., 1] & 255], -1)
    body = packed.astype(np.uint8).tobytes()
    tags = [(256, 3, 10), (257, 3, 12), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 3, 12)]
    tags.append((279, 4, len(body)))
    ifd = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", t, k, 1, v) for t, k, v in tags) + bytes(4)
    (tmp_path / "a.tif").write_bytes(b"II*\0" + struct.pack("<I", 8 + len(body)) + body + ifd)
    assert np.array_equal(read_raster(tmp_path / "a.tif").pixels[..., 0], np.rint(narrow * (65535 / 4095)))


def test_floats_of_0_to_1_are_read_and_others_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", (values(1)[..., 0] / 65535).astype(np.float32))
    assert np.abs(read_raster(tmp_path / "a.tif").pixels[..., 0] - values(1)[..., 0].astype(int)).max() <= 1
    tifffile.imwrite(tmp_path / "b.tif", np.array([[0, 300]], np.float32))
    with pytest.raises(
        DataError, match=r"b\.tif.*float32 values from 0 to 300; of floats 0\.\.1 are read.*save with 16 bits"
    ):
        read_raster(tmp_path / "b.tif")


def test_what_is_not_read_is_refused_by_name(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", values(3).astype(np.float32), photometric="rgb")
    with pytest.raises(DataError, match=r"a\.tif.*a TIFF of 3 x float32; save it again as .*--skip-bad"):
        read_raster(tmp_path / "a.tif")


def test_formats_that_are_read_with_8_of_their_bits_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multigen.console.messages.output, "once", set())
    Image.fromarray(values(3).astype(np.uint8)).save(tmp_path / "a.jp2", irreversible=False)
    read_image(tmp_path / "a.jp2")
    assert not capsys.readouterr().err
    content = bytearray((tmp_path / "a.jp2").read_bytes())
    at = content.find(b"\xff\x4f\xff\x51") + 42
    assert content[at] == 7
    monkeypatch.setattr("multigen.image.depth._bits", lambda path: 12)
    read_image(tmp_path / "a.jp2")
    assert "JPEG2000 of more than 8 bits is read with 8" in capsys.readouterr().err


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_are_written_whole(tmp_path: Path, channels: int, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_image(path, [Raster(values(channels))])
    pixels = read_raster(path).pixels
    if suffix == ".tif" and channels == 2:
        pixels = pixels[..., 2:]  # grey with opacity has three equal channels there
    assert np.array_equal(pixels, values(channels))
    with Image.open(path) as file:
        file.load()  # other programs read it


def test_what_a_format_does_not_support_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multigen.console.messages.output, "once", set())
    write_image(tmp_path / "a.jpg", [Raster(values(4))])
    message = capsys.readouterr().err
    assert "holds 8 bits of the 16" in message and "laid on white" in message
    write_image(tmp_path / "a.webp", [Raster(values(3))])
    assert np.array_equal(read_raster(tmp_path / "a.webp").pixels, reduced(values(3)))


def test_damaged_files_of_16_bits_are_errors(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multigen.console.messages.output, "once", {"fewer bits"})
    tifffile.imwrite(tmp_path / "whole.tif", values(3), photometric="rgb", compression="zlib")
    content = (tmp_path / "whole.tif").read_bytes()
    rng = np.random.default_rng(0)
    read = 0
    for _ in range(60):
        damaged = bytearray(content)
        for place in rng.integers(0, 300, 3):
            damaged[place] = rng.choice([0, 255, 7])
        (tmp_path / "a.tif").write_bytes(damaged)
        try:
            read_raster(tmp_path / "a.tif")
            read += 1
        except DataError as error:
            assert "a.tif" in str(error)
    assert 0 < read < 60 and "tifffile" not in capfd.readouterr().err.lower()  # libtiff prints what it likes
