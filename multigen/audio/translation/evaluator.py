"""Metrics of voice conversion: nearness to the target, by sentences that it says too and by
speaker; what was kept of the source; quality."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from multigen.audio.metrics import DEFINITIONS, METRICS, SoundScores
from multigen.audio.pitch import Pitch, pitch_of
from multigen.audio.recordings import Recording
from multigen.audio.spectral import mfcc
from multigen.audio.spectrograms import SECONDS, loudest, side_by_side
from multigen.audio.speech_metrics import path_between
from multigen.audio.translation import known
from multigen.audio.translation.speakers import sentence_of
from multigen.audio.voice import SPEAKERS
from multigen.console import counted, say, say_once
from multigen.data.datasets import hash_of
from multigen.engine.distributed import all_sum, rank, world
from multigen.errors import ConfigError, DataError
from multigen.tasks.translation.base import Translate

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

__all__ = ["VoiceSet", "comparison", "definitions", "measured", "score", "set_of"]

LONGEST = 30.0  # seconds of a recording that are measured
HOPS = 80  # frames a second of pitch
BESIDE = ("mcd_dtw", "mcd_world_dtw")  # of the target's own recording of the sentence
ALONE = ("dnsmos", "word_error")  # of the source, or of nothing
SAME = ("pesq", "si_sdr")  # of the target's recording, to which the model has nothing to do
OWN = {
    "f0_error_dtw": "Root mean square error of f0 in cents beside the target's own recording of the sentence, over the steps of "
    "the path of dynamic time warping (of 13 MFCCs) at which both are voiced; own tracker (multigen.audio.pitch), 80 frames a "
    "second, 60 to 500 Hz; mean over recordings.",
    "f0_mean_error": "Difference in cents of the mean of log f0 over the voiced frames of all conversions from that of the "
    "target's training recordings, without its sign; own tracker.",
    "f0_spread": "Standard deviation of log f0 over the voiced frames of all conversions, over that of the target's training "
    "recordings; 1: as lively.",
    "voicing_error": "Share of the frames that are voiced in one of conversion and source, and unvoiced in the other; own "
    "tracker; mean over recordings.",
    "target_similarity": "Of a conversion and a recording of the target, where there are several another sentence: "
    f"{DEFINITIONS['speaker_similarity']}",
    "source_similarity": "Of a conversion and its source, as target_similarity.",
    "similarity_gain": "target_similarity less source_similarity: above 0, a conversion is more like the target than like its "
    "source.",
    "same_pesq": "PESQ of a recording of the target, converted to the target, beside itself: what is lost on the way.",
    "same_si_sdr": "Scale-invariant signal-to-distortion ratio, dB, of a recording of the target, converted to the target, "
    "beside itself. Sound made of mels has phases of its own, so it is low in any case.",
}


@dataclass(frozen=True)
class VoiceSet:
    """Recordings of two speakers to measure on, float32 (T,): `inputs` of the source, `targets` of
    the target; where `paired`, those at one index say the same."""

    name: str
    rate: int
    speakers: tuple[str, str]
    names: tuple[str, ...]
    inputs: Sequence[Tensor]
    targets: Sequence[Tensor]
    paired: bool
    target_names: tuple[str, ...] = ()
    embedded: bool = False
    """Whether they are the speaking machine's, of which everything is known."""

    def turned(self) -> "VoiceSet":
        """With inputs and targets exchanged."""
        return replace(
            self, speakers=self.speakers[::-1], inputs=self.targets, targets=self.inputs, names=self.target_names,
            target_names=self.names,
        )  # fmt: skip

    def named(self, name: str) -> "VoiceSet":
        return replace(self, name=name)


def set_of(
    name: str, speakers: tuple[str, str], recordings: Mapping[str, Sequence[Recording]], rate: int, most: int = 0
) -> VoiceSet:
    """A set of two speakers' recordings, `most` of each (0: all): pairs of the sentences that both
    say, where there are such, else those with the smallest hashes. Raises DataError where one has
    none."""
    by_sentence = [{sentence_of(each.name, who): each for each in recordings[who]} for who in speakers]
    shared = sorted(by_sentence[0].keys() & by_sentence[1].keys(), key=lambda sentence: hash_of(sentence, 0))
    chosen = [
        [
            own[sentence]
            for sentence in (shared or sorted(own, key=lambda sentence: hash_of(sentence, 0)))[: most or None]
        ]
        for own in by_sentence
    ]
    for who, of in zip(speakers, chosen, strict=True):
        if not of:
            raise DataError(
                f"{name}: no recording of {who} of .3 seconds or more to test with; add some, or name others: --test"
            )
    sounds = [[each.part(0, int(LONGEST * rate))[0] for each in of] for of in chosen]
    names = [tuple(each.name for each in of) for of in chosen]
    embedded = {*speakers} <= {*SPEAKERS} and all(each.startswith("voice/") for each in names[0] + names[1])
    return VoiceSet(name, rate, speakers, names[0], sounds[0], sounds[1], bool(shared), names[1], embedded)


def measured(rate: int) -> tuple[str, ...]:
    """Those of the metrics that need packages or a rate which are there; says which are not."""
    result = []
    for metric in (*BESIDE, *ALONE, *SAME, "speaker_similarity"):
        try:
            SoundScores(rate, (metric,))
            result.append(metric)
        except ConfigError as error:
            say_once(f"{metric} is not measured: {error}")
    return tuple(result)


def definitions(metrics: Sequence[str]) -> dict[str, str]:
    """Definitions of the metrics of `score`."""
    return {metric: DEFINITIONS[metric] for metric in (*BESIDE, *ALONE) if metric in metrics} | OWN | known.DEFINITIONS


def score(
    translators: Mapping[str, Translate],
    sets: Sequence[VoiceSet],
    pitch: Mapping[str, Pitch],
    device: torch.device | str = "cpu",
) -> dict[str, dict[str, float]]:
    """Row -> "SET/metric" -> value of models and baselines, which map recordings (T,) of the source
    to recordings (T,).

    A recording that a metric cannot measure in one of the rows is left out of that metric in all
    rows, and a message says so; a metric without any is left out. Ranks share the recordings; all
    get the result.
    """
    rows: dict[str, dict[str, float]] = {name: {} for name in translators}
    for items in sets:
        extras = measured(items.rate)
        tables = {name: _Table(items, extras, device) for name in translators}
        for i in range(rank(), len(items.inputs), world()):
            for name, translate in translators.items():
                tables[name].add(i, translate(items.inputs[i]), getattr(translate, "same", None))
        for table in tables.values():
            table.share()
        usable = torch.stack([table.counts.bool() for table in tables.values()]).all(0)  # (recordings, metrics)
        _report(items, tables, usable)
        for name, table in tables.items():
            rows[name] |= {f"{items.name}/{metric}": value for metric, value in table.row(usable).items()}
            rows[name] |= {
                f"{items.name}/{metric}": value for metric, value in table.pitch(pitch[items.speakers[1]]).items()
            }
    return rows


def _report(items: VoiceSet, tables: "Mapping[str, _Table]", usable: Tensor) -> None:
    """Says which recordings a metric could not measure."""
    reasons = {metric: text for table in tables.values() for metric, text in table.reasons.items()}
    for metric, text in reasons.items():
        left = int((~usable[:, next(iter(tables.values())).metrics.index(metric)]).sum())
        say(f"{items.name}/{metric}: {counted(left, 'recordings')} of {len(usable)} cannot be measured, such as {text}")


class _Table:
    """Figures of a row, for each recording, which the ranks share."""

    def __init__(self, items: VoiceSet, extras: Sequence[str], device: torch.device | str):
        self.items, self.extras = items, extras
        self.functions = self._functions()
        self.metrics = [*self.functions, *(f"same_{metric}" for metric in SAME if metric in extras)]
        n = len(items.inputs)
        self.values, self.counts = torch.zeros(2, n, len(self.metrics), dtype=torch.float64, device=device)
        self.sums = torch.zeros(3, dtype=torch.float64, device=device)
        """Voiced frames, and sums of log f0 and its square."""
        self.reasons: dict[str, str] = {}
        self.without: set[str] = set()
        self._last: tuple[Tensor, dict[str, float]] | None = None

    def _functions(self) -> dict[str, Callable[[Tensor, int], float]]:
        """Metric -> function of a conversion and its number."""
        items, rate = self.items, self.items.rate

        def against(metric: str, others: Sequence[Tensor]) -> Callable[[Tensor, int], float]:
            return lambda sound, i: float(METRICS[metric](sound, others[i % len(others)], rate))

        result: dict[str, Callable[[Tensor, int], float]] = {}
        if items.paired:
            result |= {metric: against(metric, items.targets) for metric in BESIDE if metric in self.extras}
            result["f0_error_dtw"] = lambda sound, i: _pitch_error(sound, items.targets[i], rate)
        result["voicing_error"] = lambda sound, i: _voicing_error(sound, items.inputs[i], rate)
        if items.embedded:
            result |= {metric: self._known(metric) for metric in known.DEFINITIONS}
        if "speaker_similarity" in self.extras:  # not of the same sentence, whose sounds are alike too
            n = len(items.targets)
            result["target_similarity"] = lambda sound, i: against("speaker_similarity", items.targets)(
                sound, (i + 1) % n
            )
            result["source_similarity"] = against("speaker_similarity", items.inputs)
        return result | {metric: against(metric, items.inputs) for metric in self._alone()}

    def _alone(self) -> list[str]:
        """Without words of the speaking machine, whose sentences are nonsense."""
        return [each for each in ALONE if each in self.extras and not (each == "word_error" and self.items.embedded)]

    def _known(self, metric: str) -> Callable[[Tensor, int], float]:
        items = self.items

        def value(sound: Tensor, i: int) -> float:
            if self._last is None or self._last[0] is not sound:
                vowels = known.vowels_of(items.names[i], items.rate)
                self._last = sound, known.measured(sound, vowels, items.speakers[1], items.rate)
            return self._last[1][metric]

        return value

    def add(self, i: int, sound: Tensor, same: Translate | None) -> None:
        for metric, function in self.functions.items():
            self._put(i, metric, lambda function=function: function(sound, i))
        target = self.items.targets[i % len(self.items.targets)]
        made = same(target) if same is not None else None
        for metric in SAME:
            if made is None:
                self.without.add(f"same_{metric}")
            elif metric in self.extras:
                self._put(
                    i, f"same_{metric}", lambda metric=metric: float(METRICS[metric](made, target, self.items.rate))
                )
        voiced = pitch_of(sound.float(), self.items.rate, self.items.rate // HOPS)
        log = voiced[voiced > 0].double().log()
        self.sums += torch.stack([log.new_tensor(len(log)), log.sum(), log.square().sum()]).to(self.sums)

    def _put(self, i: int, metric: str, value: Callable[[], float]) -> None:
        column = self.metrics.index(metric)
        if metric in self.without:
            return
        try:
            self.values[i, column] = value()
            self.counts[i, column] = 1
        except DataError as error:
            self.reasons.setdefault(metric, f"{self.items.names[i]}: {error}")

    def share(self) -> None:
        """Brings the figures of all ranks together; each must call it, once all are added."""
        self.values, self.counts, self.sums = all_sum(self.values), all_sum(self.counts), all_sum(self.sums)
        for metric in self.without & {*self.metrics}:
            self.counts[:, self.metrics.index(metric)] = 1

    def row(self, usable: Tensor) -> dict[str, float]:
        """Means over the recordings that are usable."""
        result = {}
        for column, metric in enumerate(self.metrics):
            if metric not in self.without and usable[:, column].any():
                result[metric] = float(self.values[usable[:, column], column].mean())
        if "target_similarity" in result and "source_similarity" in result:
            result["similarity_gain"] = result["target_similarity"] - result["source_similarity"]
        return result

    def pitch(self, target: Pitch) -> dict[str, float]:
        count, total, squares = self.sums.tolist()
        if not count:
            return {}
        mean = total / count
        deviation = math.sqrt(max(squares / count - mean**2, 0.0))
        return {
            "f0_mean_error": abs(mean - target.mean) * 1200 / math.log(2),
            "f0_spread": deviation / max(target.deviation, 1e-6),
        }


def _pitch_error(sound: Tensor, target: Tensor, rate: int) -> float:
    """RMSE in cents along the path of dynamic time warping."""
    hop, size = rate // HOPS, 1 << round(math.log2(0.032 * rate))
    cepstra = [mfcc(x.double(), rate, 14, size, hop, 40)[1:] for x in (sound, target)]
    path = path_between(*cepstra)
    f, g = (pitch_of(x.float(), rate, hop)[path[:, k]] for k, x in enumerate((sound, target)))
    both = (f > 0) & (g > 0)
    if not both.any():
        raise DataError("no frame is voiced in both recordings; leave the recording out")
    return float((1200 * (f[both] / g[both]).log2()).double().square().mean().sqrt())


def _voicing_error(sound: Tensor, source: Tensor, rate: int) -> float:
    hop = rate // HOPS
    f, g = (pitch_of(x.float(), rate, hop) > 0 for x in (sound, source))
    return float((f != g).double().mean())


def comparison(translators: Mapping[str, Translate], items: VoiceSet, most: int) -> "tuple[Picture, Tensor]":
    """Spectrograms of the first `most` recordings, side by side: each row's conversions, and a
    recording of the target, of the same sentence where there is one; and the same as one sound (1,
    T)."""
    rows, sounds = list[dict[str, Tensor]](), list[Tensor]()
    for i in range(min(most, len(items.inputs))):
        made = {name: translate(items.inputs[i]).cpu() for name, translate in translators.items()}
        target = items.targets[i % len(items.targets)].cpu()
        length = round(SECONDS * items.rate)
        window = loudest(items.inputs[i], length)
        rows.append({name: sound[window] for name, sound in made.items()} | {"target": target[loudest(target, length)]})
        sounds += [part for sound in (*made.values(), target) for part in (sound, torch.zeros(items.rate // 5))]
    return side_by_side(rows, items.rate), torch.cat(sounds)[None]
