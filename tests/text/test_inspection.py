"""What is said of texts, and whether training accepts what is suggested."""

from pathlib import Path
from typing import Any

import pytest

from multigen.errors import ConfigError
from multigen.text.datasets import Corpus, open_corpus
from multigen.text.files import open_texts
from multigen.text.inspection import inspect_texts
from tests.data.suggestions import configured, facts

ANIMALS, VERBS = ("fox", "hen", "owl", "cat", "crow", "mouse"), ("saw", "met", "fed", "fooled")
LINES = [f"the {a} {v} a {b}." for a in ANIMALS for v in VERBS for b in ANIMALS if a != b]


def opened(config: Any) -> Corpus:
    """What training opens."""
    given = {name: getattr(config, name) for name in ("unit", "tokenizer", "vocabulary_size", "skip_bad")}
    return open_corpus(config.data, config.length, **given)


def test_lines(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("\n".join([*LINES, "", LINES[0], LINES[0]]), encoding="utf-8")
    result = inspect_texts(str(path))
    message = facts(result)
    assert message["layout"].value == {"files": 1, "lines": 123, "blank_lines": 1, "blocks": 2}
    assert message["texts"].value == {"count": 122, "unit": "line"}
    assert message["words"].value == {"least": 5, "median": 5, "most": 5, "total": 610}
    assert message["duplicates"].value == 2
    assert message["characters"].value["scripts"] == {"latin": 1.0}
    assert message["vocabulary"].value == len({w for line in LINES for w in line[:-1].split()} | {"."}) + 4
    assert result.unreadable == []
    config = configured(result.suggestions[0], path)
    assert (config.unit, config.tokenizer, config.length, config.batch) == ("line", "words", 8, 64)
    corpus = opened(config)
    assert len(corpus.train) + len(corpus.validation) + len(corpus.test) == 122


def test_faults_are_listed_by_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\n".join(LINES).encode() + "\nthe café".encode() + b" \xe9 of the fox\nthe end\n\xff\n")
    result = inspect_texts(str(path))
    assert result.unreadable == [
        (path, "line 121: byte 0xe9 is no UTF-8"),
        (path, "line 123: byte 0xff is no UTF-8"),
    ]
    config = configured(result.suggestions[0], path)
    assert config.skip_bad
    assert len(open_texts(config.data, config.unit, config.skip_bad)) == 121


def test_files_that_would_be_left_out_whole(tmp_path: Path) -> None:
    for i, line in enumerate(LINES):
        (tmp_path / f"{i:03}.txt").write_text(line)
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)))
    (tmp_path / "wide.txt").write_bytes("the owl met a hen.".encode("utf-16"))  # its mark says what it is
    result = inspect_texts(str(tmp_path))
    assert {path.name for path, _ in result.unreadable} == {"binary.txt", "empty.txt"}
    assert any("2 files are no UTF-8 or empty" in warning for warning in result.warnings)
    config = configured(result.suggestions[0], tmp_path)
    assert config.unit == "file" and config.skip_bad
    assert len(opened(config).train) > 90


def test_nothing_but_faults_gives_no_suggestion(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xff\n\xff")
    result = inspect_texts(str(path))
    assert result.suggestions == [] and len(result.unreadable) == 2
    assert any("holds no text" in warning for warning in result.warnings)


@pytest.mark.parametrize("content", ["one line\n", "the fox\nthe fox\n", "a\na\nb\n"])
def test_too_few_texts_give_no_suggestion(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(content)
    result = inspect_texts(str(path))
    assert result.suggestions == [] and any("at least 3" in warning for warning in result.warnings)


def test_long_paragraphs_with_many_words(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    blocks = [" ".join(f"word{i * 60 + j}" + ("\n" if j % 10 == 9 else "") for j in range(40, 100)) for i in range(200)]
    path.write_text("\n\n".join(blocks))
    result = inspect_texts(str(path))
    config = configured(result.suggestions[0], path)
    assert (config.unit, config.tokenizer, config.length) == ("paragraph", "bpe", 128)
    assert any("longer than 128 tokens" in warning for warning in result.warnings)


def test_scripts_without_spaces(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("\n".join(f"\u5e8a\u524d\u660e\u6708\u5149{chr(0x4E00 + i)}" for i in range(50)), encoding="utf-8")
    result = inspect_texts(str(path))
    assert facts(result)["characters"].value["scripts"] == {"cjk": 1.0}
    assert "Han" in result.suggestions[0].reason
    opened(configured(result.suggestions[0], path))


def test_a_file_whose_name_begins_like_the_made_up_stories_is_one_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fables.txt").write_text("\n".join(LINES), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    result = inspect_texts("fables.txt")
    assert facts(result)["layout"].value["lines"] == len(LINES)
    assert [suggestion.reason for suggestion in result.suggestions] != ["the preset laptop was made for them"]


def test_fables_have_their_preset() -> None:
    result = inspect_texts("fables:300")
    assert facts(result)["texts"].value == {"count": 300, "unit": "file"}
    assert configured(result.suggestions[0], "fables:300").network == "transformer"


def test_the_hub_is_not_asked() -> None:
    with pytest.raises(ConfigError, match="hf:roneneldan/TinyStories: inspect downloads nothing"):
        inspect_texts("hf:roneneldan/TinyStories")


@pytest.mark.data
def test_captions(data_root: Path) -> None:
    config = configured(inspect_texts("text/captions/train.txt").suggestions[0], "text/captions/train.txt")
    assert (config.unit, config.tokenizer) == ("line", "words")
