"""What `--precision auto` chooses and costs, of one method of each kind; and what bf16 gains and
costs SRGAN's pretraining.

    python -m benchmarks.precision auto
    python -m benchmarks.precision auto --methods srgan --rounds 4
    python -m benchmarks.precision quality
    python -m benchmarks.precision quality --steps 1000 --out precision.json

auto: each method trains with its preset `laptop`. First the trial, as before every training, and
how long it takes. Then, stage by stage, the same steps in fp32, in bf16 and in what the trial
chose, in turn, round after round; what was chosen is timed once more, beside the two. A step's time
is the mean over the steps of the whole run: stages weigh by their steps. Allowed: what was chosen
takes at most 1.03 times as long as the faster of the two, the trial apart. bf16 must be 1.1 times
as fast to be chosen: where it is faster by less, fp32 is within 1.1.

quality: the two trainings, fp32 and bf16, start from the same weights, see the same crops and run
in one process in turn, block by block; speeds are compared within each pair of blocks. Afterwards
both are measured on the held-out embedded photographs, in fp32.
"""

import statistics
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import torch
import tyro

from benchmarks.engine_overhead import interleaved
from multigen.catalogue import METHODS
from multigen.engine import Run, Trainer
from multigen.engine.device import choose_device, choose_precision
from multigen.engine.evaluation import Evaluation
from multigen.engine.plan import Stage
from multigen.engine.trial import Choice, TrialResult, choices_of, try_out
from multigen.image.restoration.evaluator import score
from multigen.image.restoration.srgan import PRESETS, SRGANConfig, SRGANTrainer
from multigen.image.restoration.upscaler import Upscaler
from multigen.runs.record import record
from multigen.storage.files import write_json
from multigen.tasks.loading import trainer_in

__all__ = ["NETWORKS", "auto", "compare", "main", "measure", "rounds_of"]

BLOCK = 0.5  # seconds that a block takes, if a step is not longer
AUTO = {
    "fp32_ms": "milliseconds of a step in fp32, median of the rounds, mean over the run's steps",
    "bf16_ms": "the same in bf16",
    "auto_ms": "the same in what the trial chose",
    "ratio": "auto / the faster of the two, median of the rounds",
    "ratio_min": "least of the rounds",
    "ratio_max": "largest of the rounds",
    "trial_s": "seconds that the trial took",
}

COMPACT = replace(PRESETS["laptop"], generator="compact", steps=0)  # no adversarial stage
NETWORKS = {
    "compact 8x32": COMPACT,
    "srresnet 16x64": replace(COMPACT, generator="srresnet", blocks=16, width=64),
}
"""The small generator, and the paper's trained with the same settings; residual blocks x
channels."""
PRECISIONS = ("fp32", "bf16")
DEFINITIONS = {
    "steps_per_second": "training steps a second, median of the blocks",
    "speed_ratio": "seconds of fp32 / seconds of this precision, median of the pairs of blocks",
    "speed_ratio_min": "least of the pairs of blocks",
    "speed_ratio_max": "largest of the pairs of blocks",
    "psnr_y": "mean over the held-out embedded photographs, dB on Y, border of the scale cut off",
}


def measure(trainer: Trainer, rounds: int) -> tuple[Evaluation, TrialResult]:
    """Tries out `trainer`, which is prepared in fp32, then times all three ways in `rounds` rounds
    after one that warms up."""
    convolutional = any(p.dim() == 4 for net in trainer.nets.values() for p in net.parameters())
    began = time.perf_counter()
    result = try_out(trainer, choices_of(Run(precision="auto"), trainer.device, convolutional))
    took = time.perf_counter() - began
    ways = [Choice("fp32"), Choice("bf16"), result.choice]
    steps = sum(stage.steps for stage in trainer.plan)
    sums = [[0.0] * len(ways) for _ in range(rounds)]  # of each round: seconds of the whole run in each way
    for number, stage in enumerate(trainer.plan):
        trainer.state.number = number
        trainer.enter(stage)
        for whole, times in zip(sums, rounds_of(trainer, stage, ways, rounds), strict=True):
            whole[:] = [a + stage.steps * b for a, b in zip(whole, times, strict=True)]
    medians = [statistics.median(column) for column in zip(*sums, strict=True)]
    better = medians.index(min(medians[:2]))
    ratios = [whole[2] / whole[better] for whole in sums]
    names = ("fp32_ms", "bf16_ms", "auto_ms")
    figures = {name: 1e3 * seconds / steps for name, seconds in zip(names, medians, strict=True)}
    figures |= {"ratio": statistics.median(ratios), "ratio_min": min(ratios), "ratio_max": max(ratios), "trial_s": took}
    return Evaluation({trainer.name: figures}, AUTO), result


def rounds_of(trainer: Trainer, stage: Stage, ways: list[Choice], rounds: int) -> list[list[float]]:
    """Seconds of a step in each way, in turn, round by round."""
    result: list[list[float]] = []
    index, steps = 0, 1
    while len(result) < rounds + 1:
        times = []
        for way in ways:
            trainer.use(way)
            began = time.perf_counter()
            for i in range(index, index + steps):
                trainer.advance(i % stage.steps)
            if trainer.device.type == "cuda":
                torch.cuda.synchronize(trainer.device)
            times.append((time.perf_counter() - began) / steps)
        result.append(times)
        index, steps = index + steps, max(1, min(16, int(BLOCK / min(times))))
    return result[1:]


def auto(
    methods: tuple[str, ...] = ("srgan", "dcgan", "wavegan", "seqgan"),
    rounds: int = 6,
    device: str = "auto",
    out: Path | None = None,
) -> None:
    """Times fp32, bf16 and what `--precision auto` chooses.

    Args:
        methods: which, each with its preset laptop.
        rounds: rounds that are timed, of each stage.
        device: auto, cpu, cuda, cuda:N.
        out: JSON file to write the records to, a record a method.
    """
    records = []
    columns = ("fp32", "bf16", "auto", "ratio", "min", "max", "trial")
    print(f"{'milliseconds a step':<22}{''.join(f'{c:>8}' for c in columns)}  chosen", flush=True)
    for name in methods:
        module = import_module(METHODS[name].module)
        trainer = trainer_in(module)(module.PRESETS["laptop"], Run(device=device, precision="fp32"))
        trainer.prepare()
        evaluation, result = measure(trainer, rounds)
        records.append(record(evaluation, [trainer.run_info()]))
        f = evaluation.rows[trainer.name]
        times = "".join(f"{f[c]:>8.1f}" for c in ("fp32_ms", "bf16_ms", "auto_ms"))
        ratios = "".join(f"{f[c]:>8.3f}" for c in ("ratio", "ratio_min", "ratio_max"))
        chosen = f"{result.choice.precision}, {result.choice.layout}"
        print(f"{name + ' laptop':<22}{times}{ratios}{f['trial_s']:>6.1f} s  {chosen}", flush=True)
    print(records[-1]["machine"].rpartition(", ")[0])
    if out is not None:
        write_json(out, {"records": records})


def compare(name: str, config: SRGANConfig, run: Run, block: int) -> list[dict]:
    """Trains in both precisions, in turn `block` steps of each, and returns the record of both
    trainings.

    `config.pretrain_steps` must be a multiple of `block`, at least two: the first pair of blocks
    warms up.
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
        result = compare(name, replace(config, pretrain_steps=steps), Run(seed=seed, device=device), block)
        print(Evaluation({row: figures for r in result for row, figures in r["rows"].items()}).table(), flush=True)
        records += result
    if out is not None:
        write_json(out, {"native": native, "records": records})


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"auto": auto, "quality": main})
