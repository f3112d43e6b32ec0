"""What the toolkit says that it has is what is there, and what follows from the catalogue is as it
says."""

import ast
import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from multigen import catalogue
from multigen.audio.restoration.vocoding import Vocoder
from multigen.audio.sound_to_sound import SoundRestorer
from multigen.audio.synthesis.sampler import AudioSampler
from multigen.audio.translation.converter import VoiceConverter
from multigen.catalogue import BENCHMARKS, DATA, LIBRARIES, METHODS, MODALITIES, TASKS, benchmarks, imported, lazy
from multigen.catalogue.derived import derived
from multigen.cli import VERBS
from multigen.cli.evaluate import NAMES as EVALUATED
from multigen.image.restoration.inpainter import Inpainter
from multigen.image.restoration.upscaler import Restorer, Upscaler
from multigen.image.synthesis.sampler import ImageSampler
from multigen.image.translation.translator import Translator
from multigen.runs.usage import python_of, shell_of
from multigen.tasks.loading import trainer_in
from multigen.text.synthesis.writer import Writer
from multigen.video.restoration.upscaler import FilmUpscaler
from tests import tiny

ROOT = Path(__file__).resolve().parent.parent
READY: dict[str, Any] = {
    "image-synthesis": ImageSampler,
    "super-resolution": Upscaler,
    "video-super-resolution": FilmUpscaler,
    "image-restoration": Restorer,
    "inpainting": Inpainter,
    "image-translation": Translator,
    "text-synthesis": Writer,
    "audio-synthesis": AudioSampler,
    "vocoding": Vocoder,
    "audio-restoration": SoundRestorer,
    "voice-conversion": VoiceConverter,
}
"""Task -> class of what `multigen.load` gives."""

# ---------------------------------------------------------------------------------------------------- methods


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_where_the_catalogue_says(name: str) -> None:
    method = METHODS[name]
    module = import_module(method.module)
    assert method.name == name and method.presets == tuple(module.PRESETS)
    assert {"tiny", "laptop", "default", "paper"} <= {*method.presets}
    assert module.__doc__ is not None and method.about == " ".join(module.__doc__.partition("\n\n")[0].split())
    trainer = trainer_in(module)
    assert (trainer.name, trainer.task) == (name, method.task)
    recipe = import_module(f"multigen.recipes.{name}")
    assert recipe.TRAINER is trainer and recipe.PRESETS is module.PRESETS


@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_a_page_and_tests(name: str) -> None:
    method = METHODS[name]
    what, _, paper = method.about.partition(". ")
    assert method.title and ": " in what and paper.endswith(".")
    page = (ROOT / "docs" / method.page).read_text(encoding="utf-8")
    years = [word for word in paper.replace(",", " ").split() if word.isdecimal() and len(word) == 4]
    assert years and all(year in page for year in years) and f"`multigen/{method.file}`" in page
    trainer = trainer_in(import_module(method.module)).__name__
    tests = [file.read_text() for file in (ROOT / "tests" / Path(method.file).parent).glob("*.py")]
    assert any(re.search(rf"\b({name}|{trainer})\b", text) for text in tests)


def test_every_file_with_a_trainer_is_a_method() -> None:
    files = [
        file
        for part in sorted({m.package for m in METHODS.values()})
        for file in (ROOT / "multigen" / part).rglob("*.py")
    ]
    trainers = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files if "\nPRESETS = {" in file.read_text()
    }
    assert trainers == {method.module for method in METHODS.values()}
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs" / "methods").rglob("*.md")}
    assert pages == {method.page for method in METHODS.values()}
    assert {file.stem for file in (ROOT / "multigen" / "recipes").glob("[!_]*.py")} == set(METHODS)


# ---------------------------------------------------------------------------------------------------- tasks and modalities


def test_tasks_and_modalities_fit_together() -> None:
    assert {method.task for method in METHODS.values()} <= TASKS.keys() == READY.keys()
    for name, task in TASKS.items():
        assert task.name == name == READY[name].task
        assert task.modality in MODALITIES and task.kind in ("synthesis", "restoration", "translation")
        assert {task.verb, *task.more_verbs} <= VERBS.keys()
    suffixes = [suffix for modality in MODALITIES.values() for suffix in (*modality.suffixes, *modality.archives)]
    assert len(set(suffixes)) == len(suffixes)


@pytest.mark.parametrize("name", MODALITIES)
def test_functions_named_by_a_modality_are_there(name: str) -> None:
    modality = MODALITIES[name]
    assert callable(catalogue.imported(modality.inspect))
    if modality.compare:
        parameters = catalogue.imported(modality.compare).__code__.co_varnames
        assert modality.features and set(modality.options) <= set(parameters)


@pytest.mark.parametrize("name", TASKS)
def test_a_command_and_lines_that_there_are(name: str) -> None:
    task = TASKS[name]
    program, verb, *words = shlex.split(shell_of(task, "runs/my run", "mine/my gan.py"))
    assert program == "multigen" and verb in VERBS
    assert words[words.index("--model") + 1] == "runs/my run" and words[words.index("--code") + 1] == "mine/my gan.py"
    assert "--code" not in shell_of(task, "runs/x")
    # What the lines call on the model is there and takes what it is given.
    tree = ast.parse(python_of(task, "runs/x", 'my "gan".py'))
    (call,) = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func).startswith("model.")]
    assert isinstance(call.func, ast.Attribute)
    names = getattr(READY[name], call.func.attr).__code__.co_varnames
    assert {str(keyword.arg) for keyword in call.keywords} <= set(names)
    (load,) = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "multigen.load"]
    assert [ast.literal_eval(load.args[0]), ast.literal_eval(load.keywords[0].value)] == ["runs/x", 'my "gan".py']
    assert python_of(task, "runs/x").endswith(f"  # {task.gives}") and "code=" not in python_of(task, "runs/x")


def test_of_an_unknown_task_loading_alone_is_known() -> None:
    lines = 'import multigen\n\nmodel = multigen.load("runs/x", code="my_gan.py")'
    assert python_of(None, "runs/x", "my_gan.py") == lines


# ---------------------------------------------------------------------------------------------------- what follows


def test_what_follows_from_the_catalogue_is_up_to_date() -> None:
    texts = derived(ROOT)
    assert {ROOT / f"multigen/recipes/{name}.py" for name in METHODS} < texts.keys()
    old = [str(path.relative_to(ROOT)) for path, text in texts.items() if path.read_text(encoding="utf-8") != text]
    assert old == [], "run: python -m multigen.catalogue --write"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what is derived, and of what it is derived from."""
    shutil.copytree(ROOT / "multigen", tmp_path / "multigen", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "mkdocs.yml", "docs/index.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.slow
def test_one_line_of_the_catalogue_and_a_file_make_a_method(checkout: Path) -> None:
    text = (checkout / "multigen/image/synthesis/dcgan.py").read_text()
    text = text.replace("DCGAN", "FooGAN").replace('"dcgan"', '"foogan"')
    (checkout / "multigen/image/synthesis/foogan.py").write_text(text)
    listing = checkout / "multigen/catalogue/__init__.py"
    line = '        Method("dcgan", "image-synthesis"),\n'
    listing.write_text(listing.read_text().replace(line, line + line.replace("dcgan", "foogan")))
    done = tiny.python(
        "-m", "multigen.catalogue", "--write", cwd=checkout, env=tiny.environment(PYTHONPATH=str(checkout))
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == [
        "5 files written",
        "README.md written",
        "docs/index.md written",
        "mkdocs.yml written",
        "multigen/image/__init__.py written",
        "multigen/recipes/foogan.py written",
    ]
    assert "[FooGAN](docs/methods/image/synthesis/foogan.md)" in (checkout / "README.md").read_text()
    assert (
        "[FooGAN](methods/image/synthesis/foogan.md): a stable convolutional GAN"
        in (checkout / "docs/index.md").read_text()
    )
    code = "from multigen.image import FooGANConfig, FooGANTrainer as T; import multigen.recipes.foogan as r, sys; "
    code += "assert r.TRAINER is T; print(*sys.modules)"
    done = tiny.python("-c", code, cwd=checkout, env=tiny.environment(PYTHONPATH=str(checkout)))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# catalogue: methods\n", ""),
        ("# catalogue: methods", "# catalogue: method"),
        ("# end\n", ""),
        ("# end\n", "# catalogue: methods\n# end\n"),
    ],
)
def test_faulty_markers_are_named(old: str, new: str, checkout: Path) -> None:
    path = checkout / "mkdocs.yml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match=r"mkdocs.yml: .*expected"):
        derived(checkout)


@pytest.mark.slow
def test_the_names_of_a_modality_import_their_method_alone() -> None:
    code = "from multigen.image import DCGANConfig; import sys; print(DCGANConfig.__module__, *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    first, *modules = done.stdout.split()
    assert first == "multigen.image.synthesis.dcgan" in modules
    assert {"multigen.image.synthesis.wgan", "multigen.image.restoration.srgan"}.isdisjoint(modules)


@pytest.mark.parametrize("name", ["dcgan", "DCGAN", "WaveGANTrainer", "Trainer", "Config", "__path__x"])
def test_other_names_are_not_there(name: str) -> None:
    with pytest.raises(AttributeError, match=rf"module 'multigen.image' has no attribute '{name}'"):
        lazy("multigen.image", name)


# ---------------------------------------------------------------------------------------------------- data and benchmarks


def test_data_known_by_name_are_those_of_the_readers() -> None:
    from multigen.image.datasets import FETCH

    names = {data.name for data in DATA}
    assert len(names) == len(DATA)
    assert set(FETCH) == {data.name for data in DATA if data.downloaded and data.modality == "image"}
    assert EVALUATED == {"digits": "image", "mnist": "image", "cifar10": "image", "drums": "audio", "voice": "audio"}
    assert {data.task for data in DATA} <= {method.task for method in METHODS.values()}
    assert {data.modality for data in DATA} == {method.modality for method in METHODS.values()}
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert [name for name in names if f"`{name}`" not in page and f"--data {name}`" not in page] == []


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
def test_default_training_data_are_listed(method) -> None:
    data = import_module(method.module).PRESETS["laptop"].data.partition(":")[0]
    assert (data, method.modality) in {(known.name, known.modality) for known in DATA}


@pytest.mark.parametrize("data", [data for data in DATA if not data.downloaded], ids=lambda data: data.name)
def test_data_without_a_download_can_be_opened(data, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MULTIGEN_DATA", raising=False)
    if data.name.startswith("embedded"):
        from multigen.image.files import open_photos

        assert len(open_photos(data.name)) >= 2
    elif data.name == "digits":
        from multigen.image.datasets import open_images

        assert len(open_images(data.name, 8)) > 1000
    elif data.modality == "audio":
        from multigen.audio.datasets import open_sounds

        monkeypatch.setattr(f"multigen.audio.recordings.{data.name.upper()}", {"train": (8, 0)})
        assert open_sounds(data.name, 8000, 256).classes != ()
    elif data.name in ("fables", "dialogues"):
        from multigen.text.files import open_texts

        assert len(open_texts(f"{data.name}:3")) == 3
    else:
        from multigen.text.datasets import open_oracle

        assert data.name == "oracle" and open_oracle(data.name, 20).vocabulary > 0


def test_benchmarks_are_the_recipe_files() -> None:
    result = benchmarks()
    assert [Path(b.file) for b in result] == sorted((ROOT / "recipes").glob("*.toml")) and len(result) > 10
    for b in result:
        assert b.name == Path(b.file).stem and b.method in METHODS and b.preset in METHODS[b.method].presets
        assert len(b.about) > 5 and not b.about.startswith("#") and "\n" not in b.about
    gpu = next(b for b in result if b.name == "srgan-paper")
    assert (gpu.method, gpu.preset, gpu.needs) == ("srgan", "paper", "gpu")


def test_the_wheel_carries_the_benchmarks_where_they_are_sought() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]["recipes"] == "multigen/recipes/toml"
    assert BENCHMARKS == ROOT / "recipes"


def test_the_catalogue_needs_no_torch() -> None:
    code = "import sys, multigen.catalogue as c; assert c.benchmarks(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"torch", "numpy", "tyro", "rich"}.isdisjoint(done.stdout.split())


def test_loaders_of_libraries_say_what_find_reads_of_a_trainer() -> None:
    for name, place in LIBRARIES.items():
        loader = imported(place)
        assert loader.name == name and loader.exports == ("G",) and loader.optional == () and callable(loader.load)
