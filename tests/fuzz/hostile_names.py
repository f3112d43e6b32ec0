"""Names and texts that speak to a terminal, files that hold them, and what may not be printed of
them."""

import json
import random
import shutil
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from safetensors.torch import save_file

from multigen.config import Run, to_table, write_toml
from multigen.image.restoration import srgan
from multigen.image.synthesis import dcgan
from multigen.image.synthesis.base import ImageInfo
from multigen.text.datasets import TextInfo
from multigen.text.synthesis import seqgan
from multigen.text.tokenizers import Tokenizer
from tests import tiny

__all__ = ["CASES", "EVERYTHING", "NAMES", "forbidden", "name_of", "place_of"]

NAMES = {
    "title": "\x1b]0;owned\x07",
    "screen": "\x1b[2J\x1b[31mred",
    "line": "a\nerror: injected",
    "return": "a\rerror: injected",
    "backspace": "a\b\b\b",
    "C1": "\x9b31m\x9d0;owned\x9c",
    "DEL": "a\x7f",
    "override": "a\u202egnp.exe",
    "isolate": "\u2066a\u2069",
    "separators": "a\u2028b\u2029c",
    "hidden": "a\u200b\ufeff\xad\U000e0041b",
    "markup": "[red]a[-red] [link=http:]b[-link] :smile:",
    "shell": "a; $(touch owned) `touch owned` '\"\\ &",
}
"""Of each kind one, which a file may have too."""
EVERYTHING = "".join(NAMES.values())
ALLOWED = {"\n", "\u200c", "\u200d"}


def forbidden(printed: str) -> list[str]:
    """Characters that a terminal obeys or does not show, and lines that a name made."""
    kinds = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    result = {ascii(c) for c in printed if unicodedata.category(c) in kinds and c not in ALLOWED}
    return sorted(result) + [line for line in printed.split("\n") if line.startswith("error: injected")]


def name_of(seed: int) -> str:
    """A name that follows from the seed: letters, and characters that are drawn from those above
    and from all there are."""
    rng = random.Random(seed)
    known = sorted({*EVERYTHING} - {"/"})
    drawn: list[Callable[[], str]] = [
        lambda: rng.choice("abc -_.$[]%"),
        lambda: rng.choice(known),
        lambda: chr(rng.randrange(1, 0xA0)),
        lambda: chr(rng.choice([*range(0x2000, 0x2070), *range(0xFE00, 0xFF00), *range(0xE0000, 0xE0080)])),
        lambda: chr(rng.choice([rng.randrange(0xA0, 0xD800), rng.randrange(0xE000, 0x110000)])),
        lambda: rng.choice([*NAMES.values()]),
    ]
    text = "".join(rng.choice(drawn)() for _ in range(rng.randrange(1, 12))).replace("/", "").replace("\0", "")
    return f"n{text}"[:40]


# ---------------------------------------------------------------------------------------------------- files


def place_of(folder: Path, name: str) -> Path:
    """A folder of that name with data, models, runs and a recipe, in all of which the name stands
    wherever it can."""
    place = folder / name
    tiny.photos(place / "photos" / name, 2, 16)
    tiny.photos(place / "photos" / "b", 2, 16)
    (place / "photos" / "b" / f"{name}.png").write_text("no image")
    (place / "texts").mkdir()
    (place / "texts" / f"{name}.txt").write_text(f"{name}\n\na fox.\n" * 3, encoding="utf-8")
    for part in (name, "b"):
        (place / "sounds" / part).mkdir(parents=True)
        soundfile.write(place / "sounds" / part / f"{name}.wav", np.sin(np.arange(800.0)), 8000)
    (place / "sounds" / "b" / f"x{name}.wav").write_text("no sound")
    (place / "labels.csv").write_text(f'file,"{name}"\n', encoding="utf-8")
    _models(place, name)
    for run in ("run-1", "run-2"):
        _run(place / run, name, run)
    _recipe(place, name)
    return place


def _models(place: Path, name: str) -> None:
    trainer = dcgan.DCGANTrainer(replace(dcgan.PRESETS["tiny"], size=16, width=2, latent=3, conditional=True))
    tiny.untrained(place / "model", trainer, ImageInfo(classes=(name, "b"), channels=1))
    tiny.untrained(place / "up", srgan.SRGANTrainer(srgan.SRGANConfig(blocks=1, width=4)))
    tokenizer = Tokenizer.train([f"The fox {name} saw {name}x a hen."], "words")
    texts = seqgan.SeqGANTrainer(replace(seqgan.PRESETS["tiny"], length=9))
    of = TextInfo("", len(tokenizer), tokenizer.start, tokenizer.end, tokenizer.pad, tokenizer.fingerprint)
    tiny.untrained(place / "texts-model", texts, of, {"tokenizer.json": tokenizer.to_json()})
    about = json.loads((place / "model" / "model" / "config.json").read_text())
    for kind, text in {
        "method": json.dumps(about | {"method": name}),
        "settings": json.dumps(about | {"config": about["config"] | {name: name, "size": name}}),
        "weights": json.dumps(about),
        "json": f"{{{name}",
    }.items():
        path = shutil.copytree(place / "model", place / f"wrong-{kind}") / "model"
        (path / "config.json").write_text(text, encoding="utf-8")
    save_file({name: torch.zeros(1)}, place / "wrong-weights" / "model" / "G.safetensors")


def _run(folder: Path, name: str, which: str) -> None:
    """The folder of a run without a model, whose settings, metrics and log differ from
    another's."""
    folder.mkdir()
    config = to_table(dcgan.PRESETS["tiny"]) | {"data": f"{name}{which}", "size": 16}
    about = {"method": "dcgan", "title": name, "version": name, "run": to_table(Run(out=f"{name}{which}"))}
    write_toml(folder / "config.toml", about | {"config": config, "data": {"classes": [name, which]}})
    lines: list[dict[str, Any]] = [{"step": i, "stage": name, "loss": 1 / i, f"{name}/{name}": 1.0} for i in (1, 2, 3)]
    lines.append({"step": 3, "validation": {name: 1.0}})
    log = [{"began": dict.fromkeys(("command", "commit", "machine"), name) | {"steps": {name: 3}}}]
    log += [{"said": name}, {"rates": {name: 0.5}}, {"error": name}]
    log = [{"time": name, "step": 0, **line} for line in log]
    for file, held in (("metrics", lines), ("log", log)):
        (folder / f"{file}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in held))
    (folder / "evaluation.json").write_text(json.dumps(_result(name, which)))


def _result(name: str, which: str = "") -> dict[str, Any]:
    rows = {row: {name: 1.0, "fd": 2.0} for row in (name, f"adversarial/{name}", "real")}
    about = dict.fromkeys(("command", "commit", "machine", "date"), name)
    expected = {"definitions": {name: f"{name}{which}; features: {name}", "fd": which}, "remarks": {name: name}}
    return {**about, **expected, "rows": rows, "status": "ok", "seeds": [0], "steps": {name: 3}, "seconds": 1.0}


def _recipe(place: Path, name: str) -> None:
    figure = {"row": name, "metric": name}
    table = {"method": "dcgan", "preset": "tiny", "config": {"data": name}, "reach": [{**figure, "at_least": 9.0}]}
    write_toml(place / f"{name}.toml", table)
    write_toml(place / "wrong.toml", {"method": "dcgan", "config": {name: name}, "run": {name: name}})
    (place / "results").mkdir()
    (place / "results" / f"{name}.json").write_text(json.dumps(_result(name)))


# ---------------------------------------------------------------------------------------------------- commands

Words = Sequence[str | Path]

CASES: dict[str, tuple[int, Callable[[Path, str], Words]]] = {
    "inspect images": (0, lambda p, n: ["inspect", p / "photos"]),
    "inspect as JSON": (0, lambda p, n: ["inspect", p / "photos", "--json"]),
    "inspect texts": (0, lambda p, n: ["inspect", p / "texts"]),
    "inspect sounds": (0, lambda p, n: ["inspect", p / "sounds"]),
    "inspect nothing": (2, lambda p, n: ["inspect", p / f"x{n}"]),
    "train on a bad image": (2, lambda p, n: ["train", "dcgan", "tiny", "--data", p / "photos", "--out", p / "new"]),
    "train in a folder that is taken": (2, lambda p, n: ["train", "dcgan", "tiny", "--out", p / "run-1"]),
    "train as another run": (0, lambda p, n: ["train", "dcgan", "--config", p / "run-1" / "config.toml", "--help"]),
    "train by another's run": (2, lambda p, n: ["train", "dcgan", "--resume", p / "run-1"]),
    "train by other settings": (2, lambda p, n: ["train", "dcgan", "--config", p / "wrong.toml"]),
    "train on a bad sound": (2, lambda p, n: ["train", "wavegan", "tiny", "--data", p / "sounds", "--out", p / "new"]),
    "train on a wrong table": (
        2,
        lambda p, n: ["train", "dcgan", "--data", p / "photos", "--labels", p / "labels.csv"],
    ),
    "train in others' folder": (2, lambda p, n: ["train", "dcgan", "tiny", "--out", p / "photos"]),
    "train, no such method": (2, lambda p, n: ["train", n]),
    "train, no such preset": (2, lambda p, n: ["train", "dcgan", n]),
    "train, no such device": (2, lambda p, n: ["train", "dcgan", "tiny", "--device", n, "--out", p / "new"]),
    "evaluate a bad image": (2, lambda p, n: ["evaluate", "--real", p / "photos", "--fake", p / "photos"]),
    "evaluate two kinds": (2, lambda p, n: ["evaluate", "--real", p / "photos", "--fake", p / "texts"]),
    "evaluate, no such features": (2, lambda p, n: ["evaluate", "--real", "a", "--fake", "b", "--features", n]),
    "sample": (0, lambda p, n: ["sample", "--model", p / "model", "-n", "2", "--class", n, "--out", p / f"s{n}"]),
    "sample the newest": (2, lambda p, n: ["sample", "--model", p, "--code", p / n, "--out", p / "s2"]),
    "sample a class that is none": (2, lambda p, n: ["sample", "--model", p / "model", "--class", f"x{n}"]),
    "sample another method": (2, lambda p, n: ["sample", "--model", p / "wrong-method"]),
    "sample other settings": (2, lambda p, n: ["sample", "--model", p / "wrong-settings"]),
    "sample other weights": (2, lambda p, n: ["sample", "--model", p / "wrong-weights"]),
    "sample no JSON": (2, lambda p, n: ["sample", "--model", p / "wrong-json"]),
    "sample texts": (2, lambda p, n: ["sample", "--model", p / "texts-model"]),
    "interpolate": (0, lambda p, n: [*interpolated(p), "--out", p / f"{n}.gif"]),
    "interpolate into no file": (2, lambda p, n: [*interpolated(p), "--out", p / f"x{n}"]),
    "upscale": (0, lambda p, n: [*upscaled(p), "--out", p / f"u{n}", "--skip-bad"]),
    "upscale a bad image": (2, lambda p, n: [*upscaled(p), "--out", p / f"v{n}"]),
    "write, a word that is none": (2, lambda p, n: ["write", "--model", p / "texts-model", "--prompt", f"zebra{n}"]),
    "write into a file": (0, lambda p, n: ["write", "--model", p / "texts-model", "--out", p / f"w{n}"]),
    "export into no file": (2, lambda p, n: ["export", "--model", p / "model", "--out", p / f"x{n}"]),
    "compare": (0, lambda p, n: ["compare", p / "run-1", p / "run-2", "--out", p / f"c{n}"]),
    "compare with one": (2, lambda p, n: ["compare", p / "run-1", "--out", p / f"c{n}"]),
    "report": (0, lambda p, n: ["report", p / "run-1"]),
    "report of no run": (2, lambda p, n: ["report", p / "photos"]),
    "bench, a figure is missed": (1, lambda p, n: ["bench", p / f"{n}.toml", "--check"]),
    "bench as JSON": (1, lambda p, n: ["bench", p / f"{n}.toml", "--check", "--json"]),
    "bench, no data": (2, lambda p, n: ["bench", p / f"{n}.toml", "--out", p / "bench"]),
    "bench as pages": (0, lambda p, n: ["bench", p / f"{n}.toml", "--page", p / f"p{n}.md"]),
    "bench of no recipe": (2, lambda p, n: ["bench", p / f"x{n}.toml"]),
    "cp": (0, lambda p, n: ["cp", "dcgan", p / "my_gan.py"]),
    "cp to no module": (2, lambda p, n: ["cp", "dcgan", p / f"{n}.py"]),
    "doctor": (0, lambda p, n: ["doctor"]),
    "completion": (2, lambda p, n: ["completion", n]),
    "no such verb": (2, lambda p, n: [n]),
    "no such option": (2, lambda p, n: ["report", "run", f"--{n}", "3"]),
    "no number": (2, lambda p, n: ["sample", "--model", "m", "-n", n]),
}
"""Exit code and words of commands, by the place and the name."""


def interpolated(place: Path) -> Words:
    return ["interpolate", "--model", place / "model", "-n", "2", "--frames", "2"]


def upscaled(place: Path) -> Words:
    return ["upscale", place / "photos" / "b", "--model", place / "up"]
