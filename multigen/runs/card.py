"""The model card: README.md of a model folder, written from the run's folder, with the front matter
that the hub reads."""

import contextlib
import datetime
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from multigen.console import markdown, resume_option, say, shell_word
from multigen.engine import Callback, Trainer
from multigen.engine.distributed import rank
from multigen.engine.evaluation import Evaluation, metric_label
from multigen.errors import CheckpointError
from multigen.metrics.names import features_of, other_setting, without_features
from multigen.runs.facts import Facts, gather
from multigen.runs.record import beginning, record
from multigen.runs.usage import own_file, python_lines, shell_line
from multigen.storage.files import remedy, write_json, write_whole
from multigen.storage.lines import optional
from multigen.storage.output import json_table

__all__ = ["Card", "card", "code", "escaped", "writing_evaluation"]

LICENSES = re.compile(
    r"apache-2\.0|mit|cc0-1\.0|cc-by-2\.[05]|cc-by(-nc|-sa|-nc-sa|-nc-nd)?-[34]\.0|cc-by-nd-4\.0|cdla-(sharing|permissive)-1\.0|"
    r"cdla-permissive-2\.0|odc-by|odbl|pddl|gfdl|gpl-3\.0|bsd-3-clause|unlicense"
)
"""Licence identifiers that the hub knows; any other is `other` there, with its own name beside
it."""
SEAL = "\n<!-- Written by multigen, which leaves it as it is once you change it. Checksum: "
NEARER, FARTHER = 0.8, 1.5
"""Ratios to the baseline below and above which `memorisation` is described as near to the training
items, or far from them."""

Rows = Mapping[str, Mapping[str, float]]


class Card(Callback):
    """Writes the model card when training has ended; `evaluation.json` and the card again after the
    evaluation."""

    def on_end(self, trainer: Trainer[Any]) -> None:
        if rank() == 0:
            facts = gather(trainer.folder, measured=False)
            if not facts.starts:  # trained from Python: the folder has no log of its start
                facts = replace(facts, starts=[{"step": 0, "began": beginning(trainer.run_info())}])
            _write(facts)

    def on_evaluation(self, trainer: Trainer[Any], evaluation: Evaluation) -> None:
        if rank() == 0:
            with writing_evaluation(trainer.folder) as path:
                write_json(path, record(evaluation, [trainer.run_info()], [trainer.folder]))
            _write(gather(trainer.folder))


@contextlib.contextmanager
def writing_evaluation(folder: Path) -> Iterator[Path]:
    """Around writing a run's `evaluation.json`, whose path it yields. Raises CheckpointError where
    that fails, or where a foreign file has the name."""
    path = folder / "evaluation.json"
    if os.path.lexists(path) and not {"status", "rows"} <= json_table(path).keys():
        raise CheckpointError(
            f"{path} was not written by multigen; move it elsewhere, then resume with: {resume_option(folder)}"
        )
    try:
        folder.stat()  # raises if the folder is gone, which is not made again
        yield path
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be written ({error.strerror}); {remedy(error)}, then evaluate again with: {resume_option(folder)}"
        ) from error


def _write(facts: Facts) -> None:
    folder = facts.folder / "model"
    file = folder / "README.md"
    if os.path.lexists(file) and not _is_own(file):
        say(f"{file} was not written by multigen, or was changed since; it is left unchanged")
    elif folder.is_dir():
        with optional(file):
            # A temporary file in `model/` could be published with it.
            write_whole(file, _sealed(card(facts)), by=facts.folder)


def _sealed(card: str) -> str:
    """A card with its checksum, which detects changes."""
    return f"{card}{SEAL}{zlib.crc32(card.encode()):08x} -->\n"


def _is_own(file: Path) -> bool:
    """Whether a card is unchanged since multigen wrote it. Cards of earlier versions have no
    checksum, but name the library."""
    try:
        text = file.read_text(encoding="utf-8") if file.is_file() and not file.is_symlink() else ""
    except (OSError, ValueError):
        return False
    card, checksum, _ = text.rpartition(SEAL)
    return text == _sealed(card) if checksum else '\nlibrary_name: "multigen"\n' in text


def card(facts: Facts) -> str:
    """The card of a run as Markdown, with its metrics once evaluated."""
    does = f"{facts.use.does}, trained" if facts.use else "trained"
    by = f"multigen {facts.version}".strip()
    parts = [
        _front_matter(facts),
        f"# {escaped(facts.method)} of {escaped(_data(facts))}",
        f"{does.capitalize()} with {by}. {escaped(facts.title)}".strip(),
        f"## Data\n\n{_about_data(facts)}",
        f"## Training\n\n{_about_training(facts)}",
        f"## Figures\n\n{_figures(facts)}",
        "## Limits\n\n" + "\n".join(f"- {line}" for line in _limits(facts)),
        f"## Use\n\n{_use(facts)}",
    ]
    return "\n\n".join(parts) + "\n"


# ----------------------------------------------------------------------------------------------------
# escaping


def plain(text: str) -> str:
    """A user's text as one line of printable characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def escaped(text: str) -> str:
    """A text as one line of Markdown that is shown literally: no mark-up, link, or HTML."""
    line = plain(text).replace("&", "&amp;").replace("<", "&lt;")  # in every dialect of Markdown
    return re.sub(r"([\\`*_\[\]>|~$#!])", r"\\\1", line)


def code(name: str) -> str:
    """A metric, a row or a class as code, safe in a table."""
    return "`" + plain(name).replace("`", "'").replace("|", "/") + "`"


def sentence(text: str) -> str:
    return escaped(text).rstrip(".") + "."


# ---------------------------------------------------------------------------------------------------- parts


def _front_matter(facts: Facts) -> str:
    license = plain(_license(facts))
    license_id = license.lower() if LICENSES.fullmatch(license.lower()) else "other" if license else "unknown"
    fields: dict[str, Any] = {"license": license_id}
    fields |= {"license_name": license} if license_id == "other" else {}
    fields |= {"library_name": "multigen"}
    fields |= (
        {"pipeline_tag": facts.use.pipeline}
        if facts.use and facts.use.pipeline and not facts.setting("conditional", False)
        else {}
    )
    fields["tags"] = list(dict.fromkeys(["multigen", "gan", facts.method, *([facts.use.tag] if facts.use else [])]))
    # JSON is valid YAML, in which no text can end its line.
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()]
    return "\n".join(["---", *lines, "---"])


def _license(facts: Facts) -> str:
    return str(facts.run.get("data_license", ""))


def _data(facts: Facts) -> str:
    """Name of the training data, without its parent folders."""
    data = facts.setting("data", "")
    return data if data.startswith("hf:") and not Path(data[3:]).is_absolute() else Path(data).name or "unnamed data"


def _classes(facts: Facts) -> list[str]:
    return [str(name) for name in facts.setting("classes", [])]


def _about_data(facts: Facts) -> str:
    classes, noun = _classes(facts), facts.items_name
    names = ", ".join(map(code, classes[:20])) + (", ..." if len(classes) > 20 else "")
    use = (
        "samples can be conditioned on one"
        if facts.setting("conditional", False)
        else "the model is not conditioned on them"
    )
    trained_on = f"Training {noun}" if facts.items is None else f"{facts.items:,} training {noun}"
    lines = [
        f"{trained_on}: {escaped(_data(facts))}.",
        *([f"{len(classes)} classes ({use}): {names}."] if classes else []),
        f"Licence of the data, as given by whoever trained the model: {escaped(_license(facts)) or 'not stated'}.",
    ]
    return "\n".join(lines)


def _about_training(facts: Facts) -> str:
    origin = facts.origin
    steps, batch = ", ".join(f"{stage} {n:,}" for stage, n in facts.planned.items()), facts.setting("batch", 0)
    rows = {
        "method": facts.method,
        "parameters": None if facts.parameters is None else f"{facts.parameters:,}",
        "steps": "; ".join([steps, *([f"batches of {batch}"] if batch else [])]),
        "seed": facts.run.get("seed"),
        "time": f"{facts.seconds:,.0f} s",
        "machine": origin.get("machine"),
        "commit": origin.get("commit"),
        "date": origin.get("date") or datetime.date.fromtimestamp(facts.written).isoformat(),
    }
    table = markdown([(name, escaped(str(value))) for name, value in rows.items() if value is not None], ("", ""))
    return f"{table}\n\nAll settings are in `config.json`."


def _row(facts: Facts) -> str:
    """This model's row of the evaluation."""
    stage = next(reversed(facts.planned), "")
    return f"{stage}/best" if f"{stage}/best" in _rows(facts) else f"{stage}/last"


def _rows(facts: Facts) -> Rows:
    return facts.evaluation.get("rows", {})


def _figures(facts: Facts) -> str:
    """The evaluation with one column per row, except those at other temperatures; definitions and
    remarks below."""
    rows = {name: row for name, row in _rows(facts).items() if not other_setting(name)}
    if not rows:
        return "Not evaluated yet."
    metrics = dict.fromkeys(m for row in rows.values() for m in row)
    definitions = facts.evaluation.get("definitions", {})
    figures = [
        (code(metric_label(m, definitions)), *(f"{row[m]:.4g}" if m in row else "" for row in rows.values()))
        for m in metrics
    ]
    lines = [
        f"This model is the column {code(_row(facts))}. The others are other checkpoints of the run, and baselines "
        "such as real data, with which to compare its metrics.\n",
        markdown(figures, ("", *map(code, rows))),
    ]
    lines += ["", *(f"- {code(m)}: {sentence(without_features(text))}" for m, text in definitions.items())]
    lines += [f"- Features: {sentence(text)}" for text in features_of(definitions)]
    remarks = facts.evaluation.get("remarks", {})
    lines += [f"- {escaped(what.capitalize())}: {sentence(text)}" for what, text in remarks.items()]
    return "\n".join(lines)


def _limits(facts: Facts) -> list[str]:
    """Limitations of the model, by its task, its metrics and its training."""
    metrics, real = _rows(facts).get(_row(facts), {}), _rows(facts).get("real", {})
    noun, classes = facts.items_name, len(_classes(facts))
    count = noun if facts.items is None else f"{facts.items:,} {noun}"
    lines = [f"It was trained on the {count} above only, and has their gaps and biases."]
    lines += [facts.use.limit] if facts.use else []
    if "memorisation" in metrics:
        lines.append(_nearness(metrics["memorisation"], real.get("memorisation", 1.0), noun))
    if "exact_copies" in metrics:
        lines.append(f"{metrics['exact_copies']:.1%} of its texts equal a training text word for word.")
    if "coverage" in metrics and "coverage" in real:
        lines.append(f"It covers {metrics['coverage']:.0%} of the test {noun}; real ones cover {real['coverage']:.0%}.")
    if "classes" in metrics and metrics["classes"] < classes:
        lines.append(f"It generates {metrics['classes']:.0f} of the {classes} classes.")
    if "class_accuracy" in metrics:
        lines.append(
            f"Conditioned on a class, {metrics['class_accuracy']:.0%} of its samples are classified as that class."
        )
    if facts.collapsed:
        lines.append(
            "The generator collapsed in training: its samples became alike. The run's `metrics.jsonl` says when."
        )
    if facts.rollbacks:
        lines.append(
            f"Training was rolled back {facts.rollbacks} times to an earlier checkpoint. The run's `metrics.jsonl` says why."
        )
    return lines


def _nearness(memorisation: float, baseline: float, noun: str) -> str:
    share = memorisation / baseline if baseline else 1.0
    comparison, conclusion = (
        f"about as near to the training {noun} as",
        "no copies on average, though a few might not be noticed",
    )
    if share < NEARER:
        comparison, conclusion = f"nearer to the training {noun} than", "some may be copies"
    elif share > FARTHER:
        comparison, conclusion = f"farther from the training {noun} than", "they are unlike real ones"
    return f"Its samples are {comparison} unseen ones (memorisation {memorisation:.2f}, unseen {baseline:.2f}): {conclusion}."


def _use(facts: Facts) -> str:
    file = Path(own_file(facts)).name
    shell, classes = shell_line(facts, "MODEL", file), _classes(facts) if facts.setting("conditional", False) else []
    option = f" --class {shell_word(classes[0])}" if classes and shell else ""
    blocks = {"bash": f"{shell}{option}", "python": python_lines(facts, "MODEL", file)}
    # Three backticks in a class's name would end the block.
    fenced = [f"```{language}\n{text.replace('```', '')}\n```" for language, text in blocks.items() if text]
    return "\n\n".join(["MODEL is this folder, or `hf:OWNER/NAME` where it is on the Hugging Face hub.", *fenced])
