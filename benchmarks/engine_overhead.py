"""What the engine costs: its step against a loop written by hand for the same two-network training.

    python -m benchmarks.engine_overhead
    python -m benchmarks.engine_overhead --out overhead.json

Both loops run in one process in turn, block by block, and are compared within each pair of blocks,
so that whatever slows the machine down slows both. Both do the same maths: batch, latents, forward,
backward, clipping of the gradient's norm, fused Adam, running average of the generator with its
warm-up. The engine's step, `Trainer.advance`, has besides what a loop by hand lacks: randomness by
key, the check for non-finite gradients, schedules, means of the terms for the log.
"""

import copy
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro
from torch import Tensor, nn
from torch.nn.functional import softplus

from multigen import losses
from multigen.engine import Adam, Batch, Run, Stage, Step, TensorSource, Terms, Trainer, Update
from multigen.engine.device import autocast, choose_device, choose_precision
from multigen.engine.evaluation import Evaluation
from multigen.engine.optimisers import Optimiser
from multigen.runs.record import record
from multigen.storage.files import write_json

__all__ = ["DCGAN", "PERCEPTRON", "GANConfig", "GANTrainer", "HandWritten", "interleaved", "main", "measure"]

LR, BETAS, CLIP, DECAY = 2e-4, (0.5, 0.999), 1.0, 0.999
UPDATES = 2  # a step: one of the discriminator, one of the generator
ALLOWED = {"perceptron": "at most 50 us an update", "dcgan": "at most 3 %"}


@dataclass(frozen=True)
class GANConfig:
    """A training to time."""

    batch: int
    latent: int
    width: int
    """Units of the hidden layer, or channels of the widest-resolution layer."""
    pictures: bool
    """DCGAN on pictures (B, 3, 64, 64); else perceptrons on points (B, 2)."""
    items: int
    """Samples of the training data, which are noise."""
    steps: int = 1


PERCEPTRON = GANConfig(batch=64, latent=8, width=32, pictures=False, items=4096)
DCGAN = GANConfig(batch=16, latent=100, width=32, pictures=True, items=512)


def perceptron(before: int, width: int, after: int) -> nn.Module:
    return nn.Sequential(nn.Linear(before, width), nn.ReLU(), nn.Linear(width, after))


def picture_generator(latent: int, width: int) -> nn.Module:
    """z (B, latent) -> (B, 3, 64, 64) in -1..1. Radford et al. 2016, arXiv:1511.06434."""
    layers: list[nn.Module] = [nn.Unflatten(1, (latent, 1, 1)), nn.ConvTranspose2d(latent, 8 * width, 4, bias=False)]
    for after in (4 * width, 2 * width, width):  # 4 x 4 -> 32 x 32
        layers += [nn.BatchNorm2d(2 * after), nn.ReLU(), nn.ConvTranspose2d(2 * after, after, 4, 2, 1, bias=False)]
    layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.ConvTranspose2d(width, 3, 4, 2, 1), nn.Tanh()]
    return nn.Sequential(*layers)


def picture_discriminator(width: int) -> nn.Module:
    """(B, 3, 64, 64) -> logit (B, 1)."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2)]
    for before in (width, 2 * width, 4 * width):  # 32 x 32 -> 4 x 4
        layers += [nn.Conv2d(before, 2 * before, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * before), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4), nn.Flatten())


class GANTrainer(Trainer[GANConfig]):
    """The training as the engine is told of it."""

    name = "engine_overhead"
    G: nn.Module
    D: nn.Module

    def networks(self) -> dict[str, nn.Module]:
        c = self.config
        if c.pictures:
            return {"G": picture_generator(c.latent, c.width), "D": picture_discriminator(c.width)}
        return {"G": perceptron(c.latent, c.width, 2), "D": perceptron(2, c.width, 1)}

    def open_data(self) -> TensorSource:
        shape = (3, 64, 64) if self.config.pictures else (2,)
        noise = torch.randn(self.config.items, *shape, generator=torch.Generator().manual_seed(0))
        return TensorSource({"x": noise.to(self.device)})

    def optimisers(self) -> Optimiser:
        return Adam(LR, BETAS)

    def averaged(self) -> dict[str, float]:
        return {"G": DECAY}

    def stages(self) -> list[Stage]:
        return [
            Stage("adversarial", self.config.steps, [
                Update("discriminator", trains=["D"], loss=self.discriminator_loss, clip_norm=CLIP),
                Update("generator",     trains=["G"], loss=self.generator_loss,     clip_norm=CLIP),
            ]),
        ]  # fmt: skip

    def discriminator_loss(self, batch: Batch, step: Step) -> Terms:
        with torch.no_grad():
            fake = self.G(step.randn("z", self.config.latent))
        return {"adversarial": losses.non_saturating.discriminator(self.D(batch["x"]), self.D(fake))}

    def generator_loss(self, batch: Batch, step: Step) -> Terms:
        fake = self.G(step.randn("z", self.config.latent))
        return {"adversarial": losses.non_saturating.generator(self.D(fake))}


class HandWritten:
    """The same training as one would write it for this method alone, from the trainer's weights
    on."""

    def __init__(self, trainer: GANTrainer):
        self.config, self.device, self.precision = trainer.config, trainer.device, trainer.precision
        self.data = trainer.open_data().tensors["x"]
        self.G, self.D = copy.deepcopy(trainer.G), copy.deepcopy(trainer.D)
        self.average = copy.deepcopy(self.G).requires_grad_(False)
        self.g_parameters: list[Tensor] = [*self.G.parameters()]
        self.d_parameters: list[Tensor] = [*self.D.parameters()]
        self.averages: list[Tensor] = [*self.average.parameters()]
        self.g_buffers, self.average_buffers = [*self.G.buffers()], [*self.average.buffers()]
        self.g_optimiser = torch.optim.Adam(self.g_parameters, LR, BETAS, fused=True)
        self.d_optimiser = torch.optim.Adam(self.d_parameters, LR, BETAS, fused=True)
        self.generator = torch.Generator().manual_seed(0)

    def real(self) -> Tensor:
        """A batch (B, 2) or (B, 3, 64, 64)."""
        rows = torch.randint(len(self.data), (self.config.batch,), generator=self.generator)
        x = self.data[rows.to(self.device)]
        return x.contiguous(memory_format=torch.channels_last) if self.config.pictures else x

    def latents(self) -> Tensor:
        """z ~ N(0, I), (B, latent)."""
        return torch.randn(self.config.batch, self.config.latent, generator=self.generator).to(self.device)

    def step(self, index: int) -> None:
        """One update of the discriminator and one of the generator."""
        self.d_optimiser.zero_grad()
        real = self.real()
        with autocast(self.device, self.precision):
            with torch.no_grad():
                fake = self.G(self.latents())
            loss = softplus(-self.D(real).float()).mean() + softplus(self.D(fake).float()).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(self.d_parameters, CLIP, foreach=True)
        self.d_optimiser.step()

        for p in self.d_parameters:  # their gradients are not needed below
            p.requires_grad_(False)
        self.g_optimiser.zero_grad()
        self.real()  # the engine gives every update a batch of its own, which this one does not look at
        with autocast(self.device, self.precision):
            loss = softplus(-self.D(self.G(self.latents())).float()).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(self.g_parameters, CLIP, foreach=True)
        self.g_optimiser.step()
        for p in self.d_parameters:
            p.requires_grad_(True)

        with torch.no_grad():
            share = 1 - min(DECAY, (1 + index) / (10 + index))
            torch._foreach_lerp_(self.averages, self.g_parameters, share)  # pyright: ignore[reportPrivateImportUsage]
            if self.g_buffers:
                torch._foreach_copy_(self.average_buffers, self.g_buffers)  # pyright: ignore[reportPrivateImportUsage]


Loop = Callable[[int], object]


def interleaved(
    a: Loop, b: Loop, blocks: int, steps: int, device: torch.device, clock: Callable[[], float] = time.perf_counter
) -> list[tuple[float, float]]:
    """Seconds a step of `a` and of `b` in each pair of blocks of `steps` steps; which of them goes
    first alternates.

    Each is called with the indices 0 to blocks * steps - 1. The first pair warms up and is left out
    of the result.
    """

    def seconds(loop: Loop, indices: range) -> float:
        began = clock()
        for index in indices:
            loop(index)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return (clock() - began) / len(indices)

    pairs = []
    for block in range(blocks):
        indices = range(block * steps, (block + 1) * steps)
        if block % 2:
            later, earlier = seconds(b, indices), seconds(a, indices)
            pairs.append((earlier, later))
        else:
            pairs.append((seconds(a, indices), seconds(b, indices)))
    return pairs[1:]


def measure(config: GANConfig, run: Run, blocks: int, steps: int) -> tuple[Evaluation, GANTrainer]:
    """Times both loops in `blocks` pairs of blocks after a first pair that warms up."""
    trainer = GANTrainer(config, run)
    trainer.prepare()
    trainer.enter(trainer.stage)
    by_hand = HandWritten(trainer)
    pairs = interleaved(by_hand.step, trainer.advance, blocks + 1, steps, trainer.device)
    trainer.state.scalars["seconds"] = sum(engine for _, engine in pairs) * steps
    micro = 1e6 / UPDATES
    rows = {
        "by hand": spread([hand * micro for hand, _ in pairs]),
        "engine": spread([engine * micro for _, engine in pairs]),
        "difference": spread([(engine - hand) * micro for hand, engine in pairs]),
        "percent": spread([(engine / hand - 1) * 100 for hand, engine in pairs]),
    }
    what = "over the pairs of blocks, microseconds an update; of `percent`: difference / by hand * 100"
    return Evaluation(rows, {name: f"{name} {what}" for name in ("min", "median", "max")}), trainer


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def main(
    blocks: int = 20, steps: int = 100, dcgan_steps: int = 8, device: str = "auto", out: Path | None = None
) -> None:
    """Times the engine against a loop by hand, on a tiny perceptron and on a DCGAN.

    Args:
        blocks: blocks of each loop that are timed.
        steps: steps of a block, perceptron.
        dcgan_steps: steps of a block, DCGAN.
        device: auto, cpu, cuda, cuda:N.
        out: JSON file to write the figures to.
    """
    records, native = {}, choose_precision("auto", choose_device(device))
    for name, config, count, run in (
        ("perceptron", PERCEPTRON, steps, Run(device=device, precision="fp32")),
        ("dcgan", DCGAN, dcgan_steps, replace(Run(device=device), precision=native)),
    ):
        result, trainer = measure(replace(config, steps=(blocks + 1) * count), run, blocks, count)
        records[name] = record(result, [trainer.run_info()])
        print(f"{name}: {blocks} pairs of blocks of {count} steps; {records[name]['machine']}; {ALLOWED[name]}")
        print(f"{'microseconds an update':<24}{'min':>10}{'median':>10}{'max':>10}")
        for row, figures in result.rows.items():
            print(f"{row:<24}" + "".join(f"{value:10.1f}" for value in figures.values()))
    if out is not None:
        write_json(out, records)


if __name__ == "__main__":
    tyro.cli(main)
