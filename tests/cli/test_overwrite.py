"""`--out` of every verb: what is not multigen's own is not replaced without `--overwrite`, and no
verb reads its own results."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from multigen.audio.synthesis.wavegan import WaveGANConfig
from multigen.cli import export
from multigen.image.files import read_image
from multigen.image.restoration import srgan
from multigen.image.synthesis import gan
from tests import tiny
from tests.audio.synthesis.test_sampler import model as sound_model
from tests.cases import few
from tests.cli.test_sample import model
from tests.text.synthesis.test_writer import model as text_model

GREY = gan.GANConfig(size=16, channels=1, latent=4, width=8)
SOUND = WaveGANConfig(length=1024, latent=4, width=2, labels="none", data="nowhere")
THEIRS = b"work of years"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with models and data."""
    monkeypatch.chdir(tmp_path)
    model(Path("grey"), GREY)
    sound_model(Path("sound"), SOUND)
    text_model(Path("text"))
    model(Path("srgan"), srgan.PRESETS["tiny"])
    tiny.photos(Path("album"), 2, 24)
    return tmp_path


def put(file: str) -> Path:
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(THEIRS)
    return path


VERBS: list[tuple[Sequence[str], str]] = [
    (["sample", "--model", "grey", "-n", "2", "--out", "made"], "made/0001.png"),
    (["sample", "--model", "grey", "-n", "2", "--out", "made"], "made-grid.png"),
    (["sample", "--model", "grey", "-n", "2"], "samples-grid.png"),
    (["sample", "--model", "sound", "-n", "1", "--out", "made"], "made/0000.wav"),
    (["sample", "--model", "sound", "-n", "1", "--out", "made"], "made-preview.wav"),
    (["sample", "--model", "sound", "-n", "1", "--out", "made"], "made-preview.png"),
    (["upscale", "album", "--model", "srgan", "--out", "up"], "up/1.png"),
    (["write", "--model", "text", "--out", "text.txt"], "text.txt"),
    (["interpolate", "--model", "grey", "-n", "2", "--frames", "2", "--out", "walk.gif"], "walk.gif"),
    (["interpolate", "--model", "grey", "-n", "2", "--frames", "2", "--out", "walk.mp4"], "walk.mp4"),
    (["evaluate", "--real", "album", "--fake", "album", "--out", "f.json"], "f.json"),
]


@pytest.mark.parametrize(("words", "theirs"), VERBS, ids=lambda value: value if isinstance(value, str) else value[0])
def test_a_file_of_a_users_is_refused_before_anything_is_written(
    words: list[str], theirs: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put(theirs)
    before = sorted(folder.rglob("*"))
    with monkeypatch.context() as patch:
        for place in ("multigen.tasks.synthesis.sampler.Sampler.sample", "multigen.image.metrics.open_evaluator"):
            patch.setattr(place, None, raising=False)  # nothing is computed
        assert tiny.multigen(words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {theirs} exists and is not known as results of multigen; give another")
    assert "--overwrite" in error and error.count("\n") == 1
    assert path.read_bytes() == THEIRS and sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    "words", [words for words, _ in VERBS[1:-2] if words[0] != "write"][::2], ids=lambda words: words[0]
)
def test_a_verb_replaces_its_own_results_and_with_overwrite_any(words: list[str]) -> None:
    assert tiny.multigen(words) == 0
    theirs = next(theirs for given, theirs in VERBS if given == words)
    first = Path(theirs).read_bytes()
    assert tiny.multigen(words) == 0
    assert Path(theirs).read_bytes() == first
    put(theirs)
    assert tiny.multigen([*words, "--overwrite"]) == 0
    assert Path(theirs).read_bytes() == first


def test_a_text_cannot_say_whose_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["write", "--model", "text", "--out", "text.txt"]
    assert [tiny.multigen(words), tiny.multigen(words), tiny.multigen([*words, "--overwrite"])] == [0, 2, 0]


def test_without_provenance_an_earlier_result_is_not_known() -> None:
    words = ["sample", "--model", "grey", "-n", "1", "--no-provenance", "--out", "made"]
    assert [tiny.multigen(words), tiny.multigen(words), tiny.multigen([*words, "--overwrite"])] == [0, 2, 0]


def test_a_link_as_out_leaves_what_it_leads_to(capsys: pytest.CaptureFixture[str]) -> None:
    thesis = put("thesis.txt")
    Path("out.txt").symlink_to("thesis.txt")
    words = ["write", "--model", "text", "--out", "out.txt"]
    assert tiny.multigen(words) == 2
    assert tiny.multigen([*words, "--overwrite"]) == 0
    assert thesis.read_bytes() == THEIRS and Path("out.txt").read_bytes() != THEIRS


def test_a_verb_that_fails_leaves_the_earlier_result(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["interpolate", "--model", "grey", "-n", "2", "--frames", "2", "--out", "walk.gif"]
    assert tiny.multigen(words) == 0
    first = Path("walk.gif").read_bytes()

    def half(self: Any, file: Path, **options: Any) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", half)
    assert tiny.multigen(words) == 2
    assert Path("walk.gif").read_bytes() == first
    assert not [p for p in Path().iterdir() if p.name.startswith(".")]


def test_an_export_over_a_file_of_a_users_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxscript")
    for theirs in ("g.onnx", "g.onnx.data"):
        path = put(theirs)
        assert tiny.multigen(["export", "--model", "grey", "--out", "g.onnx"]) == 2
        assert f"{theirs} exists" in capsys.readouterr().err
        path.unlink()


@pytest.mark.slow
def test_an_export_replaces_its_own_result_and_only_once_it_is_verified() -> None:
    pytest.importorskip("onnxscript")
    words = ["export", "--model", "grey", "--out", "g.onnx"]
    put("g.onnx")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "TOLERANCE", -1.0)
        assert tiny.multigen([*words, "--overwrite"]) == 2
    assert Path("g.onnx").read_bytes() == THEIRS
    assert [tiny.multigen([*words, "--overwrite"]), tiny.multigen(words)] == [0, 0]


def test_a_comparison_of_ours_is_replaced_and_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        text_model(Path(name))
        Path(name, "checkpoints").mkdir()
        (Path(name) / "config.toml").write_text('version = "0.2.0"\nmethod = "seqgan"\n\n[config]\n\n[run]\n')
    words = ["compare", "a", "b", "-n", "2"]
    assert [tiny.multigen(words), tiny.multigen(words)] == [0, 0]
    text = Path("comparison/text-synthesis.txt")
    assert json.loads(Path("comparison/compare.json").read_text())["files"].keys() == {text.name}
    text.write_text(text.read_text() + "my remark\n")
    assert tiny.multigen(words) == 2
    assert text.read_text().endswith("my remark\n")
    assert "comparison/text-synthesis.txt exists" in capsys.readouterr().err
    assert tiny.multigen([*words, "--overwrite"]) == 0


# ------------------------------------------------------------------------------------------------------ what lies below --out


def sizes(folder: str) -> dict[str, tuple[int, ...]]:
    return {
        p.relative_to(folder).as_posix(): tuple(read_image(p).shape[1:]) for p in sorted(Path(folder).rglob("*.png"))
    }


OUTS = ["album/up", "album/../album/up", "album/a/b/up", "{}/album/up", "link/up", "here"]


@pytest.mark.parametrize("out", few(OUTS, "album/up", "album/a/b/up", "here"))
def test_upscaling_into_a_folder_of_the_input_leaves_out_what_is_there(
    out: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("link").symlink_to("album")
    Path("album/up").mkdir()
    Path("here").symlink_to("album/up")
    words = ["upscale", "album", "--model", "srgan", "--out", out.format(folder)]
    assert tiny.multigen(words) == 0
    first = sizes("album")
    assert len(first) == 4 and "left out" not in capsys.readouterr().err
    for _ in range(1 if out == "here" else 2):
        assert tiny.multigen(words) == 0
        printed = capsys.readouterr()
        assert f"left out 2 images in {out.format(folder)}, where the results go" in printed.err
        assert printed.out.startswith("2 images x4")
        assert sizes("album") == first


def test_upscaling_all_that_a_shell_finds_leaves_out_the_results(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        result = sorted(Path("album").iterdir())
        assert tiny.multigen(["upscale", *result, "--model", "srgan", "--out", "album/up"]) == 0
    assert "left out 2 images in album/up" in capsys.readouterr().err
    assert len(sizes("album")) == 4


def test_a_folder_below_out_is_read_and_nothing_but_results_is_no_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.multigen(["upscale", "album", "--model", "srgan", "--out", "album/up"]) == 0
    assert tiny.multigen(["upscale", "album/up", "--model", "srgan", "--out", "album"]) == 2  # 0.png is a source's name
    assert tiny.multigen(["upscale", "album", "--model", "srgan", "--out", "album"]) == 2
    assert "would be overwritten by its result" in capsys.readouterr().err
    for file in Path("album").glob("*.png"):
        file.unlink()
    assert tiny.multigen(["upscale", "album", "--model", "srgan", "--out", "album/up"]) == 2
    assert "no image to upscale but those in album/up" in capsys.readouterr().err


def test_a_source_of_the_users_in_the_folder_of_results_is_not_replaced() -> None:
    mine = Path("album/up/1.png")
    mine.parent.mkdir()
    Image.fromarray(tiny.pixels(9, 9)).save(mine)
    before = mine.read_bytes()
    assert tiny.multigen(["upscale", "album", "--model", "srgan", "--out", "album/up"]) == 2
    assert mine.read_bytes() == before and len(sizes("album")) == 3
