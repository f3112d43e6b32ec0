"""`multigen train METHOD [PRESET]`: the same as `python -m multigen.recipes.METHOD [PRESET]`."""

from importlib import import_module

from multigen.catalogue import METHODS
from multigen.console import did_you_mean, if_slow, show
from multigen.errors import ConfigError

__all__ = ["run"]


def run(args: list[str]) -> None:
    """Trains a method, evaluates it, prints the table. Without a method, or with --help in its
    place, lists them."""
    if not args or args[0] in ("-h", "--help"):
        show(
            "usage: multigen train METHOD [PRESET] [options]    (multigen train METHOD --help lists a method's options)\n\n"
            "Trains and evaluates a method; the same as python -m multigen.recipes.METHOD.\n",
            lines=True,
        )
        width = max(map(len, METHODS))
        for method in METHODS.values():
            show(f"  {method.name:<{width}} {method.about.removesuffix('.')}; presets {', '.join(method.presets)}")
        return
    name, *rest = args
    if name not in METHODS:
        raise ConfigError(f"no method {name!r}; expected one of {', '.join(METHODS)}{did_you_mean(name, METHODS)}")

    with if_slow("loading PyTorch"):
        from multigen.runs.runner import train_by
        from multigen.tasks.loading import trainer_in

        module = import_module(METHODS[name].module)
    train_by(rest, trainer_in(module), module.PRESETS, f"multigen train {name}")
