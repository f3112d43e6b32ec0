"""Colour profiles: kept where an image is written, converted to sRGB where it is trained on or
measured."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

import multigen.console.messages
from multigen.image.colour import to_srgb
from multigen.image.datasets import open_images
from multigen.image.decoding import read_picture, read_raster
from multigen.image.inspection import inspect_images

ADOBE = (
    (0.60974, 0.31111, 0.01947),
    (0.20528, 0.62567, 0.06087),
    (0.14919, 0.06322, 0.74457),
)  # its primaries, XYZ at D50
P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))


def profile_of(primaries: tuple[tuple[float, ...], ...], gamma: float = 2.2, space: bytes = b"RGB ") -> bytes:
    """A matrix profile with a curve that is a power; one curve for grey."""
    fixed = [b"".join(struct.pack(">i", round(v * 65536)) for v in xyz) for xyz in (*primaries, (0.9642, 1, 0.8249))]
    xyz = [b"XYZ \0\0\0\0" + values for values in fixed]
    curve = b"curv\0\0\0\0" + struct.pack(">IH2x", 1, round(gamma * 256))
    text = b"desc\0\0\0\0" + struct.pack(">I", 2) + b"x\0" + bytes(78)
    tags = {b"desc": text, b"cprt": b"text\0\0\0\0x\0\0\0", b"wtpt": xyz[3]}
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        tags |= {b"rXYZ": xyz[0], b"gXYZ": xyz[1], b"bXYZ": xyz[2], b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += name + struct.pack(">II", at + len(body), len(content))
        body += content
    head = (
        struct.pack(">I4sI4s4s4s", at + len(body), b"\0\0\0\0", 0x02400000, b"mntr", space, b"XYZ ")
        + bytes(12)
        + b"acsp"
    )
    head += bytes(28) + fixed[3]
    return head + bytes(128 - len(head)) + struct.pack(">I", len(tags)) + table + body


def colours(count: int = 24) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, count, 3), np.uint8)


def expected(pixels: np.ndarray, primaries: tuple[tuple[float, ...], ...]) -> np.ndarray:
    """In sRGB, computed here: curve, matrix, curve."""
    linear = (pixels / 255) ** 2.2 @ np.array(primaries) @ np.linalg.inv(np.array(SRGB))
    linear = linear.clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("primaries", [ADOBE, P3], ids=["Adobe RGB", "Display P3"])
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_colours_are_those_of_srgb_where_they_are_trained_on(
    tmp_path: Path, primaries: tuple[tuple[float, ...], ...], suffix: str
) -> None:
    path, profile = tmp_path / f"a.{suffix}", profile_of(primaries)
    options = {"jpg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}.get(suffix, {})
    Image.fromarray(colours()).save(path, icc_profile=profile, **options)
    with Image.open(path) as file:
        stored = np.array(file)
    wanted = expected(stored, primaries)
    assert np.abs(wanted - stored).max() > 15  # so it makes a difference
    assert np.abs(np.asarray(read_picture(path), float) - wanted).max() <= 2
    raster = read_raster(path)
    assert raster.profile == profile and np.array_equal(raster.pixels, stored)


def test_training_and_inspection_see_srgb(tmp_path: Path) -> None:
    for i in range(2):
        Image.fromarray(colours(16)).save(tmp_path / f"{i}.png", icc_profile=profile_of(ADOBE))
    images = open_images(str(tmp_path), 16).images
    assert np.abs(images[0].permute(1, 2, 0).numpy() - expected(colours(16), ADOBE)).max() <= 2
    assert {fact.name: fact.value for fact in inspect_images(str(tmp_path)).facts}["profiles"] == 2


def test_a_profile_that_is_srgb_changes_nothing() -> None:
    for profile in (ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),):
        picture = Image.fromarray(colours())
        picture.info["icc_profile"] = profile
        assert np.array_equal(np.asarray(to_srgb(picture)), colours())


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_grey_profiles(tmp_path: Path, mode: str) -> None:
    profile = profile_of(SRGB, 1.8, b"GRAY")
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    pixels = {"L": ramp, "LA": np.dstack([ramp, np.full_like(ramp, 255)]), "I;16": ramp.astype(np.uint16) * 257}[mode]
    Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=profile)
    linear = (ramp / 255) ** 1.8
    expected = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    shown = read_picture(tmp_path / "a.png")
    assert shown.mode == "L" and np.abs(np.asarray(shown, float) - expected).max() <= 2
    assert np.abs(expected - ramp).max() > 10
    assert read_raster(tmp_path / "a.png").profile == profile


def test_opacity_stays_when_colours_are_converted() -> None:
    alpha = np.random.default_rng(1).integers(0, 256, (24, 24, 1), np.uint8)
    picture = Image.fromarray(np.dstack([colours(), alpha]))
    picture.info["icc_profile"] = profile_of(ADOBE)
    made = np.asarray(to_srgb(picture))
    assert np.array_equal(made[..., 3:], alpha) and np.abs(made[..., :3] - expected(colours(), ADOBE)).max() <= 2


@pytest.mark.parametrize(
    "profile",
    [b"garbage", profile_of(ADOBE)[:200], profile_of(SRGB, 1.8, b"GRAY")],
    ids=["no profile", "cut", "of grey"],
)
def test_unusable_profiles_are_skipped_with_a_message(
    tmp_path: Path, profile: bytes, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multigen.console.messages.output, "once", set())
    for name in ("a.png", "b.png"):
        Image.fromarray(colours()).save(tmp_path / name, icc_profile=profile)
        assert np.array_equal(np.asarray(read_picture(tmp_path / name)), colours())
    assert read_raster(tmp_path / "a.png").profile == b""
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{tmp_path / 'a.png'}: its colour profile cannot be used" in line and "taken for sRGB" in line


def test_cmyk_becomes_rgb_without_its_profile(tmp_path: Path) -> None:
    inks = Image.merge("CMYK", [Image.new("L", (16, 16), v) for v in (0, 255, 255, 0)])
    inks.save(tmp_path / "a.jpg", quality=100)
    raster = read_raster(tmp_path / "a.jpg")
    assert raster.pixels.shape == (16, 16, 3) and np.abs(raster.pixels - np.array([255.0, 0, 0])).max() <= 3


def test_lab_becomes_srgb() -> None:
    lab = ImageCms.profileToProfile(
        Image.new("RGB", (4, 4), (200, 60, 30)),
        ImageCms.createProfile("sRGB"),
        ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )
    assert lab is not None
    assert np.abs(np.asarray(to_srgb(lab)) - np.array([200.0, 60, 30])).max() <= 3
