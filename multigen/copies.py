"""A method and its recipe as one file of one's own: made by `copy_of`, imported by `import_code`."""

import importlib.util
import keyword
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from multigen import __version__
from multigen.catalogue import METHODS
from multigen.errors import CheckpointError, ConfigError
from multigen.uses import USES, loading

__all__ = ["check_name", "copy_of", "import_code"]

RUNNER = "from multigen.recipes.runner import main"


def copy_of(method: str, file: str) -> str:
    """The source of a method's file and its recipe as one module that is to be saved as `file`, e.g. "my_gan.py".

    Both texts stay as they are, comments and all, but for the trainer's name, the commands in the docstring, and the import of
    the recipe's runner. Raises ConfigError for an unknown method.
    """
    if method not in METHODS:
        raise ConfigError(f"no method {method!r}; expected one of {', '.join(METHODS)}")
    package, stem = Path(__file__).parent, Path(file).stem
    source = (package / METHODS[method].modality / f"{method}.py").read_text(encoding="utf-8")
    recipe = (package / "recipes" / f"{method}.py").read_text(encoding="utf-8")
    source = source.replace(f"python -m multigen.recipes.{method} ", f"python {file} ")
    source = source.replace(f'    name = "{method}"\n', f'    name = "{stem}"\n')
    ending = recipe[recipe.index("TRAINER = ") :]
    return f"{_header(method, file)}\n{_with_runner(source)}\n\n{ending}"


def _header(method: str, file: str) -> str:
    stem, use = Path(file).stem, USES[METHODS[method].noun]
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
    if name in sys.stdlib_module_names or name == __package__:
        return True
    found = PathFinder.find_spec(name, [place for place in sys.path if place and Path(place).resolve() != Path.cwd()])
    return found is not None and bool(found.origin)  # without one it is a mere folder, which hides nothing


def import_code(path: str, method: str = "") -> ModuleType:
    """The module of a file that trained a model, and that has its `load_model`. Running the file's code is what this does: it is
    for files that the user names, never for what a model folder names.

    Args:
        method: the name of the trainer that made the model; "": any.

    Raises ConfigError for a file that cannot be imported or lacks `load_model`, CheckpointError for another trainer's.
    """
    module = _imported(Path(path).resolve(), path)
    if not hasattr(module, "load_model"):
        raise ConfigError(f"{path} has no load_model; give the file that trained the model, made by multigen cp")
    name = getattr(getattr(module, "TRAINER", None), "name", method)
    if method and name != method:
        raise CheckpointError(f"{path} trains {name!r}, but the model was made by {method!r}; give the file of that")
    return module


def _imported(path: Path, called: str) -> ModuleType:
    """Meanwhile the file's folder is searched for other modules, as when it is run."""
    if not path.is_file() or path.suffix != ".py":
        raise ConfigError(f"{called}: no such Python file; expected the one that trained the model, e.g. my_gan.py")
    spec = importlib.util.spec_from_file_location(f"multigen_code_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for the names of annotations
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[spec.name]
        told = " ".join(str(error).split())
        raise ConfigError(f"{called} cannot be imported ({type(error).__name__}: {told}); mend it") from error
    finally:
        sys.path.remove(str(path.parent))
    return module
