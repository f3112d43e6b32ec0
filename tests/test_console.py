"""Tables: columns as wide as they must be, numbers right, names left."""

from multigen.console import markdown, plain

LINES = [
    ("a", "1.5", "1 of 20", "x", "-"),
    ("bcd", "-12,000", "-", "2", "3.1 ± 0.2"),
    ("e", "nan", "9 of 9", "", "1e+04"),
]
HEAD = ("", "f", "met", "word", "g")


def test_plain() -> None:
    assert plain(LINES, HEAD).splitlines() == [
        "           f      met  word          g",
        "a        1.5  1 of 20  x             -",
        "bcd  -12,000        -  2     3.1 ± 0.2",
        "e        nan   9 of 9            1e+04",
    ]


def test_without_a_head_or_without_lines() -> None:
    assert plain([("a", "text"), ("bcd", "")]) == "a    text\nbcd"
    assert plain([], ("a", "b")) == "a  b" and plain([]) == ""
    assert markdown([], ("a", "b")) == "| a | b |\n| --- | --- |"


def test_markdown() -> None:
    assert markdown(LINES[:2], HEAD).splitlines() == [
        "|  | f | met | word | g |",
        "| --- | ---: | ---: | --- | ---: |",
        "| a | 1.5 | 1 of 20 | x | - |",
        "| bcd | -12,000 | - | 2 | 3.1 ± 0.2 |",
    ]
