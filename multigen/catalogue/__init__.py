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

from multigen.catalogue.modalities import CONTAINERS, MODALITIES, Container, Modality, container_of, with_containers
from multigen.catalogue.tasks import TASKS, Task

__all__ = [
    "BENCHMARKS",
    "CONTAINERS",
    "DATA",
    "LIBRARIES",
    "METHODS",
    "MODALITIES",
    "TASKS",
    "Benchmark",
    "Container",
    "DataSet",
    "Method",
    "Modality",
    "Task",
    "benchmarks",
    "container_of",
    "heading",
    "imported",
    "lazy",
    "with_containers",
]

PACKAGE = Path(__file__).parents[1]


def imported(name: str) -> Callable[..., Any]:
    """Imports the function named "package.module:function"."""
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)


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
    def package(self) -> str:
        """The package of its task, multigen.PACKAGE."""
        return TASKS[self.task].package

    @property
    def module(self) -> str:
        """The module of its trainer and its PRESETS."""
        return f"multigen.{self.package}.{TASKS[self.task].kind}.{self.name}"

    @property
    def file(self) -> str:
        """Its file, relative to the package."""
        return self.module.removeprefix("multigen.").replace(".", "/") + ".py"

    @property
    def page(self) -> str:
        """Its page, relative to docs."""
        return f"methods/{self.package}/{TASKS[self.task].kind}/{self.name}.md"

    @functools.cached_property
    def source(self) -> ast.Module:
        """Its file, parsed but not imported."""
        return ast.parse((PACKAGE / self.file).read_text(encoding="utf-8"))

    @property
    def about(self) -> str:
        """The first paragraph of its file: "TITLE: what it is. Its paper and year"."""
        return " ".join((ast.get_docstring(self.source) or "").partition("\n\n")[0].split())

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
        Method("esrgan", "super-resolution"),
        Method("realesrgan", "super-resolution"),
        Method("rrn", "video-super-resolution"),
        Method("denoise", "image-restoration"),
        Method("inpainting", "inpainting"),
        Method("pix2pix", "image-translation"),
        Method("cyclegan", "image-translation"),
        Method("cut", "image-translation"),
        Method("gan", "image-synthesis"),
        Method("dcgan", "image-synthesis"),
        Method("lsgan", "image-synthesis"),
        Method("wgan", "image-synthesis"),
        Method("sngan", "image-synthesis"),
        Method("r3gan", "image-synthesis"),
        Method("stylegan2", "image-synthesis"),
        Method("fastgan", "image-synthesis"),
        Method("projected", "image-synthesis"),
        Method("seqgan", "text-synthesis"),
        Method("scratchgan", "text-synthesis"),
        Method("relgan", "text-synthesis"),
        Method("wavegan", "audio-synthesis"),
        Method("specgan", "audio-synthesis"),
        Method("vocoder", "vocoding"),
        Method("extend", "audio-restoration"),
        Method("enhance", "audio-restoration"),
        Method("maskcyclegan", "voice-conversion"),
    )
}
"""By name, in order of display."""

LIBRARIES = {
    "spandrel": "multigen.image.restoration.architectures:Spandrel",
    "transformers": "multigen.text.synthesis.published:Pretrained",
}
"""What config.json of a model folder names in place of a method, where the network is another
library's -> the class that loads it."""


def lazy(package: str, name: str) -> Any:
    """The attribute `name` of a modality's package: a method's configuration or trainer, such as
    DCGANTrainer, whose module is imported now. For `__getattr__` of modules (PEP 562); raises
    AttributeError for any other name."""
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
    classes: bool = False
    """Whether its items have classes, and can be compared with others of their kind."""

    @property
    def modality(self) -> str:
        return TASKS[self.task].modality


DATA = (
    DataSet("embedded", "super-resolution", "photographs that come with the dependencies"),
    DataSet("embedded-held-out", "super-resolution", "two more of them, which no preset trains on"),
    DataSet("digits", "image-synthesis", "scikit-learn's handwritten digits, 8 x 8 pixels", classes=True),
    DataSet("mnist", "image-synthesis", "handwritten digits, 28 x 28 pixels", True, classes=True),
    DataSet("cifar10", "image-synthesis", "photographs of ten kinds of things, 32 x 32 pixels", True, classes=True),
    DataSet("fables", "text-synthesis", "stories of a grammar, whose likelihood is known; fables:N for N of them"),
    DataSet("dialogues", "text-synthesis", "conversations whose right answers are known; dialogues:N for N of them"),
    DataSet("oracle", "text-synthesis", "sequences of a random network, whose likelihood is known"),
    DataSet("hf:NAME", "text-synthesis", "a data set of the Hugging Face hub", True),
    DataSet("drums", "audio-synthesis", "a drum machine of eight classes", classes=True),
    DataSet("voice", "vocoding", "a speaking machine: four speakers, whose pitch and sounds are known", classes=True),
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
