"""The cache: what names a result, that files are whole, and that trouble costs the caching only."""

import errno
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor

import multigen.storage.cache
from multigen.console import messages
from multigen.storage.cache import cache_folder, cached, private_folder


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("MULTIGEN_CACHE", str(tmp_path / "cache"))
    messages.output.once.clear()
    yield tmp_path / "cache"


class Compute:
    """Gives the same tensors each time, and counts the times."""

    def __init__(self, **tensors: Tensor):
        self.tensors = tensors or {"x": torch.arange(5.0)}
        self.calls = 0

    def __call__(self) -> dict[str, Tensor]:
        self.calls += 1
        return self.tensors


def never() -> dict[str, Tensor]:
    raise AssertionError("computed although it was kept")


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_result_is_computed_once(folder: Path):
    compute = Compute(
        a=torch.randn(3, 4, dtype=torch.float64), b=torch.tensor(7), c=torch.zeros(0, 2), d=torch.tensor([True])
    )
    first = cached("moments", ["x", 1, torch.ones(3)], compute)
    second = cached("moments", ["x", 1, torch.ones(3)], never)
    assert compute.calls == 1
    for result in (first, second):
        assert list(result) == list(compute.tensors)
        for name, value in compute.tensors.items():
            assert result[name].dtype == value.dtype
            assert torch.equal(result[name], value)
    (name,) = files(folder)
    assert name.startswith("moments-") and name.endswith(".safetensors")


def test_views_shared_weights_and_layouts_can_be_kept():
    weights = torch.randn(2, 3, 4, 4, requires_grad=True)
    compute = Compute(a=weights.to(memory_format=torch.channels_last), b=weights, c=weights[1], d=weights.mT)
    for result in (cached("net", [], compute), cached("net", [], never)):
        for name, value in compute.tensors.items():
            assert torch.equal(result[name], value)
            assert result[name].is_contiguous() and not result[name].requires_grad


def test_everything_in_the_key_counts(folder: Path, monkeypatch: pytest.MonkeyPatch):
    x = torch.arange(6)
    keys = [
        [], [""], ["a"], ["b"], ["a", "b"], ["b", "a"], ["ab"], ["a;b"], ["a';'b"], [b"a"], [1], ["1"], [b"1"], [-1],
        [x], [x.view(2, 3)], [x.view(3, 2)], [x.int()], [x.double()], [x + 1], [x.flip(0)], [x.view(2, 3).T], [x, x],
        [x.bfloat16()], [x[:0]], [x[0]], [x[:1]], [torch.tensor([True, False])], [x.double().view(torch.int64)],
    ]  # fmt: skip
    for number, parts in enumerate(keys):
        cached("k", parts, Compute(x=torch.tensor(number)))
    for number, parts in enumerate(keys):
        assert cached("k", parts, never)["x"] == number
    assert len(files(folder)) == len(keys)
    assert cached("other", [], Compute(x=torch.tensor(-1)))["x"] == -1
    monkeypatch.setattr(multigen.storage.cache, "__version__", "another")
    assert cached("k", ["a"], Compute(x=torch.tensor(-1)))["x"] == -1


def test_the_layout_of_a_tensor_in_the_key_does_not_count():
    x = torch.randn(2, 3, 4, 5, requires_grad=True)
    cached("k", [x], Compute())
    cached("k", [x.detach().to(memory_format=torch.channels_last)], never)


def test_a_kind_is_part_of_a_file_name():
    for kind in ("", "../x", "a/b", "A", "a.b", "a\n"):
        with pytest.raises(ValueError, match="lower-case letters, digits"):
            cached(kind, [], never)


def damages(path: Path) -> Iterator[bytes]:
    whole = path.read_bytes()
    yield b""
    yield b"no tensors at all"
    yield whole[:-3]
    yield whole[:20]
    yield whole[:-1] + bytes([whole[-1] ^ 1])  # one bit of one number
    yield multigen.storage.cache.save({"x": torch.zeros(5)})  # without a checksum


def test_a_damaged_file_is_computed_again_with_a_warning(folder: Path, capsys: pytest.CaptureFixture[str]):
    expected = cached("k", [], Compute())["x"]
    (name,) = files(folder)
    contents = list(damages(folder / name))
    assert len(set(contents)) == 6
    for content in contents:
        (folder / name).write_bytes(content)
        compute = Compute()
        assert torch.equal(cached("k", [], compute)["x"], expected)
        assert compute.calls == 1
        assert name in (message := capsys.readouterr().err) and message.endswith("computing its content again\n")
        assert torch.equal(cached("k", [], never)["x"], expected)
    assert files(folder) == [name]
    assert capsys.readouterr().err == ""


def test_a_folder_that_cannot_be_written_costs_the_caching_only(folder: Path, capsys: pytest.CaptureFixture[str]):
    folder.write_text("a file where the folder should be")
    compute = Compute()
    for part in (1, 1, 2):
        assert torch.equal(cached("k", [part], compute)["x"], torch.arange(5.0))
    assert compute.calls == 3
    message = capsys.readouterr().err
    assert message.count("cannot be cached there") == 1
    assert str(folder) in message and "MULTIGEN_CACHE" in message


def test_a_full_disk_costs_the_caching_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def full(path: Path, content: bytes) -> None:
        with open(path, "wb") as file:
            file.write(content[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert torch.equal(cached("k", [], Compute())["x"], torch.arange(5.0))
    assert "(No space left on device)" in capsys.readouterr().err
    assert files(folder) == []


def test_an_error_of_the_computation_is_passed_on_and_nothing_kept(folder: Path):
    with pytest.raises(AssertionError, match="computed although"):
        cached("k", [], never)
    assert not folder.exists()


def test_several_may_compute_the_same_at_once(folder: Path, capsys: pytest.CaptureFixture[str]):
    barrier = threading.Barrier(4, timeout=20)

    def write_and_read(key: int) -> Tensor:
        barrier.wait()
        return cached("k", [key], lambda: {"x": torch.full((100_000,), key)})["x"]

    with ThreadPoolExecutor(4) as pool:
        keys = [key for key in range(10) for _ in range(4)]
        for key, result in zip(keys, pool.map(write_and_read, keys), strict=True):
            assert torch.equal(result, torch.full((100_000,), key))
    assert len(files(folder)) == 10
    assert capsys.readouterr().err == ""


def test_where_the_cache_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("MULTIGEN_CACHE", "~/mine")
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.setenv("MULTIGEN_CACHE", "~nobody-of-this-name/mine")
    assert cache_folder() == Path("~nobody-of-this-name/mine")
    monkeypatch.setenv("MULTIGEN_CACHE", "")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    place = cache_folder()
    assert place.is_absolute() and "multigen" in place.parts
    if sys.platform == "linux":
        assert place == tmp_path / ".cache" / "multigen"
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert cache_folder() == tmp_path / "xdg" / "multigen"


@pytest.fixture
def shared(folder: Path) -> Path:
    """A cache folder that others may write to, with a result and its right checksum in it."""
    cached("k", [], Compute(x=torch.full((5,), 7.0)))
    folder.chmod(0o777)
    return folder


def test_the_folder_is_made_for_its_owner_alone(folder: Path) -> None:
    cached("k", [], Compute())
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_others_may_have_written_is_not_used(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compute, before = Compute(), files(shared)
    for part in ([], [], [1]):
        assert torch.equal(cached("k", part, compute)["x"], torch.arange(5.0))
    assert compute.calls == 3 and files(shared) == before
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "other users may write to it" in message and f"chmod 700 {shared}" in message
    shared.chmod(0o755)
    assert cached("k", [], never)["x"].tolist() == [7.0] * 5


def test_a_folder_of_another_user_is_not_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cached("k", [], Compute(x=torch.full((5,), 7.0)))
    monkeypatch.setattr(multigen.storage.cache.os, "getuid", lambda: folder.stat().st_uid + 1)
    assert torch.equal(cached("k", [], Compute())["x"], torch.arange(5.0))
    assert "it belongs to another user" in (message := capsys.readouterr().err) and "MULTIGEN_CACHE" in message
    with pytest.raises(OSError, match="belongs to another user"):
        private_folder()


@pytest.mark.parametrize(
    "poison",
    [
        {"x": torch.zeros(4)},
        {"x": torch.zeros(5, 1)},
        {"y": torch.zeros(5)},
        {"x": torch.zeros(5), "y": torch.zeros(1)},
        {"x": torch.zeros(5, dtype=torch.float64)},
        {},
    ],
    ids=["length", "shape", "name", "more", "type", "nothing"],
)
def test_tensors_of_other_names_types_and_shapes_are_computed_again(
    poison: dict[str, Tensor], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    like = {"x": torch.empty(5)}
    cached("k", [], lambda: poison)
    assert torch.equal(cached("k", [], Compute(), like)["x"], torch.arange(5.0))
    assert "is damaged; computing its content again" in capsys.readouterr().err
    assert torch.equal(cached("k", [], never, like)["x"], torch.arange(5.0))


def test_a_link_or_a_named_pipe_in_the_cache_is_computed_again(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cached("k", [], Compute())
    (name,) = files(folder)
    path = folder / name
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert torch.equal(cached("k", [], Compute())["x"], torch.arange(5.0))
    assert "leads out of" in capsys.readouterr().err and not path.is_symlink()
    path.unlink()
    os.mkfifo(path)
    assert torch.equal(cached("k", [], Compute())["x"], torch.arange(5.0))
    assert "a named pipe; expected a regular file" in capsys.readouterr().err and path.is_file()
