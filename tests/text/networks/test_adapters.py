"""Low-rank adapters of pretrained models: they begin as the model, merge into it, and are all that
a run trains and saves."""

import copy
import json
from pathlib import Path

import pytest
import torch

import multigen
from multigen.storage.tensors import TensorFile
from multigen.text.networks.adapters import Adapted
from multigen.text.networks.generators import Transformer
from tests import tiny
from tests.text import gguf_files

pytest.importorskip("peft")
pytest.importorskip("gguf")
TOKENS = torch.randint(3, 40, (2, 9), generator=torch.Generator().manual_seed(0))


def plain(kind: str) -> Transformer:
    torch.manual_seed(0)
    return Transformer(gguf_files.llama(), 1) if kind == "llama" else Transformer.gpt2(290, 16, 2, 4, 20, 1)


@pytest.fixture(params=["llama", "gpt2"])
def adapted(request: pytest.FixtureRequest) -> tuple[Transformer, Adapted]:
    """A model, and the same with adapters that changed it."""
    G = Adapted(plain(request.param), 2)
    with torch.no_grad():
        torch.testing.assert_close(G(TOKENS), plain(request.param)(TOKENS))  # B begins at 0
        for name, tensor in G.state_dict().items():
            tensor.copy_(torch.randn(tensor.shape, generator=torch.Generator().manual_seed(len(name))) / 3)
    return plain(request.param), G


@torch.no_grad()
def test_adapters_merge_into_the_model(adapted: tuple[Transformer, Adapted]) -> None:
    model, G = adapted
    assert not torch.allclose(G(TOKENS), model(TOKENS), atol=1e-2)
    model.load_state_dict(G.merged())
    torch.testing.assert_close(model(TOKENS), G(TOKENS))


def test_only_adapters_are_trained_and_saved(adapted: tuple[Transformer, Adapted]) -> None:
    model, G = adapted
    trained = {name for name, p in G.named_parameters() if p.requires_grad}
    assert trained == {*G.state_dict()} and all(".lora_" in name for name in trained)
    layers = 7 if "llama" in type(model.model).__name__.lower() else 4
    assert len(trained) == 2 * 2 * layers  # A and B of each linear layer but the last


@torch.no_grad()
def test_features_are_those_of_the_frozen_model(adapted: tuple[Transformer, Adapted]) -> None:
    model, G = adapted
    features, after = G.features(TOKENS), G(TOKENS)
    torch.testing.assert_close(model.logits(features)[:, :-1], model(TOKENS)[:, 1:])
    assert features.shape == (2, 9, G.width) and not torch.allclose(
        after, model(TOKENS), atol=1e-2
    )  # they are on again


@torch.no_grad()
def test_copies_share_what_is_frozen(adapted: tuple[Transformer, Adapted]) -> None:
    _, G = adapted
    before, twin = G(TOKENS), copy.deepcopy(G)
    own, others = dict(G.named_parameters()), dict(twin.named_parameters())
    assert all((own[name] is others[name]) == (".lora_" not in name) for name in own)
    for tensor in twin.state_dict().values():
        tensor.zero_()
    torch.testing.assert_close(G(TOKENS), before, rtol=0, atol=0)
    assert not torch.allclose(twin(TOKENS), before)


def test_a_run_trains_adapters_and_writes_a_whole_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "book.txt").write_text(gguf_files.TEXT * 60)
    path, run = gguf_files.small(tmp_path / "small.gguf"), tmp_path / "run"
    words = ["train", "scratchgan", "tiny", "--data", tmp_path / "book.txt", "--unit", "file", "--length", "16"]
    words += ["--network", "pretrained", "--pretrained", path, "--lora-rank", "2", "--kl", "0.1", "--batch", "4"]
    words += ["--frozen-features", "--precision", "fp32", "--device", "cpu", "--samples", "10", "--mle-steps", "8"]
    assert tiny.multigen([*words, "--out", run]) == 0, capsys.readouterr().err
    rows = json.loads((run / "evaluation.json").read_text())["rows"]
    assert rows.keys() >= {"pretrained", "mle/best", "adversarial/last"}
    checkpoint = TensorFile.open(sorted((run / "checkpoints").glob("step-*/G.safetensors"))[-1])
    assert all(".lora_" in name for name in checkpoint)
    model = TensorFile.open(run / "model" / "G.safetensors")
    assert not any("lora" in name for name in model)
    frozen = multigen.load(path).G.state_dict()
    assert model.keys() == frozen.keys()
    changed = {name for name in model if not torch.equal(model[name], frozen[name])}
    assert len(changed) == 14 and all("_proj" in name for name in changed)
    assert tiny.multigen(["write", "--model", run, "--prompt", "The fox", "-n", "2"]) == 0
    capsys.readouterr()
    assert tiny.multigen([*words, "--from", run, "--out", tmp_path / "again"]) == 2
    assert "--pretrained" in capsys.readouterr().err.splitlines()[-1]


def test_ranks_without_a_pretrained_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.multigen(["train", "scratchgan", "tiny", "--lora-rank", "4"]) == 2
    assert "lora_rank 4: network lstm has no trained weights" in capsys.readouterr().err
    assert tiny.multigen(["train", "scratchgan", "tiny", "--frozen-features"]) == 2
    assert "give --network pretrained --lora-rank 16" in capsys.readouterr().err
