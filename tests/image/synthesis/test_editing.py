"""Directions of latents and styles, what they change, and projection."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from multigen.errors import ConfigError
from multigen.image.synthesis.directions import effect
from multigen.image.synthesis.editing import Editor
from multigen.image.synthesis.sampler import ImageSampler, StyleSampler
from multigen.image.synthesis.spaces import Latents, Styles
from multigen.image.synthesis.stylegan2 import PRESETS, Generator


class Network(nn.Module):
    """z (B, 6) -> (B, 3, 32, 32) in -1..1: smooth colours."""

    def __init__(self, layer: Callable[[int, int], nn.Module] = nn.Linear):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first: Any = layer(6, 48)
            self.up = nn.Upsample(scale_factor=8, mode="bilinear")
        self.eval()

    def forward(self, z: Tensor) -> Tensor:
        z = z if isinstance(self.first, nn.Linear) else z[..., None, None]
        return torch.tanh(self.up(self.first(z).view(-1, 3, 4, 4)))


def editor(network: nn.Module | None = None, by: str = "sefa") -> Editor:
    return Editor(ImageSampler(network or Network(), 6), by)


@pytest.mark.parametrize(
    "layer", [nn.Linear, lambda a, b: nn.ConvTranspose2d(a, b, 1), lambda a, b: nn.Conv2d(a, b, 1)]
)
def test_directions_are_singular_vectors_of_the_first_layer(layer: Callable[[int, int], nn.Module]) -> None:
    """Of its weights with rows of length 1, by numpy; the most explained first."""
    network = Network(layer)
    matrix, z = Latents(ImageSampler(network, 6)).matrix(slice(0, 1)), torch.randn(5, 6)
    with torch.no_grad():
        expected = network.first(z if layer is nn.Linear else z[..., None, None]).flatten(1)
        assert torch.allclose(z @ matrix.T + network.first.bias, expected, atol=1e-5)
    weights = matrix.numpy()
    _, sizes, vectors = np.linalg.svd(weights / np.linalg.norm(weights, axis=1, keepdims=True))
    directions = editor(network).directions(6)
    for direction, size, vector in zip(directions, sizes, vectors, strict=True):
        assert abs(direction.vector.numpy() @ vector) == pytest.approx(1, abs=1e-4)
        assert direction.share == pytest.approx(size**2 / (sizes**2).sum(), abs=1e-5)
        assert direction.vector.abs().argmax() == direction.vector.argmax() and direction.unit == 1
    with pytest.raises(ConfigError, match="direction 6: sefa finds 6 here, of z; expected 0 to 5"):
        editor(network).directions(7)


def test_principal_components_of_images_belong_to_what_changes_them_most() -> None:
    network = Network()
    with torch.no_grad():
        network.first.weight.mul_(torch.tensor([0.1, 0.1, 0.1, 3.0, 0.1, 0.1]))
    first, *others = editor(network, "pca").directions(6)
    assert first.vector[3] > 0.99 and first.share > 0.5
    state = torch.get_rng_state()
    for direction, again in zip([first, *others], editor(network, "pca").directions(6), strict=True):
        assert torch.equal(direction.vector, again.vector)  # which --direction then applies
    assert torch.equal(torch.get_rng_state(), state)


def test_a_network_whose_latents_enter_no_layer_has_principal_components_alone() -> None:
    class Waves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.size = nn.Parameter(torch.ones(()))

        def forward(self, z: Tensor) -> Tensor:
            return torch.tanh(self.size * z[:, :3, None, None].expand(-1, -1, 16, 16))

    with pytest.raises(ConfigError, match=r"sefa: the generator has no layer that takes the 6 latents.*--by pca"):
        editor(Waves()).directions(1)
    assert editor(Waves(), "pca").directions(3)[0].vector[3:].abs().max() < 0.2


def test_a_network_that_ignores_its_latents_has_no_directions() -> None:
    network = Network()
    with torch.no_grad():
        network.first.weight.zero_()
    for by in ("sefa", "pca"):
        with pytest.raises(ConfigError, match=f"{by}: the images do not differ"):
            editor(network, by).directions(1)


def test_an_edit_moves_the_latents() -> None:
    edit = editor()
    codes, direction = edit.samples(3, seed=1), edit.directions(2)[1]
    assert torch.equal(edit.edit(codes, 1, 0.0), edit.images(codes))
    moved = edit.edit(codes, 1, -1.5)
    assert torch.equal(moved, edit.edit(codes, direction, -1.5))
    assert torch.equal(moved, edit.space.render(codes.codes - 1.5 * direction.vector, None))
    effects = next(edit.effects(codes, 1, strength=2.0))
    assert effects.images.shape == (3, 7, 3, 32, 32)
    assert torch.equal(effects.images[:, 3], edit.images(codes))
    assert torch.equal(effects.images[:, 6], edit.edit(codes, 0, 2.0))


def ramp(values: list[list[tuple[int, int, int]]]) -> Tensor:
    """Plain images, uint8 (n, strengths, 3, 4, 4), of colours."""
    return torch.tensor(values, dtype=torch.uint8)[..., None, None].expand(-1, -1, -1, 4, 4)


def test_effects_of_plain_colours() -> None:
    rising = ramp([[(10 * i, 10 * i, 10 * i) for i in range(7)], [(20 * i, 20 * i, 20 * i) for i in range(7)]])
    assert effect("brightness", rising) == pytest.approx((90, 1))
    assert effect("brightness", rising.flip(1)) == pytest.approx((-90, 1)) and effect("brightness", rising)[1] <= 1
    both = torch.stack([rising[0], rising[0].flip(0)])
    assert effect("brightness", both) == (0, 0)
    assert effect("saturation", rising) == (0, 0)
    # From 20 degrees on the blue side of red to 20 on its green side: by the shorter way.
    across = ramp([[(255, 0, 85), (255, 0, 40), (255, 0, 0), (255, 40, 0), (255, 85, 0)]])
    change, monotone = effect("hue", across)
    assert change == pytest.approx(
        2 * np.degrees(np.arctan2(3**0.5 * 85, 425)), abs=1e-3
    ) and monotone == pytest.approx(1)


def test_own_samples_are_found_again() -> None:
    edit = editor()
    images = edit.images(edit.samples(2, seed=7))
    found = edit.images(edit.project(images, steps=60))
    start = edit.images(edit.project(images, steps=0))
    assert (found.int() - images.int()).abs().float().mean() < 2
    assert (start.int() - images.int()).abs().float().mean() > 10
    codes = edit.project(images[:1], steps=3).codes
    assert 1 < codes.norm() <= 6**0.5 + 2.001


def test_many_images_are_projected_a_few_at_a_time(styled: ImageSampler, monkeypatch: pytest.MonkeyPatch) -> None:
    edit, most = Editor(styled), list[int]()
    images = edit.images(edit.samples(5, seed=7))
    whole = edit.project(images, steps=0)
    monkeypatch.setattr("multigen.image.synthesis.projection.PART", 2)
    images_of = edit.space.images
    monkeypatch.setattr(edit.space, "images", lambda codes, of: most.append(len(codes)) or images_of(codes, of))
    parts = edit.project(images, steps=0)
    assert torch.equal(parts.codes, whole.codes) and max(most) == 2
    assert parts.labels is not None and whole.labels is not None and torch.equal(parts.labels, whole.labels)
    assert edit.project(images, steps=1).codes.shape == whole.codes.shape and max(most) == 2


def test_latents_have_no_layers_and_no_styles() -> None:
    with pytest.raises(ConfigError, match="layers 0-2: the generator has no styles"):
        Editor(ImageSampler(Network(), 6), layers="0-2")
    edit = editor()
    with pytest.raises(ConfigError, match="--mix: the generator has no styles to mix"):
        edit.mixed(edit.samples(1), edit.samples(1, first=1))


# ---------------------------------------------------------------------------------------------------- styles


@pytest.fixture(scope="module")
def styled() -> ImageSampler:
    """An untrained StyleGAN2 of 16 pixels, two classes."""
    config = replace(PRESETS["tiny"], size=16, width=4, latent=6)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return StyleSampler(Generator(config, 3, 2).eval(), 6, ("a", "b"))


def test_styles_have_their_covariance_and_the_affine_layers(
    styled: ImageSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("multigen.image.synthesis.spaces.SPREAD", 500)
    edit = Editor(styled, "pca", layers="1-2")
    space = edit.space
    assert isinstance(space, Styles) and space.layers == 6 and edit.layers == slice(1, 3)
    codes = space.draw(500)
    w = codes.codes[:, 0].detach().double().numpy()
    assert codes.codes.shape == (500, 6, 6) and np.allclose(np.cov(w.T, ddof=0), space.covariance, atol=1e-6)
    first = edit.directions(1)[0]
    assert first.unit == pytest.approx((w @ first.vector.double().numpy()).std(), rel=1e-3)
    assert first.share == pytest.approx(np.linalg.eigvalsh(np.cov(w.T))[-1] / np.cov(w.T).trace(), rel=1e-4)
    network: Any = styled.network
    expected = torch.cat([network.synthesis.convs[i].style.weight for i in (1, 2)])
    assert torch.equal(space.matrix(slice(1, 3)), expected)


def test_only_the_styles_of_the_chosen_layers_move(styled: ImageSampler) -> None:
    edit = Editor(styled, layers="4-5")
    codes, direction = edit.samples(2), edit.directions(1)[0]
    moved = edit.space.moved(codes.codes, 2.0 * direction.vector, edit.layers)
    assert torch.equal(moved[:, :4], codes.codes[:, :4])
    assert torch.allclose(moved[:, 4:] - codes.codes[:, 4:], 2.0 * direction.vector.expand(2, 2, -1), atol=1e-5)
    for layers in ("6", "3-2", "a", "2-", "-1", "0-6"):
        with pytest.raises(ConfigError, match=f"layers {layers}: expected a number, or a range such as 0-3, of 0 to 5"):
            Editor(styled, layers=layers)


def test_mixing_goes_from_one_sample_to_the_other(styled: ImageSampler) -> None:
    edit = Editor(styled)
    one, other = edit.samples(1, seed=3), edit.samples(1, seed=3, first=1)
    images = edit.mixed(one, other)
    assert len(images) == 7
    assert torch.equal(images[[0]], edit.images(one)) and torch.equal(images[[6]], edit.images(other))


def test_a_style_for_each_layer_comes_nearer(styled: ImageSampler) -> None:
    edit = Editor(styled)
    images = edit.mixed(edit.samples(1, seed=3), edit.samples(1, seed=4))[[3]]
    codes = [edit.project(images, each_layer, steps=25, label="a") for each_layer in (False, True)]
    one, many = codes[0].codes[0], codes[1].codes[0]
    assert torch.equal(one, one[:1].expand(6, -1)) and not torch.equal(many, many[:1].expand(6, -1))
    assert codes[0].labels is not None and codes[0].labels.tolist() == [0]
    errors = [(edit.images(each).float() - images.float()).square().mean() for each in codes]
    assert errors[1] < errors[0]
