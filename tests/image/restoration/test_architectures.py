"""Networks of the library spandrel: built from files that we read, and used as ours are; and our
own loaders against theirs."""

import json
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

import multigen
from multigen.errors import CheckpointError
from multigen.image.restoration import architectures
from multigen.image.restoration.networks import RRDB, SRVGG
from multigen.image.restoration.published import model_folder
from multigen.image.tiles import TILE, WHOLE
from multigen.storage.model_folder import write_model
from tests import tiny
from tests.image.restoration.test_published import first_release, last_release

spandrel: Any = pytest.importorskip("spandrel")

Build = Callable[[], nn.Module]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTIGEN_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)


def of(name: str, **settings: Any) -> Build:
    """Builds a network of an architecture of the library."""

    def build() -> nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return getattr(import_module(f"spandrel.architectures.{name}"), name)(**settings)

    return build


SMALL_SWIN = {"img_size": 16, "embed_dim": 12, "depths": [2], "num_heads": [2], "window_size": 8, "mlp_ratio": 2}
NETWORKS: dict[str, tuple[Build, int]] = {
    "SwinIR": (of("SwinIR", **SMALL_SWIN, upscale=2, upsampler="pixelshuffledirect"), 2),
    "DnCNN": (of("DnCNN", nc=8, nb=8, act_mode="R"), 1),
    "DRUNet": (of("DRUNet", in_nc=4, out_nc=3, nc=[4, 8, 8, 8], nb=2), 1),
    "NAFNet": (of("NAFNet", width=4, enc_blk_nums=[1, 1], dec_blk_nums=[1, 1]), 1),
    "PLKSR": (of("PLKSR", dim=8, n_blocks=2, upscaling_factor=3, kernel_size=5), 3),
}
"""Architecture -> (a small network of random weights, its scale)."""


def picture(height: int = 19, width: int = 23) -> Tensor:
    """uint8 (3, H, W)."""
    return torch.from_numpy(tiny.pixels(height, width)).permute(2, 0, 1)


def theirs(weights: dict[str, Tensor], image: Tensor) -> Tensor:
    """What the library makes of (B, C, H, W)."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = spandrel.ModelLoader().load_from_state_dict({name: value.clone() for name, value in weights.items()})
        return torch.cat([result.eval()(one) for one in image.split(1)])


@pytest.mark.parametrize("architecture", NETWORKS)
def test_a_network_of_the_library_is_used_as_the_library_uses_it(architecture: str, tmp_path: Path) -> None:
    build, scale = NETWORKS[architecture]
    weights, image = build().state_dict(), picture()
    torch.save({"params": weights}, tmp_path / "net.pth")
    model = multigen.load(tmp_path / "net.pth")
    assert model.scale == scale and model.network.found.architecture.id == architecture

    x = image[None] / 255  # of odd sides, which several of them do not take
    grey = architecture == "DnCNN"
    expected = theirs(weights, x[0][:, None])[:, 0][None] if grey else theirs(weights, x)
    assert (model.network(x) - expected).abs().max() <= 1e-5
    assert expected.std() > 0 and expected.shape[-2:] == (19 * scale, 23 * scale)
    large = model.network(x)[0].mul(255).round().byte()
    assert torch.equal(model(image), large)

    again = multigen.load(model_folder(str(tmp_path / "net.pth")))
    assert torch.equal(again(image), large)


def test_the_marker_of_a_variant_is_kept(tmp_path: Path) -> None:
    """Real-CUGAN's files of the variant "pro", which takes other values, say so by an entry that is
    no tensor."""
    weights = import_module("spandrel.architectures.RealCUGAN").UpCunet2x().state_dict()
    torch.save({**weights, "pro": ""}, tmp_path / "pro.pth")
    torch.save(weights, tmp_path / "net.pth")
    image = picture(20, 24)
    result = {name: multigen.load(tmp_path / f"{name}.pth")(image) for name in ("pro", "net")}
    expected = theirs({**weights, "pro": torch.zeros(1)}, image[None] / 255)[0].mul(255).round().byte()
    assert torch.equal(result["pro"], expected)
    assert not torch.equal(result["pro"], result["net"])


def test_what_was_imported_is_a_model_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_file(NETWORKS["NAFNet"][0]().state_dict(), tmp_path / "net.safetensors")
    out = tmp_path / "model"
    assert tiny.multigen(["import", tmp_path / "net.safetensors", "--out", out, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["architecture"] == "NAFNet" and printed["extra"] == "models" and printed["purpose"] == "Restoration"
    (tmp_path / "net.safetensors").unlink()
    assert json.loads((out / "config.json").read_text())["method"] == "spandrel"
    card = (out / "README.md").read_text()
    assert "architecture NAFNet" in card and "Unknown: the file does not say" in card and "license" not in card
    assert multigen.load(out).origin["method"] == "spandrel"


def test_without_the_library_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(NETWORKS["NAFNet"][0]().state_dict(), tmp_path / "net.pth")
    folder = model_folder(str(tmp_path / "net.pth"))
    monkeypatch.setattr(architectures, "is_installed", lambda: False)
    with pytest.raises(CheckpointError, match=r"NAFNet, needs the library spandrel: pip install 'multigen\[models\]'"):
        multigen.load(folder)
    torch.save(NETWORKS["PLKSR"][0]().state_dict(), tmp_path / "other.pth")
    assert tiny.multigen(["import", tmp_path / "other.pth", "--out", tmp_path / "model"]) == 2
    message = capsys.readouterr().err
    assert (
        "no network that is known here" in message
        and "pip install 'multigen[models]'" in message
        and message.count("\n") == 1
    )


def test_grey_images_of_a_network_for_grey_images(tmp_path: Path) -> None:
    weights = NETWORKS["DnCNN"][0]().state_dict()
    torch.save(weights, tmp_path / "net.pth")
    grey = picture()[0]
    result = multigen.load(tmp_path / "net.pth").restore(Image.fromarray(grey.numpy()))
    assert result.mode == "L"
    expected = theirs(weights, grey[None, None] / 255)[0, 0].mul(255).round()
    assert np.abs(np.asarray(result).astype(int) - expected.numpy()).max() <= 1


def test_images_are_whole_where_tiles_would_show(tmp_path: Path) -> None:
    sides = {}
    for name in ("SwinIR", "NAFNet"):
        torch.save(NETWORKS[name][0]().state_dict(), tmp_path / f"{name}.pth")
        model: Any = multigen.load(tmp_path / f"{name}.pth")
        sides[name] = model.tile
        assert model.fade > 0  # where memory runs out, tiles all the same
    assert sides == {"SwinIR": WHOLE, "NAFNet": TILE}


REFUSED: dict[str, tuple[Build, str]] = {
    "inpainting": (of("LaMa"), "a network for Inpainting, LaMa; expected one that enlarges or restores images"),
    "transparency": (
        of("ESRGAN", in_nc=4, out_nc=4, num_filters=8, num_blocks=1),
        "a network of images of 4 channels; expected 3, RGB",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_networks_for_other_purposes_are_refused(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build, reason = REFUSED[case]
    torch.save(build().state_dict(), tmp_path / "net.pth")
    assert tiny.multigen(["import", tmp_path / "net.pth", "--out", tmp_path / "model"]) == 2
    message = capsys.readouterr().err
    assert reason in message and message.count("\n") == 1 and not (tmp_path / "model").exists()


def damaged(weights: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    name = "intro.weight"
    return {
        "holds NaN": {**weights, name: weights[name] * float("nan")},
        "no network can be built of its tensors": {**weights, name: weights[name][:, :2]},
        "a layer of a number above": {**weights, "encoders.900000.0.conv1.weight": weights[name]},
        "to build it, expected at most": {**weights, "encoders.900.0.conv1.weight": weights[name]},
    }


def test_damaged_and_hostile_weights_are_refused(tmp_path: Path) -> None:
    """Names that ask for a million layers among them, in a file and in a model folder."""
    for reason, weights in damaged(NETWORKS["NAFNet"][0]().state_dict()).items():
        torch.save(weights, tmp_path / "net.pth")
        with pytest.raises(CheckpointError, match=rf"net\.pth.*{reason}"):
            multigen.load(tmp_path / "net.pth")
        write_model(tmp_path / "model", "spandrel", {"architecture": "NAFNet"}, {"G": weights}, {})
        with pytest.raises(CheckpointError, match=rf"model, G.*{reason}"):
            multigen.load(tmp_path / "model")
    for name in ("SwinIR", None, 7):
        write_model(
            tmp_path / "model", "spandrel", {"architecture": name}, {"G": NETWORKS["NAFNet"][0]().state_dict()}, {}
        )
        with pytest.raises(CheckpointError, match=f"its weights are not those of {name}"):
            multigen.load(tmp_path / "model")
    write_model(tmp_path / "model", "spandrel", {"architecture": "NAFNet"}, {}, {})
    with pytest.raises(CheckpointError, match="its weights are not those of NAFNet"):
        multigen.load(tmp_path / "model")


def test_training_does_not_start_from_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(NETWORKS["NAFNet"][0]().state_dict(), tmp_path / "net.pth")
    photos = tiny.photos(tmp_path / "photos")
    words = ["train", "srgan", "tiny", "--data", photos, "--out", tmp_path / "run", "--from", tmp_path / "net.pth"]
    assert tiny.multigen(words) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert (
        "a network of the library spandrel" in message
        and "(NAFNet), which is used and not trained; give a run" in message
    )


# ---------------------------------------------------------------------------------------------------- our own loaders


OURS: dict[str, Build] = {
    "compact": lambda: SRVGG(2, 3, 8),
    "span": of("SPAN", num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=2),  # which needs merged weights too
    "rrdb": lambda: RRDB(4, 2, 8, 32),
    "rrdb x2": lambda: RRDB(2, 1, 8, 32, unshuffle=2),
}


@pytest.mark.parametrize("case", OURS)
def test_our_networks_give_what_the_library_gives(case: str, tmp_path: Path) -> None:
    network, x = OURS[case]().eval(), picture(20, 24)[None] / 255
    weights = network.state_dict()
    spellings = [weights]
    if case == "rrdb":
        spellings += [first_release(weights, 2, 2), last_release(weights)]
    for spelling in spellings:
        torch.save(spelling, tmp_path / "net.pth")
        model = multigen.load(tmp_path / "net.pth")
        assert type(model.network).__module__.startswith("multigen.image.restoration.networks.")
        with torch.no_grad():
            result = model.network(x)
        torch.testing.assert_close(result.clamp(0, 1), theirs(spelling, x), rtol=0, atol=1e-5)
