"""The `multigen` command: one file per verb, and shared parts. A verb's modules are imported when
it is called."""

import sys
from contextlib import nullcontext
from importlib import import_module

from multigen.console import did_you_mean, exit_code, if_slow, show
from multigen.errors import ConfigError

__all__ = ["main"]

VERBS = {
    "bench": "run a benchmark recipe and check what it reaches: multigen bench digits-dcgan",
    "compare": "compare runs side by side, settings, curves, figures and samples: multigen compare RUN RUN",
    "completion": "print a shell's completion script: multigen completion bash",
    "cp": "copy a method to a file of your own: multigen cp dcgan my_gan.py",
    "doctor": "show versions, devices and folders, and what is missing: multigen doctor",
    "edit": "edit samples of a generator, or images, along its directions: multigen edit --model RUN --out DIR",
    "evaluate": "compare generated images or sounds with real ones: multigen evaluate --real DIR --fake DIR",
    "export": "write a trained network as ONNX: multigen export --model RUN --out FILE.onnx",
    "import": "weights of another project as a model folder: multigen import FILE.pth",
    "inspect": "describe a folder of data and how to train on it: multigen inspect DATA",
    "interpolate": "animate latent interpolation as a loop: multigen interpolate --model RUN --out walk.gif",
    "ls": "list methods with their presets, data and benchmark recipes: multigen ls",
    "report": "write a run's report.html again, also for an unfinished run: multigen report RUN",
    "restore": "restore images with a trained model: multigen restore IN... --model RUN --out DIR",
    "sample": "generate images or sounds with a trained model: multigen sample --model RUN -n 64",
    "train": "train and evaluate a method: multigen train dcgan laptop",
    "translate": "translate images to another domain: multigen translate IN... --model RUN --out DIR",
    "upscale": "enlarge images with a trained model: multigen upscale IN... --model RUN --out DIR",
    "write": 'write texts with a trained model: multigen write --model RUN --prompt "The old fox"',
}

LESS = {
    "bench": "lower batch in the recipe, or give it accumulate",
    "compare": "compare fewer runs",
    "edit": "lower -n or --count, or give fewer images",
    "evaluate": "lower --size (sounds: --rate or --length), or give fewer files",
    "inspect": "inspect a part of the data",
    "interpolate": "lower -n or --frames",
    "restore": "lower --tile, or cut the images into parts",
    "sample": "lower -n",
    "train": "lower --batch, or raise --accumulate; a smaller --size, --length or --width needs less too",
    "translate": "give a --tile, such as 512, or cut the images into parts",
    "upscale": "lower --tile, or cut the images into parts",
    "write": "lower -n or --length",
}
"""Verb -> remedy where memory is short, if any option needs less."""

OTHERS = {
    **dict.fromkeys(("help", "-help", "?"), "multigen --help"),
    **dict.fromkeys(("list", "methods", "models"), "multigen ls"),
    **dict.fromkeys(("version", "-v", "--v", "-version"), "multigen --version"),
    **dict.fromkeys(("fit", "run"), "multigen train METHOD"),
    **dict.fromkeys(
        ("generate", "gen"), "multigen sample --model RUN (images, sounds) or multigen write --model RUN (texts)"
    ),
    **dict.fromkeys(("eval", "test"), "multigen evaluate --real DIR --fake DIR"),
    **dict.fromkeys(("denoise", "inpaint", "deblur", "enhance"), "multigen restore IN... --model RUN --out DIR"),
    **dict.fromkeys(("enlarge", "superres", "super-resolution"), "multigen upscale IN... --out DIR"),
    **dict.fromkeys(("colourise", "colorize", "convert", "stylize"), "multigen translate IN... --model RUN --out DIR"),
    "resume": "multigen train METHOD --resume RUN",
}
"""Words of other tools -> the command here."""

CODES = """\
  --version        print the version
  --traceback      anywhere on the line: show the traceback of an error
  --quiet          anywhere on the line: print only results and errors
  --log-file FILE  anywhere on the line: also append messages to FILE

exit codes:
  0    done
  1    a check of a benchmark recipe failed; the installation is broken (doctor);
       or a bug in multigen, with a traceback
  2    invalid input: the message says which, and how to fix it
  130  stopped by Ctrl-C; 143 by SIGTERM; 129 by a closed window; a training run
       saves a checkpoint
  141  broken pipe: the reader of the output closed it"""


def main() -> None:
    """Runs `multigen VERB ...`."""
    less = next((LESS[word] for word in sys.argv[1:] if word in LESS), "")
    raise SystemExit(exit_code(lambda: _run(sys.argv[1:]), less))


def _run(args: list[str]) -> None:
    from multigen.version import __version__

    if not args or args[0] in ("-h", "--help"):
        show("usage: multigen VERB ...    (multigen VERB --help says more)\n", lines=True)
        for verb, what in VERBS.items():
            show(f"  {verb:<11} {what}")
        show(f"\n{CODES}", lines=True)
    elif args[0] == "--version":
        show(__version__)
    elif args[0] in VERBS:
        with if_slow(f"multigen {args[0]} is at work") if args[0] not in ("train", "bench") else nullcontext():
            import_module(f"multigen.cli.{args[0]}").run(args[1:])
    else:
        from multigen.catalogue import METHODS

        line = OTHERS.get(args[0].lower(), f"multigen train {args[0].lower()}" if args[0].lower() in METHODS else "")
        expected = f"; did you mean: {line}" if line else did_you_mean(args[0], VERBS)
        raise ConfigError(f"no verb {args[0]!r}; expected one of {', '.join(VERBS)}{expected}")
