"""Files that others made: what is no regular file, too large, or elsewhere is refused, and nothing
waits."""

import os
from pathlib import Path

import pytest

from multigen.storage.reading import (
    UnreadableFile,
    check_expansion,
    check_file,
    check_folder,
    open_regular,
    read_bounded,
)
from tests.special import SPECIAL


@pytest.mark.parametrize("kind", SPECIAL)
def test_only_regular_files_are_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    SPECIAL[kind](path)
    for read in (lambda: read_bounded(path, 100), lambda: open_regular(path), lambda: check_file(path)):
        with pytest.raises(UnreadableFile, match=f"^{kind}; expected a regular file$") as result:
            read()
        assert result.value.strerror == str(result.value)


def test_a_file_that_is_missing_or_closed_is_named_as_ever(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="No such file"):
        read_bounded(tmp_path / "none", 1)


def test_no_more_than_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_bounded(path, 5) == b"12345"
    with pytest.raises(UnreadableFile, match=r"^5 bytes; expected at most 4$"):
        read_bounded(path, 4)
    os.truncate(path, 1 << 40)  # sparse
    with pytest.raises(UnreadableFile, match=r"^1,099,511,627,776 bytes; expected at most 1,000,000$"):
        read_bounded(path, 10**6)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no /proc here")
def test_a_file_that_says_it_is_empty_is_counted_while_it_is_read() -> None:
    with pytest.raises(UnreadableFile, match=r"^more than 100 bytes; expected no more$"):
        read_bounded("/proc/self/maps", 100)


def test_a_link_may_lead_elsewhere_in_its_folder_and_not_out_of_it(tmp_path: Path) -> None:
    folder, secret = tmp_path / "model", tmp_path / "secret"
    (folder / "blobs").mkdir(parents=True)
    (folder / "snapshots").mkdir()
    (folder / "blobs" / "abc").write_bytes(b"inside")
    secret.write_bytes(b"outside")
    (folder / "snapshots" / "config.json").symlink_to("../blobs/abc")  # as in the cache of the Hugging Face hub
    (folder / "out.json").symlink_to(secret)
    assert read_bounded(folder / "snapshots" / "config.json", 10, inside=folder) == b"inside"
    for path in (folder / "out.json", folder / ".." / "secret"):
        with pytest.raises(UnreadableFile, match=r"^a link that leads out of .*model; expected a file in that folder$"):
            read_bounded(path, 10, inside=folder)
    assert read_bounded(folder / "out.json", 10) == b"outside"


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_bytes(b"x")
    (tmp_path / "here").symlink_to(tmp_path / "there")
    assert read_bounded(tmp_path / "here" / "file", 10, inside=tmp_path / "here") == b"x"


def test_a_folder_for_another_library_is_refused_for_one_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "more").mkdir()
    check_folder(tmp_path)
    os.mkfifo(tmp_path / "merges.txt")
    with pytest.raises(UnreadableFile, match=r"^merges\.txt: a named pipe; expected a regular file$"):
        check_folder(tmp_path)


def test_what_unpacks_to_far_more_than_data_do_is_refused() -> None:
    check_expansion(1 << 26, 10)
    check_expansion(200 << 20, 1 << 20)
    with pytest.raises(
        ValueError, match=r"1,073,741,824 bytes, unpacked from 1,048,576; expected at most 200 times as many"
    ):
        check_expansion(1 << 30, 1 << 20)
