"""What the toolkit has: its methods, the data that it knows by name, its benchmark recipes. Needs no torch."""

import json
import shlex
import tomllib
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

__all__ = [
    "BENCHMARKS",
    "DATA",
    "METHODS",
    "USES",
    "Benchmark",
    "DataSet",
    "Method",
    "Use",
    "benchmarks",
    "heading",
    "loading",
]


@dataclass(frozen=True)
class Method:
    """A method that can be trained."""

    name: str
    modality: str
    """image, text or audio."""
    noun: str
    """What it is trained on and makes, a name of `multigen.catalogue.USES`."""
    about: str
    """What it is, its paper and its year, in a line."""
    presets: tuple[str, ...] = ("tiny", "laptop", "default", "paper")

    @property
    def module(self) -> str:
        """Where its trainer, its PRESETS and its `load_model(config, weights, where)` are."""
        return f"multigen.{self.modality}.{self.task}.{self.name}"

    @property
    def file(self) -> str:
        """Its file, from the package's folder."""
        return self.module.removeprefix("multigen.").replace(".", "/") + ".py"

    @property
    def task(self) -> str:
        return "restoration" if self.noun == "photographs" else "synthesis"


METHODS = {
    method.name: method
    for method in (
        Method("srgan", "image", "photographs", "super-resolution with fine detail, Ledig et al. 2017"),
        Method("gan", "image", "pictures", "pictures from noise on perceptrons, the first GAN, Goodfellow et al. 2014"),
        Method("dcgan", "image", "pictures", "pictures from noise by convolutions, Radford et al. 2016"),
        Method("wgan", "image", "pictures", "WGAN and WGAN-GP, Arjovsky et al. 2017, Gulrajani et al. 2017"),
        Method("sngan", "image", "pictures", "spectral normalisation, Miyato et al. 2018"),
        Method("r3gan", "image", "pictures", "a plain modern baseline, Huang et al. 2024"),
        Method("seqgan", "text", "texts", "texts by policy gradient, Yu et al. 2017"),
        Method("wavegan", "audio", "sounds", "sounds as waveforms, Donahue et al. 2019"),
        Method("specgan", "audio", "sounds", "sounds by way of spectrograms, the same paper"),
    )
}
"""By name, in the order in which they are shown."""


@dataclass(frozen=True)
class DataSet:
    """Data that --data takes by name (docs/data.md says more of each)."""

    name: str
    modality: str
    noun: str
    """That of the methods that train on it."""
    about: str
    downloaded: bool = False


DATA = (
    DataSet("embedded", "image", "photographs", "photographs that come with the dependencies, for super-resolution"),
    DataSet("embedded-held-out", "image", "photographs", "two more of them, which no preset trains on"),
    DataSet("digits", "image", "pictures", "scikit-learn's handwritten digits, 8 x 8 pixels"),
    DataSet("mnist", "image", "pictures", "handwritten digits, 28 x 28 pixels", True),
    DataSet("cifar10", "image", "pictures", "photographs of ten kinds of things, 32 x 32 pixels", True),
    DataSet("fables", "text", "texts", "stories of a grammar, whose likelihood is known; fables:N for N of them"),
    DataSet("oracle", "text", "texts", "sequences of a random network, whose likelihood is known"),
    DataSet("hf:NAME", "text", "texts", "a data set of the Hugging Face hub", True),
    DataSet("drums", "audio", "sounds", "a drum machine of eight classes"),
)


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark recipe's file says of itself."""

    name: str
    file: str
    recipe: str
    preset: str
    needs: str
    """gpu, or nothing."""
    about: str
    """The first sentence of its comment."""


_PACKAGED = Path(__file__).parent / "recipes" / "toml"
BENCHMARKS = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[1] / "recipes"
"""Folder of the benchmark recipes: an installed package has it within, a checkout beside the package."""


def heading(text: str) -> str:
    """The comment that a recipe begins with, as one line."""
    comment = takewhile(lambda line: line.startswith("#"), text.splitlines())
    return " ".join(line.removeprefix("#").strip() for line in comment)


def benchmarks() -> list[Benchmark]:
    """The benchmark recipes, by name."""
    found = []
    for path in sorted(BENCHMARKS.glob("*.toml")):
        text = path.read_text(encoding="utf-8")
        table = tomllib.loads(text)
        about = heading(text).partition(". ")[0].removesuffix(".")
        found.append(
            Benchmark(
                path.stem, str(path), table["recipe"], table.get("preset", "default"), table.get("needs", ""), about
            )
        )
    return found


@dataclass(frozen=True)
class Use:
    """How models are used that make one kind of thing. Of a thing that is not in `USES` nothing but loading is known."""

    does: str = ""
    command: str = ""
    """What follows `multigen`; {model} stands for the model."""
    python: str = ""
    """A line on `model`, which `multigen.load` gave."""
    gives: str = ""  # by that line
    imports: str = "import multigen"
    task: str = ""
    """The Hugging Face hub's `pipeline_tag`; empty: none fits."""
    tag: str = ""
    limit: str = ""
    """What a user should know of all such models."""

    def shell(self, model: str, code: str = "") -> str:
        """The command line. `code` is the user's own file that trained the model (`multigen cp`), if one did."""
        place = shlex.quote(model) + (f" --code {shlex.quote(code)}" if code else "")
        return f"multigen {self.command.format(model=place)}" if self.command else ""

    def lines(self, model: str, code: str = "") -> str:
        """The lines of Python."""
        line = f"{self.python}  # {self.gives}" if self.python else ""
        return f"{self.imports}\n\n{loading(model, code)}\n{line}".rstrip()


def loading(model: str, code: str = "") -> str:
    """The line of Python that loads a model."""
    words = [json.dumps(model, ensure_ascii=False)]
    words += [f"code={json.dumps(code, ensure_ascii=False)}"] if code else []
    return f"model = multigen.load({', '.join(words)})"


USES = {
    "pictures": Use(
        does="makes pictures from noise",
        command="sample --model {model} -n 64 --out samples/",
        python="images = model.sample(16, seed=0)",
        gives="uint8 (16, C, H, W)",
        task="unconditional-image-generation",
        tag="image-generation",
        limit="Nothing in its pictures need exist.",
    ),
    "photographs": Use(
        does="enlarges photographs",
        command="upscale photo.jpg --model {model} --out large/",
        python='picture = model.upscale(Image.open("photo.jpg"))',
        gives="a larger picture",
        imports="from PIL import Image\n\nimport multigen",
        task="image-to-image",
        tag="super-resolution",
        limit="It invents detail that the small picture does not hold: what it adds is likely, not true. Do not use it for "
        "evidence, for measuring, or to recognise anybody.",
    ),
    "texts": Use(
        does="writes texts",
        command="write --model {model} -n 5",
        python="texts = model.generate(n=5, seed=0)",
        gives='strings; generate("...") goes on with a beginning, as --prompt does',
        task="text-generation",
        tag="text-generation",
        limit="It writes what is likely after its training texts, and knows nothing of what is true.",
    ),
    "sounds": Use(
        does="makes sounds from noise",
        command="sample --model {model} -n 16 --out sounds/",
        python="sounds = model.sample(16, seed=0)",
        gives="float32 (16, 1, T) in -1..1, at model.rate Hz",
        tag="audio-generation",
        limit="A sound that it makes may still resemble a recording that somebody has rights to.",
    ),
}
"""By `noun`, which trainers and what `multigen.load` gives have, `catalogue.Method` too, and which a run's config.toml keeps."""
