"""Memory: how much is available, refusal of requests that cannot fit, and allocators' errors as one
line.

Linux grants more memory than there is and kills the process that uses it, which no program can
catch. So the memory that a flag would need is estimated and refused first (`require`), and commands
run with a limit at which an allocation fails instead (`limited`).
"""

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from multigen.errors import OutOfMemory

__all__ = ["available", "is_memory_error", "limited", "memory_errors", "require", "size"]

SMALL = 64 << 20  # bytes that are not compared with what is available
SHARE = 0.95  # of what is available, for one command: other processes need some
GPUS = ("/dev/nvidiactl", "/dev/nvmap", "/dev/dxg", "/dev/kfd")  # of NVIDIA, its Jetsons, Windows' Linux, AMD
PHRASES = (
    "not enough memory",
    "allocate memory",
    "out of memory",
    "bad_alloc",
    "ALLOC_FAILED",
    "Storage size calculation overflowed",
    "multiplication overflow",
    "Overflow when unpacking",
    "array is too big",
    "Maximum allowed dimension exceeded",
)
"""Phrases of torch's, numpy's and CUDA's errors when memory is short, or when a size in bytes
overflows."""


def size(number: float) -> str:
    """A human-readable number of bytes: 8.1 GB."""
    units = ("kB", "MB", "GB", "TB", "PB", "EB")
    power = next((i for i in range(1, len(units)) if number < 1000 ** (i + 1)), len(units))
    return f"{number / 1000**power:.3g} {units[power - 1]}"


def available() -> int | None:
    """Bytes that this process can still allocate: the least of what the machine, its control groups
    and its own limits leave. None if unknown."""
    amounts = [_left_on_machine(), *_left_in_groups(), *_left_of_limits()]
    return min((max(number, 0) for number in amounts if number is not None), default=None)


def require(needed: int, what: str, remedy: str) -> None:
    """Raises OutOfMemory where `what` needs more bytes than are available, as far as that is
    known."""
    if needed >= SMALL and (left := available()) is not None and needed > left:
        raise OutOfMemory(f"{what}: {size(needed)} of memory needed, {size(left)} available; {remedy}")


def is_memory_error(error: BaseException) -> bool:
    """Whether an allocator raised the error: of Python, numpy, Pillow, torch on CPU or GPU, or the
    system."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"  # torch's: not imported for it
    known = isinstance(error, RuntimeError | ValueError | TypeError)
    return named or (known and any(phrase in str(error) for phrase in PHRASES))


@contextlib.contextmanager
def memory_errors(remedy: str) -> Iterator[None]:
    """Turns an allocator's error within it, also one that caused another error, into OutOfMemory
    with the remedy."""
    try:
        yield
    except OutOfMemory:
        raise
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not is_memory_error(cause):
            cause = cause.__cause__
        if cause is None:
            raise
        requested = re.search(r"(?:[Tt]ried|Unable) to allocate ([\d.]+ \w+)", str(cause))
        amount = "" if requested is None else _readable(requested[1])
        raise OutOfMemory(f"out of memory{amount}; {remedy}") from error


def _readable(amount: str) -> str:
    number, _, unit = amount.partition(" ")
    return f" ({size(float(number)) if unit == 'bytes' else amount} requested)"


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Within it, this process cannot allocate more memory than is available now: an allocation
    beyond that raises an error.

    Only where the system knows such a limit and says what is left (Linux); a lower limit that the
    user has set stays. Not on a machine with a GPU, whose driver maps memory that it does not use:
    how much of it counts has not been tried.
    """
    left, taken = available(), _status("VmData")
    if left is None or taken is None or any(map(os.path.exists, GPUS)):
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = taken + int(SHARE * left)
    if soft != resource.RLIM_INFINITY and soft <= most:
        yield
        return
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


# ------------------------------------------------------------------------------------------------------- what is left


def _left_on_machine() -> int | None:
    """On Linux what is available, and free swap; elsewhere all that the machine has."""
    fields = _fields(Path("/proc/meminfo"))
    if "MemAvailable" in fields:
        return (fields["MemAvailable"] + fields.get("SwapFree", 0)) * 1024
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _left_in_groups() -> Iterator[int | None]:
    """For each control group of the process that has a limit, in version 1 or 2; in a container the
    root is that of the mount."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for _, controllers, path in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        if controllers == "":
            root, files, prefix = Path("/sys/fs/cgroup"), ("memory.max", "memory.current"), ""
        elif "memory" in controllers.split(","):
            root, files = Path("/sys/fs/cgroup/memory"), ("memory.limit_in_bytes", "memory.usage_in_bytes")
            prefix = "total_"
        else:
            continue
        parts = Path(path.lstrip("/")).parts
        for folder in [root.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)]:
            yield _left_in(folder, *files, prefix)


def _left_in(group: Path, most: str, used_file: str, prefix: str) -> int | None:
    """For one control group, with the names of its files."""
    limit, used = _number(group / most), _number(group / used_file)
    if limit is None or used is None:
        return None
    stat = _fields(group / "memory.stat")  # cached files count as used; the kernel drops them when it needs memory
    return limit - used + sum(stat.get(f"{prefix}{kind}_file", 0) for kind in ("inactive", "active"))


def _left_of_limits() -> Iterator[int | None]:
    """For each limit that `ulimit` sets."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for limit, field in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        soft, taken = resource.getrlimit(limit)[0], _status(field)
        if soft != resource.RLIM_INFINITY and taken is not None:
            yield soft - taken


def _status(field: str) -> int | None:
    """A number of bytes in /proc/self/status; None elsewhere than on Linux."""
    value = _fields(Path("/proc/self/status")).get(field)
    return None if value is None else value * 1024


def _fields(path: Path) -> dict[str, int]:
    """The numbers in a file of lines like `NAME: NUMBER kB`; {} without the file."""
    try:
        words = [line.split() for line in path.read_text().splitlines()]
    except (OSError, ValueError):
        return {}
    return {word[0].rstrip(":"): int(word[1]) for word in words if len(word) > 1 and word[1].isdecimal()}


def _number(path: Path) -> int | None:
    """The number in a file; None where there is none, as for a group without a limit (`max`)."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
