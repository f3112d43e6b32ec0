"""Splits of recordings: the drum machine, folders, cutting, random windows, what is held out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from multigen.audio.datasets import CUTS, SliceSource, SoundSet, open_sounds
from multigen.audio.drums import CLASSES, drums
from multigen.audio.files import read_sound, resample
from multigen.audio.recordings import DRUMS
from multigen.data.datasets import pick, split_off, split_off_classes
from multigen.engine import Rows, TensorSource
from tests.audio.recordings import RATE, SCALE, Config, Settings, open_splits, ramp, ramps, sine, write


def rows(indices: list[int], name: int = 0) -> Rows:
    return Rows(np.array(indices), 0, (name,))


def drawn(source: TensorSource, times: int) -> Tensor:
    """Windows (times * N, length), each item drawn so often."""
    return torch.cat([source.batch(rows([*range(len(source))], n))["sound"][:, 0] for n in range(times)])


def unpadded(windows: Tensor) -> set[int]:
    """Which samples of `ramps` are in the windows."""
    return set((windows[windows > 0] * SCALE).round().int().tolist())


# ---------------------------------------------------------------------------------------------------- reading


def test_the_drum_machine_is_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [count for count, _ in DRUMS.values()] == [4000, 1000] and len({seed for _, seed in DRUMS.values()}) == 2
    monkeypatch.setitem(DRUMS, "train", (20, DRUMS["train"][1]))
    monkeypatch.setitem(DRUMS, "test", (9, DRUMS["test"][1]))
    train, test = (open_sounds("drums", RATE, 512, split=split) for split in ("train", "test"))
    expected, labels = drums(20, 512, RATE, 0)
    assert torch.equal(train.items, expected) and train.labels is not None and torch.equal(train.labels, labels)
    assert train.classes == test.classes == CLASSES and (train.rate, len(test)) == (RATE, 9)
    assert train.names[17] == "drums/17" and not {*train.names} & {*test.names}
    assert not torch.equal(train.items[:9], test.items)
    assert open_sounds("drums", RATE, 512, labels="none").labels is None


def test_long_recordings_are_cut_and_short_ones_faded_and_padded(tmp_path: Path) -> None:
    write(tmp_path / "long" / "deep" / "a.wav", sine(150))
    write(tmp_path / "short" / "b.wav", torch.full((60,), 0.5))
    write(tmp_path / ".hidden" / "c.wav", sine(100))
    sounds = open_sounds(str(tmp_path), RATE, 100)
    assert sounds.items.shape == (2, 1, 100) and sounds.items.dtype == torch.float32 and sounds.rate == RATE
    assert sounds.names == ("long/deep/a.wav", "short/b.wav") and sounds.classes == ("long", "short")
    assert torch.equal(sounds.items[0, 0], sine(150)[:100])
    fade = 0.5 * torch.arange(15, -1, -1) / 16  # 2 ms
    assert torch.equal(sounds.items[1, 0], torch.cat([torch.full((44,), 0.5), fade, torch.zeros(40)]))
    batch = sounds.to_source().batch(rows([1, 0]))
    assert torch.equal(batch["sound"], sounds.items.flip(0)) and batch["label"].tolist() == [1, 0]


def test_a_recording_as_long_as_asked_stays_as_it_is(tmp_path: Path) -> None:
    data = ramps(tmp_path, [50, 50])
    assert torch.equal(open_sounds(data, RATE, 50).items.flatten(), ramp(100))


def test_other_rates_and_channels_are_adapted_and_reported_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(3):
        write(tmp_path / f"{i}.wav", torch.stack([sine(400), sine(400, 1000)]), 16000)
    write(tmp_path / "3.wav", sine(200))
    sounds = open_sounds(str(tmp_path), RATE, 200)
    assert torch.equal(sounds.items[0, 0], resample((sine(400) + sine(400, 1000)) / 2, 16000, RATE))
    assert torch.equal(sounds.items[3, 0], sine(200))
    message = ["3 recordings resampled from 16000 Hz to 8000 Hz", "3 recordings of 2 channels averaged to one"]
    assert capsys.readouterr().err.splitlines() == message
    open_sounds(str(write(tmp_path / "one" / "a.wav", sine(200))), RATE, 100, cut="slices")
    assert capsys.readouterr().err == ""


def test_what_is_beyond_full_scale_is_made_less_loud(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import soundfile

    for i, level in enumerate((0.9, 3.0)):
        soundfile.write(tmp_path / f"{i}.wav", sine(100, 2000, level).numpy(), RATE, "FLOAT")
    loud, scaled = open_sounds(str(tmp_path), RATE, 100).items[:, 0]
    assert torch.equal(loud, sine(100, 2000, 0.9)) and scaled.abs().max() == 1
    torch.testing.assert_close(scaled / scaled[0], loud / loud[0])
    assert capsys.readouterr().err == "1 recording with peaks beyond -1..1 made less loud to fit\n"


def test_a_relative_path_may_lie_in_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ramps(tmp_path / "tones", [50, 50])
    monkeypatch.setenv("MULTIGEN_DATA", str(tmp_path))
    sounds = open_sounds("tones", RATE, 50)
    assert sounds.name == "tones" and sounds.names == ("0.wav", "1.wav")


def test_test_files_are_named_by_a_pattern_and_classes_by_the_first_part_of_the_name(tmp_path: Path) -> None:
    for digit in "07":
        for speaker in ("a", "b_c"):
            for i in range(3):
                write(tmp_path / f"{digit}_{speaker}_{i}.wav", sine(64))
    how: Settings = {"labels": "first", "test_files": "*_[0-1].wav"}
    train, test = (open_sounds(str(tmp_path), RATE, 64, split=split, **how) for split in ("train", "test"))
    assert train.names == ("0_a_2.wav", "0_b_c_2.wav", "7_a_2.wav", "7_b_c_2.wav") and len(test) == 8
    assert train.classes == test.classes == ("0", "7") and train.labels is not None
    assert train.labels.tolist() == [0, 0, 1, 1]
    assert open_sounds(str(tmp_path), RATE, 64, labels="name").classes == ("0_a", "0_b_c", "7_a", "7_b_c")
    inside = open_sounds(str(tmp_path.parent), RATE, 64, split="test", test_files=f"{tmp_path.name}/7*")
    assert {name.split("/")[1][0] for name in inside.names} == {"7"}


# ---------------------------------------------------------------------------------------------------- cutting


@pytest.mark.parametrize(
    ("count", "items"), [(30, 1), (100, 1), (149, 1), (150, 2), (200, 2), (249, 2), (250, 3), (300, 3)]
)
def test_slices_follow_each_other_and_the_last_is_at_least_half_full(tmp_path: Path, count: int, items: int) -> None:
    data = ramps(tmp_path, [count, 100])
    sounds = open_sounds(data, RATE, 100, cut="slices")
    assert sounds.names == (*[f"0.wav#{i}" for i in range(items)], "1.wav#0")
    kept = sounds.items[:-1].flatten()
    expected = torch.nn.functional.pad(ramp(count), (0, max(0, items * 100 - count)))[: items * 100]
    fade = 16 if count < items * 100 else 0
    end = min(count, items * 100)
    assert torch.equal(kept[: end - fade], expected[: end - fade]) and not kept[end:].any()
    assert (kept[end - fade : end] < expected[end - fade : end]).all()


def test_slices_of_an_odd_length_keep_what_is_half_full(tmp_path: Path) -> None:
    data = ramps(tmp_path, [7, 8])
    assert open_sounds(data, RATE, 5, cut="slices").names == ("0.wav#0", "1.wav#0", "1.wav#1")


@pytest.mark.slow  # numba compiles what librosa needs, once an environment
def test_a_loop_becomes_one_shots(tmp_path: Path) -> None:
    begins = [0, 0.35, 0.6, 1.0, 1.2]  # the first sample is a beat
    loop = torch.zeros(RATE * 3 // 2)
    for i, second in enumerate(begins):
        first = round(second * RATE)
        loop[first : first + 1200] = drums(5, 1200, RATE)[0][i, 0]
    write(tmp_path / "loop.wav", loop)
    sounds = open_sounds(str(tmp_path / "loop.wav"), RATE, 4000, cut="onsets")
    assert sounds.names == tuple(f"loop.wav#{i}" for i in range(5)) and sounds.labels is None
    for i, (second, end) in enumerate(zip(begins, [*begins[1:], 1.5], strict=True)):
        item = sounds.items[i, 0]
        lag = int(item.abs().gt(1e-3).nonzero()[0])  # silence that was kept before the beat
        first = round(second * RATE)
        signals = min(round(end * RATE) - first, 1200) - 400  # the next may be taken to begin 50 ms early
        start = int(loop[first:].abs().gt(1e-3).nonzero()[0]) + first
        assert lag < 0.05 * RATE
        assert torch.equal(item[lag : lag + signals], loop[start : start + signals])


def test_what_has_no_onset_is_taken_from_its_start(tmp_path: Path) -> None:
    for i, count in enumerate((100, 500)):
        write(tmp_path / f"{i}.wav", torch.full((count,), 0.1))
    sounds = open_sounds(str(tmp_path), RATE, 100, cut="onsets")
    assert sounds.names == ("0.wav#0", "1.wav#0") and torch.equal(sounds.items, torch.full((2, 1, 100), 0.1))


def test_trimming_keeps_five_milliseconds(tmp_path: Path) -> None:
    burst = torch.full((200,), 0.5)
    faint = torch.full((300,), 0.004)  # 42 dB below
    for i in range(2):
        write(tmp_path / f"{i}.wav", torch.cat([faint, burst, faint]))
    trimmed = open_sounds(str(tmp_path), RATE, 290, trim=True).items[0, 0]
    assert torch.equal(trimmed[:264], torch.cat([faint[:40], burst, faint[:24]]))  # 16 samples are faded
    assert trimmed[264:].max() < 0.004 and not trimmed[280:].any()
    loud = torch.cat([torch.full((300,), 0.006), burst])  # 38 dB below
    write(tmp_path / "1.wav", loud)
    assert torch.equal(open_sounds(str(tmp_path), RATE, 500, trim=True).items[1, 0, :484], loud[:484])


@pytest.mark.parametrize("level", [0.01, 0.5])
def test_loudness_is_that_of_what_is_not_silent(tmp_path: Path, level: float) -> None:
    write(tmp_path / "0.wav", torch.cat([torch.zeros(8000), sine(4000, 400, level)]))
    spike = torch.cat([torch.tensor([level]), 0.02 * sine(7999, 400, level)])
    write(tmp_path / "1.wav", spike)
    sounds = open_sounds(str(tmp_path), RATE, 12000, normalise=True).items[:, 0]
    assert sounds[0, 8000:11900].square().mean().sqrt().item() == pytest.approx(0.1, rel=0.01)
    assert sounds[1].max().item() == pytest.approx(0.99)  # turned up no further, and of the same shape
    torch.testing.assert_close(sounds[1, :7900] / 0.99, spike[:7900] / level)


# ---------------------------------------------------------------------------------------------------- windows at random


def test_random_windows_lie_in_one_recording_and_reach_all_of_it(tmp_path: Path) -> None:
    data = ramps(tmp_path, [32, 9, 21])
    sounds, slices = (open_sounds(data, RATE, 8, cut=cut) for cut in ("random", "slices"))
    assert torch.equal(sounds.items, slices.items) and sounds.names == slices.names and len(sounds) == 8
    source = sounds.to_source()
    assert isinstance(source, SliceSource) and not isinstance(slices.to_source(), SliceSource) and len(source) == 8
    windows = drawn(source, 200)
    assert windows.shape == (1600, 8)
    firsts = (windows[:, 0] * SCALE).round().int()
    assert torch.equal(windows, (firsts[:, None] + torch.arange(8)) / SCALE)  # no seam between two recordings
    assert set(firsts.tolist()) == {*range(1, 26), 33, 34, *range(42, 56)}
    counts = firsts[firsts < 26].bincount(minlength=26)[1:]  # four items of the first recording, 25 places
    assert counts.sum() == 800 and counts.min() > 10 and counts.max() < 60


def test_a_window_depends_on_its_row_alone(tmp_path: Path) -> None:
    for name in ("a", "b"):
        ramps(tmp_path / name, [4000])
    sounds = open_sounds(str(tmp_path), RATE, 100, cut="random")
    source = sounds.to_source()
    whole = source.batch(rows([3, 50, 7, 8]))
    part = source.batch(Rows(np.array([7, 8]), 2, (0,)))
    assert torch.equal(whole["sound"][2:], part["sound"]) and whole["label"].tolist() == [0, 1, 0, 0]
    assert torch.equal(whole["sound"], source.batch(rows([3, 50, 7, 8]))["sound"])
    assert not torch.equal(whole["sound"], source.batch(rows([3, 50, 7, 8], 1))["sound"])


def test_short_recordings_are_padded_at_random_too(tmp_path: Path) -> None:
    data = ramps(tmp_path, [30, 100])
    sounds = open_sounds(data, RATE, 50, cut="random")
    assert torch.equal(sounds.to_source().batch(rows([0]))["sound"], sounds.items[:1])


def test_windows_of_a_subset_hold_nothing_of_the_rest(tmp_path: Path) -> None:
    sounds = open_sounds(ramps(tmp_path, [100, 44]), RATE, 10, cut="random")
    part = sounds.subset([7, 2, 3, 4, 12])
    assert part.names == ("0.wav#7", "0.wav#2", "0.wav#3", "0.wav#4", "1.wav#2")
    assert unpadded(drawn(part.to_source(), 100)) == {*range(71, 81), *range(21, 51), *range(121, 131)}
    again = part.subset([1, 3, 1])
    assert unpadded(drawn(again.to_source(), 50)) == {*range(21, 31), *range(41, 51)}
    assert unpadded(drawn(sounds.subset([13, 9]).to_source(), 50)) == {*range(91, 101), *range(131, 145)}


# ---------------------------------------------------------------------------------------------------- holding out


@pytest.mark.parametrize("cut", CUTS[2:])
@pytest.mark.parametrize("count", [2, 9, 20])
def test_recordings_are_held_out_whole(tmp_path: Path, cut: str, count: int) -> None:
    sounds = open_sounds(ramps(tmp_path, [50, 40, 30, 70, 20, 60]), RATE, 10, cut=cut)
    rest, held = split_off(sounds, count)
    assert not {*rest.origins()} & {*held.origins()} and len(rest) + len(held) == len(sounds) == 27
    assert count <= len(held) < count + 7
    assert {*held.origins()} <= {*split_off(sounds, 21)[1].origins()}
    if cut == "random":
        assert not unpadded(drawn(rest.to_source(), 30)) & unpadded(held.items)


def test_of_two_recordings_one_stays(tmp_path: Path) -> None:
    sounds = open_sounds(ramps(tmp_path, [50, 50]), RATE, 10, cut="slices")
    rest, held = split_off(sounds, 9)
    assert (len({*rest.origins()}), len({*held.origins()}), len(held)) == (1, 1, 5)


def test_a_single_recording_is_divided_by_slices_that_share_no_sample(tmp_path: Path) -> None:
    sounds = open_sounds(f"{ramps(tmp_path, [203])}/0.wav", RATE, 10, cut="random")
    rest, held = split_off(sounds, 4)
    assert (len(rest), len(held)) == (16, 4)
    assert not unpadded(drawn(rest.to_source(), 60)) & unpadded(held.items)


def test_recordings_held_out_are_of_each_class_in_its_share(tmp_path: Path) -> None:
    for name, count in (("a", 20), ("b", 10)):
        for i in range(count):
            write(tmp_path / name / f"{i}.wav", sine(20 + 10 * (i % 2)))
    sounds = open_sounds(str(tmp_path), RATE, 10, cut="slices")
    held = split_off(sounds, 15)[1].labels
    assert len(sounds) == 75 and held is not None
    shares = held.bincount()
    assert 15 <= len(held) <= 17 and 8 <= shares[0] <= 12 and 4 <= shares[1] <= 7
    rest, voice = split_off_classes(sounds, 1)
    assert not {*rest.origins()} & {*voice.origins()} and len({*voice.origins()}) in (10, 20)


def test_what_is_picked_is_of_the_number_asked(tmp_path: Path) -> None:
    sounds = open_sounds(ramps(tmp_path, [500, 400]), RATE, 10, cut="slices")
    assert len(pick(sounds, 7)) == 7 and pick(sounds, 90) is sounds


def test_a_name_with_a_hash_is_no_slice() -> None:
    sounds = SoundSet("made", torch.zeros(3, 1, 2), None, (), ("a#1.wav", "a#1.wav#2", "drums/1"))
    assert sounds.origins() == ("a#1.wav", "a#1.wav", "drums/1")


def test_a_configuration_has_three_sets(tmp_path: Path) -> None:
    data = ramps(tmp_path, [20] * 30)
    sets = open_splits(Config(data, test_files="[0-4].wav", validation_size=2))
    assert sets.validation is not None and (len(sets.train), len(sets.validation), len(sets.test)) == (23, 2, 5)
    cut = open_splits(Config(data, cut="random", validation_size=4))
    assert cut.validation is not None and (len(cut.train), len(cut.validation), len(cut.test)) == (50, 4, 6)
    signals = unpadded(drawn(cut.train.to_source(), 20))
    assert len(signals) == 500 and not signals & unpadded(torch.cat([cut.validation.items, cut.test.items]))
    ramps(tmp_path / "other", [20, 20])
    assert open_splits(Config(data, test=f"{data}/other")).test.names == ("0.wav", "1.wav")


def test_settings_reach_the_recordings(tmp_path: Path) -> None:
    for i in range(8):
        write(tmp_path / f"{i}.wav", torch.cat([torch.zeros(400), sine(800, level=0.01)]))
    settings: tuple[Settings, Settings] = ({}, {"trim": True, "normalise": True})
    plain, shaped = (open_splits(Config(str(tmp_path), length=400, **how)) for how in settings)
    assert not plain.train.items.any()
    assert shaped.test.items[0, 0, 40:].square().mean().sqrt().item() == pytest.approx(0.1, rel=0.05)


# ---------------------------------------------------------------------------------------------------- real recordings


@pytest.mark.data
def test_spoken_digits(data_root: Path) -> None:
    how: Settings = {"labels": "first", "test_files": "*_[0-4].flac"}
    data = str(data_root / "audio" / "spoken_digits")
    train, test = (open_sounds(data, 8000, 8192, split=split, **how) for split in ("train", "test"))
    assert (len(train), len(test)) == (2700, 300) and train.classes == test.classes == tuple("0123456789")
    assert train.labels is not None and train.labels.bincount().tolist() == [270] * 10
    assert train.items.shape[1:] == (1, 8192) and train.items[:].abs().max() <= 1


@pytest.mark.data
def test_one_shots_of_drum_kits(data_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = data_root / "audio" / "drums"
    sounds = open_sounds(str(folder), 8000, 8192)
    assert len(sounds) == 270 and sounds.labels is None  # the manifest tells licences, not classes
    assert "270 recordings resampled from 16000 Hz to 8000 Hz" in capsys.readouterr().err
    expected = read_sound(folder / sounds.names[100], 8000)[0]
    assert torch.equal(sounds.items[100], expected / expected.abs().max().clamp(min=1))
