"""The readers that `tests.fuzzing` feeds: small whole files of every kind, and what training and the commands read them with."""

import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from PIL import Image
from torch import nn

import multigen
from multigen import provenance
from multigen.audio import specgan, wavegan
from multigen.audio.data import open_sounds
from multigen.audio.io import read_info, read_sound
from multigen.cli import bench
from multigen.config import Run, to_table, write_toml
from multigen.errors import ConfigError
from multigen.image import dcgan, srgan
from multigen.image.data import CropSource, open_photos, read_image_with_alpha
from multigen.image.sets import open_images
from multigen.recipes import runner
from multigen.recipes.reporting import report_on
from multigen.runs import write_model
from multigen.text import seqgan
from multigen.text.corpus import open_corpus
from multigen.text.oracle import Oracle
from multigen.text.tokenizers import Tokenizer
from multigen.text.writing import read_tokenizer
from tests import tiny
from tests.engine.toys import Small, ToyConfig, options, resumed
from tests.fuzzing import Reader, mend_png, mutate, mutate_words, mutate_zip

__all__ = ["READERS"]

LINES = [
    f"{who} {what} {where}." for who in ("the fox", "a hen") for what in ("sat", "ran") for where in ("by", "in", "on")
]
ROOT = Path(__file__).parents[1]


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
            lambda folder, path: read_image_with_alpha(path),
            lambda folder, path: provenance.read(path),
            lambda folder, path: CropSource(open_photos(str(folder)), 8, 2),
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
    return Reader(files, [lambda folder, path: open_images(str(path), 8)], mutations=[mutate, mutate_zip])


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
    return replace(plain, files=files)


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
    return open_corpus(replace(seqgan.SeqGANConfig(data=str(path), length=6, oracle_texts=10), **changes))


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
    """As of a model folder that is sampled from (tested whole by `seqgan`), or that training starts from."""
    kinds = ("words", "characters", "bpe")
    files = {f"{kind}/tokenizer.json": Tokenizer.train(LINES, kind, 270).to_json().encode() for kind in kinds}

    def read(folder: Path, path: Path) -> None:
        found = read_tokenizer(path.parent)
        assert found is not None
        (folder / "lines.txt").write_text("\n".join(LINES))
        held = open_corpus(seqgan.SeqGANConfig(data=str(folder / "lines.txt"), length=6), found)[0]
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


# ---------------------------------------------------------------------------------------------------- models and runs


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def tensors(data: bytes, rng: Any) -> bytes:
    """A safetensors file with other words in its header, whose length is right."""
    size = int.from_bytes(data[:8], "little")
    header = mutate_words(data[8 : 8 + size], rng)
    return len(header).to_bytes(8, "little") + header + data[8 + size :]


def either(data: bytes, rng: Any) -> bytes:
    """By its kind."""
    binary = data[8:10] == b'{"'
    return (tensors if binary else mutate_words)(data, rng)


def model(
    folder: Path, method: str, config: Any, network: nn.Module, use: Callable[[Any], object], **texts: str
) -> Reader:
    write_model(folder, method, to_table(config), {"G": network.state_dict()}, texts)
    files = content_of(folder)
    return Reader(files, [lambda folder, path: use(multigen.load(str(folder)))], (), (), [mutate, either, either])


def dcgan_model(place: Path) -> Reader:
    c = replace(dcgan.PRESETS["tiny"], size=16, width=2, latent=3, channels=1, classes=("a", "b"), conditional=True)
    return model(place, "dcgan", c, dcgan.build_generator(c), lambda found: found.sample(2))


def srgan_model(place: Path) -> Reader:
    c = replace(srgan.PRESETS["tiny"], blocks=1, width=3)
    picture = torch.zeros(3, 4, 5, dtype=torch.uint8)
    return model(place, "srgan", c, srgan.build_generator(c), lambda found: found.upscale(picture))


def seqgan_model(place: Path) -> Reader:
    made = Tokenizer.train(LINES, "words")
    c = replace(seqgan.PRESETS["tiny"], network="lstm", embedding=2, width=3, length=5, tokens=len(made))
    c = replace(c, vocabulary=made.fingerprint, start=made.start, end=made.end, pad=made.pad)
    network = seqgan.build_generator(c)
    return model(
        place,
        "seqgan",
        c,
        network,
        lambda found: found.generate("the", 2, length=5),
        **{"tokenizer.json": made.to_json()},
    )


def llama_model(place: Path) -> Reader:
    """A pretrained model that was trained on, with its own description."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {
        "vocab_size": 9,
        "hidden_size": 4,
        "intermediate_size": 4,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    LlamaForCausalLM(LlamaConfig(**sizes, max_position_embeddings=8)).save_pretrained(place / "llama")
    c = replace(seqgan.PRESETS["tiny"], network="pretrained", pretrained=str(place / "llama"), length=5, tokens=9)
    network: Any = seqgan.build_generator(c)
    described = network.model.config.to_json_string()
    made = place / "model"
    return model(
        made, "seqgan", c, network, lambda found: found.generate("", 2, length=5), **{"transformer.json": described}
    )


def wavegan_model(place: Path) -> Reader:
    c = replace(wavegan.PRESETS["tiny"], width=2, latent=3, data=str(place))
    return model(place, "wavegan", c, wavegan.Generator(c), lambda found: found.sample(1))


def specgan_model(place: Path) -> Reader:
    c = replace(specgan.PRESETS["tiny"], width=2, latent=3, data=str(place))
    return model(place, "specgan", c, specgan.Generator(c), lambda found: found.sample(1))


def checkpoint(place: Path) -> Reader:
    """A run that is gone on with: its configuration, its checkpoints, the lines that it logged."""
    run = options(place / "run", save_every=3, log_every=2)
    Small(ToyConfig(), run).fit()
    files = {name: data for name, data in content_of(place / "run").items() if not name.startswith("model")}

    def read(folder: Path, path: Path) -> None:
        Small(ToyConfig(steps=8), resumed(replace(run, out=str(folder)))).fit()

    def again(folder: Path, path: Path) -> None:
        shutil.rmtree(folder / "checkpoints" / "step-000000003", ignore_errors=True)
        read(folder, path)

    damaged = [name for name in files if "step-000000000" not in name]
    return Reader(files, [read, again], damaged, (), [mutate, either])


# ---------------------------------------------------------------------------------------------------- settings


def result(_: Path) -> Reader:
    """Of `multigen bench --check`."""
    files = {
        "r.toml": (ROOT / "recipes" / "digits-dcgan.toml").read_bytes(),
        "r.json": (ROOT / "recipes" / "results" / "digits-dcgan.json").read_bytes(),
    }
    read = [lambda folder, path: bench._check(folder / "r.toml", folder)]
    return Reader(files, read, ["r.json"], (), [mutate, mutate_words, mutate_words])


def report(place: Path) -> Reader:
    """Of `multigen report`: all that a run writes beside its weights."""
    c = replace(dcgan.PRESETS["tiny"], width=2, steps=4, samples=20, hold=100, conditional=True)
    run = Run(out=str(place / "run"), device="cpu", precision="fp32", log_every=1, validate_every=2)
    runner.train(dcgan.DCGANTrainer, c, run)
    files = {name: data for name, data in content_of(place / "run").items() if not name.endswith(".safetensors")}
    read = [lambda folder, path: report_on(folder)]
    del files["report.html"]
    damaged = [name for name in files if name.endswith(("json", "jsonl", "toml", "png"))]
    return Reader(
        files, read, damaged, (), [mutate, lambda data, rng: (mutate_words if is_text(data) else mutate)(data, rng)]
    )


def is_text(data: bytes) -> bool:
    return b"\0" not in data


def recipe(_: Path) -> Reader:
    """Of `multigen bench`, up to where training would begin."""
    text = (
        ROOT / "recipes" / "digits-dcgan.toml"
    ).read_text() + "\n[variants.small]\nwidth = 4\n[variants.more]\nlr = [1e-3, 2]\n"

    def read(folder: Path, path: Path) -> None:
        def trained(*_: Any) -> Any:
            raise ConfigError(f"{folder}: training begins")

        runner.train, kept = trained, runner.train
        try:
            bench._bench(path, folder / "results", "cpu", str(folder / "run"), False)
        except ConfigError as error:
            if str(error) != f"{folder}: training begins":
                raise
        finally:
            runner.train = kept

    return Reader({"r.toml": text.encode()}, [read], (), (), [mutate, mutate_words, mutate_words])


def settings(place: Path) -> Reader:
    """Of `--config`."""
    write_toml(place / "c.toml", {"recipe": "dcgan", "config": to_table(dcgan.PRESETS["tiny"]), "run": to_table(Run())})
    files = {"c.toml": (place / "c.toml").read_bytes()}

    def read(folder: Path, path: Path) -> object:
        return runner.parse(["--config", str(path)], "dcgan", dcgan.PRESETS)

    return Reader(files, [read], (), (), [mutate, mutate_words, mutate_words])


READERS: dict[str, Callable[[Path], Reader]] = {
    **{f.__name__: f for f in (png, jpeg, gif, webp, tiff, bmp, npz, idx, gzipped, labels)},
    **{kind: lambda _, kind=kind, made=made: sounds(f".{kind}", *made) for kind, made in SOUNDS.items()},  # pyright: ignore
    **{f.__name__: f for f in (onsets, texts, tokenizer, oracle, checkpoint, result, report, recipe, settings)},
    **{f.__name__: f for f in (dcgan_model, srgan_model, seqgan_model, llama_model, wavegan_model, specgan_model)},
}
"""Name -> the reader, which may be made with the help of an empty folder."""
