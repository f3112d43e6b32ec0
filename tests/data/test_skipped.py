"""What --skip-bad leaves out is named with the reason: the first on the terminal, all of it in the
run's log."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from multigen.console import messages
from multigen.data.skipped import reasons, report_skipped
from multigen.engine import Run
from multigen.engine.device import choose_device
from multigen.image.restoration.srgan import PRESETS as SRGAN
from multigen.image.restoration.srgan import SRGANTrainer
from multigen.image.synthesis.dcgan import PRESETS as DCGAN
from multigen.image.synthesis.dcgan import DCGANTrainer
from tests import tiny
from tests.audio import recordings


def test_the_first_are_named_and_the_log_has_all(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    skipped = [(Path(f"{i}.png"), f"{i}.png: it is damaged; repair it, or skip it: --skip-bad") for i in range(7)]
    assert reasons(skipped)[0] == "0.png: it is damaged; repair it"
    assert reasons([(Path("a.wav"), "no sound")]) == ["a.wav: no sound"]
    monkeypatch.setattr(messages, "sinks", [(log := list[str]()).append])  # as a run's log listens
    report_skipped(skipped, "images")
    assert [f"{i}.png" in line for i, line in enumerate(line for line in log if "more" not in line)] == [True] * 7
    message = capsys.readouterr().err.splitlines()
    assert message[0] == "7 images skipped, the first: 0.png: it is damaged; repair it"
    assert message[1:] == [
        *(f"  {i}.png: it is damaged; repair it" for i in range(1, 5)),
        "  and 2 more: the log.jsonl of the run lists all",
    ]
    report_skipped([], "images")
    assert capsys.readouterr().err == ""


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
        message = capsys.readouterr().err
        assert f"3 images skipped, the first: {folder}/bad0.png: expected an image" in message
        assert f"  {folder}/bad2.png: expected an image" in message and "--skip-bad" not in message


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


def test_upscale_writes_a_list_of_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tiny.photos(tmp_path / "d", 2, side=20), tmp_path / "up"
    for i in range(7):
        (folder / f"bad{i}.png").write_bytes(b"none")
    model = tiny.untrained(tmp_path / "m", SRGANTrainer(replace(SRGAN["tiny"], blocks=1, width=4), Run()))
    words = ["upscale", folder, "--model", model, "--out", out, "--skip-bad"]
    for _ in range(2):  # the second replaces the list, too
        assert tiny.multigen(words) == 0
        printed = capsys.readouterr()
        assert "2 images x4" in printed.out and ", 7 skipped" in printed.out
        assert f"7 images skipped, the first: {folder}/bad0.png: expected an image" in printed.err
        assert f"and 2 more: {out}/skipped.txt lists all" in printed.err
    lines = (out / "skipped.txt").read_text().splitlines()
    assert len(lines) == 8 and lines[7].startswith(f"{folder}/bad6.png: expected an image")
    (out / "skipped.txt").write_text("mine")
    assert tiny.multigen(words) == 2
    assert "skipped.txt exists and is not known as results" in capsys.readouterr().err
    assert tiny.multigen([*words, "--overwrite", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["skipped"]) == 7
