"""Architectures of the library spandrel (extra `models`): SwinIR, HAT, DAT, PLKSR, NAFNet, SCUNet,
DnCNN and some 30 more.

The library builds a network from the names and shapes of its tensors; files are read here, by our
own readers, and never given to it. Only its main registry is used, whose architectures have
permissive licences. These networks are for inference only.
"""

import importlib.util
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from multigen.console import counted
from multigen.engine.checkpoint import not_finite
from multigen.engine.device import choose_device
from multigen.errors import CheckpointError, one_line
from multigen.image.restoration.upscaler import Restorer, Upscaler
from multigen.memory import is_memory_error
from multigen.storage.model_folder import ModelFolder
from multigen.tasks.loading import LEAST, Plan

__all__ = ["EXTRA", "Spandrel", "SpandrelNetwork", "is_installed", "network_of"]

EXTRA = "pip install 'multigen[models]'"
PURPOSES = ("SR", "Restoration")


class SpandrelNetwork(nn.Module):
    """A spandrel network with the interface of ours: RGB (B, 3, H, W) in 0..1 -> (B, 3, scale H,
    scale W), clipped to 0..1.

    Images are padded to sizes that the network accepts, and cropped afterwards. Networks for grey
    images are applied to each channel.

    Args:
        found: the library's descriptor of the network.
    """

    radius = None  # many look at all of an image, and the library does not say which do not

    def __init__(self, found: Any):
        super().__init__()
        self.found, self.model = found, found.model
        self.scale: int = found.scale
        self.whole = found.tiling.name != "SUPPORTED"
        """Whether tiling leaves seams, so that images are best processed whole."""
        self.unshuffle: int = found.size_requirements.multiple_of
        """Sides of images are padded to multiples of this."""

    def forward(self, image: Tensor) -> Tensor:
        if self.found.input_channels == 3:
            return self._each(image)
        grey = image[:, :1]
        if torch.equal(image, grey.expand_as(image)):
            return self._each(grey).expand(-1, 3, -1, -1)
        return self._each(image.flatten(0, 1)[:, None]).unflatten(0, image.shape[:2])[:, :, 0]

    def _each(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, scale H, scale W), one image at a time, as the library
        requires."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return torch.cat([self.found(image) for image in images.contiguous().split(1)])
        except Exception as error:  # of layers whose sizes do not fit together
            if is_memory_error(error):
                raise
            raise CheckpointError(
                f"the network, of {self.found.architecture.id}, fails at {images.shape[-1]}x{images.shape[-2]} pixels "
                f"({one_line(error)}); choose another model"
            ) from error


class Spandrel:
    """Loads model folders with a spandrel network, as trainers load those of their methods."""

    name = "spandrel"
    exports: ClassVar[Sequence[str]] = ("G",)
    optional: ClassVar[Sequence[str]] = ()

    @classmethod
    def load(cls, folder: ModelFolder) -> Restorer:
        """Raises CheckpointError without the library, and where it recognises another architecture
        than the imported one."""
        architecture = folder.config.get("architecture")
        if not is_installed():
            raise CheckpointError(f"{folder.path}: its network, {architecture}, needs the library spandrel: {EXTRA}")
        weights, where = dict(folder.weights.get("G", {})), f"{folder.path}, G"
        if bad := not_finite(weights):
            raise CheckpointError(f"{where}: {bad}; copy the model folder again")
        network = network_of(weights, where)
        if network is None or network.found.architecture.id != architecture:
            raise CheckpointError(
                f"{folder.path}: its weights are not those of {architecture}, which its config.json names; import its file again"
            )
        network.to(choose_device(folder.device))
        return Restorer(network) if network.scale == 1 else Upscaler(network, network.scale)

    @staticmethod
    def settings(network: SpandrelNetwork) -> dict[str, Any]:
        """The entries of config.json for a network."""
        result = network.found
        about = {"architecture": result.architecture.id, "scale": result.scale, "channels": result.input_channels}
        return {**about, "purpose": result.purpose, "library": f"spandrel {version('spandrel')}", "extra": "models"}


def is_installed() -> bool:
    return importlib.util.find_spec("spandrel") is not None


def _check_numbers(tensors: Mapping[str, Tensor], where: str) -> None:
    """Raises CheckpointError for a name with a number far beyond the number of tensors: the library
    would count up to it."""
    most = 100 + 10 * len(tensors)
    for name in tensors:
        if any(part.isdecimal() and (len(part) > 9 or int(part) > most) for part in name.split(".")):
            of = counted(len(tensors), "tensors")
            raise CheckpointError(
                f"{where}: {name[:100]!r}: a layer of a number above {most:,}, with {of}; copy the file again"
            )


def network_of(weights: Mapping[str, Tensor], where: str) -> SpandrelNetwork | None:
    """The network for these weights, in evaluation mode on the CPU; None where the library does not
    recognise them.

    Raises CheckpointError for weights that do not fit together, and for a network for another
    purpose.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import spandrel  # pyright: ignore[reportMissingImports]

        tensors = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
        _check_numbers(tensors, where)
        try:  # names of tensors may ask for any number of layers, and shapes for any amount of memory
            with Plan(5_000 + 100 * len(tensors), LEAST + 8 * sum(t.nbytes for t in tensors.values())):
                result = spandrel.ModelLoader().load_from_state_dict(tensors)
        except spandrel.UnsupportedModelError:
            return None
        except Exception as error:
            raise CheckpointError(
                f"{where}: no network can be built of its tensors ({one_line(error)}); copy the file again"
            ) from error
    channels = result.input_channels, result.output_channels
    if not isinstance(result, spandrel.ImageModelDescriptor) or result.purpose not in PURPOSES:
        raise CheckpointError(
            f"{where}: a network for {result.purpose}, {result.architecture.id}; expected one that enlarges or restores images"
        )
    if channels != (3, 3) and (channels != (1, 1) or result.purpose == "SR"):
        raise CheckpointError(
            f"{where}: a network of images of {counted(channels[0], 'channels')}; expected 3, RGB, or 1 where it restores grey"
        )
    return SpandrelNetwork(result).eval().requires_grad_(False)
