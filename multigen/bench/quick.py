"""Smoke-test settings: shrink a benchmark to about a minute, at the size of its method's preset
`tiny`, while exercising every code path.

The resulting metrics are meaningless: there are few samples and hardly any training.
"""

import contextlib
import dataclasses
from typing import Any

from multigen.errors import ConfigError

__all__ = ["quick_config"]


def quick_config(config: Any, tiny: Any) -> Any:
    """`config` with no integer larger than in `tiny` (steps, widths, samples), and only the first
    test set.

    Names of data, networks and losses are unchanged, so that each variant takes its own code path.
    So is a number that is 0 in `tiny`, which would disable something, or that would be too small
    for another setting.
    """
    if isinstance(test := vars(config).get("test"), tuple):
        config = dataclasses.replace(config, test=test[:1])
    for name, most in vars(tiny).items():
        if type(most) is int and 0 < most < getattr(config, name):
            with contextlib.suppress(ConfigError):
                config = dataclasses.replace(config, **{name: most})
    return config
