"""`multigen edit`: sheets of directions, one applied, files projected first, and what cannot be
done."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from multigen.engine import Run
from multigen.image.synthesis.base import ImageInfo
from multigen.image.synthesis.dcgan import PRESETS, DCGANTrainer
from multigen.storage import provenance
from tests import tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained generator of grey images of 32 pixels, with two classes."""
    trainer = DCGANTrainer(replace(PRESETS["tiny"], width=2, latent=5, conditional=True), Run())
    return tiny.untrained(tmp_path_factory.mktemp("model"), trainer, ImageInfo(channels=1, classes=("a", "b")))


def test_a_sheet_for_each_direction(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["edit", "--model", model, "-n", "3", "--count", "2", "--out", tmp_path / "out"]
    assert tiny.multigen([*command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [each["direction"] for each in printed["directions"]] == [0, 1]
    assert set(printed["directions"][0]) == {"direction", "share", "brightness"}  # it is grey
    files = [Path(file) for file in printed["files"]]
    assert [file.name for file in files] == ["direction-0.png", "direction-1.png"]
    with Image.open(files[0]) as sheet:
        assert sheet.size == (7 * 34 - 2, 3 * 34 - 2)
    about = provenance.read(files[1])
    assert about["direction"] == 1 and about["strengths"] == [-3, 3] and about["by"] == "sefa"
    assert tiny.multigen(command) == 0  # replaces its own
    assert "2 directions from -3 to 3 in" in capsys.readouterr().out
    assert tiny.multigen([*command[:5], "--out", tmp_path / "all"]) == 0  # of 5 latents
    assert "5 directions from -3 to 3 in" in capsys.readouterr().out


def test_a_direction_applied_to_samples_and_to_files(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["edit", "--model", model, "--direction", "1", "--out", out]
    assert tiny.multigen([*command, "-n", "2", "--strength", "-2", "--class", "b"]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["0000.png", "0001.png"]
    Image.new("RGB", (80, 80), "white").save(tmp_path / "white.jpg")
    assert tiny.multigen([*command, tmp_path / "white.jpg", "--steps", "2", "--by", "pca"]) == 0
    with Image.open(out / "white.png") as edited:
        assert edited.size == (32, 32) and edited.mode == "L"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--direction", "9"], "direction 9: sefa finds 5 here, of z; expected 0 to 4"),
        (["--count", "6"], "direction 5: sefa finds 5 here, of z; expected 0 to 4"),
        (["--count", "0"], "--count 0, --direction None, --steps 500: expected at least 1, 0 and 0"),
        (["--direction", "-1"], "--direction -1"),
        (["--mix", "0", "1"], "--mix: the generator has no styles to mix"),
        (
            ["--mix", "0", "1", "--direction", "0"],
            "--mix: two samples are mixed, layer by layer; leave out --direction",
        ),
        (["--mix", "0", "1", "--layers", "1"], "leave out --direction, --layers, --data and image files"),
        (["--mix", "0", "-1"], "--mix -1: expected numbers of 0 or more, as files of samples have them"),
        (
            ["--count", "1", "--strength", "nan"],
            "strength nan: expected standard deviations, from -1000 to 1000, such as 3",
        ),
        (["--direction", "0", "--strength", "1e39"], "strength 1e+39: expected standard deviations"),
        (["--direction", "0", "--data", "digits"], "--data: the class is measured on sheets of directions"),
        (["--layers", "0-2"], "layers 0-2: the generator has no styles"),
        (["--class", "c"], "class 'c' is unknown; choose from a, b"),
        (["-n", "0"], "0 images requested; expected 1 or more"),
        (
            ["wide.png"],
            "wide.png: 64x32 pixels, but the generator makes 32x32; expected an image of this aspect: cut it",
        ),
        (["text.png"], "text.png: expected an image"),
        (["a/x.png", "b/x.png"], "two results would have one name"),
        (["--by", "ica"], "ica"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    words: list[str], message: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Image.new("L", (64, 32)).save("wide.png")
    Path("text.png").write_text("no image")
    assert tiny.multigen(["edit", *words, "--model", model, "--out", "out"]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not Path("out").exists()


def test_another_file_is_not_replaced(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "direction-0.png")
    assert tiny.multigen(["edit", "--model", model, "--count", "1", "--out", tmp_path]) == 2
    assert "direction-0.png" in capsys.readouterr().err
