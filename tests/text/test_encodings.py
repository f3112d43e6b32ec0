"""Encodings of texts: marks, NULs, other encodings than UTF-8, in all verbs that read texts."""

# ruff: noqa: RUF001

import json
from pathlib import Path

import pytest

from multigen.errors import ConfigError, DataError
from multigen.text.encodings import CANDIDATES, check_encoding, decode
from multigen.text.files import open_texts
from tests import tiny

TEXTS = {
    "russian": "Мама мыла раму, а папа читал газету.\nВ лесу родилась ёлочка.\n",
    "japanese": "吾輩は猫である。名前はまだ無い。\nどこで生れたかとんと見当がつかぬ。\n",
    "chinese": "床前明月光，疑是地上霜。\n今天天气很好，我们去公园散步。\n",
    "taiwanese": "床前明月光，疑是地上霜。\n今天天氣很好，我們去公園散步。\n",
    "korean": "오늘은 날씨가 좋습니다.\n우리는 공원에 갑니다.\n",
    "french": "Le café était fermé à l’été.\n“Voilà”, dit-elle — déjà trop tard…\n",
    "german": "Die Straße ist schön, größer als früher.\nÄpfel und Öl\n",
    "english": "The fox said “no”.\nIt’s late – go home.\n",
    "spanish": "El niño comió una manzana. ¿Cómo estás?\n",
    "italian": "La città è più bella perché c'è il sole. Però fa freddo, così.\n",
    "czech": "Dobrý večer, kde je můj přítel? Řekni mu, že čekám.\n",
    "polish": "Zażółć gęślą jaźń. Dzień dobry, świecie.\n",
    "greek": "Καλημέρα κόσμε, τι κάνεις σήμερα;\n",
    "turkish": "Güneşli bir günde İstanbul'da yürüyüş yaptık.\n",
    "hebrew": "שלום עולם, מה שלומך היום?\n",
    "arabic": "مرحبا بالعالم كيف حالك اليوم\n",
    "thai": "สวัสดีชาวโลก วันนี้อากาศดี\n",
    "hindi": "हिन्दी में लिखा है\nयह दूसरी पंक्ति है\n",
}
ENCODED = [
    *(("russian", name) for name in ("cp1251", "koi8-r", "cp866", "utf-16-le", "utf-16-be", "utf-32-le")),
    *(("japanese", name) for name in ("shift_jis", "euc_jp", "iso2022_jp", "utf-16-le", "utf-16-be")),
    *(("chinese", "gb18030"), ("chinese", "utf-16-le"), ("taiwanese", "big5"), ("korean", "euc_kr")),
    *((name, "cp1252") for name in ("french", "german", "english", "spanish", "italian")),
    *(("german", "latin-1"), ("french", "mac_roman"), ("czech", "cp1250"), ("polish", "cp1250"), ("greek", "cp1253")),
    *(("turkish", "cp1254"), ("hebrew", "cp1255"), ("arabic", "cp1256"), ("thai", "cp874")),
    *(("hindi", "utf-16-le"), ("hindi", "utf-16-be"), ("english", "utf-16-le"), ("english", "utf-32-be")),
]


@pytest.mark.parametrize(("language", "encoding"), ENCODED)
def test_an_encoding_is_guessed_and_the_text_shown(language: str, encoding: str) -> None:
    text = TEXTS[language]
    result = decode(text.encode(encoding))
    assert result.text == text and result.guessed and result.fault
    again = decode(text.encode(encoding), result.guessed)  # as the error says
    assert (again.text, again.fault) == (text, "")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-be", "utf-32-be"])
@pytest.mark.parametrize("language", TEXTS)
def test_a_mark_says_what_a_file_is(language: str, encoding: str) -> None:
    content = TEXTS[language].encode(encoding)
    content = content if encoding in ("utf-8-sig", "utf-16", "utf-32") else "\ufeff".encode(encoding) + content
    for given in ("", "cp1252"):
        assert decode(content, given).text == TEXTS[language]


def test_damage_is_not_taken_for_an_encoding() -> None:
    for content in (b"the fox\nran\n\xffa hen\n", b"\nthe fox\n\xff\xfe\nan owl \xc3\n", "café ".encode() + b"\xe9"):
        assert decode(content).fault == ""
    assert decode(bytes(range(256)) * 3).fault == "NULs, as binary files have"
    assert "is not utf-16-le, as its mark says" in decode("\ufeffab".encode("utf-16-le") + b"x").fault


@pytest.mark.parametrize("language", TEXTS)
def test_utf_8_is_read_as_such_whatever_is_named(language: str) -> None:
    for given in ("", "cp1252", "shift_jis", "latin-1"):
        assert decode(TEXTS[language].encode(), given).text == TEXTS[language]


def test_names_of_encodings() -> None:
    for name in ("", *CANDIDATES, "UTF-16LE", "utf8", "ISO-8859-15"):
        check_encoding(name)
    for name in ("rot13", "hex", "zip", "idna", "unicode_escape", "ebcdic?", "a\0b", "x" * 9_999):
        with pytest.raises(ConfigError, match="no encoding of texts has this name; expected one such as cp1252"):
            check_encoding(name)


QUOTED = [f"The fox said “no {i}” — at the café." for i in range(40)]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16-le", "utf-16-be"])
def test_another_encoding_is_refused_with_the_way_to_read_it(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "my text.txt"
    path.write_bytes("\n".join(QUOTED).encode(encoding))
    for skip_bad in (False, True):  # which leaves out no line of it
        with pytest.raises(
            DataError, match=rf"--encoding {encoding}, or convert it: iconv -f \S+ -t UTF-8 '.*my text.txt'"
        ):
            open_texts(str(path), skip_bad=skip_bad)
    assert open_texts(str(path), encoding=encoding) == QUOTED
    with pytest.raises(DataError, match=r"is not utf-32-le, as --encoding says; .*"):
        open_texts(str(path), encoding="utf-32-le")


def test_nuls_are_never_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("\n".join([*QUOTED, "a \0 line"]), encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.txt, line 41: a NUL; expected UTF-8 text"):
        open_texts(str(path))
    assert open_texts(str(path), skip_bad=True) == QUOTED
    assert "line 41: a NUL" in capsys.readouterr().err


def test_inspect_names_the_encoding_and_reads_by_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(("\n".join(f"{TEXTS['russian']}{i}" for i in range(40))).encode("utf-16-le"))
    assert tiny.multigen(["inspect", path, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["characters"]["scripts"] == {"cyrillic": 1.0}
    command = result["suggestions"][0]["command"]
    assert "--encoding utf-16-le" in command and "--skip-bad" not in command
    assert any("--encoding utf-16-le reads them" in warning for warning in result["warnings"])
    assert tiny.multigen(["inspect", path, "--encoding", "utf-16-le", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unreadable"] == []
    assert tiny.multigen(["inspect", "digits", "--encoding", "cp1252"]) == 2
    assert "--encoding: for texts only, and digits holds images" in capsys.readouterr().err
