"""Text synthesis on two ranks as on one."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests import tiny

WORDS = [
    "tiny",
    "--data",
    "fables:60",
    "--length",
    "12",
    "--embedding",
    "4",
    "--width",
    "8",
    "--batch",
    "5",
]
WORDS += [
    "--mle-steps",
    "3",
    "--discriminator-steps",
    "2",
    "--steps",
    "3",
    "--critic-steps",
    "2",
]
WORDS += ["--samples", "10", "--kl", "0.1"]
WORDS += ["--device", "cpu", "--precision", "fp64", "--validate-every", "2", "--tokenizer", "characters"]
POLICY = "--control-steps 2 --negatives 12 --refill 3"


@pytest.mark.dist
@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("seqgan", f"{POLICY} --baseline mean --scale-rewards --rollouts 2 --dropout 0 --follow 0.5"),
        ("scratchgan", f"{POLICY} --baseline critic"),
        ("relgan", "--heads 2 --representations 2 --dropout 0"),
    ],
)
def test_two_ranks_give_the_weights_and_the_figures_of_one(method: str, words: str, tmp_path: Path) -> None:
    """Texts end at different places, so the ranks have different numbers of tokens."""
    recipe = ["-m", f"multigen.recipes.{method}", *WORDS, *words.split()]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for start, name in ((torchrun, "two"), ([], "one")):
        done = tiny.python(*start, *recipe, "--out", tmp_path / name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("change: adversarial/last") == 1  # rank 0 alone reports
    for network in ("G", "D"):
        one, two = (
            load_file(sorted((tmp_path / n / "checkpoints").iterdir())[-1] / f"{network}.safetensors")
            for n in ("one", "two")
        )
        for key, weight in one.items():
            # What adds to all keys of an attention changes nothing: such a weight learns from rounding alone.
            torch.testing.assert_close(two[key], weight, rtol=1e-11, atol=1e-10)
    rows = [json.loads((tmp_path / name / "evaluation.json").read_text())["rows"] for name in ("one", "two")]
    assert rows[0].keys() == rows[1].keys()
    for row, figures in rows[0].items():
        assert rows[1][row] == pytest.approx(figures, rel=1e-6), row
