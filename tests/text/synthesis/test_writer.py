"""Texts from a model folder."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import multigen
from multigen.config import to_table
from multigen.errors import CheckpointError, ConfigError
from multigen.storage.model_folder import write_model
from multigen.text.datasets import TextInfo
from multigen.text.networks.generators import Generator
from multigen.text.synthesis.seqgan import SeqGANConfig, SeqGANTrainer
from multigen.text.synthesis.writer import Writer
from multigen.text.tokenizers import Tokenizer
from multigen.text.vocabularies import given_tokenizer

TEXTS = ["The old fox saw a hen.", "A crow sat by the old mill, and sang.", "The hen ran to the mill."]


def described(tokenizer: Tokenizer | None, tokens: int = 12) -> TextInfo:
    """The data of a model with this tokenizer; None: of an oracle of so many tokens."""
    if tokenizer is None:
        return TextInfo(tokens=tokens)
    return TextInfo("", len(tokenizer), tokenizer.start, tokenizer.end, tokenizer.pad, tokenizer.fingerprint)


def built(info: TextInfo, **settings: Any) -> tuple[SeqGANConfig, Generator]:
    """A configuration, and its untrained generator."""
    length = {"length": 14 if info.vocabulary else 9}
    config = SeqGANConfig(**{"embedding": 4, "width": 8, "heads": 2, **length, **settings})
    trainer = SeqGANTrainer(config)
    trainer.data_info = info
    return config, trainer.generator()


def model(folder: Path, kind: Any = "words", **settings: Any) -> Path:
    """A model folder of wild weights; `kind` of its tokenizer, None for a model of an oracle."""
    tokenizer = Tokenizer.train(TEXTS, kind) if kind else None
    info = described(tokenizer)
    config, G = built(info, **settings)
    rng = torch.Generator().manual_seed(1)
    for p in G.parameters():
        p.data = torch.randn(p.shape, generator=rng)
    texts = {"tokenizer.json": tokenizer.to_json()} if tokenizer else {}
    if config.network == "pretrained":
        texts["transformer.json"] = G.model.config.to_json_string()  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
    write_model(folder / "model", "seqgan", to_table(config), {"G": G.state_dict()}, texts, to_table(info))
    return folder


def load(folder: Path) -> Writer:
    writer = multigen.load(str(folder))
    assert isinstance(writer, Writer)
    return writer


@pytest.mark.parametrize(
    ("kind", "prompt"), [("words", "The old fox saw a"), ("characters", "The o"), ("bpe", "The olx"), ("words", "")]
)
def test_texts_begin_with_the_prompt(kind: str, prompt: str, tmp_path: Path) -> None:
    writer = load(model(tmp_path, kind))
    texts = writer.generate(prompt, n=6)
    assert len(texts) == 6 and len(set(texts)) > 1
    assert all(text.startswith(prompt) for text in texts)
    shorter = writer.generate(prompt, n=6, length=8)
    assert max(map(len, shorter)) < max(map(len, texts)) and all(text.startswith(prompt) for text in shorter)


def test_the_same_seed_gives_the_same_and_more_begin_alike(tmp_path: Path) -> None:
    writer = load(model(tmp_path))
    many = writer.generate("The", n=300, seed=3)  # more than are written at a time
    assert writer.generate("The", n=5, seed=3) == many[:5] == load(tmp_path).generate("The", n=5, seed=3)
    assert writer.generate("The", n=257, seed=3) == many[:257]
    assert writer.generate("The", n=5, seed=4) != many[:5]


def test_with_one_token_to_choose_from_the_seed_is_of_no_account(tmp_path: Path) -> None:
    writer = load(model(tmp_path))
    first = writer.generate("A crow", n=3, seed=0, top_k=1)
    assert len(set(first)) == 1
    assert writer.generate("A crow", n=3, seed=9, top_k=1) == first == writer.generate("A crow", n=3, top_p=1e-9)
    assert writer.generate("A crow", n=3, temperature=1e-4) == first


def test_a_higher_temperature_gives_more_different_texts(tmp_path: Path) -> None:
    writer = load(model(tmp_path))
    cold, warm = (len(set(writer.generate(n=100, temperature=t))) for t in (0.02, 2.0))
    assert cold < warm


@pytest.mark.parametrize("network", ["lstm", "transformer"])
def test_a_model_comes_back_as_it_was_saved(network: str, tmp_path: Path) -> None:
    writer = load(model(tmp_path, network=network, layers=2))
    info = described(writer.tokenizer)
    _, G = built(info, network=network, layers=2)
    G.load_state_dict(writer.G.state_dict())
    assert not writer.G.training
    tokens = torch.randint(info.tokens, (2, 14), generator=torch.Generator().manual_seed(0))
    assert torch.equal(G.eval()(tokens), writer.G(tokens))
    texts = writer.generate("The old", n=3, length=8)
    assert all(text.startswith("The old") for text in texts)


def pretrained(tmp_path: Path) -> Path:
    """A model folder of a Llama that was trained on."""
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = Tokenizer.train(TEXTS, "words")
    torch.manual_seed(0)
    llama = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
            max_position_embeddings=16, bos_token_id=1, eos_token_id=2, pad_token_id=0,
        )
    )  # fmt: skip
    llama.save_pretrained(tmp_path / "llama")
    return model(tmp_path, network="pretrained", pretrained=str(tmp_path / "llama"))


def test_a_pretrained_model_is_used_with_its_own_description(tmp_path: Path) -> None:
    """From the model folder alone: what it was trained from may be gone."""
    folder = pretrained(tmp_path)
    described = json.loads((folder / "model" / "transformer.json").read_text())
    assert described["model_type"] == "llama"
    for path in (tmp_path / "llama").iterdir():
        path.unlink()
    texts = load(folder).generate("The old", n=2)
    assert all(text.startswith("The old") for text in texts)
    with pytest.raises(ConfigError, match=r"length 17: the model reads 16 tokens at most"):
        load(folder).generate(length=17)


@pytest.mark.parametrize("tied", [True, False])
def test_entries_of_a_pretrained_model_that_no_token_has_are_left_out(tied: bool, tmp_path: Path) -> None:
    """Many models have some more than their tokenizer, for the sake of speed."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=64,
        n_embd=8,
        n_layer=1,
        n_head=2,
        n_positions=20,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=tied,
    )
    padded = GPT2LMHeadModel(config).eval()
    padded.save_pretrained(tmp_path / "gpt2")
    tokenizer = Tokenizer.train(TEXTS, "words")
    settings = {"network": "pretrained", "pretrained": str(tmp_path / "gpt2")}
    _, G = built(described(tokenizer), **settings)
    tokens = torch.tensor([[5, 6, 7]])
    logits = G.eval()(tokens)
    assert logits.shape == (1, 3, len(tokenizer))
    begun = torch.tensor([[tokenizer.start, 5, 6]])
    torch.testing.assert_close(logits, padded(begun).logits[..., : len(tokenizer)])
    assert load(model(tmp_path, **settings)).G(tokens).shape == logits.shape


def test_a_pretrained_model_must_fit_its_tokenizer_and_the_length(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=2, n_positions=10, bos_token_id=1, eos_token_id=2)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt2")
    settings = {"network": "pretrained", "pretrained": str(tmp_path / "gpt2"), "length": 10}
    assert built(described(None, 9), **settings)[1].start == 0
    with pytest.raises(ConfigError, match=r"tokenizer of 12 tokens: .*gpt2 has 9; give the tokenizer"):
        built(described(None), **settings)
    with pytest.raises(ConfigError, match=r"length 11: the model reads 10 tokens at most; give a --length"):
        built(described(None, 9), **{**settings, "length": 11})
    with pytest.raises(ConfigError, match=r"no model is named; give --pretrained"):
        built(described(None), network="pretrained")


def test_a_model_of_an_oracle_writes_numbers(tmp_path: Path) -> None:
    writer = load(model(tmp_path, None))
    (text,) = writer.generate()
    assert len(text.split()) == 9 and all(0 <= int(token) < 12 for token in text.split())
    with pytest.raises(ConfigError, match=r"prompt '3 4': .*leave --prompt out"):
        writer.generate("3 4")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n": 0}, "n 0: expected 1 text or more"),
        ({"seed": 2**70}, f"seed {2**70}: expected a whole number of at most 64 bits"),
        ({"length": -1}, "length -1: expected a number of tokens, or 0"),
        ({"temperature": -0.5}, "temperature -0.5: expected a number above 0"),
        ({"temperature": float("nan")}, "temperature nan"),
        ({"top_k": -1}, "top_k -1"),
        ({"top_p": 0.0}, "top_p 0.0"),
        ({"top_p": 1.5}, "top_p 1.5"),
        ({"prompt": "The old zebra saw a gnu"}, r"has never seen 'zebra', 'gnu'; .*--tokenizer bpe"),
        ({"prompt": "The old fox saw a hen", "length": 6}, r"prompt of 6 tokens: expected fewer than 6; .*--length"),
    ],
)
def test_what_cannot_be_written_is_refused(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load(model(tmp_path)).generate(**settings)


def test_a_longer_text_than_in_training(tmp_path: Path) -> None:
    """Of an LSTM; a transformer has so many places and no more."""
    texts = load(model(tmp_path / "lstm", None)).generate(length=30)
    assert len(texts[0].split()) == 30
    transformer = load(model(tmp_path / "transformer", None, network="transformer"))
    assert len(transformer.generate(length=10)[0].split()) == 10
    with pytest.raises(ConfigError, match="length 11: the model reads 10 tokens at most; give a --length up to that"):
        transformer.generate(length=11)


@pytest.mark.parametrize("damage", ["changed", "gone", "no json"])
def test_another_tokenizer_than_the_models_is_refused(damage: str, tmp_path: Path) -> None:
    path = model(tmp_path) / "model" / "tokenizer.json"
    if damage == "gone":
        path.unlink()
    else:
        other = Tokenizer.train([*TEXTS, "zebra"], "words").to_json()
        path.write_text(other if damage == "changed" else "a letter")
    message = (
        "is no tokenizer of multigen"
        if damage == "no json"
        else r"which the model was trained with; copy the whole model"
    )
    with pytest.raises(CheckpointError, match=message) as result:
        multigen.load(str(tmp_path))
    assert str(tmp_path / "model") in str(result.value)


def test_a_damaged_description_is_refused(tmp_path: Path) -> None:
    path = pretrained(tmp_path) / "model" / "transformer.json"
    odd = [re.sub(r'("vocab_size": )\d+', rf"\g<1>{size}", path.read_text()) for size in ("[]", '"a"')]
    odd.append(path.read_text().replace('"head_dim": 4', '"head_dim": -4'))
    for content in ("a letter", "[]", '{"model_type": "abacus"}', "{}", "[" * 100_000, *odd):
        path.write_text(content)
        with pytest.raises(CheckpointError, match=r"transformer\.json describes no model") as result:
            multigen.load(str(tmp_path))
        assert "\n" not in str(result.value)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    about = model(tmp_path) / "model" / "config.json"
    content = json.loads(about.read_text())
    content["config"]["width"] = 9
    about.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="G"):
        multigen.load(str(tmp_path))


def test_the_tokenizer_of_a_model_to_start_from(tmp_path: Path) -> None:
    folder = str(model(tmp_path, "bpe", tokenizer="bpe"))
    writer = load(tmp_path)
    assert writer.tokenizer is not None
    assert given_tokenizer("", "") is None
    for tokenizer in ("", "bpe"):
        result = given_tokenizer(tokenizer, folder)
        assert result is not None and result.fingerprint == writer.tokenizer.fingerprint
    with pytest.raises(ConfigError, match=r"tokenizer 'words': .* trained with 'bpe'; give --tokenizer bpe"):
        given_tokenizer("words", folder)


def test_a_sheet_is_texts_and_a_graph_gives_the_logits_of_the_next_token(tmp_path: Path) -> None:
    writer = load(model(tmp_path))
    assert writer.task == "text-synthesis" and writer.sheet(3, seed=2) == writer.generate(n=3, seed=2)
    graph = writer.graph()
    (tokens,) = graph.example(2, 6)
    logits = graph.network(tokens)
    assert tokens.shape == (2, 6) and logits.shape == (2, 7, graph.shape[2])
    assert graph.example(1, 99)[0].shape == (1, writer.length - 1)
    torch.testing.assert_close(logits[:, :6], writer.G(tokens))
    longer = torch.cat([tokens, torch.tensor([[5], [6]])], 1)
    torch.testing.assert_close(logits, writer.G(longer))  # the last is of the token after them all
    assert graph.inputs == {"tokens": {0: "batch", 1: "tokens"}} and graph.says.keys() == {"tokens", "logits"}
    assert all(p is not q for p, q in zip(graph.network.parameters(), writer.G.parameters(), strict=True))  # a copy
