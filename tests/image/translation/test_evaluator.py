"""Figures of image translation against closed forms, and the sheet that shows it."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from multigen.image.backbones import DIMENSIONS
from multigen.image.metrics import saturation
from multigen.image.perceptual import open_perceptual
from multigen.image.translation import evaluator
from multigen.image.translation.domains import DomainSet
from multigen.image.translation.evaluator import FEW, FRECHET, chroma_error, definitions, score, sheet
from multigen.metrics.names import direction
from tests.tiny import pixels

CPU = torch.device("cpu")


def flat(red: int, green: int, blue: int, side: int = 16) -> Tensor:
    return torch.tensor([red, green, blue], dtype=torch.uint8)[:, None, None].repeat(1, side, side)


def images(count: int, side: int = 16, first: int = 0) -> list[Tensor]:
    return [torch.from_numpy(pixels(side, side, first + i)).permute(2, 0, 1) for i in range(count)]


def colours(image: Tensor) -> Tensor:
    """Features that are easily known: the mean colour, and zeros."""
    features = torch.zeros(len(image), DIMENSIONS)
    features[:, :3] = image.float().mean((2, 3))
    return features


def grey(image: Tensor) -> Tensor:
    return image.float().mean(0, keepdim=True).round().to(torch.uint8).expand_as(image)


def scored(items: DomainSet, needed: set[str] | None = None, **translators: Callable[[Tensor], Tensor]) -> Any:
    return score(translators, [items], [open_perceptual("efficientnet_lite0")], colours, CPU, needed)


def test_the_chroma_error_is_that_of_the_chroma_planes() -> None:
    """A red of 255 has Cb -.168736 x 255 and Cr 127.5; a change of brightness is none of chroma."""
    assert chroma_error(flat(255, 0, 0), flat(0, 0, 0)) == pytest.approx((43.02768**2 + 127.5**2) ** 0.5, abs=1e-3)
    assert chroma_error(flat(90, 90, 90), flat(10, 10, 10)) == pytest.approx(0, abs=1e-3)


def test_saturation_is_that_of_hsv() -> None:
    assert saturation(flat(200, 100, 150)) == pytest.approx(0.5)
    assert saturation(flat(77, 77, 77)) == saturation(flat(0, 0, 0)) == 0
    half = torch.cat([flat(255, 0, 0), flat(9, 9, 9)], dim=2)
    assert saturation(half) == pytest.approx(0.5)


def test_rows_of_a_set_with_pairs() -> None:
    items = DomainSet("flowers", ("a", "b"), [*map(grey, images(2))], images(2))
    rows = scored(items, right=lambda image: image, grey=lambda image: image)
    truth = dict(zip(map(lambda x: x.numpy().tobytes(), items.inputs), items.targets, strict=True))
    rows |= scored(items, right=lambda image: truth[image.numpy().tobytes()])
    assert rows["right"]["flowers/psnr"] == float("inf") and rows["right"]["flowers/saturation"] == pytest.approx(1)
    assert rows["right"]["flowers/chroma_error"] == rows["right"]["flowers/efficientnet_lite0"] == 0
    mean = sum(chroma_error(a, b) for a, b in zip(items.inputs, items.targets, strict=True)) / 2
    assert rows["grey"]["flowers/chroma_error"] == pytest.approx(mean)
    assert rows["grey"]["flowers/saturation"] == 0 and 5 < rows["grey"]["flowers/psnr"] < 40
    assert rows["grey"].keys() == {
        f"flowers/{m}" for m in ("psnr", "ssim", "chroma_error", "efficientnet_lite0", "saturation")
    }  # two images have no Fréchet distance


def test_sets_without_pairs_are_compared_as_sets() -> None:
    items = DomainSet("horses", tuple("abc"), images(3), images(5, first=9), paired=False)
    (row,) = scored(items, {"nothing"}, same=lambda image: image).values()
    assert row.keys() == {"horses/saturation", f"horses/{FRECHET}"}
    black = scored(DomainSet("", ("a",), [flat(0, 0, 0)], [flat(3, 4, 0)], False), x=lambda image: image)
    assert black["x"][f"/{FRECHET}"] == pytest.approx(25, rel=1e-4)  # of two points


def test_the_frechet_distance_is_slow_where_there_is_a_truth() -> None:
    items = DomainSet("s", tuple(map(str, range(FEW))), images(FEW), images(FEW))
    for needed, there in ((set[str](), False), ({FRECHET}, True), (None, True)):
        row = scored(items, needed, same=lambda image: image)["same"]
        assert (f"s/{FRECHET}" in row) == there and ("s/efficientnet_lite0" in row) == (needed is None)
    assert row[f"s/{FRECHET}"] == pytest.approx(0, abs=1e-3)


def test_a_grey_domain_has_no_saturation_to_compare_with() -> None:
    items = DomainSet("s", ("a",), images(1), [grey(images(1)[0])])
    assert "s/saturation" not in scored(items, same=lambda image: image)["same"]


def test_every_metric_has_a_definition_and_a_direction() -> None:
    names = definitions([open_perceptual("efficientnet_lite0")])
    items = DomainSet("s", tuple(map(str, range(FEW))), images(FEW), images(FEW))
    measured = {name.removeprefix("s/") for name in scored(items, same=lambda image: image)["same"]}
    assert measured <= names.keys()
    assert {name: direction(f"s/{name}") for name in measured} == {
        **{"psnr": 1, "ssim": 1, "saturation": 0, "chroma_error": -1, "efficientnet_lite0": -1, FRECHET: -1}
    }


def test_the_sheet_has_a_column_a_name_and_a_row_an_image() -> None:
    side = evaluator.SIDE
    assert sheet({"A": images(2), "B(A)": images(2)}).size == (2 * (side + 4), 16 + 2 * (side + 4))
    wide = torch.zeros(3, 20, 400, dtype=torch.uint8)
    assert sheet({"A": [wide]}).size == (side + 4, 16 + 8 + 4)


def test_an_image_that_equals_the_truth_does_not_make_the_mean_psnr_infinite() -> None:
    images = [flat(100, 100, 100), flat(100, 100, 100)]
    items = DomainSet("s", ("a", "b"), images, [images[0], flat(110, 110, 110)])
    assert scored(items, same=lambda image: image)["same"]["s/psnr"] == pytest.approx(10 * math.log10(255**2 / 50))
