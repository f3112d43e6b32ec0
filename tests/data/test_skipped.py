"""What --skip-bad leaves out is named with the reason: the first on the terminal, all of it in the run's log."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from multigen.data.skipped import reasons, report_skipped
from multigen.engine import Run
from multigen.engine.device import choose_device
from multigen.image.restoration.srgan import PRESETS as SRGAN
from multigen.image.restoration.srgan import SRGANTrainer
from multigen.image.synthesis.dcgan import PRESETS as DCGAN
from multigen.image.synthesis.dcgan import DCGANTrainer
from tests import tiny
from tests.audio import recordings


def test_the_first_are_named_and_the_rest_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    skipped = [(Path(f"{i}.png"), f"{i}.png: it is damaged; repair it, or skip it: --skip-bad") for i in range(7)]
    assert reasons(skipped)[0] == "0.png: it is damaged; repair it"
    assert reasons([(Path("a.wav"), "no sound")]) == ["a.wav: no sound"]
    report_skipped(skipped, "images")
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "7 images skipped, the first: 0.png: it is damaged; repair it"
    assert said[1:] == [
        *(f"  {i}.png: it is damaged; repair it" for i in range(1, 5)),
        "  and 2 more: the log.jsonl of the run lists all",
    ]
    report_skipped([], "images")
    assert capsys.readouterr().err == ""


def test_the_log_of_a_run_names_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "d"
    for i in range(8):
        recordings.write(folder / f"{i}.wav", recordings.sine(4096, 300.0 + 50 * i))
    for i in range(7):
        (folder / f"bad{i}.wav").write_bytes(b"none")
    words = ["train", "wavegan", "tiny", "--steps", "1", "--data", folder, "--skip-bad", "--out", tmp_path / "run"]
    assert tiny.multigen(words) == 0
    said = capsys.readouterr().err
    assert f"7 recordings skipped, the first: {folder}/bad0" in said and f"  {folder}/bad4" in said
    assert f"{folder}/bad6" not in said and "and 2 more: the log.jsonl of the run lists all" in said
    log = [json.loads(line).get("said", "") for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert all(any(f"{folder}/bad{i}" in line for line in log) for i in range(7))


def test_images_that_are_skipped_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tiny.photos(tmp_path / "d", 8)
    for i in range(3):
        (folder / f"bad{i}.png").write_bytes(b"none")
    data, cpu = str(folder), Run(device="cpu")
    for trainer in (
        DCGANTrainer(replace(DCGAN["tiny"], data=data, skip_bad=True), cpu),
        SRGANTrainer(replace(SRGAN["tiny"], data=data, crop=32, test=(str(folder / "0.png"),), skip_bad=True), cpu),
    ):
        trainer.device = choose_device("cpu")
        trainer.precision = "fp32"
        trainer.open_data()
        said = capsys.readouterr().err
        assert f"3 images skipped, the first: {folder}/bad0.png: expected an image" in said
        assert f"  {folder}/bad2.png: expected an image" in said and "--skip-bad" not in said


def test_evaluate_lists_all_in_its_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "d"
    for i in range(6):
        recordings.write(folder / f"{i}.wav", recordings.sine(4096, 300.0 + 50 * i))
    for i in range(7):
        (folder / f"bad{i}.wav").write_bytes(b"none")
    words = ["evaluate", "--real", folder, "--fake", folder, "--skip-bad", "--json", "--out", tmp_path / "e.json"]
    assert tiny.multigen(words) == 0
    printed = capsys.readouterr()
    for text in (printed.out, (tmp_path / "e.json").read_text()):
        assert all(f"{folder}/bad{i}.wav" in json.loads(text)["remarks"]["skipped"] for i in range(7))
    assert f"{folder}: 7 recordings skipped, the first: {folder}/bad0.wav: " in printed.err
