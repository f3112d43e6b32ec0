"""`multigen write`, and a model of texts given to the commands for images."""

import json
from pathlib import Path

import pytest

import multigen
from multigen.image.restoration import srgan
from multigen.image.synthesis import gan
from tests import tiny
from tests.cli.test_sample import model as pictures
from tests.text.synthesis.test_writer import load, model


def test_texts_are_printed_with_a_blank_line_between(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = model(tmp_path / "run")
    words = ["write", "--model", run, "--prompt", "The old fox", "-n", "4", "--seed", "5", "--temperature", "0.7"]
    assert tiny.multigen([*words, "--top-k", "9", "--top-p", "0.9", "--length", "11"]) == 0
    expected = multigen.load(str(run)).generate("The old fox", 4, 5, 0.7, 9, 0.9, 11)
    assert capsys.readouterr().out == "\n\n".join(expected) + "\n"
    assert all(text.startswith("The old fox") for text in expected) and len(set(expected)) > 1


def test_one_text_without_a_prompt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = model(tmp_path / "run")
    assert tiny.multigen(["write", "--model", run]) == 0
    assert capsys.readouterr().out == multigen.load(str(run)).generate()[0] + "\n"


def test_texts_go_into_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, out = model(tmp_path / "run"), tmp_path / "new" / "texts.txt"
    assert tiny.multigen(["write", "--model", run, "-n", "3", "--out", out]) == 0
    assert capsys.readouterr().out == f"3 texts in {out}\n"
    assert out.read_text(encoding="utf-8") == "\n\n".join(multigen.load(str(run)).generate(n=3)) + "\n"


def test_no_draw_at_temperature_0_and_stops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = model(tmp_path / "run")
    writer = load(run)
    words = ["write", "--model", run, "--prompt", "The old", "-n", "2", "--temperature", "0"]
    (whole,) = writer.generate("The old", top_k=1)
    for seed in ("0", "9"):
        assert tiny.multigen([*words, "--seed", seed]) == 0
        assert capsys.readouterr().out == f"{whole}\n\n{whole}\n"
    end = whole.split()[3]
    stopped = whole[: whole.index(end, 7)]
    assert writer.generate("The old", temperature=0, stop=[end, "no such"]) == [stopped]
    assert tiny.multigen([*words, "--stop", "no such", end]) == 0
    assert capsys.readouterr().out == f"{stopped}\n\n{stopped}\n"


def test_prompts_of_a_file_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, file = model(tmp_path / "run"), tmp_path / "prompts.txt"
    file.write_bytes(b"\xef\xbb\xbfThe old fox\r\n\r\nA crow\r\n")
    assert tiny.multigen(["write", "--model", run, "--prompts", file, "-n", "2", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    writer = multigen.load(str(run))
    expected = [(begin, text) for begin in ("The old fox", "A crow") for text in writer.generate(begin, 2)]
    assert [(each["prompt"], each["text"]) for each in printed["texts"]] == expected
    out = tmp_path / "out.txt"
    assert tiny.multigen(["write", "--model", run, "--prompts", file, "--out", out]) == 0
    assert capsys.readouterr().out == f"2 texts in {out}\n"
    for content, message in ((b" \n", "no line with text"), ("Füchse und Hühner".encode("cp1252"), "likely cp1252")):
        file.write_bytes(content)
        assert tiny.multigen(["write", "--model", run, "--prompts", file]) == 2
        assert message in capsys.readouterr().err
    assert tiny.multigen(["write", "--model", run, "--prompts", file, "--prompt", "The"]) == 2
    assert "expected one of them; leave one out" in capsys.readouterr().err


def test_what_cannot_be_written_is_named_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, numbers = model(tmp_path / "run"), model(tmp_path / "numbers", None)
    gan_run, upscaler = (
        pictures(tmp_path / "gan", gan.GANConfig(size=16, channels=1, latent=4, width=8)),
        tmp_path / "upscaler",
    )
    pictures(upscaler, srgan.PRESETS["tiny"])
    (tmp_path / "file").touch()
    out, photo = tmp_path / "out", tiny.photos(tmp_path / "photos", 1) / "0.png"
    for words, message in [
        (["write", "--model", run, "-n", "0"], "n 0: expected 1 text or more"),
        (["write", "--model", run, "--temperature", "-1"], "temperature -1.0: expected a number above 0"),
        (["write", "--model", run, "--temperature", "nan"], "temperature nan: expected a number above 0"),
        (["write", "--model", run, "--stop", ""], "stop '': expected some text"),
        (["write", "--model", run, "--prompts", tmp_path / "none"], "cannot be read (No such file or directory)"),
        (["write", "--model", run, "--top-k", "-1"], "top_k -1: expected a number of tokens, or 0 for all"),
        (["write", "--model", run, "--top-p", "0"], "top_p 0.0: expected a share"),
        (["write", "--model", run, "--length", "-4"], "length -4: expected a number of tokens"),
        (["write", "--model", run, "--prompt", "The zebra"], "the model has never seen 'zebra'; use words of"),
        (["write", "--model", run, "--prompt", "The hen ran", "--length", "3"], "expected fewer than 3; shorten it"),
        (["write", "--model", numbers, "--prompt", "1 2"], "writes numbers, not words; leave --prompt out"),
        (["write", "--model", tmp_path / "none"], "is not a folder; give a run's folder"),
        (["write", "--model", run, "--out", tmp_path / "file" / "x"], "cannot be written"),
        (["write", "--model", run, "--out", tmp_path], "give another file for --out"),
        (
            ["write", "--model", gan_run],
            f"expected a model for `multigen write`, but it generates images from noise: multigen sample --model {gan_run} -n",
        ),
        (
            ["write", "--model", upscaler],
            "expected a model for `multigen write`, but it enlarges photographs: multigen upscale",
        ),
        (
            ["sample", "--model", run, "--out", out],
            f"expected a model for `multigen sample`, but it writes texts: multigen write --model {run} -n 5",
        ),
        (
            ["interpolate", "--model", run, "--out", tmp_path / "out.gif"],
            f"it writes texts: multigen write --model {run} -n 5",
        ),
        (
            ["upscale", photo, "--model", run, "--out", out],
            "expected a model for `multigen upscale`, but it writes texts: multigen write --model",
        ),
        (["upscale", photo, "--model", gan_run, "--out", out], "but it generates images from noise: multigen sample"),
    ]:
        assert tiny.multigen(words) == 2, words
        printed = capsys.readouterr()
        assert printed.err.startswith("error: ") and printed.err.count("\n") == 1 and printed.out == ""
        assert message in printed.err, words
        if words[0] in ("sample", "interpolate"):
            assert "enlarge" not in printed.err and "upscale" not in printed.err
    assert not out.exists()
