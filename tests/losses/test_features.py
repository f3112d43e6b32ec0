"""Feature matching against its closed form, and its gradient."""

import pytest
import torch

from multigen import losses


def test_a_layer_counts_as_much_as_another() -> None:
    fake = [torch.tensor([[1.0, 3.0]]), torch.tensor([[[5.0]]])]
    real = [torch.tensor([[0.0, 0.0]]), torch.tensor([[[2.0]]])]
    assert losses.feature_matching(fake, real) == pytest.approx((2 + 3) / 2)
    assert losses.feature_matching(fake, real, "mse") == pytest.approx((5 + 9) / 2)


def test_the_gradient_reaches_fakes_alone() -> None:
    fake, real = torch.tensor([2.0, -1.0], requires_grad=True), torch.tensor([0.0, 0.0], requires_grad=True)
    losses.feature_matching([fake], [real]).backward()
    assert real.grad is None and fake.grad is not None and fake.grad.tolist() == [0.5, -0.5]


def test_half_precision_is_not_summed_in() -> None:
    fake = [torch.full((1, 1000), 100.0, dtype=torch.bfloat16)]
    loss = losses.feature_matching(fake, [torch.zeros(1, 1000)], "mse")
    assert loss == 10_000 and loss.dtype == torch.float32


@pytest.mark.parametrize("real", [[], [torch.zeros(1, 3)], [torch.zeros(1, 2), torch.zeros(1)]])
def test_other_layers_are_refused(real: list[torch.Tensor]) -> None:
    with pytest.raises(ValueError, match="expected the same layers of a batch of pairs"):
        losses.feature_matching([torch.zeros(1, 2)] if real else [], real)
