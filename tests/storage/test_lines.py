"""Files of lines, and what a run can do without."""

import errno
import os
from pathlib import Path

import pytest

from multigen.errors import DataError
from multigen.storage.lines import LineFile, optional


@pytest.mark.parametrize("torn", ["", "a\nb\n", 'a\n{"ste', "torn", "a\n" + "b" * 200_000])
def test_a_torn_last_line_does_not_swallow_the_next(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(torn)
    for line in ("one", "two"):
        file = LineFile(path)
        file.add(line)
        file.close()
    whole = torn[: torn.rfind("\n") + 1]
    assert path.read_text() == f"{whole}one\ntwo\n"


class Disk:
    """A file that has room for so many bytes, which may be in the middle of a line."""

    def __init__(self, path: Path, room: int):
        self.file, self.room = open(path, "ab", buffering=0), room  # noqa: SIM115

    def write(self, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self.file.write(data[: self.room])
        self.room -= written
        return written

    def fileno(self) -> int:
        return self.file.fileno()

    def close(self) -> None:
        self.file.close()


def test_lines_that_cannot_be_written_wait_for_room(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = LineFile(tmp_path / "log")
    file._file = disk = Disk(tmp_path / "log", 6)  # pyright: ignore[reportAttributeAccessIssue]
    for line in ("1234", "5678", "abcd"):
        file.add(line)
    assert (tmp_path / "log").read_text() == "1234\n5"
    disk.room = 100
    file.add("efgh")
    file.flush()
    file.close()
    assert (tmp_path / "log").read_text() == "1234\n5678\nabcd\nefgh\n"
    message = capsys.readouterr().err.splitlines()
    assert len(message) == 1
    assert "No space left on device" in message[0] and "free space" in message[0]


@pytest.mark.parametrize("kind", ["folder", "fifo", "nowhere"])
def test_what_is_no_file_costs_a_line(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log"
    if kind == "folder":
        path.mkdir()
    if kind == "fifo":
        os.mkfifo(path)
    file = LineFile(path / "log" if kind == "nowhere" else path)
    for _ in range(2):
        file.add("line")
    file.close()
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (path / "log").exists()


def test_only_what_the_disk_refuses_is_optional(capsys: pytest.CaptureFixture[str]) -> None:
    for error in (ValueError("bug"), DataError("of another kind")):
        with pytest.raises(type(error)), optional("x"):
            raise error
    for _ in range(2):
        with optional("a preview"):
            try:
                raise OSError(errno.EROFS, "Read-only file system")
            except OSError as error:
                raise DataError("cannot be written") from error
    assert capsys.readouterr().err == (
        "a preview cannot be written (Read-only file system); the run continues without; make it writable\n"
    )
