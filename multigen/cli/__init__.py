"""The `multigen` command: one small file a verb. A verb's modules are imported when it is called."""

import sys
from importlib import import_module

from multigen.errors import ConfigError, exit_code

__all__ = ["main"]

VERBS = {
    "bench": "run a benchmark recipe and check what it reaches: multigen bench recipes/NAME.toml",
    "evaluate": "compare generated pictures or sounds with real ones: multigen evaluate --real DIR --fake DIR",
    "export": "write a trained generator as ONNX: multigen export RUN --out FILE.onnx",
    "interpolate": "animate pictures that turn into each other: multigen interpolate --model RUN --out walk.gif",
    "sample": "make pictures or sounds with a trained generator: multigen sample --model RUN -n 64",
    "upscale": "enlarge pictures with a trained model: multigen upscale IN... --model RUN --out DIR",
    "write": 'write texts with a trained model: multigen write --model RUN --prompt "The old fox"',
}


def main() -> None:
    """Runs `multigen VERB ...`."""
    raise SystemExit(exit_code(lambda: _run(sys.argv[1:])))


def _run(args: list[str]) -> None:
    from multigen import __version__

    if not args or args[0] in ("-h", "--help"):
        print("usage: multigen VERB ...    (multigen VERB --help says more)\n")
        for verb, what in VERBS.items():
            print(f"  {verb:<11} {what}")
        print("\nMethods are trained by recipes: python -m multigen.recipes.srgan --help")
    elif args[0] == "--version":
        print(__version__)
    elif args[0] in VERBS:
        import_module(f"multigen.cli.{args[0]}").run(args[1:])
    else:
        raise ConfigError(f"no verb {args[0]!r}; expected one of {', '.join(VERBS)}")
