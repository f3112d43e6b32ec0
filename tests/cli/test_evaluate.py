"""`multigen evaluate`."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import tiny


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`real` and `like` hold images of one kind in two classes, `noise` others."""
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
        words = ["--json"] if name == "noise" else []
        assert evaluate("--real", folders / "real", "--fake", folders / name, "--out", out, *words) == 0
        printed = capsys.readouterr().out
        content = json.loads(out.read_text())
        assert [*content["rows"]] == ["real", "fake"]
        if words:
            assert json.loads(printed) == content
        else:
            assert printed.splitlines()[0].split() == ["real", "fake"]
            assert all(f"  {metric}: " in printed for metric in content["definitions"])
        figures[name] = content["rows"]
    metric = "fd_efficientnet_lite0"
    assert figures["like"]["real"] == figures["noise"]["real"]
    assert figures["like"]["fake"][metric] < 0.5 * figures["noise"]["fake"][metric]
    assert figures["noise"]["fake"]["coverage"] < figures["like"]["fake"]["coverage"]


def test_the_classifier_learns_the_classes_of_the_real_pictures(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from multigen.tasks.synthesis import extractors

    train = extractors.train_classifier
    monkeypatch.setattr(extractors, "train_classifier", lambda *a, **k: train(*a, **{**k, "steps": 20, "batch": 16}))
    assert evaluate("--real", folders / "real", "--fake", folders / "like", "--features", "classifier") == 0
    assert "is_classifier" in capsys.readouterr().out
    flat = folders / "real" / "dark"
    assert evaluate("--real", flat, "--fake", folders / "like", "--features", "classifier") == 2
    assert "no labels; take efficientnet_lite0" in capsys.readouterr().err


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features that cost nothing: the means of all columns."""
    from multigen.image.synthesis import evaluator as evaluator
    from multigen.tasks.synthesis.extractors import Extractor

    stand_in = Extractor(lambda image: (image.float().mean(2).flatten(1) / 255, None))
    monkeypatch.setattr(evaluator, "open_extractor", lambda *arguments: stand_in)


def figures(folders: Path, real: str, fake: str) -> dict[str, dict[str, float]]:
    assert evaluate("--real", folders / real, "--fake", folders / fake, "--out", folders / "out.json") == 0
    return json.loads((folders / "out.json").read_text())["rows"]


@pytest.mark.parametrize("renamed", [False, True])
def test_the_same_pictures_score_as_the_floor_does(folders: Path, quick: None, renamed: bool) -> None:
    """And no better: those compared are not the very ones that they are compared with."""
    for path in [*(folders / "like").rglob("*.png")]:
        path.unlink()
    for path in (folders / "real").rglob("*.png"):
        place = folders / "like" / path.parent.name / (f"x{path.name}" if renamed else path.name)
        shutil.copy(path, place)
    rows = [*figures(folders, "real", "like").values(), figures(folders, "real", "noise")["fake"]]
    floor, same, noise = (row["fd_efficientnet_lite0"] for row in rows)
    assert 0.2 * floor < same < 2 * floor < noise


def test_grey_arrays_compare_with_coloured_files_of_other_sizes(folders: Path, quick: None) -> None:
    np.savez(folders / "grey.npz", images=np.stack([tiny.pixels(30, 40, seed=i)[..., 0] for i in range(20)]))
    assert {*figures(folders, "real", "grey.npz")["fake"]} == {*figures(folders, "grey.npz", "real")["real"]}


def test_errors_are_one_line(folders: Path, quick: None, capsys: pytest.CaptureFixture[str]) -> None:
    (folders / "few").mkdir()
    for i in range(3):
        shutil.copy(folders / "real" / "dark" / f"{2 * i + 1}.png", folders / "few")
    two = ["--real", folders / "real", "--fake", folders / "like"]
    for words, message in (
        ([*two, "--out", folders / "real"], f"{folders / 'real'} cannot be written .*; give another file for --out"),
        ([*two, "--out", folders / "few" / "1.png" / "x.json"], "cannot be written .*; give another file for --out"),
        ([*two, "--size", "0"], "size 0, .*: expected a size of 1 or more"),
        ([*two, "--device", "abacus"], "device 'abacus' cannot be used .*; give auto, cpu, cuda, cuda:N or mps"),
        (["--real", folders / "real", "--fake", "nowhere"], "nowhere: no such file or folder"),
    ):
        assert evaluate(*words) == 2
        printed = capsys.readouterr().err
        assert re.fullmatch(f"error: .*{message}.*\n", printed), printed


def test_too_few_real_pictures_to_halve_are_named_with_their_folder(
    folders: Path, quick: None, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in sorted((folders / "real").rglob("*.png"))[3:]:
        path.unlink()
    assert evaluate("--real", folders / "real", "--fake", folders / "like") == 2
    printed = capsys.readouterr().err
    assert re.fullmatch(r"error: .*real\b.*3 images, expected at least 4.*\n", printed), printed


def test_bad_input_is_named_in_one_line(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, bad = folders / "one", folders / "like" / "bright" / "bad.png"
    one.mkdir()
    Image.fromarray(tiny.pixels(9, 9)).save(one / "1.png")
    bad.write_bytes(b"no image")
    for words, message in (
        (["--real", folders / "gone", "--fake", folders / "like"], "gone: no such file or folder"),
        (["--real", folders / "real", "--fake", one], "1 image, expected at least 2"),
        (["--real", folders / "real", "--fake", folders / "like"], f"{bad}: expected an image"),
        (["--real", folders / "real", "--fake", folders / "noise", "--features", "vgg"], ""),
    ):
        assert evaluate(*words) == 2
        printed = capsys.readouterr()
        assert message in printed.err and "Traceback" not in printed.err
    assert evaluate("--real", folders / "real", "--fake", folders / "like", "--skip-bad") == 0
    printed = capsys.readouterr()
    assert "1 image skipped" in printed.out + printed.err
