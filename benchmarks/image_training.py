"""How fast DCGAN trains at 64 x 64 pixels, against the same networks in a plain loop as tutorials
have it.

    python -m benchmarks.image_training
    python -m benchmarks.image_training --profile

Two loops run in one process in turn, block by block, and are compared within each pair of blocks:
the plain loop in fp32 against ours in fp32, then against ours in bf16. A step shows D a batch of
real and one of generated pictures and updates D and G once.

- The plain loop: contiguous tensors, a DataLoader over float pictures, binary cross-entropy with
  label tensors, a backward pass for the real and one for the generated batch, the generated batch
  used again in G's update (whose backward pass also computes D's gradients, for nothing), Adam as
  it comes, and every loss read at every step.
- Ours, `DCGANTrainer` as it is: channels last, pictures of 8 bits in memory, fused Adam, D frozen
  in G's update; and besides, new latents for G's update, a running average of G, keyed randomness,
  and the check of every gradient.

Allowed: at least 1.15 times the images a second in fp32; with bf16 at least 1.5 times where the CPU
has AMX.
"""

import copy
import statistics
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.engine_overhead import interleaved
from multigen.engine import Run, TensorSource
from multigen.engine.evaluation import Evaluation
from multigen.image.synthesis.dcgan import DCGANConfig, DCGANTrainer
from multigen.runs.record import record
from multigen.storage.files import write_json

__all__ = ["PlainLoop", "main", "measure", "noise", "prepared", "profile"]

DEFINITIONS = {
    "images_per_second": "real pictures that D is shown a second, median of the blocks",
    "ratio": "images a second over those of the plain loop in fp32, median of the pairs of blocks",
    "ratio_min": "least of the pairs of blocks",
    "ratio_max": "largest of the pairs of blocks",
}


class PlainLoop:
    """The tutorial's loop, from the trainer's weights on."""

    def __init__(self, trainer: DCGANTrainer):
        c = trainer.config
        self.latent, self.device = c.latent, trainer.device
        self.G, self.D = (copy.deepcopy(trainer.nets[name]).to(memory_format=torch.contiguous_format) for name in "GD")
        assert isinstance(trainer.data, TensorSource)
        images = trainer.data.tensors["image"].float() / 127.5 - 1
        self.loader = DataLoader(TensorDataset(images), batch_size=c.batch, shuffle=True, drop_last=True)
        self.batches = iter(self.loader)
        self.criterion = nn.BCEWithLogitsLoss()
        self.optimiser_g, self.optimiser_d = (
            torch.optim.Adam(network.parameters(), lr=c.lr[0], betas=c.betas) for network in (self.G, self.D)
        )

    def real(self) -> torch.Tensor:
        """The next batch (B, 3, 64, 64)."""
        try:
            (image,) = next(self.batches)
        except StopIteration:
            self.batches = iter(self.loader)
            (image,) = next(self.batches)
        return image.to(self.device)

    def step(self, index: int) -> tuple[float, float]:
        """One update of D and one of G; their losses."""
        real = self.real()
        ones, zeros = torch.ones(len(real), device=self.device), torch.zeros(len(real), device=self.device)
        self.D.zero_grad()
        loss_real = self.criterion(self.D(real), ones)
        loss_real.backward()
        fake = self.G(torch.randn(len(real), self.latent, device=self.device))
        loss_fake = self.criterion(self.D(fake.detach()), zeros)
        loss_fake.backward()
        self.optimiser_d.step()
        self.G.zero_grad()
        loss_g = self.criterion(self.D(fake), ones)
        loss_g.backward()
        self.optimiser_g.step()
        return loss_real.item() + loss_fake.item(), loss_g.item()


def noise(folder: Path, count: int, size: int) -> Path:
    """A set of `count` pictures of noise, which no step looks at more closely."""
    rng = np.random.default_rng(0)
    np.savez(folder / "noise.npz", images=rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8))
    return folder / "noise.npz"


def prepared(data: Path, config: DCGANConfig, run: Run) -> DCGANTrainer:
    """Our trainer, before its first step."""
    trainer = DCGANTrainer(DCGANConfig(**{**vars(config), "data": str(data)}), run)
    trainer.prepare()
    trainer.enter(trainer.stage)
    return trainer


def measure(trainer: DCGANTrainer, blocks: int, steps: int) -> Evaluation:
    """Times the plain loop and ours in `blocks` pairs of blocks after a first pair that warms
    up."""
    plain, batch = PlainLoop(trainer), trainer.config.batch
    pairs = interleaved(plain.step, trainer.advance, blocks + 1, steps, trainer.device)
    trainer.state.scalars["seconds"] = sum(ours for _, ours in pairs) * steps
    ratios = [plain / ours for plain, ours in pairs]
    rows = {
        "plain fp32": {"images_per_second": batch / statistics.median(plain for plain, _ in pairs)},
        f"ours {trainer.precision}": {
            "images_per_second": batch / statistics.median(ours for _, ours in pairs),
            "ratio": statistics.median(ratios),
            "ratio_min": min(ratios),
            "ratio_max": max(ratios),
        },
    }
    return Evaluation(rows, DEFINITIONS)


def profile(trainer: DCGANTrainer, steps: int = 5, rows: int = 3) -> list[tuple[str, float]]:
    """The costliest operations of our step, and their shares of its time."""
    with torch.profiler.profile() as profiler:
        for index in range(steps):
            trainer.advance(index)
    events = profiler.key_averages()
    times = sorted(((e.self_cpu_time_total, e.key) for e in events), reverse=True)
    total = sum(time for time, _ in times)
    return [(key, time / total) for time, key in times[:rows]]


def main(
    blocks: int = 10,
    steps: int = 4,
    batch: int = 64,
    width: int = 64,
    size: int = 64,
    device: str = "auto",
    with_profile: Annotated[bool, tyro.conf.arg(name="profile")] = False,
    out: Path | None = None,
) -> None:
    """Times DCGAN's step against a plain loop.

    Args:
        blocks: pairs of blocks that are timed, for each precision.
        steps: steps of a block.
        batch: pictures of a batch.
        width: channels of the layers at the highest resolution.
        size: side of a picture, pixels.
        device: auto, cpu, cuda, cuda:N.
        with_profile: also name the three costliest operations of our step.
        out: JSON file to write the records to.
    """
    records = []
    with tempfile.TemporaryDirectory() as folder:
        data = noise(Path(folder), 8 * batch, size)
        config = DCGANConfig(size=size, width=width, batch=batch, steps=(blocks + 1) * steps, validation_size=0)
        for precision in ("fp32", "bf16"):
            trainer = prepared(data, config, Run(device=device, precision=precision))
            result = measure(trainer, blocks, steps)
            records.append(record(result, [trainer.run_info()]))
            print(f"{records[-1]['machine']}, {torch.get_num_threads()} threads; {blocks} pairs of {steps} steps")
            print(result.table(), flush=True)
            if with_profile:
                for name, share in profile(trainer):
                    print(f"  {share:6.1%}  {name}")
    if out is not None:
        write_json(out, {"records": records})


if __name__ == "__main__":
    tyro.cli(main)
