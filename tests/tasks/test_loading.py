"""Networks from the settings and weights of a model folder: damaged settings cost neither memory
nor a traceback."""

import resource
import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn

from multigen.errors import CheckpointError, ConfigError
from multigen.tasks.loading import load_network


def linear(width: int) -> nn.Module:
    layer = nn.Linear(3, width)
    nn.init.normal_(layer.weight, std=0.1)
    return layer


WEIGHTS = {name: t.clone() for name, t in linear(2).state_dict().items()}


def test_the_network_has_the_weights() -> None:
    result = load_network(lambda: linear(2), WEIGHTS, "m")
    assert not result.training
    for name, t in result.state_dict().items():
        assert torch.equal(t.cpu(), WEIGHTS[name])


def test_settings_of_too_large_a_network_take_no_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match=r"m: weight has shape \(2, 3\), expected \(1073741824, 3\)"):
        load_network(lambda: linear(1 << 30), WEIGHTS, "m")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 19  # KiB


@pytest.mark.parametrize("width", [-1, 10**30])
def test_settings_of_no_network_are_refused_in_one_line(width: int) -> None:
    with pytest.raises(CheckpointError, match=r"m: no network can be built from its settings .*again$") as result:
        load_network(lambda: linear(width), WEIGHTS, "m")
    assert "\n" not in str(result.value)


def test_an_error_of_ours_stays_as_it_is() -> None:
    def build() -> nn.Module:
        raise ConfigError("size 48: take 32")

    with pytest.raises(ConfigError, match="size 48: take 32"):
        load_network(build, WEIGHTS, "m")


def test_an_empty_layer_is_no_warning() -> None:
    with warnings.catch_warnings(), pytest.raises(CheckpointError):
        warnings.simplefilter("error")
        load_network(lambda: linear(0), WEIGHTS, "m")


@pytest.mark.slow
def test_planning_imports_nothing() -> None:
    code = "import sys, torch; from tests.tasks.test_loading import *; load_network(lambda: linear(2), WEIGHTS, 'm')"
    done = subprocess.run([sys.executable, "-c", f"{code}; assert 'sympy' not in sys.modules"], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
