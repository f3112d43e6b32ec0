"""What is measured of generated images, on which images, and under which names."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from multigen.data.datasets import Splits, numbered_as, pick
from multigen.errors import ConfigError
from multigen.image.datasets import ImageSet
from multigen.image.perceptual import _vgg19_layers, open_perceptual
from multigen.image.squeezenet import FIRES, Fire
from multigen.image.synthesis import evaluator as evaluator
from multigen.image.synthesis.base import ImageSynthesisConfig, ImageSynthesisTrainer
from multigen.image.synthesis.evaluator import compare, compare_data, nearest_picture, open_evaluator, open_extractor
from multigen.image.synthesis.sampler import ImageSampler
from multigen.metrics.distances import density_coverage, frechet_distance
from multigen.tasks.synthesis import evaluator as figures
from multigen.tasks.synthesis import extractors
from multigen.tasks.synthesis.evaluator import measure
from multigen.tasks.synthesis.extractors import Extractor, embed, embed_real

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MULTIGEN_CACHE", str(tmp_path / "cache"))


def pictures(n: int, seed: int, classes: int = 0, name: str = "made") -> ImageSet:
    """Noise about a brightness that depends on the class."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % max(classes, 1)
    images = torch.randint(0, 90, (n, 1, 16, 16), generator=draw) + 60 * labels.view(-1, 1, 1, 1)
    known = tuple(f"c{k}" for k in range(classes))
    return ImageSet(
        name, images.to(torch.uint8), labels if classes else None, known, tuple(f"{seed}/{i}" for i in range(n))
    )


def features_by_brightness(image: Tensor) -> tuple[Tensor, Tensor]:
    """A stand-in for a network: mean and deviation of 4 quarters, and three classes by
    brightness."""
    x = image.float().unfold(2, 8, 8).unfold(3, 8, 8).flatten(4).flatten(1, 3)  # (B, 4, 64)
    h = torch.cat([x.mean(2), x.std(2)], 1)  # (B, 8)
    distance = (x.mean((1, 2))[:, None] - torch.tensor([45.0, 105.0, 165.0])).abs()
    return h, (-distance).softmax(1)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator, "open_extractor", lambda *arguments: Extractor(features_by_brightness))


class Copies(nn.Module):
    """A generator that gives out images of a set, one after another."""

    def __init__(self, images: Tensor):
        super().__init__()
        self.weight, self.images, self.next = nn.Parameter(torch.zeros(1)), images, 0

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        chosen = torch.arange(self.next, self.next + len(z)) % len(self.images)
        self.next += len(z)
        return self.images[chosen].float() / 127.5 - 1


def scores(of: Callable[[Tensor, Tensor | None], Tensor]) -> nn.Module:
    """A discriminator that is a plain function."""
    network = nn.Module()
    network.forward = of
    return network


def sets_of(n: int = 120, classes: int = 3) -> Splits[ImageSet]:
    return Splits(pictures(n, 1, classes), pictures(n // 4, 2, classes), pictures(n, 3, classes))


# ---------------------------------------------------------------------------------------------------- which images


def test_test_pictures_are_brought_given_or_split_off(tmp_path: Path) -> None:
    images = np.stack([np.full((4, 4), i, np.uint8) for i in range(60)])
    for name, part in (("all", images), ("other", images[:5])):
        np.savez(tmp_path / f"{name}.npz", images=part, labels=np.arange(len(part)) % 6)
    c = ImageSynthesisConfig(data=str(tmp_path / "all.npz"), size=16)
    sizes = {
        "split off": ImageSynthesisTrainer(c).open_splits(),
        "given": ImageSynthesisTrainer(replace(c, test=str(tmp_path / "other.npz"))).open_splits(),
        "classes": ImageSynthesisTrainer(replace(c, test_classes=2)).open_splits(),
        "held out": ImageSynthesisTrainer(replace(c, validation_size=3)).open_splits(),
        "none held out": ImageSynthesisTrainer(replace(c, validation_size=0)).open_splits(),
    }
    result = {
        k: (len(s.train), None if s.validation is None else len(s.validation), len(s.test)) for k, s in sizes.items()
    }
    assert result == {
        "split off": (49, 5, 6),
        "given": (54, 6, 5),
        "classes": (36, 4, 20),
        "held out": (51, 3, 6),
        "none held out": (54, None, 6),
    }
    held = sizes["split off"]
    assert held.validation is not None
    values = [{int(x) for x in s.images[:, 0, 0, 0]} for s in (held.train, held.validation, held.test)]
    assert sum(map(len, values)) == 60 == len(set.union(*values))
    brought = ImageSynthesisTrainer(ImageSynthesisConfig(size=16)).open_splits()
    assert len(brought.test) == 359


def test_labels_that_would_say_nothing_are_not_used(tmp_path: Path) -> None:
    images = np.stack([np.full((4, 4, 3), i, np.uint8) for i in range(24)])
    np.savez(tmp_path / "two.npz", images=images, labels=np.arange(24) % 2)
    np.savez(tmp_path / "grey.npz", images=images[:4, ..., 0], labels=np.array([1, 1, 7, 7]))
    c = ImageSynthesisConfig(data=str(tmp_path / "two.npz"), size=16)
    one = ImageSynthesisTrainer(replace(c, test_classes=1)).open_splits()  # one class is left, which is none
    assert one.train.labels is None and one.train.classes == () and one.test.labels is None
    assert one.validation is None and len(one.train) == len(one.test) == 12  # a tenth of 12 is no set
    other = ImageSynthesisTrainer(
        replace(c, test=str(tmp_path / "grey.npz"))
    ).open_splits()  # class 7 was never trained
    assert other.test.labels is None and other.train.labels is not None
    assert other.test.images.shape == (4, 3, 16, 16)  # the channels are those of the training images


def test_a_table_of_labels_is_of_one_folder_only(tmp_path: Path) -> None:
    names = [f"{part}/{i}.png" for part, n in (("train", 20), ("test", 4)) for i in range(n)]
    for i, name in enumerate(names):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 4), i, np.uint8)).save(tmp_path / name)
    table = tmp_path / "t.csv"
    table.write_text("file,label\n" + "".join(f"{name},{'ab'[i % 2]}\n" for i, name in enumerate(names)))
    c = ImageSynthesisConfig(data=str(tmp_path), labels=str(table), size=16)
    own, elsewhere = (
        ImageSynthesisTrainer(c).open_splits().test,
        ImageSynthesisTrainer(replace(c, test=str(tmp_path / "test"))).open_splits().test,
    )
    assert own.labels is not None and own.labels.tolist() == [0, 1, 0, 1] and own.classes == ("a", "b")
    assert len(elsewhere) == 4 and elsewhere.labels is None


# ---------------------------------------------------------------------------------------------------- figures


def test_neighbours_are_not_counted_among_too_few() -> None:
    h = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    assert list(measure("x", h, h[:5])) == ["fd_x", "kd_x"]
    assert list(measure("x", h, h)) == ["fd_x", "kd_x", "precision", "recall", "density", "coverage"]


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("inception", ["fid", "kid", "inception_score"]),
        ("classifier", ["fd_classifier", "kd_classifier", "is_classifier"]),
    ],
)
def test_figures_bear_the_name_of_their_network(stub: None, name: str, first: list[str]) -> None:
    result = compare(name, pictures(60, 1, 3), pictures(50, 2, 3), CPU)
    assert list(result.rows) == ["real", "fake"] and {*first} <= result.rows["fake"].keys()
    assert result.definitions.keys() == {m for row in result.rows.values() for m in row}
    assert all("30 samples, 30 real ones for the baseline, against 30" in text for text in result.definitions.values())


def test_copies_of_training_pictures_are_called_so_and_new_ones_are_near_the_floor(stub: None) -> None:
    sets = sets_of()
    it = open_evaluator(sets, 120, CPU)
    floor = it.baselines()["real"]
    copies = it.measure(ImageSampler(Copies(sets.train.images), 2))
    new = it.measure(ImageSampler(Copies(pictures(120, 9, 3).images), 2))
    noise = it.measure(ImageSampler(Copies(torch.full((1, 1, 16, 16), 250, dtype=torch.uint8)), 2))
    assert copies["memorisation"] == 0
    assert 0.8 < new["memorisation"] < 1.25 and 0.8 < floor["memorisation"] < 1.25
    assert new["fd_classifier"] < 20 * floor["fd_classifier"] + 5 < noise["fd_classifier"]
    assert copies["coverage"] > 0.9 and noise["coverage"] == 0
    named = it.definitions()
    assert {*floor, *copies} <= named.keys()
    it = open_evaluator(replace(sets, test=sets.train), 120, CPU)  # without new images there is nothing to compare with
    assert (
        "memorisation"
        not in it.baselines()["real"].keys() | it.measure(ImageSampler(Copies(sets.train.images), 2)).keys()
    )


def test_variety_stands_beside_that_of_the_data(stub: None) -> None:
    sets = sets_of()
    it = open_evaluator(sets, 120, CPU)
    assert 0.7 < it.baselines()["real"]["variety"] < 1.4
    assert it.measure(ImageSampler(Copies(sets.train.images[:1]), 2))["variety"] == 0
    assert 0.7 < it.measure(ImageSampler(Copies(sets.test.images), 2))["variety"] < 1.4
    alike = replace(sets, test=sets.test.subset([0] * 30 + [1] * 30))  # there is nothing to compare with
    assert "variety" not in open_evaluator(alike, 120, CPU).measure(ImageSampler(Copies(sets.test.images), 2))


def test_more_extractors_give_a_distance_and_a_coverage_each(stub: None) -> None:
    sets = sets_of()
    plain = open_evaluator(sets, 120, CPU)
    darker = Extractor(lambda image: (image.float().mean((2, 3)) / 2, None), ["half"])
    it = figures.Evaluator(sets, 120, CPU, "classifier", plain.extract, "", plain.to_input, {"mean": darker})
    samples = pictures(120, 9, 3).images
    result, before = (each.measure(ImageSampler(Copies(samples), 2)) for each in (it, plain))
    assert result.pop("fd_mean") == pytest.approx(
        frechet_distance(*(figures.moments(x.float().mean((2, 3)) / 2) for x in (samples, sets.test.images)))
    )
    real, fake = (x.float().mean((2, 3)) / 2 for x in (sets.test.images, samples))
    assert result.pop("coverage_mean") == density_coverage(real, fake, 5)[1]
    assert result == before
    assert (
        it.baselines()["real"].keys() - plain.baselines()["real"].keys()
        == {"fd_mean", "coverage_mean"}
        == it.definitions().keys() - plain.definitions().keys()
    )
    assert it.selection_metric == "fd_classifier"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """VGG19 to conv3_4 and SqueezeNet 1.1 with random weights, by the settings that name them."""
    folder, draw = tmp_path_factory.mktemp("weights"), torch.Generator().manual_seed(0)
    with torch.device("meta"):
        vgg = _vgg19_layers(18)
        squeeze = nn.ModuleDict({"0": nn.Conv2d(3, 64, 3), **{str(i): Fire(*sizes) for i, sizes in FIRES.items()}})
    for name, network in {"": vgg, "features.": squeeze}.items():
        state = {
            f"{name}{key}": torch.randn(t.shape, generator=draw) * (2 / max(t[0].numel(), 1)) ** 0.5
            for key, t in network.state_dict().items()
        }
        save_file(state, folder / f"{'squeeze' if name else 'vgg'}.safetensors")
    return {
        "perceptual_weights": folder / "vgg.safetensors",
        "squeezenet_weights": folder / "squeeze.safetensors",
    }


def test_networks_whose_weights_are_given_measure_beside_efficientnet(weights: dict[str, Path]) -> None:
    """Whichever the first is: its own metrics keep their names."""
    sets = sets_of(12, 0)
    given = {"efficientnet_lite0", "squeezenet1_1", "vgg34"}
    it = open_evaluator(sets, 12, CPU, weights=weights)
    assert {*it.also} == given - {"efficientnet_lite0"} == given - {it.extractor_name}
    row = it.measure(ImageSampler(Copies(sets.train.images), 2))
    named = it.definitions()
    for name in it.also:
        assert row[f"fd_{name}"] > 0 and 0 <= row[f"coverage_{name}"] <= 1
        assert {f"fd_{name}", f"coverage_{name}"} <= named.keys() and f"; {name}, " in named[f"fd_{name}"]
    it.used_by_d = ("vgg34",)
    assert {m for m, text in it.definitions().items() if "used by D" in text} == {"fd_vgg34", "coverage_vgg34"}
    one = open_evaluator(sets, 12, CPU, "squeezenet1_1", weights={"squeezenet_weights": weights["squeezenet_weights"]})
    assert one.selection_metric == "fd_squeezenet1_1" and [*one.also] == ["efficientnet_lite0"]


def test_features_of_given_networks_are_the_means_of_what_the_distance_compares(weights: dict[str, Path]) -> None:
    image = torch.randint(256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    distance = open_perceptual("vgg34", str(weights["perceptual_weights"]))
    h = open_extractor("vgg34", None, CPU, weights=weights).run(image)[0]
    torch.testing.assert_close(h, distance.features(image / 255)[0].mean((2, 3)))
    assert open_extractor("squeezenet1_1", None, CPU, weights=weights).run(image[:, :1])[0].shape == (2, 512)
    with pytest.raises(ConfigError, match="--squeezenet-weights FILE"):
        open_extractor("squeezenet1_1", None, CPU)


def test_two_folders_are_compared_by_given_networks(weights: dict[str, Path], tmp_path: Path) -> None:
    np.savez(tmp_path / "real.npz", images=np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), np.uint8))
    data = str(tmp_path / "real.npz")
    vgg, squeeze = (str(weights[setting]) for setting in ("perceptual_weights", "squeezenet_weights"))
    result = compare_data(data, data, "squeezenet1_1", "cpu", False, 16, squeezenet_weights=squeeze)
    assert result.rows["fake"]["fd_squeezenet1_1"] > 0 and "its last 512 features" in str(result.definitions)
    with pytest.raises(ConfigError, match="--perceptual-weights: not for --features classifier; give --features vgg34"):
        compare_data(data, data, "classifier", "cpu", False, perceptual_weights=vgg)


def test_figures_are_those_of_items_that_pass_for_samples(stub: None) -> None:
    sets = sets_of()
    it = open_evaluator(sets, 120, CPU)
    requested = pick(sets.train, 120).labels
    expected = it.measure(ImageSampler(Copies(sets.test.images), 2, ("c0", "c1", "c2")))
    assert it.metrics_of(sets.test.images, requested) == expected
    assert expected.keys() - it.metrics_of(sets.test.images, None).keys() == {"class_accuracy", "classes_learned"}


def test_classes_are_counted_as_the_classifier_sees_them(stub: None) -> None:
    sets = sets_of()
    it = open_evaluator(sets, 120, CPU)
    right = it.measure(ImageSampler(Copies(sets.test.images), 2, ("c0", "c1", "c2")))
    assert right["class_accuracy"] == right["confident"] == 1 and right["classes"] == 3 and right["class_kl"] < 1e-9
    shifted = it.measure(ImageSampler(Copies(sets.test.images.roll(1, 0)), 2, ("c0", "c1", "c2")))
    assert shifted["class_accuracy"] == 0 and shifted["confident"] == 1
    one = it.measure(ImageSampler(Copies(sets.test.images[::3]), 2))
    assert one["classes"] == 1 and one["class_kl"] == pytest.approx(np.log(3)) and "class_accuracy" not in one
    assert one["is_classifier"] < 1.01 < 2.5 < right["is_classifier"] <= 3


def test_without_labels_no_classes_are_counted() -> None:
    it = open_evaluator(sets_of(12, 0), 12, CPU)
    assert it.extractor_name == "efficientnet_lite0" and it.selection_metric == "fd_efficientnet_lite0"
    result = it.measure(ImageSampler(Copies(it.splits.train.images), 2))
    assert not {"confident", "classes", "is_efficientnet_lite0"} & result.keys() and "fd_efficientnet_lite0" in result


def test_a_discriminator_that_knows_its_pictures_is_found_out(stub: None) -> None:
    sets = sets_of()
    it = open_evaluator(sets, 120, CPU)
    known = {x.numpy().tobytes() for x in sets.train.images}

    def knows(image: Tensor, label: Tensor | None) -> Tensor:
        pixels = ((image + 1) * 127.5).round().to(torch.uint8).contiguous()
        return torch.tensor([float(x.numpy().tobytes() in known) for x in pixels])

    assert it.overfitting(scores(knows), lambda items: None) == {"d_overfit": 0.5}
    assert open_evaluator(replace(sets, validation=None), 120, CPU).overfitting(scores(knows), lambda items: None) == {}


@pytest.mark.parametrize("validation", [30, 2])
def test_a_discriminator_that_cannot_tell_scores_nought(stub: None, validation: int) -> None:
    it = open_evaluator(replace(sets_of(), validation=pictures(validation, 2, 3)), 120, CPU)
    draw = torch.Generator().manual_seed(0)
    for levels in (0, 1, 1000):  # one score for all, a few, all different
        d = scores(lambda image, label, n=levels: (n * torch.randn(len(image), generator=draw)).round())
        assert abs(np.mean([it.overfitting(d, lambda items: None)["d_overfit"] for _ in range(100)])) < 0.09


def test_a_conditional_discriminator_gets_the_classes(stub: None) -> None:
    it, seen = open_evaluator(sets_of(), 120, CPU), []
    for condition_of in (lambda items: None, lambda items: items.labels):
        it.overfitting(scores(lambda image, label: seen.append(label) or image[:, 0, 0, 0]), condition_of)
    assert it.splits.validation is not None and it.splits.validation.labels is not None and seen[:2] == [None, None]
    assert seen[2].bincount().tolist() == [10] * 3 and torch.equal(seen[3], it.splits.validation.labels)


def test_validation_prefers_what_is_nearer_to_the_validation_pictures(stub: None) -> None:
    sets = sets_of()
    it = open_evaluator(sets, 1000, CPU)
    assert it.samples == 120 and sets.validation is not None  # no more than there are training images
    made = (sets.validation.images, sets.test.images, sets.test.images // 2)
    result = [it.validate(ImageSampler(Copies(images), 2, ("c0", "c1", "c2"))) for images in made]
    assert [[*figures] for figures in result] == [[it.selection_metric]] * 3 == [["fd_classifier"]] * 3
    same, like, other = (figures["fd_classifier"] for figures in result)
    assert 3 * same < like < 0.01 * other


def test_figures_of_classes_are_those_of_the_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    table = torch.tensor([[0.91, 0.09, 0], [0.89, 0.11, 0], [0.2, 0.3, 0.5], [0, 1, 0]])

    def look(image: Tensor) -> tuple[Tensor, Tensor]:
        return image[:, 0, :2, 0].float(), table[image[:, 0, 0, 0].long() % 4]

    monkeypatch.setattr(evaluator, "open_extractor", lambda *arguments: Extractor(look))
    train = replace(pictures(12, 1, 3), labels=torch.tensor([0] * 6 + [1] * 3 + [2] * 3))
    it = open_evaluator(Splits(train, None, pictures(12, 2, 3)), 12, CPU)
    made = torch.arange(12, dtype=torch.uint8).view(12, 1, 1, 1).repeat(1, 1, 16, 16)
    result = it.measure(ImageSampler(Copies(made), 2, ("c0", "c1", "c2")))
    assert result["confident"] == 0.5 and result["classes"] == 3
    assert result["class_accuracy"] == 6 / 12  # seen as 002100 210 021, asked for as 000000 111 222
    assert result["classes_learned"] == 3  # by 4 / 6, 1 / 3 and 1 / 3
    assert result["class_kl"] == pytest.approx(0, abs=1e-12)  # both have halves and quarters
    swapped = made[[0, 1, 3, 0, 2, 2, 2, 0, 1, 0, 1, 3]]
    result = it.measure(ImageSampler(Copies(swapped), 2, ("c0", "c1", "c2")))
    assert result["class_accuracy"] == 3 / 12  # seen as 001022 200 001, asked for as 000000 111 222
    assert result["classes_learned"] == 1
    assert result["classes_balanced"] == 2  # of the confident samples 4 are of c0 and 2 of c1
    result = it.measure(ImageSampler(Copies(made[2:3]), 2))
    assert result["confident"] == result["classes_balanced"] == 0
    result = it.measure(ImageSampler(Copies(made[3:4]), 2))
    assert result["confident"] == 1 and result["classes_balanced"] == 0  # all of one class: three times its share
    result = it.measure(ImageSampler(Copies(made[:2]), 2))
    assert (
        "classes_learned" not in result
        and result["classes"] == 1
        and result["class_kl"] == pytest.approx(np.log(2))
        and result["confident"] == 0.5
    )


def test_the_floor_has_the_inception_score_without_labels_too(stub: None) -> None:
    it = open_evaluator(Splits(pictures(60, 1), None, pictures(60, 2)), 60, CPU, "inception")
    result = it.measure(ImageSampler(Copies(it.splits.test.images), 2)).keys()
    assert {"fid", "kid", "inception_score"} <= result <= it.definitions().keys()
    assert it.baselines()["real"].keys() == result - {"memorisation"}


def test_features_do_not_depend_on_the_batch() -> None:
    images = pictures(9, 1).images
    extract = open_extractor("efficientnet_lite0", None, CPU)
    torch.testing.assert_close(
        embed(extract, images, CPU, 9)[0], embed(extract, images, CPU, 2)[0], rtol=1e-4, atol=1e-4
    )


def test_features_of_real_pictures_are_kept_and_belong_to_their_network(monkeypatch: pytest.MonkeyPatch) -> None:
    sets, calls = sets_of(), []
    monkeypatch.setattr(extractors, "embed", lambda *a: calls.append(a) or embed(*a))
    for weight, expected in ((1.0, 1), (1.0, 1), (2.0, 2)):
        extract = Extractor(features_by_brightness, [torch.tensor(weight)])
        monkeypatch.setattr(evaluator, "open_extractor", lambda *a, extract=extract: extract)
        open_evaluator(sets, 120, CPU).features_of(sets.test)
        assert len(calls) == expected  # other weights give other features


def test_a_retrained_classifier_recomputes_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, seeds = extractors.train_classifier, iter((0, 1))
    quick = {"steps": 5, "batch": 16}
    monkeypatch.setattr(extractors, "train_classifier", lambda *a, **k: train(*a, **{**k, **quick}, seed=next(seeds)))
    images, result = pictures(40, 1, 3), []
    for _ in range(2):
        extract = open_extractor("classifier", images, CPU)
        kept, probabilities = embed_real("classifier", extract, images.images, CPU)
        result.append(kept)
        again = embed_real("classifier", extract, images.images, CPU)
        for first, later, plain in zip((kept, probabilities), again, embed(extract, images.images, CPU), strict=True):
            assert first is not None and later is not None and plain is not None
            assert torch.equal(first, later) and torch.equal(first, plain)
        for path in (tmp_path / "cache").glob("classifier-*"):
            path.unlink()
    assert not torch.equal(*result)


def test_the_same_labels_make_no_other_classifier_and_features_but_other_labels_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train, embedded, trained, quick = extractors.train_classifier, [], [], {"steps": 3, "batch": 8}
    monkeypatch.setattr(extractors, "embed", lambda *a: embedded.append(a) or embed(*a))
    monkeypatch.setattr(
        extractors, "train_classifier", lambda *a, **k: trained.append(a) or train(*a, **{**k, **quick})
    )
    images, labels = pictures(24, 1, 3), torch.arange(24) % 3
    for known, times in ((labels, 1), (labels, 1), (labels.flip(0), 2)):
        extract = open_extractor("classifier", replace(images, labels=known), CPU)
        embed_real("classifier", extract, images.images, CPU)
        assert (len(trained), len(embedded)) == (times, times)


def test_the_floor_counts_classes_by_name_and_not_those_that_were_never_trained(stub: None) -> None:
    sets = sets_of()
    assert sets.test.labels is not None
    backwards = replace(sets.test, labels=2 - sets.test.labels, classes=("c2", "c1", "c0"))
    floor = open_evaluator(replace(sets, test=numbered_as(backwards, sets.train.classes)), 120, CPU).baselines()["real"]
    assert floor["class_accuracy"] == 1 and floor["classes"] == 3
    others = replace(sets.test, classes=("x", "y", "z"))
    floor = open_evaluator(replace(sets, test=numbered_as(others, sets.train.classes)), 120, CPU).baselines()["real"]
    assert not {"class_accuracy", "classes", "class_kl", "confident"} & floor.keys() and "fd_classifier" in floor


def test_the_score_of_training_pictures_is_of_as_many_as_there_are_samples(
    stub: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = sets_of()
    assert sets.test.labels is not None
    one = sets.test.subset((sets.test.labels == 0).nonzero().flatten().tolist())
    it = open_evaluator(replace(sets, test=one), 60, CPU)
    baselines = it.baselines()
    probabilities = embed(it.extract, pick(sets.train, 60).images, CPU)[1]
    assert baselines["real_training"] == figures.class_score("classifier", probabilities) and it.samples == 60
    assert (
        baselines["real"]["is_classifier"] == pytest.approx(1, abs=1e-3)
        and baselines["real_training"]["is_classifier"] > 2.5
    )
    monkeypatch.setattr(
        evaluator, "open_extractor", lambda *a: Extractor(lambda x: (features_by_brightness(x)[0], None), ["none"])
    )
    assert open_evaluator(sets, 60, CPU).baselines().keys() == {"real"}  # a network without classes


def test_conditional_samples_are_asked_for_in_the_shares_of_the_data(stub: None) -> None:
    sets = sets_of()
    rare = pictures(120, 1, 3).subset([*range(0, 120, 3), *range(0, 120, 3), *range(1, 120, 6), *range(2, 120, 6)])
    it = open_evaluator(replace(sets, train=rare), 60, CPU)
    requested: list[Tensor] = []

    class Obeys(Copies):
        def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
            assert label is not None
            requested.append(label)
            chosen = torch.stack([sets.test.images[k] for k in label.tolist()])
            return chosen.float() / 127.5 - 1

    result = it.measure(ImageSampler(Obeys(sets.test.images), 2, ("c0", "c1", "c2")))
    counts = torch.cat(requested).bincount().tolist()
    assert counts == [40, 10, 10] and result["class_accuracy"] == 1 and result["class_kl"] < 1e-6


def test_nearest_shows_a_copy_above_itself(stub: None) -> None:
    it = open_evaluator(sets_of(), 120, CPU)
    chosen = it.splits.train.images[[7, 5, 100]]
    sheet = np.asarray(nearest_picture(chosen, it))
    assert np.array_equal(sheet[:16], sheet[-16:]) and np.array_equal(sheet[:16, 18:34], chosen[1, 0])


# ---------------------------------------------------------------------------------------------------- networks


def test_the_classifier_is_trained_once_and_knows_its_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    train, quick = extractors.train_classifier, []

    def short(*a: Any, **k: Any) -> nn.Module:
        quick.append(1)
        return train(*a, **{**k, "steps": 30, "batch": 32})

    monkeypatch.setattr(extractors, "train_classifier", short)
    images = pictures(60, 1, 3)
    for _ in range(2):
        probabilities = open_extractor("classifier", images, CPU).run(images.images)[1]
    assert quick == [1] and probabilities is not None and images.labels is not None
    assert (probabilities.argmax(1) == images.labels).float().mean() > 0.9


def test_what_cannot_be_opened_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    remedy = r"not available .*pip install 'multigen\[fid\]' and connect to a network, once, or take efficientnet_lite0"
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(ConfigError, match=remedy):
        open_extractor("inception", None, CPU)
    with pytest.raises(ConfigError, match="no labels; take efficientnet_lite0"):
        open_extractor("classifier", pictures(4, 1), CPU)
    with pytest.raises(ConfigError, match="'vgg': expected one of efficientnet_lite0, classifier, inception"):
        open_extractor("vgg", None, CPU)


@pytest.mark.slow
def test_inception_is_the_literature_s_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """With random weights, since its own must be downloaded: grey images of any size give features
    and probabilities."""
    network = pytest.importorskip(
        "torch_fidelity.feature_extractor_inceptionv3", reason="torch-fidelity (extra fid) is not installed"
    ).FeatureExtractorInceptionV3
    fetched = []

    def download(url: str, path: str, **how: Any) -> None:
        fetched.append((url, how))
        Path(path).touch()

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    monkeypatch.setattr(evaluator, "INCEPTION", ("https://weights-e3b0c442.pth", "e3b0c442"))  # SHA-256 of nothing
    monkeypatch.setattr(torch, "load", lambda path, **how: {})
    monkeypatch.setattr(network, "load_state_dict", lambda self, state: None)
    h, p = open_extractor("inception", None, CPU).run(torch.randint(0, 256, (2, 1, 32, 32), dtype=torch.uint8))
    assert h.shape == (2, 2048) and p is not None and p.shape == (2, 1008)
    torch.testing.assert_close(p.sum(1), torch.ones(2))
    (url, how) = fetched[0]
    assert how["hash_prefix"] in url
