"""Feeds the readers damaged files and finds those that are answered by anything but success or one
line.

    python -m tests.fuzz.fuzzing png 0 1000        # what seeds 0 to 999 of the reader `png` lead to

A damaged file follows from the reader's name and a seed alone, so a seed that was found once can be
run again. Files are read in a child process: one that crashes or hangs there costs its seed, and
the next child goes on behind it.
"""

import contextlib
import faulthandler
import gzip
import io
import json
import os
import random
import re
import resource
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "Reader",
    "fill_zip",
    "mend_png",
    "mutate",
    "mutate_dots",
    "mutate_gzip",
    "mutate_words",
    "mutate_zip",
    "trouble",
]

SECONDS = 5  # of computing that an input may take
ROOM = 3 << 30  # bytes of address space that a child may take beyond what it has once all is imported
# Bytes that one input may make the child grow by: a picture of the most pixels that are read takes 1.6 GB, filters between the
# oddest rates of sounds 2.4 GB.
GROWTH = 3 << 30
COMMAND = [sys.executable, "-m", "tests.fuzz.fuzzing"]
START = 120  # seconds until a child is ready
HUGE = [
    "-1",
    "0",
    "1e999",
    "-1e999",
    "NaN",
    "99999999999999999999",
    "9223372036854775808",
    "2147483647",
    "65536",
    "0.5",
]
OTHER = ["null", "true", "[]", "{}", '""', '"x"', "[1]", '{"a":1}', "'x'", "1979-05-27"]
Mutation = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Reader:
    """Valid files, which of them are damaged, and what reads them.

    Args:
        files: name in a folder -> content.
        reads: each is given the folder and the damaged file.
        damaged: names of those that are damaged, one at a time; none: all.
        others: suffixes that a damaged file may be given instead of its own.
        mutations: ways to damage, chosen from at random.
        noisy: whether the library that decodes them prints, past Python, what it dislikes.
    """

    files: Mapping[str, bytes]
    reads: Sequence[Callable[[Path, Path], object]]
    damaged: Sequence[str] = ()
    others: Sequence[str] = ()
    mutations: Sequence[Mutation] = ()
    noisy: bool = False


# ---------------------------------------------------------------------------------------------------- damage


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to four of: bits flipped, bytes set, cut off, inserted, doubled, left out, moved, zeroed,
    a length made extreme."""
    result = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4])):
        at, n = rng.randrange(len(result) + 1), rng.choice([1, 2, 4, 16, 64, rng.randrange(1, len(result) + 2)])
        how = rng.randrange(9)
        if how == 0:
            for _ in range(rng.choice([1, 3, 20])):
                result[rng.randrange(len(result))] ^= 1 << rng.randrange(8)
        elif how == 1:
            result[at : at + n] = rng.randbytes(len(result[at : at + n]))
        elif how == 2:
            del result[at:]
        elif how == 3:
            result[at:at] = rng.choice([rng.randbytes(n), b"\xff" * n, b"\n" * n])
        elif how == 4:
            result[at:at] = result[at : at + n] * rng.choice([1, 1, 50])
        elif how == 5:
            del result[at : at + n]
        elif how == 6:
            part, to = result[at : at + n], rng.randrange(len(result) + 1)
            result[to : to + len(part)] = part
        elif how == 7:
            result[at : at + n] = bytes(len(result[at : at + n]))
        else:
            width = rng.choice([1, 2, 4, 8])
            at = rng.choice([at, rng.randrange(min(len(result), 64) + 1)])  # headers have most lengths
            most = (1 << 8 * width) - 1
            value = rng.choice([0, 1, most, most >> 1, (most >> 1) + 1, most - 8, 1 << rng.randrange(8 * width)])
            result[at : at + width] = value.to_bytes(width, rng.choice(["little", "big"]))
        if not result:
            break
    return bytes(result)


def mutate_words(data: bytes, rng: random.Random) -> bytes:
    """Numbers and strings replaced by extreme ones and by other types, names misspelt, lines
    doubled, lost and moved, a value nested deeply: what is left is often a whole JSON, TOML or CSV
    file."""
    text = data.decode()
    for _ in range(rng.choice([1, 1, 2, 3])):
        how = rng.randrange(6)
        values = [*re.finditer(r'-?\d+(\.\d+)?(e-?\d+)?|"[^"\n]*"|true|false|null', text)]
        if how < 3 and values:
            m = rng.choice(values)
            deep = rng.choice([200, 20_000])
            new = rng.choice([rng.choice(HUGE), rng.choice(OTHER), rng.choice(values)[0], "[" * deep + "]" * deep])
            text = text[: m.start()] + new + text[m.end() :]
        elif how == 3:
            lines = text.splitlines(keepends=True) or [""]
            i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines[j:j] = [lines[i]] * rng.choice([1, 1, 1000 if len(lines[i]) < 1000 else 2])
            text = "".join(lines)
        elif how == 4:
            lines = text.splitlines(keepends=True) or [""]
            i = rng.randrange(len(lines))
            del lines[i : i + rng.choice([1, 5])]
            text = "".join(lines)
        else:
            at = rng.randrange(len(text) + 1)
            strange = [
                "\0",
                "\ufeff",
                "\ud800",
                "\r",
                "\u2028",
                '"',
                "'",
                "=",
                "[",
                "]",
                "{",
                "}",
                ",",
                "../",
                "\U0001f98a",
            ]
            text = text[:at] + rng.choice(strange) * rng.choice([1, 1, 500]) + text[at:]
    return text.encode("utf-8", "surrogatepass")


def mutate_zip(data: bytes, rng: random.Random) -> bytes:
    """The content of one member of a .zip damaged, so that its checksum is right."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    name = rng.choice(list(members))
    members[name] = mutate_npy(members[name], rng)
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as file:
        for each, content in members.items():
            file.writestr(each, content)
    return held.getvalue()


def mutate_npy(data: bytes, rng: random.Random) -> bytes:
    """A .npy, sometimes with another shape or type in a header of the same length."""
    if rng.random() < 0.5:
        return mutate(data, rng)
    shapes = [b"'shape': (99999999999,)", b"'shape': ()", b"'shape': (-1,)", b"'shape': (0, 3)", b"'shape': (2, 2)"]
    types = [
        b"'descr': '<f8'",
        b"'descr': '|O'",
        b"'descr': '<M8[s]'",
        b"'descr': '|V1'",
        b"'descr': '<c16'",
        b"'descr': 'x'",
    ]
    pattern, new = rng.choice([(rb"'shape': \([^)]*\)", shapes), (rb"'descr': '[^']*'", types)])
    value = rng.choice(new)
    return re.sub(pattern, lambda _: value, data, count=1)


def fill_zip(data: bytes, rng: random.Random) -> bytes:
    """One member of a .zip behind whose beginning stand so many zeros that they are packed to a
    thousandth."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        members = {name: file.read(name) for name in file.namelist()}
    name = rng.choice(list(members))
    members[name] = members[name][: rng.choice([10, 128, 200])] + bytes(rng.choice([1 << 10, 1 << 20, 80 << 20]))
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as file:
        for each, content in members.items():
            file.writestr(each, content)
    return held.getvalue()


def mutate_gzip(data: bytes, rng: random.Random) -> bytes:
    """What is packed, damaged and packed again, sometimes with many zeros behind it."""
    result = mutate(gzip.decompress(data), rng) + bytes(rng.choice([0, 0, 80 << 20]))
    return gzip.compress(result, 1, mtime=0)


def mutate_dots(data: bytes, rng: random.Random) -> bytes:
    """TOML with a key or a table of many parts, whose reading takes the square of their number."""
    lines = data.decode().splitlines(keepends=True)
    key = rng.choice(["a.", '"a".', "1.", "a . "]) * rng.choice([3, 60, 1_000, 30_000])
    lines.insert(
        rng.randrange(len(lines) + 1),
        rng.choice(["{}a = 1\n", "[{}a]\n", "[[{}a]]\n", "x = {{{}a = 1}}\n"]).format(key),
    )
    return "".join(lines).encode()


def mend_png(data: bytes, rng: random.Random) -> bytes:
    """Damaged as any file, but with right checksums, behind which decoders look deeper."""
    result, at = bytearray(mutate(data, rng)), 8
    while at + 12 <= len(result):
        end = at + 8 + int.from_bytes(result[at : at + 4])
        if end + 4 > len(result):
            break
        result[end : end + 4] = zlib.crc32(result[at + 4 : end]).to_bytes(4)
        at = end + 4
    return bytes(result)


# ---------------------------------------------------------------------------------------------------- the child


def damaged(reader: Reader, name: str, seed: int) -> tuple[str, str, bytes]:
    """The file that is damaged, what it is called then, and its content then."""
    rng = random.Random(f"{name}/{seed}")
    file = rng.choice(list(reader.damaged or reader.files))
    content = rng.choice(reader.mutations or [mutate])(reader.files[file], rng)
    called = Path(file).with_suffix(rng.choice(reader.others)).name if reader.others and rng.random() < 0.1 else file
    return file, called, content


def attempt(reader: Reader, name: str, seed: int, folder: Path) -> list[str]:
    """What is wrong with the answers to one damaged file, in words; empty if nothing."""
    from multigen.errors import MultigenError

    result = []
    file, called, content = damaged(reader, name, seed)
    for read in reader.reads:
        for each, whole in reader.files.items():
            (folder / each).parent.mkdir(parents=True, exist_ok=True)
            (folder / each).write_bytes(whole)
        (folder / file).unlink()
        (folder / called).write_bytes(content)
        before, printed = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, os.fstat(2).st_size
        with warnings.catch_warnings(record=True) as seen, quiet():
            warnings.simplefilter("always")
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            try:
                read(folder, folder / called)
            except MultigenError as error:
                message = str(error)
                if "\n" in message or not message.strip():
                    result.append(f"not one line: {message!r}")
                if str(folder) not in message:
                    result.append(f"no path: {message}")
            except BaseException:
                result.append(traceback.format_exc())
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
        result += [f"warning: {w.category.__name__}: {w.message}" for w in seen]
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
        if not reader.noisy and (noise := os.pread(2, 1000, printed)):  # by a library, past Python
            result.append(f"printed {noise.decode(errors='replace')}")
        if grown > GROWTH:
            result.append(f"grew by {grown >> 20} MiB")
        for left in folder.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    return result


def read_whole(reader: Reader, folder: Path) -> None:
    """Reads what is not damaged, so that what reading imports is not counted."""
    for read in reader.reads:
        for each, whole in reader.files.items():
            (folder / each).parent.mkdir(parents=True, exist_ok=True)
            (folder / each).write_bytes(whole)
        with quiet():
            read(folder, folder / next(iter(reader.damaged or reader.files)))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What the project says on the way is no answer."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield


@contextlib.contextmanager
def limited(room: int = ROOM) -> Iterator[None]:
    """This process may take `room` bytes beyond what it has, and `SECONDS` for each attempt."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before, handler = resource.getrlimit(resource.RLIMIT_AS), signal.signal(signal.SIGPROF, _too_long)
    resource.setrlimit(resource.RLIMIT_AS, (taken + room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.signal(signal.SIGPROF, handler)


class TookTooLong(BaseException):
    """No `except Exception` of a reader may pass over it."""


def _too_long(*_: Any) -> None:
    raise TookTooLong(f"more than {SECONDS} s")


def child(names: Sequence[str], first: int, count: int) -> None:
    """Prints a line of JSON, [reader, seed, what is wrong], before each input and behind each that
    is answered wrongly."""
    from tests.fuzz.fuzzed import READERS

    faulthandler.enable()

    def say(*what: Any) -> None:
        print(json.dumps(what), file=sys.__stdout__, flush=True)

    with tempfile.TemporaryDirectory() as place:
        with quiet():
            readers = {name: READERS[name](Path(tempfile.mkdtemp(dir=place))) for name in names}
        for name, reader in readers.items():
            folder = Path(place, name)
            folder.mkdir()
            read_whole(reader, folder)
        with limited():
            for name, reader in readers.items():
                for seed in range(first, first + count):
                    say(name, seed, None)
                    for wrong in attempt(reader, name, seed, Path(place, name)):
                        say(name, seed, wrong)


# ---------------------------------------------------------------------------------------------------- the parent


def trouble(names: Sequence[str], first: int, count: int) -> list[str]:
    """What damaged files of these seeds were answered with that is neither success nor one line:
    "READER SEED: ...", each."""
    result, left = [], list(names)
    while left:
        name, seed, wrong, ended = _watched(left, first, count)
        result += [f"{n} {s}: {w}" for n, s, w in wrong]
        if not ended:
            break
        result.append(f"{name} {seed}: {ended}")
        if name is None:
            break
        if seed + 1 < first + count:  # the rest of this reader, then the others
            result += trouble([name], seed + 1, first + count - seed - 1)
        left = left[left.index(name) + 1 :]
    return result


def _watched(names: Sequence[str], first: int, count: int) -> tuple[Any, Any, list[Any], str]:
    """The last input of a child, what it found, and how it ended where it did not come to its
    end."""
    command = [*COMMAND, "--child", ",".join(names), str(first), str(count)]
    name, seed, wrong, waited = None, None, [], START
    with tempfile.TemporaryFile() as message:
        where = Path(__file__).parents[2]
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=message, text=True, cwd=where) as process,
            selectors.DefaultSelector() as ready,
        ):
            assert process.stdout is not None
            ready.register(process.stdout, selectors.EVENT_READ)
            while ready.select(waited):
                line = process.stdout.readline()
                if not line:
                    break
                name, seed, what = json.loads(line)
                wrong += [(name, seed, what)] if what else []
                waited = 10 * SECONDS
            else:
                process.kill()
                return name, seed, wrong, "no answer, not even to a signal"
        message.seek(0)
        reason = message.read().decode(errors="replace")[-2000:]
    return name, seed, wrong, f"the process ended with {process.returncode}. {reason}" if process.returncode else ""


if __name__ == "__main__":
    if sys.argv[1] == "--child":
        child(sys.argv[2].split(","), int(sys.argv[3]), int(sys.argv[4]))
    else:
        for problem in trouble(sys.argv[1].split(","), int(sys.argv[2]), int(sys.argv[3])):
            print(problem)
