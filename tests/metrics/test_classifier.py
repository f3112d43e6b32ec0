"""The small classifier: it learns, is the same for the same seed, and judges items independently of
each other."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from multigen.errors import ConfigError, DataError
from multigen.metrics.classifier import Classifier, _shifted, train_classifier


def stripes(count: int, seed: int = 0, size: int = 12) -> tuple[Tensor, Tensor]:
    """uint8 (N, 1, size, size): upright, level and slanted stripes at random phases, noisy; and
    which they are."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    waves = torch.stack([x, y, x + y])[labels] * 1.5 + 6 * torch.rand(count, 1, 1, generator=draw)
    noisy = waves.sin() * 60 + 128 + 20 * torch.randn(count, size, size, generator=draw)
    return noisy[:, None].clamp(0, 255).to(torch.uint8), labels


def unit(items: Tensor) -> Tensor:
    return items.float() / 127.5 - 1


def small(inputs: Tensor, labels: Tensor, steps: int = 3, **settings) -> Classifier:
    return train_classifier(inputs, labels, 3, to_input=unit, **{"steps": steps, "batch": 16, "width": 8, **settings})


@torch.no_grad()
def accuracy(model: Classifier, inputs: Tensor, labels: Tensor) -> float:
    """Share of items that are taken for the class of their label."""
    taken = model.eval()(unit(inputs.to(model.head.weight.device))).argmax(1)
    return (taken.cpu() == labels.cpu()).double().mean().item()


def test_it_learns_to_tell_classes_apart():
    model = small(*stripes(300), steps=60)
    assert accuracy(model, *stripes(200, seed=1)) > 0.97
    untrained = Classifier(1, 3, 8)
    assert accuracy(untrained, *stripes(200, seed=1)) < 0.75


@pytest.mark.slow
def test_handwritten_digits():
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    images = torch.from_numpy(digits.images).float()[:, None] * (255 / 16)
    images = F.interpolate(images, 16, mode="bilinear").round().to(torch.uint8)
    labels = torch.from_numpy(digits.target).long()
    held_out = torch.arange(len(labels)) % 5 == 0
    model = train_classifier(images[~held_out], labels[~held_out], 10, to_input=unit, steps=120, batch=64, width=16)
    assert accuracy(model, images[held_out], labels[held_out]) > 0.97


def test_shapes_and_mode():
    model = small(*stripes(20))
    assert not model.training
    for size in ((12, 12), (9, 31), (1, 1)):
        x = torch.zeros(2, 1, *size)
        assert model.features(x).shape == (2, 32)
        assert model(x).shape == (2, 3)
    torch.testing.assert_close(model(x), model.head(model.features(x)))
    assert Classifier(3, 10).features(torch.zeros(2, 3, 8, 8)).shape == (2, 128)


def test_the_same_seed_gives_the_same_weights_and_leaves_random_state_alone():
    items = stripes(40)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = small(*items).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    second, other = small(*items).state_dict(), small(*items, seed=1).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_one_step_with_fewer_items_than_a_batch():
    model = small(*stripes(5), steps=1)
    assert all(value.isfinite().all() for value in model.state_dict().values())


def test_shifts_move_each_item_by_its_own_and_repeat_the_border():
    items = torch.arange(2 * 2 * 3 * 4, dtype=torch.uint8).view(2, 2, 3, 4)
    moved = _shifted(items, torch.tensor([1, 0]), torch.tensor([0, -2]))
    assert moved.dtype == torch.uint8
    assert torch.equal(moved[0], items[0][:, [0, 0, 1]])
    assert torch.equal(moved[1], items[1][:, :, [2, 3, 3, 3]])


def test_items_are_shifted_up_to_the_limit_in_training():
    inputs = torch.zeros(1, 1, 9, 9)
    inputs[:, :, 4, 4] = 1
    seen = []
    for shift in (0, 2):
        train_classifier(
            inputs,
            torch.tensor([0]),
            2,
            to_input=lambda x: seen.append(x) or x,
            steps=6,
            batch=50,
            shift=shift,
            width=8,
        )
    still, moved = (torch.cat(part).nonzero()[:, 2:].unique(dim=0) for part in (seen[:6], seen[6:]))
    assert still.tolist() == [[4, 4]]
    assert moved.tolist() == [[y, x] for y in range(2, 7) for x in range(2, 7)]


def test_wrong_items_and_labels_are_named():
    inputs, labels = stripes(6)
    wrong: list[tuple[Tensor, Tensor, str]] = [
        (inputs[:, 0], labels, r"items of shape \(6, 12, 12\): expected \(N, C, H, W\)"),
        (inputs[:0], labels[:0], r"items of shape \(0, 1, 12, 12\).*at least one"),
        (inputs, labels[:5], r"labels torch.int64 \(5,\) of 6 items: expected int64 \(6,\)"),
        (inputs, labels.float(), r"labels torch.float32"),
        (inputs, labels + 1, r"labels from 1 to 3: expected 0\.\.2; number"),
        (inputs, labels - 1, r"labels from -1 to 1"),
    ]
    for x, y, message in wrong:
        with pytest.raises(DataError, match=message):
            small(x, y)


def test_wrong_numbers_are_named():
    inputs, labels = stripes(6)
    for settings, message in (({"steps": 0}, "0 steps"), ({"batch": 1}, "1 items"), ({"shift": -1}, "shift -1")):
        with pytest.raises(ConfigError, match=f"{message}.*; give larger numbers"):
            small(inputs, labels, **settings)
    with pytest.raises(ConfigError, match="classifier of 1 classes"):
        train_classifier(inputs, labels * 0, 1, to_input=unit)


@pytest.mark.gpu
def test_it_learns_on_a_gpu():
    inputs, labels = stripes(300)
    model = small(inputs.cuda(), labels.cuda(), steps=60, device="cuda")
    assert accuracy(model, *stripes(200, seed=1)) > 0.97
