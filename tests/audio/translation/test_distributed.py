"""Voice conversion, trained and measured on two ranks as on one."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests import tiny

WORDS = "tiny --width 4 --discriminator-width 2 --bands 24 --segment 16 --batch 6 --steps 4 --history 4 --test-size 2"
WORDS += " --device cpu --precision fp64"


@pytest.mark.dist
@pytest.mark.parametrize("more", [[], ["--parallel"]], ids=["apart", "pairs"])
def test_two_ranks_give_the_weights_and_the_figures_of_one(more: list[str], tmp_path: Path, voices: Path) -> None:
    recipe = ["-m", "multigen.recipes.maskcyclegan", *WORDS.split(), *more, "--data", voices]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for start, name in ((torchrun, "two"), ([], "one")):
        done = tiny.python(*start, *recipe, "--out", tmp_path / name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    one, two = (load_file(tmp_path / name / "model" / "G.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys() and any(weight.any() for name, weight in one.items() if name.startswith("head"))
    for key, weight in one.items():
        torch.testing.assert_close(two[key], weight, rtol=1e-12, atol=1e-12)
    rows = [json.loads((tmp_path / name / "evaluation.json").read_text())["rows"] for name in ("one", "two")]
    assert len(rows[0]) == 4 and rows[0].keys() == rows[1].keys()
    for row, figures in rows[0].items():
        assert rows[1][row] == pytest.approx(figures, rel=1e-4), row
