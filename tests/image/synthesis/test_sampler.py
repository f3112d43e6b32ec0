import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from multigen.errors import ConfigError
from multigen.image.synthesis.sampler import ImageSampler, to_pictures, to_uint8
from multigen.tasks.synthesis.latents import slerp


class Network(nn.Module):
    """z (B, 8), label (B,) or None -> (B, channels, 8, 8) in -1..1: a convolution, batch norm, a
    colour for each class."""

    def __init__(self, channels: int = 3, classes: int = 0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.up = nn.ConvTranspose2d(8, 16, 8)
            self.norm = nn.BatchNorm2d(16)
            self.out = nn.Conv2d(16, channels, 3, padding=1)
            self.colours = nn.Embedding(classes, channels) if classes else None
        self.eval()

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        x = self.out(self.norm(self.up(z[..., None, None])).relu())  # (B, channels, 8, 8)
        return torch.tanh(x if self.colours is None else x + self.colours(label)[..., None, None])


def levels(a: Tensor, b: Tensor) -> int:
    """The largest difference of two uint8 images."""
    return int((a.int() - b.int()).abs().max())


def test_latents_are_normal_and_depend_on_seed_and_number_alone() -> None:
    sampler = ImageSampler(Network(), 8)
    latents = sampler.latents(2000, seed=3)
    assert latents.shape == (2000, 8) and latents.dtype == torch.float32
    assert latents.mean().abs() < 4 / math.sqrt(16000)
    assert (latents.var() - 1).abs() < 4 * math.sqrt(2 / 16000)
    torch.manual_seed(1)
    assert torch.equal(sampler.latents(5, seed=3, first=7), latents[7:12])
    assert len(torch.cat([latents, sampler.latents(2000, seed=4)]).unique(dim=0)) == 4000


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_picture_is_the_same_whatever_is_made_with_it(dtype: torch.dtype) -> None:
    network = Network(classes=3).to(dtype)
    whole = ImageSampler(network, 8, ("a", "b", "c"), batch=64).sample(11, seed=2)
    assert whole.dtype == torch.uint8 and whole.shape == (11, 3, 8, 8)
    assert len(whole.unique(dim=0)) == 11
    for batch in (1, 4, 11):
        sampler = ImageSampler(network, 8, ("a", "b", "c"), batch)
        assert levels(sampler.sample(11, seed=2), whole) <= 1
        assert levels(sampler.sample(5, seed=2), whole[:5]) <= 1


def test_samples_from_the_middle_are_those_of_the_whole() -> None:
    sampler = ImageSampler(Network(classes=3), 8, ("cat", "dog", "fox"))
    whole = sampler.sample(7, seed=2)
    assert torch.equal(sampler.sample(4, seed=2, first=3), whole[3:])


def test_sampling_leaves_the_random_state_alone_and_makes_no_graph() -> None:
    state = torch.get_rng_state()
    network = Network()
    ImageSampler(network, 8).sample(3)
    assert torch.equal(torch.get_rng_state(), state)
    seen = []
    network.register_forward_hook(lambda *seen_: seen.append(seen_[2].requires_grad))
    ImageSampler(network, 8).sample(3)
    assert seen == [False]


def test_classes_by_name_by_number_and_in_turn() -> None:
    network = Network(classes=3)
    sampler = ImageSampler(network, 8, ("2", "cat", "dog"))
    z = sampler.latents(7, seed=1)
    with torch.no_grad():
        by_class = [to_uint8(network(z, torch.full((7,), c))) for c in range(3)]
    assert torch.equal(sampler.sample(7, 1, "cat"), by_class[1])
    assert torch.equal(sampler.sample(7, 1, 2), by_class[2])
    assert torch.equal(sampler.sample(7, 1, "2"), by_class[0])  # a name, not a number
    assert torch.equal(sampler.sample(7, 1), torch.stack([by_class[i % 3][i] for i in range(7)]))


def test_classes_that_cannot_be_had() -> None:
    sampler = ImageSampler(Network(classes=2), 8, ("cat", "dog"))
    for label in ("bird", "0", 2, -1):
        for act in (sampler.sample, sampler.interpolate):
            with pytest.raises(ConfigError, match=f"class {label!r} is unknown; choose from cat, dog"):
                act(2, label=label)
    with pytest.raises(ConfigError, match="class 'cat': the model was trained without classes"):
        ImageSampler(Network(), 8).sample(2, label="cat")


def test_numbers_of_classes_one_by_one() -> None:
    network = Network(classes=2)
    sampler = ImageSampler(network, 8, ("cat", "dog"))
    cats, dogs = sampler.sample(3, label="cat"), sampler.sample(3, label="dog")
    assert torch.equal(sampler.sample(3, label=torch.tensor([1, 0, 1])), torch.stack([dogs[0], cats[1], dogs[2]]))
    for labels, named in (
        (torch.tensor([0, 2, 1]), r"labels from 0 to 2: expected 0 to 1; .* cat, dog"),
        (torch.tensor([0, -1, 1]), r"labels from -1 to 1: expected 0 to 1"),
        (torch.tensor([0, 1]), r"labels torch.int64 \(2,\) of 3 images: expected int64 \(3,\)"),
        (torch.tensor([[0, 1, 1]]), r"labels torch.int64 \(1, 3\) of 3"),
        (torch.tensor([0.0, 1.0, 1.0]), r"labels torch.float32 \(3,\)"),
    ):
        with pytest.raises(ConfigError, match=named):
            sampler.sample(3, label=labels)
    with pytest.raises(ConfigError, match="trained without classes"):
        ImageSampler(Network(), 8).sample(3, label=torch.tensor([0, 0, 0]))


def test_numbers_that_make_no_sense() -> None:
    sampler = ImageSampler(Network(), 8)
    for act in (sampler.latents, sampler.sample, sampler.interpolate):
        with pytest.raises(ConfigError, match=r"-1 images requested; expected 1 or more"):
            act(-1)
    with pytest.raises(ConfigError, match=r"0 frames .* expected 1 or more"):
        sampler.interpolate(2, frames=0)


def test_pictures_are_grey_or_colour() -> None:
    for channels, mode in ((1, "L"), (3, "RGB")):
        sampler = ImageSampler(Network(channels), 8)
        images = sampler.sample(2, seed=4)
        result = to_pictures(images)
        assert [(p.mode, p.size) for p in result] == [(mode, (8, 8))] * 2
        for picture, image in zip(result, images, strict=True):
            assert list(picture.tobytes()) == image.permute(1, 2, 0).flatten().tolist()
    (wide,) = to_pictures(torch.arange(6, dtype=torch.uint8).view(1, 1, 2, 3))
    assert wide.size == (3, 2)


def test_levels_are_rounded_to_the_nearest() -> None:
    image = torch.tensor([-3.0, -1.0, -0.9999, 0.0, 0.498, 1.0, 1.5])
    assert to_uint8(image).tolist() == [0, 0, 0, 128, 191, 255, 255]
    every = torch.arange(256, dtype=torch.uint8)
    for dtype in (torch.float32, torch.float64):
        assert torch.equal(to_uint8(every.to(dtype) / 127.5 - 1), every)
    assert to_uint8(torch.tensor([-0.4921875], dtype=torch.bfloat16)).item() == 65  # 64.75; in bfloat16 it would be 64


def test_slerp_turns_evenly() -> None:
    a, b = torch.tensor([1.0, 0, 0]).double(), torch.tensor([0, 0.6, 0.8]).double()
    along = torch.linspace(0, 1, 10).double()[:, None]
    turned = torch.cos(along * math.pi / 2) * a + torch.sin(along * math.pi / 2) * b  # (10, 3)
    torch.testing.assert_close(slerp(a, b, along), turned)
    torch.testing.assert_close(slerp(3 * a, 2 * b, along)[[0, -1]], torch.stack([3 * a, 2 * b]))


def test_slerp_of_parallel_vectors_is_linear() -> None:
    a = torch.tensor([1.0, 2.0]).double()
    along = torch.tensor([[0.0], [0.25], [1.0]]).double()
    for factor in (1.0, 3.0, -2.0):
        torch.testing.assert_close(slerp(a, factor * a, along), a + along * (factor - 1) * a)


def test_a_walk_passes_every_picture_and_returns() -> None:
    sampler = ImageSampler(Network().double(), 8)
    walk, stops = sampler.interpolate(4, frames=20, seed=5), sampler.sample(4, seed=5)
    assert walk.shape == (80, 3, 8, 8) and walk.dtype == torch.uint8
    assert levels(walk[::20], stops) <= 1
    steps = (walk.roll(-1, 0).float() - walk.float()).abs().mean((1, 2, 3))  # the last leads to the first
    apart = (stops.roll(-1, 0).float() - stops.float()).abs().mean((1, 2, 3))
    assert steps.min() > 0 and steps.max() < apart.min() / 4
    assert levels(sampler.interpolate(1, frames=3, seed=5), stops[[0, 0, 0]]) <= 1


def test_a_walk_through_kept_pictures() -> None:
    sampler = ImageSampler(Network(classes=3).double(), 8, ("a", "b", "c"))
    walk = sampler.interpolate(frames=4, seed=5, through=(7, 2))
    assert len(walk) == 8 and levels(walk[::4], sampler.sample(8, seed=5)[[7, 2]]) <= 1
    with pytest.raises(ConfigError, match="sample -1: expected numbers of 0 or more"):
        sampler.interpolate(seed=5, through=(3, -1))


def test_lengths_along_a_walk_are_those_of_latents() -> None:
    class Recorder(Network):
        def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
            lengths.append(z.norm(dim=1))
            return super().forward(z, label)

    lengths: list[Tensor] = []
    ImageSampler(Recorder(), 8).interpolate(6, frames=9)
    result = torch.cat(lengths).view(6, 9)
    for i, stretch in enumerate(result):
        ends = result[[i, (i + 1) % 6], 0]
        assert stretch.min() > 0.9 * ends.min() and stretch.max() < 1.1 * ends.max()


def test_classes_along_a_walk() -> None:
    network = Network(classes=2)
    sampler = ImageSampler(network, 8, ("cat", "dog"))
    turns, cats = sampler.interpolate(3, 4, seed=6), sampler.interpolate(3, 4, seed=6, label="cat")
    dogs = sampler.interpolate(3, 4, seed=6, label=1)
    assert levels(turns, torch.cat([cats[:4], dogs[4:8], cats[8:]])) <= 1
    assert levels(cats, dogs) > 1


def test_images_have_no_recordings() -> None:
    with pytest.raises(ConfigError, match=r"--recordings a: these are images, which are shown alone; leave it out"):
        ImageSampler(nn.Identity(), 4).show_beside("a")


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_pictures_are_the_samples_as_pil_images(channels: int, mode: str) -> None:
    sampler = ImageSampler(Network(channels, classes=2), 8, ("a", "b"))
    pictures, samples = sampler.pictures(3, seed=1, label="b"), sampler.sample(3, seed=1, label="b")
    assert [picture.mode for picture in pictures] == [mode] * 3
    for picture, sample in zip(pictures, samples, strict=True):
        pixels = torch.from_numpy(np.array(picture)).reshape(8, 8, channels).permute(2, 0, 1)
        assert pixels.equal(sample)
