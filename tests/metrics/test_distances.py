"""Metrics in feature space, against closed forms, scipy, and plain loops over items."""

import numpy as np
import pytest
import torch
from torch import Tensor

import multigen.metrics.distances
from multigen.errors import ConfigError, DataError
from multigen.metrics.distances import (
    DEFINITIONS,
    Moments,
    class_balance,
    density_coverage,
    frechet_distance,
    inception_score,
    kernel_distance,
    memorisation,
    nearest,
    precision_recall,
    variety,
)
from tests.cases import few


def draw(count: int, dimension: int, seed: int = 0) -> Tensor:
    return torch.randn(count, dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def moments(features: Tensor) -> Moments:
    result = Moments(features.shape[1])
    result.add(features)
    return result


def distances(a: Tensor, b: Tensor) -> np.ndarray:
    """Euclidean distances (N, M), by their definition."""
    return np.stack([np.sqrt(np.square(x - b.numpy()).sum(1)) for x in a.numpy()])


# ---------------------------------------------------------------------------------------------------- moments


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_moments_are_those_of_all_items_at_once(dtype: torch.dtype):
    x = (draw(50, 7) * torch.arange(1, 8)).to(dtype)
    result = moments(x)
    assert result.count == 50
    np.testing.assert_allclose(result.mean, x.double().numpy().mean(0), rtol=1e-12)
    np.testing.assert_allclose(result.covariance, np.cov(x.double().numpy().T), rtol=1e-12)


def test_moments_depend_on_neither_batches_nor_order_also_far_from_zero():
    x = draw(101, 5) + 1e4
    expected = np.cov(x.numpy().T)
    for order, sizes in ((x, [1] * 101), (x, [100, 0, 1]), (x.flip(0), [40, 61])):
        result = Moments(5)
        for part in order.split(sizes):
            result.add(part)
        np.testing.assert_allclose(result.mean, x.mean(0), rtol=1e-13)
        np.testing.assert_allclose(result.covariance, expected, rtol=1e-10, atol=1e-10)


def test_moments_of_nothing_have_no_covariance():
    assert Moments(3).mean.tolist() == [0, 0, 0]
    for result in (Moments(3), moments(torch.ones(1, 3))):
        with pytest.raises(DataError, match=r"covariance of [01] items: expected at least 2; make"):
            _ = result.covariance


# ---------------------------------------------------------------------------------------------------- distances of sets


def test_frechet_distance_of_gaussians_with_known_moments():
    """Standardised points, so that the sample moments are exactly those of the closed form."""
    x = draw(200, 4)
    x = x - x.mean(0)
    x = x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T  # mean 0, covariance 1
    shift, scale = torch.tensor([1.0, -2, 0, 3]), torch.tensor([2.0, 1, 0.5, 3])
    expected = shift.square().sum() + (scale - 1).square().sum()
    assert frechet_distance(moments(x), moments(x * scale + shift)) == pytest.approx(expected.item(), rel=1e-10)


def test_frechet_distance_agrees_with_scipy():
    from scipy.linalg import sqrtm

    a, b = draw(60, 8) @ draw(8, 8, 1), draw(70, 8, 2) @ draw(8, 8, 3) + 1
    c_a, c_b = np.cov(a.numpy().T), np.cov(b.numpy().T)
    gap = (a.mean(0) - b.mean(0)).square().sum().item()
    expected = gap + np.trace(c_a + c_b) - 2 * np.trace(np.asarray(sqrtm(c_a @ c_b))).real
    assert frechet_distance(moments(a), moments(b)) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(moments(b), moments(a)) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_fewer_items_than_dimensions():
    a, b = draw(6, 40), draw(9, 40, 1)
    result = frechet_distance(moments(a), moments(b))
    # The trace of the root of the product is the nuclear norm of the product of the centred items.
    centred = [(x - x.mean(0)) / (len(x) - 1) ** 0.5 for x in (a, b)]
    traces = sum(x.square().sum() for x in centred) - 2 * torch.linalg.matrix_norm(centred[0] @ centred[1].T, "nuc")
    assert result == pytest.approx(((a.mean(0) - b.mean(0)).square().sum() + traces).item(), rel=1e-9)
    for same in (a, torch.ones(5, 40), a * 1e-9, a * 1e9):
        scale = moments(same).covariance.trace().item()
        assert 0 <= frechet_distance(moments(same), moments(same)) <= 1e-12 * scale
    assert frechet_distance(moments(torch.ones(5, 40)), moments(torch.zeros(5, 40))) == 40


def naive_mmd(a: Tensor, b: Tensor) -> float:
    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float(x @ y / len(x) + 1) ** 3

    x, y = a.numpy(), b.numpy()
    n = len(x)
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    within = sum(kernel(x[i], x[j]) + kernel(y[i], y[j]) for i, j in pairs) / (n * (n - 1))
    return within - 2 * sum(kernel(x[i], y[j]) for i in range(n) for j in range(n)) / n**2


def test_kernel_distance_is_the_unbiased_double_sum():
    a, b = draw(12, 5), draw(12, 5, 1) * 1.5 + 0.3
    mean, deviation = kernel_distance(a, b, subsets=4)
    assert mean == pytest.approx(naive_mmd(a, b), rel=1e-12)
    assert deviation == pytest.approx(0, abs=1e-12)  # each subset is the whole


def test_kernel_distance_over_subsets(monkeypatch: pytest.MonkeyPatch):
    a, b = draw(30, 4), draw(20, 4, 1) + 0.5
    drawn = []
    draw_of_module = multigen.metrics.distances._draw
    monkeypatch.setattr(
        multigen.metrics.distances, "_draw", lambda *args: drawn.append(draw_of_module(*args)) or drawn[-1]
    )
    mean, deviation = kernel_distance(a, b, subset=10, subsets=6, seed=3)
    values = [naive_mmd(a[i], b[j]) for i, j in zip(drawn[::2], drawn[1::2], strict=True)]
    assert (mean, deviation) == (pytest.approx(np.mean(values), rel=1e-12), pytest.approx(np.std(values), rel=1e-12))
    assert len(values) == 6
    assert all(len(set(indices.tolist())) == 10 for indices in drawn)
    assert {i for indices in drawn[1::2] for i in indices.tolist()} == set(range(20))
    assert kernel_distance(a, b, subset=10, subsets=6, seed=3) == (mean, deviation)
    assert kernel_distance(a, b, subset=10, subsets=6, seed=4) != (mean, deviation)


def test_kernel_distance_within_one_distribution_is_about_zero_for_any_number():
    for count in (50, 400):
        mean, deviation = kernel_distance(draw(count, 6), draw(count, 6, 1), subset=40, subsets=30)
        assert abs(mean) < 3 * deviation / 30**0.5 + 0.02


# ---------------------------------------------------------------------------------------------------- classes


def test_inception_score():
    sure = torch.eye(5).repeat(20, 1)  # every class, certainly
    assert inception_score(sure) == (pytest.approx(5), pytest.approx(0, abs=1e-12))
    assert inception_score(torch.full((30, 4), 0.25)) == (pytest.approx(1), pytest.approx(0, abs=1e-12))
    p = draw(23, 6).softmax(1)
    scores = []
    for part in np.array_split(p.numpy(), 4):
        marginal = part.mean(0)
        scores.append(np.exp(np.mean([sum(q * np.log(q / m) for q, m in zip(x, marginal, strict=True)) for x in part])))
    assert inception_score(p, splits=4) == (pytest.approx(np.mean(scores)), pytest.approx(np.std(scores)))


def test_class_balance():
    predicted = torch.tensor([0] * 54 + [1] * 44 + [2] * 2)
    covered, kl = class_balance(predicted, 5)
    assert covered == 3  # a tenth of an even share is 2 of 100
    q = np.array([0.54, 0.44, 0.02])
    assert kl == pytest.approx((q * np.log(q * 5)).sum())
    assert class_balance(predicted[:-1], 5)[0] == 2
    assert class_balance(predicted, 3, torch.tensor([27, 22, 1]))[1] == pytest.approx(0, abs=1e-12)
    assert class_balance(predicted, 3, torch.tensor([27, 22, 0]))[1] == np.inf


# ---------------------------------------------------------------------------------------------------- neighbours


def naive_balls(centres: Tensor, points: Tensor, k: int) -> np.ndarray:
    """(N, M), whether a point lies in the ball around a centre."""
    among, to = distances(centres, centres), distances(centres, points)
    radii = [sorted(np.delete(row, i))[k - 1] for i, row in enumerate(among)]
    return to <= np.array(radii)[:, None]


@pytest.mark.parametrize("chunk", [5, 256])
@pytest.mark.parametrize("k", [1, 3])
def test_precision_recall_density_coverage_agree_with_loops(k: int, chunk: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(multigen.metrics.distances, "CHUNK", chunk)
    real, fake = draw(40, 3), draw(33, 3, 1) * 0.7 + 0.4
    around_real, around_fake = naive_balls(real, fake, k), naive_balls(fake, real, k)
    precision, recall = precision_recall(real, fake, k)
    assert precision == pytest.approx(around_real.any(0).mean())
    assert recall == pytest.approx(around_fake.any(0).mean())
    density, coverage = density_coverage(real, fake, k)
    assert density == pytest.approx(around_real.sum() / (k * 33))
    assert coverage == pytest.approx(around_real.any(1).mean())
    assert len({0.0, 1.0, precision, recall, coverage}) == 5


def test_copies_far_from_zero_lie_in_the_balls():
    """Also those of radius 0, around items that are there more often than k times."""
    real = torch.cat([draw(30, 16), draw(1, 16, 2).repeat(6, 1)]) + 1e4
    real = real.float()
    assert precision_recall(real, real) == (1, 1)
    density, coverage = density_coverage(real[:30], real[:30], k=5)
    assert (density, coverage) == (pytest.approx(6 / 5), 1)  # each ball holds its centre and five neighbours
    assert precision_recall(real, real + 100) == (0, 0)


def test_copies_on_the_border_of_a_ball_lie_in_it():
    """Their distances are rounded otherwise than those of the originals, in products of another
    size."""
    real = draw(200, 1000)
    within = naive_balls(real, real, 5)
    for count in (10, 17, 53):
        result, _ = density_coverage(real, real[:count], k=5)
        assert result == pytest.approx(within[:, :count].sum() / (5 * count), rel=1e-12)


@pytest.mark.parametrize("chunk", [1, 7, 1024])
def test_nearest_agrees_with_loops(chunk: int):
    queries, references = draw(20, 6), draw(35, 6, 1)
    table = distances(queries, references)
    result, indices = nearest(queries, references, chunk)
    np.testing.assert_allclose(result, table.min(1), rtol=1e-12)
    assert indices.tolist() == table.argmin(1).tolist()
    assert (result.dtype, indices.dtype) == (torch.float64, torch.int64)


def test_nearest_knows_copies_from_near_copies():
    references = draw(500, 64).float() + 30
    order = torch.randperm(500, generator=torch.Generator().manual_seed(0))
    result, indices = nearest(references[order], references)
    assert torch.equal(indices, order)
    assert result.max() == 0
    moved = references.double()
    moved[:, 0] += 1e-3
    result, indices = nearest(moved, references)
    assert indices.tolist() == list(range(500))
    np.testing.assert_allclose(result, 1e-3, rtol=1e-5)


@pytest.mark.parametrize("held", few([25, 200], 25))
def test_memorisation_of_copies_strangers_and_what_lies_between(held: int):
    """However much smaller than the training set the held-out set is."""
    train, held_out, strangers = draw(1600, 4), draw(held, 4, 1), draw(400, 4, 2)
    assert memorisation(train[:300], train, held_out) == 0
    assert memorisation(strangers, train, held_out) == pytest.approx(1, abs=0.2 if held == 25 else 0.08)
    half = torch.cat([train[:400], strangers])
    assert memorisation(half, train, held_out) == pytest.approx(memorisation(strangers, train, held_out) / 2)
    assert memorisation(strangers + 9, train, held_out) > 10
    expected = distances(strangers, train).min(1).mean() / distances(held_out, train).min(1).mean()
    assert memorisation(strangers, train, held_out) == pytest.approx(expected)


@pytest.mark.parametrize("chunk", [1, 7, 256])
def test_variety_agrees_with_loops(chunk: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(multigen.metrics.distances, "CHUNK", chunk)
    fake, real = 0.4 * draw(20, 5) + 1e3, draw(20, 5, 1) - 1e3

    def apart(x: Tensor) -> float:
        table = distances(x, x)
        np.fill_diagonal(table, np.inf)
        return table.min(1).mean()

    assert variety(fake, real) == pytest.approx(apart(fake) / apart(real), rel=1e-9)
    assert variety(real, fake) == pytest.approx(apart(real) / apart(fake), rel=1e-9)


def test_variety_of_one_sample_of_pairs_and_of_the_data():
    real = draw(800, 3)
    assert variety(draw(1, 3, 1).repeat(40, 1), real) == 0
    assert variety(draw(20, 3, 1).repeat(2, 1), real) == 0  # each has a copy
    assert variety(draw(800, 3, 1), real) == pytest.approx(1, abs=0.08)
    assert variety(draw(200, 3, 1), real) == pytest.approx(1, abs=0.15)  # beside as many real ones
    far = torch.cat([real, real + 100])  # as many are drawn from all of them, whatever their order
    result = variety(draw(200, 3, 1), far)
    assert result < 0.9 and result == pytest.approx(variety(draw(200, 3, 1), far.flip(0)), rel=0.15)
    assert variety(3 * real, real) == pytest.approx(3)


# ---------------------------------------------------------------------------------------------------- wrong input


def test_wrong_features_are_named():
    good, bad = draw(9, 4), draw(9, 4)
    bad[2, 1], bad[5, 0] = torch.nan, torch.inf
    for measure in (kernel_distance, precision_recall, density_coverage, nearest, variety):
        with pytest.raises(DataError, match=r"2 of 9 rows are not finite; .*check the model"):
            measure(good, bad)
        with pytest.raises(DataError, match=r"shape \(9, 4, 1\): expected \(N, D\)"):
            measure(good[..., None], good)
        with pytest.raises(DataError, match=r"4 and 3 dimensions.*one extractor"):
            measure(good, good[:, :3])
    with pytest.raises(DataError, match="2 of 9 rows"):
        moments(bad)
    with pytest.raises(DataError, match="3 dimensions, expected 4"):
        Moments(4).add(good[:, :3])
    with pytest.raises(DataError, match="4 and 3 dimensions"):
        frechet_distance(moments(good), moments(good[:, :3]))


def test_too_few_items_are_named():
    good = draw(9, 4)
    with pytest.raises(DataError, match="second: 1 item, expected at least 2"):
        kernel_distance(good, good[:1])
    with pytest.raises(DataError, match="real: 3 items, expected at least 4"):
        precision_recall(good[:3], good)
    with pytest.raises(DataError, match="fake: 5 items, expected at least 6"):
        density_coverage(good, good[:5])
    with pytest.raises(DataError, match="references: 0 items"):
        nearest(good, good[:0])
    with pytest.raises(DataError, match="queries: 0 items"):
        memorisation(good, good, good[:0])
    with pytest.raises(DataError, match="every held-out item has the features of a training item"):
        memorisation(good + 1, good, good)
    for fake, real, message in (
        (good[:1], good, "fake: 1 item, expected at least 2"),
        (good, good[:1], "real: 1 item, expected at least 2"),
        (good, good[:1].repeat(5, 1), "all real items have the same features; expected different ones"),
    ):
        with pytest.raises(DataError, match=message):
            variety(fake, real)


def test_wrong_numbers_are_named():
    good = draw(9, 4)
    for act, message in (
        (lambda: kernel_distance(good, good, subset=1), "subset 1: expected at least 2"),
        (lambda: kernel_distance(good, good, subsets=0), "subsets 0"),
        (lambda: inception_score(good.softmax(1), splits=0), "splits 0"),
        (lambda: precision_recall(good, good, k=0), "k 0"),
        (lambda: density_coverage(good, good, k=-1), "k -1"),
        (lambda: nearest(good, good, chunk=0), "chunk 0"),
        (lambda: class_balance(torch.zeros(1, dtype=torch.int64), 0), "classes 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            act()


def test_wrong_probabilities_and_classes_are_named():
    with pytest.raises(DataError, match="9 samples in 10 splits"):
        inception_score(draw(9, 4).softmax(1))
    for wrong in (draw(20, 4), torch.tensor([[1.5, -0.5]] * 20)):
        with pytest.raises(DataError, match="expected softmax outputs"):
            inception_score(wrong)
    for wrong in (torch.tensor([0, 3]), torch.tensor([-1, 2]), torch.zeros(0, dtype=torch.int64), torch.zeros(2)):
        with pytest.raises(DataError, match=r"expected int64 \(N,\).* 0\.\.2; check the classifier"):
            class_balance(wrong, 3)
    for wrong in (torch.ones(2), torch.zeros(3), torch.tensor([1, -1, 1])):
        with pytest.raises(DataError, match=r"real counts \[.*expected 3 numbers"):
            class_balance(torch.tensor([0, 2]), 3, wrong)


def test_every_metric_is_defined_in_one_line():
    names = "frechet kernel inception_score precision recall density coverage memorisation variety classes class_kl"
    assert list(DEFINITIONS) == names.split()
    assert all(text[-1] not in ".;" and "\n" not in text for text in DEFINITIONS.values())


def test_distances_and_score_agree_with_torch_fidelity():
    fid = pytest.importorskip("torch_fidelity.metric_fid", reason="torch-fidelity (extra fid) is not installed")
    isc, kid = (pytest.importorskip(f"torch_fidelity.metric_{name}") for name in ("isc", "kid"))
    a, b = draw(60, 8), 1.3 * draw(60, 8, seed=1) + 0.2
    theirs = fid.fid_statistics_to_metric(*map(fid.fid_features_to_statistics, (a, b)), verbose=False)
    assert frechet_distance(moments(a), moments(b)) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-6)
    whole = {"kid_subsets": 2, "kid_subset_size": 60, "verbose": False, "rng_seed": 0}
    theirs = kid.kid_features_to_metric(a, b, **whole)
    assert kernel_distance(a, b, subset=60)[0] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-6)
    logits = 3 * draw(60, 5, seed=2)
    theirs = isc.isc_features_to_metric(logits, splits=10, shuffle=False)
    assert inception_score(logits.softmax(1))[0] == pytest.approx(theirs["inception_score_mean"], rel=1e-6)
