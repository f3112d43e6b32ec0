"""`multigen edit [IMAGE...] --model RUN --out DIR`: images of a trained generator along directions
of its styles or latents."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from multigen.cli.loaded import load_for
from multigen.cli.output import print_json
from multigen.console import counted, show, text_table
from multigen.errors import ConfigError
from multigen.runs.options import Code, Device, Json, Model, Overwrite, cli
from multigen.storage.files import writing
from multigen.storage.output import check_folder, check_targets, replacing
from multigen.storage.provenance import SAMPLE, Provenance, png

if TYPE_CHECKING:
    from torch import Tensor

    from multigen.image.synthesis.editing import Editor
    from multigen.image.synthesis.spaces import Codes

__all__ = ["run"]


def run(args: list[str]) -> None:
    """Edits images."""

    def edit(
        images: Annotated[
            list[Path],
            tyro.conf.Positional,
            tyro.conf.arg(metavar="IMAGE ...", help="Image files that are edited; without one, samples are."),
        ],
        model: Model,
        out: Path,
        direction: int | None = None,
        strength: float = 3.0,
        by: Literal["sefa", "pca"] = "sefa",
        layers: str = "",
        count: int | None = None,
        data: str = "",
        mix: tuple[int, int] | None = None,
        n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 6,
        seed: int = 0,
        label: Annotated[str, tyro.conf.arg(name="class")] = "",
        truncation: float | None = None,
        each_layer: bool = False,
        steps: int = 500,
        provenance: bool = True,
        overwrite: Overwrite = False,
        device: Device = "auto",
        json: Json = False,
        code: Code = "",
    ) -> None:
        """Edits samples of a trained generator, or image files, which are projected first, along
        directions of its styles or latents: OUT/direction-0.png, ... show what each direction
        changes; one of them is applied with --direction and --strength.

        Args:
            out: Folder of the results.
            direction: Number of the direction to apply.
            strength: How far, in standard deviations; sheets go from -strength to strength.
            by: How directions are found: from the weights of the first layers (sefa), or the
                principal components of styles or images (pca).
            layers: Of styles: the layers that are edited, such as 0-3, the coarsest is 0; if empty,
                all.
            count: Number of directions that are shown; by default up to 8.
            data: The training data, where they have classes: a classifier of them then says whether
                a direction keeps the class.
            mix: Of styles: two samples, by their numbers, whose styles are mixed, layer by layer.
            n: Number of samples that are edited.
            seed: The same seed gives the same samples.
            label: A class by name, or a cluster by number; if empty, samples are of all, and files
                of that which fits best.
            truncation: Truncation of the samples, such as 0.7.
            each_layer: Of styles: project files to a style for each layer (w+), which comes nearer
                and edits worse.
            steps: Steps of the projection of files.
            provenance: Write model, seed and edit into the files.
        """
        import torch

        from multigen.image.synthesis.directions import USUAL
        from multigen.image.synthesis.editing import Editor

        if mix is not None and (images or direction is not None or layers or data):
            raise ConfigError(
                "--mix: two samples are mixed, layer by layer; leave out --direction, --layers, --data and image files"
            )
        if mix is not None and min(mix) < 0:
            raise ConfigError(f"--mix {min(mix)}: expected numbers of 0 or more, as files of samples have them")
        if data and direction is not None:
            raise ConfigError("--data: the class is measured on sheets of directions; leave out --data or --direction")
        if (count is not None and count < 1) or (direction or 0) < 0 or steps < 0:
            raise ConfigError(
                f"--count {count}, --direction {direction}, --steps {steps}: expected at least 1, 0 and 0"
            )
        sampler = load_for("edit", model, code, device)
        request = {"seed": seed, "class": label or None, "truncation": truncation, "by": by, "layers": layers or None}
        editor = Editor(sampler, by, layers)
        work = Work(editor, out, overwrite, {**sampler.origin, **request} if provenance else {})
        if mix is not None:
            line = work.mix(*(editor.samples(1, seed, label or None, truncation, number) for number in mix))
        else:
            names = _names(images, n)
            work.check([f"direction-{i}" for i in range(count or USUAL)] if direction is None else names)
            if images:
                codes = editor.project(torch.stack([*map(editor.read, images)]), each_layer, steps, seed, label or None)
            else:
                codes = editor.samples(n, seed, label or None, truncation)
            line = (
                work.survey(codes, count, strength, data)
                if direction is None
                else work.apply(codes, names, direction, strength)
            )
        if json:
            print_json({"model": model, **request, **work.facts, "files": work.files})
        else:
            show(line, lines=True)

    cli(edit, "multigen edit", args)


def _names(images: Sequence[Path], n: int) -> list[str]:
    """Names of results: the files', or numbers. Raises ConfigError where two files share one."""
    names = [path.stem for path in images] or [f"{i:04d}" for i in range(n)]
    if len(set(names)) < len(names):
        raise ConfigError(
            f"{', '.join(map(str, images))}: two results would have one name; edit them one after the other"
        )
    return names


class Work:
    """The results of one command.

    Args:
        about: provenance metadata.
    """

    def __init__(self, editor: "Editor", out: Path, overwrite: bool, about: Provenance):
        self.editor, self.out, self.overwrite, self.about = editor, out, overwrite, about
        self.files, self.facts = list[str](), dict[str, Any]()

    def check(self, names: Sequence[str]) -> None:
        """Raises DataError where a result cannot be written, or would replace another file."""
        check_folder(self.out)
        check_targets([self.out / f"{name}.png" for name in names], self.overwrite, "another folder for --out")

    def write(self, name: str, images: "Tensor", **about: Any) -> None:
        """Images uint8 (N, C, H, W) side by side in a file; several rows of them (rows, N, C, H,
        W)."""
        from multigen.image.synthesis.sampler import grid

        path, columns = self.out / f"{name}.png", images.shape[-4]
        with writing(path, "another folder for --out"):
            self.out.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                about = {**self.about, **about} if self.about else {}
                grid(images.reshape(-1, *images.shape[-3:]), columns).save(file, **png(about, SAMPLE))
        self.files.append(str(path))

    def mix(self, one: "Codes", other: "Codes") -> str:
        """Writes what lies between the styles of two samples."""
        self.check(["mix"])
        images = self.editor.mixed(one, other)
        self.write("mix", images)
        return f"{counted(len(images), 'images')} from one sample's styles to the other's in {self.files[0]}"

    def apply(self, codes: "Codes", names: Sequence[str], direction: int, strength: float) -> str:
        """Writes each image moved along a direction."""
        images = self.editor.edit(codes, direction, strength)
        for name, image in zip(names, images, strict=True):
            self.write(name, image[None], direction=direction, strength=strength)
        self.facts |= {"direction": direction, "strength": strength}
        return f"{counted(len(names), 'images')} along direction {direction} by {strength:g} in {self.out}"

    def survey(self, codes: "Codes", count: int | None, strength: float, data: str) -> str:
        """Writes a sheet for each direction; a table of what each changes."""
        keeps = self.editor.classifier(data) if data else None
        lines, measures = list[list[str]](), list[str]()
        table: list[dict[str, Any]] = []
        for found in self.editor.effects(codes, count, strength):
            number, measures = found.direction.number, [*found.measures]
            self.write(f"direction-{number}", found.images, direction=number, strengths=[-strength, strength])
            cells = [f"{value:.3g}" for pair in found.measures.values() for value in pair]
            kept = {} if keeps is None else {"class_kept": keeps(found.images)}
            lines.append(
                [str(number), f"{found.direction.share:.3f}", *cells, *(f"{value:.2f}" for value in kept.values())]
            )
            table.append({"direction": number, "share": found.direction.share, **found.measures, **kept})
        self.facts["directions"] = table
        head = [
            "direction",
            "share",
            *(word for name in measures for word in (name, "monotone")),
            *["class kept"] * bool(keeps),
        ]
        where = f"{counted(len(table), 'directions')} from {-strength:g} to {strength:g} in {self.out}, a row for each image"
        return f"{text_table(lines, head)}\n{where}"
