"""What the tests of the trainers share: small settings, trainers, data, draws."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from multigen.text.synthesis import relgan, scratchgan, seqgan
from tests.engine.toys import AtStep, options

METHODS: dict[str, Any] = {"seqgan": seqgan, "scratchgan": scratchgan, "relgan": relgan}
TRAINERS: dict[str, Any] = {
    "seqgan": seqgan.SeqGANTrainer, "scratchgan": scratchgan.ScratchGANTrainer, "relgan": relgan.RelGANTrainer,
}  # fmt: skip
SMALL: dict[str, Any] = {
    "embedding": 4, "width": 8, "batch": 6, "samples": 10, "oracle_texts": 30, "discriminator_embedding": 4, "mle_steps": 4,
    "discriminator_steps": 3, "steps": 3, "critic_steps": 2, "lm_steps": 2, "patience": 0, "kl": 0.0, "begin_from": "best",
}  # fmt: skip
POLICY: dict[str, Any] = {"negatives": 12, "refill": 4, "control_steps": 2, "baseline": "none"}
OWN: dict[str, dict[str, Any]] = {
    "seqgan": {**POLICY, "rollouts": 2, "filters": ((1, 4), (2, 4))},
    "scratchgan": POLICY,
    "relgan": {"representations": 2, "filters": ((1, 4), (2, 4))},
}


def configured(data: str, method: str = "seqgan", **settings: Any) -> Any:
    length = 6 if data.endswith(".npz") else 52
    given = {**SMALL, **OWN[method], "data": data, "length": length, **settings}
    return replace(METHODS[method].PRESETS["tiny"], **given)


def made(
    data: str,
    folder: Path,
    see: Callable[[Any], object] | None = None,
    run: Any = None,
    method: str = "seqgan",
    **settings: Any,
) -> Any:
    """A trainer; `see(trainer)` is called after each step."""
    callbacks = [AtStep(see)] if see else []
    return TRAINERS[method](configured(data, method, **settings), options(folder, **(run or {})), callbacks)


def prepared(data: str, method: str = "seqgan", **settings: Any) -> Any:
    trainer = made(data, Path("none"), method=method, **settings)
    trainer.prepare()
    return trainer


class Draws:
    """A step that gives the same numbers each time."""

    dtype = torch.float32

    def __init__(self, rows: int = 6):
        self.rows, self.logged = rows, dict[str, Tensor]()

    def rand(self, stream: str, *shape: int) -> Tensor:
        return torch.rand(self.rows, *shape, generator=torch.Generator().manual_seed(len(stream)))

    def log(self, name: str, value: Tensor) -> None:
        self.logged[name] = value


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: t.clone() for name, t in network.state_dict().items()}


def assert_equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def lines_file(folder: Path) -> str:
    who, what, where = ("the fox", "a hen", "the crow", "an owl"), ("sat", "ran", "sang"), ("by us", "in", "on it")
    path = folder / "texts.txt"
    path.write_text("\n".join(f"{a} {b} {c}" for a in who for b in what for c in where))
    return str(path)
