"""One process at a time holds a run's folder."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from multigen.errors import ConfigError
from multigen.storage import lock
from multigen.storage.lock import locked

ROOT = Path(__file__).resolve().parents[2]
HOLDER = """
import sys
from pathlib import Path
from multigen.storage.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """Another process that holds the folder until its input ends."""
    command, environment = [sys.executable, "-c", HOLDER, str(folder)], {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_learns_which_one_locks_the_folder(tmp_path: Path) -> None:
    process = holder(tmp_path)
    message = rf"in use by process {process.pid} on .+ since 2.*; wait until it ends"
    with pytest.raises(ConfigError, match=message), locked(tmp_path):
        pass
    process.communicate()
    with locked(tmp_path):
        pass
    assert [*tmp_path.iterdir()] == []


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    process = holder(tmp_path)
    process.kill()
    process.communicate()
    with locked(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.parametrize("content", [b"", b"\x1b[31m", b'{"pid": "\\u001b", "host": 1, "since": 1e99}', b"[]"])
def test_a_file_that_names_nobody_is_no_obstacle(tmp_path: Path, content: bytes) -> None:
    with locked(tmp_path):
        (tmp_path / ".lock").write_bytes(content)
        with pytest.raises(ConfigError, match="in use by another process;"), locked(tmp_path):
            pass


def test_where_nothing_can_be_locked_a_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(handle: int, how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    with locked(tmp_path):
        pass
    monkeypatch.setattr(lock, "fcntl", None)
    with locked(tmp_path):
        pass
    message = capsys.readouterr().err.splitlines()
    assert len(message) == 2 and all(f"{tmp_path} cannot be locked" in line for line in message)


def test_a_folder_that_is_gone_or_closed_is_refused(tmp_path: Path) -> None:
    message = r"gone/\.lock cannot be written \(No such file or directory\)"
    with pytest.raises(ConfigError, match=message), locked(tmp_path / "gone"):
        pass
    (tmp_path / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"\.lock cannot be written"), locked(tmp_path):
        pass


def test_a_lock_whose_file_was_removed_meanwhile_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening and locking, the holder before removed the file that was opened."""
    flock, removed = lock.fcntl.flock, []

    def late(handle: int, how: int) -> None:
        if not removed:
            removed.append((tmp_path / ".lock").unlink())
        flock(handle, how)

    monkeypatch.setattr(lock.fcntl, "flock", late)
    with locked(tmp_path), pytest.raises(ConfigError, match="in use by process"), locked(tmp_path):
        pass
