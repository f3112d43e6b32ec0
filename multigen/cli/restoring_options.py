"""Options of `multigen restore`, `translate` and `upscale`, and what they say of the files of
results."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from multigen.catalogue import container_of
from multigen.cli.film_options import FilmWords
from multigen.cli.masks import NO_HOLES, Holes
from multigen.cli.targets import is_file_name
from multigen.cli.voices import NO_VOICES, VoiceWords
from multigen.console import say
from multigen.errors import ConfigError

if TYPE_CHECKING:
    from multigen.image.sizes import Size

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
    "Rate",
    "Tile",
]

Inputs = Annotated[
    list[Path],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="IN ...", help="Images, films or sounds, whatever the model takes, or folders of them."),
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
        metavar="png|jpg|webp|tif", help="Format of images; without it PNG, or what the suffix of --out says."
    ),
]
Quality = Annotated[
    int | None,
    tyro.conf.arg(
        metavar="INT",
        help="Of images: 1 to 100, of jpg (95 without it) and webp (lossless without it); others have none.",
    ),
]
Rate = Annotated[
    int | None,
    tyro.conf.arg(
        metavar="HZ",
        help="Of sounds: rate of the results; without it that of the source, or what the model widens it to.",
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
    """Options of these verbs."""

    blend: tuple[str, str, float] | None = None
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
    direction: Literal["AB", "BA"] | None = None
    rate: int | None = None
    voices: VoiceWords = NO_VOICES

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

    def check_formats(self, targets: Iterable[Path], films: bool) -> None:
        """Raises ConfigError for a result in a format that does not have what is asked for, and for
        what is asked of images where there are none; where there are films too, says that it is not
        for them.

        Args:
            targets: the results but films and their frames.
            films: whether there are such too.
        """
        from multigen.image.writing import QUALITY, STILL

        suffixes = sorted({target.suffix.lower() for target in targets})
        requested = {"--quality": self.quality, "--format": self.format}
        given = [f"{name} {value}" for name, value in requested.items() if value is not None]
        if given and not suffixes:
            raise ConfigError(f"{given[0]}: for images, not for films and their numbered frames; leave it out")
        if given and films:
            say(
                f"{', '.join(given)}: for the images alone; films keep their format, and have a quality of their own, --crf"
            )
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
