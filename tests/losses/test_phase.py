"""Phase losses: turns do not count, known differences, weights."""

import math

import pytest
import torch

from multigen.losses.phase import anti_wrapped, phase_errors


@pytest.mark.parametrize(
    ("difference", "error"),
    [(0, 0), (1, 1), (-1, 1), (math.pi, math.pi), (2 * math.pi, 0), (2 * math.pi - 0.5, 0.5), (-7 * math.pi, math.pi)],
)
def test_differences_of_angles_are_taken_the_short_way_round(difference: float, error: float) -> None:
    got = anti_wrapped(torch.tensor(difference, dtype=torch.float64))
    torch.testing.assert_close(got, torch.tensor(error, dtype=torch.float64), rtol=0, atol=1e-12)


def test_the_gradient_is_the_sign_of_the_short_way() -> None:
    x = torch.tensor([0.5, -0.5, 2 * math.pi - 0.5], requires_grad=True)
    anti_wrapped(x).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [1, -1, -1]


def test_whole_turns_anywhere_are_no_error() -> None:
    target = torch.rand(2, 5, 6, dtype=torch.float64) * 6 - 3
    turns = torch.randint(-3, 4, target.shape).double() * (2 * math.pi)
    assert max(float(error) for error in phase_errors(target + turns, target)) < 1e-12


def test_a_constant_is_an_error_of_the_phase_alone() -> None:
    target = torch.rand(2, 5, 6, dtype=torch.float64) * 6 - 3
    instantaneous, delay, frequency = phase_errors(target + 0.7, target)
    assert float(instantaneous) == pytest.approx(0.7) and float(delay) < 1e-12 and float(frequency) < 1e-12


def test_a_ramp_is_an_error_of_the_steps_in_its_direction() -> None:
    ramp = torch.arange(6, dtype=torch.float64) * 0.2
    target = torch.zeros(1, 6, 6, dtype=torch.float64)
    _, delay, frequency = phase_errors(target + ramp, target)  # over time
    assert float(delay) < 1e-12 and float(frequency) == pytest.approx(0.2)
    _, delay, frequency = phase_errors(target + ramp[:, None], target)  # over frequency
    assert float(delay) == pytest.approx(0.2) and float(frequency) < 1e-12


def test_what_weighs_nothing_does_not_count() -> None:
    target = torch.zeros(1, 4, 5, dtype=torch.float64)
    phase, weight = target.clone(), torch.ones_like(target)
    phase[:, 2], weight[:, 2] = 1.5, 0
    assert [float(error) for error in phase_errors(phase, target, weight)] == [0, 0, 0]
    assert [float(error) for error in phase_errors(phase, target, 0 * weight)] == [0, 0, 0]
    one = [float(error) for error in phase_errors(phase, target)]
    assert one == pytest.approx([1.5 / 4, 1.0, 0])
