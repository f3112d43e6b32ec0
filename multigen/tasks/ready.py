"""Ready objects, which `multigen.load` returns for trained models: their base class, and their type
for editors."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from torch import Tensor

from multigen.catalogue import TASKS
from multigen.console import printable
from multigen.console.notebook import html_table
from multigen.storage.provenance import NO_PROVENANCE, Provenance

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["Loaded", "Ready"]


class Ready:
    """Base of ready objects: their `repr`, in a notebook a table, and a helpful error for missing
    attributes."""

    task: ClassVar[str]
    """A name of `multigen.catalogue.TASKS`."""
    origin: Provenance = NO_PROVENANCE
    """Provenance metadata for the files that it makes; set by `multigen.load`."""

    def __repr__(self) -> str:
        task = TASKS[self.task]
        made = f"{self.origin['method']} of {self.origin['model']}, " if self.origin else ""
        return printable(f"<{type(self).__name__}: {made}{task.does}; {task.python}>")

    def about(self) -> dict[str, str]:
        """Facts about the model, by name, for a table."""
        task = TASKS[self.task]
        made = {"method": str(self.origin["method"]), "model": str(self.origin["model"])} if self.origin else {}
        return {"task": task.does, **made, "use": task.python, "gives": task.gives}

    def _repr_html_(self) -> str:
        return html_table(list(self.about().items()), title=type(self).__name__)

    if not TYPE_CHECKING:  # type checkers must report missing attributes

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            task = TASKS[self.task]
            raise AttributeError(f"{type(self).__name__} has no {name!r}; it {task.does}: {task.python}")


class Loaded(Any):
    """The type that `multigen.load` returns, for editors and type checkers: the methods of all
    tasks' models. A model has those of its task; other attributes are not checked."""

    task: str
    """A name of `multigen.catalogue.TASKS`."""
    origin: Provenance
    """Provenance metadata for the files that it makes."""

    def sample(
        self,
        n: int,
        seed: int = 0,
        label: str | int | Tensor | None = None,
        truncation: float | None = None,
        first: int = 0,
    ) -> Tensor:
        """Images or sounds from noise: `multigen.tasks.synthesis.sampler.Sampler.sample`."""
        raise NotImplementedError

    def pictures(
        self, n: int, seed: int = 0, label: str | int | None = None, truncation: float | None = None
    ) -> "list[Picture]":
        """Images from noise, as PIL images:
        `multigen.image.synthesis.sampler.ImageSampler.pictures`."""
        raise NotImplementedError

    def upscale(
        self,
        image: "Tensor | np.ndarray | Picture",
        scale: float | None = None,
        width: int | None = None,
        height: int | None = None,
        short: int | None = None,
    ) -> Any:
        """A larger image of the same type:
        `multigen.image.restoration.upscaler.Upscaler.upscale`."""
        raise NotImplementedError

    def restore(self, image: "Tensor | np.ndarray | Picture") -> Any:
        """A restored image of the same type:
        `multigen.image.restoration.upscaler.Restorer.restore`."""
        raise NotImplementedError

    def inpaint(
        self,
        image: "Tensor | np.ndarray | Picture",
        mask: "Tensor | np.ndarray | Picture",
        dilate: int | None = None,
        feather: int | None = None,
    ) -> Any:
        """The image with its holes filled, of the same type:
        `multigen.image.restoration.inpainter.Inpainter.inpaint`."""
        raise NotImplementedError

    def translate(self, image: "Tensor | np.ndarray | Picture", direction: str | None = None) -> Any:
        """The image in the other domain, of the same type:
        `multigen.image.translation.translator.Translator.translate`."""
        raise NotImplementedError

    def generate(
        self,
        prompt: str = "",
        n: int = 1,
        seed: int = 0,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        length: int = 0,
        stop: Sequence[str] = (),
        label: str | None = None,
    ) -> list[str]:
        """Texts that begin with the prompt: `multigen.text.synthesis.writer.Writer.generate`."""
        raise NotImplementedError

    def answer(
        self,
        messages: "Sequence[Mapping[str, str]] | str",
        n: int = 1,
        seed: int = 0,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        length: int = 0,
        stop: Sequence[str] = (),
    ) -> list[str]:
        """Answers to the last message: `multigen.text.synthesis.writer.Writer.answer`."""
        raise NotImplementedError

    def sheet(self, n: int, seed: int = 0) -> "Picture | list[str]":
        """n results to inspect: side by side in one image, or as texts; deterministic for a
        seed."""
        raise NotImplementedError
