"""The benchmark of upscaling compares what it says it compares. No time is asserted."""

from pathlib import Path

import pytest
import torch

from benchmarks import upscaling
from multigen.image.restoration.networks import SRVGG
from multigen.video.restoration.networks import RRN
from tests import tiny


@pytest.fixture
def onnx() -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")


@pytest.mark.slow
def test_all_cases_make_the_same_image(tmp_path: Path, onnx: None) -> None:
    image = torch.from_numpy(tiny.pixels(16, 16)).permute(2, 0, 1).contiguous()
    cases = upscaling.cases_of(lambda: SRVGG(4, 2, 8), 16, tmp_path)
    made = [enlarge(image).int() for enlarge in cases.values()]
    assert len(made) == 4 and made[0].shape == (3, 64, 64) and len(made[0].unique()) > 50
    assert all((each - made[0]).abs().max() <= 1 for each in made)


@pytest.mark.slow
def test_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], onnx: None) -> None:
    monkeypatch.setitem(upscaling.NETWORKS, "compact", lambda: SRVGG(4, 1, 4))
    monkeypatch.setattr(upscaling, "PUBLISHED", {})
    threads = torch.get_num_threads()
    monkeypatch.setattr(upscaling, "RRN", lambda scale, blocks, width: RRN(scale, 1, 4))
    upscaling.main(side=16, rounds=2, threads=threads, networks=("compact",))
    lines = capsys.readouterr().out.splitlines()
    images, films = lines[-7:-3], lines[-2:]
    assert [line[:24].strip() for line in images] == ["ours", "torch", "torch, channels_last", "onnxruntime"]
    assert [line[:24].strip() for line in films] == ["ours", "torch, channels_last"]
    assert all(float(word) >= 0 for line in (*images, *films) for word in line[24:].split())


def test_both_ways_make_the_same_film() -> None:
    torch.manual_seed(0)
    ways = upscaling.films_of(RRN(4, 1, 4))
    whole = torch.from_numpy(tiny.pixels(16, 24)).permute(2, 0, 1)
    for frame in (whole[..., i : i + 16].contiguous() for i in range(4)):
        ours, plain = (enlarge(frame).int() for enlarge in ways.values())
        assert ours.shape == (3, 64, 64) and (ours - plain).abs().max() <= 1
