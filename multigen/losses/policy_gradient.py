"""Policy gradient for sequences: returns, baselines, divergences. All tensors are (B, T), one
sequence per row; `mask` marks its tokens.

value = returns(rewards, mask)
advantage = value - leave_one_out(value, mask)
terms = {"policy": policy_gradient(log_probs, advantage, mask)}
"""

import torch
from torch import Tensor

from multigen.engine.distributed import all_sum
from multigen.losses.adversarial import at_least_float32

__all__ = ["group_scaled", "kl_divergence", "leave_one_out", "policy_gradient", "returns"]


def returns(rewards: Tensor, mask: Tensor, discount: float = 1.0) -> Tensor:
    """Discounted returns: G_t = r_t + discount * G_(t+1), (B, T); 0 outside the mask.

    Sutton and Barto, Reinforcement Learning, equation 3.9, for an episode that ends with its
    sequence.
    """
    value, out = torch.zeros_like(rewards[:, 0]), []
    for reward in (rewards * mask).flip(1).unbind(1):
        value = reward + discount * value
        out.append(value)
    return torch.stack(out[::-1], 1) * mask


def leave_one_out(values: Tensor, mask: Tensor) -> Tensor:
    """Leave-one-out baseline (B, T): for each token the mean of the *other* sequences' values at
    its position, over all ranks; 0 where there are none.

    It leaves the gradient's expectation unchanged, which a mean including the sequence itself would
    shrink by 1/B (Kool et al. 2019, "Buy 4 REINFORCE samples, get a baseline for free").
    """
    masked = values * mask
    total, count = all_sum(torch.stack([masked.sum(0), mask.to(values).sum(0)])).unbind()  # (T,) each
    return (total - masked) / (count - mask.to(values)).clamp(min=1) * mask


def group_scaled(values: Tensor, mask: Tensor, floor: float = 1e-6) -> Tensor:
    """Values standardised by mean and standard deviation over all tokens of the mask and all ranks:
    (B, T), 0 outside it.

    Shao et al. 2024 (GRPO, arXiv:2402.03300), section 4.1.2, with the batch as the group. Values
    that differ by less than `floor` become 0.
    """
    # In float64: in float32 the difference of squares loses deviations of a thousandth of the mean.
    x, weights = values.double(), mask.double()
    count, total, squares = all_sum(torch.stack([weights.sum(), (x * weights).sum(), (x.square() * weights).sum()]))
    mean = total / count.clamp(min=1)
    deviation = (squares / count.clamp(min=1) - mean.square()).clamp(min=0).sqrt()
    return (torch.where(deviation > floor, (x - mean) / deviation.clamp(min=floor), 0.0) * weights).to(values)


def policy_gradient(log_probs: Tensor, advantages: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """REINFORCE as a term (sum, count): -sum(advantage * log p) over the tokens of the mask, and
    their number.

    Williams 1992; SeqGAN (arXiv:1609.05473), equation 6. Advantages are detached.
    """
    return -(log_probs * advantages.detach() * mask).sum(), mask.sum()


def kl_divergence(logits: Tensor, reference: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """KL(policy || reference) of the next token, in nats, summed over the tokens of the mask, and
    their number.

    Exact in each sampled state. logits, reference: (B, T, V).
    """
    p, q = at_least_float32(logits).log_softmax(-1), at_least_float32(reference.detach()).log_softmax(-1)
    return ((p.exp() * (p - q)).sum(-1) * mask).sum(), mask.sum()
