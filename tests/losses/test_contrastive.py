"""The contrastive loss of patches against closed forms."""

import math

import pytest
import torch

from multigen.losses import patch_nce


def test_equal_vectors_cost_what_a_guess_costs() -> None:
    same = torch.ones(2, 5, 3)
    assert patch_nce(same, same).item() == pytest.approx(math.log(5))


def test_orthogonal_patches_cost_what_the_temperature_leaves() -> None:
    patches = torch.eye(4)[None]  # each its own direction
    assert patch_nce(3 * patches, patches, 0.5).item() == pytest.approx(math.log(1 + 3 * math.exp(-2)))
    assert patch_nce(-patches, patches, 0.5).item() == pytest.approx(math.log(math.exp(-2) + 3) + 2)


def test_patches_of_other_images_are_no_negatives() -> None:
    one = torch.eye(4)[None]
    assert patch_nce(torch.cat([one, one]), torch.cat([one, one])).item() == pytest.approx(patch_nce(one, one).item())


def test_a_mean_over_images_and_patches() -> None:
    a, b = torch.eye(3)[None], torch.ones(1, 3, 3)
    both = patch_nce(torch.cat([a, b]), torch.cat([a, b])).item()
    assert both == pytest.approx((patch_nce(a, a).item() + math.log(3)) / 2)


def test_the_gradient_reaches_queries_alone_and_is_right() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(2, 3, 4, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(2))
    assert torch.autograd.gradcheck(lambda q: patch_nce(q, key.detach()), (query,))
    patch_nce(query, key).backward()
    assert key.grad is None and query.grad is not None


def test_half_precision_is_computed_in_float32() -> None:
    half = torch.eye(4, dtype=torch.bfloat16)[None]
    assert patch_nce(half, half).dtype == torch.float32


@pytest.mark.parametrize("shapes", [((1, 2, 3), (1, 3, 3)), ((2, 3), (2, 3))])
def test_other_shapes_are_refused(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="vectors of the same patches"):
        patch_nce(torch.zeros(shapes[0]), torch.zeros(shapes[1]))
