"""What trained models do and how they are used, by what they make: for the model card, the report, `multigen cp`, and errors."""

import json
import shlex
from dataclasses import dataclass

__all__ = ["USES", "Use", "loading"]


@dataclass(frozen=True)
class Use:
    """How models are used that make one kind of thing. Of a thing that is not in `USES` nothing but loading is known."""

    does: str = ""
    command: str = ""
    """What follows `multigen`; {model} stands for the model."""
    python: str = ""
    """A line on `model`, which `multigen.load` gave."""
    gives: str = ""  # by that line
    imports: str = "import multigen"
    task: str = ""
    """The Hugging Face hub's `pipeline_tag`; empty: none fits."""
    tag: str = ""
    limit: str = ""
    """What a user should know of all such models."""

    def shell(self, model: str, code: str = "") -> str:
        """The command line. `code` is the user's own file that trained the model (`multigen cp`), if one did."""
        place = shlex.quote(model) + (f" --code {shlex.quote(code)}" if code else "")
        return f"multigen {self.command.format(model=place)}" if self.command else ""

    def lines(self, model: str, code: str = "") -> str:
        """The lines of Python."""
        line = f"{self.python}  # {self.gives}" if self.python else ""
        return f"{self.imports}\n\n{loading(model, code)}\n{line}".rstrip()


def loading(model: str, code: str = "") -> str:
    """The line of Python that loads a model."""
    words = [json.dumps(model, ensure_ascii=False)]
    words += [f"code={json.dumps(code, ensure_ascii=False)}"] if code else []
    return f"model = multigen.load({', '.join(words)})"


USES = {
    "pictures": Use(
        does="makes pictures from noise",
        command="sample --model {model} -n 64 --out samples/",
        python="images = model.sample(16, seed=0)",
        gives="uint8 (16, C, H, W)",
        task="unconditional-image-generation",
        tag="image-generation",
        limit="Nothing in its pictures need exist.",
    ),
    "photographs": Use(
        does="enlarges photographs",
        command="upscale photo.jpg --model {model} --out large/",
        python='picture = model.upscale(Image.open("photo.jpg"))',
        gives="a larger picture",
        imports="from PIL import Image\n\nimport multigen",
        task="image-to-image",
        tag="super-resolution",
        limit="It invents detail that the small picture does not hold: what it adds is likely, not true. Do not use it for "
        "evidence, for measuring, or to recognise anybody.",
    ),
    "texts": Use(
        does="writes texts",
        command="write --model {model} -n 5",
        python="texts = model.generate(n=5, seed=0)",
        gives='strings; generate("...") goes on with a beginning, as --prompt does',
        task="text-generation",
        tag="text-generation",
        limit="It writes what is likely after its training texts, and knows nothing of what is true.",
    ),
    "sounds": Use(
        does="makes sounds from noise",
        command="sample --model {model} -n 16 --out sounds/",
        python="sounds = model.sample(16, seed=0)",
        gives="float32 (16, 1, T) in -1..1, at model.rate Hz",
        tag="audio-generation",
        limit="A sound that it makes may still resemble a recording that somebody has rights to.",
    ),
}
"""By `noun`, which trainers and what `multigen.load` gives have, `catalogue.Method` too, and which a run's config.toml keeps."""
