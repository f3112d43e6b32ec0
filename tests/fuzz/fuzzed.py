"""The readers that `fuzzing` feeds: small whole files of every kind, and what training and the
commands read them with."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from multigen.audio.datasets import open_sounds
from multigen.audio.files import read_info, read_sound
from multigen.image.datasets import open_images
from multigen.image.decoding import read_raster
from multigen.image.degrade import reduced
from multigen.image.files import open_photos
from multigen.image.restoration.crops import CropSource
from multigen.storage import provenance
from multigen.text.datasets import open_corpus
from multigen.text.oracle import Oracle
from multigen.text.tokenizers import Tokenizer, read_tokenizer
from tests import tiny
from tests.fuzz.fuzzed_models import LINES, MODELS
from tests.fuzz.fuzzing import Reader, fill_zip, mend_png, mutate, mutate_gzip, mutate_words, mutate_zip
from tests.fuzz.hostile_models import HOSTILE

__all__ = ["READERS"]


# ---------------------------------------------------------------------------------------------------- pictures


def encoded(kind: str, picture: Image.Image, **settings: Any) -> bytes:
    held = io.BytesIO()
    picture.save(held, kind, **settings)
    return held.getvalue()


def colour(side: int = 12) -> Image.Image:
    return Image.fromarray(tiny.pixels(side, side + 3))


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def pictures(kind: str, *files: bytes, also: Any = mutate) -> Reader:
    """Upscaling, training of super-resolution and of generators."""
    others = {".png", ".jpg", ".gif", ".webp", ".tif", ".bmp", ".ppm", ".jp2"} - {kind}
    return Reader(
        {f"{i}{kind}": content for i, content in enumerate(files)},
        [
            lambda folder, path: read_raster(path),
            lambda folder, path: provenance.read(path),
            lambda folder, path: CropSource(open_photos(str(folder)), 8, 2, lambda image, name: reduced(image, 2)),
            lambda folder, path: open_images(str(folder), 8, channels=3, skip_bad=True),
        ],
        others=sorted(others),
        mutations=[mutate, also],
        noisy=kind == ".tif",
    )


def png(_: Path) -> Reader:
    clear = encoded("PNG", colour().quantize(5), transparency=0)
    deep = Image.fromarray(np.arange(180, dtype=np.uint16).reshape(12, 15) * 300)
    files = [
        encoded("PNG", colour(), exif=turned()),
        clear,
        encoded("PNG", deep),
        encoded("PNG", colour().convert("LA")),
    ]
    return pictures(".png", *files, also=mend_png)


def jpeg(_: Path) -> Reader:
    files = [encoded("JPEG", colour(), exif=turned()), encoded("JPEG", colour(40), progressive=True, comment="words")]
    return pictures(".jpg", *files, encoded("JPEG", colour().convert("CMYK")), encoded("JPEG", colour().convert("L")))


def gif(_: Path) -> Reader:
    frames = [colour().quantize(7), colour().rotate(90).quantize(9)]
    return pictures(
        ".gif", *(encoded("GIF", f) for f in frames), encoded("GIF", frames[0], save_all=True, append_images=frames)
    )


def webp(_: Path) -> Reader:
    clear = colour().convert("RGBA")
    files = [encoded("WEBP", colour(), exif=turned()), encoded("WEBP", clear, lossless=True)]
    return pictures(".webp", *files, encoded("WEBP", clear, save_all=True, append_images=[clear.rotate(90)]))


def tiff(_: Path) -> Reader:
    kinds = ["raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"]
    deep = Image.fromarray(np.arange(180, dtype=np.uint16).reshape(12, 15) * 300)
    return pictures(".tif", *(encoded("TIFF", colour(), compression=kind) for kind in kinds), encoded("TIFF", deep))


def bmp(_: Path) -> Reader:
    return pictures(
        ".bmp", *(encoded("BMP", picture) for picture in (colour(), colour().quantize(9), colour().convert("1")))
    )


def packed(**arrays: np.ndarray) -> bytes:
    held = io.BytesIO()
    np.savez(held, **arrays)  # pyright: ignore[reportArgumentType]
    return held.getvalue()


def npz(_: Path) -> Reader:
    images, labels = np.stack([tiny.pixels(9, 9, i) for i in range(4)]), np.array([0, 1, 0, 1])
    files = {"a.npz": packed(images=images, labels=labels), "b.npz": packed(images=images[..., 0] / np.float32(255))}
    return Reader(
        files, [lambda folder, path: open_images(str(path), 8)], mutations=[mutate, mutate_zip, mutate_zip, fill_zip]
    )


def idx(_: Path) -> Reader:
    images, numbers = np.arange(4 * 81, dtype=np.uint8), np.array([0, 1, 0, 1], np.uint8)
    files = {
        "train-images-idx3-ubyte": bytes((0, 0, 8, 3)) + np.array([4, 9, 9], ">u4").tobytes() + images.tobytes(),
        "train-labels-idx1-ubyte": bytes((0, 0, 8, 1)) + np.array([4], ">u4").tobytes() + numbers.tobytes(),
    }
    return Reader(files, [lambda folder, path: open_images(str(folder), 8)])


def gzipped(_: Path) -> Reader:
    import gzip

    plain = idx(_)
    files = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in plain.files.items()}
    return replace(plain, files=files, mutations=[mutate, mutate_gzip])


def labels(_: Path) -> Reader:
    files = {f"{i}.png": encoded("PNG", colour()) for i in range(4)}
    table = "file,label\n" + "".join(f'{name},"{"ab"[i % 2]}"\n' for i, name in enumerate(files))

    def read(folder: Path, path: Path) -> object:
        return open_images(str(folder), 8, labels=str(path))

    return Reader({**files, "labels.csv": table.encode()}, [read], ["labels.csv"], (), [mutate, mutate_words])


# ---------------------------------------------------------------------------------------------------- sounds


def sounds(kind: str, *subtypes: tuple[str, str, int]) -> Reader:
    """Training, and what `evaluate` asks of headers; whole recordings and parts of them."""
    others = {".wav", ".flac", ".ogg", ".mp3", ".aiff", ".opus"} - {kind}
    files = {}
    for i, (container, subtype, channels) in enumerate(subtypes):
        held, t = io.BytesIO(), np.arange(2400)[:, None] / np.linspace(9, 14, channels)
        soundfile.write(held, np.sin(t) / 2, 8000, subtype, format=container)
        files[f"{i}{kind}"] = files[f"whole{i}{kind}"] = held.getvalue()

    def part(folder: Path, path: Path) -> object:
        return read_sound(path, 4000, mono=False, start=500, frames=600)

    return Reader(
        files,
        [
            lambda folder, path: read_info(path),
            *([lambda folder, path: provenance.read(path)] if kind in provenance.SOUNDS else []),
            part,
            lambda folder, path: open_sounds(str(folder), 4000, 256),
            lambda folder, path: open_sounds(str(folder), 8000, 256, trim=True, normalise=True, skip_bad=True),
        ],
        [name for name in files if not name.startswith("whole")],
        sorted(others),
        noisy=True,  # mpg123
    )


def onsets(_: Path) -> Reader:
    """Training on the beats of loops."""
    plain = sounds(".wav", *SOUNDS["wav"])
    return replace(plain, reads=[lambda folder, path: open_sounds(str(folder), 8000, 256, cut="onsets", skip_bad=True)])


SOUNDS: dict[str, list[tuple[str, str, int]]] = {
    "wav": [
        ("WAV", "PCM_16", 1),
        ("WAV", "FLOAT", 2),
        ("WAV", "MS_ADPCM", 1),
        ("WAVEX", "PCM_24", 3),
        ("WAV", "ULAW", 1),
    ],
    "flac": [("FLAC", "PCM_16", 1), ("FLAC", "PCM_24", 2)],
    "ogg": [("OGG", "VORBIS", 1), ("OGG", "VORBIS", 2), ("OGG", "OPUS", 1)],
    "mp3": [("MP3", "MPEG_LAYER_III", 1), ("MP3", "MPEG_LAYER_III", 2)],
    "aiff": [("AIFF", "PCM_16", 1), ("AIFF", "FLOAT", 2)],
}


# ---------------------------------------------------------------------------------------------------- texts


def corpus(path: Path, **changes: Any) -> Any:
    return open_corpus(str(path), 6, oracle_texts=10, **changes)


def texts(_: Path) -> Reader:
    lines = "\n".join(LINES)
    prose = "\n\n".join(f"{line} {line}\n{line}" for line in LINES)
    files = {
        "lines.txt": lines.encode(),
        "prose.txt": prose.encode(),
        "wide.txt": "狐が\n走った。\nünïcödé “quoted”\n猫".encode(),
    }
    kinds = [("words", False), ("characters", True), ("bpe", True)]
    reads = [lambda folder, path, k=k, s=s: corpus(path, tokenizer=k, skip_bad=s) for k, s in kinds]
    return Reader(files, reads, (), (), [mutate, mutate_words])


def tokenizer(_: Path) -> Reader:
    """As of a model folder that is sampled from (tested whole by `seqgan`), or that training starts
    from."""
    kinds = ("words", "characters", "bpe")
    files = {f"{kind}/tokenizer.json": Tokenizer.train(LINES, kind, 270).to_json().encode() for kind in kinds}

    def read(folder: Path, path: Path) -> None:
        result = read_tokenizer(path.parent)
        assert result is not None
        (folder / "lines.txt").write_text("\n".join(LINES))
        held = open_corpus(str(folder / "lines.txt"), 6, given=result)
        held.texts(held.train)

    return Reader(files, [read], (), (), [mutate, mutate_words, mutate_words])


def oracle(_: Path) -> Reader:
    network = Oracle.seeded(0, 11, 3).network
    rng = np.random.default_rng(0)
    gates = {
        f"{kind}{gate}": rng.normal(size=3 if kind == "b" else (3, 3))
        for kind in "WUb"
        for gate in ("i", "f", "og", "c")
    }
    content = packed(
        embeddings=network.embedding.weight.numpy(), Wo=rng.normal(size=(3, 11)), bo=rng.normal(size=11), **gates
    )
    return Reader({"o.npz": content}, [lambda folder, path: corpus(path)], mutations=[mutate, mutate_zip])


READERS: dict[str, Callable[[Path], Reader]] = {
    **{f.__name__: f for f in (png, jpeg, gif, webp, tiff, bmp, npz, idx, gzipped, labels)},
    **{kind: lambda _, kind=kind, made=made: sounds(f".{kind}", *made) for kind, made in SOUNDS.items()},
    **{f.__name__: f for f in (onsets, texts, tokenizer, oracle)},
    **MODELS,
    **HOSTILE,
}
"""Name -> the reader, which may be made with the help of an empty folder."""
