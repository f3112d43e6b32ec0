"""`multigen sample --model RUN -n 64`: generates images or sounds with a trained model."""

from pathlib import Path
from typing import Annotated

import tyro

from multigen.cli.loaded import load_for
from multigen.cli.output import print_json
from multigen.console import show
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
            seconds: Of sounds: pieces of this length, of windows along a walk through the latents,
                each faded into the next.
            out: Folder of the results.
            provenance: Write model, seed and class into the files.
            recordings: Of sounds: the training recordings, of which the image of the samples has
                the nearest below each.
        """
        sampler = load_for("sample", model, code, device)
        about = {**sampler.origin, "seed": seed, "class": label or None, "truncation": truncation} if provenance else {}
        if recordings:
            sampler.show_beside(recordings)
        if seconds is not None:
            show(sampler.save_pieces(n, seconds, out, seed, label or None, truncation, about, overwrite))
            return
        sampler.check_out(n, out, overwrite)
        batches = sampler.batches(n, seed, label or None, truncation)
        line = sampler.save(batches, out, about, overwrite=overwrite, n=n)
        if not json:
            show(line)
            return
        files = [str(out / f"{i:04d}{sampler.suffix}") for i in range(n)]
        requested = {"seed": seed, "class": label or None, "truncation": truncation}
        print_json({"model": model, **requested, "files": files, "together": str(sampler.overviews(out)[0])})

    cli(sample, "multigen sample", args)
