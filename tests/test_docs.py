"""The documentation: its links, its place in the site's table of contents, and the method that a
tutorial adds."""

import functools
import importlib
import importlib.util
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import multigen
from multigen.catalogue import METHODS as METHODS_KNOWN
from multigen.engine import Callback, Run
from multigen.tasks.loading import trainer_in
from tests.readme_blocks import find_blocks
from tests.tiny import photos, python

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
METHODS = sorted((ROOT / "docs" / "methods").rglob("*.md"))
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))

# ---------------------------------------------------------------------------------------------------- links


def prose(page: Path) -> str:
    """The page without its code blocks and code spans, which hold brackets of another kind."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.sub(r"`[^`\n]+`", "", "\n".join(line for line in text.splitlines() if not line.startswith("    ")))


@functools.cache
def anchors(page: Path) -> set[str]:
    """The anchors that a code host, and the site, give the headings of a page."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    result: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.M):
        name = re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", heading).lower()).strip().replace(" ", "-")
        while name in result:
            name = f"{name}-1"
        result.add(name)
    return result


def broken_links(page: Path, root: Path) -> list[str]:
    """One line for each link of a page, relative to it, that leads nowhere; from docs/ none may
    lead out of it."""
    faults = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        where = f"{page.relative_to(root)}: {link}"
        if not target.exists():
            faults.append(f"{where}: there is no {path}")
        elif page.is_relative_to(root / "docs") and not target.is_relative_to(root / "docs"):
            faults.append(f"{where}: leads out of docs/, which the site is built from; write the path as code")
        elif anchor and (target.suffix != ".md" or anchor not in anchors(target)):
            faults.append(f"{where}: {path or page.name} has no heading {anchor}")
    return faults


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page, ROOT) == []


def test_broken_links_are_found(tmp_path: Path) -> None:
    root = tmp_path.resolve()
    (root / "docs").mkdir()
    (root / "LICENSE").write_text("free")
    page, other = root / "docs" / "page.md", root / "docs" / "other.md"
    other.write_text("# Other\n\n## One, two `three`\n\n## One\n\n## One\n")
    page.write_text(
        "# Page\n\n[a](other.md) [b](other.md#one-two-three) [c](#page) [d](other.md#one-1) [e](https://example.com/x)\n"
        "`[f](none.md)` [g](none.md)\n    [h](none.md)\n[i](other.md#two) [j](../LICENSE) ![k](none.png)\n"
    )
    result = [fault.partition(": ")[2].partition(":")[0] for fault in broken_links(page, root)]
    assert result == ["none.md", "other.md#two", "../LICENSE", "none.png"]


def test_every_page_is_in_the_table_of_contents_once() -> None:
    listed = re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.M)
    there = [page.relative_to(ROOT / "docs").as_posix() for page in PAGES if page.name != "README.md"]
    there = [name for name in there if not name.startswith("results/")]  # `not_in_nav`: results.md links to them
    assert len(there) > 15
    assert sorted(listed) == sorted(there)


@pytest.mark.parametrize("page", METHODS, ids=lambda page: page.stem)
def test_method_pages_have_one_outline(page: Path) -> None:
    headings = re.findall(r"^## (.+)$", page.read_text(encoding="utf-8"), re.M)
    assert headings == [
        "Paper", "What it optimises", "What differs here, and why", "Our numbers beside the published", "Use",
    ]  # fmt: skip


def figures(name: str) -> set[str]:
    """Every number of a result as a page may print it, and its seconds of training, in all and by
    run."""
    content = json.loads((ROOT / "recipes" / "results" / f"{name}.json").read_text(encoding="utf-8"))
    values = [v for row in content["rows"].values() for v in row.values() if v is not None]
    seconds = [content["seconds"] / runs for runs in (1, 2, 3)]
    return {
        f"{abs(v):,.{digits}f}".replace(",", comma) for v in values for digits in range(5) for comma in ("", ",")
    } | {f"{s:.0f}" for s in seconds}


def result_rows(page: Path) -> Iterator[list[str]]:
    """The cells behind the first of each row in the tables below "Results"."""
    text = re.split(r"^## ", page.read_text(encoding="utf-8").split("### Results\n")[1], flags=re.M)[0]
    for table in re.findall(r"(?:^\|.*\n)+", text, re.M):
        for line in table.splitlines()[2:]:
            yield line.strip("|").split("|")[1:]


@pytest.mark.parametrize("page", METHODS, ids=lambda page: page.stem)
def test_our_numbers_are_those_of_the_results_that_a_page_names(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`(?:multigen bench )?(?:recipes/)?([\w*-]+)\.toml`", text))
    paths = [path for pattern in named for path in (ROOT / "recipes" / "results").glob(f"{pattern}.json")]
    names = {path.stem for path in paths if json.loads(path.read_text(encoding="utf-8"))["status"] == "ok"}
    assert paths
    if not names:
        assert "not been run" in " ".join(text.split()) and not [*result_rows(page)], "nothing was measured"
        return
    known = set().union(*map(figures, names))
    numbers = [n for row in result_rows(page) for cell in row for n in re.findall(r"\d[\d,]*(?:\.\d+)?", cell)]
    assert len(numbers) > 9
    assert [n for n in numbers if n not in known] == []


@pytest.mark.parametrize("page", METHODS, ids=lambda page: page.stem)
def test_tables_of_presets_have_todays_steps(page: Path) -> None:
    recipe = importlib.import_module(f"multigen.recipes.{page.stem}")
    table = page.read_text(encoding="utf-8").split("### Presets\n\n")[1].split("\n\n")[0].splitlines()
    columns = list(zip(*[line.strip("|").split("|") for line in table], strict=True))[1:]
    assert [column[0].strip() for column in columns] == [f"`{name}`" for name in recipe.PRESETS]
    for column, preset in zip(columns, recipe.PRESETS.values(), strict=True):
        numbers = re.findall(r"[\d,]*\d", "\n".join(column))
        steps = [f"{getattr(preset, name):,}" for name in recipe.TRAINER.budget]
        assert set(steps) <= set(numbers), column[0]


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_pages_say_of_each_block_whether_it_is_run(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(find_blocks(text)) == text.count("```bash\n") + text.count("```python\n")


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="needs the extra docs: pip install -e '.[docs]'")
    pytest.importorskip("material", reason="needs the extra docs: pip install -e '.[docs]'")
    pytest.importorskip("mkdocstrings", reason="needs the extra docs: pip install -e '.[docs]'")
    words = ["-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path]
    done = python(*words, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    assert done.returncode == 0, done.stderr
    pages = sorted(tmp_path.rglob("*.html"))
    assert len(pages) > len(PAGES) - 2
    for page in pages:
        tags = re.findall(r"<(?:link|script|img|iframe|source|audio|video)\b[^>]*>", page.read_text(encoding="utf-8"))
        assert [tag for tag in tags if re.search(r"""(?:src|href)=["']?(?:https?:)?//""", tag)] == []


# ---------------------------------------------------------------------------------------------------- public names


def documented(text: str) -> dict[str, list[str]]:
    """Package -> the names that docs/reference/public.md lists between its markers."""
    parts = re.findall(r"^<!-- names: ([\w.]+) -->\n(.*?)^<!-- end -->$", text, re.M | re.S)
    return {package: re.findall(r"^\| `(\w+)` \|", table, re.M) for package, table in parts}


def test_public_names_are_those_of_their_page() -> None:
    result = documented((ROOT / "docs" / "reference" / "public.md").read_text(encoding="utf-8"))
    tasks = {method.module.rpartition(".")[0] for method in METHODS_KNOWN.values()}
    assert result.keys() == {"multigen", "multigen.engine", "multigen.losses", *tasks}
    for package, names in result.items():
        assert sorted(names) == sorted(importlib.import_module(package).__all__), package


@pytest.mark.parametrize("part", sorted({method.package for method in METHODS_KNOWN.values()}))
def test_a_package_offers_the_configurations_and_trainers_of_its_methods(part: str) -> None:
    package = importlib.import_module(f"multigen.{part}")
    methods = [importlib.import_module(m.module) for m in METHODS_KNOWN.values() if m.package == part]
    pairs = [trainer_in(method) for method in methods]
    assert methods and sorted(package.__all__) == sorted(
        name for trainer in pairs for name in (trainer.__name__, trainer.__name__.replace("Trainer", "Config"))
    )


# ---------------------------------------------------------------------------------------------------- the new method


@pytest.fixture
def ralsgan(tmp_path: Path) -> Iterator[ModuleType]:
    """The module that docs/tutorials/new_method.md has its reader type."""
    blocks = find_blocks((ROOT / "docs" / "tutorials" / "new_method.md").read_text(encoding="utf-8"))
    (code,) = [block.code for block in blocks if block.file == "ralsgan.py"]
    path = tmp_path / "ralsgan.py"
    path.write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("ralsgan", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules["ralsgan"] = importlib.util.module_from_spec(spec)  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["ralsgan"]


class PowerCut(Callback):
    def on_step(self, trainer: Any) -> None:
        if trainer.step == 3:
            raise KeyboardInterrupt


def fit(ralsgan: ModuleType, out: Path, *callbacks: Callback, resume: str = "", data: str = "digits") -> Any:
    config = replace(
        ralsgan.PRESETS["tiny"], data=data, size=16, batch=4, steps=5, samples=40, labels="none", validation_size=0
    )
    run = Run(device="cpu", precision="fp32", save_every=2, log_every=1, out="" if resume else str(out), resume=resume)
    return ralsgan.RaLSGANTrainer(config, run, callbacks).fit()


def test_the_method_of_the_tutorial_trains_resumes_and_samples(ralsgan: ModuleType, tmp_path: Path) -> None:
    whole = fit(ralsgan, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(ralsgan, tmp_path / "cut", PowerCut())
    fit(ralsgan, tmp_path / "cut", resume=str(tmp_path / "cut"))
    for name in ("G", "D"):
        weights = [
            load_file(tmp_path / run / f"checkpoints/step-000000005/{name}.safetensors") for run in ("whole", "cut")
        ]
        start = load_file(tmp_path / "whole" / f"checkpoints/step-000000004/{name}.safetensors")
        assert all(torch.equal(t, weights[1][key]) for key, t in weights[0].items())
        assert any(not torch.equal(t, start[key]) for key, t in weights[0].items())
    sampler = multigen.load(str(tmp_path / "whole"), code=str(tmp_path / "ralsgan.py"))
    with whole.inference() as nets:
        expected = whole.sampler_of(nets["G"]).sample(6, seed=1)
    assert torch.equal(sampler.sample(6, seed=1), expected)
    assert expected.shape == (6, 1, 16, 16)


def test_the_losses_of_the_tutorial_are_the_papers(ralsgan: ModuleType) -> None:
    """At D = 3 for real images and 5 for samples: (3 - 5 - 1)^2 + (5 - 3 + 1)^2, and (5 - 3 - 1)^2
    + (3 - 5 + 1)^2."""
    made = ralsgan.RaLSGANTrainer(ralsgan.PRESETS["tiny"])
    real, fake = torch.zeros(4, 1), torch.ones(4, 1)
    made.D = lambda image, label: 3 + 2 * image[:, 0]
    made.pairs, made.fakes = lambda batch, step: (real, fake, None), lambda batch, step: (fake, None)
    made.reals = lambda batch, step: real
    result = {"d": made.discriminator_loss({}, None), "g": made.generator_loss({}, None)}
    assert {k: terms["adversarial"].item() for k, terms in result.items()} == pytest.approx({"d": 18.0, "g": 2.0})


@pytest.mark.slow
def test_the_method_of_the_tutorial_is_evaluated(ralsgan: ModuleType, tmp_path: Path) -> None:
    result = fit(ralsgan, tmp_path / "run", data=str(photos(tmp_path / "photos", count=24))).evaluate()
    assert set(result.rows) == {"real", "adversarial/last"}
    assert result.rows["adversarial/last"]["fd_efficientnet_lite0"] > result.rows["real"]["fd_efficientnet_lite0"]
