"""What bf16 gains and costs: SRGAN's pretraining in fp32 and in bf16, its speed and the PSNR after equally many steps.

    python -m benchmarks.precision
    python -m benchmarks.precision --steps 1000 --out precision.json

Both trainings start from the same weights, see the same crops and run in one process in turn, block by block; speeds
are compared within each pair of blocks. Afterwards both are measured on the held-out embedded photographs, in fp32.
"""

import statistics
from dataclasses import replace
from pathlib import Path

import torch
import tyro

from benchmarks.engine_overhead import interleaved
from multigen.engine import Run
from multigen.engine.device import choose_device, choose_precision
from multigen.engine.evaluation import Evaluation
from multigen.image.restoration.evaluator import score
from multigen.image.restoration.srgan import PRESETS, SRGANConfig, SRGANTrainer
from multigen.image.restoration.upscaler import Upscaler
from multigen.runs.record import record
from multigen.storage.files import write_json

__all__ = ["NETWORKS", "compare", "main"]

COMPACT = replace(PRESETS["laptop"], steps=0)  # no adversarial stage
NETWORKS = {
    "compact 8x32": COMPACT,
    "srresnet 16x64": replace(COMPACT, generator="srresnet", blocks=16, width=64),
}
"""The small generator, and the paper's trained with the same settings; residual blocks x channels."""
PRECISIONS = ("fp32", "bf16")
DEFINITIONS = {
    "steps_per_second": "training steps a second, median of the blocks",
    "speed_ratio": "seconds of fp32 / seconds of this precision, median of the pairs of blocks",
    "speed_ratio_min": "least of the pairs of blocks",
    "speed_ratio_max": "largest of the pairs of blocks",
    "psnr_y": "mean over the held-out embedded photographs, dB on Y, border of the scale cut off",
}


def compare(name: str, config: SRGANConfig, run: Run, block: int) -> list[dict]:
    """Trains in both precisions, in turn `block` steps of each, and returns the record of both trainings.

    `config.pretrain_steps` must be a multiple of `block`, at least two: the first pair of blocks warms up.
    """
    trainers = [SRGANTrainer(config, replace(run, precision=precision)) for precision in PRECISIONS]
    for trainer in trainers:
        trainer.prepare()
        trainer.enter(trainer.stage)
    fp32, bf16 = trainers
    pairs = interleaved(fp32.advance, bf16.advance, config.pretrain_steps // block, block, fp32.device)
    records = []
    for column, trainer in enumerate(trainers):
        trainer.state.scalars["seconds"] = sum(pair[column] for pair in pairs) * block
        ratios = [pair[0] / pair[column] for pair in pairs]
        figures = {
            "steps_per_second": 1 / statistics.median(pair[column] for pair in pairs),
            "speed_ratio": statistics.median(ratios),
            "speed_ratio_min": min(ratios),
            "speed_ratio_max": max(ratios),
            "psnr_y": psnr_of(trainer),
        }
        evaluation = Evaluation({f"{name} {trainer.precision}": figures}, DEFINITIONS)
        records.append(record(evaluation, [trainer.run_info()]))
    return records


def psnr_of(trainer: SRGANTrainer) -> float:
    """Mean PSNR-Y of the generator's running average on the held-out photographs, dB."""
    with trainer.inference() as nets:
        upscaler = Upscaler(nets["G"], trainer.config.scale)
        scores = score({"G": upscaler}, trainer.tests, [], trainer.device)
    return scores["G"][f"{trainer.tests[0].name}/psnr_y"]


def main(steps: int = 200, block: int = 10, seed: int = 0, device: str = "auto", out: Path | None = None) -> None:
    """Compares bf16 with fp32 in SRGAN's pretraining.

    Args:
        steps: training steps of each network in each precision; a multiple of `block`.
        block: steps of a block.
        seed: of weights and crops.
        device: auto, cpu, cuda, cuda:N.
        out: JSON file to write the records to, a record a training.
    """
    chosen = choose_device(device)
    native = choose_precision("auto", chosen) == "bf16"
    print(
        f"bf16 is {'native' if native else 'emulated'} on this {chosen.type}; {torch.get_num_threads()} threads",
        flush=True,
    )
    print(f"{steps} steps of batch {COMPACT.batch}, crops of {COMPACT.crop}:", flush=True)
    records = []
    for name, config in NETWORKS.items():
        found = compare(name, replace(config, pretrain_steps=steps), Run(seed=seed, device=device), block)
        print(Evaluation({row: figures for r in found for row, figures in r["rows"].items()}).table(), flush=True)
        records += found
    if out is not None:
        write_json(out, {"native": native, "records": records})


if __name__ == "__main__":
    tyro.cli(main)
