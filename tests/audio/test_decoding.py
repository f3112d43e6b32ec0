"""Sound files of odd kinds, against ffmpeg's reading of the same file: whole, or refused with what
to do."""

import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from multigen.audio.datasets import open_sounds
from multigen.audio.files import read_info, read_sound
from multigen.audio.inspection import inspect_sounds
from multigen.catalogue import formats
from multigen.errors import DataError

RATE = 16_000


def tone(seconds: float, rate: int = RATE, channels: int = 1, hertz: float = 440.0) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return np.stack([0.4 * np.sin(2 * np.pi * hertz * (i + 1) * time) for i in range(channels)], 1).astype(np.float32)


def written(path: Path, kind: str, subtype: str, seconds: float = 0.5, rate: int = RATE, channels: int = 1) -> bytes:
    soundfile.write(path, tone(seconds, rate, channels), rate, subtype, format=kind)
    return path.read_bytes()


def encoded(path: Path, codec: str, kind: str, rate: int = 48_000, seconds: float = 0.5) -> bytes:
    """A file by ffmpeg's encoders."""
    import av

    with av.open(str(path), "w", format=kind) as file:
        stream: Any = file.add_stream(codec, rate=rate, layout="mono")
        if "wma" in codec:  # which have no bit rate of their own
            stream.bit_rate = 64_000
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(tone(seconds, rate).T), "fltp", "mono")
        frame.sample_rate = rate
        for part in av.AudioResampler(stream.codec_context.format, "mono", rate).resample(frame):
            file.mux(stream.encode(part))
        file.mux(stream.encode(None))
    return path.read_bytes()


def by_ffmpeg(path: Path) -> np.ndarray:
    """The first sound of a file, (C, T), as ffmpeg reads it: packets that cannot be decoded are
    left out."""
    import av
    from av.error import InvalidDataError

    result: list[np.ndarray] = []
    resampler = av.AudioResampler("fltp")
    with av.open(str(path)) as file:
        for packet in file.demux(file.streams.audio[0]):
            try:
                frames = packet.decode()
            except InvalidDataError:
                continue
            result += [part.to_ndarray() for frame in frames for part in resampler.resample(frame)]
    return np.concatenate(result, 1)


def put(path: Path, content: bytes | bytearray) -> Path:
    path.write_bytes(content)
    return path


def mp3_without_header(content: bytes) -> bytes:
    """An MP3 without the Xing or Info header, which is a frame of its own."""
    at = content.index(b"\xff\xfb")
    following = content.index(content[at : at + 2], at + 4)
    assert {b"Info", b"Xing"} & {content[i : i + 4] for i in range(at, following)}
    return content[following:]


# ---------------------------------------------------------------------------------------------------- several in one file


@pytest.mark.parametrize(("suffix", "subtype"), [(".ogg", "VORBIS"), (".opus", "OPUS")])
def test_joined_ogg_files_are_read_whole(suffix: str, subtype: str, tmp_path: Path) -> None:
    pytest.importorskip("av")
    one = written(tmp_path / f"a{suffix}", "OGG", subtype)
    alone = read_sound(tmp_path / f"a{suffix}")[0]
    for name, content in {"joined": one + one + one, "junk": one + b"junk" * 9 + one}.items():
        path = put(tmp_path / f"{name}{suffix}", content)
        count = content.count(one)
        sound, rate = read_sound(path)
        assert read_info(path).frames == sound.shape[1] == count * alone.shape[1]
        assert torch.equal(sound, alone.repeat(1, count))
        if name == "joined":  # of junk between Opus files ffmpeg makes silence
            assert abs(sound.shape[1] - by_ffmpeg(path).shape[1]) / rate < 0.1
        torch.testing.assert_close(read_sound(path, start=7000, frames=5000)[0], sound[:, 7000:12000])


def test_links_of_other_rates_and_channels_are_brought_to_the_first(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mono, stereo = (written(tmp_path / f"{n}.ogg", "OGG", "VORBIS", channels=n) for n in (1, 2))
    fast = written(tmp_path / "fast.ogg", "OGG", "VORBIS", rate=48_000)
    sound, rate = read_sound(put(tmp_path / "rates.ogg", mono + fast), mono=False)
    assert (sound.shape, rate) == ((1, 16_000), RATE)
    torch.testing.assert_close(sound[0, 8500:15500], torch.from_numpy(tone(0.5)[500:7500, 0]), rtol=0, atol=0.05)
    assert "rates.ogg: parts of 48000 Hz brought to the 16000 Hz of its first" in capfd.readouterr().err
    assert read_sound(put(tmp_path / "both.ogg", stereo + mono), mono=False)[0].shape == (2, 16_000)
    surround = written(tmp_path / "four.ogg", "OGG", "VORBIS", channels=4)
    with pytest.raises(DataError, match=r"both.ogg: its parts have 2 and 4 channels; expected as many in all"):
        read_sound(put(tmp_path / "both.ogg", stereo + surround), mono=False)
    with pytest.raises(DataError, match=r"cut.ogg: .* was cut off"):
        read_sound(put(tmp_path / "cut.ogg", mono + mono[:-300]))


def test_of_parallel_streams_the_first_is_read_with_a_message(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pages = []
    for i in (1, 2):
        content = written(tmp_path / f"{i}.ogg", "OGG", "VORBIS", seconds=0.5 * i)
        pages.append([b"OggS" + page for page in content.split(b"OggS")[1:]])
    (a, *first), (b, *second) = pages
    path = put(tmp_path / "both.ogg", b"".join([a, b, *(p for pair in zip(first, second, strict=False) for p in pair)]))
    path.write_bytes(path.read_bytes() + b"".join(second[len(first) :]))
    assert torch.equal(read_sound(path)[0], read_sound(tmp_path / "1.ogg")[0])
    assert "both.ogg: 2 streams at once, of which the first sound is read" in capfd.readouterr().err


def test_joined_mp3s_are_read_whole(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("av")
    soundfile.write(tmp_path / "a.mp3", tone(0.5, 44_100), 44_100, format="MP3", bitrate_mode="CONSTANT")
    one = (tmp_path / "a.mp3").read_bytes()
    tag = b"TAG" + bytes(125) + b"ID3\x04\0\0\0\0\x02\x00" + bytes(256)
    bare = mp3_without_header(one)
    for name, content in {
        "joined": one + one,
        "tags": one + tag + one,
        "bare": bare + bare,
        "padded": bare + bytes(5000),
    }.items():
        path = put(tmp_path / f"{name}.mp3", content)
        sound, _ = read_sound(path)
        theirs = by_ffmpeg(path)
        assert read_info(path).frames == sound.shape[1] == theirs.shape[1], name
        assert np.abs(sound.numpy() - theirs).max() < 1e-3, name
    assert read_info(put(tmp_path / "b.mp3", one + bytes(5000))).frames == read_info(tmp_path / "a.mp3").frames
    assert read_info(put(tmp_path / "c.mp3", one + tag[:128])).frames == read_info(tmp_path / "a.mp3").frames
    assert "Xing" not in capfd.readouterr().err  # which libsndfile's decoder would say
    with pytest.raises(DataError, match=r"d.mp3: .* cut off: \d+ of its \d+ MPEG frames are there"):
        read_info(put(tmp_path / "d.mp3", one[: len(one) // 2]))


def test_an_mp3_of_changing_bits_without_a_header_is_read_whole(tmp_path: Path) -> None:
    pytest.importorskip("av")
    loud = np.random.default_rng(0).normal(size=22_050) * 0.2
    sound = np.concatenate([tone(0.5, 44_100)[:, 0], loud, np.zeros(22_050)])
    options: dict[str, Any] = {"bitrate_mode": "VARIABLE", "compression_level": 0.5}
    soundfile.write(tmp_path / "a.mp3", sound, 44_100, "MPEG_LAYER_III", format="MP3", **options)
    content = (tmp_path / "a.mp3").read_bytes()
    at = content.index(b"Xing")
    path = put(tmp_path / "bare.mp3", content[content.index(b"\xff\xfb", at) :])
    assert read_sound(path)[0].shape == by_ffmpeg(path).shape


# ---------------------------------------------------------------------------------------------------- kinds and containers


@pytest.mark.parametrize(
    ("name", "kind", "subtype"),
    [
        *((f"{subtype}.wav", "WAV", subtype) for subtype in ("GSM610", "IMA_ADPCM", "MS_ADPCM", "ULAW", "ALAW", "DOUBLE")),
        ("extensible.wav", "WAVEX", "PCM_24"), ("a.rf64", "RF64", "PCM_16"), ("a.w64", "W64", "PCM_16"),
        ("gsm.w64", "W64", "GSM610"), ("a.au", "AU", "PCM_16"),
        ("a.snd", "AU", "PCM_24"), ("a.oga", "FLAC", "PCM_16"), ("law.aifc", "AIFF", "ULAW"), ("gsm.aifc", "AIFF", "GSM610"),
        ("a.caf", "CAF", "PCM_24"), ("alac.caf", "CAF", "ALAC_16"),
    ],
)  # fmt: skip
def test_what_libsndfile_knows_is_read_as_ffmpeg_reads_it(name: str, kind: str, subtype: str, tmp_path: Path) -> None:
    pytest.importorskip("av")
    path = tmp_path / name
    written(path, kind, subtype, rate=8000)
    sound, rate = read_sound(path)
    theirs = by_ffmpeg(path)
    assert rate == 8000 and read_info(path).frames == sound.shape[1]
    both = min(sound.shape[1], theirs.shape[1])
    assert abs(sound.shape[1] - theirs.shape[1]) <= (4096 if "alac" in name else 0)
    assert np.abs(sound.numpy()[:, :both] - theirs[:, :both]).max() < 2e-3
    torch.testing.assert_close(read_sound(path, start=1001, frames=500)[0], sound[:, 1001:1501], rtol=0, atol=0.03)


@pytest.mark.parametrize(
    ("name", "codec", "kind"),
    [
        ("a.m4a", "aac", "ipod"), ("a.mp4", "aac", "mp4"), ("a.aac", "aac", "adts"), ("alac.m4a", "alac", "ipod"),
        ("a.mka", "libopus", "matroska"), ("a.webm", "libopus", "webm"), ("mp3.wav", "libmp3lame", "wav"),
    ],
)  # fmt: skip
def test_what_ffmpeg_alone_knows_is_read_as_it_reads_it(name: str, codec: str, kind: str, tmp_path: Path) -> None:
    pytest.importorskip("av")
    path = tmp_path / name
    encoded(path, codec, kind)
    sound, rate = read_sound(path)
    theirs = by_ffmpeg(path)
    assert rate == 48_000 and read_info(path).frames == sound.shape[1] == theirs.shape[1]
    assert np.abs(sound.numpy() - theirs).max() < 1e-6
    assert torch.equal(read_sound(path, start=5000, frames=700)[0], sound[:, 5000:5700])


def test_media_are_found_in_folders_and_named_without_pyav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    for i in range(2):
        encoded(tmp_path / f"{i}.m4a", "aac", "ipod", seconds=0.2 + 0.1 * i)
    encoded(tmp_path / "a.webm", "libopus", "webm")
    assert len(open_sounds(str(tmp_path), 16_000, 1024)) == 3
    assert len(inspect_sounds(str(tmp_path)).suggestions) == 0  # of too few
    monkeypatch.setattr(formats, "installed", lambda package: False)
    for act in (lambda: open_sounds(str(tmp_path), 16_000, 1024), lambda: inspect_sounds(str(tmp_path))):
        with pytest.raises(DataError, match=r"2 AAC files left out.*pip install 'multigen\[media\]'.*1 video left out"):
            act()


def test_without_pyav_a_file_is_named_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    encoded(tmp_path / "a.m4a", "aac", "ipod")
    one = written(tmp_path / "a.mp3", "MP3", "MPEG_LAYER_III")
    put(tmp_path / "b.mp3", one + one)
    monkeypatch.setitem(sys.modules, "av", None)
    for name in ("a.m4a", "b.mp3"):
        for read in (read_info, read_sound):
            with pytest.raises(DataError, match=rf"^[^\n]*{name}: .*pip install 'multigen\[media\]'.*--skip-bad$"):
                read(tmp_path / name)


def size_of(content: bytes, value: int) -> bytes:
    """A .wav whose samples have another size in its header."""
    at = content.index(b"data") + 4
    return content[:at] + struct.pack("<I", value) + content[at + 4 :]


STREAMED: dict[str, tuple[str, str, Callable[[bytes], bytes]]] = {
    "size 0.wav": ("WAV", "PCM_16", lambda x: size_of(x, 0)),
    "law of size 0.wav": ("WAV", "ULAW", lambda x: size_of(x, 0)),
    "size -1.wav": ("WAV", "PCM_16", lambda x: size_of(x, 0xFFFFFFFF)),
    "size -1.au": ("AU", "PCM_16", lambda x: x[:8] + b"\xff" * 4 + x[12:]),
    "no length.flac": ("FLAC", "PCM_16", lambda x: x[:21] + bytes([x[21] & 0xF0]) + bytes(4) + x[26:]),
    "a.bw64": ("RF64", "PCM_16", lambda x: b"BW64" + x[4:]),
}


@pytest.mark.parametrize("name", STREAMED)
def test_what_was_streamed_is_read_to_its_end(name: str, tmp_path: Path) -> None:
    kind, subtype, altered = STREAMED[name]
    written(tmp_path / "whole", kind, subtype)
    whole = read_sound(tmp_path / "whole")[0]
    path = put(tmp_path / name, altered((tmp_path / "whole").read_bytes()))
    assert read_info(path).frames == 8000 and torch.equal(read_sound(path)[0], whole)
    assert torch.equal(read_sound(path, start=4001, frames=99)[0], whole[:, 4001:4100])


@pytest.mark.parametrize(
    ("name", "kind", "subtype"),
    [("a.rf64", "RF64", "PCM_16"), ("a.w64", "W64", "PCM_16"), ("a.au", "AU", "PCM_16"), ("a.caf", "CAF", "PCM_16"),
     ("gsm.wav", "WAV", "GSM610")],
)  # fmt: skip
def test_other_files_that_were_cut_off(name: str, kind: str, subtype: str, tmp_path: Path) -> None:
    content = written(tmp_path / name, kind, subtype, rate=8000)
    put(tmp_path / name, content[: len(content) * 3 // 4])
    with pytest.raises(DataError, match=rf"{name}: expected a whole sound file, but it .*--skip-bad"):
        read_sound(tmp_path / name)


def test_media_that_are_cut_off_or_damaged(tmp_path: Path) -> None:
    pytest.importorskip("av")
    for name, codec, kind in (("a.mka", "libopus", "matroska"), ("a.m4a", "aac", "ipod")):
        content = encoded(tmp_path / name, codec, kind, seconds=1)
        put(tmp_path / name, content[: len(content) // 2])
        with pytest.raises(DataError, match=rf"^[^\n]*{name}: expected a whole sound file, but it .*--skip-bad$"):
            read_sound(tmp_path / name)


@pytest.mark.parametrize(
    "text", ["#EXTM3U\n#EXTINF:2,\n{0}\n", "ffconcat version 1.0\nfile '{0}'\n", "<?xml?><MPD>{0}</MPD>"]
)
@pytest.mark.parametrize("name", ["a.m4a", "a.mp4", "a.mp3", "a.wav"])
def test_a_list_of_other_files_opens_none(name: str, text: str, tmp_path: Path) -> None:
    pytest.importorskip("av")
    encoded(tmp_path / "other.m4a", "aac", "ipod")
    path = put(tmp_path / name, text.format(tmp_path / "other.m4a").encode())
    for read in (read_info, read_sound):
        with pytest.raises(DataError, match=rf"{name}: .* cannot be decoded"):
            read(path)


# ---------------------------------------------------------------------------------------------------- other containers


@pytest.mark.parametrize(
    ("name", "codec", "kind", "rate"),
    [
        ("a.wma", "wmav2", "asf", 44_100),
        ("old.wma", "wmav1", "asf", 22_050),
        ("a.amr", "libopencore_amrnb", "amr", 8_000),
    ],
)
def test_windows_media_and_telephone_recordings_are_read(
    name: str, codec: str, kind: str, rate: int, tmp_path: Path
) -> None:
    """As ffmpeg reads them, whole and in parts; cut off they are refused, or read so far."""
    pytest.importorskip("av")
    content = encoded(path := tmp_path / name, codec, kind, rate)
    sound, found = read_sound(path)
    assert found == rate and read_info(path).frames == sound.shape[1]
    expected = by_ffmpeg(path)
    assert abs(sound.shape[1] - expected.shape[1]) <= rate // 20
    count = min(sound.shape[1], expected.shape[1])
    torch.testing.assert_close(sound[0, :count], torch.from_numpy(expected[0, :count]), rtol=0, atol=1e-3)
    spectrum = torch.fft.rfft(sound[0, rate // 8 :][: rate // 4]).abs()
    assert abs(spectrum.argmax().item() * 4 - 440) <= 8, "the tone that was written"
    torch.testing.assert_close(read_sound(path, start=1000, frames=2000)[0], sound[:, 1000:3000], rtol=0, atol=1e-3)
    put(tmp_path / f"again-{name}", content)
    assert len(open_sounds(str(tmp_path), rate, 1024)) == 2
    assert not inspect_sounds(str(tmp_path)).unreadable
    with pytest.raises(DataError, match=name):
        read_sound(put(tmp_path / f"cut-{name}", content[:20]))
