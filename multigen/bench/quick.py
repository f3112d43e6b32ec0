"""Quick runs of a benchmark recipe: all that it does, at the size of its method's preset `tiny`, in about a minute.

The values that come of it say nothing of the method: there are few samples and hardly any training.
"""

import contextlib
import dataclasses
from typing import Any

from multigen.errors import ConfigError

__all__ = ["quick_config"]


def quick_config(config: Any, tiny: Any) -> Any:
    """`config` with no whole number larger than in `tiny` (steps, widths, samples), and the first of several test sets.

    What names data, networks or losses stays, so that each variant takes its own way through the code. So does a number that
    is 0 in `tiny`, which would leave something out, or too small for another setting.
    """
    if isinstance(test := vars(config).get("test"), tuple):
        config = dataclasses.replace(config, test=test[:1])
    for name, most in vars(tiny).items():
        if type(most) is int and 0 < most < getattr(config, name):
            with contextlib.suppress(ConfigError):
                config = dataclasses.replace(config, **{name: most})
    return config
