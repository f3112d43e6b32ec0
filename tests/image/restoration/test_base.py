"""The base of image restoration: a second method needs its networks, losses and stages, and its
degradation."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from multigen.engine import Adam, Batch, Run, Stage, Step, Terms, Update
from multigen.engine.batches import Stream
from multigen.engine.optimisers import Optimiser
from multigen.engine.randomness import key
from multigen.engine.schedules import Cosine
from multigen.errors import CheckpointError, ConfigError
from multigen.image.files import read_image
from multigen.image.restoration.base import ImageRestorationConfig, ImageRestorationTrainer
from multigen.image.restoration.srgan import SRGANConfig, SRGANTrainer
from multigen.image.restoration.upscaler import Restorer
from multigen.storage.model_folder import read_model
from tests.tiny import SETTINGS, photos, pixels

SIGMA = 0.2  # of the noise


@dataclass(frozen=True)
class DenoisingConfig(ImageRestorationConfig):
    crop: int = 32
    batch: int = 4
    steps: int = 300
    lr: float = 0.1
    ema: float = 0.0


class Affine(nn.Module):
    """w x + b."""

    radius = 0

    def __init__(self):
        super().__init__()
        self.w, self.b = nn.Parameter(torch.ones(())), nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.w * x + self.b


class Denoising(ImageRestorationTrainer[DenoisingConfig]):
    """A method of another kind: scale 1, noise that is drawn again for each batch, one stage, no
    discriminator."""

    name = "denoising"
    degrades_whole = False

    def degrade(self, image: Tensor, name: str) -> Tensor:
        draw = torch.Generator().manual_seed(key("noise", name))
        noise = torch.randn(image.shape, generator=draw) * SIGMA * 255
        return (image + noise).round().clamp(0, 255).to(torch.uint8)

    def inputs(self, batch: Batch, step: Step) -> Tensor:
        clean = self.targets(batch, step)
        return clean + SIGMA * step.randn("noise", *clean.shape[1:])

    def generator(self) -> Affine:
        return Affine()

    def optimisers(self) -> Optimiser:
        return Adam(Cosine(self.config.lr, 0.0), self.config.betas)

    def stages(self) -> list[Stage]:
        updates = [Update("generator", trains=["G"], loss=self.loss)]
        return [Stage("denoise", self.config.steps, updates, best=self.best("psnr_y", "max"))]

    def loss(self, batch: Batch, step: Step) -> Terms:
        return {"pixel": (self.G(self.inputs(batch, step)) - self.targets(batch, step)).square().mean()}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten photographs as large as a crop."""
    place = tmp_path_factory.mktemp("denoising") / "photos"
    place.mkdir()
    for i in range(10):
        Image.fromarray(pixels(32, 32, seed=i)).save(place / f"{i}.png")
    return place


def run_at(folder: Path, **options: Any) -> Run:
    return Run(out=str(folder), device="cpu", precision="fp32", validate_every=100, **options)


def test_a_second_method_states_networks_losses_and_stages(data: Path, tmp_path: Path) -> None:
    config = DenoisingConfig(data=str(data), test=(str(data),))
    trainer = Denoising(config, run_at(tmp_path / "run")).fit()

    # The best estimate of x from x + noise that is linear has slope var / (var + sigma^2) and keeps the mean.
    assert trainer.validation is not None and len(trainer.validation.names) == 1
    clean = torch.stack([read_image(data / photo.name) for photo in trainer.data.photos]) / 255  # pyright: ignore
    slope = (clean.var() / (clean.var() + SIGMA**2)).item()
    G: Any = trainer.nets["G"]
    assert G.w.item() == pytest.approx(slope, abs=0.01)
    assert G.b.item() == pytest.approx(clean.mean().item() * (1 - slope), abs=0.01)

    rows = trainer.evaluate().rows
    assert list(rows) == ["input", "denoise/last", "denoise/best"]
    assert rows["denoise/best"]["photos/psnr_y"] > rows["input"]["photos/psnr_y"] + 1
    assert list(rows["input"]) == [f"photos/{m}" for m in ("psnr_y", "ssim_y", "efficientnet_lite0")]
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert files >= {"comparison.png", "evaluation.json", "model", "previews"}
    assert (tmp_path / "run" / "model" / "README.md").exists()

    model = Denoising.load(read_model(tmp_path / "run" / "model"))
    assert isinstance(model, Restorer) and model.task == "image-restoration"
    image = trainer.tests[0].inputs[0]
    expected = (G.w * image / 255 + G.b).mul(255).round().clamp(0, 255)
    assert (model.restore(image) - expected).abs().max() <= 1


def test_test_inputs_are_degraded_the_same_each_time(data: Path) -> None:
    sets = []
    for _ in range(2):
        trainer = Denoising(DenoisingConfig(data=str(data), test=(str(data),)), Run(device="cpu"))
        trainer.prepare()
        sets.append(trainer.tests[0].inputs)
    assert all(torch.equal(a, b) for a, b in zip(*sets, strict=True))
    assert not torch.equal(sets[0][0], trainer.tests[0].targets[0])


def test_batches_have_inputs_where_photographs_are_degraded_whole(data: Path) -> None:
    class Whole(Denoising):
        degrades_whole = True
        inputs = ImageRestorationTrainer.inputs

    for kind, names in ((Denoising, ["target"]), (Whole, ["target", "input"])):
        trainer = kind(
            DenoisingConfig(data=str(data), test=(str(data),), validation_size=0), Run(device="cpu", precision="fp32")
        )
        trainer.prepare()
        batch = Stream(trainer.data, 4, slice(0, 4), ("a",)).at(0)
        assert list(batch) == names
        step = trainer.updater.step_at((0, 0, "denoise", "generator", 0, 0), 0.0, slice(0, 4))
        noise = trainer.inputs(batch, step) - trainer.targets(batch, step)
        assert noise.std().item() == pytest.approx(SIGMA, rel=0.2)


def test_the_fingerprint_is_of_the_photographs_that_are_trained_on(tmp_path: Path) -> None:
    place, test = photos(tmp_path / "photos", count=3), photos(tmp_path / "test", count=1)

    def prints(**changes: Any) -> str:
        settings = {**SETTINGS, "data": str(place), "test": (str(test),), "validation_size": 0, **changes}
        trainer = SRGANTrainer(SRGANConfig(**settings), Run(device="cpu"))
        trainer.prepare()
        return trainer.data_info.fingerprint

    first = prints()
    assert len(first) == 16 and prints(crop=16) == first
    Image.fromarray(pixels(20, 20)).save(place / "small.png")
    assert prints(skip_bad=True) == first  # it is not trained on
    Image.fromarray(pixels(48, 56, seed=9)).save(place / "1.png")
    assert prints(skip_bad=True) != first
    assert prints(data="embedded") not in (first, "")


def test_a_run_is_not_resumed_with_other_photographs(tmp_path: Path) -> None:
    place = photos(tmp_path / "photos")
    config = SRGANConfig(**{**SETTINGS, "data": str(place), "test": (str(place),), "validation_size": 0})
    run = Run(out=str(tmp_path / "run"), device="cpu", precision="fp32")
    SRGANTrainer(config, run).fit()
    Image.fromarray(pixels(48, 56, seed=9)).save(place / "1.png")
    with pytest.raises(ConfigError, match="was trained on other data, which differ in fingerprint"):
        SRGANTrainer(config, replace(run, out="", resume=str(tmp_path / "run"))).fit()


def test_distances_are_opened_with_the_data(data: Path, tmp_path: Path) -> None:
    """Before there are networks: a file of weights that is none is named first, and `networks` and
    `stages` set nothing."""
    (tmp_path / "vgg.safetensors").write_bytes(b"")
    config = DenoisingConfig(data=str(data), test=(str(data),), perceptual_weights=str(tmp_path / "vgg.safetensors"))
    with pytest.raises(CheckpointError, match=r"vgg\.safetensors cannot be read as safetensors"):
        Denoising(config, Run(device="cpu")).prepare()

    trainer = SRGANTrainer(SRGANConfig(**SETTINGS, data=str(data), test=(str(data),)), Run(device="cpu"))
    trainer.device, trainer.precision = torch.device("cpu"), "fp64"
    trainer.open_data()
    assert trainer.distance.name == "efficientnet_lite0"
    assert next(trainer.distance.parameters()).dtype == torch.float64
    before = set(vars(trainer))
    trainer.networks()
    trainer.stages()
    assert set(vars(trainer)) == before
