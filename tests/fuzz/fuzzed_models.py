"""Readers of what trained models and runs leave, and of settings, for `tests.fuzz.fuzzed`."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import tomli_w
import torch
from torch import nn

import multigen
from multigen.audio.synthesis import specgan, wavegan
from multigen.cli import bench
from multigen.config import Run, to_table, write_toml
from multigen.errors import ConfigError
from multigen.image.restoration import srgan
from multigen.image.synthesis import dcgan
from multigen.image.synthesis.base import ImageInfo
from multigen.runs import runner
from multigen.runs.comparison import compare, read_runs
from multigen.runs.report import words
from multigen.runs.runner import report_on
from multigen.storage.files import with_checksum
from multigen.storage.model_folder import write_model
from multigen.text.datasets import TextInfo
from multigen.text.synthesis import seqgan
from multigen.text.tokenizers import Tokenizer
from tests.engine.toys import Small, ToyConfig, options, resumed
from tests.fuzz.fuzzing import Reader, mutate, mutate_dots, mutate_words

__all__ = ["LINES", "MODELS"]

LINES = [
    f"{who} {what} {where}." for who in ("the fox", "a hen") for what in ("sat", "ran") for where in ("by", "in", "on")
]
ROOT = Path(__file__).parents[2]


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
    folder: Path,
    method: str,
    config: Any,
    network: nn.Module,
    use: Callable[[Any], object],
    data: Mapping[str, Any] | None = None,
    **texts: str,
) -> Reader:
    write_model(folder, method, to_table(config), {"G": network.state_dict()}, texts, data)
    files = content_of(folder)
    return Reader(files, [lambda folder, path: use(multigen.load(str(folder)))], (), (), [mutate, either, either])


def dcgan_model(place: Path) -> Reader:
    c = replace(dcgan.PRESETS["tiny"], size=16, width=2, latent=3, conditional=True)
    trainer = dcgan.DCGANTrainer(c)
    trainer.data_info = ImageInfo(classes=("a", "b"), channels=1)
    data = to_table(trainer.data_info)
    return model(place, "dcgan", c, trainer.generator(), lambda found: found.sample(2), data)


def srgan_model(place: Path) -> Reader:
    c = replace(srgan.PRESETS["tiny"], blocks=1, width=3)
    picture = torch.zeros(3, 4, 5, dtype=torch.uint8)
    return model(place, "srgan", c, srgan.SRGANTrainer(c).generator(), lambda found: found.upscale(picture))


def seqgan_model(place: Path) -> Reader:
    made = Tokenizer.train(LINES, "words")
    trainer = seqgan.SeqGANTrainer(replace(seqgan.PRESETS["tiny"], network="lstm", embedding=2, width=3, length=5))
    trainer.data_info = TextInfo("", len(made), made.start, made.end, made.pad, made.fingerprint)
    return model(
        place,
        "seqgan",
        trainer.config,
        trainer.generator(),
        lambda found: found.generate("the", 2, length=5),
        to_table(trainer.data_info),
        **{"tokenizer.json": made.to_json()},
    )


def llama_model(place: Path) -> Reader:
    """A pretrained model that was trained on, with its own description."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes: dict[str, Any] = {
        "vocab_size": 9,
        "hidden_size": 4,
        "intermediate_size": 4,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    LlamaForCausalLM(LlamaConfig(**sizes)).save_pretrained(place / "llama")
    c = replace(seqgan.PRESETS["tiny"], network="pretrained", pretrained=str(place / "llama"), length=5)
    trainer = seqgan.SeqGANTrainer(c)
    trainer.data_info = TextInfo(tokens=9)
    network: Any = trainer.generator()
    texts = {"transformer.json": network.model.config.to_json_string()}
    data = to_table(trainer.data_info)
    return model(place / "model", "seqgan", c, network, lambda found: found.generate("", 2, length=5), data, **texts)


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
    """Of `multigen report` and `multigen compare`: all that a run writes beside its weights."""
    c = replace(dcgan.PRESETS["tiny"], width=2, steps=4, samples=20, validation_size=100, conditional=True)
    run = Run(out=str(place / "run"), device="cpu", precision="fp32", log_every=1, validate_every=2)
    runner.train(dcgan.DCGANTrainer, c, run)
    files = {name: data for name, data in content_of(place / "run").items() if not name.endswith(".safetensors")}

    def compared(folder: Path, path: Path) -> object:
        again = shutil.copytree(folder, folder / "again")
        return compare(read_runs([str(folder), str(again)]))

    read = [lambda folder, path: report_on(folder), compared]
    del files["report.html"]
    damaged = [name for name in files if name.endswith(("json", "jsonl", "toml", "png"))]
    return Reader(
        files, read, damaged, (), [mutate, lambda data, rng: (mutate_words if is_text(data) else mutate)(data, rng)]
    )


def run_folder(_: Path) -> Reader:
    """As `report`, up to what is drawn: quicker, and with lines of every sort."""
    metrics: list[dict[str, Any]] = [
        {"step": 2 * i, "stage": "ab"[i > 4], "D/loss": 0.5, "G/loss": i / 3, "items_per_second": 9.0} for i in range(9)
    ]
    metrics += [
        {"step": 9, "validation": {"fd": 0.5}},
        {"step": 9, "control": "lr", "value": 0.5, "reason": "r", "rollback": 4},
    ]
    log: list[dict[str, Any]] = [
        {
            "step": 0,
            "time": "2026-01-01T00:00:00",
            "began": {"command": "multigen train dcgan", "steps": {"a": 10, "b": 8}},
        },
        {"step": 2, "time": "2026-01-01T00:00:01", "rates": {"G": 2e-4, "D": 2e-4}},
        {"step": 4, "time": "2026-01-01T00:00:02", "said": "a line"},
        {"step": 18, "time": "2026-01-01T00:00:03", "finished": True},
    ]
    evaluation = {
        "rows": {"b/last": {"fd": 1.5, "fd_std": 0.1}, "real": {"fd": 0.5}},
        "definitions": {"fd": "a distance; of features"},
        "remarks": {"verdict": "good"},
        "steps": {"a": 10, "b": 8},
        "seconds": 9.5,
        "seeds": [0],
    }
    table = {"version": "0.2.0", "method": "dcgan", "config": to_table(dcgan.PRESETS["tiny"]), "run": to_table(Run())}
    files = {
        "metrics.jsonl": "".join(json.dumps(line) + "\n" for line in metrics),
        "log.jsonl": "".join(json.dumps(line) + "\n" for line in log),
        "evaluation.json": json.dumps(evaluation, indent=1),
        "config.toml": tomli_w.dumps(table),
        "checkpoints/step-000000018/run.json": with_checksum(
            {"step": 18, "state": {"seconds": 9.5, "best_step/a": 9}}
        ).decode(),
    }

    def read(folder: Path, path: Path) -> object:
        other = folder.parent / "other-run"
        shutil.rmtree(other, ignore_errors=True)
        runs = read_runs([str(folder), str(shutil.copytree(folder, other))])
        return compare(runs), [words.log(run) + words.warnings(run) + words.verdict(run) for run in runs.values()]

    def dots(data: bytes, rng: Any) -> bytes:
        return (mutate_dots if b"[run]" in data else mutate_words)(data, rng)

    mutations = [mutate, mutate_words, mutate_words, dots]
    return Reader({name: text.encode() for name, text in files.items()}, [read], (), (), mutations)


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
            bench._bench(path, folder / "results", "multigen bench", "cpu", str(folder / "run"), False, False, True)
        except ConfigError as error:
            if str(error) != f"{folder}: training begins":
                raise
        finally:
            runner.train = kept

    return Reader({"r.toml": text.encode()}, [read], (), (), [mutate, mutate_words, mutate_words])


def settings(place: Path) -> Reader:
    """Of `--config`."""
    write_toml(place / "c.toml", {"method": "dcgan", "config": to_table(dcgan.PRESETS["tiny"]), "run": to_table(Run())})
    files = {"c.toml": (place / "c.toml").read_bytes()}

    def read(folder: Path, path: Path) -> object:
        return runner.parse(["--config", str(path)], "dcgan", dcgan.PRESETS)

    return Reader(files, [read], (), (), [mutate, mutate_words, mutate_words, mutate_dots])


MODELS: dict[str, Callable[[Path], Reader]] = {
    **{f.__name__: f for f in (checkpoint, result, report, run_folder, recipe, settings)},
    **{f.__name__: f for f in (dcgan_model, srgan_model, seqgan_model, llama_model, wavegan_model, specgan_model)},
}
"""Name -> the reader, which may be made with the help of an empty folder."""
