"""Tables: columns as wide as they must be, numbers right, names left, on a terminal wrapped to its
width."""

import sys

import pytest

from multigen.console import markdown, text_table

LINES = [
    ("a", "1.5", "1 of 20", "x", "-"),
    ("bcd", "-12,000", "-", "2", "3.1 ± 0.2"),
    ("e", "nan", "9 of 9", "", "1e+04"),
]
HEAD = ("", "f", "met", "word", "g")


def test_text_table() -> None:
    assert text_table(LINES, HEAD).splitlines() == [
        "           f      met  word          g",
        "a        1.5  1 of 20  x             -",
        "bcd  -12,000        -  2     3.1 ± 0.2",
        "e        nan   9 of 9            1e+04",
    ]


def test_without_a_head_or_without_lines() -> None:
    assert text_table([("a", "text"), ("bcd", "")]) == "a    text\nbcd"
    assert text_table([], ("a", "b")) == "a  b" and text_table([]) == ""
    assert markdown([], ("a", "b")) == "| a | b |\n| --- | --- |"


def test_markdown() -> None:
    assert markdown(LINES[:2], HEAD).splitlines() == [
        "|  | f | met | word | g |",
        "| --- | ---: | ---: | --- | ---: |",
        "| a | 1.5 | 1 of 20 | x | - |",
        "| bcd | -12,000 | - | 2 | 3.1 ± 0.2 |",
    ]


def test_a_column_of_numbers_and_ranges_is_one_of_numbers() -> None:
    lines = [("0.3655 to 0.3684",), ("-0.1 to -0.05",), ("1",), ("-",)]
    assert markdown(lines, ("x",)).splitlines()[1] == "| ---: |"
    assert markdown([*lines, ("1 to many",)], ("x",)).splitlines()[1] == "| --- |"


def test_cells_are_plain_text() -> None:
    cells = ("[red]a[/red]", "[/]", ":smile:", "x" * 20_000)
    assert text_table([cells]) == "  ".join(cells)


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "COLUMNS"])
def test_a_pipe_gets_whole_lines_without_colours(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "20")
    assert text_table([("a word " * 10, "1.5")], ("a", "b")) == f"{'a':70}    b\n{'a word ' * 10}  1.5"


def test_a_terminal_gets_wrapped_texts_and_whole_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "20")
    assert text_table([("one two three", "1 of 20"), ("", "-")]).splitlines() == [
        "one two      1 of 20",
        "three",
        "                   -",
    ]
    numbers = ("123456", "123456", "123456")
    assert text_table([numbers]) == "123456  123456  123456"
