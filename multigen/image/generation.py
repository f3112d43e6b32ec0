"""What all methods that make pictures from noise share: their data, their draws, their measurements.

A method's trainer takes these functions as its own methods (`validate = generation.validate`), and states only what differs:
networks, losses, stages.
"""

import copy
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import torch
import tyro
from torch import Tensor, nn

from multigen.config import check_ranges, from_table
from multigen.device import choose_device
from multigen.engine import Batch, Best, Control, Step, TensorSource
from multigen.engine.checkpoint import load_strict
from multigen.engine.distributed import rank
from multigen.errors import ConfigError
from multigen.evaluation import Evaluation
from multigen.image.augment import diff_augment, mirror, parse_policy
from multigen.image.collapse import diversity, watch
from multigen.image.judge import Judge, nearest_picture
from multigen.image.sampling import Sampler, grid
from multigen.image.sets import open_sets
from multigen.progress import say
from multigen.sets import pick

__all__ = [
    "GenerationConfig",
    "augmented",
    "averaged",
    "best",
    "collapse",
    "doublings",
    "fakes",
    "forward",
    "load_sampler",
    "open_pictures",
    "pairs",
    "preview",
    "reals",
    "score",
    "validate",
]

SHOWN = 64  # samples of a preview
RANGES: dict[str, float | tuple[float, float]] = {
    **{
        "size": 1,
        "latent": 1,
        "width": 1,
        "most": 1,
        "blocks": 1,
        "expansion": 1,
        "group": 1,
        "batch": 1,
        "steps": 1,
        "critic_steps": 1,
    },
    **{"hold": 0, "hold_classes": 0, "samples": 2, "lr": 0, "penalty": 0, "gamma": 0, "clip": 0, "half_life": 0},
    **{"ema": (0, 1), "augment_share": (0, 1), "beta2": (0, 1), "betas": (0, 1)},
}
"""Setting -> the least, or the least and the most that it may be, in all methods that have it."""


@dataclass(frozen=True)
class GenerationConfig:
    """Settings that all methods have."""

    data: str = "digits"
    """Training pictures: digits, mnist, cifar10, a folder (of folders, one a class), or an .npz file."""
    test: str = ""
    """Pictures that are measured against in the end; empty: those the data bring for it, else a tenth of them."""
    labels: str = ""
    """Classes of a folder's pictures: empty, its folders; name, the file name before the last _; none; or a CSV file."""
    size: int = 32
    """Height and width of a picture, pixels."""
    channels: int = 0
    """1: grey, 3: colour, 0: as the pictures are."""
    classes: Annotated[tuple[str, ...], tyro.conf.Suppress] = ()
    """Names of the classes; filled in from the data."""
    hold: int = 500
    """Training pictures set aside to choose the best checkpoint, at most a tenth of them; 0: the last is taken."""
    hold_classes: int = 0
    """Whole classes set aside as test pictures, such as people whose faces are never trained on."""
    skip_bad: bool = False
    """Go on without pictures that cannot be used, and say how many."""
    mirror: bool = False
    """Show half of the pictures mirrored."""
    conditional: bool = False
    """Learn the classes, so that one can be asked for; needs labels."""
    augment: str = ""
    """DiffAugment (arXiv:2006.10738) of what D sees: color, translation, cutout, joined by commas."""
    latent: int = 128
    """Dimensions of z ~ N(0, I)."""
    batch: int = 64
    steps: int = 10_000
    ema: float = 0.999
    """Decay of the running average of the generator; 0: none."""
    samples: int = 2_000
    """Samples that are measured, at most as many as there are training pictures."""
    features: Literal["", "classifier", "efficientnet_lite0", "inception"] = ""
    """Network whose features are compared: a classifier trained on the labels, EfficientNet-lite0, or FID's Inception (extra
    fid). Empty: the classifier where there are labels, else EfficientNet-lite0."""

    any_size: ClassVar[bool] = False
    """Whether the networks take pictures of any size; the others double 4 pixels."""

    def __post_init__(self):
        check_ranges(self, RANGES)
        if not self.any_size:
            doublings(self.size)

    @property
    def number_of_classes(self) -> int:
        """Classes that G and D are told of; 0: none."""
        return len(self.classes) if self.conditional else 0


def doublings(size: int) -> int:
    """How often 4 pixels are doubled to give `size`. Raises ConfigError for sizes that are no power of two from 16 to 256."""
    if size not in (legal := [16, 32, 64, 128, 256]):
        nearest = sorted(sorted(legal, key=lambda s: abs(s - size))[:2])
        raise ConfigError(
            f"size {size}: the network doubles 4 pixels; the nearest it has are {nearest[0]} and {nearest[1]}"
        )
    return size.bit_length() - 3


# ---------------------------------------------------------------------------------------------------- data and draws


def open_pictures(self: Any) -> TensorSource:
    """Opens training, validation and test pictures; completes the configuration by what they are."""
    c = self.config
    parse_policy(c.augment)
    sets = open_sets(c)
    if c.conditional and sets.train.labels is None:
        raise ConfigError(
            f"conditional: {c.data} has no labels; sort the pictures into a folder a class, or give --labels"
        )
    if skipped := dict([*sets.train.skipped, *sets.test.skipped]):  # both may be parts of one folder
        say(f"{len(skipped)} pictures skipped, the first: {next(iter(skipped.values()))}")
    self.config = replace(c, channels=sets.train.images.shape[1], classes=sets.train.classes)
    self.judge = Judge(sets, c.samples, self.device, c.features)
    self.fixed_reals = pick(sets.train, SHOWN).images
    return sets.train.to_source()


def reals(self: Any, batch: Batch, step: Step) -> Tensor:
    """Real pictures (B, C, H, W) in -1..1, some of them mirrored if so configured."""
    image = batch["image"].to(step.dtype) / 127.5 - 1
    return mirror(image, step.rand("mirror", 1, 1, 1)) if self.config.mirror else image


def fakes(self: Any, batch: Batch, step: Step) -> tuple[Tensor, Tensor | None]:
    """G's pictures (B, C, H, W) and their labels (B,), the classes of the real batch; None without classes."""
    label = batch["label"] if self.config.conditional else None
    return self.G(step.randn("z", self.config.latent), label), label


def pairs(self: Any, batch: Batch, step: Step) -> tuple[Tensor, Tensor, Tensor | None]:
    """What D is trained on: real and generated pictures (B, C, H, W), augmented, and the labels (B,) of both."""
    with torch.no_grad():
        fake, label = fakes(self, batch, step)
    return augmented(self, reals(self, batch, step), step, "real"), augmented(self, fake, step, "fake"), label


def augmented(self: Any, image: Tensor, step: Step, stream: str, share: float = 1.0) -> Tensor:
    """Pictures (B, C, H, W) through the configured DiffAugment, each transformation with probability `share`."""
    policy = parse_policy(self.config.augment)
    return diff_augment(image, policy, step.rand, stream, share) if policy else image


def forward(self: Any, name: str, network: nn.Module, batch: Batch, step: Step) -> Tensor:
    """One pass of the generator, for its batch norms."""
    return network(step.randn("z", self.config.latent), batch["label"] if self.config.conditional else None)


def averaged(self: Any) -> dict[str, float]:
    """The generator's running average, if one is kept."""
    return {"G": self.config.ema} if self.config.ema else {}


# ---------------------------------------------------------------------------------------------------- measurements


def best(self: Any) -> Best | None:
    """The best checkpoint has the lowest Frechet distance to the validation pictures."""
    return Best(self.judge.chooses_by) if self.judge.sets.validation is not None else None


def validate(self: Any, nets: Mapping[str, nn.Module]) -> dict[str, float]:
    """Frechet distance to the validation pictures, and how D tells training from validation pictures."""
    if self.judge.sets.validation is None:
        return {}
    return self.judge.validate(sampler(self, nets["G"])) | self.judge.overfitting(nets["D"], self.config.conditional)


def preview(self: Any, nets: Mapping[str, nn.Module], folder: Path) -> None:
    """A grid of samples of the same latents each time."""
    grid(sampler(self, nets["G"]).sample(SHOWN)).save(folder / f"step-{self.step:09d}.png")


def score(self: Any) -> Evaluation:
    """The last and the best generator beside real pictures; writes `samples.png` and `nearest.png` beside it."""
    rows, stage = {"real": self.judge.floor()}, self.plan[-1].name
    nets = {name: copy.deepcopy(self.nets[name]).eval() for name in ("G", "D")}
    samples = sampler(self, nets["G"])
    for which in ("last", "best") if self.judge.sets.validation is not None else ("last",):
        for name, network in nets.items():
            load_strict(network.state_dict(), self.saved(name, stage, which), f"{which} {name}")
        with torch.no_grad():
            overfit = self.judge.overfitting(nets["D"], self.config.conditional)
        rows[f"{stage}/{which}"] = self.judge.measure(samples) | overfit
    if rank() == 0:
        grid(samples.sample(SHOWN)).save(self.folder / "samples.png")
        nearest_picture(samples.sample(16), self.judge).save(self.folder / "nearest.png")
    found = {metric for row in rows.values() for metric in row}
    return Evaluation(rows, {m: text for m, text in self.judge.definitions().items() if m in found})


def collapse(self: Any) -> Control:
    """Watches whether samples of fixed latents stay as different from each other as real pictures are."""

    def look() -> float:
        n = len(self.fixed_reals)
        latents = sampler(self, self.nets["G"]).latents(n).to(next(self.nets["G"].parameters()))
        classes = torch.arange(n) % len(self.config.classes) if self.config.conditional else None
        return diversity(self.nets["G"], latents, classes, self.fixed_reals)

    return Control("collapse", 0.0, 50, functools.partial(watch, self, look))


# ---------------------------------------------------------------------------------------------------- use


def sampler(self: Any, network: nn.Module) -> Sampler:
    return Sampler(network, self.config.latent, self.config.classes if self.config.conditional else ())


def load_sampler(
    default: Any,
    build: Callable[[Any], nn.Module],
    config: Mapping[str, Any],
    weights: Mapping[str, Mapping[str, Tensor]],
    where: str,
) -> Sampler:
    """The ready object of the model folder `where`, on the GPU if there is one. CheckpointError where weights do not fit."""
    c = from_table(default, dict(config), f"{where}, config.json")
    network = build(c)
    load_strict(network.state_dict(), weights.get("G", {}), f"{where}, G")
    network.to(choose_device("auto"), memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return Sampler(network.eval(), c.latent, c.classes if c.conditional else ())
