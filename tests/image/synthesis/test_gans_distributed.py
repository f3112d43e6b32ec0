"""A method that makes images, trained and measured on two ranks as on one."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests import tiny

WORDS = ["tiny", "--size", "16", "--width", "8", "--group", "4", "--batch", "5", "--steps", "4", "--samples", "30"]
WORDS += ["--augment", "color,translation,cutout", "--augment-share", "0.5", "0.5", "--mirror"]
WORDS += ["--device", "cpu", "--precision", "fp64", "--validate-every", "2", "--clusters", "3"]
WORDS += ["--features", "efficientnet_lite0"]


@pytest.mark.dist
def test_two_ranks_give_the_weights_and_the_figures_of_one(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    for i in range(60):
        Image.fromarray(tiny.pixels(16, 16, seed=i)).save(tmp_path / "p" / f"{i}.png")
    recipe = ["-m", "multigen.recipes.r3gan", *WORDS, "--data", tmp_path / "p"]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for start, name in ((torchrun, "two"), ([], "one")):
        done = tiny.python(*start, *recipe, "--out", tmp_path / name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("adversarial/last") == 1  # rank 0 alone reports
    one, two = (load_file(tmp_path / name / "model" / "G.safetensors") for name in ("one", "two"))
    for key, weight in one.items():
        torch.testing.assert_close(two[key], weight, rtol=1e-12, atol=1e-12)
    rows = [json.loads((tmp_path / name / "evaluation.json").read_text())["rows"] for name in ("one", "two")]
    assert list(rows[0]) == ["real", "adversarial/last", "adversarial/best"]
    for row, figures in rows[0].items():
        assert rows[1][row] == pytest.approx(figures, rel=1e-6), row
