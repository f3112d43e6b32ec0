"""multigen.text.tokenizer_json: tokenizers that somebody else made are refused in one line before
they cost time or memory."""

import base64
import copy
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers

from multigen.errors import CheckpointError, ConfigError, MultigenError
from multigen.text.tokenizer_json import check_regex, check_table, guarded
from multigen.text.tokenizers import Tokenizer

TEXTS = ["a cat sat", "the cat ran, and sat"]
KINDS = ("characters", "words", "bpe")


def about(kind: str = "pretrained") -> dict[str, Any]:
    """A tokenizer as `to_json` writes it."""
    if kind != "pretrained":
        return json.loads(Tokenizer.train(TEXTS, kind, 270).to_json())  # pyright: ignore[reportArgumentType]
    return json.loads(Tokenizer(language_model(), "pretrained", 0, 0, 0).to_json())


def language_model() -> Any:
    vocabulary = {entry: i for i, entry in enumerate(["</s>", "?", "a", "c", "t", "s", "ca", "cat"])}
    backend: Any = tokenizers.Tokenizer(models.BPE(vocabulary, [("c", "a"), ("ca", "t")], unk_token="?"))
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.decoder = decoders.Fuse()
    return backend


def refused(changed: dict[str, Any], match: str) -> None:
    with pytest.raises(CheckpointError, match=match) as result:
        Tokenizer.from_json(json.dumps(changed), "m/tokenizer.json")
    assert str(result.value).startswith("m/tokenizer.json is no tokenizer of multigen") and "\n" not in str(
        result.value
    )


GROWING = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10}
HOSTILE: dict[str, tuple[str, Any, str]] = {
    "empty precompiled": ("normalizer", {"type": "Precompiled", "precompiled_charsmap": ""}, "'Precompiled'"),
    "precompiled": (
        "normalizer",
        {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(b"\x04\0\0\0\xff\xff\xff\xff").decode()},
        "'Precompiled'",
    ),
    "growing": ("normalizer", {"type": "Sequence", "normalizers": [GROWING] * 10}, "1e.10 characters of one"),
    "growing by bytes": ("normalizer", {"type": "Sequence", "normalizers": [{"type": "ByteLevel"}] * 20}, "characters of one"),
    "growing before tokens": (
        "pre_tokenizer",
        {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel", "add_prefix_space": False}] * 20},
        "characters of one",
    ),
    "growing texts": ("decoder", {"type": "Sequence", "decoders": [GROWING] * 10}, "characters of one"),
    "huge strip": ("decoder", {"type": "Strip", "content": "a", "start": 2**40, "stop": 0}, "a smaller number"),
    "strip behind": ("decoder", {"type": "Strip", "content": "a", "start": 0, "stop": 3}, "3 behind"),
    "backtracking": (
        "pre_tokenizer",
        {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False},
        "regular expression",
    ),
    "backtracking normalizer": (
        "normalizer", {"type": "Replace", "pattern": {"Regex": "(a|a)*b"}, "content": ""}, "regular expression",
    ),
    "backtracking decoder": (
        "decoder", {"type": "Replace", "pattern": {"Regex": "(a*)*b"}, "content": ""}, "regular expression",
    ),
    "nothing replaced": ("normalizer", {"type": "Replace", "pattern": {"String": ""}, "content": "x"}, "without a pattern"),
    "unknown type": ("normalizer", {"type": "Shell", "command": "ls"}, "'Shell'"),
    "fixed length": ("pre_tokenizer", {"type": "FixedLength", "length": 0}, "'FixedLength'"),
    "ctc": ("decoder", {"type": "CTC", "pad_token": "a", "word_delimiter_token": "b", "cleanup": True}, "'CTC'"),
    "no table": ("decoder", [1], "expected a table"),
    "long prefix": ("normalizer", {"type": "Prepend", "prepend": "x" * 10**6}, "characters, expected at most"),
    "many parts": ("normalizer", {"type": "Sequence", "normalizers": [{"type": "NFC"}] * 5_000}, "more than 2,000"),
    "padding": ("padding", {"strategy": {"Fixed": 10**12}}, "padding: expected none"),
    "truncation": ("truncation", {"max_length": 10**12}, "padding: expected none"),
    "added far away": ("added_tokens", [{"id": 2**31, "content": "x", "special": True}], "less than"),
    "long addition": ("added_tokens", [{"id": 0, "content": "x" * 10**6, "special": True}], "at most 256 characters"),
    "unknown part": ("shell", {}, "expected a table of the tokenizers library"),
}  # fmt: skip


def nested(depth: int) -> dict[str, Any]:
    return {"type": "Sequence", "normalizers": [nested(depth - 1)]} if depth else {"type": "NFC"}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_part_is_refused_whichever_kind_it_calls_itself(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    part, value, match = HOSTILE[name]
    whole = about()
    Tokenizer.from_json(json.dumps(whole), "m")
    whole["tokenizer"][part] = value
    refused(whole, match)
    for kind in KINDS:
        own = about(kind)
        own["tokenizer"][part] = value
        refused(own, f"not a tokenizer of {kind} as training writes it")
    assert capfd.readouterr() == ("", "")


def test_parts_nested_deeply_are_refused() -> None:
    whole = about()
    for depth in (10, 300):
        whole["tokenizer"]["normalizer"] = nested(depth)
        refused(whole, "not nested deeply")
    with pytest.raises(CheckpointError, match="RecursionError"):
        Tokenizer.from_json("[" * 100_000, "m")


@pytest.mark.parametrize("kind", KINDS)
def test_of_our_own_kinds_only_the_vocabulary_may_differ(kind: str) -> None:
    good = about(kind)
    model = good["tokenizer"]["model"]
    changes: list[tuple[str, Any]] = [
        ("vocab", {**model["vocab"], "zz": 10**9}),
        ("vocab", {**model["vocab"], "zz": 5}),
        ("vocab", {**model["vocab"], "zz": True}),
        ("vocab", {**model["vocab"], "z" * (1 << 17): len(model["vocab"])}),
        ("vocab", {entry: len(model["vocab"]) - 1 - i for entry, i in model["vocab"].items()}),
        ("vocab", []),
        ("vocab", {}),
        ("type", "Unigram"),
        ("unk_token", "a"),
    ]
    if kind == "bpe":
        changes += [
            ("merges", [["a", "b", "c"]]),
            ("merges", [["zz", "a"]]),
            ("merges", [["a", "zz"]]),
            ("merges", None),
            ("dropout", 0.5),
            ("continuing_subword_prefix", "\u00e9\u00e9\u00e9"),
        ]
    for name, value in changes:
        changed = copy.deepcopy(good)
        changed["tokenizer"]["model"][name] = value
        refused(changed, "ValueError|TypeError|KeyError")
    for name, value in {"pad": 3, "start": 5, "end": 4}.items():
        refused({**good, "special": {**good["special"], name: value}}, "special tokens .* expected those of ids 0 to 2")
    for name in ("added_tokens", "version", "pre_tokenizer"):
        changed = copy.deepcopy(good)
        del changed["tokenizer"][name]
        refused(changed, "as training writes it")


def test_a_model_of_a_language_model_is_bounded(capfd: pytest.CaptureFixture[str]) -> None:
    good = about()
    for name, value in {
        "vocab": {"a": 2**31}, "dropout": 0.3, "unk_token": "x" * 10_000, "type": "Mine", "merges": [["zz", "a"]],
        "continuing_subword_prefix": "\u00e9\u00e9\u00e9",
    }.items():  # fmt: skip
        changed = copy.deepcopy(good)
        changed["tokenizer"]["model"][name] = value
        refused(changed, "ValueError|Exception")
    unigram = {"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 7, "byte_fallback": False}
    refused({**good, "tokenizer": {**good["tokenizer"], "model": unigram}}, "ValueError|Exception")
    refused({**good, "special": {"pad": 0, "start": 0, "end": 10**9}}, "is not among ids")
    assert capfd.readouterr().err == ""


def test_a_file_of_too_many_characters_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multigen.text.tokenizers.MOST_CHARACTERS", 100)
    refused(about("words"), "characters, expected at most 100")


REGEXES = [
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{M}]*[\p{Ll}\p{Lm}]+(?i:'s|'t|'re)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s+(?!\S)|\s+",
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    r" ?[^(\s|[.,!?\u2026\u3002])]+", r" {2,}", r"[0-9][0-9][0-9]", r"\[\]\(\)\+\{2\}",
]  # fmt: skip


@pytest.mark.parametrize("pattern", REGEXES)
def test_the_expressions_of_well_known_models_are_let_in(pattern: str) -> None:
    check_regex(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$", "(a|a)*b", "(?:a{1,9}){2,}", "a{1,100}{1,100}b", "a+*b", "a{2,}+b", r"\w*\w*\w*!", r"(a*)\1", r"(?<n>a)\g<n>",
        "((a?)?)+b", "(?=(a+)+b)", "[a[b]]+c+d+", "(?#[)(a+)+$(?#])", "(?x)[#]a", "[^[](a+)+$", "(?~(a+))", r"(?:\[)+",
        "a*a*[zy]", r"[^!]*?\w*(?:y)z?", "(?=a*)(?=a*)b", "a{0,99}a{0,99}b", "(a|a)" * 22 + "[zy]", "a?" * 22 + "a" * 22,
        "((a|aa)(b|bb))" * 9, "(?i:a|b|ab)?" * 12,
    ],
)  # fmt: skip
def test_expressions_that_may_take_long_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="regular expression"):
        check_regex(pattern)


def test_a_panic_is_an_error_that_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    hostile = json.loads(language_model().to_str())
    hostile["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(b"\x04").decode()}
    with pytest.raises(Exception, match=r".") as result, guarded():
        tokenizers.Tokenizer.from_str(json.dumps(hostile)).encode("a")
    assert isinstance(result.value, Exception)
    os.write(2, b"still there")
    assert capfd.readouterr().err == "still there"
    with pytest.raises(KeyboardInterrupt), guarded():
        raise KeyboardInterrupt


def test_threads_leave_standard_error_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    """Two that redirected it at once would restore it out of order."""
    inside, leave, both = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with guarded():
            inside.set()
            leave.wait()

    def second() -> None:
        with guarded():
            both.set()
            threads[0].join()

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    inside.wait()
    threads[1].start()
    both.wait(0.2)  # it is not let in
    leave.set()
    for thread in threads:
        thread.join()
    os.write(2, b"still there")
    assert capfd.readouterr().err == "still there"


def test_a_panic_at_a_text_is_one_line(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """Of a pattern that is let in but takes too long at a text."""
    backend = language_model()
    backend.pre_tokenizer = pre_tokenizers.Split(tokenizers.Regex("(a+)+$"), "isolated")
    tokenizer = Tokenizer(backend, "pretrained", 0, 0, 0)
    with pytest.raises(ConfigError, match=r"pretrained tokenizer fails .*another model's") as result:
        tokenizer.encode("a" * 40 + "!")
    assert "\n" not in str(result.value) and capfd.readouterr().err == ""


# ---------------------------------------------------------------------------------------------------- pretrained, in a folder


def saved(folder: Path, **changes: Any) -> Path:
    """A folder as language models come in, with changes of its tokenizer.json."""
    from transformers import PreTrainedTokenizerFast

    PreTrainedTokenizerFast(tokenizer_object=language_model(), eos_token="</s>").save_pretrained(folder)  # pyright: ignore[reportArgumentType]
    table = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps({**table, **changes}))
    return folder


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_folder_of_a_language_model_is_refused(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    part, value, match = HOSTILE[name]
    if part in ("padding", "truncation"):  # are taken out
        return
    with pytest.raises(ConfigError, match=match) as result:
        Tokenizer.pretrained(str(saved(tmp_path, **{part: value})))
    assert "\n" not in str(result.value) and capfd.readouterr() == ("", "")


OFFLINE = """
import socket, sys
def refuse(*_, **__):
    print("NETWORK", file=sys.stdout, flush=True)
    raise AssertionError("network")
socket.getaddrinfo = socket.create_connection = socket.socket.connect = refuse
import huggingface_hub.constants
assert not huggingface_hub.constants.HF_HUB_OFFLINE
from multigen.text.tokenizers import Tokenizer
from multigen.errors import MultigenError
for folder in sys.argv[1:]:
    try:
        print(len(Tokenizer.pretrained(folder)))
    except MultigenError as error:
        print(error)
"""


@pytest.mark.slow
def test_a_folder_of_a_language_model_never_turns_to_the_network(tmp_path: Path) -> None:
    folders = [saved(tmp_path / name) for name in ("plain", "named", "code", "bare", "mistral")]
    for folder, more in zip(
        folders[1:3],
        (
            {"name_or_path": "owner/name", "_commit_hash": "0" * 40},
            {"auto_map": {"AutoTokenizer": ["owner/name--m.T", None]}},
        ),
        strict=True,
    ):
        file = folder / "tokenizer_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **more}))
    (folders[3] / "tokenizer.json").unlink()
    (folders[4] / "config.json").write_text(
        json.dumps({"model_type": "mistral", "transformers_version": "4.50.0", "_name_or_path": "owner/name"})
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, *map(str, folders), "owner/name"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "8" and "NETWORK" not in lines[: len(folders)], done.stdout
    assert lines[len(folders)] == "NETWORK"  # of a name, so that one would have been seen


def test_a_well_formed_table_is_let_in() -> None:
    check_table(about()["tokenizer"])
    assert issubclass(CheckpointError, MultigenError)
