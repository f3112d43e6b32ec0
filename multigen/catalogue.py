"""What the toolkit has: its methods, the data that it knows by name, its benchmark recipes. Needs no torch."""

import tomllib
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

__all__ = ["BENCHMARKS", "DATA", "METHODS", "Benchmark", "DataSet", "Method", "benchmarks", "heading"]


@dataclass(frozen=True)
class Method:
    """A method that can be trained."""

    name: str
    modality: str
    """image, text or audio."""
    noun: str
    """What it is trained on and makes, a name of `multigen.uses.USES`."""
    about: str
    """What it is, its paper and its year, in a line."""
    presets: tuple[str, ...] = ("tiny", "laptop", "default", "paper")

    @property
    def module(self) -> str:
        """Where its trainer, its PRESETS and its `load_model(config, weights, where)` are."""
        return f"multigen.{self.modality}.{self.name}"


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
