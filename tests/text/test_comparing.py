"""`multigen evaluate` of texts: two sets against each other, and texts under a model."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from multigen.text.comparing import compare_texts, word_divergence
from multigen.text.synthesis.likelihood import evaluate_texts
from tests import tiny
from tests.text.synthesis.test_writer import TEXTS, load, model

REAL = [f"the {a} {v} a {b}." for a in ("fox", "hen", "owl", "cat") for v in ("saw", "met") for b in ("crow", "mouse")]
OTHER = [f"one {c} in room {i}" for i, c in enumerate("bcdefghj")]


@pytest.fixture(autouse=True)
def without_the_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which takes seconds to load."""
    monkeypatch.setattr("multigen.text.comparing.sentence_distance", lambda *_: 0.0)


def test_equal_and_foreign_texts() -> None:
    same, other = (compare_texts(REAL, texts).rows["fake"] for texts in (REAL, OTHER))
    assert same["bleu_4"] == pytest.approx(1) and same["exact_copies"] == 1 and same["longest_copied"] == 6
    assert same["word_js"] < 0.1 and other["word_js"] == pytest.approx(1)
    assert other["exact_copies"] == other["longest_copied"] == other["bleu_2"] == 0
    baseline = compare_texts(REAL, OTHER).rows["real"]
    assert baseline["exact_copies"] == 0 and 0.3 < baseline["bleu_2"] <= 1


def test_the_divergence_of_words() -> None:
    assert word_divergence([["a", "b"]], [["b", "a"]]) == 0
    assert word_divergence([["a"]], [["b"]]) == 1
    p, q = 1 / 2, 1.0  # of "a" on either side
    expected = (p * math.log2(p / 0.75) + 0.5 * math.log2(0.5 / 0.25) + q * math.log2(q / 0.75)) / 2
    assert word_divergence([["a", "b"]], [["a", "a"]]) == pytest.approx(expected)


def test_two_files_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_bytes("\n".join([*REAL, "a café"]).encode("utf-16"))
    (tmp_path / "b.csv").write_text("text\n" + "\n".join(f'"{text}"' for text in REAL))
    words: list[Any] = ["evaluate", "--real", tmp_path / "a.txt", "--fake", tmp_path / "b.csv", "--device", "cpu"]
    assert tiny.multigen([*words, "--json", "--out", tmp_path / "out.json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["rows"]["fake"]["exact_copies"] == 1 and printed == json.loads((tmp_path / "out.json").read_text())
    assert printed["rows"]["fake"].keys() == printed["definitions"].keys()
    (tmp_path / "c.txt").write_bytes("“So”, they said, ‘no’ – café.\n".encode("cp1252") * 9)  # noqa: RUF001
    for more, message in (
        (["--size", "9"], "--size: not for texts"),
        (["--features", "inception"], "--features inception: not for texts"),
        (["--column", "none"], "has no column 'none'"),
        (["--fake", tmp_path / "c.txt"], "--encoding cp1252"),
        (["--model", tmp_path], "--real --fake --model given: expected --real DATA and --fake DATA"),
    ):
        assert tiny.multigen([*words, *more]) == 2
        err = capsys.readouterr().err
        assert message in err and err.count("\n") == 1


def test_a_text_beside_images_is_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.photos(tmp_path / "a", count=8)
    (tmp_path / "a" / "licence.txt").write_text("free")
    (tmp_path / "b.txt").write_text("\n".join(REAL))
    assert tiny.multigen(["evaluate", "--real", tmp_path / "a", "--fake", tmp_path / "b.txt"]) == 2
    assert "holds images, --fake" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------- under a model


@pytest.mark.parametrize("network", ["lstm", "transformer"])
def test_the_likelihood_of_texts_is_that_of_their_tokens(network: str, tmp_path: Path) -> None:
    writer = load(model(tmp_path, "bpe", network=network))
    texts = [TEXTS[0], "Ünseen!", TEXTS[1] * 3]  # the last in several windows
    rows = evaluate_texts(writer, texts).rows
    total, count = 0.0, 0
    assert writer.tokenizer is not None and writer.end is not None
    for i, text in enumerate(texts, 1):
        ids = [*writer.tokenizer.encode(text), writer.end]
        own = 0.0
        for start in range(0, len(ids), writer.length):
            part = ids[start : start + writer.length]
            with torch.no_grad():
                logits = writer.G(torch.tensor([part]))
            own += sum(logits[0, t].log_softmax(0)[token].item() for t, token in enumerate(part))
        assert rows[f"text {i}"]["nll"] == pytest.approx(-own / len(ids), rel=1e-5)
        assert rows[f"text {i}"]["bits_per_character"] == pytest.approx(-own / math.log(2) / len(text), rel=1e-5)
        total, count = total + own, count + len(ids)
    assert rows["texts"]["perplexity"] == pytest.approx(math.exp(-total / count), rel=1e-4)
    assert rows["texts"]["tokens"] == count


def test_perplexity_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, numbers, file = model(tmp_path / "run"), model(tmp_path / "numbers", None), tmp_path / "a.txt"
    file.write_text("\n".join([*TEXTS, "The zebra sang."]))
    words: list[Any] = ["evaluate", "--model", run, "--texts", file]
    assert tiny.multigen([*words, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert rows.keys() == {"texts", *(f"text {i}" for i in range(1, 5))}
    assert rows["text 1"]["unknown"] == 0 < rows["text 4"]["unknown"]
    for wrong, message in (
        (["--model", numbers], "writes numbers, not words"),
        (["--size", "3"], "--size: not for texts"),
        (["--texts", tmp_path / "none.txt"], "no such file"),
    ):
        assert tiny.multigen([*words, *wrong]) == 2
        assert message in capsys.readouterr().err
    assert tiny.multigen(["evaluate", "--model", run]) == 2
    assert "--model given: expected --real DATA and --fake DATA" in capsys.readouterr().err
