"""The report as one HTML page. All texts pass through `escape`, and the page through `printable`;
it loads nothing and runs no script."""

import os
from collections.abc import Mapping
from html import escape
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from multigen.console import printable
from multigen.runs.facts import Curve, Facts, Stage, when
from multigen.runs.report import media
from multigen.runs.report.charts import chart
from multigen.runs.report.table import definitions, evaluation_table
from multigen.runs.report.words import chosen_metric, duration, log, state, steps, usage, verdict, warnings

__all__ = ["render"]

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:; base-uri 'none'; form-action 'none'"
)
CAPTIONS = {
    "samples": "made at the end of training",
    "nearest": "samples, each above the training item nearest to it: a copy would show",
    "comparison": "the same items by each model",
    "curves": "quality against diversity",
}
"""File in a run's folder -> caption."""
CHARTS = 24
"""Maximum charts of a stage's updates, and of its validations."""
RESUMES = 50
"""Maximum number of resumes listed."""


def render(facts: Facts, presets: Mapping[str, Mapping[str, Any]]) -> str:
    """The report as HTML."""
    style = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
    name, _, about = facts.heading.partition(": ")
    sections = {
        "Warnings": warnings(facts),
        "Run": _run(facts) + _seeds(facts) + _configuration(facts, presets),
        "Samples": _final(facts),
        "Samples during training": _previews(facts),
        "Evaluation": _evaluation(facts),
        "Curves": _curves(facts),
        "Using the model": usage(facts),
        "Log": log(facts),
    }
    body = "".join(f"<section><h2>{title}</h2>{html}</section>" for title, html in sections.items() if html)
    page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{escape(name)}: {escape(facts.folder.name)}</title>
<style>
{style}</style>
</head>
<body>
<header>
<p class="path">{escape(str(facts.folder))}</p>
<h1>{escape(name)}</h1>
<p class="about">{escape(about)}</p>
{state(facts)}
{verdict(facts)}
</header>
<main>{body}</main>
</body>
</html>
"""
    return printable(page, lines=True)


# -- settings
# ----------------------------------------------------------------------------------------------------


def _run(facts: Facts) -> str:
    first: dict[str, Any] = facts.starts[0]["began"] if facts.starts else {}
    source = first | ({} if first else facts.evaluation)
    seeds = facts.evaluation.get("seeds") or [facts.run.get("seed", 0)]
    started = when(facts.starts[0].get("time", "")) if facts.starts else facts.evaluation.get("date")
    about = {
        "Command": f"<code>{escape(str(source['command']))}</code>" if source.get("command") else None,
        "Code": f"<code>{escape(str(source['commit']))}</code>" if source.get("commit") else None,
        "Seeds" if len(seeds) > 1 else "Seed": escape(", ".join(map(str, seeds))),
        "Machine": escape(str(source["machine"])) if source.get("machine") else None,
        "Started": escape(str(started)) if started else None,
        "Resumed": escape(
            ", ".join(f"{when(b.get('time', ''))} at step {b['step']:,}" for b in facts.starts[1:][-RESUMES:])
        ),
        "Trained for": duration(facts.seconds) if facts.seconds else None,
        "Steps": ", ".join(f"{escape(str(n))} {int(s):,}" for n, s in facts.planned.items()),
        "Data": escape(str(facts.config["data"])) if facts.config.get("data") else None,
    }
    return '<dl class="facts">' + "".join(f"<dt>{k}</dt><dd>{v}</dd>" for k, v in about.items() if v) + "</dl>"


def _configuration(facts: Facts, presets: Mapping[str, Mapping[str, Any]]) -> str:
    """All settings, collapsed; those that differ from the nearest preset are marked."""

    def changed(preset: str) -> list[str]:
        return [k for k, v in facts.config.items() if presets[preset].get(k, v) != v and k not in ("classes", "shares")]

    nearest = min(presets, key=lambda name: len(changed(name)), default="")
    marked = changed(nearest) if nearest else []
    lines = []
    for part, table in (("config", facts.config), ("data", facts.data), ("run", facts.run)):
        for name, value in table.items():
            text = f"<code>{escape(repr(value))}</code>"
            if part == "config" and name in marked:
                text = f"<mark>{text}</mark> <span class='muted'>in the preset {escape(repr(presets[nearest][name]))}</span>"
            lines.append(f"<dt>{escape(str(name))}</dt><dd>{text}</dd>")
    beside = f"; nearest preset {escape(nearest)}, {len(marked)} settings differ" if nearest else ""
    return f'<details><summary>all settings{beside}</summary><dl class="settings">{"".join(lines)}</dl></details>'


def _seeds(facts: Facts) -> str:
    lines = [
        f'<li><a href="{quote(os.fsencode(run.folder.name))}/report.html">{escape(run.folder.name)}</a> '
        f"{run.state}, {steps(run)} in {duration(run.seconds)}</li>"
        for run in facts.seeds
    ]
    return f'<ul class="seeds">{"".join(lines)}</ul>' if lines else ""


# -- results
# -------------------------------------------------------------------------------------------------


def _group(files: list[Path], caption: str, label: str) -> str:
    figures = "".join(media.show(path, label) for path in files)
    return f'<figure class="sample"><figcaption>{caption}</figcaption>{figures}</figure>'


def _final(facts: Facts) -> str:
    order = [*CAPTIONS]
    files = media.final_files(facts.folder, CAPTIONS)
    names = sorted(files, key=lambda name: order.index(name) if name in order else len(order))
    figures = "".join(
        _group(files[n], f"<b>{escape(n)}</b> {CAPTIONS.get(n, '')}", f"{n}: {CAPTIONS.get(n, '')}") for n in names
    )
    return f'<div class="finals">{figures}</div>' if figures else ""


def _previews(facts: Facts) -> str:
    steps = media.preview_steps(facts.folder)
    figures = "".join(_group(files, f"step {step:,}", f"step {step}") for step, files in steps.items())
    return f'<div class="strip">{figures}</div>' if figures else ""


def _evaluation(facts: Facts) -> str:
    rows = facts.evaluation.get("rows")
    if not rows:
        return "" if facts.state == "finished" else '<p class="muted">A run is evaluated at its end.</p>'
    stale = "" if facts.state == "finished" else "<p>Measured before the run was resumed.</p>"
    several = len(facts.evaluation.get("seeds", [])) > 1
    note = (
        "Means over the seeds, ± one sample deviation."
        if several
        else "One run with one seed: another seed gives other values, so small differences say little."
    )
    texts = facts.evaluation.get("definitions", {})
    return (
        f"{stale}{evaluation_table(rows, texts)}"
        f'<p class="muted">{note} <mark>Marked</mark>: the best of this run\'s models, where higher or lower is better and '
        "no baseline surpasses it; that is no test of significance.</p>"
        f"<details><summary>definitions</summary>{definitions(texts)}</details>"
    )


def _curves(facts: Facts) -> str:
    return "".join(_stage_curves(facts, stage) for stage in facts.stages)


def _stage_curves(facts: Facts, stage: Stage) -> str:
    """Charts of a stage: the terms of each update together, other signals, validation, learning
    rates, speed."""
    span = (float(stage.first), float(stage.last))
    updates: dict[str, dict[str, Curve]] = {}
    for name, curve in stage.curves.items():
        update, _, term = name.rpartition("/")
        title = update or name.replace("items_per_second", "speed, items per second")
        updates.setdefault(title, {})[term if update else "last"] = curve
    speed = updates.pop("speed, items per second", None)
    charts = [chart(title, curves, span) for title, curves in islice(updates.items(), CHARTS)]
    for name, curve in islice(stage.validation.items(), CHARTS):
        best = stage.best if name == chosen_metric(stage) else None
        charts.append(chart(f"validation: {name}", {"last": curve}, span, best))
    rates = {name: _within(curve, stage) for name, curve in facts.rates.items()}
    rates = {name: curve for name, curve in rates.items() if curve}
    charts += [chart("learning rate", rates, span)] if rates else []
    charts += [chart("speed, items per second", speed, span)] if speed else []
    title = f"<h3>{escape(stage.name)} <span>steps {stage.first:,} to {stage.last:,}</span></h3>"
    return f'{title}<div class="charts">{"".join(charts)}</div>'


def _within(curve: Curve, stage: Stage) -> Curve:
    """The part of a learning rate that lies in a stage; it is recorded when it changes, so the last
    value holds to the end."""
    inside = [(s, v) for s, v in curve if stage.first < s <= stage.last]
    return [*inside, (float(stage.last), inside[-1][1])] if inside and inside[-1][0] < stage.last else inside
