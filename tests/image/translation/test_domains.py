"""Images of two domains: pairs made, matched or side by side, unpaired ones, arrays; and what is
refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from multigen.engine.batches import Stream
from multigen.errors import ConfigError, DataError
from multigen.image.translation import domains as domains_module
from multigen.image.translation import sides
from multigen.image.translation.base import ImageTranslationConfig
from multigen.image.translation.domains import FEW, Domains, open_domains, task_of
from multigen.image.translation.made import MADE
from tests import tiny

SIDE = 24


def settings(data: Path | str, **changes: Any) -> ImageTranslationConfig:
    small = {"size": SIDE, "crop": 16, "discriminator_layers": 1, "validation_size": 0, "mirror": False}
    return ImageTranslationConfig(data=str(data), **{**small, **changes})


def opened(data: Path | str, paired: bool, **changes: Any) -> Domains:
    return open_domains(settings(data, **changes), paired)


def flat(folder: Path, levels: dict[str, int], size: tuple[int, int] = (SIDE, SIDE), mode: str = "RGB") -> Path:
    """Images of one colour each, by their names."""
    for name, level in levels.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, (size[1], size[0]), level if mode == "L" else (level, level, level)).save(path)
    return folder


def levels(images: Any) -> list[int]:
    return [int(image.float().mean()) for image in images]


def numbers(count: int, first: int = 0) -> dict[str, int]:
    return {f"{first + i}.png": first + i for i in range(count)}


# ----------------------------------------------------------------------------------------- pairs


@pytest.mark.parametrize("task", MADE)
def test_pairs_are_made_of_any_folder(tmp_path: Path, task: str) -> None:
    domains = opened(tiny.photos(tmp_path / "photos", 4), True, task=task)
    (test,) = domains.tests
    assert len(domains.train) == 3 and len(test.inputs) == 1 and test.paired
    for made, image, name in zip(test.inputs, test.targets, test.names, strict=True):
        assert torch.equal(made, MADE[task](image, name)) and min(image.shape[1:]) == SIDE
    batch = Stream(domains.train, 8, slice(0, 8), ("x",)).at(0)
    assert {name: t.shape for name, t in batch.items()} == {name: (8, 3, 16, 16) for name in "AB"}


def test_both_images_of_a_pair_are_cut_and_mirrored_alike(tmp_path: Path) -> None:
    domains = opened(tiny.photos(tmp_path / "photos", 5), True, task="swap", mirror=True)
    for number in range(5):
        batch = Stream(domains.train, 4, slice(0, 4), ("x",)).at(number)
        assert torch.equal(batch["A"], batch["B"][:, [2, 1, 0]])


def test_workers_give_the_same_batches(tmp_path: Path) -> None:
    photos = tiny.photos(tmp_path / "photos", 6)
    one, many = (opened(photos, True, task="segments").train for _ in range(2))
    streams = [Stream(one, 4, slice(0, 4), ("x",)), Stream(many, 4, slice(0, 4), ("x",), workers=3)]
    for number in range(6):
        first, second = (stream.at(number) for stream in streams)
        assert torch.equal(first["A"], second["A"]) and torch.equal(first["B"], second["B"])


def test_two_folders_are_matched_by_name_whatever_the_suffix(tmp_path: Path) -> None:
    a = flat(tmp_path / "a", {f"x/{i}.png": 10 * i for i in range(10)})
    b = flat(tmp_path / "b", {f"x/{i}.bmp": 10 * i + 100 for i in range(10)} | {"x/more.bmp": 7})
    domains = opened(a, True, target=str(b))
    (test,) = domains.tests
    for one, other in ((domains.train.a, domains.train.b), (test.inputs, test.targets)):
        assert [x + 100 for x in levels(one)] == levels(other)
    assert len(domains.train) == 9 and test.names[0].startswith("x/")


def test_two_pictures_may_be_side_by_side(tmp_path: Path) -> None:
    folder = tmp_path / "both"
    folder.mkdir()
    for i in range(4):
        pixels = np.full((SIDE, 2 * SIDE, 3), i, np.uint8)
        pixels[:, SIDE:] = 100 + i
        Image.fromarray(pixels).save(folder / f"{i}.png")
    domains = opened(folder, True, task="halves")
    assert sorted(levels(domains.train.a) + levels(domains.tests[0].inputs)) == [0, 1, 2, 3]
    assert [x + 100 for x in levels(domains.train.a)] == levels(domains.train.b)
    Image.new("RGB", (2 * SIDE + 1, SIDE)).save(folder / "odd.png")
    with pytest.raises(DataError, match=r"odd.png: 49x24 pixels, expected an even width: two images of one size side"):
        opened(folder, True, task="halves")
    domains = opened(folder, True, task="halves", skip_bad=True)
    assert len(domains.train) == 3 and [path.name for path, _ in domains.skipped[:1]] == ["odd.png"]


def test_grey_images_pair_with_coloured_ones(tmp_path: Path) -> None:
    a, b = flat(tmp_path / "a", numbers(4), mode="L"), flat(tmp_path / "b", numbers(4))
    domains = opened(a, True, target=str(b))
    assert levels(domains.train.a) == levels(domains.train.b) and domains.train.a[0].shape[0] == 3


def test_arrays_pair_by_their_numbers(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, SIDE, SIDE, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=pixels)
    np.savez(tmp_path / "b.npz", images=255 - pixels)
    np.savez(tmp_path / "c.npz", images=pixels[:5])
    domains = opened(tmp_path / "a.npz", True, target=str(tmp_path / "b.npz"))
    assert all(torch.equal(a, 255 - b) for a, b in zip(domains.train.a, domains.train.b, strict=True))
    with pytest.raises(DataError, match=r"c.npz: 5 images for 6 of"):
        opened(tmp_path / "a.npz", True, target=str(tmp_path / "c.npz"))


# -------------------------------------------------------------------------------------- unpaired


def test_unpaired_folders_are_drawn_each_for_itself(tmp_path: Path) -> None:
    a, b = flat(tmp_path / "a", numbers(10)), flat(tmp_path / "b", numbers(20, 100), (30, 40))
    domains = opened(a, False, target=str(b))
    (test,) = domains.tests
    assert not test.paired and len(test.inputs) == len(test.targets) == 1
    assert len(domains.train.a) == 9 and len(domains.train.b) == 19
    stream = Stream(domains.train, 9, slice(0, 9), ("x",))
    batches = [stream.at(number) for number in range(10)]
    assert all(sorted(levels(batch["A"])) == sorted(levels(domains.train.a)) for batch in batches)  # in turn
    partners: dict[int, set[int]] = {}
    for batch in batches:
        for one, other in zip(levels(batch["A"]), levels(batch["B"]), strict=True):
            partners.setdefault(one, set()).add(other)
    assert all(len(others) > 4 for others in partners.values())


def test_a_made_domain_shows_nothing_that_the_other_shows_but_the_truth_is_tested(tmp_path: Path) -> None:
    photos = flat(tmp_path / "photos", numbers(60))
    domains = opened(photos, False, task="colour", validation_size=6)
    a, b = (set(levels(side)) for side in (domains.train.a, domains.train.b))
    assert not a & b and len(a) == len(b) == 24
    (test,) = domains.tests
    assert test.paired and levels(test.inputs) == levels(test.targets)
    assert domains.validation is not None and len(domains.validation.inputs) == 6
    held = {*levels(test.inputs), *levels(domains.validation.inputs)}
    assert len(held) == 12 and not held & (a | b)


@pytest.mark.parametrize(("count", "checked"), [(99, 9), (100, 10)])
def test_no_images_are_held_out_for_a_distance_that_takes_more(
    tmp_path: Path, count: int, checked: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Next to the truth fewer say something too, but choose no checkpoint."""
    arrays = np.zeros((count, 8, 8), np.uint8)
    for name in "ab":
        np.savez(tmp_path / f"{name}.npz", images=arrays)
    domains = opened(tmp_path / "a.npz", False, target=str(tmp_path / "b.npz"), validation_size=16)
    said = (
        "9 images for validation, and a Fréchet distance takes 10: the last checkpoint is used"
        in capsys.readouterr().err
    )
    assert said == (domains.validation is None) == (checked < FEW)
    assert len(domains.train.a) == count - len(domains.tests[0].inputs) - (0 if said else checked)
    made = opened(tmp_path / "a.npz", False, task="blur", validation_size=16)
    assert made.validation is not None and made.validation.paired and len(made.validation.inputs) == checked
    assert opened(tmp_path / "a.npz", True, task="blur", validation_size=3).validation is not None


def test_few_photographs_serve_as_both_domains() -> None:
    domains = opened("embedded", False, task="swap")
    assert len(domains.train.a) == len(domains.train.b) == 5
    assert domains.tests[0].name == "embedded-held-out" and len(domains.tests[0].inputs) == 2


@pytest.mark.parametrize("layout", ["trainA", "A"])
def test_both_domains_may_be_in_one_folder(tmp_path: Path, layout: str) -> None:
    for side, first in (("A", 0), ("B", 100)):
        train, test = (f"train{side}", f"test{side}") if layout == "trainA" else (f"{side}/train", f"{side}/test")
        flat(tmp_path / train, numbers(5, first))
        flat(tmp_path / test, numbers(3, first + 50))
    domains = opened(tmp_path, False)
    assert levels(domains.train.a) == [*range(5)] and levels(domains.train.b) == [*range(100, 105)]
    assert levels(domains.tests[0].inputs) == [50, 51, 52] and levels(domains.tests[0].targets) == [150, 151, 152]


def both_layouts(place: Path, layout: str) -> None:
    """Folders of A, whose images are 0 to 4, and of B, from 100."""
    for side, first in (("A", 0), ("B", 100)):
        flat(place / (f"train{side}" if layout == "trainA" else side), numbers(5, first))


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("layout", ["trainA", "A"])
def test_folders_of_both_domains_are_taken_in_place_of_made_pairs(
    tmp_path: Path, layout: str, paired: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the preset makes; but A and B among other folders are classes."""
    both_layouts(tmp_path, layout)
    if paired:
        flat(tmp_path / ("trainA" if layout == "trainA" else "A"), numbers(5, 100))
    domains = opened(tmp_path, paired, task="swap", skip_bad=paired)
    held = levels(domains.tests[0].targets)
    assert sorted([*levels(domains.train.b), *held]) == [*range(100, 105)]
    assert domains.tests[0].paired == paired
    said = f"{tmp_path}: A and B are folders in it, and task swap is not used"
    assert said in capsys.readouterr().err
    assert task_of(settings(tmp_path, task="swap")) == "none" != task_of(settings(tmp_path, task="halves"))
    if layout == "A":
        flat(tmp_path / "C", numbers(5, 200))
        assert len(opened(tmp_path, False, task="swap").train.a) > 5


def test_the_task_is_known_where_the_data_are_not(tmp_path: Path) -> None:
    """A model is loaded on a machine without its data."""
    assert task_of(settings(tmp_path / "nothing", task="swap")) == "swap" == task_of(settings("digits", task="swap"))


@pytest.mark.parametrize("other", ["data", "target"])
def test_what_a_second_folder_is_measured_on_is_of_both(tmp_path: Path, other: str) -> None:
    """Not on the embedded held-out photographs, and what their preset makes of them."""
    own = str(flat(tmp_path / "own", numbers(20)))
    data, target = ("embedded", own) if other == "target" else (own, "embedded")
    domains = opened(data, False, target=target, task="swap")
    (test,) = domains.tests
    mine = test.targets if other == "target" else test.inputs
    assert test.name == "test" and not test.paired and {*levels(mine)} < {*range(20)}


@pytest.mark.parametrize(("split", "folder"), [("test", "test"), ("validation", "val")])
@pytest.mark.parametrize("layout", ["trainA", "A", "two"])
@pytest.mark.parametrize("side", "AB")
def test_a_split_that_one_domain_alone_has_is_named(
    tmp_path: Path, layout: str, side: str, split: str, folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for each, first in (("A", 0), ("B", 100)):
        whole = each != side and layout != "trainA"
        inside = "" if whole else "train"
        flat(tmp_path / (f"train{each}" if layout == "trainA" else f"{each}/{inside}"), numbers(10, first))
    alone = tmp_path / (f"{folder}{side}" if layout == "trainA" else f"{side}/{folder}")
    flat(alone, numbers(3, 50))
    data, more = (tmp_path / "A", {"target": str(tmp_path / "B")}) if layout == "two" else (tmp_path, {})
    domains = opened(data, False, **more)
    assert not {50, 51, 52} & {*levels(domains.train.a), *levels(domains.train.b)}
    one = alone if layout == "trainA" else tmp_path / side
    split = split if layout == "trainA" else "test"  # what a folder brings apart from training, serves as both
    assert f"{one}: its {split} images are not used, since " in capsys.readouterr().err


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("left", [0, 5, 10_000])
def test_all_sides_and_splits_share_the_memory_that_is_left(
    tmp_path: Path, paired: bool, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for no, five or all images the data are the same; those beyond are read again."""
    bytes_of_one = 3 * SIDE**2
    monkeypatch.setattr(sides, "available", lambda: left * bytes_of_one * sides.PART)
    made: list[sides.Opening] = []
    opening = sides.Opening
    monkeypatch.setattr(domains_module, "Opening", lambda free: made.append(opening(free)) or made[-1])
    reads: list[str] = []
    read = sides.read_image
    monkeypatch.setattr(sides, "read_image", lambda path, frame: reads.append(path.name) or read(path, frame))
    for split, first in (("train", 10), ("val", 50), ("test", 100)):
        flat(tmp_path / "a" / split, numbers(12, first))
        flat(tmp_path / "b" / split, numbers(12, first))
    domains = opened(tmp_path / "a", paired, target=str(tmp_path / "b"), validation_size=12)
    assert len(reads) == 6 * 12  # each once at opening
    assert domains.validation is not None
    for first, items in ((50, domains.validation), (100, domains.tests[0])):
        assert levels(items.inputs) == levels(items.targets) == [*range(first, first + 12)]
    assert levels(domains.train.a) == levels(domains.train.b) == [*range(10, 22)]
    (shared,) = made
    kept = min(left, 6 * 12)
    kept -= kept % 2 if paired else 0  # an item holds both images of a pair
    assert shared.free == (left - kept) * bytes_of_one
    assert len(reads) - 6 * 12 == (6 * 12 - kept) * (2 if paired else 1)  # a pair is read for A, and for B


def test_the_room_for_images_is_a_part_of_what_the_machine_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    for left, expected in ((8 << 30, 2 << 30), (1 << 20, 1 << 18), (1 << 40, sides.KEPT), (None, sides.KEPT)):
        monkeypatch.setattr(sides, "available", lambda left=left: left)
        assert sides.room() == expected
    monkeypatch.setattr(sides, "world", lambda: 4)
    assert sides.room() == sides.KEPT // 4


def test_digits_and_arrays_are_domains_too_and_bring_their_classes(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "b.npz", images=pixels, labels=np.arange(40) % 10)
    domains = opened("digits", False, target=str(tmp_path / "b.npz"), size=16)
    assert domains.train.a[0].shape == (3, 16, 16) and len(domains.train.b) == 36
    assert {*domains.train.labels[0]} == {*domains.train.labels[1]} == {*"0123456789"}
    (test,) = domains.tests
    assert len(test.labels) == len(test.inputs) and len(test.target_labels) == len(test.targets) == 4
    assert test.turned().labels == test.target_labels


def test_the_data_have_their_own_splits(tmp_path: Path) -> None:
    for split, first in (("train", 0), ("val", 50), ("test", 100)):
        flat(tmp_path / split, numbers(4, first))
    domains = opened(tmp_path, True, task="colour", validation_size=2)
    assert levels(domains.train.b) == [0, 1, 2, 3] and levels(domains.tests[0].targets) == [100, 101, 102, 103]
    assert domains.validation is not None and {*levels(domains.validation.targets)} < {50, 51, 52, 53}


def test_test_data_are_named_for_each_domain(tmp_path: Path) -> None:
    a, b = flat(tmp_path / "a", numbers(4)), flat(tmp_path / "b", numbers(4, 100))
    test, target = flat(tmp_path / "test", numbers(2, 50)), flat(tmp_path / "target", numbers(3, 150))
    domains = opened(a, False, target=str(b), test=str(test), test_target=str(target))
    assert len(domains.train.a) == 4 and domains.tests[0].name == "test"
    assert levels(domains.tests[0].inputs) == [50, 51] and levels(domains.tests[0].targets) == [150, 151, 152]


def test_of_large_test_sets_a_part_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pixels = np.zeros((1100, 8, 8), np.uint8)
    np.savez(tmp_path / "train.npz", images=pixels[:20])
    np.savez(tmp_path / "test.npz", images=pixels)
    domains = opened(tmp_path, False, task="colour", size=16)
    assert len(domains.tests[0].inputs) == 1000 and len(domains.train.a) == 20
    assert "test: 1,000 of 1,100 images are measured on" in capsys.readouterr().err


def test_other_images_have_another_fingerprint(tmp_path: Path) -> None:
    a, b = flat(tmp_path / "a", numbers(4)), flat(tmp_path / "b", numbers(4, 100))
    before = opened(a, False, target=str(b))
    flat(b, {"3.png": 7, "103.png": 9})
    after = opened(a, False, target=str(b))
    assert before.fingerprint != after.fingerprint
    assert before.fingerprint.split()[0] == after.fingerprint.split()[0]


def test_a_second_folder_is_taken_in_place_of_made_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Presets that make pairs of the embedded photographs take two folders too."""
    a, b = flat(tmp_path / "a", numbers(4)), flat(tmp_path / "b", {f"{i}.png": 100 + i for i in range(4)})
    domains = opened(a, True, target=str(b), task="colour")
    assert [x + 100 for x in levels(domains.train.a)] == levels(domains.train.b)
    assert capsys.readouterr().err == f"target {b}: its images are those of B, and task colour is not used\n"


# --------------------------------------------------------------------------------------- refused


def unmatched(folder: Path) -> dict[str, Any]:
    a, b = flat(folder / "a", numbers(3)), flat(folder / "b", numbers(2, 1))
    return {"data": a, "target": str(b)}


def other_size(folder: Path) -> dict[str, Any]:
    a, b = flat(folder / "a", numbers(3)), flat(folder / "b", numbers(3))
    flat(b, {"1.png": 3}, (30, 24))
    return {"data": a, "target": str(b)}


def alone(folder: Path) -> dict[str, Any]:
    return {"data": flat(folder / "a", numbers(1)), "task": "colour"}


def alone_in_b(folder: Path) -> dict[str, Any]:
    return {"data": flat(folder / "a", numbers(5)), "target": str(flat(folder / "b", numbers(1))), "unpaired": True}


def too_small(folder: Path) -> dict[str, Any]:
    return {"data": flat(folder / "a", numbers(3), (9, 30)), "task": "colour", "size": 0}


def neither(folder: Path) -> dict[str, Any]:
    return {"data": flat(folder / "a", numbers(3))}


def half_a_test(folder: Path) -> dict[str, Any]:
    folder = flat(folder / "a", numbers(3))
    return {"data": folder, "target": str(folder), "test": str(folder)}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (unmatched, r"target: 1 image of 3 without a pair: 0.png has none; give each photograph an image of its name"),
        (other_size, r"target: 1 image of 3 without a pair: 1.png has one of 24x30 pixels, expected 24x24"),
        (alone, r"a: 1 image, expected at least 2, some of them for testing; add images"),
        (alone_in_b, r"b: 1 image, expected at least 2, some of them for testing; add images"),
        (too_small, r"0.png: 30x9 pixels, smaller than the crop of 16x16; choose a smaller --crop, or a --size"),
        (
            neither,
            r"a, task none, no target: expected a second folder \(--target\), folders A and B in it, or how pairs",
        ),
        (half_a_test, r"test_target '': expected both where data and target are given"),
    ],
)
def test_what_cannot_be_is_refused_by_name(tmp_path: Path, make: Callable[[Path], dict[str, Any]], words: str) -> None:
    made = make(tmp_path)
    unpaired = made.pop("unpaired", False)
    with pytest.raises((ConfigError, DataError), match=words):
        opened(made.pop("data"), not unpaired, **made)


def test_pairs_that_are_missing_are_named_with_their_folder_and_the_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = unmatched(tmp_path)
    way_out = rf"in {made['target']}, or leave out those without: --skip-bad$"
    with pytest.raises(DataError, match=way_out):
        opened(made["data"], True, target=made["target"])
    flat(tmp_path / "b", {"0.png": 0, "x.png": 8, "y.png": 9})
    opened(made["data"], True, target=made["target"])
    said = f"target {tmp_path / 'b'}: not used, without an image of its name in {tmp_path / 'a'}: 2 images of 5: x.png; y.png"
    assert said in capsys.readouterr().err


def test_what_has_no_pair_is_skipped_and_listed(tmp_path: Path) -> None:
    made = unmatched(tmp_path)
    flat(tmp_path / "a", {"3.png": 3})
    flat(tmp_path / "b", {"3.png": 3})
    (tmp_path / "b" / "2.png").write_bytes(b"no image")
    domains = opened(made["data"], True, target=made["target"], skip_bad=True)
    assert sorted(path.name for path, _ in domains.skipped) == ["0.png", "2.png", "2.png"]
    assert len(domains.train) + len(domains.tests[0].inputs) == 2
