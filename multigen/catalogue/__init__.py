"""The catalogue: modalities, tasks, methods, named data sets, benchmark recipes. Does not import
torch.

python -m multigen.catalogue --write    # in a checkout: writes derived files
(`multigen.catalogue.derived`)
"""

import ast
import functools
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from typing import Any

from multigen.catalogue.formats import AUDIO, IMAGE, TEXT, Format

__all__ = [
    "BENCHMARKS",
    "DATA",
    "LIBRARIES",
    "METHODS",
    "MODALITIES",
    "TASKS",
    "Benchmark",
    "DataSet",
    "Method",
    "Modality",
    "Task",
    "benchmarks",
    "heading",
    "imported",
    "lazy",
]

PACKAGE = Path(__file__).parents[1]


def imported(name: str) -> Callable[..., Any]:
    """Imports the function named "package.module:function"."""
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)


@dataclass(frozen=True)
class Modality:
    """A modality. Functions are named as "module:function" and imported on use."""

    name: str
    items: str
    """Noun for its items, in the plural."""
    title: str
    suffixes: tuple[str, ...]
    """Suffixes of the files that are always readable, in lower case."""
    others: tuple[Format, ...]
    """Other formats of its files: readable with an extra, or not at all."""
    inspect: str
    """(data, **options of `reading`) -> `multigen.data.inspection.Inspection`."""
    compare: str = ""
    """(real, fake, features, device, skip_bad, **options) -> `multigen.engine.evaluation.Evaluation`; "": not compared."""
    features: tuple[str, ...] = ()
    """Feature extractors of `compare`, the default first."""
    options: tuple[str, ...] = ()
    """Options of `compare`."""
    archives: tuple[str, ...] = ()
    """Suffixes of files that contain many items."""
    names: str = ""
    """Part of the names of files without a suffix, such as MNIST's."""
    tables: tuple[str, ...] = ()
    """Suffixes of tables with a column of items. Beside other files they are taken for lists of these."""
    reading: tuple[str, ...] = ()
    """Options of `inspect` that say how files are read."""

    @property
    def readable(self) -> tuple[str, ...]:
        """Suffixes of the files that are readable on this machine."""
        return (*self.suffixes, *(suffix for each in self.others if each.readable for suffix in each.suffixes))

    def unread(self, suffix: str) -> Format | None:
        """The format of a suffix, in lower case, whose files are known but not readable on this
        machine; None for any other."""
        return next((each for each in self.others if suffix in each.suffixes and not each.readable), None)


MODALITIES = {
    modality.name: modality
    for modality in (
        Modality(
            "image",
            items="images",
            title="Images",
            suffixes=(
                *(".apng", ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png"),
                *(".ppm", ".psd", ".tif", ".tiff", ".webp"),
            ),
            others=IMAGE,
            inspect="multigen.image.inspection:inspect_images",
            compare="multigen.image.synthesis.evaluator:compare_data",
            features=("efficientnet_lite0", "classifier", "inception"),
            options=("size", "frames"),
            archives=(".npz",),
            names="-ubyte",
        ),
        Modality(
            "text",
            items="texts",
            title="Texts",
            suffixes=(".txt",),
            others=TEXT,
            inspect="multigen.text.inspection:inspect_texts",
            compare="multigen.text.comparing:compare_data",
            features=("words",),
            options=("encoding", "column"),
            tables=(".csv", ".tsv", ".tab", ".jsonl", ".ndjson"),
            reading=("encoding", "column", "label_column"),
        ),
        Modality(
            "audio",
            items="sounds",
            title="Sounds",
            suffixes=(
                *(".aif", ".aifc", ".aiff", ".au", ".bw64", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".rf64"),
                *(".snd", ".w64", ".wav"),
            ),
            others=AUDIO,
            inspect="multigen.audio.inspection:inspect_sounds",
            compare="multigen.audio.synthesis.evaluator:compare_data",
            features=("logmel", "drums", "classifier"),
            options=("rate", "length"),
        ),
    )
}
"""By name, in order of display."""


@dataclass(frozen=True)
class Task:
    """A task: what its models do and how to use them, for the model card, the report, `multigen
    cp`, and errors."""

    name: str
    kind: str
    """synthesis, restoration or translation: the folder of its methods."""
    modality: str
    verb: str
    """Verb of the command line that uses its models."""
    does: str
    """ "generates images from noise"."""
    arguments: str
    """Arguments of the verb; {model} stands for the model."""
    python: str
    """A line of Python that uses `model`, from `multigen.load`."""
    gives: str  # the result of that line
    tag: str
    """Tag of the model card."""
    limit: str
    """Limitation of all such models."""
    more_verbs: tuple[str, ...] = ()
    """Other verbs that use its models."""
    imports: str = "import multigen"
    pipeline: str = ""
    """The Hugging Face hub's `pipeline_tag`; empty: none fits."""
    foreign: str = ""
    """(model) -> the model folder of published weights or of a file of another project; "": there are none."""
    published: tuple[str, ...] = ()
    """Names of published weights, the default of the verb first."""
    weights: tuple[str, ...] = ()
    """Suffixes of files of other projects."""

    @property
    def items(self) -> str:
        """Noun for its training items and samples, in the plural."""
        return MODALITIES[self.modality].items


TASKS = {
    task.name: task
    for task in (
        Task(
            "image-synthesis",
            "synthesis",
            "image",
            verb="sample",
            more_verbs=("interpolate",),
            does="generates images from noise",
            arguments="--model {model} -n 64 --out samples/",
            python="images = model.sample(16, seed=0)",
            gives="uint8 (16, C, H, W)",
            pipeline="unconditional-image-generation",
            tag="image-generation",
            limit="Nothing in its images need exist.",
        ),
        Task(
            "super-resolution",
            "restoration",
            "image",
            verb="upscale",
            does="enlarges photographs",
            arguments="photo.jpg --model {model} --out large/",
            python='image = model.upscale(Image.open("photo.jpg"))',
            gives="a larger image",
            imports="from PIL import Image\n\nimport multigen",
            pipeline="image-to-image",
            foreign="multigen.image.restoration.published:model_folder",
            published=("realesrgan-x4plus", "realesrgan-anime-6b", "realesrgan-animevideov3"),
            weights=(".pth", ".safetensors", ".param", ".bin"),
            tag="super-resolution",
            limit="It invents detail that the small image does not hold: what it adds is likely, not true. Do not use it for "
            "evidence, for measuring, or to recognise anybody.",
        ),
        Task(
            "text-synthesis",
            "synthesis",
            "text",
            verb="write",
            more_verbs=("evaluate",),
            does="writes texts",
            arguments="--model {model} -n 5",
            python="texts = model.generate(n=5, seed=0)",
            gives='strings; generate("...") continues a beginning, as --prompt does',
            pipeline="text-generation",
            tag="text-generation",
            limit="It writes what is likely after its training texts, and knows nothing of what is true.",
        ),
        Task(
            "audio-synthesis",
            "synthesis",
            "audio",
            verb="sample",
            does="generates sounds from noise",
            arguments="--model {model} -n 16 --out sounds/",
            python="sounds = model.sample(16, seed=0)",
            gives="float32 (16, channels, T) in -1..1, at model.rate Hz",
            tag="audio-generation",
            limit="A sound that it makes may still resemble a recording that somebody has rights to.",
        ),
    )
}
"""By name: the `task` of trainers and ready objects, and in a run's config.toml."""


@dataclass(frozen=True)
class Method:
    """A method that can be trained."""

    name: str
    task: str
    """A name of `TASKS`."""

    @property
    def modality(self) -> str:
        return TASKS[self.task].modality

    @property
    def module(self) -> str:
        """The module of its trainer and its PRESETS."""
        return f"multigen.{self.modality}.{TASKS[self.task].kind}.{self.name}"

    @property
    def file(self) -> str:
        """Its file, relative to the package."""
        return self.module.removeprefix("multigen.").replace(".", "/") + ".py"

    @property
    def page(self) -> str:
        """Its page, relative to docs."""
        return f"methods/{self.modality}/{TASKS[self.task].kind}/{self.name}.md"

    @functools.cached_property
    def source(self) -> ast.Module:
        """Its file, parsed but not imported."""
        return ast.parse((PACKAGE / self.file).read_text(encoding="utf-8"))

    @property
    def about(self) -> str:
        """The first line of its file: "TITLE: what it is. Its paper and year"."""
        return (ast.get_docstring(self.source) or "").partition("\n")[0]

    @property
    def title(self) -> str:
        return self.about.partition(": ")[0]

    @property
    def presets(self) -> tuple[str, ...]:
        """The keys of its PRESETS, a dictionary literal."""
        for node in self.source.body:
            match node:
                case ast.Assign(targets=[ast.Name(id="PRESETS")], value=ast.Dict(keys=keys)):
                    return tuple(str(ast.literal_eval(key)) for key in keys if key is not None)
        return ()


METHODS = {
    method.name: method
    for method in (
        Method("srgan", "super-resolution"),
        Method("realesrgan", "super-resolution"),
        Method("gan", "image-synthesis"),
        Method("dcgan", "image-synthesis"),
        Method("lsgan", "image-synthesis"),
        Method("wgan", "image-synthesis"),
        Method("sngan", "image-synthesis"),
        Method("r3gan", "image-synthesis"),
        Method("seqgan", "text-synthesis"),
        Method("scratchgan", "text-synthesis"),
        Method("wavegan", "audio-synthesis"),
        Method("specgan", "audio-synthesis"),
    )
}
"""By name, in order of display."""

LIBRARIES = {"spandrel": "multigen.image.restoration.architectures:Spandrel"}
"""What config.json of a model folder names in place of a method, where the network is another library's -> the class that loads
it."""


def lazy(package: str, name: str) -> Any:
    """The attribute `name` of a modality's package: a method's configuration or trainer, such as DCGANTrainer, whose module is
    imported now. For `__getattr__` of modules (PEP 562); raises AttributeError for any other name."""
    stem = name.removesuffix("Config").removesuffix("Trainer")
    method = METHODS.get(stem.lower())
    if method is None or stem == name or not method.module.startswith(f"{package}."):
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    return getattr(import_module(method.module), name)


@dataclass(frozen=True)
class DataSet:
    """A data set that --data accepts by name (see docs/data.md)."""

    name: str
    task: str
    """Task of the methods that train on it."""
    about: str
    downloaded: bool = False

    @property
    def modality(self) -> str:
        return TASKS[self.task].modality


DATA = (
    DataSet("embedded", "super-resolution", "photographs that come with the dependencies"),
    DataSet("embedded-held-out", "super-resolution", "two more of them, which no preset trains on"),
    DataSet("digits", "image-synthesis", "scikit-learn's handwritten digits, 8 x 8 pixels"),
    DataSet("mnist", "image-synthesis", "handwritten digits, 28 x 28 pixels", True),
    DataSet("cifar10", "image-synthesis", "photographs of ten kinds of things, 32 x 32 pixels", True),
    DataSet("fables", "text-synthesis", "stories of a grammar, whose likelihood is known; fables:N for N of them"),
    DataSet("oracle", "text-synthesis", "sequences of a random network, whose likelihood is known"),
    DataSet("hf:NAME", "text-synthesis", "a data set of the Hugging Face hub", True),
    DataSet("drums", "audio-synthesis", "a drum machine of eight classes"),
)


@dataclass(frozen=True)
class Benchmark:
    """Facts about a benchmark recipe, from its file."""

    name: str
    file: str
    method: str
    preset: str
    needs: str
    """gpu, or ""."""
    about: str
    """The first sentence of its comment."""


_PACKAGED = PACKAGE / "recipes" / "toml"
BENCHMARKS = _PACKAGED if _PACKAGED.is_dir() else PACKAGE.parent / "recipes"
"""Folder of the benchmark recipes: inside an installed package, beside the package in a
checkout."""


def heading(text: str) -> str:
    """The comment at the beginning of a recipe, as one line."""
    comment = takewhile(lambda line: line.startswith("#"), text.splitlines())
    return " ".join(line.removeprefix("#").strip() for line in comment)


def benchmarks() -> list[Benchmark]:
    """The benchmark recipes, by name."""
    rows = []
    for path in sorted(BENCHMARKS.glob("*.toml")):
        text = path.read_text(encoding="utf-8")
        table = tomllib.loads(text)
        about = heading(text).partition(". ")[0].removesuffix(".")
        preset, needs = table.get("preset", "default"), table.get("needs", "")
        rows.append(Benchmark(path.stem, str(path), table["method"], preset, needs, about))
    return rows
