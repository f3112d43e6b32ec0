"""Derived files, which are committed: `python -m multigen.catalogue --write` writes them in a
checkout.

The modules of `multigen/recipes/` are whole files. Elsewhere the text between two markers is
replaced: the table of methods in README.md, those in docs/index.md, the navigation in mkdocs.yml,
and the lazy names of each modality's package.
"""

import ast
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from multigen.catalogue import METHODS, MODALITIES, PACKAGE, TASKS, Method

__all__ = ["derived", "main"]

KINDS = ("synthesis", "restoration", "translation")
TUTORIALS = {"image": "tutorials/pictures.md", "text": "tutorials/texts.md", "audio": "tutorials/sounds.md"}
"""Modality -> tutorial from a user's folder to a model."""
MARKED = re.compile(
    r"(?P<begin>^ *(?:<!--|#) catalogue: (?P<key>[\w-]+)(?: -->)?\n)(?P<old>.*?)(?P<end>^ *(?:<!--|#) end(?: -->)?$)",
    re.M | re.S,
)
RECIPE = """\
\"\"\"`python -m multigen.recipes.{name} [PRESET] [FLAGS]` trains this method.\"\"\"

{imports}

__all__ = ["PRESETS", "TRAINER"]

TRAINER = {trainer}

if __name__ == "__main__":
    main(TRAINER, PRESETS)
"""


def main() -> None:
    """Runs `python -m multigen.catalogue --write`."""
    if sys.argv[1:] != ["--write"]:
        sys.exit("error: expected --write: python -m multigen.catalogue --write")
    root = PACKAGE.parent
    if not (root / "mkdocs.yml").is_file():
        sys.exit(f"error: {root} is no checkout of the repository; run this in one, with README.md and docs/")
    written = 0
    for path, text in derived(root).items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{path.relative_to(root)} written\n")
            written += 1
    sys.stdout.write(f"{written} files written\n" if written else "all files are up to date\n")


def derived(root: Path) -> dict[Path, str]:
    """Derived file -> its text. Raises ValueError for markers that are unknown or not closed."""
    pages = {
        "README.md": {"methods": matrix("docs/")},
        "docs/index.md": {task: methods_table(task) for task in TASKS},
        "mkdocs.yml": {"methods": navigation()},
        **{
            f"multigen/{name}/__init__.py": {"methods": names(name)}
            for name in sorted({m.package for m in METHODS.values()})
        },
    }
    texts = {root / name: filled(root / name, blocks) for name, blocks in pages.items()}
    return texts | {root / f"multigen/recipes/{m.name}.py": recipe(m) for m in METHODS.values()}


def filled(path: Path, blocks: Mapping[str, str]) -> str:
    """The text of a file with `blocks` between their markers. Raises ValueError for unknown, open
    or missing markers."""
    text = path.read_text(encoding="utf-8")

    def block(found: re.Match[str]) -> str:
        if found["key"] not in blocks or "catalogue: " in found["old"]:
            raise ValueError(
                f"{path}: marker 'catalogue: {found['key']}': expected {', '.join(blocks)}, closed by 'end'"
            )
        return f"{found['begin']}{blocks[found['key']]}\n{found['end']}"

    text, count = MARKED.subn(block, text)
    if not count or count != text.count("catalogue: "):
        raise ValueError(
            f"{path}: {count} parts between markers 'catalogue: KEY' and 'end'; expected one at least, all closed"
        )
    return text


# ---------------------------------------------------------------------------------------------------- Python


def recipe(method: Method) -> str:
    """The text of multigen/recipes/NAME.py."""
    _, trainer = classes(method)
    imports = sorted([f"from {method.module} import PRESETS, {trainer}", "from multigen.runs.runner import main"])
    return RECIPE.format(name=method.name, module=method.module, imports="\n".join(imports), trainer=trainer)


def names(package: str) -> str:
    """The public names of a package, for readers and type checkers;
    `multigen.catalogue.lazy` imports them."""
    result = {method.module: classes(method) for method in METHODS.values() if method.package == package}
    imports = [f"    from {module} import {', '.join(result[module])}" for module in sorted(result)]
    public = [f'    "{name}",' for name in sorted(name for pair in result.values() for name in pair)]
    return "\n".join(["if TYPE_CHECKING:", *imports, "", "__all__ = [", *public, "]"])


def classes(method: Method) -> tuple[str, str]:
    """The names of a method's configuration and of its trainer."""
    result = [node.name for node in method.source.body if isinstance(node, ast.ClassDef)]
    (config,), (trainer,) = ([name for name in result if name.endswith(end)] for end in ("Config", "Trainer"))
    return config, trainer


# ---------------------------------------------------------------------------------------------------- documentation


def matrix(docs: str) -> str:
    """One row per modality, one column per kind of task: what the models do, and the methods.
    `docs`: path of docs/."""
    kinds = [kind for kind in KINDS if any(TASKS[m.task].kind == kind for m in METHODS.values())]
    rows = []
    for modality in MODALITIES.values():
        cells = [f"[{modality.title}]({docs}{TUTORIALS[modality.name]})"]
        for kind in kinds:
            tasks = [task for task in TASKS.values() if (task.modality, task.kind) == (modality.name, kind)]
            tasks = [task for task in tasks if any(method.task == task.name for method in METHODS.values())]
            cells.append("; ".join(f"{task.does}: {links(task.name, docs)}" for task in tasks))
        rows.append(f"| {' | '.join(cells)} |")
    head = [f"| | {' | '.join(kinds)} |", "|---" * (len(kinds) + 1) + "|"]
    return "\n".join([*head, *rows])


def links(task: str, docs: str) -> str:
    """The methods of a task, each with a link to its page."""
    return ", ".join(f"[{method.title}]({docs}{method.page})" for method in METHODS.values() if method.task == task)


def methods_table(task: str) -> str:
    """One row per method of a task: its name on the command line, a link to its page, its
    description."""
    methods = [method for method in METHODS.values() if method.task == task]
    rows = [f"| `{m.name}` | [{m.title}]({m.page}): {m.about.partition(': ')[2]} |" for m in methods]
    return "\n".join(["| recipe | method |", "|---|---|", *rows])


def navigation() -> str:
    """The pages of each modality: its tutorial, its methods by kind of task, its part of the API
    reference."""
    lines = []
    for modality in MODALITIES.values():
        lines += [f"  - {modality.title}:", f"      - Tutorial: {TUTORIALS[modality.name]}"]
        for kind in KINDS:
            methods = [m for m in METHODS.values() if m.modality == modality.name and TASKS[m.task].kind == kind]
            lines += [f"      - {kind.capitalize()}:"] if methods else []
            lines += [f"          - {method.title}: {method.page}" for method in methods]
        lines.append(f"      - API: reference/{modality.title.lower()}.md")
    return "\n".join(lines)
