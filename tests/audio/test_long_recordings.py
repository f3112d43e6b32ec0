"""Constant offsets, and recordings so long that they are not held in memory."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from multigen.audio import rates, recordings, sets
from multigen.audio.datasets import CUTS, open_sounds
from multigen.audio.inspection import inspect_sounds
from multigen.audio.levels import offset_of
from multigen.audio.store import Store
from multigen.engine import Rows
from tests.audio.recordings import RATE, ramp, sine, write


def offset_sound(offset: float, seconds: float = 7.0, rate: int = RATE) -> torch.Tensor:
    """A tone between silences, 28.6 % of the recording, all of it moved by a constant."""
    time = torch.arange(round(seconds * rate)) / rate
    sounding = (time >= 0.357 * seconds) & (time < 0.643 * seconds)
    return 0.2 * torch.sin(2 * torch.pi * 440 * time) * sounding + offset


@pytest.mark.parametrize("rate", [RATE, 16_000])
def test_an_offset_is_removed_before_anything_is_decided(
    rate: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for i, offset in enumerate((0.0, 0.3)):
        for j in range(2):
            write(tmp_path / str(i) / f"{j}.wav", offset_sound(offset, rate=rate), rate)
    settings: dict = {"labels": "none", "trim": True, "normalise": True}
    plain = open_sounds(str(tmp_path / "0"), RATE, 7 * RATE, **settings).items
    assert "offset" not in capfd.readouterr().err
    moved = open_sounds(str(tmp_path / "1"), RATE, 7 * RATE, **settings).items
    assert "2 recordings with a constant offset of up to 0.3 of full scale, which is removed" in capfd.readouterr().err
    torch.testing.assert_close(moved, plain, rtol=0, atol=1e-4)
    kept = int(moved[0, 0].nonzero()[-1]) / (7 * RATE)
    assert kept == pytest.approx(0.286, abs=0.01)
    assert moved[0, 0, 800:12_000].square().mean().sqrt() == pytest.approx(0.1, abs=0.003)
    facts = {fact.name: fact for fact in inspect_sounds(str(tmp_path)).facts}
    assert sorted(facts["offsets"].value.values()) == pytest.approx([0.3, 0.3])
    assert "2, the most +0.300 in" in facts["offsets"].text and "71% of a recording" in facts["quiet_ends"].text


def test_low_tones_and_pulses_have_no_offset(tmp_path: Path) -> None:
    time = torch.arange(RATE) / RATE
    low, decay = torch.sin(2 * torch.pi * 3 * time) / 2, torch.exp(-9 * time) / 2
    for i, sound in enumerate((low, decay, ramp(300), sine(4000))):
        write(tmp_path / f"{i}.wav", sound)
        held = Store()
        held.append(sound[None].float())
        assert offset_of(held, RATE) == 0, i


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("channels", [1, 2])
def test_a_set_on_disk_is_the_set_in_memory(
    cut: str, channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(3):
        write(tmp_path / "data" / f"{i}.wav", torch.stack([sine(3000 + 700 * i), sine(3000 + 700 * i, 300)]))
    settings: dict = {"cut": cut, "trim": True, "channels": channels}
    small = open_sounds(str(tmp_path / "data"), RATE, 512, **settings)
    monkeypatch.setenv("MULTIGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(recordings, "MEMORY", 1)
    monkeypatch.setattr(sets, "FEW", 1)
    large = open_sounds(str(tmp_path / "data"), RATE, 512, **settings)
    assert isinstance(large.items, sets.Windows) and large.items.shape == small.items.shape
    assert torch.equal(large.items[:], small.items) and large.fingerprint() == small.fingerprint()
    some = [2, 0]
    assert large.subset(some).names == small.subset(some).names
    assert torch.equal(large.subset(some).items[:], small.subset(some).items)
    batches = [set_.to_source().batch(Rows(np.array([0, 2, 1]), 0, ("rows", 1)))["sound"] for set_ in (small, large)]
    assert torch.equal(*batches)
    assert list((tmp_path / "cache").iterdir()) == []  # it has no name there


def test_resampling_in_blocks_is_that_of_the_whole() -> None:
    sound = torch.randn(2, 200_000, generator=torch.Generator().manual_seed(0)) / 4
    for before, after in ((44_100, 16_000), (8000, 22_050), (16_000, 16_000)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rates, "PIECE", 20_000)
            result = torch.cat(list(rates.resampled(sound.split(7000, 1), before, after)), 1)
        torch.testing.assert_close(result, rates.resample(sound, before, after), rtol=0, atol=1e-5)


def test_rates_without_a_common_divisor_are_resampled_as_others_are() -> None:
    """By filters that are computed as they are needed, of which all together would be a
    gigabyte."""
    sound = torch.randn(2, 9_000, generator=torch.Generator().manual_seed(0)) / 4
    for before, after in ((997, 809), (809, 997), (3_001, 100)):
        kept = rates.resample(sound, before, after)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rates, "KEPT", 50_000)
            made = rates.resample(sound, before, after)
            patch.setattr(rates, "PIECE", 1_000)
            parts = torch.cat(list(rates.resampled(sound.split(1_700, 1), before, after)), 1)
        assert made.shape == kept.shape
        torch.testing.assert_close(made, kept, rtol=0, atol=2e-4)  # torchaudio's phases are of float32
        torch.testing.assert_close(parts, made, rtol=0, atol=1e-5)
    before, after = 11_003, 11_999
    assert before * after > rates.KEPT
    tone = torch.sin(torch.arange(before) * (2 * torch.pi * 440 / before))
    made = rates.resample(tone, before, after)
    true = torch.sin(torch.arange(after) * (2 * torch.pi * 440 / after))
    assert made.shape == true.shape and (made - true)[500:-500].abs().max() < 1e-3


@pytest.mark.slow
def test_an_hour_takes_little_memory(tmp_path: Path) -> None:
    """44.1 kHz, stereo: 635 MB, of which the peak over what imports take is at most 500 MB, in
    `inspect` and in training with its evaluation."""
    with soundfile.SoundFile(tmp_path / "hour.wav", "w", 44_100, 2, "PCM_16") as file:
        minute = np.random.default_rng(0).normal(size=(60 * 44_100, 2)) * np.sin(np.arange(60 * 44_100) / 9000)[:, None]
        for _ in range(60):
            file.write(minute / 9)
    work = (
        "import resource, sys, torch, torch._dynamo, torchaudio, librosa, soundfile\n"
        "import multigen.audio.synthesis.wavegan, multigen.audio.inspection as i\n"
        "from multigen.cli import main\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "before = peak()\n"
        "i.inspect_sounds(sys.argv[5])\n"
        "print(peak() - before)\n"
        "try: main()\n"
        "finally: print(peak() - before)"
    )
    train = ["train", "wavegan", "tiny", "--data", tmp_path / "hour.wav", "--out", tmp_path / "run", "--rate", "44100"]
    few = ["--length", "16384", "--cut", "random", "--steps", "3", "--samples", "40", "--validation-size", "40"]
    done = subprocess.run(
        [sys.executable, "-c", work, *train, *few, "--trim", "--normalise"],
        capture_output=True, text=True, check=True, env={**os.environ, "MULTIGEN_CACHE": str(tmp_path / "cache")},
    )  # fmt: skip
    inspected, trained = int(done.stdout.splitlines()[0]), int(done.stdout.splitlines()[-1])
    assert inspected < 300 and trained < 500
