"""The benchmark of sound training compares what it says it compares. No time is asserted."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import audio_training
from benchmarks.audio_training import PlainLoop, layers, measure, milliseconds, noise, prepared, rounds_of
from multigen.audio.synthesis.wavegan import PRESETS, Generator, WaveformCritic, WaveGANConfig
from multigen.engine import Run, Step, TensorSource

SIZES: dict[str, Any] = {"width": 2, "length": 1024, "batch": 4}
PUBLISHED = replace(PRESETS["paper"], **SIZES)
RUN = Run(device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noise(tmp_path_factory.mktemp("noise"), 16, 1024)


def test_both_loops_do_the_same_maths(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given the same batch and draws, three steps have the same losses and lead to the same
    weights."""
    trainer = prepared(data, replace(PUBLISHED, shuffle=0, lr=(1e-2, 1e-2)), RUN)
    plain = PlainLoop(trainer)
    draw = torch.Generator().manual_seed(1)
    z, mix = torch.randn(4, 100, generator=draw), torch.rand(4, 1, 1, generator=draw)
    assert isinstance(trainer.data, TensorSource)
    sounds = trainer.data.tensors["sound"][:4]
    monkeypatch.setattr(Step, "randn", lambda self, stream, *shape: z)
    monkeypatch.setattr(Step, "rand", lambda self, stream, *shape: mix)
    monkeypatch.setattr(trainer.updater, "move", lambda batch: {"sound": sounds})
    for name, value in (("latents", z), ("mix", mix), ("real", sounds)):
        monkeypatch.setattr(plain, name, lambda value=value: value)
    before = [p.clone() for name in "GD" for p in trainer.nets[name].parameters()]
    for index in range(3):
        loss = plain.step(index)
        trainer.advance(index)
        torch.testing.assert_close(trainer.updater.meter.read()["generator/wasserstein"], loss, rtol=1e-3, atol=1e-4)
    ours = [p for name in "GD" for p in trainer.nets[name].parameters()]
    theirs = [*plain.G.parameters(), *plain.D.parameters()]
    for p, q, start in zip(ours, theirs, before, strict=True):
        assert (p - q).norm() <= 0.02 * (p - start).norm()
    assert any((p - start).norm() > 0.01 for p, start in zip(ours, before, strict=True))


def test_the_recipes_are_the_published_and_the_small_one(data: Path) -> None:
    published, small = (prepared(data, replace(PRESETS[name], **SIZES), RUN) for name in ("paper", "laptop"))
    updates = [[(u.name, u.repeat, u.every) for u in t.plan[0].updates] for t in (published, small)]
    assert updates[0] == [("discriminator", 5, 1), ("generator", 1, 1)]
    assert updates[1] == [("discriminator", 1, 1), ("r1", 1, 8), ("generator", 1, 1)]
    assert published.config.loss == "wasserstein" and published.config.shuffle == 2
    assert small.config.loss == "relativistic_pairing" and small.config.gamma == 0.01
    assert not small.config.waveform and small.config.spectra == (256,)


def test_loops_take_turns_and_the_first_round_is_left_out() -> None:
    now, calls = [0.0], list[str]()

    def loop(name: str, seconds: float):
        def step(index: int) -> None:
            calls.append(f"{name}{index}")
            now[0] += seconds * (index + 1)

        return step

    loops = {"a": (loop("a", 1.0), 1), "b": (loop("b", 10.0), 2)}
    result = rounds_of(loops, 2, torch.device("cpu"), clock=lambda: now[0])
    assert calls == [*("a0", "b0", "b1"), *("b2", "b3", "a1"), *("a2", "b4", "b5")]
    assert result == [{"b": 35.0, "a": 2.0}, {"a": 3.0, "b": 55.0}]


def test_ratios_are_those_of_the_rounds(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published, small = (prepared(data, replace(PRESETS[name], **SIZES), RUN) for name in ("paper", "laptop"))
    times = [{"plain loop": 2.0, "published": 3.0, "small budget": 1.5}]
    times += [{"plain loop": 4.0, "published": 4.0, "small budget": 1.0}]
    requested = []

    def rounds(loops, rounds, device):
        requested.extend((name, steps) for name, (_, steps) in loops.items())
        return times

    monkeypatch.setattr(audio_training, "rounds_of", rounds)
    rows = measure(published, small, 2).rows
    assert requested == [("plain loop", 1), ("published", 1), ("small budget", 8)]
    assert rows["plain loop"] == {"seconds": 3.0}
    assert rows["published"] == {"seconds": 3.5, "to_plain": 1.25, "to_plain_min": 1.0, "to_plain_max": 1.5}
    assert rows["small budget"]["to_published"] == 0.375
    assert published.state.scalars["seconds"] == 7.0


@pytest.mark.parametrize("network", [Generator, WaveformCritic])
def test_the_layers_are_those_of_a_pass(network: type[Generator] | type[WaveformCritic]) -> None:
    """One after another they do what the network does."""
    c = WaveGANConfig(**SIZES, shuffle=0)
    net = network(c)
    x = torch.randn(4, c.latent) if network is Generator else torch.rand(4, 1, 1024)
    result, h = layers(net, x), x
    for _, function, held, weights in result:
        assert held.shape == h.reshape(held.shape).shape
        h = function(h.reshape(held.shape))
        assert all(any(w is p for p in net.parameters()) for w in weights)
    torch.testing.assert_close(h.reshape(4, -1), net(x).reshape(4, -1))
    assert sum(len(weights) for *_, weights in result) == len([*net.parameters()])
    for part in result:
        assert all(ms > 0 for ms in milliseconds(part, "fp32", 1))


@pytest.mark.slow
def test_the_command_writes_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "found.json"
    audio_training.main(**SIZES, rounds=1, device="cpu", with_profile=True, out=out)
    written, printed = json.loads(out.read_text()), capsys.readouterr().out
    rows = written["records"][0]["rows"]
    assert [*rows] == ["plain loop", "published", "small budget"]
    assert all(row["seconds"] > 0 for row in rows.values())
    assert [*written["profile"]] == ["generator", "waveform critic"]
    assert all(len(table["all"]) == 6 for table in written["profile"].values())
    assert "to_published" in printed and "double_bf16" in printed and "phase shuffle" in printed
