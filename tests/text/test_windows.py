"""Books: windows over the whole of long texts. Poems: their line breaks."""

from pathlib import Path

import pytest
import torch

from multigen.text.datasets import open_corpus
from multigen.text.files import open_texts
from multigen.text.inspection import inspect_texts
from multigen.text.tokenizers import Tokenizer
from multigen.text.windows import are_long, encode_windows, passages
from tests.data.suggestions import configured, facts

BOOK = " ".join(f"word{i} and\nthe fox." if i % 9 else f"\n\nChapter {i}." for i in range(900))
HAN = "".join(chr(0x4E00 + i % 700) for i in range(5_000))


@pytest.mark.parametrize("book", [BOOK, HAN], ids=["words", "han"])
def test_passages_are_the_text(book: str) -> None:
    result = passages(book, 20, len(book))
    assert "".join(result) == book and len(result) > 10
    assert are_long([book], 20) and not are_long(["the fox ran home"], 20)


def test_windows_cover_each_text() -> None:
    texts = [BOOK[:3_000], "the fox."]
    tokenizer = Tokenizer.train(texts, "bpe")
    rows, owners = encode_windows(texts, tokenizer, 20)
    assert owners == [0] * (len(rows) - 1) + [1]
    ids = tokenizer.encode(texts[0])
    whole = rows[:-1].tolist()
    assert [token for row in whole[:-1] for token in row] == ids[: 20 * (len(whole) - 1)] and whole[-1] == ids[-20:]
    assert not (rows[:-1] == tokenizer.end).any() and (rows[-1] == tokenizer.end).sum() == 1
    assert tokenizer.decode(rows[-1].tolist()) == "the fox."


@pytest.mark.parametrize("book", [BOOK, HAN], ids=["words", "han"])
def test_the_whole_of_a_book_is_learned(book: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "book.txt"
    path.write_text(book, encoding="utf-8")
    corpus = open_corpus(str(path), 20, unit="file")
    rows = torch.cat([corpus.train, corpus.validation, corpus.test])
    message = capsys.readouterr().err
    assert f"long texts are divided into {len(rows):,} windows of 20 tokens" in message and "cut at" not in message
    read = "".join(corpus.texts(rows))
    assert all(piece in read for piece in (book[:12].strip(), book[-6:].strip(), book[2500:2506].strip()))
    assert len(read) >= len(book)
    assert len(corpus.test_texts) == len(corpus.test) and len(corpus.real(9)[1]) == 9


def test_inspect_says_that_books_are_divided(tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_text(" ".join(BOOK.split()), encoding="utf-8")
    result = inspect_texts(str(path))
    assert any("at least 3" in warning for warning in result.warnings) or "windows" in result.suggestions[0].reason


# ---------------------------------------------------------------------------------------------------- poems


STANZA = "The fox is old and grey {},\nhe sleeps\nunder the bridge of stone and moss,\nand dreams"
POEMS = "\n\n\n".join(f"{STANZA.format(i)}\n\n{STANZA.format(-i)}" for i in range(12))
PROSE = "\n\n".join(
    f"It was in the year {i} that the old fox went down to the river\nand found a boat there, which he took, for nobody was\n"
    "near to see him do it, and rowed away." for i in range(20)
)  # fmt: skip
HAIKU = "\n\n".join(f"古池や\n蛙飛びこむ{i}\n水の音" for i in range(12))


def test_poems_keep_their_lines_and_prose_does_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in {"poems": POEMS, "prose": PROSE, "haiku": HAIKU}.items():
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    assert open_texts(str(tmp_path / "poems.txt"))[1] == f"{STANZA.format(1)}\n\n{STANZA.format(-1)}"
    assert "are kept" in capsys.readouterr().err
    assert open_texts(str(tmp_path / "haiku.txt"))[0] == "古池や\n蛙飛びこむ0\n水の音"
    assert all("\n" not in text for text in open_texts(str(tmp_path / "prose.txt")))
    assert open_texts(str(tmp_path / "prose.txt"), keep_lines=True)[0] == PROSE.split("\n\n")[0]
    (tmp_path / "play.txt").write_text("\n\n".join([HAIKU] * 9) + "\n\n\nThe end\nof all\n\n\nand more")
    assert len(open_texts(str(tmp_path / "play.txt"))) > 100  # a wider gap or two do not make three poems of it
    assert "\n" not in open_texts(str(tmp_path / "poems.txt"), "paragraph")[0]  # which asks for prose


def test_inspect_says_whether_lines_are_kept(tmp_path: Path) -> None:
    for name, text, kept in (("poems", POEMS, True), ("prose", PROSE, False)):
        path = tmp_path / f"{name}.txt"
        path.write_text(text, encoding="utf-8")
        result = inspect_texts(str(path))
        assert facts(result)["line_breaks"].value == ("kept" if kept else "joined")
        config = configured(result.suggestions[0], path)
        assert config.keep_lines == kept
        texts = open_texts(str(path), config.unit, keep_lines=config.keep_lines)
        assert texts == open_texts(str(path))
        made = Tokenizer.train(texts, config.tokenizer) if config.tokenizer == "bpe" else None
        assert made is None or [made.decode(made.encode(text)) for text in texts] == texts
