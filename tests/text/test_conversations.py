"""Conversations: which messages are taken, what a model reads of them, and what it learns; and the
dialogues whose right answers are known."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import multigen
from multigen.errors import ConfigError, DataError
from multigen.text import conversations, dialogues
from multigen.text.datasets import open_corpus
from multigen.text.decoding import sample, token_mask
from multigen.text.networks.generators import LSTM
from multigen.text.synthesis.writer import Writer
from multigen.text.tokenizers import Tokenizer
from tests import tiny

SYSTEM, HI, HELLO = (
    {"role": r, "content": c} for r, c in (("system", "Be kind."), ("user", "Hi!"), ("assistant", "Hello."))
)
BAD: dict[str, tuple[Any, str]] = {
    "no list": ("Hi!", "messages: expected a list"),
    "no messages": ([], "messages: expected a list"),
    "two of the user": ([HI, HI, HELLO], "message 2 has the role 'user', expected 'assistant'"),
    "the assistant first": ([HELLO, HI, HELLO], "message 1 has the role 'assistant', expected 'user'"),
    "the system later": ([HI, HELLO, SYSTEM], "message 3 has the role 'system', expected 'user'"),
    "another role": ([{"role": "tool", "content": "x"}, HELLO], "message 1 has the role 'tool'"),
    "a message that is no table": (["Hi!", "Hello."], "message 1: expected a role and a content"),
    "a content that is no text": ([{"role": "user", "content": None}], "message 1: expected a role and a content"),
    "half a character": (
        [{"role": "user", "content": "a \ud800"}, HELLO],
        "message 1: a content with half of a character",
    ),
    "no answer": ([HI], "its last message is the user's, expected the assistant's"),
    "the system alone": ([SYSTEM], "a message of the system alone"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_conversations_are_named(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value, reason = BAD[case]
    path = tmp_path / "chat.jsonl"
    path.write_text("\n".join(json.dumps({"messages": each}) for each in ([HI, HELLO], value)) + "\n")
    for words in (["train", "scratchgan", "tiny", "--data", path, "--out", tmp_path / "run"], ["inspect", path]):
        assert tiny.multigen(words) == 2
        message = capsys.readouterr().err.splitlines()[-1]
        assert f"{path}, line 2: {reason}" in message and "correct this conversation" in message
    assert not (tmp_path / "run").exists()


def chat(path: Path, n: int = 60) -> Path:
    """Conversations of two questions each."""
    with path.open("w") as file:
        for i in range(n):
            asked = [{"role": "user", "content": f"And {i}?"}, {"role": "assistant", "content": f"It is {i + 1}."}]
            file.write(json.dumps({"id": i, "messages": [HI, HELLO, *asked]}) + "\n")
    return path


def test_answers_alone_are_learnt(tmp_path: Path) -> None:
    corpus = open_corpus(str(chat(tmp_path / "chat.jsonl")), 40)
    assert corpus.info.dialogue and corpus.tokenizer is not None
    given, tokens = corpus.given[0], corpus.train
    assert len(given) == len(tokens) and len(tokens) % 2 == 0
    learnt = token_mask(tokens, corpus.info.last, given)
    answers = {corpus.tokenizer.decode(row[mask].tolist()) for row, mask in zip(tokens, learnt, strict=True)}
    assert answers <= {"Hello.", *(f"It is {i}." for i in range(1, 61))} and len(answers) > 30
    assert (tokens[learnt] == corpus.tokenizer.end).sum() == len(tokens)  # each answer's own end is learnt
    prompts = {corpus.tokenizer.backend.decode(row[:n].tolist(), False) for row, n in zip(tokens, given, strict=True)}
    first = "user\nHi!<end>\n<start>assistant\n"
    assert first in prompts and all(prompt.startswith(first) for prompt in prompts)
    assert any(prompt.endswith("?<end>\n<start>assistant\n") for prompt in prompts)


def test_prompts_of_different_lengths_are_continued() -> None:
    torch.manual_seed(0)
    G, prompts = LSTM(9, 4, 8, start=1), torch.randint(3, 9, (4, 6))
    prompts[:, 2] = 2  # an end within a prompt ends nothing
    given, uniform = torch.tensor([3, 6, 4, 5]), torch.rand(4, 10)
    tokens = sample(G, uniform, 2, 0, prompts, given=given)
    for row, prompt, n, u in zip(tokens, prompts, given.tolist(), uniform, strict=True):
        assert torch.equal(row[:n], prompt[:n])
        assert torch.equal(row, sample(G, u[None], 2, 0, prompt[None, :n])[0])


def test_answers_that_do_not_fit_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(chat(tmp_path / "chat.jsonl"))
    corpus = open_corpus(path, 20)
    assert len(corpus.train)
    assert "answers left out, since what was said before them takes 20 tokens" in capsys.readouterr().err
    with pytest.raises(DataError, match=r"no answer of \d+ fits into 4 tokens .* raise --length"):
        open_corpus(path, 4)


def test_a_run_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    words = [
        "train",
        "scratchgan",
        "tiny",
        "--data",
        "dialogues:60",
        "--length",
        "90",
        "--device",
        "cpu",
        "--precision",
        "fp32",
    ]
    assert tiny.multigen([*words, "--out", run]) == 0, capsys.readouterr().err
    rows = json.loads((run / "evaluation.json").read_text())["rows"]
    assert {"mle/best", "mle/last"} <= rows.keys() and {"nll_test", "right"} <= rows["mle/best"].keys()
    write = ["write", "--model", run, "--chat"]
    capsys.readouterr()
    assert tiny.multigen([*write, "--prompt", "Who has the figs?", "-n", "2", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["texts"]) == 2
    assert tiny.multigen([*write, "--prompt", "figs " * 100]) == 2
    assert "tokens: expected fewer than 90" in capsys.readouterr().err.splitlines()[-1]
    for option in (["-n", "2"], ["--json"], ["--out", tmp_path / "answers.txt"]):
        assert tiny.multigen([*write, *option]) == 2
        assert f"{option[0]} and --chat: a conversation in the terminal has one answer" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"Who?\n\xff?\n")))
    assert tiny.multigen(write) == 2
    assert "a line of the input is not UTF-8 text" in capsys.readouterr().err.splitlines()[-1]
    typed = io.StringIO("Who?\n" + "figs " * 100 + "\nWho?\n")
    typed.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", typed)
    assert tiny.multigen(write) == 0  # a message that is too long ends no conversation
    assert "tokens: expected fewer than 90" in (said := capsys.readouterr()).err and said.out.count("> ") == 4
    monkeypatch.setattr("sys.stdin", io.StringIO("Who?\n\n" * 9))
    assert tiny.multigen([*write, "--length", "60"]) == 0  # what no longer fits is forgotten
    model: Any = multigen.load(run)
    with pytest.raises(ConfigError, match="message 2 has the role 'user', expected 'assistant'"):
        model.answer([HI, HI])
    with pytest.raises(ConfigError, match="the last message is the assistant's"):
        model.answer([HI, HELLO])


def test_conversations_are_not_mixed_with_other_texts(tmp_path: Path) -> None:
    path, texts = str(chat(tmp_path / "chat.jsonl")), tmp_path / "texts.txt"
    texts.write_text("".join(f"The fox saw {i} hens.\n" for i in range(20)))
    for data, test in ((path, str(texts)), (str(texts), path)):
        with pytest.raises(DataError, match=r"conversations among \d+ texts, those to test with included"):
            open_corpus(data, 40, test=test)


def test_a_word_that_is_not_known_is_no_message() -> None:
    text = json.dumps([HI, HELLO])
    tokenizer = Tokenizer.train(conversations.content_of([text]), "words")
    writer = Writer(LSTM(len(tokenizer), 4, 8, tokenizer.start).eval(), tokenizer, 20, 2, 0, dialogue=True)
    assert len(writer.answer("Hi Hello", 2)) == 2
    with pytest.raises(ConfigError, match="the model has never seen 'owl'"):
        writer.answer([HI, HELLO, {"role": "user", "content": "Hi owl"}])
    with pytest.raises(ConfigError, match="it is not UTF-8 text"):
        writer.generate("Hi \udcff")
    with pytest.raises(ConfigError, match="half of a character"):
        writer.answer("Hi \udcff")


def test_a_model_of_other_texts_does_not_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from multigen.text.datasets import TextInfo
    from multigen.text.synthesis.scratchgan import PRESETS, ScratchGANTrainer

    tokenizer = Tokenizer.train(["a fox", "a hen"], "words")
    info = TextInfo("", len(tokenizer), tokenizer.start, tokenizer.end, tokenizer.pad, tokenizer.fingerprint)
    run = tiny.untrained(
        tmp_path / "run", ScratchGANTrainer(PRESETS["tiny"]), info, {"tokenizer.json": tokenizer.to_json()}
    )
    assert tiny.multigen(["write", "--model", run, "--chat", "--prompt", "a fox"]) == 2
    assert "was not trained on conversations" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------- dialogues


def test_right_answers_are_those_of_the_dialogues() -> None:
    made = dialogues.sample(200)
    assert made[:50] == dialogues.sample(50) and len({*made}) == 200
    kinds = set()
    for text in made:
        messages = conversations.parse(text)
        assert messages is not None
        for i in range(0, len(messages), 2):
            assert dialogues.right_answer(messages[: i + 1]) == messages[i + 1]["content"]
            kinds.add((i, messages[i]["content"].split("?")[0].split()[-1]))
    assert len(kinds) > 20
    with pytest.raises(ConfigError, match="no question of the dialogues"):
        dialogues.right_answer([HI])
