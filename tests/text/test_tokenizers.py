"""multigen.text.tokenizers: what each kind takes for a token, round trips, and tokenizers of
pretrained models."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from multigen.errors import CheckpointError, ConfigError, DataError
from multigen.text.tokenizers import SPECIAL, Kind, Tokenizer

KINDS = get_args(Kind)
TEXTS = [
    "A cat sat on the mat, didn't it?",
    "It was a well-known cat; the mat (red) wasn't!",
    "Rain\u2019s here [now]: look\u2026 and go -- at once.",
    "床前明月光，疑是地上霜。举头望明月，低头思故乡。",  # noqa: RUF001 (Chinese commas)
    "我用Python写了《書》，3月5日。",  # noqa: RUF001
    "ひらがなとカタカナ。",
    "हिन्दी में लिखा है.",
    "Ça va? Très bien, naïve crème brûlée.",
]


def names(tokenizer: Tokenizer) -> list[str]:
    """The entries in the order of their ids."""
    result = tokenizer.backend.get_vocab()
    assert sorted(result.values()) == list(range(len(tokenizer)))
    return sorted(result, key=result.__getitem__)


# ---------------------------------------------------------------------------------------------------- vocabularies


def test_entries_are_ordered_by_number_then_by_code_point():
    result = Tokenizer.train(["b a. b", "c b a é"], "words")
    assert names(result) == [*SPECIAL, "b", "a", ".", "c", "é"]
    assert (result.pad, result.start, result.end, result.unknown, len(result)) == (0, 1, 2, 3, 9)
    assert result.encode("c b z") == [7, 4, 3]
    assert names(Tokenizer.train(["b a. b", "c b a é"], "words", size=7)) == [*SPECIAL, "b", "a", "."]
    assert names(Tokenizer.train(["ba\nab b"], "characters")) == [*SPECIAL, "b", "a", "\n", " "]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Don't stop, well-known o\u2019clock!", ["Don't", "stop", ",", "well-known", "o\u2019clock", "!"]),
        ("the dogs' x--y 3.5 <end>", ["the", "dogs", "'", "x", "-", "-", "y", "3", ".", "5", "<", "end", ">"]),
        ("明月，Python写", ["明", "月", "，", "Python", "写"]),  # noqa: RUF001 (it is a Chinese comma)
        ("हिन्दी में 한국어", ["हिन्दी", "में", "한국어"]),
        ("cafe\u0301 Ωmega \U00020000x", ["café", "Ωmega", "\U00020000", "x"]),
    ],
)
def test_what_is_a_word(text: str, pieces: list[str]):
    tokenizer = Tokenizer.train([text], "words")
    assert [tokenizer.backend.id_to_token(i) for i in tokenizer.encode(text)] == pieces


def test_byte_pairs_know_all_bytes_and_the_frequent_words():
    tokenizer = Tokenizer.train(TEXTS * 3, "bpe", size=300)
    assert names(tokenizer)[:4] == list(SPECIAL)
    assert (len(tokenizer), tokenizer.unknown) == (300, None)
    assert len(tokenizer.encode(" cat")) < 4 < len(tokenizer.encode(" xqzj"))
    assert tokenizer.unknown_words("never seen: \U0001f600") == []
    many = [
        f"{a}{b}{c}" for a in "abcdefghijklmnopqrst" for b in "abcdefghijklmnopqrst" for c in "abcdefghijklmnopqrst"
    ]
    assert len(Tokenizer.train(many, "bpe")) == 4000


def test_the_same_texts_give_the_same_tokenizer_in_any_process():
    code = (
        "import json, sys; from multigen.text.tokenizers import Tokenizer; texts = json.load(sys.stdin)\n"
        f"print(*[Tokenizer.train(texts, kind, 300).fingerprint for kind in {KINDS!r}])"
    )
    env = os.environ | {"PYTHONHASHSEED": "7", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(TEXTS), env=env, capture_output=True, text=True, check=True
    )
    here = [Tokenizer.train(TEXTS, kind, 300).fingerprint for kind in KINDS]
    assert done.stdout.split() == here
    assert len(set(here)) == 3


# ---------------------------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize("kind", KINDS)
def test_texts_come_back(kind: Kind):
    tokenizer = Tokenizer.train(TEXTS, kind, size=500)
    assert [tokenizer.decode(tokenizer.encode(text)) for text in TEXTS] == TEXTS


@pytest.mark.parametrize("kind", ["characters", "bpe"])
def test_characters_and_bytes_keep_everything(kind: Kind):
    texts = [
        "  two  spaces\n\tand\r\n breaks ",
        "cafe\u0301 café \U0001f600\u200d\U0001f600",
        "'a' \"b\" a-- b 1,000 x\x00y",
    ]
    tokenizer = Tokenizer.train(texts, kind)
    assert [tokenizer.decode(tokenizer.encode(text)) for text in texts] == texts


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ('"Go (now)," he said, "or stay." "No."', None),
        ("\u201cShe said \u2018no\u2019,\u201d he said; the dogs\u2019 tails.", None),
        ("'Go,' he said", "' Go, ' he said"),
        ("a  b\nc", "a b c"),
        ("50% of 1,000/day", "50 % of 1, 000 / day"),
        ("cafe\u0301", "caf\u00e9"),
        ("明 月 ， 光", "明月，光"),  # noqa: RUF001
        ("that that ## !!!", "that that ##!!!"),
    ],
)
def test_how_words_are_printed(text: str, printed: str | None):
    tokenizer = Tokenizer.train([text, "and more"], "words")
    assert tokenizer.decode(tokenizer.encode(text)) == (text if printed is None else printed)


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_special_tokens_in_a_text_are_text(kind: Kind):
    text = "say <end> and <pad>, <start> or <unk>"
    tokenizer = Tokenizer.train([text, text], kind, size=400)
    for made in (tokenizer, Tokenizer.from_json(tokenizer.to_json(), "here")):
        assert min(made.encode(text)) > 3
        read = made.decode(made.encode(text))
        assert read == (text if kind != "words" else "say < end > and < pad >, < start > or < unk >")


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_stops_at_the_end(kind: Kind):
    tokenizer = Tokenizer.train(["one two"], kind)
    one, two = tokenizer.encode("one"), tokenizer.encode(" two")
    assert tokenizer.decode([1, *one, 0, *two, 2, *one, 2, 0, 0]) == "one two"
    assert tokenizer.decode([2, *one]) == tokenizer.decode([]) == ""
    for wrong in (len(tokenizer), -1):
        with pytest.raises(DataError, match=rf"token id {wrong}: expected 0 to {len(tokenizer) - 1}; decode with"):
            tokenizer.decode([wrong])


def test_words_outside_the_vocabulary_are_reported():
    words = Tokenizer.train(["a café is open"], "words")
    text = "a Cafe\u0301, a cafe\u0301 is a bar, a bar"
    assert words.unknown_words(text) == ["Café", ",", "bar"]
    assert words.decode(words.encode("a bar is")) == "a <unk> is"
    characters = Tokenizer.train(["a bar"], "characters")
    assert characters.unknown_words("a café") == ["c", "f", "é"]
    assert characters.unknown_words("bar") == []


@pytest.mark.parametrize("kind", KINDS)
def test_json_keeps_all(kind: Kind):
    tokenizer = Tokenizer.train(TEXTS, kind, size=300)
    again = Tokenizer.from_json(tokenizer.to_json(), "here")
    assert again.to_json() == tokenizer.to_json()
    assert (again.kind, again.pad, again.start, again.end, again.unknown, len(again)) == (
        kind, tokenizer.pad, tokenizer.start, tokenizer.end, tokenizer.unknown, len(tokenizer),
    )  # fmt: skip
    assert [again.encode(text) for text in TEXTS] == [tokenizer.encode(text) for text in TEXTS]
    assert [again.decode(again.encode(text)) for text in TEXTS] == [
        tokenizer.decode(tokenizer.encode(t)) for t in TEXTS
    ]
    assert again.fingerprint == tokenizer.fingerprint != Tokenizer.train(TEXTS[1:], kind, size=300).fingerprint
    assert len(again.fingerprint) == 16


# ---------------------------------------------------------------------------------------------------- wrong input


def test_texts_that_make_no_vocabulary_are_named():
    for nothing in ([], ["", " \n"]):
        with pytest.raises(DataError, match=r"no text among [02] to make a vocabulary of; expected at least one"):
            Tokenizer.train(nothing, "bpe")
    with pytest.raises(
        DataError, match="a vocabulary of one word 'hello': expected at least 2; give texts that differ"
    ):
        Tokenizer.train(["hello", "hello hello"], "words")
    with pytest.raises(DataError, match="a vocabulary of one character 'x'"):
        Tokenizer.train(["xx"], "characters")


def test_wrong_kinds_and_sizes_are_named():
    wrong: Any = "letters"
    with pytest.raises(ConfigError, match="tokenizer 'letters': expected one of characters, words, bpe"):
        Tokenizer.train(TEXTS, wrong)
    least_sizes: dict[Kind, int] = {"words": 6, "characters": 6, "bpe": 260}
    for kind, least in least_sizes.items():
        for size in (-1, least - 1):
            with pytest.raises(ConfigError, match=rf"size {size}: expected 0 or at least {least} for {kind}"):
                Tokenizer.train(TEXTS, kind, size)
        assert len(Tokenizer.train(TEXTS, kind, least)) == least


def test_json_that_is_no_tokenizer_is_named():
    good = json.loads(Tokenizer.train(TEXTS, "words").to_json())
    for wrong in (
        "", "[]", "{}", "not json", json.dumps(good | {"special": {}}), json.dumps(good | {"tokenizer": {}}),
        json.dumps(good | {"kind": "letters"}),
        json.dumps(good | {"special": {"pad": 0, "start": 1, "end": 999}}),
        json.dumps(good | {"special": {"pad": None, "start": 1, "end": 2}}),
    ):  # fmt: skip
        with pytest.raises(
            CheckpointError, match=r"^run/tokenizer.json is no tokenizer of multigen \(.*; give the model"
        ):
            Tokenizer.from_json(wrong, "run/tokenizer.json")


# ---------------------------------------------------------------------------------------------------- pretrained


def tiny_model(folder: Path, **tokens: str) -> Path:
    """A folder as language models come in: byte pairs, with truncation set, as some have it."""
    from transformers import PreTrainedTokenizerFast

    backend: Any = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        show_progress=False,
        special_tokens=list(tokens.values()),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    backend.train_from_iterator(TEXTS, trainer)
    backend.enable_truncation(3)
    PreTrainedTokenizerFast(tokenizer_object=backend, **tokens).save_pretrained(folder)  # pyright: ignore[reportArgumentType]
    return folder


def test_pretrained_from_a_folder(tmp_path: Path):
    tokenizer = Tokenizer.pretrained(str(tiny_model(tmp_path, eos_token="<|eos|>")))
    assert tokenizer.kind == "pretrained"
    assert (tokenizer.pad, tokenizer.start, tokenizer.end, tokenizer.unknown) == (0, 0, 0, None)
    text = "A cat <|eos|> and a \U0001f600."
    ids = tokenizer.encode(text)
    assert len(ids) > 5 and 0 not in ids
    assert tokenizer.decode([*ids, 0, *ids]) == text
    again = Tokenizer.from_json(tokenizer.to_json(), "here")
    assert (again.encode(text), again.to_json()) == (ids, tokenizer.to_json())


def test_special_tokens_of_pretrained_models(tmp_path: Path):
    tokens = {"sep_token": "[S]", "cls_token": "[C]", "pad_token": "[P]"}
    result = Tokenizer.pretrained(str(tiny_model(tmp_path / "bert", **tokens)))
    assert (result.end, result.start, result.pad) == (0, 1, 2)
    tokens |= {"bos_token": "<s>", "eos_token": "</s>"}
    result = Tokenizer.pretrained(str(tiny_model(tmp_path / "all", **tokens)))
    assert (result.pad, result.start, result.end) == (2, 3, 4)


def test_ordinary_pieces_that_are_special_tokens_are_unknown():
    """As in the vocabularies of sentencepiece, whose unigram model would take "</s>" for one
    piece."""
    backend = tokenizers.Tokenizer(models.Unigram([("<unk>", 0.0), ("</s>", 0.0), ("a", -1.0)], 0))
    tokenizer = Tokenizer(backend, "pretrained", 1, 1, 1)
    assert tokenizer.encode("a</s>a?") == [2, 0, 2, 0]
    backend: Any = tokenizers.Tokenizer(models.WordLevel({"</s>": 0, "a": 1}, unk_token="there is none"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.enable_padding(length=5, pad_id=1)
    assert Tokenizer(backend, "pretrained", 0, 0, 0).encode("a </s> a") == [1, 1]


def test_code_of_a_model_is_never_run(tmp_path: Path):
    tiny_model(tmp_path, eos_token="<|eos|>")
    about = json.loads((tmp_path / "tokenizer_config.json").read_text())
    about |= {"tokenizer_class": "Mine", "auto_map": {"AutoTokenizer": [None, "mine.Mine"]}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(about))
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Mine: pass\n")
    try:
        assert Tokenizer.pretrained(str(tmp_path)).end == 0
    except ConfigError as error:
        assert "is not available" in str(error)
    assert not (tmp_path / "ran").exists()


def test_pretrained_tokenizers_that_cannot_be_had_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from transformers import AutoTokenizer, ByT5Tokenizer

    tiny_model(tmp_path / "endless", unk_token="?")
    with pytest.raises(ConfigError, match=r"endless' has neither an eos nor a sep token.*; name one in its"):
        Tokenizer.pretrained(str(tmp_path / "endless"))
    ByT5Tokenizer().save_pretrained(tmp_path / "slow")
    with pytest.raises(ConfigError, match=r"slow' \(ByT5Tokenizer\) runs in Python only; .*give another model's"):
        Tokenizer.pretrained(str(tmp_path / "slow"))
    (tmp_path / "empty").mkdir()
    for name in ("empty", "missing"):
        with pytest.raises(
            ConfigError, match=rf"{name}' is not available \(.+\); expected a name on .*tokenizer\.json"
        ):
            Tokenizer.pretrained(str(tmp_path / name))

    def offline(*_: object, **__: object):
        raise OSError("We couldn't connect\nto the hub")

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", offline)
    with pytest.raises(
        ConfigError, match=r"'gpt2' is not available \(We couldn't connect to the hub\); .*needs a network"
    ):
        Tokenizer.pretrained("gpt2")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"'gpt2' needs transformers .*pip install 'multigen\[hub\]'"):
        Tokenizer.pretrained("gpt2")


# ---------------------------------------------------------------------------------------------------- larger data


@pytest.mark.data
def test_captions_as_words(data_root: Path):
    texts = (data_root / "text/captions/train.txt").read_text(encoding="utf-8").splitlines()
    tokenizer = Tokenizer.train(texts, "words")
    assert len(tokenizer) == 4 + len({word for text in texts for word in re.findall(r"\w+(?:['-]\w+)*|[^\w\s]", text)})
    printed = [tokenizer.decode(tokenizer.encode(text)) for text in texts]
    plain = [
        (text, result) for text, result in zip(texts, printed, strict=True) if re.fullmatch(r"[\w ,.;:!?()-]*", text)
    ]
    same = [text for text, result in plain if result == " ".join(text.split())]
    assert len(plain) > 9000
    assert len(same) / len(plain) > 0.99  # the others have spaces before a full stop, and the like
    assert [tokenizer.decode(tokenizer.encode(text)) for text in printed] == printed


@pytest.mark.data
def test_poems_as_characters_and_words(data_root: Path):
    poems = (data_root / "text/poems/shi.txt").read_text(encoding="utf-8").splitlines()
    characters, words = Tokenizer.train(poems, "characters"), Tokenizer.train(poems, "words")
    assert len(characters) == len(words) + 1  # the space
    for poem in poems[:2000]:
        assert characters.decode(characters.encode(poem)) == poem
        assert words.decode(words.encode(poem)) == "".join(poem.split())


def test_a_vocabulary_without_its_unknown_word_is_refused() -> None:
    """It would fail at the first word that it does not know."""
    about = json.loads(Tokenizer.train(["a b", "b c"], "words").to_json())
    about["tokenizer"]["model"]["unk_token"] = "<none>"
    with pytest.raises(CheckpointError, match=r"t\.json is no tokenizer of multigen"):
        Tokenizer.from_json(json.dumps(about), "t.json")


# ---------------------------------------------------------------------------------------------------- any text


ANY = {
    "tweets": ["RT @fox: it's $3.14 at 10:30 #a @b https://t.co/aB3?q=1&b=2", "U.S. e.g. 50% off!! \U0001f602\U0001f602 :-)"],
    "persian": ["\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \u06a9\u062a\u0627\u0628\u200c\u0647\u0627"],
    "flags": ["\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7 \u2764\ufe0f"],
    "emoji": ["\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308"],
    "spaces": ["  a  b\n\n c\t\td\r\ne\u00a0f\u3000g\u2028h ", "\ufeffx\x00y\ufffd\U0010ffff"],
    "chinese": ["\u6211\u7231 Python \u7f16\u7a0b\u3002 \u4e0b\u4e00\u53e5"],
    "thai": ["\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01 \u0e27\u0e31\u0e19\u0e19\u0e35\u0e49"],
    "lao": ["\u0eaa\u0eb0\u0e9a\u0eb2\u0e8d\u0e94\u0eb5\u0e8a\u0eb2\u0ea7\u0ec2\u0ea5\u0e81"],
    "khmer": ["\u179f\u17bd\u179f\u17d2\u178f\u17b8\u1796\u17b7\u1797\u1796\u179b\u17c4\u1780"],
    "burmese": ["\u1019\u1004\u103a\u1039\u1002\u101c\u102c\u1015\u102b\u1000\u1019\u1039\u1018\u102c"],
    "tibetan": ["\u0f56\u0f7c\u0f51\u0f0b\u0f61\u0f72\u0f42\u0f0b"],
}  # fmt: skip


@pytest.mark.parametrize("name", ANY)
def test_byte_pairs_give_any_text_back(name: str):
    texts = ANY[name]
    for made in (Tokenizer.train(texts * 3, "bpe"), Tokenizer.train(TEXTS, "bpe")):  # one has never seen them
        again = Tokenizer.from_json(made.to_json(), "here")
        assert [again.decode(again.encode(text)) for text in texts] == texts


@pytest.mark.parametrize("kind", ["words", "bpe"])
@pytest.mark.parametrize("name", ["chinese", "thai", "lao", "khmer", "burmese", "tibetan"])
def test_scripts_without_spaces_are_many_tokens(name: str, kind: Kind):
    (text,) = ANY[name]
    made = Tokenizer.train([text] * 9, kind)
    letters = len([c for c in text if c.isalpha()])
    assert len(made.encode(text)) > letters / 3  # a letter with its marks is one
    assert Tokenizer.from_json(made.to_json(), "here").encode(text) == made.encode(text)


def test_byte_pairs_of_earlier_versions_are_read():
    backend: Any = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(TEXTS, trainer)
    old = Tokenizer(backend, "bpe", 0, 1, 2)
    read = Tokenizer.from_json(old.to_json(), "here")
    assert read.fingerprint == old.fingerprint and [read.encode(t) for t in TEXTS] == [old.encode(t) for t in TEXTS]


def test_few_words_are_a_token_each():
    texts = [f"the {a} saw a {b}." for a in ("fox", "hen", "owl") for b in ("cat", "crow")]
    made = Tokenizer.train(texts, "bpe")
    assert {len(made.encode(text)) for text in texts} == {6}
