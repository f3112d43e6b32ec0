"""What a run, its report and a benchmark leave is known again; what a user put in its place, or
changed, is kept."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from multigen.config import Run
from multigen.data.folders import files_in
from multigen.data.parts import find_parts
from multigen.errors import CheckpointError, ConfigError
from multigen.runs.card import Card
from multigen.runs.runner import report_on, train
from multigen.storage.lock import locked
from tests import tiny
from tests.engine.toys import Small, ToyConfig, options

RUN = 'version = "0.2.0"\nmethod = "dcgan"\n\n[config]\nbatch = 4\n\n[run]\nseed = 0\n'


# ------------------------------------------------------------------------------------------------------- runs below the data


def test_runs_below_the_data_are_no_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = tiny.photos(tmp_path / "album" / "train")
    (tmp_path / "album" / "test").mkdir()
    run = tmp_path / "album" / "runs" / "dcgan" / "1"
    tiny.photos(run / "previews")
    (run / "config.toml").write_text(RUN)
    album = tmp_path / "album"
    assert files_in(album) == files_in(photos) and len(files_in(photos)) == 3
    assert capsys.readouterr().err == f"{run} is a run: left out of the data\n"  # once, though it was met twice
    assert len(files_in(run / "previews")) == 3  # one that is named itself is read
    for text in (RUN.replace("method", "recipe"), "[project]\nname = 1\n", "method = 'a'\n"):
        (run / "config.toml").write_text(text)
        assert len(files_in(album)) == (3 if "recipe" in text else 7)  # with config.toml


@pytest.mark.parametrize(
    "verb", [["inspect"], ["train", "dcgan", "tiny", "--data"], ["train", "wavegan", "tiny", "--data"]]
)
def test_a_run_given_as_data_is_refused(tmp_path: Path, verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run 1"
    tiny.photos(run / "previews")
    (run / "config.toml").write_text(RUN)
    assert tiny.multigen([*verb, run]) == 2
    error = f"{run} is a run; expected data; to look at the run: multigen report '{run}'"
    assert error in capsys.readouterr().err


def test_a_run_beside_the_training_part_is_no_part(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.toml").write_text(RUN)
    tiny.photos(tmp_path / "train")
    tiny.photos(tmp_path / "run" / "previews")
    assert find_parts(tmp_path, files_in(tmp_path)).folders("train") == "train/"


@pytest.mark.slow
def test_a_run_in_the_folder_of_its_data_is_resumed_with_the_same_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tiny.photos(tmp_path / "photos")
    run = tiny.trained(tmp_path, "--out", photos / "run", "--preview-every", "1").parent / "photos" / "run"
    assert list((run / "previews").glob("*.png"))
    capsys.readouterr()
    assert tiny.recipe(["--resume", run]) == 0
    assert f"{run} is a run: left out of the data" in capsys.readouterr().err
    assert tiny.multigen(["inspect", photos, "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["items"]["train"] == 3 and f"{run} is a run: left out" in printed.err


# ---------------------------------------------------------------------------------------------------------- reports and cards


def test_a_report_is_written_again_but_not_over_a_page_of_a_users(
    srgan_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tiny.copy_of(srgan_run, tmp_path)
    assert tiny.multigen(["report", run]) == 0
    mine = tmp_path / "mine.html"
    mine.write_text("<h1>thesis</h1>")
    assert tiny.multigen(["report", run, "--out", mine]) == 2
    assert f"{mine} exists and is not known" in capsys.readouterr().err
    assert mine.read_text() == "<h1>thesis</h1>"
    assert tiny.multigen(["report", run, "--out", mine, "--overwrite"]) == 0
    assert tiny.multigen(["report", run, "--out", mine]) == 0
    assert report_on(run, mine) == mine


@pytest.mark.slow
def test_a_page_of_a_users_in_the_run_stays_when_training_goes_on(
    srgan_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tiny.copy_of(srgan_run, tmp_path)
    mine = [run / name for name in ("report.html", "model/thesis.bin", "notes.txt", "model/README.md")]
    for file in mine[:3]:
        file.write_text("thesis")
    mine[3].write_text(changed := mine[3].read_text().replace("## Limits", "## My limits"))
    assert tiny.recipe(["--resume", run]) == 0
    message = capsys.readouterr().err
    assert "report.html could not be written" in message and "model/README.md was not written by multigen" in message
    assert [file.read_text() for file in mine] == ["thesis"] * 3 + [changed]


def test_a_card_that_nobody_changed_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multigen.runs.card.card", lambda facts: f"card of step {facts.step}\n")
    run = options(tmp_path, save_every=2)
    trainer = Small(ToyConfig(), run, [Card()]).fit()
    card = trainer.folder / "model" / "README.md"
    assert card.read_text().startswith("card of step 6\n")
    for text, kept in ((card.read_text(), False), ('---\nlibrary_name: "multigen"\n', False), ("mine\n", True)):
        card.write_text(text)
        Small(ToyConfig(), Run(resume=str(tmp_path), device="cpu", precision="fp32"), [Card()]).prepare()
        Card().on_end(trainer)
        assert (card.read_text() == text) is (kept or text.startswith("card"))


def test_an_evaluation_of_a_users_is_not_replaced(tmp_path: Path) -> None:
    trainer = Small(ToyConfig(), options(tmp_path), [Card()]).fit()
    (tmp_path / "evaluation.json").write_text('{"mine": 1}')
    with pytest.raises(CheckpointError, match=r"evaluation.json was not written by multigen; move it elsewhere"):
        trainer.evaluate()
    assert (tmp_path / "evaluation.json").read_text() == '{"mine": 1}'


# ------------------------------------------------------------------------------------------------------------- several seeds


@pytest.mark.parametrize("name", ["notes.txt", "seed-0/config.toml", "evaluation.json"])
def test_the_folder_of_several_seeds_is_new_or_empty(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(RUN)
    expected = "holds runs already; resume them with --seeds" if name.startswith("seed") else "is not empty"
    with pytest.raises(ConfigError, match=f"{expected}.*another --out"):
        train(Small, ToyConfig(), options(tmp_path), seeds=2)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [file]


def test_seeds_are_resumed_and_missing_ones_begun(tmp_path: Path) -> None:
    """Those of the command, whichever are there; a copy of a run beside them is none of them."""
    out = tmp_path / "seeds"
    whole = train(Small, ToyConfig(), replace(options(out), seed=3), seeds=3)[2]
    shutil.rmtree(out / "seed-3")
    (out / "seed-4").rename(out / "seed-4-old")
    again = replace(options(out), out="", resume=str(out), seed=3)
    assert train(Small, ToyConfig(), again, seeds=3)[2]["rows"] == whole["rows"]
    assert sorted(run.name for run in out.glob("seed-*")) == ["seed-3", "seed-4", "seed-4-old", "seed-5"]
    for other in (replace(again, seed=4), replace(again, seed=0)):
        with pytest.raises(
            ConfigError, match=r"holds a run of seed 3, not one of the seeds \d to \d; give its first seed"
        ):
            train(Small, ToyConfig(), other, seeds=3)
    (out / "seed-6").mkdir()
    (out / "seed-6" / "log.jsonl").write_text("")
    with pytest.raises(ConfigError, match=r"seed-6 holds no run that can be resumed; remove it"):
        train(Small, ToyConfig(), again, seeds=4)


def test_the_folder_of_several_seeds_belongs_to_one_process(tmp_path: Path) -> None:
    out = tmp_path / "seeds"
    out.mkdir()
    with locked(out), pytest.raises(ConfigError, match=r"seeds is in use by process \d+"):
        train(Small, ToyConfig(), options(out), seeds=2)
    assert not [*out.iterdir()]


# -------------------------------------------------------------------------------------------------------------- the home folder


def test_paths_may_begin_with_the_home_folder(
    srgan_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(srgan_run)
    tiny.photos(tmp_path / "album", 1)
    assert tiny.multigen(["report", "~/link", "--out=~/r.html"]) == 0
    assert tiny.multigen(["upscale", "~/album", "--model", "~/link", "--out", "~/up"]) == 0
    assert (tmp_path / "r.html").exists() and (tmp_path / "up" / "0.png").exists() and not (tmp_path / "~").exists()
