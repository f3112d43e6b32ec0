"""How to use what a run trained: commands and lines of Python."""

import shlex
from html import escape

from multigen import catalogue
from multigen.catalogue import METHODS
from multigen.runs.facts import Facts

__all__ = ["resume_command", "usage"]


def program(facts: Facts) -> str:
    """The command that trains: the recipe's, or that of the user's own file."""
    own = own_file(facts)
    return f"python {shlex.quote(own)}" if own else f"python -m multigen.recipes.{facts.recipe}"


def own_file(facts: Facts) -> str:
    """The user's own file that trained the model (`multigen cp`), which loading it takes; "" for a method of multigen."""
    if facts.recipe in METHODS:
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
    folder, code = str(facts.folder.resolve()), own_file(facts)
    parts = catalogue.usage(facts.task, folder, code)
    one = facts.seeds[0] if facts.seeds else facts
    settings = one.folder.resolve() / "config.toml"  # by other settings the networks would not fit
    tune = f"{program(facts)} --config {shlex.quote(str(settings))} --from {shlex.quote(folder)} --data ..."
    blocks = "".join(f'<pre class="command">{escape(part)}</pre>' for part in parts if part)
    return f'{blocks}<p>To train on from its weights with other data or settings:</p><pre class="command">{escape(tune)}</pre>'
