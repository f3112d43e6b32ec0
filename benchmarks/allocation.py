"""What a training step on the CPU gains where freed memory is kept:
`multigen.engine.device.keep_memory`.

    python -m benchmarks.allocation
    python -m benchmarks.allocation --blocks 20 --out allocation.json

Each method goes on with one training, a block of steps with memory kept and one with memory given
back, in turn. Minimum, median and maximum over the pairs of blocks, milliseconds a step; `ratio` is
how many times as long a step takes where memory is given back. The last column is the most memory
that the process has held so far: the methods after the first start from there.
"""

import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import tyro

from benchmarks.engine_overhead import interleaved, spread
from multigen.audio.synthesis import wavegan
from multigen.engine import Run, Trainer
from multigen.engine.device import keep_memory
from multigen.engine.evaluation import Evaluation
from multigen.image.restoration import srgan
from multigen.image.synthesis import dcgan, r3gan
from multigen.runs.record import record
from multigen.storage.files import write_json
from multigen.text.synthesis import seqgan

__all__ = ["METHODS", "main", "measure"]

METHODS: dict[str, Callable[[Run], Trainer]] = {
    "wavegan laptop": lambda run: wavegan.WaveGANTrainer(wavegan.PRESETS["laptop"], run),
    "dcgan laptop": lambda run: dcgan.DCGANTrainer(dcgan.PRESETS["laptop"], run),
    "r3gan laptop": lambda run: r3gan.R3GANTrainer(r3gan.PRESETS["laptop"], run),
    "srgan laptop": lambda run: srgan.SRGANTrainer(srgan.PRESETS["laptop"], run),
    "seqgan paper": lambda run: seqgan.SeqGANTrainer(seqgan.PRESETS["paper"], run),
    "seqgan laptop": lambda run: seqgan.SeqGANTrainer(replace(seqgan.PRESETS["laptop"], data="fables:2000"), run),
}
"""Name and preset of a method -> its trainer, whose first stage is timed: SeqGAN's and SRGAN's
before the adversarial one."""


def measure(trainer: Trainer, blocks: int, steps: int) -> Evaluation:
    """Times both ways in `blocks` pairs of blocks after a first pair that warms up."""
    trainer.prepare()
    trainer.enter(trainer.stage)

    def advance(keep: bool) -> Callable[[int], None]:
        def step(index: int) -> None:
            keep_memory(keep)  # microseconds
            trainer.advance(index)

        return step

    pairs = interleaved(advance(True), advance(False), blocks + 1, steps, trainer.device)
    trainer.updater.streams.clear()  # ends their workers
    trainer.state.scalars["seconds"] = sum(map(sum, pairs)) * steps
    rows = {
        "kept": spread([kept * 1e3 for kept, _ in pairs]),
        "given back": spread([given * 1e3 for _, given in pairs]),
        "ratio": spread([given / kept for kept, given in pairs]),
    }
    what = "over the pairs of blocks, milliseconds a step; of `ratio`: given back / kept"
    return Evaluation(rows, {name: f"{name} {what}" for name in ("min", "median", "max")})


def main(blocks: int = 10, steps: int = 5, out: Path | None = None) -> None:
    """Times steps with memory kept and with memory given back.

    Args:
        blocks: blocks of each way that are timed.
        steps: steps of a block.
        out: JSON file to write the figures to.
    """
    records = {}
    print(f"{'milliseconds a step':<18}{'kept':>11}{'given back':>12}{'ratio':>8}{'min':>8}{'max':>8}{'peak':>11}")
    for name, build in METHODS.items():
        trainer = build(Run(device="cpu"))
        result = measure(trainer, blocks, steps)
        records[name] = record(result, [trainer.run_info()])
        kept, given, ratio = result.rows.values()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024  # kB on Linux
        print(
            f"{name:<18}{kept['median']:>11.1f}{given['median']:>12.1f}{ratio['median']:>8.2f}{ratio['min']:>8.2f}"
            f"{ratio['max']:>8.2f}{peak:>7.0f} MiB",
            flush=True,
        )
    print(records[name]["machine"])
    if out is not None:
        write_json(out, records)


if __name__ == "__main__":
    tyro.cli(main)
