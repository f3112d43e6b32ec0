import math
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from multigen.audio.files import AUDIO, Info, read_info, read_sound, resample, write_blocks, write_sound
from multigen.errors import ConfigError, DataError


def noise(*shape: int, seed: int = 0, scale: float = 0.1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def sine(hertz: float, rate: int, seconds: float = 1.0) -> Tensor:
    at = torch.arange(round(rate * seconds), dtype=torch.float64) / rate
    return torch.sin(2 * math.pi * hertz * at + 0.3)


def save(path: Path, samples: Tensor, rate: int = 8000, subtype: str = "PCM_16") -> Path:
    """Writes (T, C) by soundfile itself."""
    kind = {".aif": "AIFF", ".opus": "OGG"}.get(path.suffix, path.suffix[1:].upper())
    soundfile.write(path, samples.numpy(), rate, subtype, format=kind)
    return path


# ---------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize(
    ("suffix", "subtype", "error"),
    [
        (".wav", "PCM_16", 2**-15), (".wav", "PCM_24", 2**-23), (".wav", "PCM_U8", 2**-7), (".wav", "FLOAT", 0),
        (".flac", "PCM_16", 2**-15), (".flac", "PCM_24", 2**-23), (".aif", "PCM_16", 2**-15),
    ],
)  # fmt: skip
def test_reads_what_was_written(tmp_path: Path, suffix: str, subtype: str, error: float) -> None:
    samples = noise(3000, 2)
    path = save(tmp_path / f"a{suffix}", samples, 22050, subtype)
    assert read_info(path) == Info(22050, 2, 3000, subtype)
    assert read_info(str(path)).seconds == 3000 / 22050
    sound, rate = read_sound(path, mono=False)
    assert (sound.shape, sound.dtype, rate) == ((2, 3000), torch.float32, 22050)
    assert sound.is_contiguous()
    torch.testing.assert_close(sound, samples.T, rtol=0, atol=error)
    mono, _ = read_sound(path)
    torch.testing.assert_close(mono, sound.mean(0, keepdim=True))


@pytest.mark.parametrize(("suffix", "subtype"), [(".ogg", "VORBIS"), (".opus", "OPUS"), (".mp3", "MPEG_LAYER_III")])
def test_reads_what_loses_by_compression(tmp_path: Path, suffix: str, subtype: str) -> None:
    samples = torch.stack([sine(440, 48000, 0.3), sine(1000, 48000, 0.3)], 1).float() * 0.3
    path = save(tmp_path / f"a{suffix}", samples, 48000, subtype)
    assert read_info(path) == Info(48000, 2, 14400, subtype)
    sound, _ = read_sound(path, mono=False)
    assert (sound - samples.T)[:, 500:-500].abs().max() < 0.05
    part, _ = read_sound(path, mono=False, start=6000, frames=2000)
    torch.testing.assert_close(part, sound[:, 6000:8000], rtol=0, atol=1e-4)
    # By libsndfile's seek alone the part of the .mp3 is silence.


def test_every_suffix_is_tested() -> None:
    here, in_decoding = ".aif .aiff .flac .mp3 .ogg .opus .wav", ".aifc .au .bw64 .caf .oga .rf64 .snd .w64"
    assert set(AUDIO.suffixes) == {*here.split(), *in_decoding.split()}


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_reads_parts(tmp_path: Path, suffix: str) -> None:
    path = save(tmp_path / f"a{suffix}", noise(9000, 2))
    whole, _ = read_sound(path)
    for start, frames in ((0, 10), (4097, 903), (8999, 1)):
        assert torch.equal(read_sound(path, start=start, frames=frames)[0], whole[:, start : start + frames])
    assert torch.equal(read_sound(path, start=8000)[0], whole[:, 8000:])
    for start, frames in ((-1, 5), (0, 0), (8990, 11), (9000, -1)):
        with pytest.raises(DataError, match=rf"a{suffix}: frames {start} to .* expected some of 0 to 9000.*--skip-bad"):
            read_sound(path, start=start, frames=frames)


def test_only_the_part_is_decoded(tmp_path: Path) -> None:
    samples = noise(9000, 1)
    samples[7000] = torch.nan
    path = save(tmp_path / "a.wav", samples, subtype="FLOAT")
    torch.testing.assert_close(read_sound(path, start=100, frames=6000)[0], samples[100:6100].T)


def test_floats_beyond_full_scale_stay(tmp_path: Path) -> None:
    path = save(tmp_path / "a.wav", torch.tensor([[0.5], [-3.0], [7.25]]), subtype="FLOAT")
    assert read_sound(path)[0].tolist() == [[0.5, -3.0, 7.25]]


def test_reads_at_another_rate(tmp_path: Path) -> None:
    path = save(tmp_path / "a.wav", noise(1001, 2))
    whole, _ = read_sound(path, mono=False)
    sound, rate = read_sound(path, 16000, mono=False)
    assert rate == 16000
    assert torch.equal(sound, resample(whole, 8000, 16000))
    assert read_sound(path, 8000)[1] == 8000
    with pytest.raises(ConfigError, match="to -5 Hz"):
        read_sound(path, -5)


# ---------------------------------------------------------------------------------------------------- bad files


def test_no_file_at_all(tmp_path: Path) -> None:
    (tmp_path / "folder.wav").mkdir()
    for read in (read_info, read_sound):
        with pytest.raises(DataError, match=r"none.wav: there is no such file; expected a sound file;.*--skip-bad"):
            read(tmp_path / "none.wav")
        with pytest.raises(DataError, match=r"folder.wav: this is a folder; expected a sound file;.*--skip-bad"):
            read(tmp_path / "folder.wav")


@pytest.mark.parametrize("suffix", [*AUDIO.suffixes, ".raw", ".txt"])
@pytest.mark.parametrize("content", [b"", b"no sound, but words. " * 30])
def test_what_is_no_sound(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    for read in (read_info, read_sound):
        with pytest.raises(
            DataError, match=rf"a{suffix}: expected .* cannot be decoded \(\w.*\); .*--skip-bad"
        ) as caught:
            read(path)
        assert "regular file" not in str(caught.value)


@pytest.mark.parametrize("keep", [0.999, 0.9, 0.5])
@pytest.mark.parametrize(
    ("suffix", "subtype"),
    [
        (".wav", "PCM_16"), (".wav", "FLOAT"), (".aif", "PCM_16"), (".flac", "PCM_16"), (".ogg", "VORBIS"),
        (".opus", "OPUS"), (".mp3", "MPEG_LAYER_III"),
    ],
)  # fmt: skip
def test_files_that_were_cut_off(tmp_path: Path, suffix: str, subtype: str, keep: float) -> None:
    path = save(tmp_path / f"a{suffix}", noise(20000, 2), 16000, subtype)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(DataError, match=rf"a{suffix}: expected a whole sound file, but it .*--skip-bad"):
        read_sound(path)
    if suffix in (".wav", ".aif", ".ogg", ".opus"):  # the others only decoding tells
        with pytest.raises(DataError, match=rf"a{suffix}: "):
            read_info(path)


def test_bytes_after_the_samples_and_sizes_that_are_not_known_yet_are_no_fault(tmp_path: Path) -> None:
    samples = noise(500, 1)
    path = save(tmp_path / "a.wav", samples)
    content = path.read_bytes()
    data = content.index(b"data")
    for name, altered in {
        "odd": content[:36] + b"note\x03\0\0\0abc\0" + content[36:] + b"rest",
        "pipe": content[: data + 4] + b"\xff" * 4 + content[data + 8 :],
    }.items():
        (tmp_path / f"{name}.wav").write_bytes(altered)
        torch.testing.assert_close(read_sound(tmp_path / f"{name}.wav")[0][:, :500], samples.T, rtol=0, atol=2**-15)
    (tmp_path / "odd.wav").write_bytes((tmp_path / "odd.wav").read_bytes()[:-50])
    with pytest.raises(DataError, match=r"odd.wav: .* was cut off after about \d+ frames"):
        read_info(tmp_path / "odd.wav")


def test_an_empty_last_page_ends_an_ogg(tmp_path: Path) -> None:
    path = save(tmp_path / "a.ogg", noise(9000, 1), subtype="VORBIS")
    content = path.read_bytes()
    last = content.rindex(b"OggS")
    path.write_bytes(content + content[last : last + 22] + b"\0" * 5)  # libsndfile passes over its wrong checksum
    assert read_info(path).frames == 9000
    path.write_bytes(content + content[last : last + 20])
    with pytest.raises(DataError, match=r"a.ogg: .* was cut off"):
        read_info(path)


def test_damaged_in_the_middle(tmp_path: Path) -> None:
    path = save(tmp_path / "a.flac", noise(20000, 1))
    content = bytearray(path.read_bytes())
    content[15000:15100] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a.flac: .* cannot be decoded .*--skip-bad"):
        read_sound(path)


def test_no_frames_or_too_many(tmp_path: Path) -> None:
    path = save(tmp_path / "a.wav", torch.zeros(0, 1))
    for read in (read_info, read_sound):
        with pytest.raises(DataError, match=r"a.wav: .* promises 0 frames;.*--skip-bad"):
            read(path)
    path = save(tmp_path / "a.flac", noise(100, 1))
    content = bytearray(path.read_bytes())
    content[21], content[22:26] = content[21] | 0x0F, b"\xff" * 4  # the 36 bits of the number of samples
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"a.flac: .* promises {2**36 - 1} frames"):
        read_sound(path)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_samples_that_are_no_numbers(tmp_path: Path, value: float) -> None:
    samples = noise(50, 2)
    samples[7, 1] = value
    path = save(tmp_path / "a.wav", samples, subtype="FLOAT")
    with pytest.raises(DataError, match=r"a.wav: .* 1 of its samples are NaN or infinite;.*--skip-bad"):
        read_sound(path)


def test_silence_is_a_sound(tmp_path: Path) -> None:
    assert read_sound(save(tmp_path / "a.wav", torch.zeros(9, 1)))[0].abs().sum() == 0


# ---------------------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize(
    ("name", "subtype", "bits"),
    [("a.wav", "PCM_16", 16), ("a.FLAC", "PCM_16", 16), ("a.wav", "PCM_24", 24), ("a.flac", "PCM_24", 24)],
)
def test_multiples_of_the_step_come_back_exactly(tmp_path: Path, name: str, subtype: str, bits: int) -> None:
    step = 2.0 ** (1 - bits)
    sound = torch.arange(-(2**15), 2**15).mul(2 ** (bits - 16)).mul(step).view(2, -1)
    write_sound(tmp_path / name, sound, 8000, subtype)
    assert read_info(tmp_path / name).subtype == subtype
    assert torch.equal(read_sound(tmp_path / name, mono=False)[0], sound)
    between = torch.tensor([0.4, 0.6, -0.4, -0.6, 1.4, 2.6, -7.7])
    write_sound(tmp_path / name, between * step, 8000, subtype)
    assert torch.equal(read_sound(tmp_path / name)[0][0], between.round() * step)


def test_other_kinds(tmp_path: Path) -> None:
    sound = torch.stack([sine(440, 16000), sine(1000, 16000)]).float() * 0.3
    for name in ("a.ogg", "a.mp3"):
        write_sound(tmp_path / name, sound, 16000, comment="made by é")
        back, rate = read_sound(tmp_path / name, mono=False)
        assert (back.shape, rate) == ((2, 16000), 16000)
        assert (back - sound)[:, 500:-500].abs().max() < 0.05
    write_sound(tmp_path / "a.wav", sound, 16000, "FLOAT", comment="made by é")
    assert torch.equal(read_sound(tmp_path / "a.wav", mono=False)[0], sound)
    write_sound(tmp_path / "a.flac", sound[0].bfloat16(), 16000, comment="made by é")
    for name in ("a.ogg", "a.mp3", "a.wav", "a.flac"):
        with soundfile.SoundFile(tmp_path / name) as file:
            assert file.comment == "made by é"
    assert sorted(os.listdir(tmp_path)) == ["a.flac", "a.mp3", "a.ogg", "a.wav"]


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3", "a.flac"])
def test_writes_what_takes_several_blocks(tmp_path: Path, name: str) -> None:
    sound = (sine(440, 16000, 10) * 0.3).float()[None]  # of 160,000 frames
    write_sound(tmp_path / name, sound, 16000)
    assert (read_sound(tmp_path / name)[0] - sound)[:, 500:-500].abs().max() < 0.03


def test_clipping_is_reported(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_sound(tmp_path / "a.wav", torch.tensor([1.0, -1.0, 0.25]), 8000)
    assert capfd.readouterr().err == ""
    write_sound(tmp_path / "a.wav", torch.tensor([1.25, -1.5, 0.25, 1.0]), 8000)
    assert capfd.readouterr().err == f"{tmp_path}/a.wav: 2 of 4 samples beyond -1..1 (peak 1.5) were clipped\n"
    assert read_sound(tmp_path / "a.wav")[0].tolist() == [[1 - 2**-15, -1.0, 0.25, 1 - 2**-15]]


@pytest.mark.parametrize("sound", [torch.tensor([0.1, torch.nan]), torch.tensor([torch.inf]), torch.zeros(2, 0),
                                   torch.zeros(1, 2, 3)])  # fmt: skip
def test_sounds_that_cannot_be_written(tmp_path: Path, sound: Tensor) -> None:
    with pytest.raises(DataError, match=r"a.wav: a sound of shape \(.* expected \(T,\) or \(C, T\)"):
        write_sound(tmp_path / "a.wav", sound, 8000)
    assert os.listdir(tmp_path) == []


def test_settings_that_cannot_be_written(tmp_path: Path) -> None:
    for name, shape, rate, subtype, message in (
        ("a.txt", (9,), 8000, "PCM_16", "suffix '.txt', expected one of .flac .mp3 .ogg .wav"),
        ("a.flac", (9,), 8000, "FLOAT", "1 channels of FLOAT in FLAC, expected at most 8 of PCM_16 or PCM_24"),
        ("a.mp3", (3, 9), 8000, "PCM_16", "3 channels of MPEG_LAYER_III in MP3, expected at most 2"),
        ("a.ogg", (9, 4), 8000, "PCM_16", "9 channels of VORBIS"),
        ("a.mp3", (9,), 17000, "PCM_16", "MP3 at 17000 Hz cannot be encoded .*expected a rate"),
        ("a.wav", (9,), 0, "PCM_16", "WAV at 0 Hz cannot be encoded"),
    ):
        with pytest.raises(ConfigError, match=message):
            write_sound(tmp_path / name, torch.zeros(shape), rate, subtype)
    assert os.listdir(tmp_path) == []


def test_the_disk_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"none/a.wav: cannot be written \(No such file or directory\)"):
        write_sound(tmp_path / "none" / "a.wav", torch.zeros(9), 8000)
    write_sound(tmp_path / "a.wav", torch.zeros(9), 8000)

    def full(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DataError, match=r"a.wav: cannot be written \(No space left on device\).*make room"):
        write_sound(tmp_path / "a.wav", torch.ones(5), 8000)
    assert os.listdir(tmp_path) == ["a.wav"]
    assert read_sound(tmp_path / "a.wav")[0].shape == (1, 9)  # the old one is whole


# ---------------------------------------------------------------------------------------------------- rates


@pytest.mark.parametrize(("before", "after"), [(44100, 16000), (8000, 16000), (16000, 8000), (22050, 16000)])
def test_a_sine_keeps_its_amplitude_and_phase(before: int, after: int) -> None:
    nyquist = min(before, after) / 2
    for hertz in (100, 0.5 * nyquist, 0.95 * nyquist):
        ours = resample(sine(hertz, before), before, after)
        inside = slice(after // 10, -after // 10)
        assert (ours - sine(hertz, after))[inside].abs().max() < 1e-3
    if after < before:
        for hertz in (1.05 * nyquist, 1.3 * nyquist):
            assert resample(sine(hertz, before), before, after)[inside].abs().max() < 1e-3


def test_agrees_with_scipy_on_a_band_of_noise() -> None:
    from scipy import signal

    band = signal.firwin(401, 0.3)  # up to 2,400 Hz of 16 kHz
    sound = signal.lfilter(band, 1, noise(8000, scale=1).double().numpy())
    theirs = signal.resample_poly(sound, 1, 2, window=("kaiser", 12.0))
    ours = resample(torch.from_numpy(sound), 16000, 8000).numpy()
    assert np.abs(ours - theirs)[200:-200].max() < 2e-3 * np.abs(theirs).max()


@pytest.mark.parametrize(("before", "after"), [(2, 3), (44100, 16000), (16000, 44100), (7, 5), (5, 1)])
def test_lengths(before: int, after: int) -> None:
    for shape in ((1,), (2, 1000), (2, 3, 777)):
        sound = noise(*shape).double()
        resampled = resample(sound, before, after)
        assert resampled.shape == (*shape[:-1], math.ceil(shape[-1] * after / before))
        assert resampled.dtype == torch.float64


@pytest.mark.slow
def test_lengths_that_float32_cannot_hold() -> None:
    length = 2**24 + 7
    assert resample(torch.zeros(length), 2, 3).shape == ((length * 3 + 1) // 2,)


def test_equal_rates_give_a_copy_and_any_layout_will_do() -> None:
    sound = noise(2, 50)
    copy = resample(sound, 8000, 8000)
    assert torch.equal(copy, sound)
    assert torch.equal(resample(sound.T, 2, 1), resample(sound.T.contiguous(), 2, 1))
    assert copy.data_ptr() != sound.data_ptr()


def test_gradients() -> None:
    assert torch.autograd.gradcheck(lambda x: resample(x, 3, 2), noise(2, 10).double().requires_grad_())


@pytest.mark.parametrize(("before", "after"), [(0, 8000), (8000, 0), (8000, -1)])
def test_rates_below_one(before: int, after: int) -> None:
    with pytest.raises(ConfigError, match=f"resampling from {before} to {after} Hz, expected rates of at least 1"):
        resample(torch.zeros(5), before, after)


def test_a_wav_that_would_be_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its header has the size in 32 bits; what other programs make of a larger one is noise."""
    monkeypatch.setattr("multigen.audio.files.LARGEST", 3_000)
    blocks = [torch.zeros(1, 1_000), torch.zeros(1, 250)]
    write_blocks(tmp_path / "a.wav", blocks, 8_000, 1)
    write_blocks(tmp_path / "a.flac", blocks, 8_000, 1, source="PCM_24")
    with pytest.raises(
        DataError, match=r"b.wav: more than 3,000 bytes, which a .wav has at most; name the result .flac"
    ):
        write_blocks(tmp_path / "b.wav", blocks, 8_000, 1, source="FLOAT")
    assert not (tmp_path / "b.wav").exists()
