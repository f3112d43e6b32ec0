"""`multigen cp`: a method as one file of one's own, whose models are used by naming it; no folder
runs code by itself."""

import difflib
import errno
import json
import os
import shutil
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

import multigen
from multigen.catalogue import METHODS
from multigen.cli.cp import copy_of
from multigen.config import to_table, write_toml
from multigen.errors import CheckpointError, ConfigError
from multigen.image import DCGANConfig, DCGANTrainer
from multigen.image.synthesis.base import ImageInfo
from multigen.runs.facts import gather
from multigen.runs.record import program
from multigen.runs.report.words import usage
from multigen.storage.model_folder import write_model
from multigen.tasks.loading import import_code, trainer_in
from tests import tiny
from tests.cases import few
from tests.engine.toys import assert_same, checkpoints, saved_files
from tests.tiny import python

ROOT = Path(multigen.__file__).parents[1]
SMALL = DCGANConfig(size=16, width=2, latent=3)


def copied(method: str, file: Path) -> Path:
    assert tiny.multigen(["cp", method, file]) == 0
    return file


def model(folder: Path, method: str) -> Path:
    """A run's folder with an untrained DCGAN that a method of this name is said to have made."""
    trainer = DCGANTrainer(SMALL)
    trainer.data_info = info = ImageInfo(channels=1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = {"G": trainer.generator().state_dict()}
    write_model(folder / "model", method, to_table(SMALL), weights, {}, to_table(info))
    return folder


# -- the file ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", few(METHODS, "srgan", "dcgan", "seqgan", "wavegan"))
def test_a_copy_is_the_methods_source_and_its_recipe(method: str, tmp_path: Path) -> None:
    file = copied(method, tmp_path / "my_own.py")
    text = file.read_text(encoding="utf-8")
    module = import_code(str(file))
    original = import_module(METHODS[method].module)
    trainer = trainer_in(module)
    assert trainer.name == "my_own" and trainer.__module__ == module.__name__
    assert to_table(module.PRESETS["tiny"]) == to_table(original.PRESETS["tiny"])
    assert (module.__doc__ or "").startswith(str(original.__doc__).splitlines()[0])

    source = Path(str(original.__file__)).read_text(encoding="utf-8")
    lines = list(difflib.ndiff(source.splitlines(), text.splitlines()))
    gone = [line[2:] for line in lines if line.startswith("- ")]
    assert all(line == f'    name = "{method}"' or f"python -m multigen.recipes.{method} " in line for line in gone)
    assert len(gone) > 2
    first = f"# Copied from {method} of multigen {multigen.__version__}; yours to change."
    assert text.splitlines()[:2] == [first, ""] and text.count('if __name__ == "__main__":\n') == 1
    assert f"recipes.{method}" not in text and text.count("python my_own.py") >= 2


def test_an_unknown_method_is_named_with_those_there_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.multigen(["cp", "stylegan9", tmp_path / "a.py"]) == 2
    assert capsys.readouterr().err == f"error: no method 'stylegan9'; expected one of {', '.join(METHODS)}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("my-gan.py", "cannot be the name of a module"),
        ("class.py", "cannot be the name of a module"),
        ("3d.py", "cannot be the name of a module"),
        ("mine", "cannot be the name of a module"),
        ("wgan.py", "has the name of a method of multigen"),
        ("torch.py", "would hide the module torch"),
        ("json.py", "would hide the module json"),
        ("multigen.py", "would hide the module multigen"),
    ],
)
def test_a_name_that_would_harm_is_refused(
    name: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny.multigen(["cp", "dcgan", tmp_path / name]) == 2
    error = capsys.readouterr().err
    assert (
        error.startswith(f"error: {tmp_path / name} {why}") and "such as my_gan.py" in error and error.count("\n") == 1
    )
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_and_a_bad_folder_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text("x = 1\n")
    assert tiny.multigen(["cp", "dcgan", tmp_path / "mine.py"]) == 2
    assert "exists and is not overwritten" in capsys.readouterr().err
    assert (tmp_path / "mine.py").read_text() == "x = 1\n"
    for place in (tmp_path / "nowhere", tmp_path / "mine.py"):
        assert tiny.multigen(["cp", "dcgan", place / "other.py"]) == 2
        assert f"{place / 'other.py'} cannot be written (N" in capsys.readouterr().err


# -- using what it trained ---------------------------------------------------------------------------------------


def test_a_model_of_ones_own_is_used_by_naming_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, run = copied("dcgan", tmp_path / "my_gan.py"), model(tmp_path / "run", "my_gan")
    theirs = multigen.load(str(model(tmp_path / "theirs", "dcgan")))
    assert torch.equal(multigen.load(str(run), code=str(file)).sample(3), theirs.sample(3))
    out = tmp_path / "samples"
    assert tiny.multigen(["sample", "--model", run, "--code", file, "-n", "2", "--out", out]) == 0
    assert sorted(p.name for p in out.iterdir()) == ["0000.png", "0001.png"]
    assert tiny.multigen(["interpolate", "--model", run, "--code", file, "--n", "2", "--out", tmp_path / "a.gif"]) == 0
    capsys.readouterr()
    assert tiny.multigen(["sample", "--model", run, "--out", out]) == 2
    assert "was made by 'my_gan'" in (error := capsys.readouterr().err)
    assert "--code my_gan.py" in error and 'load(..., code="my_gan.py")' in error and error.count("\n") == 1
    for words in (
        ["write"],
        ["upscale", tmp_path / "a.gif", "--out", out],
    ):  # these take the flag too, and say what it is
        assert tiny.multigen([*words, "--model", run, "--code", file]) == 2
        assert (
            f"but it generates images from noise: multigen sample --model {run} --code {file}"
            in capsys.readouterr().err
        )


def test_the_report_of_a_run_names_the_file(tmp_path: Path) -> None:
    for method, code in (("my_gan", "mine/my_gan.py"), ("dcgan", "")):
        run = model(tmp_path / method, method)
        write_toml(
            run / "config.toml", {"method": method, "task": "image-synthesis", "config": to_table(SMALL), "run": {}}
        )
        began = {"time": "now", "step": 0, "began": {"command": f"python {code or '-m multigen.recipes.dcgan'} tiny"}}
        (run / "log.jsonl").write_text(f"{json.dumps(began)}\n")
        text = usage(gather(run))
        assert (f"--code {code} -n 64" in text) == (f"code=&quot;{code}&quot;)" in text) == bool(code)
        assert ("--code" in text) == bool(code)
        if code:
            (run / "log.jsonl").unlink()
            assert "--code my_gan.py -n 64" in usage(gather(run))


def test_a_folder_runs_no_code_by_itself(tmp_path: Path) -> None:
    run = model(tmp_path / "run", "my_gan")
    about = run / "model" / "config.json"
    trap = run / "model" / "my_gan.py"
    trap.write_text(f"import os\nos.mkdir({str(tmp_path / 'sprung')!r})\n")
    about.write_text(json.dumps({**json.loads(about.read_text()), "code": str(trap)}))
    with pytest.raises(CheckpointError, match="my_gan"):
        multigen.load(str(run))
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(ConfigError, match="has no trainer"):
        multigen.load(str(run), code=str(trap))
    assert (tmp_path / "sprung").exists()  # named by the user, it is run


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such Python file"),
        ("def f(:\n", r"cannot be imported \(SyntaxError"),
        ("1 / 0\n", r"cannot be imported \(ZeroDivisionError: division by zero\); fix the error"),
        ("raise SystemExit(3)\n", r"cannot be imported \(SystemExit: 3\)"),
        ("import no_such_module\n", "No module named 'no_such_module'"),
        ("x = 1\n", "has no trainer"),
    ],
)
def test_a_file_of_no_use_is_named(text: str | None, message: str, tmp_path: Path) -> None:
    file, path = tmp_path / "my_gan.py", list(sys.path)
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        trainer_in(import_code(str(file)), str(file))
    assert str(error.value).startswith(str(file)) and "\n" not in str(error.value)
    assert sys.path == path


OLD = "# Copied from dcgan of multigen 0.1.0 with its recipe; yours to change.\n"


@pytest.mark.parametrize("text", ["from multigen.image.generation import PictureConfig\n", "x = 1\n"])
def test_a_file_copied_by_an_older_version_is_to_be_copied_again(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, run = tmp_path / "my_gan.py", model(tmp_path / "run", "my_gan")
    file.write_text(OLD + text)
    assert tiny.multigen(["sample", "--model", run, "--code", file, "--out", tmp_path / "out"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {file} was copied by multigen 0.1.0 ") and error.count("\n") == 1
    assert "multigen cp dcgan FILE.py" in error


def test_the_file_must_be_that_of_the_trainer(tmp_path: Path) -> None:
    file, run = copied("dcgan", tmp_path / "his_gan.py"), model(tmp_path / "run", "my_gan")
    with pytest.raises(CheckpointError, match="trains 'his_gan', but the model was made by 'my_gan'"):
        multigen.load(str(run), code=str(file))


def test_a_file_may_import_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "beside_my_gan.py").write_text(
        "from multigen.engine import Trainer\n\n\nclass Model:\n    pass\n\n\nclass MyTrainer(Trainer[int]):\n"
        "    name = 'my_gan'\n\n    @classmethod\n    def load(cls, folder):\n        return Model()\n"
    )
    (tmp_path / "my_gan.py").write_text("from beside_my_gan import MyTrainer\n")
    run = model(tmp_path / "run", "my_gan")
    assert type(multigen.load(str(run), code=str(tmp_path / "my_gan.py"))).__name__ == "Model"


def test_the_command_of_a_file_is_recorded_as_it_was_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["mine/my_gan.py", "tiny"])
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    assert program() == "python mine/my_gan.py"
    monkeypatch.setattr(sys, "argv", ["/usr/bin/multigen"])
    assert program() == "python -m multigen"


# -- a run -------------------------------------------------------------------------------------------------------


def environment(folder: Path) -> dict[str, str]:
    """Without PYTHONPATH where this package is installed, else with it."""
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = python("-c", "import multigen; print(multigen.__file__)", cwd=folder, env=bare).stdout.strip()
    return bare if result == multigen.__file__ else {**bare, "PYTHONPATH": str(ROOT)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "verb"),
    [("dcgan", "sample"), ("seqgan", "write"), ("wavegan", "sample")],
    ids=["dcgan", "seqgan", "wavegan"],
)
def test_a_copy_trains_resumes_and_is_used_elsewhere(method: str, verb: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(copy_of(method, "mine.py"), encoding="utf-8")
    env = environment(tmp_path)
    words = ["mine.py", "tiny", "--device", "cpu", "--out", "run", "--save-every", "5"]
    done = python(*words, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    about = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert about["method"] == "mine" and about["command"] == f"python {' '.join(words)}"
    assert json.loads((tmp_path / "run/model/config.json").read_text())["method"] == "mine"
    card = (tmp_path / "run/model/README.md").read_text(encoding="utf-8")
    assert "--model MODEL --code mine.py" in card and 'load("MODEL", code="mine.py")' in card
    assert f"multigen {verb} --model {tmp_path / 'run'} --code mine.py" in (tmp_path / "run/report.html").read_text()

    shutil.copytree(tmp_path / "run", tmp_path / "cut")
    shutil.rmtree(checkpoints(tmp_path / "cut")[-1])
    shutil.rmtree(tmp_path / "cut" / "model")
    done = python("mine.py", "--resume", "cut", cwd=tmp_path, env=env)
    assert done.returncode == 0 and "resuming from cut" in done.stderr, done.stderr
    assert_same(saved_files(tmp_path / "run"), saved_files(tmp_path / "cut"))

    done = python("-m", "multigen", verb, "--model", "cut", "--code", "mine.py", "-n", "2", cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    usage = python("mine.py", "--help", cwd=tmp_path, env=env).stdout
    assert "usage: python mine.py [tiny|" in " ".join(usage.split())


@pytest.mark.dist
def test_a_copy_trains_on_two_ranks(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(copy_of("dcgan", "mine.py"), encoding="utf-8")
    words = [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "mine.py",
        "tiny",
        "--device",
        "cpu",
    ]
    done = python(*words, "--out", "run", cwd=tmp_path, env=environment(tmp_path))
    assert done.returncode == 0, done.stderr
    about = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert about["command"] == "python mine.py tiny --device cpu --out run"


def test_a_copy_for_which_there_is_no_room_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def torn(path: Path, text: str, encoding: str) -> None:
        path.write_bytes(text[:9].encode())
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", torn)
    assert tiny.multigen(["cp", "dcgan", tmp_path / "my_gan.py"]) == 2
    message = capsys.readouterr().err
    assert (
        message
        == f"error: {tmp_path / 'my_gan.py'} cannot be written (No space left on device); give a file elsewhere\n"
    )
    assert not [*tmp_path.iterdir()]
