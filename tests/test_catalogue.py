"""What the toolkit says that it has is what is there."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from multigen.catalogue import BENCHMARKS, DATA, METHODS, benchmarks
from multigen.cli.evaluate import NAMES as EVALUATED

ROOT = Path(__file__).resolve().parent.parent
MODALITIES = ("image", "text", "audio")


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_where_the_catalogue_says(name: str) -> None:
    method = METHODS[name]
    module = import_module(method.module)
    assert tuple(module.PRESETS) == method.presets
    assert callable(module.load_model)
    recipe = import_module(f"multigen.recipes.{name}")
    assert recipe.TRAINER.name == name and recipe.PRESETS is module.PRESETS
    assert recipe.TRAINER.noun == method.noun
    page = (ROOT / "docs" / "methods" / f"{name}.md").read_text(encoding="utf-8")
    years = re.findall(r"\d{4}", method.about) or re.findall(r"\d{4}", METHODS["wavegan"].about)
    assert all(year in page for year in years)


def test_every_file_with_a_trainer_is_a_method() -> None:
    files = [file for part in MODALITIES for file in (ROOT / "multigen" / part).rglob("*.py")]
    trainers = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files if "\nPRESETS = {" in file.read_text()
    }
    assert trainers == {method.module for method in METHODS.values()}
    pages = {file.stem for file in (ROOT / "docs" / "methods").glob("*.md")}
    assert set(METHODS) <= pages


def test_data_known_by_name_are_those_of_the_readers() -> None:
    from multigen.image.datasets import FETCH

    names = {data.name for data in DATA}
    assert len(names) == len(DATA)
    assert set(FETCH) == {data.name for data in DATA if data.downloaded and data.modality == "image"}
    assert EVALUATED == {"digits": "pictures", "mnist": "pictures", "cifar10": "pictures", "drums": "sounds"}
    assert {(data.modality, data.noun) for data in DATA} == {(m.modality, m.noun) for m in METHODS.values()}
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert [name for name in names if f"`{name}`" not in page and f"--data {name}`" not in page] == []


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
def test_what_is_trained_on_when_nothing_is_said_is_listed(method) -> None:
    data = import_module(method.module).PRESETS["laptop"].data.partition(":")[0]
    assert (data, method.modality) in {(known.name, known.modality) for known in DATA}


@pytest.mark.parametrize("data", [data for data in DATA if not data.downloaded], ids=lambda data: data.name)
def test_data_without_a_download_can_be_opened(data, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MULTIGEN_DATA", raising=False)
    if data.name.startswith("embedded"):
        from multigen.image.files import open_photos

        assert len(open_photos(data.name)) >= 2
    elif data.name == "digits":
        from multigen.image.datasets import open_images

        assert len(open_images(data.name, 8)) > 1000
    elif data.name == "drums":
        from multigen.audio.datasets import open_sounds

        monkeypatch.setattr("multigen.audio.datasets.DRUMS", {"train": (8, 0)})
        assert open_sounds(data.name, 8000, 256).classes != ()
    elif data.name == "fables":
        from multigen.text.files import open_texts

        assert len(open_texts("fables:3")) == 3
    else:
        from multigen.text.datasets import open_oracle
        from multigen.text.synthesis.seqgan import PRESETS

        assert data.name == "oracle" and open_oracle(PRESETS["paper"]).vocabulary > 0


def test_benchmarks_are_the_recipe_files() -> None:
    found = benchmarks()
    assert [Path(b.file) for b in found] == sorted((ROOT / "recipes").glob("*.toml")) and len(found) > 10
    for b in found:
        assert b.name == Path(b.file).stem and b.recipe in METHODS and b.preset in METHODS[b.recipe].presets
        assert len(b.about) > 5 and not b.about.startswith("#") and "\n" not in b.about
    gpu = next(b for b in found if b.name == "srgan-paper")
    assert (gpu.recipe, gpu.preset, gpu.needs) == ("srgan", "paper", "gpu")


def test_the_wheel_carries_the_benchmarks_where_they_are_sought() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]["recipes"] == "multigen/recipes/toml"
    assert BENCHMARKS == ROOT / "recipes"


def test_the_catalogue_needs_no_torch() -> None:
    code = "import sys, multigen.catalogue as c; assert c.benchmarks(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"torch", "numpy", "tyro", "rich"}.isdisjoint(done.stdout.split())
