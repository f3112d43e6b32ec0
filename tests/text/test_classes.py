"""Classes of texts: by folders and by a column of a table, in training, writing and evaluation."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import multigen
from multigen.errors import ConfigError, DataError
from multigen.recipes import relgan, scratchgan, seqgan
from multigen.runs.runner import main
from multigen.text.datasets import open_corpus
from multigen.text.inspection import inspect_texts
from multigen.text.synthesis.likelihood import evaluate_texts
from multigen.text.synthesis.writer import Writer
from tests import tiny
from tests.cases import few
from tests.data.suggestions import configured, facts

SAID = {"animals": [f"the {a} saw the {b}" for a in ("fox", "hen", "owl", "cat") for b in ("cow", "ram", "sow", "ox")]}
SAID["weather"] = [f"rain fell in {m} {n}" for m in ("may", "june", "july", "march") for n in range(4)]
FLAGS = "--length 8 --embedding 8 --width 32 --batch 16 --samples 20 --tokenizer words"
FLAGS += " --mle-steps 100 --mle-lr 3e-2 3e-2 --lr 1e-5 --discriminator-steps 2 --steps 1 --critic-steps 1"
FLAGS += " --lm-steps 2 --device cpu --precision fp32"


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for name, lines in SAID.items():
        for i, line in enumerate(lines):
            path = tmp_path / "data" / name / f"{i}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(line)
    return tmp_path / "data"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [{"text": line, "topic": name} for name, lines in SAID.items() for line in lines]
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_a_text_begins_with_the_token_of_its_class(folders: Path, table: Path) -> None:
    for data, column in ((folders, ""), (table, "topic")):
        corpus = open_corpus(str(data), 8, conditional=True, label_column=column)
        assert corpus.info.classes == ("animals", "weather") and corpus.tokenizer is not None
        assert corpus.info.words == len(corpus.tokenizer) and corpus.info.mismatch(corpus.tokenizer) == ""
        rows = torch.cat([corpus.train, corpus.validation, corpus.test])
        assert rows.shape == (32, 8)
        for row, text in zip(rows, corpus.texts(rows), strict=True):
            assert text in SAID[corpus.info.classes[int(row[0]) - corpus.info.words]]


def test_texts_without_classes_are_named(folders: Path, table: Path) -> None:
    (folders / "loose.txt").write_text("of no class")
    for data, column in ((folders, ""), (table, "")):
        with pytest.raises(
            DataError, match=r"no classes of its texts; expected one folder per class .*--label-column NAME"
        ):
            open_corpus(str(data), 8, conditional=True, label_column=column)
    with pytest.raises(ConfigError, match=r"conditional: oracle has no classes"):
        open_corpus("oracle", 8, conditional=True)
    with pytest.raises(DataError, match=r"no column 'colour'; .*'topic'.*--label-column NAME"):
        open_corpus(str(table), 8, conditional=True, label_column="colour")


def test_inspect_lists_the_classes(folders: Path, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for data, column in ((folders, ""), (table, "topic")):
        result = inspect_texts(str(data), label_column=column)
        assert facts(result)["classes"].value == {"animals": 16, "weather": 16}
        config = configured(result.suggestions[0], data)
        assert config.conditional and config.label_column == column
    assert tiny.multigen(["inspect", table, "--label-column", "topic"]) == 0
    assert "2 by topic: animals (16), weather (16)" in capsys.readouterr().out


POLICY = "--negatives 16 --refill 4 --control-steps 1"
OWN: dict[Any, str] = {
    seqgan: f"{POLICY} --rollouts 2 --filters 1 4 2 4",
    scratchgan: POLICY,
    relgan: "--filters 1 4 2 4",
}


@pytest.mark.parametrize("recipe", few(OWN, seqgan), ids=["seqgan", "scratchgan", "relgan"])
def test_a_class_is_learned_and_asked_for(
    recipe: Any, folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = ["tiny", *FLAGS.split(), *OWN[recipe].split(), "--data", folders, "--conditional", "--out", run]
    assert tiny._run(lambda: main(recipe.TRAINER, recipe.PRESETS), words) == 0
    rows = json.loads((run / "evaluation.json").read_text())["rows"]
    assert 0.5 < rows["real"]["class_accuracy"] <= 1 and 0 <= rows["mle/best"]["class_accuracy"] <= 1
    writer = multigen.load(str(run))
    assert isinstance(writer, Writer) and writer.classes == ("animals", "weather")
    about = {name: writer.generate(n=20, label=name) for name in writer.classes}
    assert (
        sum("the" in text.split() for text in about["animals"]) > 10 > sum("the" in t.split() for t in about["weather"])
    )
    assert writer.generate("the", n=3, label="animals")[0].startswith("the") and writer.generate("the")[0].startswith(
        "the"
    )
    capsys.readouterr()
    assert tiny.multigen(["write", "--model", run, "--class", "weather", "-n", "3", "--json"]) == 0
    texts = [each["text"] for each in json.loads(capsys.readouterr().out)["texts"]]
    assert texts == writer.generate(n=3, label="weather")
    result = evaluate_texts(writer, [SAID["animals"][0], "june the hen"]).rows
    assert result["text 1"]["nll"] < result["text 2"]["nll"]
    with pytest.raises(ConfigError, match=r"class 'plants': expected one of animals, weather; ask for another"):
        writer.generate(label="plants")
