"""`multigen cp METHOD FILE.py`: a method and its recipe as one file of one's own, to be changed and run anywhere."""

import keyword
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Annotated

import tyro

from multigen.catalogue import METHODS, TASKS, loading
from multigen.errors import ConfigError
from multigen.runs.options import cli
from multigen.version import __version__

__all__ = ["check_name", "copy_of", "run"]


def run(args: list[str]) -> None:
    """Copies a method."""

    def cp(
        method: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="METHOD")],
        file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE.py")],
    ) -> None:
        """Writes a method and its recipe as one file of your own, which runs wherever multigen is installed: python FILE.py tiny.

        Args:
            method: The method, such as dcgan.
            file: The new file, such as my_gan.py; its name becomes that of the method.
        """
        text = copy_of(method, file.name)
        check_name(file)
        try:
            with file.open("x", encoding="utf-8") as opened:
                opened.write(text)
        except FileExistsError as error:
            raise ConfigError(
                f"{file} exists, and is not overwritten; give another name, or remove it first"
            ) from error
        except OSError as error:
            raise ConfigError(f"{file} cannot be written ({error.strerror}); give a file elsewhere") from error
        print(f"{file}: {method} and its recipe, yours to change; train it: python {file} tiny")

    cli(cp, "multigen cp", args)


RUNNER = "from multigen.runs.runner import main"


def copy_of(method: str, file: str) -> str:
    """The source of a method's file and its recipe as one module that is to be saved as `file`, e.g. "my_gan.py".

    Both texts stay as they are, comments and all, but for the trainer's name, the commands in the docstring, and the import of
    the recipe's runner. Raises ConfigError for an unknown method.
    """
    if method not in METHODS:
        raise ConfigError(f"no method {method!r}; expected one of {', '.join(METHODS)}")
    package, stem = Path(__file__).parents[1], Path(file).stem
    source = (package / METHODS[method].file).read_text(encoding="utf-8")
    recipe = (package / "recipes" / f"{method}.py").read_text(encoding="utf-8")
    source = source.replace(f"python -m multigen.recipes.{method} ", f"python {file} ")
    source = source.replace(f'    name = "{method}"\n', f'    name = "{stem}"\n')
    ending = recipe[recipe.index("TRAINER = ") :]
    return f"{_header(method, file)}\n{_with_runner(source)}\n\n{ending}"


def _header(method: str, file: str) -> str:
    stem, use = Path(file).stem, TASKS[METHODS[method].task]
    lines = {
        f"python {file} tiny --out runs/{stem}": "train; other presets and all flags: --help",
        f"torchrun --nproc-per-node 2 {file} tiny": "the same in two processes",
        f"python {file} --resume runs/{stem}": "go on where it was stopped",
        use.shell(f"runs/{stem}", file): "use what was trained",
        loading(f"runs/{stem}", file): "the same in Python",
        use.python: use.gives,
    }
    width = max(map(len, lines))
    said = "".join(f"#   {command:<{width}}   # {what}\n" for command, what in lines.items())
    return f"# Copied from {method} of multigen {__version__} with its recipe; yours to change.\n#\n{said}"


def _with_runner(source: str) -> str:
    """The source with the import of the recipe's runner at its place in the order of imports."""
    lines = source.splitlines(keepends=True)
    ours = [i for i, line in enumerate(lines) if line.startswith("from multigen.")]
    later = [i for i in ours if lines[i] > RUNNER]
    lines.insert(later[0] if later else ours[-1] + 1, f"{RUNNER}\n")
    return "".join(lines)


def check_name(path: Path) -> None:
    """Raises ConfigError for a file that cannot be a module of one's own: its name is none, or is another's."""
    stem = path.stem
    if path.suffix != ".py" or not stem.isidentifier() or keyword.iskeyword(stem):
        why = "is no name of a module"
    elif stem in METHODS:
        why = "has the name of a method of multigen, and what it trains would be taken for that"
    elif _is_module(stem):
        why = f"would hide the module {stem} from Python when it is run"
    else:
        return
    raise ConfigError(f"{path} {why}; expected letters, digits and _ such as my_gan.py, and no known name")


def _is_module(name: str) -> bool:
    """Whether `import name` finds a module, those in the present folder apart, where multigen itself may lie."""
    if name in sys.stdlib_module_names or name == "multigen":
        return True
    found = PathFinder.find_spec(name, [place for place in sys.path if place and Path(place).resolve() != Path.cwd()])
    return found is not None and bool(found.origin)  # without one it is a mere folder, which hides nothing
