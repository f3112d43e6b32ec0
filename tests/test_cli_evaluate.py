"""`multigen evaluate`."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import tiny


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`real` and `like` hold pictures of one kind in two classes, `noise` others."""
    monkeypatch.setenv("MULTIGEN_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for name, first in (("real", 0), ("like", 100), ("noise", 200)):
        for i in range(24):
            values = tiny.pixels(24, 24, seed=first + i) // (1 + i % 2)
            if name == "noise":
                values = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
            path = tmp_path / name / ("bright", "dark")[i % 2] / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(path)
    return tmp_path


def evaluate(*words: str | Path) -> int:
    return tiny.multigen(["evaluate", "--size", "24", "--device", "cpu", *words])


def test_two_folders_are_compared_beside_the_floor(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = {}
    for name in ("like", "noise"):
        out = folders / "out" / f"{name}.json"
        assert evaluate("--real", folders / "real", "--fake", folders / name, "--out", out) == 0
        printed = capsys.readouterr().out
        content = json.loads(out.read_text())
        assert [*content["rows"]] == ["real", "fake"] and "real " in printed and "fake " in printed
        assert all(f"  {metric}: " in printed for metric in content["definitions"])
        figures[name] = content["rows"]
    metric = "fd_efficientnet_lite0"
    assert figures["like"]["real"] == figures["noise"]["real"]
    assert figures["like"]["fake"][metric] < 0.5 * figures["noise"]["fake"][metric]
    assert figures["noise"]["fake"]["coverage"] < figures["like"]["fake"]["coverage"]


def test_the_classifier_learns_the_classes_of_the_real_pictures(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from multigen.image import judge

    train = judge.train_classifier
    monkeypatch.setattr(judge, "train_classifier", lambda *a, **k: train(*a, **{**k, "steps": 20, "batch": 16}))
    assert evaluate("--real", folders / "real", "--fake", folders / "like", "--features", "classifier") == 0
    assert "is_classifier" in capsys.readouterr().out
    flat = folders / "real" / "dark"
    assert evaluate("--real", flat, "--fake", folders / "like", "--features", "classifier") == 2
    assert "no labels; take efficientnet_lite0" in capsys.readouterr().err


def test_bad_input_is_named_in_one_line(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, bad = folders / "one", folders / "like" / "bright" / "bad.png"
    one.mkdir()
    Image.fromarray(tiny.pixels(9, 9)).save(one / "1.png")
    bad.write_bytes(b"no picture")
    for words, message in (
        (["--real", folders / "gone", "--fake", folders / "like"], "gone: no such file or folder"),
        (["--real", folders / "real", "--fake", one], "1 pictures, expected at least 2"),
        (["--real", folders / "real", "--fake", folders / "like"], f"{bad}: expected a picture"),
        (["--real", folders / "real", "--fake", folders / "noise", "--features", "vgg"], ""),
    ):
        assert evaluate(*words) == 2
        printed = capsys.readouterr()
        assert message in printed.err and "Traceback" not in printed.err
    assert evaluate("--real", folders / "real", "--fake", folders / "like", "--skip-bad") == 0
    printed = capsys.readouterr()
    assert "1 pictures skipped" in printed.out + printed.err
