"""Bad input, through the commands: exit code 2 and one line on standard error that names the path
and what to do."""

import json
import pickle
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from multigen.cli import VERBS
from multigen.image.files import open_photos
from multigen.tasks.restoration.base import hold_out
from tests.cases import few
from tests.engine.toys import assert_same, checkpoints, saved_files
from tests.tiny import WORDS, copy_of, multigen, photos, pixels, python, recipe, trained

Words = Sequence[str | Path]


@pytest.fixture
def place(srgan_run: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be spoilt, and a folder `bad` beside it."""
    copy_of(srgan_run, tmp_path)
    (tmp_path / "bad").mkdir()
    return tmp_path


@pytest.fixture
def good(srgan_run: Path) -> Path:
    """Images that nothing is wrong with."""
    return srgan_run.parent / "photos"


# -- what is bad -------------------------------------------------------------------------------------------------


def cut_short(path: Path) -> None:
    """Keeps the first half of a file. A new file: tensors that were loaded may still lie in the old
    one."""
    half = path.read_bytes()[: path.stat().st_size // 2]
    path.unlink()
    path.write_bytes(half)


def train_on(data: Path, test: Path, out: Path, *words: str | Path) -> Words:
    return ["tiny", *WORDS, "--data", data, "--test", test, "--out", out, *words]


def empty_folder(place: Path, good: Path) -> Words:
    return train_on(place / "bad", good, place / "new")


def missing_folder(place: Path, good: Path) -> Words:
    return train_on(place / "bad" / "gone", good, place / "new")


def file_of(content: bytes | None, name: str) -> Callable[[Path, Path], Words]:
    """A folder with good images and the file `name`; an image cut short where no content is
    given."""

    def make(place: Path, good: Path) -> Words:
        shutil.copytree(good, place / "bad", dirs_exist_ok=True)
        path = place / "bad" / name
        if content is None:
            Image.fromarray(pixels(64, 64)).save(path)
            cut_short(path)
        else:
            path.write_bytes(content)
        return train_on(place / "bad", good, place / "new")

    return make


def one_too_small(place: Path, good: Path) -> Words:
    Image.fromarray(pixels(20, 99)).save(place / "bad" / "small.png")
    return train_on(place / "bad", good, place / "new")


def too_small_to_measure(place: Path, good: Path) -> Words:
    """For SSIM's window; what is to be measured in the end must be known to be good in the
    beginning."""
    Image.fromarray(pixels(16, 16)).save(place / "bad" / "small.png")
    return train_on(good, place / "bad", place / "new")


def recipe_flags(*words: str) -> Callable[[Path, Path], Words]:
    return lambda place, good: train_on(good, good, place / "new", *words)


def other_settings(place: Path, good: Path) -> Words:
    return ["--resume", place / "run", "--lr", "0.5", "--batch", "3", "--keep", "5"]


def all_checkpoints_cut_short(place: Path, good: Path) -> Words:
    for path in checkpoints(place / "run"):
        cut_short(path / "G.safetensors")
    return ["--resume", place / "run"]


def foreign(*words: str) -> Callable[[Path, Path], Words]:
    """The checkpoints are those of a run with other settings."""

    def make(place: Path, good: Path) -> Words:
        (place / "other").mkdir()
        shutil.copytree(good, place / "other" / "photos")
        other = trained(place / "other", *words)
        shutil.rmtree(place / "run" / "checkpoints")
        shutil.copytree(other / "checkpoints", place / "run" / "checkpoints")
        return ["--resume", place / "run"]

    return make


def foreign_start(place: Path, good: Path) -> Words:
    return train_on(good, good, place / "new", "--from", place / "run", "--width", "12")


def no_run(place: Path, good: Path) -> Words:
    return ["--resume", place / "bad"]


def pickled_vgg(name: str) -> Callable[[Path, Path], Words]:
    def make(place: Path, good: Path) -> Words:
        torch.save({"0.weight": torch.zeros(64, 3, 3, 3)}, place / "bad" / name)
        words = ["--content", "vgg22", "--perceptual-weights", place / "bad" / name]
        return train_on(good, good, place / "new", *words)

    return make


def pickled_model(place: Path, good: Path) -> Words:
    path = place / "run" / "model" / "G.safetensors"
    with open(path, "wb") as file:
        pickle.dump({"weight": [1.0]}, file)
    return ["upscale", good, "--model", place / "run", "--out", place / "up"]


def pickle_for_a_model(place: Path, good: Path) -> Words:
    torch.save({}, place / "bad" / "G.pth")
    return ["upscale", good, "--model", place / "bad" / "G.pth", "--out", place / "up"]


def pickle_to_start_from(place: Path, good: Path) -> Words:
    torch.save({}, place / "bad" / "G.pth")
    return train_on(good, good, place / "new", "--from", place / "bad" / "G.pth")


def out_holds_a_run(place: Path, good: Path) -> Words:
    return train_on(good, good, place / "run")


def out_is_a_file(place: Path, good: Path) -> Words:
    (place / "bad" / "file").touch()
    return train_on(good, good, place / "bad" / "file")


def out_is_below_a_file(place: Path, good: Path) -> Words:
    (place / "bad" / "file").touch()
    return train_on(good, good, place / "bad" / "file" / "run")


def no_model(place: Path, good: Path) -> Words:
    return ["upscale", good, "--model", place / "bad", "--out", place / "up"]


def upscale_of(name: str, content: bytes | None = None) -> Callable[[Path, Path], Words]:
    def make(place: Path, good: Path) -> Words:
        if content is not None:
            (place / "bad" / name).write_bytes(content)
        return ["upscale", place / "bad" / name, "--model", place / "run", "--out", place / "up"]

    return make


def several_into_one(place: Path, good: Path) -> Words:
    return ["upscale", good, "--model", place / "run", "--out", place / "up.jpg"]


def unwritten(place: Path, good: Path) -> Words:
    return ["upscale", good / "0.png", "--model", place / "run", "--out", place / "up.bmp"]


def result_over_its_source(place: Path, good: Path) -> Words:
    Image.fromarray(pixels(16, 16)).save(place / "bad" / "a.png")
    return ["upscale", place / "bad" / "a.png", "--model", place / "run", "--out", place / "bad"]


def results_into_a_file(place: Path, good: Path) -> Words:
    (place / "bad" / "file").touch()
    return ["upscale", good, "--model", place / "run", "--out", place / "bad" / "file"]


def tile(side: str) -> Callable[[Path, Path], Words]:
    return lambda place, good: ["upscale", good, "--model", place / "run", "--out", place / "up", "--tile", side]


@dataclass(frozen=True)
class Case:
    make: Callable[[Path, Path], Words]
    named: str
    """What is named: a path below the test's folder, or other words."""
    remedy: str
    warnings: int = 0
    """Lines before the last, of what is done about it."""


CASES = {
    "empty folder": Case(empty_folder, "{}/bad", "expected files ending in"),
    "missing folder": Case(missing_folder, "{}/bad/gone", "expected a folder of images"),
    "missing folder upscaled": Case(upscale_of("gone"), "{}/bad/gone", "check the path"),
    "cut short": Case(file_of(None, "x.png"), "{}/bad/x.png", "--skip-bad"),
    "only a signature": Case(file_of(b"\x89PNG\r\n\x1a\n", "x.png"), "{}/bad/x.png", "--skip-bad"),
    "zero bytes": Case(file_of(b"", "x.jpg"), "{}/bad/x.jpg", "--skip-bad"),
    "text called .png": Case(file_of(b"a letter", "x.png"), "{}/bad/x.png", "--skip-bad"),
    "smaller than the crop": Case(one_too_small, "{}/bad/small.png: 20x99", "--crop"),
    "too small to be measured": Case(too_small_to_measure, "{}/bad/small.png", "16x16"),
    "scale, crop a multiple": Case(recipe_flags("--scale", "5", "--crop", "80"), "scale 5", "x2, x3, x4 and x8"),
    "scale": Case(recipe_flags("--scale", "5"), "scale 5", "x2, x3, x4 and x8"),
    "scale 0": Case(recipe_flags("--scale", "0"), "scale 0", "x2, x3, x4 and x8"),
    "crop": Case(recipe_flags("--crop", "40"), "crop 40", "multiple of 16"),
    "batch 0": Case(recipe_flags("--batch", "0"), "batch 0", "expected 1 or more"),
    "accumulate 0": Case(recipe_flags("--accumulate", "0"), "accumulate 0", "1"),
    "save every 0 steps": Case(recipe_flags("--save-every", "0"), "save_every 0", "1"),
    "a decay of 1": Case(recipe_flags("--betas", "0.9", "1"), "betas 1.0", "expected 0 to 0.999999"),
    "nothing to test on": Case(lambda *_: ["tiny", "--test"], "test: no set is named", "at least one"),
    "negative steps": Case(recipe_flags("--steps", "-3"), "steps -3", "0"),
    "device": Case(recipe_flags("--device", "abacus"), "'abacus'", "give auto, cpu, cuda"),
    "resumed with other settings": Case(other_settings, "{}/run", "batch: 2 -> 3; lr: 0.0001 -> 0.5"),
    "all checkpoints cut short": Case(all_checkpoints_cut_short, "{}/run", "--out", warnings=2),
    "foreign checkpoint, shapes": Case(foreign("--width", "12"), "{}/run/checkpoints/step-", "expected"),
    "foreign checkpoint, names": Case(foreign("--blocks", "2"), "{}/run/checkpoints/step-", "left over"),
    "foreign checkpoint, networks": Case(foreign("--ema", "0"), "{}/run/checkpoints/step-", "other networks"),
    "foreign weights to start from": Case(foreign_start, "{}/run", "expected"),
    "resumed where no run is": Case(no_run, "{}/bad", "give a run's folder"),
    "seeds resumed": Case(
        lambda p, _: ["--resume", p / "run", "--seeds", "2"],
        "{}/run",
        "holds no runs of several seeds; resume one run without --seeds",
    ),
    "pickled VGG19": Case(pickled_vgg("vgg.pth"), "{}/bad/vgg.pth", "expected a .safetensors file"),
    "pickled VGG19, renamed": Case(pickled_vgg("vgg.safetensors"), "{}/bad/vgg.safetensors", "copy the file again"),
    "pickled model": Case(pickled_model, "{}/run/model/G.safetensors", "copy or convert it again"),
    "pickle for a model": Case(pickle_for_a_model, "{}/bad/G.pth", "expected the weights of one network"),
    "pickle to start from": Case(pickle_to_start_from, "{}/bad/G.pth", "expected the weights of one network"),
    "out holds a run": Case(out_holds_a_run, "{}/run", "--resume"),
    "out is a file": Case(out_is_a_file, "{}/bad/file", "another --out"),
    "out is below a file": Case(out_is_below_a_file, "{}/bad/file", "--out"),
    "no model": Case(no_model, "{}/bad", "give a run's folder"),
    "no image upscaled": Case(upscale_of("x.txt", b"a letter"), "{}/bad/x.txt", "--skip-bad"),
    "missing image upscaled": Case(upscale_of("gone.png"), "{}/bad/gone.png", "check the path"),
    "several results into one image": Case(several_into_one, "{}/up.jpg", "give a folder"),
    "a result of a format that is not written": Case(unwritten, "{}/up.bmp", ".png"),
    "result over its source": Case(result_over_its_source, "{}/bad/a.png", "--out"),
    "results into a file": Case(results_into_a_file, "{}/bad/file", "--out"),
    "tile 0": Case(tile("0"), "tile 0", "1"),
    "tile below 0": Case(tile("-8"), "tile -8", "1"),
    "unknown verb": Case(lambda *_: ["downscale"], "'downscale'", f"expected one of {', '.join(VERBS)}"),
    "unknown preset": Case(lambda *_: ["huge"], "'huge'", "expected one of tiny, laptop, default, paper"),
}

SLOW = {"foreign checkpoint, names", "foreign checkpoint, networks"}
"""Each trains twice; the shapes of a foreign checkpoint are looked at first."""


def everything(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", few(CASES, *(CASES.keys() - SLOW)))
def test_bad_input(name: str, place: Path, good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = CASES[name]
    words = case.make(place, good)
    before = everything(place)
    capsys.readouterr()
    assert (multigen if words[0] in ("upscale", "downscale") else recipe)(words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == case.warnings + 1, lines
    assert lines[-1].startswith("error: ")
    assert case.named.format(place) in lines[-1] and case.remedy in lines[-1]
    assert everything(place).keys() - before.keys() == set()
    assert everything(place) == before  # nothing was begun, and nothing spoilt


# -- bad input that one can go on without ------------------------------------------------------------------------


def test_skip_bad_goes_on_and_counts(place: Path, good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(good, place / "bad", dirs_exist_ok=True)
    (place / "bad" / "text.png").write_text("a letter")
    (place / "bad" / "zero.jpg").touch()
    for name in ("cut.png", "small.png"):
        side = 64 if name == "cut.png" else 20
        Image.fromarray(pixels(side, side)).save(place / "bad" / name)
    cut_short(place / "bad" / "cut.png")
    assert recipe([*train_on(place / "bad", good, place / "new"), "--skip-bad", "--steps", "0"]) == 0
    message = [line for line in capsys.readouterr().err.splitlines() if "skipped" in line]
    assert len(message) == 1 and message[0].startswith("4 images skipped") and str(place / "bad") in message[0]


def test_skip_bad_goes_on_without_a_bad_picture_that_would_have_been_held_out(place: Path, good: Path) -> None:
    photos(place / "many", count=12)
    (held,) = hold_out(open_photos(str(place / "many")), 1)[1]
    cut_short(held.path)
    words = train_on(place / "many", good, place / "new", "--validation-size", "1", "--steps", "0", "--skip-bad")
    assert recipe(words) == 0


def test_a_truncated_checkpoint_is_skipped_with_a_warning(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last, before = checkpoints(place / "run")[::-1][:2]
    expected = saved_files(place / "run")
    cut_short(last / "D.safetensors")
    assert recipe(["--resume", place / "run", "--keep", "9"]) == 0
    message = capsys.readouterr().err.splitlines()
    assert (
        str(last) in message[0]
        and "D.safetensors" in message[0]
        and "going back to the checkpoint before it" in message[0]
    )
    assert message[1] == f"resuming from {before}"
    assert_same(saved_files(place / "run"), expected)


# -- as processes of their own -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_full_disk_keeps_the_last_good_checkpoint(place: Path, good: Path) -> None:
    """No file may grow beyond a limit that only the discriminator's optimiser needs: the first
    stage is saved, then it fails."""
    words = ["tiny", *WORDS, "--discriminator-width", "16", "--data", good, "--test", good, "--save-every", "2"]
    assert recipe([*words, "--out", place / "whole"]) == 0
    sizes = {p.name: p.stat().st_size for p in checkpoints(place / "whole")[-1].iterdir()}
    limit = (sizes["D.safetensors"] + sizes["D.optim.safetensors"]) // 2
    assert sizes["D.safetensors"] < limit < sizes["D.optim.safetensors"]
    code = f"import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));"
    code += "runpy.run_module('multigen.recipes.srgan', run_name='__main__', alter_sys=True)"
    done = python("-c", code, *words, "--out", place / "full", cwd=place)

    assert done.returncode == 2, done.stderr
    *_, last = done.stderr.splitlines()
    assert last.startswith(f"error: cannot save {place}/full/checkpoints/step-000000006: ")
    assert "free space" in last and f"--resume {place}/full" in last and "step-000000004" in last
    assert "Traceback" not in done.stderr
    folders = {p.name for p in (place / "full" / "checkpoints").iterdir()}
    assert folders == {"step-000000002", "step-000000004"}  # and nothing half written
    assert recipe(["--resume", place / "full"]) == 0
    assert_same(saved_files(place / "full"), saved_files(place / "whole"))
    model = load_file(place / "full" / "model" / "G.safetensors")
    assert all(torch.equal(t, model[k]) for k, t in load_file(place / "whole" / "model" / "G.safetensors").items())


@pytest.mark.slow
def test_one_line_and_no_traceback_from_the_real_command(place: Path) -> None:
    done = python("-m", "multigen.recipes.srgan", "--data", place / "bad", cwd=place)
    assert (done.returncode, done.stdout) == (2, "")
    message = f"error: {place}/bad: no images in this folder"
    assert done.stderr.startswith(message) and done.stderr.count("\n") == 1


def test_an_error_of_ours_keeps_its_traceback(place: Path, good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what a user can fix is shortened to a line."""
    monkeypatch.setattr(json, "dumps", lambda *_, **__: 1 / 0)
    from multigen.recipes.srgan import PRESETS, TRAINER
    from multigen.runs.runner import main

    monkeypatch.setattr("sys.argv", ["srgan", *map(str, train_on(good, good, place / "new"))])
    with pytest.raises(ZeroDivisionError):
        main(TRAINER, PRESETS)
