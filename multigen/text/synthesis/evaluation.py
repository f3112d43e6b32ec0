"""Evaluation of a text run: all its models next to maximum likelihood at several temperatures, and
the verdict."""

import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from multigen.console import if_slow
from multigen.engine.distributed import rank
from multigen.engine.evaluation import Evaluation
from multigen.metrics.names import direction
from multigen.storage.files import write_whole
from multigen.storage.lines import optional
from multigen.tasks.synthesis.curves import Point, draw_curves
from multigen.text import metrics
from multigen.text.decoding import sample, token_mask
from multigen.text.encoder import has_encoder
from multigen.text.networks.generators import Generator
from multigen.text.synthesis.evaluator import DEFINITIONS, Evaluator, shuffled
from multigen.text.synthesis.quality_diversity import verdict

__all__ = ["AS_IT_COMES", "change", "continuations", "evaluate_models"]

TEMPERATURES = (1.1, 1.0, 0.9, 0.8, 0.7)
SHOWN = 8  # samples of each model in samples.txt
PROMPTED = 500  # test texts that are continued
BASE, AS_IT_COMES = "mle/best", "pretrained"
SWEPT = (BASE, "adversarial/")
"""Models that are measured at all temperatures; the others at 1."""
AXES = {
    "oracle": ("nll_oracle", "nll_oracle, nats a token"),
    "fables": ("ungrammatical", "share of ungrammatical samples"),
    "texts": ("lm_score", "lm_score, nats a token"),
}
"""`Corpus.kind` -> the metric that is quality, and its label; diversity is nll_test throughout."""


def evaluate_models(
    evaluator: Evaluator, models: Iterable[tuple[Sequence[str], Generator]], folder: Path, prompt: int = 0
) -> Evaluation:
    """Measures models at several temperatures, and writes `curves.png` and `samples.txt` into
    `folder`.

    Rows are the names of the models, with ` at T` appended where the temperature is not 1, and
    `real`.

    Args:
        models: names of a model, STAGE/last, STAGE/best or both, and the model. It is used before
            the next one is made, so one network may serve for all.
        prompt: tokens of test texts that are given to be continued, see `continuations`; 0: none.
    """
    quality, label = AXES[evaluator.corpus.kind]
    with if_slow("measuring real texts"):
        rows = {"real": evaluator.real()}
    curves: dict[str, list[Point]] = {}
    excerpts: list[str] = []
    for names, G in models:
        name = names[0]
        for temperature in TEMPERATURES if name.startswith(SWEPT) else (1.0,):
            whole = temperature == 1 or evaluator.corpus.kind != "texts"
            with if_slow(f"measuring {name} at temperature {temperature:g}"):
                figures = evaluator.measure(G, temperature, whole)
            point = Point(temperature, figures["nll_test"], figures[quality], figures.pop("quality_error"))
            curves.setdefault(name, []).append(point)
            for each in names if temperature == 1 else names[:1]:
                rows[each if temperature == 1 else f"{each} at {temperature:g}"] = dict(figures)
        excerpts += [f"{' = '.join(names)}\n", *(f"  {text}" for text in evaluator.texts(G, SHOWN)), ""]
        if prompt:
            with if_slow(f"measuring continuations by {name}"):
                continued = continuations(evaluator, G, prompt)
            for each in names:
                rows[each] |= continued
    error = rows["real"].pop("quality_error")
    if evaluator.corpus.kind == "texts":
        rows["shuffled"] = evaluator.shuffled()
    if prompt:
        rows["shuffled"] = rows.get("shuffled", {}) | continuations(evaluator, None, prompt)
    if rank() == 0:
        real = rows["real"]
        star = Point(1.0, real["nll_test"], real[quality], error) if "nll_test" in real else None
        with optional(f"{folder}: curves and samples"):
            labels = "nll_test, nats a token (lower: more diverse)", f"{label} (lower: better)"
            draw_curves(folder / "curves.png", curves, star, labels)
            write_whole(folder / "samples.txt", "\n".join(excerpts) + "\n")
    used = {metric for row in rows.values() for metric in row}
    definitions = {metric: text for metric, text in DEFINITIONS.items() if metric in used}
    return Evaluation(rows, definitions, _remarks(rows, curves, quality))


def _remarks(
    rows: Mapping[str, Mapping[str, float]], curves: Mapping[str, Sequence[Point]], quality: str
) -> dict[str, str]:
    remarks = {"chosen": "the best model of a stage has the lowest nll of the validation texts; last is its last step"}
    others = {name: points for name, points in curves.items() if not name.startswith(("mle/", AS_IT_COMES))}
    if BASE not in curves:
        return remarks | {"verdict": "there is no maximum-likelihood stage to compare with"}
    return remarks | ({"verdict": verdict(curves[BASE], others, quality), "change": change(rows)} if others else {})


def change(rows: Mapping[str, Mapping[str, float]]) -> str:
    """What the adversarial stage gained and lost against maximum likelihood, at temperature 1.
    Where neither more nor less of a metric is better, coming nearer to real texts is a gain."""
    name = "adversarial/last" if "adversarial/last" in rows else "adversarial/best"
    if name not in rows:
        return "no adversarial stage"
    gained, lost, real = [], [], rows.get("real", {})
    for metric in [m for m in rows[name] if m in rows[BASE] and m != "ungrammatical"]:  # `grammatical` says the same
        now, before, beside = rows[name][metric], rows[BASE][metric], ""
        gain = direction(metric) * (now - before)
        if not direction(metric) and metric in real:
            gain, beside = abs(before - real[metric]) - abs(now - real[metric]), f" (real {real[metric]:.4g})"
        if gain and f"{before:.4g}" != f"{now:.4g}":
            (gained if gain > 0 else lost).append(f"{metric} {before:.4g} -> {now:.4g}{beside}")
    return f"{name} against {BASE}: gained {', '.join(gained) or 'nothing'}; lost {', '.join(lost) or 'nothing'}"


def continuations(evaluator: Evaluator, G: Generator | None, prompt: int) -> dict[str, float]:
    """ROUGE, BLEU and similarity of continuations by G of the first `prompt` tokens of test texts,
    against the true continuations; without G, of the shuffled words (or characters) of other test
    texts: the baseline."""
    corpus, info = evaluator.corpus, evaluator.info
    test = corpus.test[token_mask(corpus.test, info.last).sum(1) > prompt + 1][:PROMPTED]
    truth = corpus.texts(test[:, prompt:])
    if G is None:
        rng = random.Random(0)
        written = [shuffled(text, rng) for text in truth[1:] + truth[:1]]
    else:
        uniform = torch.rand(test.shape, generator=torch.Generator().manual_seed(1)).to(next(G.parameters()).device)
        prompts: Tensor = test[:, :prompt].to(uniform.device)
        tokens = sample(G, uniform, info.last, info.pad, prompts)
        written = corpus.texts(tokens[:, prompt:].cpu())
    figures = metrics.rouge(written, truth) | {"corpus_bleu": metrics.corpus_bleu(written, truth)}
    if has_encoder():
        figures["similarity_minilm"] = metrics.sentence_similarity(written, truth)
    return figures
