"""`multigen export`: what onnxruntime makes of the file is what torch makes of the model."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import multigen
from multigen.audio.restoration.vocoder import PRESETS as VOCODER
from multigen.audio.restoration.vocoder import VocoderTrainer
from multigen.catalogue import METHODS, TASKS, Method
from multigen.cli import export
from multigen.config import to_table
from multigen.storage.model_folder import write_model
from multigen.tasks.loading import trainer_in
from multigen.version import __version__
from tests import tiny
from tests.cases import few
from tests.text.synthesis.test_writer import model as text_model

onnx = pytest.importorskip("onnx", reason="the extra export is missing")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra export is missing")
pytest.importorskip("onnxscript", reason="the extra export is missing")

SMALL: dict[str, Any] = {"width": 4, "latent": 6}
"""Settings of a generator that is exported in a second; the others are those of the preset tiny."""
FROM_NOISE = [m for m in METHODS.values() if TASKS[m.task].kind == "synthesis" and m.modality != "text"]


def generator(folder: Path, method: Method, conditional: bool) -> Path:
    """A model folder of a method that generates items from noise, of untrained weights."""
    module = import_module(method.module)
    config = replace(module.PRESETS["tiny"], conditional=conditional, **SMALL)
    trainer = trainer_in(module)(config)
    channels = {"channels": 3} if hasattr(trainer.data_info, "channels") else {}
    info = replace(trainer.data_info, classes=("cat", "dog") if conditional else (), **channels)
    return tiny.untrained(folder, trainer, info)


def exported(run: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[Any, dict[str, str], str]:
    """The session of what the command wrote, the file's metadata, and what the command said."""
    out = run / "g.onnx"
    assert tiny.multigen(["export", "--model", run, "--out", out, *more]) == 0
    assert sorted(path.name for path in run.iterdir()) == ["g.onnx", "model"]
    onnx.checker.check_model(out)
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    return session, session.get_modelmeta().custom_metadata_map, capsys.readouterr().out


@pytest.mark.parametrize("conditional", few([False, True], True))
@pytest.mark.parametrize(
    "method", [pytest.param(m, id=m.name, marks=[] if m.name == "gan" else pytest.mark.slow) for m in FROM_NOISE]
)
def test_generators(method: Method, conditional: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session, says, printed = exported(generator(tmp_path / "run", method, conditional), capsys)
    model = multigen.load(str(tmp_path / "run"))
    for n in (1, 5):
        given = {"z": model.latents(n)} | ({"label": torch.arange(n) % 2} if conditional else {})
        with torch.no_grad():
            expected = model.network(*given.values()).numpy()
        assert [i.name for i in session.get_inputs()] == list(given)
        result = session.run(None, {name: t.numpy() for name, t in given.items()})[0]
        assert result.shape == expected.shape and np.abs(result - expected).max() <= 1e-4
    assert (
        says["method"] == method.name
        and says["software"] == f"multigen {__version__}"
        and says["z"].startswith("float32 (batch, 6)")
    )
    output = session.get_outputs()[0]
    assert output.shape[0] == "batch" and output.name in says and f"{output.name}: " in printed
    assert ('["cat", "dog"]' in says.get("label", "")) == conditional
    if method.name == "specgan":
        assert "Griffin-Lim, which stays outside" in printed and len(json.loads(says["mean"])) == 128


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["compact", "srresnet"])
def test_upscalers(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from multigen.image.restoration import srgan

    config = srgan.SRGANConfig(generator=kind, blocks=1, width=4)  # pyright: ignore[reportArgumentType]
    weights = {"G": srgan.SRGANTrainer(config).generator().state_dict()}
    write_model(tmp_path / "run" / "model", "srgan", to_table(config), weights, {})
    session, _, _ = exported(tmp_path / "run", capsys)
    model = multigen.load(str(tmp_path / "run"))
    for shape in ((1, 3, 5, 12), (3, 3, 17, 6)):
        image = torch.rand(shape)
        with torch.no_grad():
            expected = model.network(image).numpy()
        result = session.run(None, {"image": image.numpy()})[0]
        assert result.shape == expected.shape and np.abs(result - expected).max() <= 1e-4
    assert session.get_outputs()[0].shape == ["batch", 3, "4*height", "4*width"]


@pytest.mark.slow
@pytest.mark.parametrize("network", ["lstm", "transformer"])
def test_next_tokens(network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session, says, _ = exported(text_model(tmp_path / "run", network=network), capsys)
    writer = multigen.load(str(tmp_path / "run"))
    size = session.get_outputs()[0].shape
    assert size[:2] == ["batch", "tokens + 1"] and "the token that comes next" in says["logits"]
    for n, length in ((1, 1), (4, 13)):
        tokens = torch.randint(size[2], (n, length))
        result = session.run(None, {"tokens": tokens.numpy()})[0]
        with torch.no_grad():  # those of the tokens themselves, and of the one after them
            expected = writer.G(tokens).numpy()
            features = torch.cat([tokens, tokens[:, :1]], 1)
            following = writer.G(features)[:, -1].numpy()
        assert np.abs(result[:, :-1] - expected).max() <= 1e-4 and np.abs(result[:, -1] - following).max() <= 1e-4


def test_what_cannot_be_exported_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = generator(tmp_path / "run", METHODS["gan"], False)

    def fails(message: str, out: str = "g.onnx") -> None:
        assert tiny.multigen(["export", "--model", run, "--out", tmp_path / out]) == 2
        assert message in capsys.readouterr().err

    fails("expected a file ending in .onnx", "g.pt")
    (tmp_path / "file").touch()
    fails("cannot be written", "file/g.onnx")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "onnxscript", None)
        fails("onnxscript is missing; pip install 'multigen[export]'")


@pytest.mark.slow
def test_a_file_that_differs_or_cannot_be_run_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong: Callable[..., float] = lambda *_: 0.5  # noqa: E731
    monkeypatch.setattr(export, "_difference", wrong)
    run = generator(tmp_path / "run", METHODS["gan"], False)
    assert tiny.multigen(["export", "--model", run, "--out", tmp_path / "g.onnx"]) == 2
    assert "differs from PyTorch's by 0.5, expected 0.0001 at most" in capsys.readouterr().err
    assert not (tmp_path / "g.onnx").exists()

    def broken(*_: Any) -> float:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(export, "_difference", broken)
    with pytest.raises(RuntimeError, match="no such operator"):
        export.write(multigen.load(str(run)).graph(), tmp_path / "g.onnx", {})
    assert not (tmp_path / "g.onnx").exists()


OWN = {
    "a branch on values": ("x * 2 if x.sum() > 0 else x", "data-dependent"),
    "an operator that ONNX has not": ("torch.special.bessel_j0(x)", "bessel_j0"),
    "a batch of one size": ("x + torch.zeros(2, 1, 1, 1)", "user-specified"),
    "neither an image nor a sound": ("x.flatten(1)", "it gives (2352,) an item"),
}
"""What the network of a user's own file gives -> what is named."""


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN)
def test_a_network_of_ones_own_that_cannot_be_exported_is_named(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    gives, named = OWN[name]
    file, run = tmp_path / "my_gan.py", generator(tmp_path / "run", METHODS["gan"], False)
    assert tiny.multigen(["cp", "gan", file]) == 0
    about = run / "model" / "config.json"
    about.write_text(about.read_text().replace('"method": "gan"', '"method": "my_gan"'))
    line = "return self.layers(with_class(z, label, self.classes))"
    text = file.read_text()
    assert line in text
    file.write_text(
        "import torch\n" + text.replace(line, f"x = {line.removeprefix('return ')}\n        return {gives}")
    )
    capfd.readouterr()
    assert tiny.multigen(["export", "--model", run, "--code", file, "--out", tmp_path / "g.onnx"]) == 2
    message = capfd.readouterr().err
    assert (
        message.startswith(f"error: --model {run}: its network cannot be exported to ONNX (")
        and message.count("\n") == 1
    )
    assert named in message and "use it with multigen itself" in message
    assert not (tmp_path / "g.onnx").exists()


@pytest.mark.slow
def test_a_vocoder_s_inverse_transform_is_in_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """onnxruntime gives what the network and its FFT give."""
    run = tiny.untrained(tmp_path / "run", VocoderTrainer(VOCODER["tiny"]))
    out = tmp_path / "vocoder.onnx"
    assert tiny.multigen(["export", "--model", run, "--out", out]) == 0
    assert "sound: float32 (batch, frames * 100), 8000 samples a second" in capsys.readouterr().out
    model = multigen.load(run)
    mels = model.spec(0.1 * torch.randn(2, 4_321, generator=torch.Generator().manual_seed(1)))
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    (sound,) = session.run(None, {"mels": mels.numpy()})
    with torch.no_grad():
        assert np.abs(sound - model.network(mels).numpy()).max() < 1e-4


def test_a_vocoder_s_inverse_transform_is_in_what_is_exported(tmp_path: Path) -> None:
    """As a convolution, which ONNX has."""
    model = multigen.load(tiny.untrained(tmp_path / "run", VocoderTrainer(VOCODER["tiny"])))
    mels = model.spec(0.1 * torch.randn(2, 4_321, generator=torch.Generator().manual_seed(1)))
    with torch.no_grad():
        assert (model.graph().network(mels) - model.network(mels)).abs().max() < 1e-4


def directions(model: Any, image: torch.Tensor) -> dict[str, torch.Tensor]:
    """What a model that learnt both makes of an image in each."""
    with torch.no_grad():
        expected = {way: model.turned(way).network(image) for way in ("AB", "BA")}
    assert (expected["AB"] - expected["BA"]).abs().max() > 1e-2
    return expected


@pytest.mark.slow
def test_a_direction_of_a_model_that_learnt_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = multigen.load(str(tiny.both_ways(tmp_path / "run", "BA")))
    session, says, _ = exported(tmp_path / "run", capsys, "--direction", "AB")
    image = torch.rand(2, 3, 32, 36)
    made = session.run(None, {"image": image.numpy()})[0]
    assert np.abs(made - directions(model, image)["AB"].numpy()).max() <= 1e-4
    assert says["translated"].endswith("of domain B")


@pytest.mark.parametrize("way", [None, "AB", "BA"])
def test_the_network_of_a_direction_is_exported(
    way: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []
    monkeypatch.setattr(export, "write", lambda graph, out, says: given.append((graph.network, says)) or 0.0)
    run = tiny.both_ways(tmp_path / "run", "BA")
    words = ["--direction", way] if way else []
    assert tiny.multigen(["export", "--model", run, "--out", tmp_path / "g.onnx", *words]) == 0
    ((network, says),) = given
    image = torch.rand(2, 3, 32, 36)
    with torch.no_grad():
        torch.testing.assert_close(network(image), directions(multigen.load(str(run)), image)[way or "BA"])
    assert says["translated"].endswith("of domain B" if way == "AB" else "of domain A")


def test_a_direction_that_a_model_does_not_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from multigen.image.translation import pix2pix

    one_way = tiny.untrained(tmp_path / "pix2pix", pix2pix.Pix2PixTrainer(pix2pix.PRESETS["tiny"]))
    none = generator(tmp_path / "gan", METHODS["gan"], False)
    for run, message in (
        (one_way, "direction BA: the model was trained for AB"),
        (none, f"--direction BA: of translation models, and {none} is none; leave it out"),
    ):
        assert tiny.multigen(["export", "--model", run, "--direction", "BA", "--out", tmp_path / "g.onnx"]) == 2
        assert message in capsys.readouterr().err and not (tmp_path / "g.onnx").exists()
