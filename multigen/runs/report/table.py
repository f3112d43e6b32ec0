"""The evaluation as a table: this run's models apart from what they are compared with."""

from collections.abc import Mapping
from html import escape
from typing import Any

from multigen.engine.evaluation import metric_label
from multigen.metrics.names import direction, other_setting, real, trained

__all__ = ["best_of", "definitions", "evaluation_table"]

Rows = Mapping[str, Mapping[str, float]]
WIDE = 8
"""Columns of models, at most; of more models each is a row instead."""


def evaluation_table(rows: Rows, texts: Mapping[str, Any]) -> str:
    """The table, the run's models before baselines. `texts`: the definition of each metric."""
    own = [name for name in rows if trained(name)]
    names = [*own, *(name for name in rows if name not in own)]
    metrics = [m for m in dict.fromkeys(m for row in rows.values() for m in row) if not m.endswith("_std")]
    body = (_metrics_down if len(names) <= WIDE else _models_down)(rows, names, own, metrics, texts)
    return f'<div class="scroll" tabindex="0" role="region" aria-label="evaluation"><table>{body}</table></div>'


def _metrics_down(rows: Rows, names: list[str], own: list[str], metrics: list[str], texts: Mapping[str, Any]) -> str:
    others = len(names) - len(own)
    groups = (f'<th colspan="{len(own)}" class="group">this run</th>' if own else "") + (
        f'<th colspan="{others}" class="group baseline">for comparison</th>' if others else ""
    )
    heads = "".join(f'<th scope="col"{_kind(n)}>{_broken(n)}</th>' for n in names)
    lines = [f"<thead><tr><td></td>{groups}</tr><tr><td></td>{heads}</tr></thead><tbody>"]
    for metric in metrics:
        cells = "".join(_cell(rows, n, metric) for n in names)
        lines.append(f'<tr><th scope="row">{_broken(metric_label(metric, texts))}</th>{cells}</tr>')
    return "".join([*lines, "</tbody>"])


def _models_down(rows: Rows, names: list[str], own: list[str], metrics: list[str], texts: Mapping[str, Any]) -> str:
    heads = "".join(f'<th scope="col">{_broken(metric_label(m, texts))}</th>' for m in metrics)
    lines = [f"<thead><tr><td></td>{heads}</tr></thead>"]
    for title, group in (("this run", own), ("for comparison", [n for n in names if n not in own])):
        kind = "" if group is own else ' class="baseline"'
        head = f'<tr><th scope="rowgroup" class="group">{title}</th><td colspan="{len(metrics)}"></td></tr>'
        lines += [f"<tbody{kind}>{head}"] if group else []
        for n in group:
            cells = "".join(_cell(rows, n, m) for m in metrics)
            lines.append(f'<tr><th scope="row">{escape(n)}</th>{cells}</tr>')
        lines += ["</tbody>"] if group else []
    return "".join(lines)


def _kind(name: str) -> str:
    return "" if trained(name) else ' class="baseline"'


def _broken(name: str) -> str:
    """A name with line breaks allowed after slashes and between words."""
    return escape(name).replace("/", "/<wbr>").replace("_", "_<wbr>")


def _cell(rows: Rows, name: str, metric: str) -> str:
    value = rows[name].get(metric)
    if value is None:
        return f'<td{_kind(name)}><span class="muted">-</span></td>'
    digits = _digits([row[metric] for row in rows.values() if metric in row])
    text = f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")
    if (deviation := rows[name].get(f"{metric}_std")) is not None:
        text += f' <span class="muted">± {deviation:.{digits}f}</span>'
    if name in best_of(rows, metric):
        text = f"<mark>{text}</mark>"
    return f"<td{_kind(name)}>{text}</td>"


def _digits(values: list[float]) -> int:
    """Number of decimals for about four significant digits of the largest value."""
    largest = max((abs(v) for v in values if v == v and abs(v) != float("inf")), default=0.0)
    return next((d for d, bound in ((1, 100), (2, 10), (3, 1), (4, 0.01)) if largest >= bound), 6 if largest else 1)


def best_of(rows: Rows, metric: str) -> list[str]:
    """The run's models with the best value, at temperature 1 only.

    [] where all are equal, where a baseline other than real data is better, or where neither higher
    nor lower is better."""
    sign = direction(metric)
    scores = {n: sign * row[metric] for n, row in rows.items() if metric in row}
    own = {n: v for n, v in scores.items() if trained(n) and not other_setting(n)}
    if not sign or len(set(own.values())) < 2:
        return []
    top = max(own.values())
    beaten = any(v >= top for n, v in scores.items() if not trained(n) and not real(n))
    return [] if beaten else [n for n, v in own.items() if v == top]


def definitions(texts: Mapping[str, Any]) -> str:
    """The definition of each metric; clauses that most of them share are listed once, below."""
    parts = {name: str(text).split("; ") for name, text in texts.items()}
    counts: dict[str, int] = {}
    for clauses in parts.values():
        for clause in clauses[1:]:
            counts[clause] = counts.get(clause, 0) + 1
    shared = [clause for clause, n in counts.items() if n > max(2, len(parts) / 2)]
    lines = []
    for name, clauses in parts.items():
        specific = [c for c in clauses if c not in shared]
        star = " *" if len(specific) < len(clauses) else ""
        lines.append(f"<dt>{_broken(name)}</dt><dd>{escape('; '.join(specific))}{star}</dd>")
    below = f'<p class="muted">* {escape("; ".join(shared))}</p>' if shared else ""
    return f"<dl>{''.join(lines)}</dl>{below}"
