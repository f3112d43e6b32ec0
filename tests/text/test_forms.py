"""Forms of verse, against texts whose lines are counted by hand."""

from multigen.text.forms import form_of, share_in_form, usual_forms

POEM = "床 前 明 月 光 。 疑 是 地 上 霜 。 举 头 望 明 月 。 低 头 思 故 乡 。"


def test_lines_are_counted_in_characters_or_words() -> None:
    assert form_of(POEM) == form_of(POEM.replace(" ", "")) == (5, 5, 5, 5)
    assert form_of("古池や\n蛙飛び込む\n水の音\n") == (3, 5, 3)
    assert form_of("Tyger Tyger, burning bright,\nIn the forests of the night;") == (2, 2, 6)
    assert form_of("") == form_of("…") == ()


def test_a_line_too_few_and_a_character_too_many_are_no_form() -> None:
    shorter, longer = POEM[: POEM.index("举")], POEM.replace("月", "月 月")
    texts = [POEM, shorter, longer, POEM[:-1]]  # the last sign alone is missing
    assert share_in_form(texts, {(5, 5, 5, 5)}) == 2 / 4


def test_only_verse_has_usual_forms() -> None:
    seven = "两 个 黄 鹂 鸣 翠 柳 。 一 行 白 鹭 上 青 天 。"
    assert usual_forms([POEM] * 60 + [seven] * 35 + ["山"] * 5) == {(5, 5, 5, 5), (7, 7)}
    assert usual_forms([POEM] * 60 + [seven] * 29 + ["山"] * 11) == set()  # too many without one
    assert usual_forms(["a man rides a horse", "a dog"]) == set()  # one line
    assert usual_forms([f"{'a ' * i}, {'b ' * j}" for i in range(1, 11) for j in range(1, 21)]) == set()
