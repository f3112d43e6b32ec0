"""`multigen evaluate --real DIR --fake DIR`: compares two folders of pictures, whoever made them."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from multigen.errors import DataError

__all__ = ["run"]


def run(args: list[str]) -> None:
    """Compares two sets of pictures."""

    def evaluate(
        real: str,
        fake: str,
        size: int = 64,
        features: Literal["efficientnet_lite0", "classifier", "inception"] = "efficientnet_lite0",
        out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None,
        device: str = "auto",
        skip_bad: bool = False,
    ) -> None:
        """Prints how far generated pictures are from real ones, beside one half of the real ones against the other.

        Args:
            real: Real pictures: a folder, an .npz file, or a name.
            fake: Generated pictures, likewise.
            size: Side that all pictures are cut and resized to first, pixels.
            features: Network whose features are compared: efficientnet_lite0 needs nothing; classifier is trained on the real
                pictures and needs their labels, a folder a class; inception gives the FID of the literature (extra fid).
            out: JSON file for the figures and their definitions.
            device: auto, cpu, cuda, cuda:N.
            skip_bad: Go on without pictures that cannot be read, and say how many.
        """
        _evaluate(real, fake, size, features, out, device, skip_bad)

    tyro.cli(evaluate, prog="multigen evaluate", args=args)


def _evaluate(real: str, fake: str, size: int, name: str, out: Path | None, device: str, skip_bad: bool) -> None:
    import dataclasses

    from multigen.device import choose_device
    from multigen.evaluation import write_json
    from multigen.image.judge import compare
    from multigen.image.sets import open_images
    from multigen.progress import say

    asked = ((real, "" if name == "classifier" else "none"), (fake, "none"))
    sets = [open_images(data, size, channels=3, labels=labels, skip_bad=skip_bad) for data, labels in asked]
    for data, images in zip((real, fake), sets, strict=True):
        if images.skipped:
            say(f"{data}: {len(images.skipped)} pictures skipped, the first: {images.skipped[0][1]}")
    evaluation = compare(name, sets[0], sets[1], choose_device(device))
    print(evaluation.table())
    for metric, text in evaluation.definitions.items():
        print(f"  {metric}: {text}")
    if out is not None:
        try:
            write_json(out, dataclasses.asdict(evaluation))
        except OSError as error:
            raise DataError(f"{out} cannot be written ({error.strerror}); give another file for --out") from error
