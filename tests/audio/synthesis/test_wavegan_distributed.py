"""A method that makes sounds, trained and measured on two ranks as on one."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests import tiny

WORDS = [
    "tiny",
    "--width",
    "2",
    "--batch",
    "6",
    "--steps",
    "4",
    "--samples",
    "30",
    "--shuffle",
    "0",
    "--labels",
    "none",
]
WORDS += ["--no-shift-frames"]  # shuffled phases, shifted frames and mixed sounds are each rank's own
WORDS += ["--augment", "gain,shift,polarity"]
WORDS += ["--device", "cpu", "--precision", "fp64", "--validate-every", "2"]
GAMES = [[], ["--loss", "relativistic_pairing", "--gamma", "1", "--lazy", "2"]]


@pytest.mark.dist
@pytest.mark.parametrize("game", GAMES, ids=["wgan", "pairing"])
def test_two_ranks_give_the_weights_and_the_figures_of_one(game: list[str], tmp_path: Path, drum_folder: Path) -> None:
    recipe = ["-m", "multigen.recipes.wavegan", *WORDS, *game, "--data", drum_folder]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for start, name in ((torchrun, "two"), ([], "one")):
        done = tiny.python(*start, *recipe, "--out", tmp_path / name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("adversarial/last") == 1  # rank 0 alone reports
    one, two = (load_file(tmp_path / name / "model" / "G.safetensors") for name in ("one", "two"))
    for key, weight in one.items():
        torch.testing.assert_close(two[key], weight, rtol=1e-12, atol=1e-12)
    rows = [json.loads((tmp_path / name / "evaluation.json").read_text())["rows"] for name in ("one", "two")]
    assert list(rows[0]) == ["real", "noise", "untrained", "adversarial/last", "adversarial/best"]
    for row, figures in rows[0].items():
        assert rows[1][row] == pytest.approx(figures, rel=1e-6), row
