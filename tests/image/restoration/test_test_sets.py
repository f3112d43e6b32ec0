"""Test sets: their names, what is cut off, what is left out."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from multigen.errors import ConfigError, DataError
from multigen.image.degrade import imresize, reduced
from multigen.image.files import Photo, open_photos, read_image
from multigen.image.restoration.test_sets import MadeInputs, TestSet, open_test_set, open_test_sets
from tests.tiny import photos, pixels


def quarter(image: Tensor, name: str) -> Tensor:
    return reduced(image, 4)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("photos/Set5/HR", "Set5"),
        ("photos/Set5/HR/", "Set5"),
        ("./photos/BSD100", "BSD100"),
        ("photos/BSD100/0.png", "0.png"),
        ("embedded-held-out", "embedded-held-out"),
    ],
)
def test_a_set_is_called_by_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str, name: str) -> None:
    monkeypatch.setenv("MULTIGEN_DATA", str(tmp_path))
    photos(tmp_path / "photos" / "Set5" / "HR", count=1)
    photos(tmp_path / "photos" / "BSD100", count=1)
    result = open_test_set(data, 4, quarter)
    assert (result.name, result.scale) == (name, 4)


@pytest.mark.parametrize("data", [".", "HR"])
def test_a_set_in_the_working_folder_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str) -> None:
    photos(tmp_path / "Set5" / "HR", count=1)
    monkeypatch.chdir(tmp_path / "Set5")
    assert open_test_set(data, 4, quarter).name


def test_sets_of_the_same_name_are_refused(tmp_path: Path) -> None:
    places = [str(photos(tmp_path / name / "photos", count=1)) for name in ("a", "b")]
    with pytest.raises(ConfigError, match="two sets are called 'photos', as their folders are; rename one"):
        open_test_sets(places, 4, quarter)
    assert [test.name for test in open_test_sets([*places[:1], "embedded-held-out"], 4, quarter)] == [
        "photos",
        "embedded-held-out",
    ]


def test_a_set_is_cut_to_a_multiple_of_the_scale_and_degraded(tmp_path: Path) -> None:
    Image.fromarray(pixels(50, 61)).save(tmp_path / "a.png")
    result = open_test_set(str(tmp_path), 4, quarter)
    image = read_image(tmp_path / "a.png")[:, :48, :60]
    assert result.names == ("a.png",)
    assert torch.equal(result.targets[0], image)
    assert torch.equal(result.inputs[0], imresize(image, 1 / 4))
    assert TestSet.of("none", list[Photo](), 4, quarter) is None


def test_degradations_know_the_name_of_the_photograph(tmp_path: Path) -> None:
    photos(tmp_path / "photos", count=2)
    result = open_test_set(str(tmp_path / "photos"), 1, lambda image, name: torch.full_like(image, int(name[0])))
    assert [given.unique().tolist() for given in result.inputs] == [[0], [1]]


def test_inputs_can_be_made_when_asked_for() -> None:
    made: list[str] = []

    def degrade(image: Tensor, name: str) -> Tensor:
        made.append(name)
        return image + int(name)

    inputs = MadeInputs(("1", "2", "3"), tuple(torch.zeros(3, 1, 1) for _ in range(3)), degrade)
    assert len(inputs) == 3 and made == []
    assert inputs[1].unique().tolist() == [2] and made == ["2"]
    assert [x.unique().tolist() for x in inputs[1:]] == [[2], [3]]
    assert [x.unique().tolist() for x in inputs] == [[1], [2], [3]]


def test_photographs_that_cannot_be_measured_are_refused_or_noted(tmp_path: Path) -> None:
    for name, side in (("a", 21), ("b", 22), ("c", 60)):
        Image.fromarray(pixels(side, side)).save(tmp_path / f"{name}.png")
    result = open_photos(str(tmp_path))
    with pytest.raises(DataError, match=r"a\.png: 21x21 pixels are too few to be measured at x4, expected 22x22"):
        TestSet.of("s", result, 4, quarter)
    skipped: list[tuple[Path, str]] = []
    test = TestSet.of("s", result, 4, quarter, skipped)
    assert test is not None and test.names == ("b.png", "c.png") and [path.name for path, _ in skipped] == ["a.png"]
    assert TestSet.of("s", result[:1], 4, quarter, skipped) is None
