"""What all tests share."""

import copy
import functools
import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Before torch is imported, and inherited by the commands that tests start: more threads than this gain the small
# networks of the tests nothing, and each core has a worker of its own.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Processes that tests start find `tests` here, and not the package of that name which torch-fidelity installs.
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")))
)

MOST_WORKERS = 4  # each takes 1 to 2 GB, and imports for itself


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-extras",
        action="store_true",
        help="a test whose optional package is not installed fails; without, it is skipped",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--require-extras"):
        pytest.importorskip = _required(pytest.importorskip)


def _required(importorskip: Any) -> Any:
    """`importorskip` that fails where it would skip."""

    def required(name: str, *arguments: Any, **options: Any) -> Any:
        try:
            return importorskip(name, *arguments, **options)
        except pytest.skip.Exception as missing:
            pytest.fail(f"--require-extras: {missing}", pytrace=False)

    return required


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Workers of `-n auto`: one for each processor; none for single files, which are done before
    workers have started."""
    if any(Path(name.partition("::")[0]).is_file() for name in config.option.file_or_dir):
        return 0
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(processors, MOST_WORKERS)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that import transformers come first, so that one worker of two has them all: the import
    takes seconds."""
    first, here = {"text", "tasks", "compatibility"}, Path(__file__).parent
    items.sort(key=lambda item: not (item.path.is_relative_to(here) and item.path.relative_to(here).parts[0] in first))


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is there now stays: the garbage collector need not look through torch and thousands of
    tests again and again."""
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


@pytest.fixture(scope="session", autouse=True)
def unflushed() -> Iterator[None]:
    """Waiting for the disk would take most of the time of runs that last less than a second."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("fsync", "fdatasync"):
            patch.setattr(os, name, lambda handle: None, raising=False)
        yield


@pytest.fixture(scope="session", autouse=True)
def loaded_once() -> Iterator[None]:
    """What is otherwise made for each run: EfficientNet-lite0, the digits, the drums and the
    utterances."""
    import multigen.audio.recordings as sounds
    import multigen.image.datasets as images
    from multigen.image import backbones

    load = functools.cache(backbones.efficientnet_lite0)
    fitted, resized = functools.cache(_of_digits(images._from_arrays)), images._from_arrays
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backbones, "efficientnet_lite0", lambda: _copy(load()))
        patch.setattr(sounds, "drums", functools.cache(sounds.drums))
        patch.setattr(sounds, "utterance", functools.cache(sounds.utterance))
        patch.setattr(
            images, "_from_arrays", lambda name, *of: fitted(*of[2:]) if name == "digits" else resized(name, *of)
        )
        yield


def _of_digits(resized: Any) -> Any:
    from multigen.image.arrays import digits

    return lambda size, channels: resized("digits", "digits", digits(), size, channels)


def _copy(module: Any) -> Any:
    """A copy of a frozen network, which shares the values of its parameters."""
    from torch import nn

    new = copy.copy(module)
    new._modules = {name: child and _copy(child) for name, child in module._modules.items()}
    new._parameters = {k: None if p is None else nn.Parameter(p.data, False) for k, p in module._parameters.items()}
    new._buffers = dict(module._buffers)
    return new


@pytest.fixture(scope="session", autouse=True)
def compressed_little() -> Iterator[None]:
    """PNG files are compressed little, unless somebody says how: the images of tests are small, and
    soon removed."""
    from PIL import Image

    Image.preinit()
    save = Image.SAVE["PNG"]

    def quick(image: Any, *arguments: Any, **options: Any) -> None:
        image.encoderinfo.setdefault("compress_level", 1)
        save(image, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(Image.SAVE, "PNG", quick)
        yield


@pytest.fixture(autouse=True)
def charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves are not drawn, which takes a third of the time of a small run; the tests of reports
    draw them."""
    from tests import tiny

    tiny.without_charts(monkeypatch)


@pytest.fixture(scope="session")
def srgan_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A finished run of super-resolution, `photos` beside it; only to be read (`tiny.copy_of` is
    for the others)."""
    from tests import tiny

    place = tmp_path_factory.mktemp("srgan")
    with pytest.MonkeyPatch.context() as patch:
        tiny.without_charts(patch)
        run = tiny.trained(place)
    with tiny.only_read(place):
        yield run


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder that MULTIGEN_DATA names, laid out as docs/data.md says; the test is skipped where
    it is unset."""
    value = os.environ.get("MULTIGEN_DATA")
    if not value:
        pytest.skip("MULTIGEN_DATA is not set: it names the folder of larger data sets (docs/data.md)")
    root = Path(value)
    if not root.is_dir():
        pytest.fail(f"MULTIGEN_DATA={value}: expected a folder; set it to one, or unset it to skip this test")
    return root
