"""What WaveGAN's updates cost: our step against a plain loop, and the small-budget game against the
published recipe.

    python -m benchmarks.audio_training
    python -m benchmarks.audio_training --profile

Three loops run in one process in turn, round by round, and are compared within each round. All have
the same width, length and batch, and train on noise.

- The plain loop: the published recipe (WGAN-GP, five critic updates for one of the generator, phase
  shuffle 2) written straight down in fp32: a DataLoader, the same networks, losses and Adam,
  nothing else. In G's update it computes D's gradients too, for nothing.
- Ours: `WaveGANTrainer` with the settings of the preset `paper`: the same arithmetic, keyed
  randomness and the check of every gradient.
- The game of the preset `laptop`: pairs, one critic update, R1 and R2 every eighth, a critic of
  spectrograms in place of the one that hears the waveform. Timed in blocks of eight steps, so that
  each holds one of the rare penalties.

Wanted: the small game takes at most a quarter of the published recipe's seconds an update.
"""

import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro
from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from torch.utils.data import DataLoader, TensorDataset

from multigen.audio.files import write_sound
from multigen.audio.synthesis.wavegan import (
    PRESETS,
    SLOPE,
    Generator,
    WaveformCritic,
    WaveGANConfig,
    WaveGANTrainer,
    phase_shuffle,
)
from multigen.engine import Run, TensorSource
from multigen.engine.device import autocast
from multigen.engine.evaluation import Evaluation
from multigen.runs.record import record
from multigen.storage.files import write_json

__all__ = ["PlainLoop", "layers", "main", "measure", "noise", "prepared", "profile", "rounds_of"]

DEFINITIONS = {
    "seconds": "a generator update and the critic updates that go with it, median of the rounds",
    "to_plain": "seconds over those of the plain loop in fp32, median of the rounds' ratios",
    "to_published": "seconds over those of the published recipe, ours, median of the rounds' ratios",
    **{f"to_{other}_{end}": f"{end} of the rounds" for other in ("plain", "published") for end in ("min", "max")},
}
PASSES = ("forward", "backward", "double")


class PlainLoop:
    """WGAN-GP as one would write it for this method alone, from the trainer's weights on."""

    def __init__(self, trainer: WaveGANTrainer):
        c = self.config = trainer.config
        self.device = trainer.device
        self.G, self.D = (copy.deepcopy(trainer.nets[name]) for name in "GD")
        assert isinstance(trainer.data, TensorSource)
        sounds = TensorDataset(trainer.data.tensors["sound"])
        self.loader = DataLoader(sounds, batch_size=c.batch, shuffle=True, drop_last=True)
        self.batches = iter(self.loader)
        self.optimiser_g, self.optimiser_d = (
            torch.optim.Adam(network.parameters(), lr=c.lr[0], betas=c.betas) for network in (self.G, self.D)
        )

    def real(self) -> Tensor:
        """The next batch (B, 1, length)."""
        try:
            (sound,) = next(self.batches)
        except StopIteration:
            self.batches = iter(self.loader)
            (sound,) = next(self.batches)
        return sound.to(self.device)

    def latents(self) -> Tensor:
        """z ~ N(0, I), (B, latent)."""
        return torch.randn(self.config.batch, self.config.latent, device=self.device)

    def mix(self) -> Tensor:
        """(B, 1, 1), uniform in 0..1."""
        return torch.rand(self.config.batch, 1, 1, device=self.device)

    def step(self, index: int) -> float:
        """The critic updates and one of the generator; its loss."""
        for _ in range(self.config.critic_steps):
            real = self.real()
            with torch.no_grad():
                fake = self.G(self.latents())
            mix = self.mix()
            between = (mix * real + (1 - mix) * fake).requires_grad_()
            (gradient,) = torch.autograd.grad(self.D(between).sum(), between, create_graph=True)
            penalty = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
            loss = self.D(fake).mean() - self.D(real).mean() + self.config.penalty * penalty
            self.optimiser_d.zero_grad()
            loss.backward()
            self.optimiser_d.step()
        loss = -self.D(self.G(self.latents())).mean()
        self.optimiser_g.zero_grad()
        loss.backward()
        self.optimiser_g.step()
        return loss.item()


# ---------------------------------------------------------------------------------------------------- comparing


def noise(folder: Path, count: int, length: int) -> Path:
    """A recording that is cut into `count` sounds of noise."""
    draw = torch.Generator().manual_seed(0)
    write_sound(folder / "noise.wav", torch.rand(count * length, generator=draw) - 0.5, 8000)
    return folder / "noise.wav"


def prepared(data: Path, config: WaveGANConfig, run: Run) -> WaveGANTrainer:
    """Our trainer, before its first step."""
    c = replace(config, data=str(data), rate=8000, cut="slices", conditional=False, validation_size=0)
    trainer = WaveGANTrainer(c, run)
    trainer.prepare()
    trainer.enter(trainer.stage)
    return trainer


def rounds_of(
    loops: Mapping[str, tuple[Callable[[int], object], int]],
    rounds: int,
    device: torch.device,
    clock: Callable[[], float] = time.perf_counter,
) -> list[dict[str, float]]:
    """Seconds a step of each loop in each round; the loops begin in turn. A first round warms up
    and is left out.

    Args:
        loops: name -> (loop, steps of a round); a loop is called with the indices 0, 1, ...
    """
    result, names = [], [*loops]
    for number in range(rounds + 1):
        first = number % len(names)
        seconds = {}
        for name in names[first:] + names[:first]:
            step, steps = loops[name]
            began = clock()
            for index in range(number * steps, (number + 1) * steps):
                step(index)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds[name] = (clock() - began) / steps
        result.append(seconds)
    return result[1:]


def measure(published: WaveGANTrainer, small: WaveGANTrainer, rounds: int) -> Evaluation:
    """Times the plain loop, ours and the small game."""
    plain, lazy = PlainLoop(published), small.config.lazy
    loops = {"plain loop": (plain.step, 1), "published": (published.advance, 1), "small budget": (small.advance, lazy)}
    result = rounds_of(loops, rounds, published.device)
    published.state.scalars["seconds"] = sum(each["published"] for each in result)
    rows = {name: {"seconds": statistics.median(each[name] for each in result)} for name in loops}
    for name, base, key in (("published", "plain loop", "to_plain"), ("small budget", "published", "to_published")):
        ratios = [each[name] / each[base] for each in result]
        rows[name] |= {key: statistics.median(ratios), f"{key}_min": min(ratios), f"{key}_max": max(ratios)}
    return Evaluation(rows, DEFINITIONS)


# ---------------------------------------------------------------------------------------------------- layer by layer

Layer = tuple[str, Callable[[Tensor], Tensor], Tensor, list[nn.Parameter]]


@torch.no_grad()
def layers(network: nn.Module, x: Tensor) -> list[Layer]:
    """Each layer of the generator or the waveform's critic as (name, function, its input in a pass
    of x, its weights)."""
    result: list[Layer] = []

    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        held = inputs[0].detach()
        shape = " ".join(str(n) for n in output.shape[1:])
        if isinstance(network, WaveformCritic) and isinstance(module, nn.Conv1d):
            if result:
                n = network.shuffle
                result.append(("phase shuffle", lambda h: phase_shuffle(h, n), held, []))
            result.append((f"convolution -> {shape}", module, held, [*module.parameters()]))
            result.append(("leaky rectifier", lambda h: leaky_relu(h, SLOPE), output.detach(), []))
        elif not isinstance(module, nn.Unflatten):
            result.append((f"{type(module).__name__} -> {shape}", module, held, [*module.parameters()]))

    handles = [m.register_forward_hook(hook) for m in network.modules() if not [*m.children()]]
    network(x)
    for handle in handles:
        handle.remove()
    return result


def milliseconds(layer: Layer, kind: str, repeats: int) -> list[float]:
    """Of a layer's forward pass, backward pass (to its input and weights) and double backward pass
    (of the gradient at its input, to the gradient at its output and the weights, as a penalty's),
    medians after a first that warms up."""
    _, function, held, weights = layer
    times = []
    for _ in range(repeats + 1):
        x = held.clone().requires_grad_()
        marks = [_now(x)]
        with autocast(x.device, kind):
            y = function(x)
        marks.append(_now(x))
        g = torch.randn_like(y).requires_grad_()
        marks.append(_now(x))
        torch.autograd.grad(y, [x, *weights], g, retain_graph=True)
        marks.append(_now(x))
        (at_input,) = torch.autograd.grad(y, x, g, create_graph=True)
        v = torch.randn_like(at_input)
        marks.append(_now(x))
        torch.autograd.grad(at_input, [g, *weights], v, allow_unused=True)
        marks.append(_now(x))
        times.append([1e3 * (b - a) for a, b in (marks[0:2], marks[2:4], marks[4:6])])
    return [statistics.median(column) for column in zip(*times[1:], strict=True)]


def _now(x: Tensor) -> float:
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
    return time.perf_counter()


def profile(
    config: WaveGANConfig, device: torch.device, repeats: int = 5, kinds: Sequence[str] = ("fp32", "bf16")
) -> dict[str, Evaluation]:
    """Milliseconds of each layer of the generator and of the waveform's critic, a batch."""
    networks = {
        "generator": (Generator(config).to(device), torch.randn(config.batch, config.latent, device=device)),
        "waveform critic": (
            WaveformCritic(config).to(device),
            torch.rand(config.batch, 1, config.length, device=device) - 0.5,
        ),
    }
    result = {}
    for name, (network, x) in networks.items():
        rows: dict[str, dict[str, float]] = {}
        for kind in kinds:
            with autocast(device, kind):
                parts = layers(network, x)
            for i, part in enumerate(parts):
                figures = dict(zip([f"{p}_{kind}" for p in PASSES], milliseconds(part, kind, repeats), strict=True))
                rows[f"{i:2} {part[0]}"] = rows.get(f"{i:2} {part[0]}", {}) | figures
        rows["all"] = {column: sum(row[column] for row in rows.values()) for column in next(iter(rows.values()))}
        text = "milliseconds of a batch, median of the repeats"
        result[name] = Evaluation(rows, {column: f"{column}: {text}" for column in rows["all"]})
    return result


def main(
    width: int = 16,
    length: int = 8192,
    batch: int = 64,
    rounds: int = 6,
    device: str = "auto",
    precision: Literal["fp32", "bf16"] = "fp32",
    with_profile: Annotated[bool, tyro.conf.arg(name="profile")] = False,
    out: Path | None = None,
) -> None:
    """Times WaveGAN's updates.

    Args:
        width: d, channels of the layers next to the waveform.
        length: samples of a sound.
        batch: sounds of a batch.
        rounds: rounds that are timed; of each loop there is one generator update in a round, of the
            small game eight.
        device: auto, cpu, cuda, cuda:N.
        precision: of our two loops; the plain one is in fp32.
        with_profile: also time each layer of the generator and of the waveform's critic, in fp32
            and in bf16.
        out: JSON file to write the record to.
    """
    sizes = {"width": width, "length": length, "batch": batch}
    run = Run(device=device, precision=precision)
    with tempfile.TemporaryDirectory() as folder:
        data = noise(Path(folder), 8 * batch, length)
        published = prepared(data, replace(PRESETS["paper"], **sizes), run)
        small = prepared(data, replace(PRESETS["laptop"], **sizes), run)
        result = measure(published, small, rounds)
    content = record(result, [published.run_info()])
    print(f"{content['machine']}; d {width}, {length:,} samples, batch {batch}; {rounds} rounds")
    print(result.table(), flush=True)
    tables = profile(published.config, published.device) if with_profile else {}
    for name, table in tables.items():
        print(f"\n{name}, milliseconds a batch\n{table.table()}", flush=True)
    if out is not None:
        write_json(out, {"records": [content], "profile": {name: table.rows for name, table in tables.items()}})


if __name__ == "__main__":
    tyro.cli(main)
