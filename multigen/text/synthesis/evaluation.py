"""The report of a text run: all its models beside maximum likelihood at lower temperatures, and what follows from that."""

import random
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from multigen.engine.checkpoint import load_strict
from multigen.engine.distributed import rank
from multigen.engine.evaluation import Evaluation
from multigen.metrics.names import direction
from multigen.text import metrics
from multigen.text.decoding import sample, valid
from multigen.text.synthesis.evaluator import DEFINITIONS, Evaluator
from multigen.text.synthesis.quality_diversity import Point, draw_curves, verdict

__all__ = ["report"]

TEMPERATURES = (1.1, 1.0, 0.9, 0.8, 0.7)
SHOWN = 8  # samples of each model in samples.txt
PROMPTED = 500  # held-out texts that are written on
BASE = "mle/best"
SWEPT = (BASE, "adversarial/")
"""Models that are measured at all temperatures; the others at 1."""
AXES = {
    "oracle": ("nll_oracle", "nll_oracle, nats a token"),
    "fables": ("ungrammatical", "share of ungrammatical samples"),
    "texts": ("lm_score", "lm_score, nats a token"),
}
"""Kind of data -> the metric that is quality, and how it is called; diversity is nll_test throughout."""


def report(trainer: Any) -> Evaluation:
    """Measures every model of the run at several temperatures, writes `curves.png` and `samples.txt`.

    Rows are `STAGE/last` and `STAGE/best`, with ` at T` behind them where the temperature is not 1, and `real`.
    """
    evaluator: Evaluator = trainer.evaluator
    quality, called = AXES[evaluator.kind]
    rows = {"real": evaluator.real()}
    curves: dict[str, list[Point]] = {}
    shown: list[str] = []
    for names, G in models(trainer):
        name = names[0]
        for temperature in TEMPERATURES if name.startswith(SWEPT) else (1.0,):
            found = evaluator.measure(G, temperature, whole=temperature == 1 or evaluator.kind != "texts")
            point = Point(temperature, found["nll_test"], found[quality], found.pop("quality_error"))
            curves.setdefault(name, []).append(point)
            for each in names if temperature == 1 else names[:1]:
                rows[each if temperature == 1 else f"{each} at {temperature:g}"] = dict(found)
        shown += [f"{' = '.join(names)}\n", *(f"  {text}" for text in evaluator.texts(G, SHOWN)), ""]
        if trainer.config.prompt:
            continued = continuations(evaluator, G)
            for each in names:
                rows[each] |= continued
    error = rows["real"].pop("quality_error")
    if trainer.config.prompt:
        rows["shuffled"] = continuations(evaluator, None)
    others = {name: points for name, points in curves.items() if not name.startswith("mle/")}
    remarks = {"chosen": "the best model of a stage has the lowest nll of the validation texts; last is its last step"}
    if others:
        remarks |= {"verdict": verdict(curves[BASE], others, quality), "change": change(rows)}
    if rank() == 0:
        real = (
            Point(1.0, rows["real"]["nll_test"], rows["real"][quality], error) if "nll_test" in rows["real"] else None
        )
        draw_curves(trainer.folder / "curves.png", curves, real, ("nll_test, nats a token", called))
        (trainer.folder / "samples.txt").write_text("\n".join(shown) + "\n", encoding="utf-8")
    names = {metric for row in rows.values() for metric in row}
    return Evaluation(rows, {m: text for m, text in DEFINITIONS.items() if m in names}, remarks)


def models(trainer: Any) -> Iterator[tuple[list[str], Any]]:
    """Names and G of all stages that train it: STAGE/best and STAGE/last, both names at once where it is one model."""
    G = trainer.nets["G"]
    kept = {name: t.clone() for name, t in G.state_dict().items()}
    G.eval()
    for stage in [s for s in trainer.plan if any("G" in u.trains for u in s.updates)]:
        steps = {which: trainer.state.scalars.get(f"{which}_step/{stage.name}") for which in ("best", "last")}
        for step in dict.fromkeys(s for s in steps.values() if s is not None):
            names = [which for which, at in steps.items() if at == step]
            load_strict(G.state_dict(), trainer.saved("G", stage.name, names[0]), f"G, {names[0]} of {stage.name}")
            yield [f"{stage.name}/{which}" for which in names], G
    load_strict(G.state_dict(), kept, "G")
    G.train()


def change(rows: Mapping[str, Mapping[str, float]]) -> str:
    """What the adversarial stage gained and lost against maximum likelihood, at temperature 1. Where neither more nor less of a
    metric is better, coming nearer to real texts is."""
    name = "adversarial/last" if "adversarial/last" in rows else "adversarial/best"
    if name not in rows:
        return "no adversarial stage"
    gained, lost, real = [], [], rows.get("real", {})
    for metric in [m for m in rows[name] if m in rows[BASE] and m != "ungrammatical"]:  # which grammatical says already
        now, before, beside = rows[name][metric], rows[BASE][metric], ""
        gain = direction(metric) * (now - before)
        if not direction(metric) and metric in real:
            gain, beside = abs(before - real[metric]) - abs(now - real[metric]), f" (real {real[metric]:.4g})"
        if gain and f"{before:.4g}" != f"{now:.4g}":
            (gained if gain > 0 else lost).append(f"{metric} {before:.4g} -> {now:.4g}{beside}")
    return f"{name} against {BASE}: gained {', '.join(gained) or 'nothing'}; lost {', '.join(lost) or 'nothing'}"


def continuations(evaluator: Evaluator, G: Any) -> dict[str, float]:
    """ROUGE and BLEU of what G writes after the beginnings of held-out texts, against what stands there; without G, of shuffled
    words of other held-out texts: the floor."""
    c, P = evaluator.config, evaluator.config.prompt
    test = evaluator.corpus.test
    test = test[valid(test, c.last).sum(1) > P + 1][:PROMPTED]
    truth = evaluator.corpus.texts(test[:, P:])
    if G is None:
        rng, written = random.Random(0), []
        for text in truth[1:] + truth[:1]:
            shuffled = text.split()
            rng.shuffle(shuffled)
            written.append(" ".join(shuffled))
    else:
        uniform = torch.rand(len(test), c.length, generator=torch.Generator().manual_seed(1)).to(
            next(G.parameters()).device
        )
        prompts: Tensor = test[:, :P].to(uniform.device)
        tokens = sample(G, uniform, c.last, c.pad, prompts)
        written = evaluator.corpus.texts(tokens[:, P:].cpu())
    return metrics.rouge(written, truth) | {"corpus_bleu": metrics.corpus_bleu(written, truth)}
