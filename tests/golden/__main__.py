"""Compares the losses of the first steps of each method with those that were kept, or keeps new
ones.

    python -m tests.golden                     # compares
    python -m tests.golden --write "REASON"    # keeps those of today; REASON is in CHANGELOG.md
"""

import sys
import tempfile
from pathlib import Path

from multigen.catalogue import METHODS
from tests.golden.losses import FOLDER, differences, golden, measured, write

CHANGELOG = FOLDER.parents[1] / "CHANGELOG.md"


def main(words: list[str]) -> int:
    reason = words[1] if len(words) == 2 and words[0] == "--write" else ""
    if words and not reason:
        print(__doc__, file=sys.stderr)
        return 2
    if reason and reason not in " ".join(CHANGELOG.read_text(encoding="utf-8").split()):
        print(f"{CHANGELOG} has no line that says {reason!r}: write there what changes the losses", file=sys.stderr)
        return 2
    result: list[str] = []
    for method in METHODS:
        with tempfile.TemporaryDirectory() as folder:
            losses = measured(method, Path(folder) / "run")
        if reason:
            write(method, losses)
        else:
            result += [f"{method}: {line}" for line in differences(losses, golden(method))]
    print("\n".join(result), end="\n" if result else "")
    return int(bool(result))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
