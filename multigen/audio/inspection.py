"""Inspects recordings and suggests how to train on them."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

import torch
from torch import Tensor

from multigen.audio.files import AUDIO, Info, open_sound
from multigen.audio.levels import Silent, audible, check_audible, offset_of, peak_of
from multigen.audio.recordings import DRUMS, EMBEDDED, VOICE
from multigen.audio.speech import Speech, examine, speakers_by_name
from multigen.audio.store import Store
from multigen.console import counted, shell_word
from multigen.data.inspection import (
    Inspection,
    Labels,
    Suggestion,
    batch_for,
    describe_files,
    describe_parts,
    find_labels,
    listed,
    spread,
    watched,
)
from multigen.data.locate import locate
from multigen.data.parts import Parts, find_parts
from multigen.data.unread import find_files
from multigen.errors import DataError

__all__ = ["inspect_sounds"]

FULL = 0.999  # of full scale
CLIPPED = 3  # neighbouring samples at full scale
NOISY = 15  # dB: an estimated signal-to-noise ratio below it is worth a word
TELEPHONE = 11_025  # Hz: recordings of this rate and less are narrow,
SENTENCE = 1.0  # if they are long enough to be more than single sounds: seconds
SPEECH = {
    "vocoder": "of sentences: a model that makes sound of mel spectrograms",
    "extend": "one that adds the high frequencies of narrow recordings",
    "enhance": "one that removes noise",
    "maskcyclegan": "one that says the same in another of these voices",
}
"""Methods for recordings of speakers -> why."""
QUIET_ENDS = 0.2  # share of a recording that --trim would leave out, from which on it is advised
RATES = (4_000, 16_000)  # Hz, between which rates are suggested
LENGTHS = (2_048, 16_384)  # samples, likewise


@dataclass(frozen=True)
class _Sound:
    path: Path
    info: Info
    peak: float
    clipped: bool
    kept: float
    """Seconds left after --trim."""
    offset: float
    """DC offset of its mono mix; 0: none that is noticeable."""
    speech: Speech


def inspect_sounds(data: str) -> Inspection:
    """Rates, lengths, formats, classes, duplicates, damage, silence, clipping, bandwidth, noise and
    speakers of any data that `open_sounds` accepts.

    Every file is decoded once, since only that shows damage and silence.

    Raises DataError if there is no recording that can be read.
    """
    if data in EMBEDDED:
        return _inspect_machine(data)
    place = locate(data, "a folder of sound files, a sound file, or the name drums or voice")
    parts = find_parts(place, find_files(place, AUDIO, "sound files") if place.is_dir() else [place])
    paths = [*parts.train, *parts.validation, *parts.test]
    inspection, sounds, silent = Inspection(), [], 0
    for path in watched(paths, "recordings"):
        try:
            sounds.append(_read(path))
        except DataError as error:
            silent += isinstance(error, Silent)
            inspection.unreadable.append((path, str(error)))
    if not sounds:
        raise DataError(f"{data}: none of {len(paths)} recordings can be read; {inspection.unreadable[0][1]}")
    labels = find_labels(parts)
    describe_parts(inspection, parts, labels, "recordings")
    _describe(inspection, sounds, silent)
    _describe_speech(inspection, sounds)
    _describe_narrow(inspection, sounds, data)
    _describe_speakers(inspection, parts)
    describe_files(inspection, parts, paths)
    _suggest(inspection, parts, labels, sounds)
    return inspection


def _inspect_machine(data: str) -> Inspection:
    """`inspect_sounds` for embedded data."""
    inspection, classes = Inspection(), EMBEDDED[data]
    each = 1 if data == "drums" else len(classes)
    counts = {split: each * count for split, (count, _) in (DRUMS if data == "drums" else VOICE).items()}
    words = ", ".join(f"{count:,} to {split}" for split, count in counts.items())
    inspection.add("items", counts, f"{words}, generated on demand")
    inspection.add("classes", list(classes), f"{len(classes)}: {', '.join(classes)}")
    choice = Suggestion("wavegan", "laptop", (), "the preset laptop was made for them")
    if data == "voice":
        inspection.add("speakers", dict.fromkeys(classes, counts["train"] // each), "the classes")
        options = ("--cut", "random", "--conditional")
        choice = Suggestion("wavegan", "laptop", options, "windows at random places of sentences of some seconds")
    inspection.suggestions = [choice]
    if data == "voice":
        inspection.suggestions += [Suggestion(method, "laptop", (), why) for method, why in SPEECH.items()]
    return inspection


def _read(path: Path) -> _Sound:
    mono, peak, clipped, tail = Store(), 0.0, False, torch.empty(0, 0)
    with open_sound(path) as file:
        for block in file.blocks():
            peak = max(peak, float(block.abs().max()))
            clipped |= _clipped(block)
            clipped |= tail.numel() > 0 and _clipped(torch.cat([tail, block[:, : CLIPPED - 1]], 1))
            tail = block[:, 1 - CLIPPED :].clone()  # a run of clipped samples may continue in the next block
            mono.append(block.mean(0, keepdim=True))
        info = Info(file.rate, file.channels, len(mono), file.decoder.subtype)
    offset = offset_of(mono, info.rate)
    loudest = peak_of(mono, offset)
    check_audible(path, loudest)
    first, end = audible(mono, info.rate, offset, loudest)
    speech = examine(mono, info.rate, offset)
    return _Sound(path, info, peak, clipped, (end - first) / info.rate, float(offset), speech)


def _clipped(sound: Tensor) -> bool:
    """Whether a channel of (C, T) has longer runs of full-scale samples than an unclipped
    signal."""
    full = sound.abs() >= FULL
    return full.shape[1] >= CLIPPED and bool(full.unfold(1, CLIPPED, 1).all(2).any())


def _describe(inspection: Inspection, sounds: Sequence[_Sound], silent: int) -> None:
    infos = [h.info for h in sounds]
    rates = Counter(info.rate for info in infos)
    named = {f"{rate} Hz": count for rate, count in rates.most_common()}
    inspection.add("rates", {str(rate): count for rate, count in rates.most_common()}, _all(named))
    channels = Counter(info.channels for info in infos)
    text = _all({f"{n} channel{'s' * (n > 1)}": count for n, count in channels.most_common()})
    inspection.add("channels", {str(n): count for n, count in channels.most_common()}, text)
    kinds = Counter(info.subtype for info in infos)
    inspection.add("formats", dict(kinds.most_common()), _all({_kind(name): n for name, n in kinds.most_common()}))
    seconds = spread([info.seconds for info in infos])
    total = sum(info.seconds for info in infos)
    text = f"{seconds['least']:.2f} to {seconds['most']:.2f} s, half of them up to {seconds['median']:.2f} s; "
    text += f"{total / 60:,.1f} minutes in all"
    inspection.add("seconds", seconds | {"total": total}, text)
    peaks = [20 * math.log10(h.peak) for h in sounds]
    inspection.add(
        "peaks",
        spread(peaks),
        f"{round(min(peaks))} to {round(max(peaks))} dB of full scale, half up to {round(median(peaks))}",
    )
    inspection.add("silent", silent, f"{silent:,} (listed with the unreadable)" if silent else "none")
    clipped = [str(h.path) for h in sounds if h.clipped]
    how = f"{CLIPPED} neighbouring samples at full scale"
    inspection.add(
        "clipped", clipped, f"{len(clipped):,}, such as {clipped[0]} ({how})" if clipped else f"none ({how})"
    )
    shifted = sorted(((abs(h.offset), h) for h in sounds if h.offset), key=lambda pair: pair[0], reverse=True)
    text = "none"
    if shifted:
        text = f"{len(shifted):,}, the most {shifted[0][1].offset:+.3f} in {shifted[0][1].path} (training removes it)"
    inspection.add("offsets", {str(h.path): round(h.offset, 4) for _, h in shifted}, text)
    quiet = _quiet_ends(sounds)
    inspection.add("quiet_ends", quiet, f"--trim would leave out {quiet:.0%} of a recording (median)")
    if len(rates) > 1:
        inspection.warnings.append(
            f"{len(rates)} rates: those of {min(rates)} Hz hold nothing above {min(rates) // 2} Hz, which D may notice; a "
            f"--rate of {max(min(rates), RATES[0])} treats all alike"
        )
    if len(clipped) > len(sounds) // 10:
        inspection.warnings.append(
            f"{len(clipped):,} of {len(sounds):,} recordings are clipped; the generator learns that too"
        )


def _describe_speech(inspection: Inspection, sounds: Sequence[_Sound]) -> None:
    bandwidth = spread([h.speech.bandwidth for h in sounds])
    text = f"{bandwidth['least']:,.0f} to {bandwidth['most']:,.0f} Hz, half of them up to {bandwidth['median']:,.0f} Hz"
    inspection.add("bandwidth", bandwidth, f"{text} (what is 70 dB below the strongest frequency left out)")
    silence = median(h.speech.silence for h in sounds)
    inspection.add("silence", silence, f"{silence:.0%} of a recording (median), 40 dB below its loudest 20 ms or more")
    ratios = [h.speech.snr for h in sounds if h.speech.snr < math.inf]
    clean = len(sounds) - len(ratios)
    text = f"{median(ratios):.0f} dB (median), if the quietest tenth of a recording is noise" if ratios else ""
    if ratios and median(ratios) < NOISY:
        text += "; if it is, `multigen train enhance` on clean recordings makes a model that removes it"
    more = f"{clean:,} with pauses of digital silence" if clean else ""
    value = {"median": median(ratios) if ratios else None, "digital_silence": clean}
    inspection.add("signal_to_noise", value, "; ".join(part for part in (text, more) if part))
    if filtered := [h for h in sounds if h.speech.filtered]:
        worst = min(filtered, key=lambda h: h.speech.bandwidth / h.info.rate)
        rate = max(math.ceil(2 * worst.speech.bandwidth / 1_000) * 1_000, RATES[0])
        inspection.warnings.append(
            f"{len(filtered):,} of {len(sounds):,} recordings hold less than their rate can, such as {worst.path}: "
            f"{worst.info.rate} Hz, but nothing above {worst.speech.bandwidth:,.0f} Hz; a --rate of {rate} loses nothing of it"
        )


def _describe_narrow(inspection: Inspection, sounds: Sequence[_Sound], data: str) -> None:
    """Says how recordings of a small bandwidth get what they lack."""
    narrow = [h.speech.bandwidth for h in sounds if h.speech.filtered]
    if median(h.info.seconds for h in sounds) >= SENTENCE:
        narrow += [h.speech.bandwidth for h in sounds if h.info.rate <= TELEPHONE and not h.speech.filtered]
    if not narrow:
        return
    low, high = math.floor(0.9 * min(narrow) / 500) * 500 or 500, math.ceil(max(narrow) / 500) * 500
    rate = ("--rate", str(4 * high)) if high >= 8_000 else ()
    words = ("multigen", "train", "extend", "default", "--data", "WIDE", *rate, "--bandwidth", str(low), str(high))
    use = ("multigen", "restore", data, "--model", "runs/extend", "--out", "wide")
    inspection.warnings.append(
        f"{len(narrow):,} of {len(sounds):,} recordings have a bandwidth of {max(narrow):,.0f} Hz or less; a model can "
        f"add what is above: {' '.join(words)}, where the folder WIDE has recordings with all frequencies, then "
        f"{' '.join(map(shell_word, use))}"
    )


def _describe_speakers(inspection: Inspection, parts: Parts) -> None:
    how, counts = speakers_by_name(path.relative_to(parts.root) for path in parts.train)
    counts = dict(sorted(counts.items()))
    inspection.add(
        "speakers", counts, f"{len(counts)} by {how}: {listed(counts, 12)}" if counts else "none by the names"
    )


def _quiet_ends(sounds: Sequence[_Sound]) -> float:
    return median(1 - h.kept / h.info.seconds for h in sounds)


def _all(counts: dict[str, int]) -> str:
    return f"all {next(iter(counts))}" if len(counts) == 1 else listed(counts)


def _kind(subtype: str) -> str:
    """PCM_16 as "16 bits"; others as libsndfile calls them."""
    return (
        f"{subtype.removeprefix('PCM_')} bits"
        if subtype.startswith("PCM_") and subtype[4:].isdigit()
        else subtype.lower()
    )


def _suggest(inspection: Inspection, parts: Parts, labels: Labels, sounds: Sequence[_Sound]) -> None:
    rate = min(max(Counter(h.info.rate for h in sounds).most_common(1)[0][0], RATES[0]), RATES[1])
    trim = _quiet_ends(sounds) >= QUIET_ENDS
    seconds = [h.kept if trim else h.info.seconds for h in sounds]
    most = quantiles(seconds, n=10)[-1] if len(seconds) > 1 else seconds[0]
    length = min(max(1 << (math.ceil(most * rate) - 1).bit_length(), LENGTHS[0]), LENGTHS[1])
    long = median(seconds) * rate >= 2 * length
    bad = {path for path, _ in inspection.unreadable}
    train = [h for h in sounds if h.path in {*parts.train} - bad]
    items = sum(max(1, round(h.info.seconds * rate / length)) for h in train) if long else len(train)
    if items < (2 if parts.test else 4):
        inspection.warnings.append(
            f"{counted(items, 'sounds')} of {length / rate:.1f} s in it, expected at least 4, two of them to "
            "test with; add recordings"
        )
        return
    options = ("--rate", str(rate), "--length", str(length), *(("--cut", "random") if long else ()))
    options += (*(("--trim",) if trim else ()), *labels.options, *(("--skip-bad",) if bad else ()))
    conditional = ("--conditional",) if labels.learnable else ()
    batch = batch_for(items * 4 // 5)
    reason = f"{length} samples at {rate} Hz are {length / rate:.2f} s, "
    if long:
        reason += (
            f"of recordings whose half is longer than {median(seconds):.1f} s: windows at random places (--cut onsets "
        )
        reason += "takes single notes or beats)"
    else:
        over = sum(s * rate > length for s in seconds)
        reason += f"which hold {len(seconds) - over:,} of {len(seconds):,} recordings whole" + (
            " once trimmed" if trim else ""
        )
    inspection.suggestions = [Suggestion("wavegan", "default", (*options, *conditional, *batch), reason)]
    if labels.guess:
        way, number = labels.guess
        options += ("--labels", way, "--conditional", *batch)
        why = f"the same with {number} classes by the names of the files"
        inspection.suggestions.append(Suggestion("wavegan", "default", options, why))
    speech = any(fact.name == "speakers" and fact.value for fact in inspection.facts)
    if speech and rate == RATES[1] and median(seconds) >= SENTENCE:
        skip = ("--skip-bad",) if bad else ()
        inspection.suggestions += [Suggestion(method, "default", skip, why) for method, why in SPEECH.items()]
