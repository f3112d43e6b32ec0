"""The model card: README.md of a model folder, written from the run, with the front matter that the Hugging Face hub reads."""

import dataclasses
import json
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multigen.evaluation import Evaluation, record, write_json
from multigen.files import write_whole

if TYPE_CHECKING:
    from multigen.engine.trainer import Trainer

__all__ = ["card", "publish"]


@dataclasses.dataclass(frozen=True)
class _Kind:
    """What is said of models that make one kind of thing."""

    task: str = ""
    """The hub's `pipeline_tag`; empty: none fits."""
    tag: str = ""
    command: str = ""
    """How it is used, after `multigen`; {asked} stands for a class, if there are any."""
    python: str = ""
    limit: str = ""


KINDS = {
    "pictures": _Kind(
        "unconditional-image-generation",
        "image-generation",
        "sample --model MODEL -n 64 --out samples/{asked}",
        "images = model.sample(16, seed=0)  # uint8 (16, C, H, W)",
        "Nothing in its pictures need exist.",
    ),
    "photographs": _Kind(
        "image-to-image",
        "super-resolution",
        "upscale photo.jpg --model MODEL --out large/",
        'from PIL import Image\n\npicture = model.upscale(Image.open("photo.jpg"))',
        "It invents detail that the small picture does not hold: what it adds is likely, not true. Do not use it for evidence, "
        "for measuring, or to recognise anybody.",
    ),
    "texts": _Kind(
        "text-generation",
        "text-generation",
        "write --model MODEL -n 5",
        "texts = model.generate(n=5, seed=0)  # strings",
        "It writes what is likely after its training texts, and knows nothing of what is true.",
    ),
    "sounds": _Kind(
        "",
        "audio-generation",
        "sample --model MODEL -n 16 --out sounds/{asked}",
        "sounds = model.sample(16, seed=0)  # float32 (16, 1, T) in -1..1, at model.rate Hz",
        "A sound of its own may still resemble a recording that somebody has rights to.",
    ),
}
"""By `Trainer.noun`."""
LICENSES = re.compile(
    r"apache-2\.0|mit|cc0-1\.0|cc-by-2\.[05]|cc-by(-nc|-sa|-nc-sa|-nc-nd)?-[34]\.0|cc-by-nd-4\.0|cdla-(sharing|permissive)-1\.0|"
    r"cdla-permissive-2\.0|odc-by|odbl|pddl|gfdl|gpl-3\.0|bsd-3-clause|unlicense"
)
"""Names of licences that the hub knows; any other is called `other` there, with its own name beside it."""
NEARER = 0.8
"""Share of the floor below which `memorisation` counts as copying."""


def card(trainer: "Trainer") -> dict[str, str]:
    """The card as a file of the model folder: {"README.md": text}. Figures are in it once `trainer.evaluation` is there."""
    evaluation = getattr(trainer, "evaluation", Evaluation())
    facts = record(evaluation, [trainer])
    kind, config = KINDS.get(trainer.noun, _Kind()), trainer.config
    about = _method(trainer)
    parts = [
        _front_matter(trainer, kind),
        f"# {trainer.name} of {escaped(_data(config))}",
        f"A generator of {trainer.noun}, trained with multigen. {escaped(about)}"
        if about
        else "Trained with multigen.",
        f"## Data\n\n{_about_data(trainer)}",
        f"## Training\n\n{_about_training(trainer, facts)}",
        f"## Figures\n\n{_figures(evaluation, _row(trainer, evaluation))}",
        "## Limits\n\n" + "\n".join(f"- {line}" for line in _limits(trainer, evaluation, kind)),
        f"## Use\n\n{_use(config, kind)}",
    ]
    return {"README.md": "\n\n".join(parts) + "\n"}


def publish(trainer: "Trainer") -> None:
    """Writes what was measured: `evaluation.json`, and the card once more, if there is a model folder."""
    write_json(trainer.folder / "evaluation.json", record(trainer.evaluation, [trainer]))
    folder = trainer.folder / "model"
    for name, text in card(trainer).items() if folder.is_dir() else ():
        write_whole(folder / name, text)


def plain(text: str) -> str:
    """A user's text as one line of printable characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def escaped(text: str) -> str:
    """A user's text as one line of Markdown that is shown as it is: no mark-up, link, or HTML."""
    return re.sub(r"([\\`*_\[\]<>|~$&#!])", r"\\\1", plain(text))


# ---------------------------------------------------------------------------------------------------- parts


def _front_matter(trainer: "Trainer", kind: _Kind) -> str:
    license = plain(trainer.run.data_license)
    known = license.lower() if license.lower() in LICENSES else "other" if license else "unknown"
    conditional = getattr(trainer.config, "conditional", False)
    fields: dict[str, Any] = {"license": known}
    fields |= {"license_name": license} if known == "other" else {}
    fields |= {"library_name": "multigen"}
    fields |= {"pipeline_tag": kind.task} if kind.task and not conditional else {}
    fields["tags"] = list(dict.fromkeys(["multigen", "gan", trainer.name, *([kind.tag] if kind.tag else [])]))
    # JSON is YAML; in it no text can end its own line.
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()]
    return "\n".join(["---", *lines, "---"])


def _method(trainer: "Trainer") -> str:
    """First line of the method's file: what it is, and the paper."""
    doc = getattr(sys.modules.get(type(trainer).__module__), "__doc__", None)
    return (doc or "").strip().partition("\n")[0]


def _data(config: Any) -> str:
    """Name of the training data, without the folders in which it lies."""
    data = getattr(config, "data", "")
    return data if data.startswith("hf:") and not Path(data[3:]).is_absolute() else Path(data).name or "unnamed data"


def _about_data(trainer: "Trainer") -> str:
    classes: tuple[str, ...] = getattr(trainer.config, "classes", ())
    shown = ", ".join(escaped(name) for name in classes[:20]) + (", ..." if len(classes) > 20 else "")
    use = "one can be asked for" if getattr(trainer.config, "conditional", False) else "the model was not told of them"
    lines = [
        f"{len(trainer.data):,} training {trainer.noun}: {escaped(_data(trainer.config))}.",
        *([f"{len(classes)} classes ({use}): {shown}."] if classes else []),
        f"Licence of the data, as whoever trained the model gave it: {escaped(trainer.run.data_license) or 'not stated'}.",
    ]
    return "\n".join(lines)


def _about_training(trainer: "Trainer", facts: Mapping[str, Any]) -> str:
    size = sum(t.numel() for name in trainer.exports for t in trainer.nets[name].parameters())
    batch = trainer.config.batch  # pyright: ignore[reportAttributeAccessIssue]
    rows = {
        "method": trainer.name,
        "parameters": f"{size:,}",
        "steps": ", ".join(f"{stage} {steps:,}" for stage, steps in facts["steps"].items()) + f"; batches of {batch}",
        "seed": facts["seed"],
        "time": f"{facts['seconds']:,.0f} s",
        "machine": escaped(facts["machine"]),
        "commit": facts["commit"],
        "date": facts["date"],
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join(["| | |", "|---|---|", *lines, "", "All settings stand in `config.json`."])


def _row(trainer: "Trainer", evaluation: Evaluation) -> str:
    """The row of the evaluation that has this model's figures."""
    stage = trainer.plan[-1].name
    return f"{stage}/best" if f"{stage}/best" in evaluation.rows else f"{stage}/last"


def _figures(evaluation: Evaluation, this: str) -> str:
    """A column for each row of the evaluation, but those at other temperatures; definitions and remarks below."""
    rows = {name: row for name, row in evaluation.rows.items() if " at " not in name}
    if not rows:
        return "Not measured yet."
    metrics = list(dict.fromkeys(m for row in rows.values() for m in row))
    lines = [
        f"This model is the column `{this}`. The others are other moments of the run and floors, such as real data, beside which "
        "its figures are to be read.\n",
        "| | " + " | ".join(escaped(name) for name in rows) + " |",
        "|---" * (len(rows) + 1) + "|",
    ]
    for m in metrics:
        cells = [f"{row[m]:.4g}" if m in row else "" for row in rows.values()]
        lines.append(f"| {escaped(m)} | " + " | ".join(cells) + " |")
    lines += ["", *(f"- {escaped(m)}: {escaped(text)}." for m, text in evaluation.definitions.items())]
    lines += [f"- {escaped(what)}: {escaped(text)}." for what, text in evaluation.remarks.items()]
    return "\n".join(lines)


def _limits(trainer: "Trainer", evaluation: Evaluation, kind: _Kind) -> list[str]:
    found, real = evaluation.rows.get(_row(trainer, evaluation), {}), evaluation.rows.get("real", {})
    noun, classes = trainer.noun, len(getattr(trainer.config, "classes", ()))
    lines = [
        f"It has learned from the {len(trainer.data):,} {noun} above and nothing else, and has their gaps and biases."
    ]
    lines += [kind.limit] if kind.limit else []
    if "memorisation" in found:
        floor = real.get("memorisation", 1.0)
        copies = found["memorisation"] < NEARER * floor
        lines.append(
            f"Its samples lie {'' if copies else 'no '}nearer to the training {noun} than unseen ones do (memorisation "
            f"{found['memorisation']:.2f}, of unseen {noun} {floor:.2f}): "
            + ("some may be copies." if copies else "on average they are no copies, but a few would not show in it.")
        )
    if "copied" in found:
        lines.append(f"{found['copied']:.1%} of its texts equal a training text word for word.")
    if "coverage" in found and "coverage" in real:
        lines.append(f"It covers {found['coverage']:.0%} of the test {noun}; real ones cover {real['coverage']:.0%}.")
    if "classes" in found and found["classes"] < classes:
        lines.append(f"It makes {found['classes']:.0f} of the {classes} classes.")
    if "as_asked" in found:
        lines.append(f"Of the samples of a class {found['as_asked']:.0%} are recognised as of that class.")
    if trainer.state.get("control/collapse", 0) < 0:
        lines.append(
            "In training the generator collapsed: its samples became alike (`metrics.jsonl` of the run says when)."
        )
    if trainer.state["attempt"]:
        lines.append(f"In training gradients became infinite; the run went back {trainer.state['attempt']} times.")
    return lines


def _use(config: Any, kind: _Kind) -> str:
    classes: tuple[str, ...] = getattr(config, "classes", ()) if getattr(config, "conditional", False) else ()
    asked = f" --class {shlex.quote(plain(classes[0]))}" if classes else ""
    # A run of backticks in a class's name would end the block.
    command = f"multigen {kind.command.format(asked=asked)}".replace("```", "'''")
    return "\n".join(
        [
            "MODEL is this folder, or `hf:OWNER/NAME` where it lies on the Hugging Face hub.\n",
            *([f"```bash\n{command}\n```\n"] if kind.command else []),
            f'```python\nimport multigen\n\nmodel = multigen.load("MODEL")\n{kind.python}\n```',
        ]
    )
