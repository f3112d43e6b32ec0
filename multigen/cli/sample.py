"""`multigen sample --model RUN -n 64`: makes pictures with a trained generator."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from multigen.errors import ConfigError, DataError

if TYPE_CHECKING:
    from multigen.image.sampling import Sampler

__all__ = ["load_sampler", "run"]

SHOWN = 100  # pictures in the grid, at most
OTHERS = {
    "Upscaler": "an Upscaler, which makes none of its own; it enlarges pictures: multigen upscale IN... --model RUN --out DIR",
    "Writer": "a Writer, which makes none; it writes texts: multigen write --model RUN",
}
"""What is said of models of other kinds."""


def run(args: list[str]) -> None:
    """Makes pictures."""

    def sample(
        model: str,
        n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64,
        seed: int = 0,
        label: Annotated[str, tyro.conf.arg(name="class")] = "",
        out: Path = Path("samples"),
    ) -> None:
        """Makes pictures with a trained generator: OUT/0000.png, OUT/0001.png, ..., and OUT-grid.png of the first hundred.

        Args:
            model: A run or its model folder, or a folder of runs: the newest is taken.
            n: How many.
            seed: The same seed gives the same pictures, and a larger number adds to them.
            label: The class, by name; if empty, a conditional model shows its classes in turn.
            out: Folder of the results.
        """
        _sample(model, n, seed, label, out)

    tyro.cli(sample, prog="multigen sample", args=args)


def _sample(model: str, n: int, seed: int, label: str, out: Path) -> None:
    from multigen.image.sampling import to_pictures
    from multigen.image.sets import grid

    images = load_sampler(model).sample(n, seed, label or None)
    older = [p for p in out.glob("*.png") if p.stem.isdecimal() and int(p.stem) >= n]
    if older:
        raise ConfigError(
            f"--out {out}: {len(older)} other samples would stay in it, such as {older[0].name}; give another folder"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        for i, picture in enumerate(to_pictures(images)):
            picture.save(out / f"{i:04d}.png")
        sheet = (
            out.with_name(f"{out.name}-grid.png") if out.name else out / "grid.png"
        )  # beside, lest it be taken for a sample
        grid(images[:SHOWN]).save(sheet)
    except OSError as error:
        raise DataError(
            f"{out} cannot be written ({error.strerror or error}); give another folder for --out"
        ) from error
    print(f"{n} pictures in {out}, the first of them on {sheet}")


def load_sampler(model: str) -> "Sampler":
    """The generator of a run. Raises ConfigError for a model that makes no pictures of its own."""
    from multigen import load
    from multigen.image.sampling import Sampler

    found = load(model)
    if not isinstance(found, Sampler):
        kind = type(found).__name__
        held = OTHERS.get(kind, f"a {kind}; give another run")
        raise ConfigError(f"--model {model}: expected a generator of pictures, but it holds {held}")
    return found
