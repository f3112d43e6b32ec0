"""Options of `multigen restore` and `multigen upscale`, and the output formats that follow from
them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from multigen.catalogue import container_of
from multigen.cli.film_options import FilmWords
from multigen.cli.masks import NO_HOLES, Holes
from multigen.cli.targets import is_file_name
from multigen.errors import ConfigError

if TYPE_CHECKING:
    from multigen.image.restoration.sizes import Size

__all__ = [
    "AnyModel",
    "Blend",
    "Existing",
    "Format",
    "Frames",
    "Inputs",
    "Metadata",
    "Options",
    "Provenance",
    "Quality",
    "Tile",
]

Inputs = Annotated[
    list[Path],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="IN ...", help="Images and films, or folders of them."),
]
Blend = Annotated[
    tuple[str, str, float] | None,
    tyro.conf.arg(
        metavar="A B SHARE",
        help="In place of --model: SHARE (0 to 1) of the weights of A and the rest of B, two models of one network.",
    ),
]
AnyModel = Annotated[
    str,
    tyro.conf.arg(
        metavar="MODEL",
        help="A run or its model folder, a folder of runs (the newest is taken), hf:OWNER/NAME, a file of another project "
        "(.pth, .safetensors, ncnn), or published weights (extra pretrained): realesrgan-x4plus, realesrgan-anime-6b, "
        "realesrgan-animevideov3.",
    ),
]
Tile = Annotated[
    int | None,
    tyro.conf.arg(
        help="Side of the tiles in which images are processed, pixels; smaller needs less memory. 256 if not given; the whole "
        "image for networks where tiles would show."
    ),
]
Frames = Annotated[
    Literal["first", "all"],
    tyro.conf.arg(
        help="Of animations and of TIFF files with many pages: the first one, or all, in a file of the same format."
    ),
]
Format = Annotated[
    Literal["png", "jpg", "webp", "tif"] | None,
    tyro.conf.arg(
        metavar="png|jpg|webp|tif", help="Format of the results; without it PNG, or what the suffix of --out says."
    ),
]
Quality = Annotated[
    int | None,
    tyro.conf.arg(
        metavar="INT", help="1 to 100, of jpg (95 without it) and webp (lossless without it); others have none."
    ),
]
Existing = Annotated[
    Literal["skip", "overwrite", "error"] | None,
    tyro.conf.arg(
        metavar="skip|overwrite|error",
        help="Where a result exists: skip its source, so that a stopped job is resumed; overwrite any file (--overwrite is "
        "the same); or an error. Without it earlier results of multigen are replaced, and other files are an error.",
    ),
]
Metadata = Annotated[
    bool,
    tyro.conf.arg(
        help="Keep what sources say: EXIF, XMP, IPTC, resolution, texts. The colour profile stays in any case."
    ),
]
Provenance = Annotated[
    bool,
    tyro.conf.arg(help="Write the model, the name of the source, and that a model changed it into the files."),
]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of both commands."""

    blend: tuple[str, str, float] | None
    tile: int | None
    frames: str
    format: str | None
    quality: int | None
    existing: str | None
    skip_bad: bool
    metadata: bool
    provenance: bool
    overwrite: bool
    device: str
    json: bool
    code: str
    size: "Size"
    film: FilmWords
    holes: Holes = NO_HOLES

    def __post_init__(self):
        if self.tile is not None and self.tile < 1:
            raise ConfigError(f"--tile {self.tile}: expected 1 pixel or more, 256 is usual")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ConfigError(f"--quality {self.quality}: expected 1 to 100")
        if self.overwrite and self.existing not in (None, "overwrite"):
            raise ConfigError(f"--overwrite, --existing {self.existing}: they contradict each other; give one of them")

    @property
    def replaces(self) -> bool:
        """Whether any file may be replaced by a result."""
        return self.overwrite or self.existing == "overwrite"

    def suffixes(self, out: Path) -> Callable[[Path], str]:
        """Source -> suffix of its result in a folder. Raises ConfigError where `--out` names a file
        of another format."""
        from multigen.image.sources import moving_suffix

        if self.format is None:
            return _of_containers(moving_suffix if self.frames == "all" else lambda _: ".png", out)
        suffix, of_file = f".{self.format}", out.suffix.lower().replace(".jpeg", ".jpg").replace(".tiff", ".tif")
        if is_file_name(out) and of_file != suffix:
            raise ConfigError(
                f"--format {self.format}, --out {out}: two formats; give one of them, or a folder for --out"
            )
        return _of_containers(lambda _: suffix, out)

    def check_formats(self, targets: Iterable[Path]) -> None:
        """Raises ConfigError for an option that an output format lacks, and for image options if
        there are no images. `targets`: results other than videos and their frames."""
        from multigen.image.writing import QUALITY, STILL

        suffixes = sorted({target.suffix.lower() for target in targets})
        asked = {"--quality": self.quality, "--format": self.format}
        if not suffixes and (given := [f"{name} {value}" for name, value in asked.items() if value is not None]):
            raise ConfigError(f"{given[0]}: for images, not for films and their numbered frames; leave it out")
        lossless = [suffix for suffix in suffixes if suffix not in QUALITY]
        if self.quality is not None and lossless:
            raise ConfigError(
                f"--quality {self.quality}: {lossless[0]} has none; choose --format jpg or webp, or leave it out"
            )
        still = [suffix for suffix in suffixes if suffix in STILL]
        if self.frames == "all" and still:
            raise ConfigError(f"--frames all: {still[0]} holds one image; choose png, webp or tif")


def _of_containers(suffix_of: Callable[[Path], str], out: Path) -> Callable[[Path], str]:
    """`suffix_of`, but for containers, such as films, their own."""

    def suffix(source: Path) -> str:
        container = container_of(source, out)
        if container is None:
            return suffix_of(source)
        return source.suffix if source.suffix.lower() in container.written else container.written[0]

    return suffix
