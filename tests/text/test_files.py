"""multigen.text.files: sources, cutting, splitting, token ids, and what is said of bad files."""

import contextlib
import hashlib
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from multigen.errors import ConfigError, DataError, MultigenError
from multigen.text.files import Split, encode, open_texts, split
from multigen.text.inspection import inspect_texts
from multigen.text.tokenizers import Tokenizer

PROSE = """THE TITLE

One day the  fox went out
to see the \t world.
   
It was a good day, he said.


Then he came home
again, tired.
"""
PARAGRAPHS = [
    "One day the fox went out to see the world.",
    "It was a good day, he said.",
    "Then he came home again, tired.",
]


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MULTIGEN_DATA", raising=False)


def write(path: Path, content: str | bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


# ---------------------------------------------------------------------------------------------------- files


def test_a_file_of_lines(tmp_path: Path):
    path = write(tmp_path / "a.txt", b"\xef\xbb\xbf one\r\ntwo  words \r\n\xe6\x98\x8e\n")
    assert open_texts(path) == open_texts(path, "line") == ["one", "two  words", "明"]
    assert open_texts(path, "file") == ["one\ntwo  words \n明"]
    assert open_texts(str(tmp_path)) == open_texts(path)
    assert open_texts(write(tmp_path / "blank.txt", "\none\n \ntwo"), "line") == ["one", "two"]


def test_prose_becomes_paragraphs(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = write(tmp_path / "a.txt", PROSE)
    assert open_texts(path) == open_texts(path, "paragraph") == PARAGRAPHS
    message = capsys.readouterr().err
    assert message.count(f"{path}: 3 paragraphs, 1 of fewer than 3 words left out\n") == 2
    assert message.count("taken as paragraphs, since blank lines part its lines; --unit line takes each line\n") == 1
    assert len(open_texts(path, "line")) == 6
    han = write(tmp_path / "b.txt", "明月光\n\n床前\n\n疑是地上霜")
    assert open_texts(han, "paragraph") == ["明月光", "疑是地上霜"]


def test_what_auto_takes_for_a_text(tmp_path: Path):
    lines = "".join(f"this is text number {i}\n" for i in range(200))
    path = write(tmp_path / "lines.txt", lines.replace("99\n", "99\n\n"))
    assert len(open_texts(path)) == 200  # two stray blank lines make no prose of it
    assert len(open_texts(write(tmp_path / "spaced.txt", lines.replace("\n", "\n\n")))) == 200
    for i in range(3):
        write(tmp_path / f"short/{i}.txt", PROSE)
        write(tmp_path / f"prose/{i}.txt", (PROSE + "\n") * 30)
        write(tmp_path / f"lists/{i}.txt", lines)
    assert open_texts(str(tmp_path / "short")) == [PROSE.strip()] * 3
    assert open_texts(str(tmp_path / "prose")) == PARAGRAPHS * 90
    assert len(open_texts(str(tmp_path / "lists"))) == 600


def test_prose_without_blank_lines_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = write(tmp_path / "a.txt", "a line of prose\n" * 60)
    assert open_texts(path, "paragraph") == [" ".join(["a line of prose"] * 60)]
    assert "a.txt: no blank line between 60 lines, which are taken as one paragraph" in capsys.readouterr().err


def test_folders_are_read_in_order_and_hidden_files_passed_over(tmp_path: Path):
    for name in ("b.txt", "a/z.TXT", "c.txt", ".hidden.txt", ".git/x.txt", "c.md"):
        write(tmp_path / name, f"text {name}")
    assert open_texts(str(tmp_path)) == ["text a/z.TXT", "text b.txt", "text c.txt"]


def test_relative_paths_are_sought_here_then_in_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path / "data/a.txt", "there")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"^a.txt: no such file or folder \(sought a.txt\)"):
        open_texts("a.txt")
    monkeypatch.setenv("MULTIGEN_DATA", str(tmp_path / "data"))
    assert open_texts("a.txt") == ["there"]
    write(tmp_path / "a.txt", "here")
    assert open_texts("a.txt") == ["here"]


# ---------------------------------------------------------------------------------------------------- bad files


def test_missing_and_foreign_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    expected = r"expected a \.txt file, a folder of them, fables"
    for name in (str(tmp_path / "no"), "", "x" * 5000):
        with pytest.raises(DataError, match=rf"no such file or folder \(sought .*\); {expected}.*MULTIGEN_DATA"):
            open_texts(name)
    write(tmp_path / "a.dat", "x")
    with pytest.raises(DataError, match=rf"{tmp_path}: no \.txt file in this folder; {expected}.*check the path"):
        open_texts(str(tmp_path))
    with pytest.raises(DataError, match=rf"a\.dat: this file does not end in \.txt; {expected}.*rename it"):
        open_texts(str(tmp_path / "a.dat"))

    def refuse(path: Path, *_: Any):
        raise PermissionError(13, "Permission denied", str(path))

    path = write(tmp_path / "b.txt", "x")
    monkeypatch.setattr("multigen.text.files.read_bounded", refuse)
    with pytest.raises(DataError, match=r"b\.txt: cannot be read \(Permission denied\); check its permissions"):
        open_texts(path)


def test_empty_files_are_named_or_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for content in ("", " \n\n"):
        path = write(tmp_path / "a.txt", content)
        with pytest.raises(DataError, match=r"a\.txt: this file is empty; expected text; remove it, or .*--skip-bad"):
            open_texts(path)
        with pytest.raises(DataError, match=r"a\.txt holds no text; expected at least one text, check its content"):
            open_texts(path, skip_bad=True)
    write(tmp_path / "b.txt", "good")
    capsys.readouterr()
    assert open_texts(str(tmp_path), "file", skip_bad=True) == ["good"]
    assert "files left out, empty or no UTF-8: 1\n" in capsys.readouterr().err
    with pytest.raises(DataError, match="holds no text; expected at least one paragraph"):
        open_texts(str(tmp_path / "b.txt"), "paragraph")


def test_damaged_lines_are_named_or_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write(tmp_path / "a.txt", b"first\nsecond\ncaf\xe9 \xc3\xa9\nfourth")
    write(tmp_path / "b.txt", "a good file")
    for unit in ("line", "file", "paragraph", "auto"):
        with pytest.raises(
            DataError, match=r"a\.txt, line 3: byte 0xe9 is no UTF-8; expected UTF-8 text; convert.*--skip-bad"
        ):
            open_texts(str(tmp_path), unit)
    assert open_texts(str(tmp_path), "line", skip_bad=True) == ["first", "second", "fourth", "a good file"]
    message = capsys.readouterr().err
    assert "lines left out, empty or no UTF-8: 1\n" in message and "a.txt, line 3: byte 0xe9 is no UTF-8\n" in message
    for unit in ("file", "paragraph"):
        assert open_texts(str(tmp_path), unit, skip_bad=True) == ["a good file"]
        assert "files left out, empty or no UTF-8: 1\n" in capsys.readouterr().err


def test_unknown_units_are_named(tmp_path: Path):
    wrong: Any = "sentence"
    with pytest.raises(ConfigError, match="unit 'sentence': expected one of auto, line, file, paragraph; choose one"):
        open_texts(str(tmp_path), wrong)


# ---------------------------------------------------------------------------------------------------- fables, hub


def test_fables(monkeypatch: pytest.MonkeyPatch):
    fables = pytest.importorskip("multigen.text.fables")
    assert open_texts("fables:5") == [text.strip() for text in fables.sample(5)]
    monkeypatch.setattr(fables, "sample", lambda n, *_, **__: [f"story {i}" for i in range(n)])
    assert len(open_texts("fables")) == 12000


@pytest.mark.parametrize(("made", "things", "usual"), [("fables", "stories", 12000), ("dialogues", "dialogues", 4000)])
def test_wrong_numbers_of_made_texts_are_named(made: str, things: str, usual: int):
    for number in ("0", "-1", "many", "1.5", "²", "10000001", "9" * 5_000):
        name = f"{made}:{number}"[:40]
        with pytest.raises(
            ConfigError, match=rf"{name}: expected a whole number of {things} .* such as {made}:{usual}"
        ):
            open_texts(f"{made}:{number}")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The `datasets` library, with its cache in the test's folder."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    return datasets


def test_saved_data_sets(tmp_path: Path, hub: Any):
    rows = {"title": ["x", "y", "z"], "text": ["one\ntwo", " three ", None], "stars": [1, 2, 3]}
    table = hub.Dataset.from_dict(rows)
    table.save_to_disk(tmp_path / "one")
    assert open_texts(f"hf:{tmp_path}/one") == ["one\ntwo", "three"]
    assert open_texts(f"hf:{tmp_path}/one:title", "line") == ["x", "y", "z"]
    assert open_texts(f"hf:{tmp_path}/one", "line") == ["one", "two", "three"]
    hub.DatasetDict({"train": table.select([0]), "test": table.select([1])}).save_to_disk(tmp_path / "two")
    assert open_texts(f"hf:{tmp_path}/two") == ["one\ntwo"]
    table.remove_columns("text").save_to_disk(tmp_path / "three")
    assert open_texts(f"hf:{tmp_path}/three") == ["x", "y", "z"]
    for wrong, named in (("one:stars", "stars"), ("one:none", "none")):
        with pytest.raises(
            DataError, match=rf"no column {named} of strings; expected one of title, text; say which: hf:"
        ):
            open_texts(f"hf:{tmp_path}/{wrong}")
    table.rename_column("text", "body").save_to_disk(tmp_path / "four")
    with pytest.raises(DataError, match="no column text of strings; expected one of title, body; say which"):
        open_texts(f"hf:{tmp_path}/four")


@pytest.mark.parametrize("places", [["../elsewhere.arrow"], ["/dev/zero"], ["{}/elsewhere.arrow"], ["train"] * 5_000])
def test_a_saved_data_set_names_files_in_its_folder(places: list[str], tmp_path: Path, hub: Any) -> None:
    os.mkfifo(tmp_path / "elsewhere.arrow")
    table = hub.Dataset.from_dict({"text": ["one", "two"]})
    table.save_to_disk(tmp_path / "one")
    state = json.loads((tmp_path / "one" / "state.json").read_text())
    names = [place.format(tmp_path) for place in places]
    state["_data_files"] = [{"filename": name} for name in names]
    write(tmp_path / "one" / "state.json", json.dumps(state))
    hub.DatasetDict({"train": table}).save_to_disk(tmp_path / "two")
    write(tmp_path / "two" / "train" / "state.json", json.dumps(state))
    hub.DatasetDict({"train": table}).save_to_disk(tmp_path / "three")
    write(tmp_path / "three" / "dataset_dict.json", json.dumps({"splits": ["train", *names]}))
    for name in ("one", "two", "three"):
        with pytest.raises(DataError, match=r"^[^\n]*json: expected names of what is in its folder[^\n]*$"):
            open_texts(f"hf:{tmp_path}/{name}")
    for file in ("state.json", "dataset_info.json", "data-00000-of-00001.arrow"):
        folder = tmp_path / file
        table.save_to_disk(folder)
        (folder / file).unlink()
        os.mkfifo(folder / file)
        with pytest.raises(DataError, match=r"^[^\n]*a named pipe; expected a regular file[^\n]*$"):
            open_texts(f"hf:{folder}")


def test_a_damaged_saved_data_set_is_one_line(tmp_path: Path, hub: Any) -> None:
    """Of those that are mapped into memory, each tenth ends the process."""
    hub.Dataset.from_dict({"text": ["the fox sat", "a hen ran", "the hen sat"] * 40}).save_to_disk(tmp_path)
    file = tmp_path / "data-00000-of-00001.arrow"
    whole = file.read_bytes()
    for seed in range(100):
        damaged, rng = bytearray(whole), random.Random(seed)
        for _ in range(4):
            damaged[rng.randrange(len(damaged))] = rng.choice([0, 1, 127, 255])
        file.write_bytes(damaged)
        with contextlib.suppress(DataError):  # some of it may not matter
            assert len(open_texts(f"hf:{tmp_path}")) > 0
    with open(file, "wb") as sparse:
        sparse.truncate(1 << 35)
    with pytest.raises(DataError, match=r"34,359,7[0-9,]* bytes, which are held in memory"):
        open_texts(f"hf:{tmp_path}")


def test_folders_of_jsonl(tmp_path: Path, hub: Any):
    for name, rows in {"b": ["three"], "a": ["one", " ", "two"]}.items():
        write(tmp_path / f"set/{name}.jsonl", "".join(json.dumps({"text": row}) + "\n" for row in rows))
    assert open_texts(f"hf:{tmp_path}/set") == ["one", "two", "three"]
    write(
        tmp_path / "named" / "a.jsonl",
        '{"n": 1, "body": "one"}\n\n{"body": null}\n{"n": 2, "body": "two", "x": ["a"]}\n',
    )
    assert open_texts(f"hf:{tmp_path}/named:body") == open_texts(f"hf:{tmp_path}/named") == ["one", "two"]


@pytest.mark.parametrize(
    "line", ["[" * 100_000 + "]" * 100_000, '{"text": ', "[1]", "\x1b]0;owned\x07", '{"text":' + '{"a":' * 50_000]
)
def test_a_line_that_is_no_table_is_named_without_a_library(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library's reader crashes, and asks a network whether it may."""
    monkeypatch.setitem(sys.modules, "datasets", None)
    write(tmp_path / "a.jsonl", '{"text": "one"}\n' + line)
    with pytest.raises(DataError, match=r"not available \(a\.jsonl, line 2: [^\n]*$"):
        open_texts(f"hf:{tmp_path}")


@pytest.mark.parametrize("name", ["x" * 5_000, "~nobody-of-this-name/x", "owner/" + "x" * 300, "a\0b"])
def test_a_name_that_no_file_can_have_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    for data in (name, f"hf:{name}", f"hf:{name}:text"):
        for act in (open_texts, inspect_texts):
            with pytest.raises(MultigenError, match=r"^[^\n]*; [^\n]*$"):
                act(data)


def test_data_sets_that_cannot_be_had_are_named(tmp_path: Path, hub: Any, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(DataError, match=r"hf:.* is not available \(.*\); expected a data set of .*network.*\.jsonl"):
        open_texts(f"hf:{tmp_path}")
    requested = []

    def offline(*args: Any, **settings: Any):
        requested.append((args, settings))
        raise ConnectionError("no\nnetwork")

    monkeypatch.setattr(hub, "load_dataset", offline)
    with pytest.raises(DataError, match=r"^hf:someone/tales:story is not available \(no network\)"):
        open_texts("hf:someone/tales:story")
    assert requested == [(("someone/tales",), {"split": "train"})]
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match=r"hf:tales needs the package datasets .*pip install 'multigen\[hub\]'"):
        open_texts("hf:tales")


# ---------------------------------------------------------------------------------------------------- splitting


def test_split_is_by_hash_and_keeps_the_order():
    texts = [f"text {i}" for i in range(4000)]
    result = split(texts, validation=0.1, test=0.05)
    share = {t: int.from_bytes(hashlib.sha256(t.encode()).digest()) / 2**256 for t in texts}
    assert result.test == [t for t in texts if share[t] < 0.05]
    assert result.validation == [t for t in texts if 0.05 <= share[t] < 0.15]
    assert result.train == [t for t in texts if share[t] >= 0.15]
    assert 150 < len(result.test) < 250 and 330 < len(result.validation) < 470
    more = split(["new", *texts, "newer"], validation=0.1, test=0.05)
    assert [set(a) - set(b) for a, b in ((result.train, more.train), (result.test, more.test))] == [set(), set()]
    assert set(result.validation) <= set(more.validation)


def test_equal_texts_fall_into_one_part():
    """Those that differ in white space or in how accents are encoded are equal; those that differ
    in case are not."""
    texts = [f"café  {i}" for i in range(300)]
    same = [f" cafe\u0301\n{i} " for i in range(300)]
    result = split([*texts, *same])
    for part in (result.train, result.validation, result.test):
        assert [t for t in part if t in same] == [same[texts.index(t)] for t in part if t in texts]
    assert len(result.train) + len(result.validation) + len(result.test) == 600
    assert split(["a", "A", "b"])


@pytest.mark.parametrize("count", [3, 4, 7])
@pytest.mark.parametrize("shares", [(0.05, 0.05), (1e-9, 1e-9), (0.01, 0.98), (0.98, 0.01), (0.5, 1e-9)])
def test_no_part_is_empty(count: int, shares: tuple[float, float]):
    for first in range(0, 100, count):
        texts = [f"t{i}" for i in range(first, first + count)]
        result = split(texts, *shares)
        assert all((result.train, result.validation, result.test))
        assert sorted(result.train + result.validation + result.test) == sorted(texts)
    ranked = sorted(texts, key=lambda t: hashlib.sha256(t.encode()).digest())
    smallest = split(texts, 1e-9, 1e-9)
    assert (smallest.test, smallest.validation) == (ranked[:1], ranked[1:2])


def test_too_few_texts_are_named(tmp_path: Path):
    path = write(tmp_path / "a.txt", "only one line")
    with pytest.raises(
        DataError, match=r"a\.txt holds 1 different texts; expected at least 3, to train.*give more, or cut"
    ):
        split(open_texts(path), where=path)
    with pytest.raises(DataError, match="the data holds 2 different texts"):
        split(["a", "b", " a", "b "])
    for wrong in ((0, 0.1), (0.1, 0), (0.5, 0.5), (-0.1, 0.2), (float("nan"), 0.1)):
        with pytest.raises(ConfigError, match=r"shares of validation .* and test .*: expected both above 0"):
            split(["a", "b", "c"], *wrong)


# ---------------------------------------------------------------------------------------------------- ids


def test_ids_are_ended_padded_and_cut():
    tokenizer = Tokenizer.train(["a b c d"], "words")  # a is 4
    ids, cut = encode(["a b", "d c b a", "a", "b x a"], tokenizer, 4)
    assert ids.tolist() == [[4, 5, 2, 0], [7, 6, 5, 4], [4, 2, 0, 0], [5, 3, 4, 2]]
    assert (ids.dtype, cut) == (torch.int64, 1)
    ids, cut = encode(["a b c d", "a"], tokenizer, 1)
    assert (ids.tolist(), cut) == ([[4], [4]], 2)
    assert encode([], tokenizer, 3)[0].shape == (0, 3)


def test_texts_without_tokens_and_wrong_lengths_are_named():
    tokenizer = Tokenizer.train(["a b"], "words")
    with pytest.raises(DataError, match=r"text 2 of 3, ' \\n', has no tokens; expected at least one; remove it"):
        encode(["a", " \n", "b"], tokenizer, 3)
    with pytest.raises(ConfigError, match="length 0: expected at least 1 token a text; give a greater one"):
        encode(["a"], tokenizer, 0)


# ---------------------------------------------------------------------------------------------------- larger data


@pytest.mark.data
def test_captions(data_root: Path):
    train, test = (open_texts(str(data_root / f"text/captions/{part}.txt")) for part in ("train", "test"))
    assert (len(train), len(test)) == (10000, 10000)
    assert open_texts(str(data_root / "text/captions")) == test + train
    corpus = split(train)
    assert min(len(corpus.validation), len(corpus.test)) > 400
    tokenizer = Tokenizer.train(corpus.train, "words")
    ids, cut = encode(corpus.test, tokenizer, 64)
    assert (ids.shape, cut) == ((len(corpus.test), 64), 0)
    assert (ids == tokenizer.unknown).sum() < 0.04 * (ids != tokenizer.pad).sum()
    texts = [text for text, row in zip(corpus.test, ids, strict=True) if tokenizer.unknown not in row.tolist()]
    assert [tokenizer.encode(tokenizer.decode(tokenizer.encode(text))) for text in texts] == [
        tokenizer.encode(text) for text in texts
    ]


@pytest.mark.data
def test_stories_and_poems(data_root: Path, capsys: pytest.CaptureFixture[str]):
    stories = open_texts(str(data_root / "text/stories"))
    assert len(stories) == 6048
    assert all(text == " ".join(text.split()) for text in stories)
    message = capsys.readouterr().err
    assert "6,048 paragraphs, 176 of fewer than 3 words left out" in message
    assert "wizard_of_oz.txt: no blank line between 4286 lines" in message
    assert any(text.startswith("WOLF, meeting with a Lamb astray from the fold, resolved not to") for text in stories)
    poems = open_texts(str(data_root / "text/poems/shi.txt"))
    assert len(poems) == 16394
    corpus = split(poems)
    ids, cut = encode(corpus.test, Tokenizer.train(corpus.train, "words"), 25)
    assert (cut, ids.shape[1]) == (0, 25)
    assert isinstance(corpus, Split)
