"""SRGAN: super-resolution that looks sharp instead of being right on average. Ledig et al. 2017, arXiv:1609.04802.

    python -m multigen.recipes.srgan                           # embedded photographs, minutes on a laptop
    python -m multigen.recipes.srgan default --data photos/    # your own photographs
    python -m multigen.recipes.srgan paper --data DIV2K/       # the paper's networks, losses and steps

First a generator is trained for least squared error alone (the paper's SRResNet), then against a discriminator, with a content
loss on the features of a pretrained network. Pictures are RGB in 0..1; low resolutions are MATLAB's bicubic, as the paper's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from multigen import losses
from multigen.config import BELOW_ONE, check_ranges, from_table
from multigen.console import say
from multigen.data.locate import locate
from multigen.engine import Adam, Batch, Best, Callback, Stage, Step, Terms, Trainer, Update
from multigen.engine.checkpoint import load_strict
from multigen.engine.distributed import rank
from multigen.engine.evaluation import Evaluation
from multigen.engine.optimisers import Optimiser
from multigen.engine.schedules import Cosine, Steps
from multigen.errors import ConfigError
from multigen.image.files import open_photos
from multigen.image.perceptual import PerceptualDistance, open_perceptual
from multigen.image.restoration.crops import CropSource, hold_out
from multigen.image.restoration.evaluator import comparison, definitions, score_upscalers
from multigen.image.restoration.test_sets import TestSet, open_test_sets
from multigen.image.restoration.upscaler import Upscaler
from multigen.runs.card import Card
from multigen.storage.model_folder import ModelFolder
from multigen.tasks.loading import load_network

__all__ = ["PRESETS", "CompactGenerator", "Discriminator", "SRGANConfig", "SRGANTrainer", "SRResNet"]


@dataclass(frozen=True)
class SRGANConfig:
    data: str = "embedded"
    """Training photographs: a folder, a file, or "embedded"."""
    test: tuple[str, ...] = ("embedded-held-out",)
    """Photographs that are measured in the end and never trained on: names or folders."""
    hold: int = 5
    """Training photographs set aside to choose the best checkpoint, at most a tenth of them; 0: the last is taken."""
    skip_bad: bool = False
    """Go on without pictures that cannot be used, and say how many."""
    scale: int = 4
    """Factor between the resolutions: 2, 3, 4 or 8."""
    crop: int = 96
    """Side of the high-resolution crops, pixels; a multiple of the scale, and of 16 for the discriminator."""
    generator: Literal["srresnet", "compact"] = "compact"
    """The paper's network, or a small one without batch norm that trains several times faster."""
    blocks: int = 10
    """Residual blocks of the generator (B = 16 in the paper)."""
    width: int = 48
    """Channels of the generator (64 in the paper)."""
    discriminator_width: int = 32
    """Channels of the discriminator's first layer (64 in the paper)."""
    discriminator_norm: bool = True
    """Batch norm in the discriminator, as in the paper."""
    pixel: Literal["mse", "l1"] = "l1"
    """Pixel loss of the first stage (mse in the paper)."""
    content: Literal["mse", "vgg22", "vgg54", "efficientnet_lite0"] = "efficientnet_lite0"
    """Content loss of the second stage: equation 4 (mse) or 5 (features)."""
    perceptual_weights: str = ""
    """Safetensors file of VGG19 (torchvision's keys); empty: torchvision's own, downloaded. Also measured with, if given."""
    content_weight: float = 1.0
    """Weight of the content loss (1 in the paper, whose features are divided by 12.75)."""
    pixel_weight: float = 1.0
    """Weight of the pixel loss in the second stage (0 in the paper)."""
    adversarial_weight: float = 1e-3
    """Weight of the adversarial loss (equation 3)."""
    batch: int = 16
    pretrain_steps: int = 20_000
    """Steps of the first stage."""
    steps: int = 5_000
    """Steps of the second stage."""
    pretrain_lr: float = 1e-3
    """Learning rate of the first stage; falls to 0 along half a cosine, or stays if `constant_lr`."""
    lr: float = 1e-4
    """Learning rate of the second stage; a tenth in its second half (section 3.2)."""
    constant_lr: bool = False
    """Keep the learning rate of the first stage, as in the paper."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Of Adam; (0.9, 0.999) in the paper."""
    ema: float = 0.999
    """Decay of the running average of the generator; 0: none, as in the paper."""

    def __post_init__(self):
        least: dict[str, float | tuple[float, float]] = {
            "hold": 0,
            "blocks": (1, 1_000),
            "width": 1,
            "discriminator_width": 1,
            "batch": 1,
            "pretrain_steps": 0,
            "steps": 0,
        }
        least |= {"pretrain_lr": 0, "lr": 0, "content_weight": 0, "pixel_weight": 0, "adversarial_weight": 0}
        check_ranges(self, least | {"ema": (0, 1), "betas": (0, BELOW_ONE)})


PRESETS = {
    "tiny": SRGANConfig(
        hold=0, crop=48, blocks=2, width=16, discriminator_width=8, batch=4, pretrain_steps=20, steps=4, ema=0.9
    ),
    "laptop": SRGANConfig(hold=0, blocks=8, width=32, discriminator_width=16, pretrain_steps=3_000, steps=400, lr=3e-4),
    "default": SRGANConfig(),
    "paper": SRGANConfig(
        generator="srresnet",
        blocks=16,
        width=64,
        discriminator_width=64,
        pixel="mse",
        content="vgg54",
        pixel_weight=0.0,
        pretrain_steps=1_000_000,
        steps=200_000,
        pretrain_lr=1e-4,
        constant_lr=True,
        betas=(0.9, 0.999),
        ema=0.0,
    ),
}


class ResidualBlock(nn.Module):
    """conv - BN - PReLU - conv - BN + input, (B, C, H, W) -> the same shape."""

    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.PReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def factors(scale: int) -> list[int]:
    """Up-sampling steps of a scale: 2, 4 and 8 by twos, 3 at once."""
    steps = {2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}
    if scale not in steps:
        raise ConfigError(f"scale {scale}: the network has x2, x3, x4 and x8; give one of them")
    return steps[scale]


class SRResNet(nn.Module):
    """The generator of figure 4: RGB (B, 3, H, W) in 0..1 -> (B, 3, scale H, scale W)."""

    def __init__(self, scale: int = 4, blocks: int = 16, width: int = 64):
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(3, width, 9, padding=4), nn.PReLU())
        self.body = nn.Sequential(
            *[ResidualBlock(width) for _ in range(blocks)],
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
        )
        up = [[nn.Conv2d(width, width * f * f, 3, padding=1), nn.PixelShuffle(f), nn.PReLU()] for f in factors(scale)]
        self.tail = nn.Sequential(*[layer for group in up for layer in group], nn.Conv2d(width, 3, 9, padding=4))
        # Pixels of the input, on each side, that an output may depend on.
        self.radius = 4 + 2 * blocks + 1 + len(up) + 4

    def forward(self, image: Tensor) -> Tensor:
        x = self.head(image)  # (B, C, H, W)
        return self.tail(x + self.body(x))  # (B, 3, scale H, scale W)


class CompactGenerator(nn.Module):
    """Residual blocks without batch norm at low resolution, one pixel shuffle, added to bilinear interpolation.

    RGB (B, 3, H, W) in 0..1 -> (B, 3, scale H, scale W). Without batch norm as in EDSR (Lim et al. 2017, arXiv:1707.02921).
    """

    def __init__(self, scale: int = 4, blocks: int = 8, width: int = 32):
        super().__init__()
        factors(scale)
        self.scale = scale
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))
            for _ in range(blocks)
        )
        self.last = nn.Conv2d(width, width, 3, padding=1)
        self.tail = nn.Conv2d(width, 3 * scale**2, 3, padding=1)
        self.radius = 2 * blocks + 3
        with torch.no_grad():  # blocks begin near the identity, which allows the high learning rate
            for block in self.blocks:
                block[2].weight.mul_(0.1)  # pyright: ignore[reportIndexIssue]

    def forward(self, image: Tensor) -> Tensor:
        x = skip = self.head(image - 0.5)  # (B, C, H, W)
        for block in self.blocks:
            x = x + block(x)
        x = self.tail(skip + self.last(x))  # (B, 3 scale^2, H, W)
        smooth = F.interpolate(image, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return smooth + F.pixel_shuffle(x, self.scale)  # (B, 3, scale H, scale W)


class Discriminator(nn.Module):
    """The discriminator of figure 4: RGB (B, 3, crop, crop) in 0..1 -> logit (B,) that it is a photograph."""

    def __init__(self, crop: int = 96, width: int = 64, norm: bool = True):
        super().__init__()
        if crop % 16:
            raise ConfigError(f"crop {crop}: the discriminator halves it four times; expected a multiple of 16")
        layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1), nn.LeakyReLU(0.2)]
        before = width
        for i in range(1, 8):  # strides 2, 1, 2, 1, ..; channels double at every stride of 1
            after = width * 2 ** (i // 2)
            layers.append(nn.Conv2d(before, after, 3, stride=1 + i % 2, padding=1, bias=not norm))
            layers += [nn.BatchNorm2d(after)] if norm else []
            layers.append(nn.LeakyReLU(0.2))
            before = after
        self.features = nn.Sequential(*layers)  # (B, 8 width, crop / 16, crop / 16)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(before * (crop // 16) ** 2, 16 * width), nn.LeakyReLU(0.2), nn.Linear(16 * width, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.features(image * 2 - 1)).squeeze(1)  # (B,)


def build_generator(config: SRGANConfig) -> SRResNet | CompactGenerator:
    kind = SRResNet if config.generator == "srresnet" else CompactGenerator
    return kind(config.scale, config.blocks, config.width)


class SRGANTrainer(Trainer[SRGANConfig]):
    """Trains G for least error, then G and D against each other."""

    name = "srgan"
    task = "super-resolution"

    def items(self) -> int:
        """Number of photographs; the items of `data` are crops of them."""
        return len(self.data.photos)

    def default_callbacks(self) -> Sequence[Callback]:
        return [Card()]

    budget = ("pretrain_steps", "steps")
    G: nn.Module
    D: nn.Module

    def open_data(self) -> CropSource:
        c = self.config
        factors(c.scale)  # an impossible scale is said first
        photos = open_photos(c.data, skip_bad=c.skip_bad)
        self.tests = open_test_sets(c.test, c.scale)
        train, held = hold_out(photos, min(c.hold, len(photos) // 10))
        source = CropSource(train, c.crop, c.scale, skip_bad=c.skip_bad)
        skipped = photos.skipped + source.skipped
        self.validation = TestSet.of("validation", held, c.scale, skipped if c.skip_bad else None)
        if skipped:
            say(f"{len(skipped)} pictures skipped, the first: {skipped[0][1]}")
        return source

    def networks(self) -> dict[str, nn.Module]:
        c = self.config
        self.distance = self._open_distance("efficientnet_lite0" if c.content == "mse" else c.content)
        return {"G": build_generator(c), "D": Discriminator(c.crop, c.discriminator_width, c.discriminator_norm)}

    def optimisers(self) -> Optimiser:
        c = self.config
        return Adam(lr=c.pretrain_lr if c.constant_lr else Cosine(c.pretrain_lr, 0.0), betas=c.betas)

    def averaged(self) -> dict[str, float]:
        return {"G": self.config.ema} if self.config.ema else {}

    def stages(self) -> list[Stage]:
        c = self.config
        by = (
            {"pretrain": Best("psnr_y", "max"), "adversarial": Best(self.distance.name, "min")}
            if self.validation
            else {}
        )
        stages = [
            Stage("pretrain", c.pretrain_steps, [
                Update("generator", trains=["G"], loss=self.pixel_loss),
            ], best=by.get("pretrain")),
            Stage("adversarial", c.steps, [
                Update("discriminator", trains=["D"], loss=self.discriminator_loss),
                Update("generator",     trains=["G"], loss=self.generator_loss),
            ], best=by.get("adversarial"), optim=Adam(Steps((c.lr, c.lr / 10), (0.5,)), c.betas)),
        ]  # fmt: skip
        if c.pretrain_steps < 0 or c.steps < 0 or not c.pretrain_steps + c.steps:
            raise ConfigError(f"pretrain_steps {c.pretrain_steps}, steps {c.steps}: expected 0 or more, not both 0")
        return [stage for stage in stages if stage.steps]

    def pixel_loss(self, batch: Batch, step: Step) -> Terms:
        return {"pixel": self.pixel_error(self.G(unit(batch["lr"], step)), unit(batch["hr"], step))}

    def pixel_error(self, fake: Tensor, real: Tensor) -> Tensor:
        error = fake.to(real.dtype) - real
        return error.square().mean() if self.config.pixel == "mse" else error.abs().mean()

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        """Equation 2, for D."""
        real = unit(batch["hr"], step)
        with torch.no_grad():
            fake = self.G(unit(batch["lr"], step))
        return {"adversarial": losses.non_saturating.discriminator(self.D(real), self.D(fake))}

    def generator_loss(self, batch: Batch, step: Step) -> Terms:
        """Equation 3: content loss + 1e-3 adversarial loss."""
        c, real = self.config, unit(batch["hr"], step)
        fake = self.G(unit(batch["lr"], step)).to(real.dtype)
        content = (fake - real).square().mean() if c.content == "mse" else self.distance(fake, real).mean()
        terms = {
            "content": content * c.content_weight,
            "adversarial": losses.non_saturating.generator(self.D(fake)) * c.adversarial_weight,
        }
        if c.pixel_weight:
            terms["pixel"] = self.pixel_error(fake, real) * c.pixel_weight
        return terms

    def forward(self, name: str, network: nn.Module, batch: Batch, step: Step) -> Tensor:
        return network(unit(batch["lr"], step))

    # ------------------------------------------------------------------------------ measuring

    def validate(self, nets: Mapping[str, nn.Module]) -> dict[str, float]:
        if not self.validation:
            return {}
        upscaler = {"now": Upscaler(nets["G"], self.config.scale)}
        distances = [self.distance] if self.stage.name == "adversarial" else []
        scores = score_upscalers(upscaler, [self.validation], distances, self.device)["now"]
        return {metric.removeprefix("validation/"): value for metric, value in scores.items()}

    def preview(self, nets: Mapping[str, nn.Module], folder: Path) -> None:
        picture = comparison({"now": Upscaler(nets["G"], self.config.scale)}, self.tests[0])
        picture.save(folder / f"step-{self.step:09d}.png")

    def score(self) -> Evaluation:
        """Bicubic, and the last and the best of both stages, on the test pictures; writes `comparison.png` beside it."""
        distances = [self.distance]
        if self.config.perceptual_weights and self.distance.name != "vgg22":
            distances.append(self._open_distance("vgg22"))
        rows = {}
        for stage in self.plan:
            for which in ("last", "best") if self.validation else ("last",):
                rows[f"{stage.name}/{which}"] = self._upscaler(stage.name, which)
        scores = score_upscalers({"bicubic": None, **rows}, self.tests, distances, self.device)
        shown = {"bicubic": None} | {stage.name: rows[f"{stage.name}/last"] for stage in self.plan}
        if rank() == 0:
            comparison(shown, *self.tests).save(self.folder / "comparison.png")
        return Evaluation(scores, definitions(distances))

    def _open_distance(self, name: str) -> PerceptualDistance:
        given = self.config.perceptual_weights if name != "efficientnet_lite0" else ""
        dtype = torch.float64 if self.precision == "fp64" else torch.float32
        return open_perceptual(name, str(locate(given, "a safetensors file")) if given else None).to(self.device, dtype)

    def _upscaler(self, stage: str, which: str) -> Upscaler:
        network = build_generator(self.config).to(self.device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        load_strict(network.state_dict(), self.saved("G", stage, which), f"{stage}/{which}")
        return Upscaler(network.eval(), self.config.scale)

    @classmethod
    def load(cls, folder: ModelFolder) -> Upscaler:
        """The trained generator of a model folder, on the GPU if there is one. CheckpointError where weights do not fit."""
        c = from_table(cls.config_type(), folder.config, f"{folder.path}, config.json")
        weights = folder.weights.get("G", {})
        return Upscaler(load_network(lambda: build_generator(c), weights, f"{folder.path}, G"), c.scale)


def unit(image: Tensor, step: Step) -> Tensor:
    """uint8 pixels to 0..1."""
    return image.to(step.dtype) / 255
