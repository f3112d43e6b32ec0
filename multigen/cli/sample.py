"""`multigen sample --model RUN -n 64`: generates images or sounds with a trained model."""

from pathlib import Path
from typing import Annotated

import tyro

from multigen.cli.loaded import load_for
from multigen.cli.output import print_json
from multigen.console import counted, show
from multigen.errors import ConfigError
from multigen.runs.options import Code, Device, Json, Model, Overwrite, cli

__all__ = ["run"]


def run(args: list[str]) -> None:
    """Generates samples."""

    def sample(
        model: Model,
        n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64,
        seed: int = 0,
        label: Annotated[str, tyro.conf.arg(name="class")] = "",
        truncation: float | None = None,
        reject: bool = False,
        seconds: float | None = None,
        out: Path = Path("samples"),
        provenance: bool = True,
        recordings: str = "",
        overwrite: Overwrite = False,
        device: Device = "auto",
        json: Json = False,
        code: Code = "",
    ) -> None:
        """Generates images or sounds with a trained model: OUT/0000.png, OUT/0001.png, ..., and
        OUT-grid.png with the first hundred; for sounds .wav files likewise.

        Args:
            n: Number of samples.
            seed: The same seed gives the same samples; a larger n adds to them.
            label: A class by name, or a cluster by number; if empty, classes come in turn, clusters
                as often as in the data.
            truncation: Truncation of the latents, or of styles (StyleGAN2, at most 1), such as 0.7:
                smaller values give less varied, more typical samples.
            reject: Discriminator rejection sampling: keep samples that D takes for real, as often
                as its odds say, and print how many it kept. The model must hold D, as after
                training with --keep-discriminator.
            seconds: Of sounds: pieces of this length, of windows along a walk through the latents,
                each faded into the next.
            out: Folder of the results.
            provenance: Write model, seed and class into the files.
            recordings: Of sounds: the training recordings, of which the image of the samples has
                the nearest below each.
        """
        sampler = load_for("sample", model, code, device)
        if reject and seconds is not None:
            raise ConfigError(f"--reject: D sees whole items, not pieces of {seconds:g} seconds; leave out one of them")
        if reject:
            sampler = sampler.with_rejection()
        about = {**sampler.origin, "seed": seed, "class": label or None, "truncation": truncation} if provenance else {}
        if recordings:
            sampler.show_beside(recordings)
        if seconds is not None:
            show(sampler.save_pieces(n, seconds, out, seed, label or None, truncation, about, overwrite))
            return
        sampler.check_out(n, out, overwrite)
        batches = sampler.batches(n, seed, label or None, truncation)
        line = sampler.save(batches, out, about, overwrite=overwrite, n=n)
        kept = sampler.rejection and sampler.rejection.share
        if not json:
            show(
                line
                if kept is None
                else f"{line}; D kept {kept:.0%} of {counted(sampler.rejection.tried, 'candidates')}"
            )
            return
        files = [str(out / f"{i:04d}{sampler.suffix}") for i in range(n)]
        requested = {"seed": seed, "class": label or None, "truncation": truncation}
        requested |= {} if kept is None else {"acceptance": kept}
        print_json({"model": model, **requested, "files": files, "together": str(sampler.overviews(out)[0])})

    cli(sample, "multigen sample", args)
