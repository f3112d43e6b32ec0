"""How to use what a run trained: commands and lines of Python, by what its configuration says it makes."""

import shlex
from html import escape

import multigen
from multigen.report.facts import Facts

__all__ = ["resume_command", "usage"]

WAYS = {
    "scale": (
        ["multigen upscale photo.jpg --model {run} --out enlarged"],
        ["from PIL import Image", 'model.upscale(Image.open("photo.jpg"))  # a larger picture'],
    ),
    "latent": (
        ["multigen sample --model {run} -n 64 --out samples"],
        ["model.sample(16, seed=1)  # a tensor of 16 samples"],
    ),
    "vocabulary": (
        ["multigen write --model {run} -n 5", 'multigen write --model {run} --prompt "..."'],
        ['model.generate(n=5, seed=1)  # a list of texts; generate("...") goes on with a beginning'],
    ),
}
"""A field of the configuration that tells what the model does -> commands, and lines of Python."""


def program(facts: Facts) -> str:
    """The command that trains: the recipe's, or that of the user's own file."""
    own = own_file(facts)
    return f"python {shlex.quote(own)}" if own else f"python -m multigen.recipes.{facts.recipe}"


def own_file(facts: Facts) -> str:
    """The user's own file that trained the model (`multigen cp`), which loading it takes; "" for a method of multigen."""
    if facts.recipe in multigen.MODELS:
        return ""
    words = str(facts.began[0]["began"].get("command", "")).split() if facts.began else []
    return next((word for word in words[1:2] if word.endswith(".py")), f"{facts.recipe}.py")


def resume_command(facts: Facts) -> str:
    """The command that goes on with a run that has not ended."""
    return f"{program(facts)} --resume {shlex.quote(str(facts.folder.resolve()))}"


def usage(facts: Facts) -> str:
    """Commands and Python for the trained model; for a run without one how it gets there."""
    if not facts.has_model:
        return (
            '<p class="muted">There is no model yet: the folder <code>model/</code> is written when training ends.</p>'
        )
    folder = str(facts.folder.resolve())
    commands, lines = next((way for field, way in WAYS.items() if field in facts.config), ([], []))
    own = own_file(facts)
    python = ["import multigen", f"model = multigen.load({folder!r}{f', code={own!r}' if own else ''})", *lines]
    run = shlex.quote(folder) + (f" --code {shlex.quote(own)}" if own else "")
    parts = ["\n".join(command.format(run=run) for command in commands), "\n".join(python)]
    tune = f"{program(facts)} --from {shlex.quote(folder)} --data ..."
    blocks = "".join(f'<pre class="command">{escape(part)}</pre>' for part in parts if part)
    return f'{blocks}<p>To train on from its weights with other data or settings:</p><pre class="command">{escape(tune)}</pre>'
