"""The model card: README.md of a model folder, written from the run, with the front matter that the Hugging Face hub reads."""

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multigen.catalogue import METHODS, USES, Use
from multigen.console import markdown
from multigen.engine.callbacks import Callback
from multigen.engine.distributed import rank
from multigen.engine.evaluation import Evaluation
from multigen.metrics.names import swept
from multigen.runs.record import record
from multigen.storage.files import write_json, write_whole
from multigen.version import __version__

if TYPE_CHECKING:
    from multigen.engine.trainer import Trainer

__all__ = ["Card", "card"]

LICENSES = re.compile(
    r"apache-2\.0|mit|cc0-1\.0|cc-by-2\.[05]|cc-by(-nc|-sa|-nc-sa|-nc-nd)?-[34]\.0|cc-by-nd-4\.0|cdla-(sharing|permissive)-1\.0|"
    r"cdla-permissive-2\.0|odc-by|odbl|pddl|gfdl|gpl-3\.0|bsd-3-clause|unlicense"
)
"""Names of licences that the hub knows; any other is called `other` there, with its own name beside it."""
NEARER, FARTHER = 0.8, 1.5
"""Shares of the floor below and above which `memorisation` is said to be near to the training items, or far from them."""
TAIL = "; features: "
"""Where the definition of a figure goes on as those of the others do."""


def card(trainer: "Trainer") -> dict[str, str]:
    """The card as a file of the model folder: {"README.md": text}. Figures are in it once `trainer.evaluation` is there."""
    evaluation = getattr(trainer, "evaluation", Evaluation())
    use, config = USES.get(trainer.noun, Use()), trainer.config
    does = f"{use.does}, trained" if use.does else "trained"
    parts = [
        _front_matter(trainer, use),
        f"# {trainer.name} of {escaped(_data(config))}",
        f"{does.capitalize()} with multigen {__version__}. {escaped(trainer.about()['title'])}".strip(),
        f"## Data\n\n{_about_data(trainer)}",
        f"## Training\n\n{_about_training(trainer, record(evaluation, [trainer.run_info()]))}",
        f"## Figures\n\n{_figures(evaluation, _row(trainer, evaluation))}",
        "## Limits\n\n" + "\n".join(f"- {line}" for line in _limits(trainer, evaluation, use)),
        f"## Use\n\n{_use(trainer.name, config, use)}",
    ]
    return {"README.md": "\n\n".join(parts) + "\n"}


class Card(Callback):
    """Writes the card into the model folder, `evaluation.json` beside it, and completes the card by what was measured."""

    def on_end(self, trainer: Any) -> None:
        folder = trainer.folder / "model"
        for name, text in card(trainer).items() if rank() == 0 and folder.is_dir() else ():
            write_whole(folder / name, text)

    def on_evaluation(self, trainer: Any, evaluation: Evaluation) -> None:
        if rank() == 0:
            write_json(trainer.folder / "evaluation.json", record(evaluation, [trainer.run_info()]))
        self.on_end(trainer)


# ---------------------------------------------------------------------------------------------------- users' words


def plain(text: str) -> str:
    """A user's text as one line of printable characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def escaped(text: str) -> str:
    """A text as one line of Markdown that is shown as it is: no mark-up, link, or HTML."""
    return re.sub(r"([\\`*_\[\]<>|~$&#!])", r"\\\1", plain(text))


def code(name: str) -> str:
    """A metric, a row or a class as code, which a table may hold."""
    return "`" + plain(name).replace("`", "'").replace("|", "/") + "`"


def sentence(text: str) -> str:
    return escaped(text).rstrip(".") + "."


# ---------------------------------------------------------------------------------------------------- parts


def _front_matter(trainer: "Trainer", use: Use) -> str:
    license = plain(trainer.run.data_license)
    known = license.lower() if LICENSES.fullmatch(license.lower()) else "other" if license else "unknown"
    conditional = getattr(trainer.config, "conditional", False)
    fields: dict[str, Any] = {"license": known}
    fields |= {"license_name": license} if known == "other" else {}
    fields |= {"library_name": "multigen"}
    fields |= {"pipeline_tag": use.task} if use.task and not conditional else {}
    fields["tags"] = list(dict.fromkeys(["multigen", "gan", trainer.name, *([use.tag] if use.tag else [])]))
    # JSON is YAML; in it no text can end its own line.
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()]
    return "\n".join(["---", *lines, "---"])


def _data(config: Any) -> str:
    """Name of the training data, without the folders in which it lies."""
    data = getattr(config, "data", "")
    return data if data.startswith("hf:") and not Path(data[3:]).is_absolute() else Path(data).name or "unnamed data"


def _count(trainer: "Trainer") -> int:
    """Training items; photographs, where items are crops of them."""
    return len(getattr(trainer.data, "photos", trainer.data))


def _asked(config: Any) -> tuple[str, ...]:
    """Classes that can be asked for."""
    return getattr(config, "classes", ()) if getattr(config, "conditional", False) else ()


def _about_data(trainer: "Trainer") -> str:
    classes: tuple[str, ...] = getattr(trainer.config, "classes", ())
    shown = ", ".join(map(code, classes[:20])) + (", ..." if len(classes) > 20 else "")
    use = "one can be asked for" if _asked(trainer.config) else "the model was not told of them"
    lines = [
        f"{_count(trainer):,} training {trainer.noun}: {escaped(_data(trainer.config))}.",
        *([f"{len(classes)} classes ({use}): {shown}."] if classes else []),
        f"Licence of the data, as given by whoever trained the model: {escaped(trainer.run.data_license) or 'not stated'}.",
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
    table = markdown([(name, str(value)) for name, value in rows.items()], ("", ""))
    return f"{table}\n\nAll settings stand in `config.json`."


def _row(trainer: "Trainer", evaluation: Evaluation) -> str:
    """The row of the evaluation that has this model's figures."""
    stage = trainer.plan[-1].name
    return f"{stage}/best" if f"{stage}/best" in evaluation.rows else f"{stage}/last"


def _figures(evaluation: Evaluation, this: str) -> str:
    """A column for each row of the evaluation, but those at other temperatures; definitions and remarks below."""
    rows = {name: row for name, row in evaluation.rows.items() if not swept(name)}
    if not rows:
        return "Not measured yet."
    metrics = dict.fromkeys(m for row in rows.values() for m in row)
    figures = [(code(m), *(f"{row[m]:.4g}" if m in row else "" for row in rows.values())) for m in metrics]
    lines = [
        f"This model is the column {code(this)}. The others are other moments of the run and floors, such as real data, beside "
        "which its figures are to be read.\n",
        markdown(figures, ("", *map(code, rows))),
    ]
    parted = {m: text.partition(TAIL) for m, text in evaluation.definitions.items()}
    lines += ["", *(f"- {code(m)}: {sentence(head)}" for m, (head, _, _) in parted.items())]
    lines += [f"- Features: {sentence(tail)}" for tail in dict.fromkeys(t for _, _, t in parted.values() if t)]
    lines += [f"- {escaped(what.capitalize())}: {sentence(text)}" for what, text in evaluation.remarks.items()]
    return "\n".join(lines)


def _limits(trainer: "Trainer", evaluation: Evaluation, use: Use) -> list[str]:
    """What the model cannot do, by its kind, its figures and its training."""
    found, real = evaluation.rows.get(_row(trainer, evaluation), {}), evaluation.rows.get("real", {})
    noun, classes = trainer.noun, len(getattr(trainer.config, "classes", ()))
    lines = [
        f"It has learned from the {_count(trainer):,} {noun} above and nothing else, and has their gaps and biases."
    ]
    lines += [use.limit] if use.limit else []
    if "memorisation" in found:
        lines.append(_nearness(found["memorisation"], real.get("memorisation", 1.0), noun))
    if "copied" in found:
        lines.append(f"{found['copied']:.1%} of its texts equal a training text word for word.")
    if "coverage" in found and "coverage" in real:
        lines.append(f"It covers {found['coverage']:.0%} of the test {noun}; real ones cover {real['coverage']:.0%}.")
    if "classes" in found and found["classes"] < classes:
        lines.append(f"It makes {found['classes']:.0f} of the {classes} classes.")
    if "as_asked" in found:
        lines.append(
            f"Asked for a class, it makes one that is recognised as such in {found['as_asked']:.0%} of the cases."
        )
    if trainer.state.get("control/collapse", 0) < 0:
        lines.append(
            "In training the generator collapsed: its samples became alike. The run's `metrics.jsonl` says when."
        )
    if returns := trainer.state["attempt"]:
        lines.append(f"In training gradients were not finite, and the run went back {returns} times.")
    return lines


def _nearness(memorisation: float, floor: float, noun: str) -> str:
    share = memorisation / floor if floor else 1.0
    where, so = f"about as near to the training {noun} as", "no copies on average, though a few would not show in it"
    if share < NEARER:
        where, so = f"nearer to the training {noun} than", "some may be copies"
    elif share > FARTHER:
        where, so = f"farther from the training {noun} than", "they are unlike real ones"
    return f"Its samples lie {where} unseen ones (memorisation {memorisation:.2f}, of unseen ones {floor:.2f}): {so}."


def _use(method: str, config: Any, use: Use) -> str:
    code = "" if method in METHODS else f"{method}.py"  # a file of the user's own, which loading takes
    classes, shell = _asked(config), use.shell("MODEL", code)
    asked = f" --class {shlex.quote(plain(classes[0]))}" if classes and shell else ""
    blocks = {"bash": f"{shell}{asked}", "python": use.lines("MODEL", code)}
    # Three backticks in a class's name would end the block.
    shown = [f"```{language}\n{text.replace('```', '')}\n```" for language, text in blocks.items() if text]
    return "\n\n".join(["MODEL is this folder, or `hf:OWNER/NAME` where it lies on the Hugging Face hub.", *shown])
