"""`multigen interpolate --model RUN --out walk.gif`: a looping animation of latent
interpolation."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from multigen.cli.loaded import load_for
from multigen.cli.output import print_json
from multigen.console import show
from multigen.errors import ConfigError
from multigen.memory import require
from multigen.runs.options import Code, Device, Json, Model, Overwrite, cli
from multigen.storage.files import writing
from multigen.storage.output import check_targets, replacing
from multigen.storage.provenance import SAMPLE, Provenance, gif, mark_gif, mark_mp4, text, xmp

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["run"]

FRAMES_A_SECOND = 20


def run(args: list[str]) -> None:
    """Makes an animation."""

    def interpolate(
        model: Model,
        out: Path,
        n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 8,
        frames: int = 16,
        through: tuple[int, ...] = (),
        seed: int = 0,
        label: Annotated[str, tyro.conf.arg(name="class")] = "",
        truncation: float | None = None,
        provenance: bool = True,
        overwrite: Overwrite = False,
        device: Device = "auto",
        json: Json = False,
        code: Code = "",
    ) -> None:
        """Makes a looping animation of latent interpolation between images.

        Args:
            out: The result, a .gif or (extra media) an .mp4 file.
            n: Number of images on the closed path.
            frames: Frames from one image to the next.
            through: Numbers of the images on the path, as `multigen sample` names their files; in
                place of the first n.
            seed: The same seed gives the same path.
            label: A class by name, or a cluster by number; if empty, classes come in turn, clusters
                as often as in the data.
            truncation: Truncation of the latents, or of styles (StyleGAN2, at most 1), such as 0.7:
                smaller values give less varied, more typical samples.
            provenance: Write model, seed and class into the file.
        """
        _interpolate(model, out, n, frames, through, seed, label, truncation, provenance, overwrite, code, device)
        n = len(through) or n
        if json:
            requested = {
                "n": n,
                "frames": n * frames,
                "through": through,
                "seed": seed,
                "class": label or None,
                "truncation": truncation,
            }
            print_json({"model": model, **requested, "files": [str(out)]})
        else:
            show(f"{n * frames} frames in {out}")

    cli(interpolate, "multigen interpolate", args)


def _interpolate(
    model: str,
    out: Path,
    n: int,
    frames: int,
    through: tuple[int, ...],
    seed: int,
    label: str,
    truncation: float | None,
    provenance: bool,
    overwrite: bool,
    code: str,
    device: str,
) -> None:
    if out.suffix.lower() not in WRITERS:
        raise ConfigError(f"--out {out}: expected a file ending in {' or '.join(WRITERS)}")
    check_targets([out], overwrite, "another file for --out")

    from multigen.image.synthesis.sampler import to_pictures

    sampler = load_for("interpolate", model, code, device)
    request = {
        "seed": seed,
        "class": label or None,
        "truncation": truncation,
        **({"through": through} if through else {}),
    }
    about = {**sampler.origin, **request} if provenance else {}
    walk = sampler.interpolate(n, frames, seed, label or None, truncation, through)
    require(8 * walk.numel(), f"an animation of {len(walk)} frames", "lower -n or --frames")
    pictures = to_pictures(walk)
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(out) as file:
            WRITERS[out.suffix.lower()](file, pictures, about)


def _write_gif(out: Path, pictures: "list[Picture]", about: Provenance) -> None:
    pace = 1000 // FRAMES_A_SECOND
    pictures[0].save(out, save_all=True, append_images=pictures[1:], duration=pace, loop=0, **gif(about))
    mark_gif(out, xmp(SAMPLE) if about else b"")


def _write_mp4(out: Path, pictures: "list[Picture]", about: Provenance) -> None:
    try:
        import av
        from av.error import FFmpegError
    except ImportError as error:
        raise ConfigError(f"--out {out}: MP4 needs PyAV; pip install 'multigen[media]', or write a .gif") from error
    try:
        with av.open(str(out.absolute()), "w", format="mp4") as film:
            film.metadata.update({"comment": text(about)} if about else {})
            track: Any = film.add_stream("libx264", rate=FRAMES_A_SECOND)
            # The codec wants even sides and stores colour at half the resolution, so images are doubled.
            track.width, track.height, track.pix_fmt = 2 * pictures[0].width, 2 * pictures[0].height, "yuv420p"
            for picture in pictures:
                film.mux(
                    track.encode(
                        av.VideoFrame.from_image(picture.convert("RGB").resize((track.width, track.height), 0))
                    )
                )
            film.mux(track.encode(None))
    except FFmpegError as error:
        raise OSError(error.errno or 0, error.strerror or str(error)) from error
    mark_mp4(out, xmp(SAMPLE) if about else b"")


WRITERS = {".gif": _write_gif, ".mp4": _write_mp4}
"""Suffix -> function that writes the frames to a file."""
