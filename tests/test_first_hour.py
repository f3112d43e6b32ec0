"""What a newcomer gets wrong first, and the one line that says what is right."""

import contextlib
import inspect
import json
import pydoc
import re
import shutil
import sys
import threading
import time
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import multigen
from multigen.bench.recipe import results_folder
from multigen.catalogue import BENCHMARKS, METHODS, imported
from multigen.catalogue.formats import Format
from multigen.console import counted, if_slow
from multigen.engine import Run
from multigen.engine.evaluation import Evaluation
from multigen.errors import ConfigError, DataError
from multigen.image import DCGANConfig
from multigen.image.files import read_image
from multigen.image.restoration import srgan
from multigen.image.synthesis import dcgan
from multigen.runs.runner import parse
from multigen.tasks.loading import trainer_in
from multigen.tasks.synthesis.evaluator import Evaluator
from tests import cases, tiny
from tests.engine.toys import ToyConfig, Whole, options

PRESETS_OF = {name: imported(f"{method.module}:PRESETS").get("tiny") for name, method in METHODS.items()}
CONFIGS = list(PRESETS_OF.values())

# ---------------------------------------------------------------------------------------------- settings in Python


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": "9"}, r"^steps = '9'; expected int, as in 10000$"),
        ({"steps": 9.5}, r"steps = 9\.5; expected int"),
        ({"steps": True}, r"steps = True; expected int"),
        ({"lr": "fast"}, r"lr = 'fast'; expected tuple\[float, float\], as in \(0\.0002, 0\.0002\)"),
        ({"lr": (1, 2, 3)}, r"lr = \(1, 2, 3\); expected tuple\[float, float\]"),
        ({"betas": 0.5}, r"betas = 0\.5; expected tuple"),
        ({"data": None}, r"data = None; expected str"),
        ({"mirror": 1}, r"mirror = 1; expected bool"),
        ({"features": "classifer"}, r"features = 'classifer'; expected one of .*; did you mean 'classifier'\?"),
    ],
)
def test_a_setting_of_another_type_is_refused_where_it_is_given(wrong: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DCGANConfig(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seed": "3"}, r"seed = '3'; expected int, as in 0"),
        ({"minutes": "1"}, r"minutes = '1'; expected float"),
        ({"precision": "float16"}, r"precision = 'float16'; expected one of .*; did you mean 'fp16'\?"),
        ({"precision": "bfloat16"}, r"did you mean 'bf16'\?"),
        ({"layout": 3}, r"layout = 3; expected one of 'channels_last', 'contiguous'$"),
        ({"compile": "yes"}, r"compile = 'yes'; expected bool"),
    ],
)
def test_an_option_of_another_type_is_refused_where_it_is_given(wrong: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Run(**wrong)


@pytest.mark.parametrize("config", CONFIGS, ids=list(METHODS))
def test_every_method_checks_the_types_of_its_settings(config: Any) -> None:
    for wrong in ({"steps": "9"}, {"batch": 1.5}, {"data": 3}, {"no_such": 1}):
        with pytest.raises(TypeError if "no_such" in wrong else ConfigError, match=next(iter(wrong))):
            type(config)(**wrong)


def test_what_says_the_same_is_taken(tmp_path: Path) -> None:
    config = DCGANConfig(data=tmp_path, lr=1e-4, betas=[0.5, 0.9], steps=np.int64(7), ema=1)  # pyright: ignore
    assert config == DCGANConfig(data=str(tmp_path), lr=(1e-4, 1e-4), betas=(0.5, 0.9), steps=7, ema=1.0)
    assert [type(v) for v in (config.data, config.lr, config.betas, config.steps)] == [str, tuple, tuple, int]
    run = Run(out=tmp_path / "run", start=tmp_path)  # pyright: ignore[reportArgumentType]
    assert (run.out, run.start) == (str(tmp_path / "run"), str(tmp_path))


@dataclass(frozen=True)
class OwnConfig(DCGANConfig):
    """With fields of kinds that no method of the package has."""

    most: int | None = None
    weights: dict[str, float] = field(default_factory=dict)


def test_a_method_of_ones_own_may_have_settings_of_any_kind() -> None:
    own = OwnConfig(most=3, weights={"a": 1.0})
    assert (own.most, OwnConfig(most=None).most, own.weights) == (3, None, {"a": 1.0})
    with pytest.raises(ConfigError, match=r"most = '3'; expected int \| None"):
        OwnConfig(most="3")  # pyright: ignore[reportArgumentType]


# ---------------------------------------------------------------------------------------------- files of settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('data = "flowers"', r"'data' is outside the tables; write a line \[config\] above"),
        ('method = "dcgan"\nsteps = 3', r"'steps' is outside the tables; write a line \[config\] above"),
        ("seed = 3", r"'seed' is outside the tables; write a line \[run\] above"),
        ("stepz = 3", r"unknown setting 'stepz'; expected the tables \[config\]"),
        ("[dcgan]\nsteps = 3", r"unknown table 'dcgan'; expected the tables \[config\]"),
        ('method = "dcgan"\npreset = "tiny"', r"is a benchmark recipe; run it with: multigen bench "),
    ],
)
def test_settings_outside_their_tables_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (file := tmp_path / "my.toml").write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        parse(["--config", str(file)], "dcgan", dcgan.PRESETS)
    assert str(file) in str(error.value) and "\n" not in str(error.value)


# ---------------------------------------------------------------------------------------------- trainers and models


def test_the_order_of_fit_and_evaluate_is_reported(tmp_path: Path) -> None:
    trainer = Whole(ToyConfig(), options(tmp_path / "run"))
    with pytest.raises(ConfigError, match=r"evaluate\(\) before fit\(\).*call fit\(\) first"):
        trainer.evaluate()
    trainer.fit()
    with pytest.raises(ConfigError, match=r"fit\(\) was called before; make a new trainer.*Run\(resume='"):
        trainer.fit()


def test_minutes_of_a_resume_are_reported_as_ignored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Whole(ToyConfig(), options(tmp_path / "run")).fit()
    capsys.readouterr()
    again = Whole(ToyConfig(), options("", resume=str(run.folder), minutes=0.1)).fit()
    assert capsys.readouterr().err.count("minutes 0.1 is left out: a resumed run keeps the steps") == 1
    assert again.step == run.step


def test_a_model_is_loaded_from_a_path(tmp_path: Path) -> None:
    folder = tiny.untrained(tmp_path, dcgan.DCGANTrainer(dcgan.PRESETS["tiny"]), None)
    assert multigen.load(folder).sample(2).shape == (2, 3, 32, 32)


# ---------------------------------------------------------------------------------------------- benchmarks


def test_a_benchmark_is_found_by_its_name_and_writes_its_result_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content = {
        "status": "ok",
        "rows": {},
        "seeds": [0],
        "seconds": 1.0,
        "method": "x",
        "definitions": {},
        "machine": {},
    }
    requested: list[tuple[Path, str]] = []

    def trained(path: Path, recipe: Any, *_: Any) -> dict[str, Any]:
        requested.append((path, recipe.method))
        return content

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("multigen.cli.bench._trained", trained)
    monkeypatch.setattr("multigen.cli.bench.figures", lambda *_: [])
    for name in ("digits-dcgan", "digits-dcgan.toml", "recipes/digits-dcgan.toml"):
        assert tiny.multigen(["bench", name, "--overwrite"]) == 0
        result = tmp_path / "results" / "digits-dcgan.json"
        assert json.loads(result.read_text())["command"] == f"multigen bench {name}"
        result.unlink()
    assert requested == [(BENCHMARKS / "digits-dcgan.toml", "dcgan")] * 3
    capsys.readouterr()
    assert tiny.multigen(["bench", "digits-dcgna"]) == 2
    assert "no such recipe; expected a TOML file" in (error := capsys.readouterr().err)
    assert "did you mean digits-dcgan?" in error


def test_results_of_an_installed_package_are_written_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multigen.catalogue.PACKAGE", tmp_path / "multigen")
    (packaged := tmp_path / "multigen" / "recipes" / "toml" / "a.toml").parent.mkdir(parents=True)
    packaged.touch()
    (own := tmp_path / "own.toml").touch()
    assert results_folder(packaged) == results_folder(Path("digits-dcgan")) == Path("results")
    assert results_folder(own) == tmp_path / "results"


# ---------------------------------------------------------------------------------------------- in Python


def test_objects_say_what_they_are(tmp_path: Path) -> None:
    trainer = Whole(ToyConfig(), options(tmp_path / "run"))
    assert repr(trainer) == "<Whole: not trained yet, which fit() does>"
    assert re.fullmatch(rf"<Whole: step \d+ of \d+, {tmp_path}/run>", repr(trainer.fit()))
    model = multigen.load(tiny.untrained(tmp_path / "faces", dcgan.DCGANTrainer(dcgan.PRESETS["tiny"])))
    line = "images = model.sample(16, seed=0)"
    assert repr(model) == f"<ImageSampler: dcgan of faces, generates images from noise; {line}>"
    result = Evaluation({"real": {"fd": 1.0}, "adversarial/last": {"fd": 2.0}})
    assert repr(result) == str(result) == result.table()


@pytest.mark.parametrize("config", [*CONFIGS, Run()], ids=[*METHODS, "run"])
def test_help_explains_every_setting(config: Any) -> None:
    shown = pydoc.plain(pydoc.render_doc(type(config)))
    for name, value in vars(type(config)()).items():
        result = re.search(rf"^ \|      {name}: .* = (.*)\n \|          (\S.*)", shown, re.M)
        assert result and result[1] == repr(value)


@pytest.mark.parametrize("name", METHODS)
def test_help_of_a_trainer_begins_with_its_use(name: str) -> None:
    trainer = trainer_in(import_module(METHODS[name].module))
    shown = pydoc.plain(pydoc.render_doc(trainer))
    use = f"trainer = {trainer.__name__}({type(PRESETS_OF[name]).__name__}(), multigen.Run("
    assert use in shown and shown.index("trainer.fit()") < shown.index("Methods defined here")
    config = type(PRESETS_OF[name])
    assert f"{trainer.__name__}(config: {config.__module__}.{config.__name__}, run: " in shown
    assert "~C" not in shown
    public = [(n, member) for n, member in inspect.getmembers(trainer, callable) if not n.startswith("_")]
    assert public and [n for n, member in public if not inspect.getdoc(member)] == []


# ---------------------------------------------------------------------------------------------- `tiny`


def test_few_samples_are_measured_by_a_classifier_of_few_steps() -> None:
    few, many = (dcgan.DCGANTrainer(DCGANConfig(samples=n)).extractor_steps for n in (100, 101))
    assert (few, many) == (30, 600)
    assert all(config.samples <= 100 for config in CONFIGS if hasattr(config, "samples"))


def test_figures_of_few_items_say_so() -> None:
    class Images(list[int]):
        noun = "images"

    def remarks(samples: int, test: int) -> dict[str, str]:
        result: Any = Evaluator.__new__(Evaluator)
        result.samples, result.splits = samples, SimpleNamespace(test=Images(range(test)))
        result.extractor_name, result.also, result.used_by_d = "classifier", (), ()
        return result.remarks()

    assert remarks(500, 500) == {}
    assert remarks(100, 180)["few"].startswith("100 samples were measured against 180 images; with fewer than 500")
    assert "against 1 image;" in remarks(500, 1)["few"]


@pytest.mark.parametrize(
    ("n", "plural", "said"),
    [
        *[(1, "images", "1 image"), (0, "images", "0 images"), (2, "classes", "2 classes"), (1, "classes", "1 class")],
        *[(1, "batches", "1 batch"), (1, "copies", "1 copy"), (12_345, "texts", "12,345 texts"), (1, "GPU", "1 GPU")],
    ],
)
def test_one_item_is_singular(n: int, plural: str, said: str) -> None:
    assert counted(n, plural) == said


# ---------------------------------------------------------------------------------------------- words of other tools


def error_of(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The line that a command ends with."""
    capsys.readouterr()
    assert tiny.multigen(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("--epochs 3", "--epochs: no such option; expected --steps N (a step is a batch), or --minutes N"),
        ("--epochs=3", "--steps N"),
        ("--gpu", "--device cuda, or cuda:N"),
        ("--gpu 0", "--device cuda, or cuda:N"),
        ("--learning-rate 1e-4", "expected --lr"),
        ("--learning_rate 1e-4", "expected --lr"),
        ("--image-size 64", "expected --size"),
        ("--output-dir out", "expected --out"),
        ("--fp16", "expected --precision fp16"),
        ("--amp", "expected --precision auto"),
        ("--batch-size 4", "expected --batch"),
        ("--dataset photos", "expected --data"),
        ("--resume", "--resume: expected a run's folder, or a folder of runs such as runs/dcgan"),
        ("--resume --steps 3", "--resume: expected a run's folder"),
    ],
)
def test_options_of_other_tools_get_hints(words: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert hint in error_of(capsys, "train", "dcgan", "tiny", *words.split())


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("help", "did you mean: multigen --help"),
        ("list", "did you mean: multigen ls"),
        ("version", "did you mean: multigen --version"),
        ("trian dcgan", "did you mean train?"),
        ("DCGAN tiny", "did you mean: multigen train dcgan"),
        ("train DCGAN", "did you mean dcgan?"),
        ("train dcgann", "did you mean dcgan?"),
        ("train dcgan TINY", "did you mean tiny?"),
        ("train dcgan tiny --device gpu", "device 'gpu': expected auto, cpu, cuda, cuda:N or mps; a GPU is cuda"),
        ("train dcgan tiny --data https://example.org/photos.zip", "is a URL; expected "),
        ("train seqgan tiny --data https://example.org/texts.txt", "is a URL; expected "),
        ("inspect https://example.org/photos.zip", "is a URL; expected "),
        ("evaluate --real https://example.org/a --fake b", "is a URL; expected "),
    ],
)
def test_words_that_are_none_get_hints(
    words: str, hint: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert hint in error_of(capsys, *words.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("sample --model none -n many", "-n many: expected a whole number, such as 10 or 1e3"),
        ("sample --model none -n 1.5", "-n 1.5: expected a whole number"),
        ("sample --model none --n=1e99", "--n=1e99: expected a whole number"),
        ("sample --model none --truncation big", "--truncation big: expected a number, such as 0.5"),
        ("write --model none --top-k few", "--top-k few: expected a whole number"),
        ("upscale a.png --model none --out b --tile 1e", "--tile 1e: expected a whole number"),
        ("interpolate --model none --out b.gif --seed 0x1", "--seed 0x1: expected a whole number"),
        ("compare a b -n nan", "-n nan: expected a whole number"),
        ("train dcgan tiny --steps 1.5", "--steps 1.5: expected a whole number"),
        ("train dcgan tiny --lr fast", "--lr fast: expected a number"),
        ("train dcgan tiny --lr 1e-4 fast", "fast: expected a number"),
        ("train srgan tiny --seeds two", "--seeds two: expected a whole number"),
    ],
)
def test_a_word_in_the_place_of_a_number_is_one_line(
    words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in error_of(capsys, *words.split())


def test_numbers_may_be_written_with_an_exponent_and_one_may_stand_for_a_pair() -> None:
    config, run, _ = parse(
        ["tiny", "--steps", "1e3", "--lr", "1e-3", "--seed", "1_000", "--batch", "16.0"], "dcgan", dcgan.PRESETS
    )
    assert (config.steps, config.lr, run.seed, config.batch) == (1000, (1e-3, 1e-3), 1000, 16)
    assert parse(["tiny", "--lr", "1e-3", "1e-4"], "dcgan", dcgan.PRESETS)[0].lr == (1e-3, 1e-4)
    with pytest.raises(SystemExit):
        parse(["tiny", "--betas", ".5"], "dcgan", dcgan.PRESETS)


@pytest.mark.parametrize("suffix", [".heic", ".HEIF"])
def test_heic_files_are_named_as_such(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Format, "readable", property(lambda self: False))  # as without the extra
    (tmp_path / "a").mkdir()
    (file := tmp_path / "a" / f"IMG_1{suffix}").write_bytes(b"ftypheic")
    for data in (file, file.parent):
        assert "HEIC file" in (message := error_of(capsys, "inspect", data)) and "convert" in message
        assert "HEIC file" in error_of(capsys, "train", "dcgan", "tiny", "--data", data, "--out", tmp_path / "run")


def test_a_quiet_command_says_nothing_and_its_log_keeps_what_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.photos(tmp_path / "photos")
    words = ["--data", tmp_path / "photos", "--test", tmp_path / "photos", "--quiet", "--log-file", tmp_path / "x.log"]
    assert tiny.recipe(["tiny", *tiny.WORDS, *words, "--out", tmp_path / "run"]) == 0
    printed = capsys.readouterr()
    assert printed.err == "" and "adversarial/last" in printed.out
    assert "evaluating the trained networks" in (tmp_path / "x.log").read_text()
    assert tiny.multigen(["train", "nogan", "--quiet", f"--log-file={tmp_path / 'x.log'}"]) == 2
    assert "no method 'nogan'" in capsys.readouterr().err
    assert (tmp_path / "x.log").read_text().splitlines()[-1].startswith("error: no method 'nogan'")
    assert "evaluating" in (tmp_path / "x.log").read_text()  # added to, not replaced
    assert "cannot be written" in error_of(capsys, "ls", "--log-file", tmp_path)
    assert "--log-file: expected a file" in error_of(capsys, "ls", "--log-file")


def test_one_image_that_is_none_is_named_as_such(tmp_path: Path) -> None:
    for name, message in ((Path("https://example.org/a.png"), "is a URL"), (tmp_path / "a.jxl", "is a JPEG XL file")):
        with pytest.raises(DataError, match=message):
            read_image(name)


# ---------------------------------------------------------------------------------------------- stopped runs


def test_a_stopped_run_says_how_it_is_resumed(
    srgan_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tiny.copy_of(srgan_run, tmp_path / "runs")
    shutil.rmtree(run / "model")
    for model in (run, run.parent):
        message = error_of(capsys, "sample", "--model", model)
        assert f"{run} has no model yet" in message and message.endswith(f"multigen train srgan --resume {run}")


def test_a_preset_beside_a_run_to_resume_is_explained(srgan_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.recipe(["laptop", "--resume", srgan_run]) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert (
        message.startswith("error: preset 'laptop' with --resume: ")
        and "leave the preset out" in message
        and "batch" in message
    )


def test_the_newest_run_is_named_once(srgan_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tiny.copy_of(srgan_run, tmp_path / "runs")
    for words in ([], ["--precision", "fp64"]):
        config, options, _ = parse(["--resume", str(run.parent), *words], "srgan", srgan.PRESETS)
        with srgan.SRGANTrainer(config, options).claimed() as folder:
            assert folder == run
        with contextlib.suppress(ConfigError), srgan.SRGANTrainer(config, Run(resume=str(run.parent))).claimed():
            pass
        assert capsys.readouterr().err.count("the newest run: ") == 2  # by the command, and in Python


# ---------------------------------------------------------------------------------------------- silence


def test_slow_work_says_what_it_does(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("multigen.console.messages.SILENCE", 1e6)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with if_slow("reading 3 images"):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("multigen.console.messages.SILENCE", 0.0)
    message = threading.Event()
    monkeypatch.setattr("multigen.console.messages.write_line", lambda text: (print(text), message.set()))
    with if_slow("reading 3 images"):
        assert message.wait(60)
    assert capsys.readouterr().out == "reading 3 images ...\n"


class AtOnce(threading.Timer):
    """A timer whose time is up when it starts."""

    def start(self) -> None:
        self.function(*self.args, **self.kwargs)


def test_of_nested_slow_work_the_innermost_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr("multigen.console.messages.SILENCE", 0.05)
    printed = threading.Event()
    monkeypatch.setattr("multigen.console.messages.write_line", lambda text: (print(text), printed.set()))
    with if_slow("reading the data"), if_slow("preparing the metrics"):
        assert printed.wait(60)
        time.sleep(0.1)
    assert capsys.readouterr().out == "preparing the metrics ...\n"


MEASURING = {
    "srgan": ["reading the data", "building the networks", "measuring on photos", "drawing the comparison"],
    "dcgan": ["preparing the metrics", "measuring the baselines", "measuring adversarial/last"],
    "wavegan": ["preparing the metrics", "measuring the baselines", "measuring adversarial/last"],
    "seqgan": [
        "measuring real texts",
        "measuring mle/best at temperature 1.1",
        "measuring constant/last at temperature 1",
    ],
}
"""Method -> lines of its `tiny` on a terminal where everything is slow."""


@pytest.mark.parametrize("method", cases.few(MEASURING, "srgan"))
def test_training_names_what_it_measures(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr("multigen.console.messages.threading.Timer", AtOnce)
    monkeypatch.setattr("multigen.console.Progress.show", lambda *_: None)
    words = ["--data", photos := tiny.photos(tmp_path / "photos"), "--test", photos] if method == "srgan" else []
    assert tiny.multigen(["train", method, "tiny", *words, "--precision", "fp32", "--out", tmp_path / "run"]) == 0
    expected = [f"{text} ..." for text in ["loading PyTorch", *MEASURING[method], "drawing report.html"]]
    lines = dict.fromkeys(capsys.readouterr().err.splitlines())
    assert [line for line in lines if line in expected] == expected
