"""Text sections of the report: state of the run, verdict, warnings, usage, log."""

import math
from html import escape

from multigen.console import counted
from multigen.runs.facts import Curve, Facts, Stage, when
from multigen.runs.usage import python_lines, resume_command, shell_line, tune_command

__all__ = ["chosen_metric", "duration", "log", "state", "steps", "usage", "verdict", "warnings"]

FEW = 12
"""Maximum lines of a run's log that are shown expanded."""
LINES, LETTERS = 2_000, 5_000
"""Maximum lines of a run's log, and characters of a line."""
ENOUGH = 3
"""Validations from which a report says whether longer training may help."""
WARNINGS = 500
"""Maximum number of control decisions considered."""


def state(facts: Facts) -> str:
    """The run's state; if unfinished, its last step and the command that resumes it. For several
    seeds, of the first unfinished one."""
    if facts.state == "finished":
        return f'<p class="state good"><b>Finished</b> after {steps(facts)} in {duration(facts.seconds)}</p>'
    if facts.seeds:
        run = next(run for run in facts.seeds if run.state != "finished")
        return f"<p>{escape(run.folder.name)}:</p>{state(run)}"
    where = f"step {facts.step:,}" + (f" of stage {escape(facts.stages[-1].name)}" if facts.stages else "")
    start = (
        f"step {facts.saved:,}, the last checkpoint" if facts.saved is not None else "the beginning; no checkpoint yet"
    )
    last = f"Stopped at {where}" if facts.state == "error" else f"Not finished: last activity at {where}"
    head = f'<p class="state bad"><b>{last}</b>, {escape(when(facts.written))}.'
    if not facts.version:
        return f"{head} It was trained by multigen 0.1.0, whose checkpoints this version cannot resume.</p>"
    note = "" if facts.state == "error" else " If it is no longer running, resume it with:"
    return f'{head}{note}</p>{_command(resume_command(facts))}<p class="muted">It resumes from {start}.</p>'


def steps(facts: Facts) -> str:
    """The number of steps made, over all seeds."""
    runs = facts.seeds or [facts]
    return f"{counted(sum(run.step or sum(run.planned.values()) for run in runs), 'steps')}"


def verdict(facts: Facts) -> str:
    """Conclusions: the run's own remarks, the verdict first; and which checkpoints were
    selected."""
    remarks = {str(k): str(v) for k, v in facts.evaluation.get("remarks", {}).items()}
    order = sorted(remarks, key=lambda what: not what.startswith("verdict"))
    lines = [f"<p><b>{escape(what.capitalize())}.</b> {escape(remarks[what])}</p>" for what in order]
    for stage in facts.stages:
        metric = chosen_metric(stage)
        if stage.best is None or metric is None:
            continue
        curve = stage.validation[metric]
        lines.append(
            f"<p>Stage {escape(stage.name)}: the model of step {stage.best[0]:,} was selected, with {escape(metric)} "
            f"{stage.best[1]:.4g} on validation data, the best of {len(curve)} validations{_when_to_stop(curve, stage.best[0])}"
            "</p>"
        )
    return f'<div class="verdict">{"".join(lines)}</div>' if lines else ""


def _when_to_stop(curve: Curve, best: int) -> str:
    """The end of a sentence that says whether longer training may help, where enough validations
    tell: those after the best one."""
    later = sum(step > best for step, _ in curve)
    if not later:
        return ", and the last of them: longer training may help." if len(curve) >= ENOUGH else "."
    if later < ENOUGH:
        return f"; the last had {curve[-1][1]:.4g}."
    return f"; the {later} after it were no better (the last {curve[-1][1]:.4g}): longer training would hardly help."


def chosen_metric(stage: Stage) -> str | None:
    """The validation metric that selected the stage's best checkpoint: the one with its value at
    its step."""
    return next((name for name, curve in stage.validation.items() if stage.best in curve), None)


def warnings(facts: Facts) -> str:
    """Errors, dropped updates, rollbacks, collapse, early stops, values that are not finite."""
    lines = [str(line["error"]) for line in facts.messages if "error" in line][-1:] if facts.state == "error" else []
    if facts.dropped:
        lines.append(f"{facts.dropped} updates were dropped, as their gradients were not finite.")
    for line in facts.controls[-WARNINGS:]:
        reason = str(line.get("reason", ""))
        if "rollback" in line and line.get("control") != "lr":  # a rule's reason does not state its step
            lines.append(f"step {line['rollback']}: {reason}; the run was rolled back to step {line['step']}")
        elif line.get("control") == "lr" or "collapsed" in reason:
            lines.append(reason if reason.startswith("step ") else f"step {line['step']}: {reason}")
    for stage in facts.stages:
        if stage.stopped:
            planned = facts.planned.get(stage.name)
            of = f" of {planned:,}" if planned else ""
            lines.append(
                f"Stage {stage.name} ended early, after {stage.last - stage.first:,}{of} steps: no improvement."
            )
        gaps = sorted(name for name, curve in stage.curves.items() if any(not math.isfinite(v) for _, v in curve))
        if gaps:
            lines.append(f"Stage {stage.name}: values that are not finite in {', '.join(gaps)}.")
    for run in facts.seeds:
        lines += [f"{run.folder.name}: {run.dropped} updates dropped"] if run.dropped else []
    return f'<ul class="warnings">{"".join(f"<li>{escape(text)}</li>" for text in lines)}</ul>' if lines else ""


def usage(facts: Facts) -> str:
    """Commands and Python for the trained model."""
    if not facts.has_model:
        return (
            '<p class="muted">There is no model yet: the folder <code>model/</code> is written when training ends.</p>'
        )
    folder = str(facts.folder.resolve())
    blocks = [block for block in (shell_line(facts, folder), python_lines(facts, folder)) if block]
    return (
        f"{''.join(map(_command, blocks))}<p>To fine-tune it with other data or settings:</p>"
        f"{_command(tune_command(facts))}"
    )


def _command(text: str) -> str:
    return f'<pre class="command">{escape(text)}</pre>'


def log(facts: Facts) -> str:
    """The messages that the run logged."""
    lines = [
        f"<li><time>{escape(when(str(line.get('time', ''))[:LETTERS]))}</time> <span>step {line['step']:,}</span> "
        f"{escape(str(line.get('said') or line.get('error'))[:LETTERS])}</li>"
        for line in facts.messages[-LINES:]
    ]
    if not lines:
        return ""
    block = f'<ul class="log">{"".join(lines)}</ul>'
    count = (
        f"{counted(len(lines), 'lines')}"
        if len(lines) == len(facts.messages)
        else f"the last {LINES:,} of {len(facts.messages):,} lines"
    )
    return block if len(lines) <= FEW else f"<details><summary>{count}</summary>{block}</details>"


def duration(seconds: float) -> str:
    """40 s, 12 min, 3 h 05 min."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
