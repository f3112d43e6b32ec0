"""What a trainer saves and restores: everything that its future depends on, by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from multigen.config import differences, read_toml, to_table
from multigen.engine import checkpoint, distributed
from multigen.engine.logging import say
from multigen.engine.options import FREE, Run
from multigen.engine.schedules import is_constant
from multigen.errors import CheckpointError, ConfigError
from multigen.runs import find_model, read_model

if TYPE_CHECKING:
    from multigen.engine.trainer import Trainer

__all__ = ["check_same", "checkpoint_of", "load_networks", "restore", "resume", "save", "start_from", "weights"]

Files = dict[str, dict[str, Tensor]]


def save(trainer: "Trainer") -> Path:
    """Writes a checkpoint between two steps, and removes the old ones that nothing refers to."""
    distributed.broadcast_buffers([*trainer.nets.values(), *trainer.averages.values()])
    folder = trainer.folder / "checkpoints" / f"step-{trainer.step:09d}"
    signals = {f"signal/{n}": pair for n, pair in trainer.updater.signals.gather().items()}
    if distributed.rank() == 0:
        files = _networks(trainer) | {f"{n}.optim": _optimiser(trainer, n) for n in trainer.updater.optimisers}
        state = trainer.state | signals
        files["state"] = {k: v for k, v in state.items() if isinstance(v, Tensor)}
        record = {
            "step": trainer.step,
            "stage": trainer.number,
            "index": trainer.index,
            "ended": trainer.ended,
            "state": {k: v for k, v in state.items() if not isinstance(v, Tensor)},
            "config": to_table(trainer.config),
            "versions": {"torch": torch.__version__},
        }
        checkpoint.write(folder, files, record)
        always = {f"step-{v:09d}" for k, v in trainer.state.items() if k.startswith(("best_step/", "last_step/"))}
        checkpoint.prune(folder.parent, trainer.run.keep, always)
    distributed.barrier()
    return folder


def _networks(trainer: "Trainer") -> Files:
    kinds = {"": trainer.nets, ".ema": trainer.averages, ".copy": trainer.copies}
    return {name + kind: net.state_dict() for kind, nets in kinds.items() for name, net in nets.items()}


def _optimiser(trainer: "Trainer", name: str) -> dict[str, Tensor]:
    """State of a network's optimiser as PARAMETER/KEY: by the names of the parameters, never by position."""
    state = trainer.updater.optimisers[name].state
    named = trainer.nets[name].named_parameters()
    return {f"{n}/{k}": v for n, p in named for k, v in state.get(p, {}).items() if isinstance(v, Tensor)}


def restore(trainer: "Trainer", folder: Path) -> None:
    """Sets everything to what `folder` holds. Raises CheckpointError for a damaged or foreign checkpoint."""
    files, record = checkpoint.read(folder)
    if not 0 <= record["stage"] < len(trainer.plan):
        raise CheckpointError(f"{folder} belongs to a method with other stages; give a run of {trainer.name}")
    trainer.step, trainer.number, trainer.index = record["step"], record["stage"], record["index"]
    trainer.ended = record["ended"]
    for stage in trainer.plan[: trainer.number + 1]:
        trainer.enter(stage)
    optimisers = {f"{name}.optim": name for name in trainer.updater.optimisers}
    if wrong := sorted((_networks(trainer).keys() | optimisers.keys() | {"state"}) ^ files.keys()):
        raise CheckpointError(f"{folder} belongs to other networks: {', '.join(wrong)} missing or left over")
    load_networks(trainer, files)
    for file, name in optimisers.items():
        _load_optimiser(trainer, name, files[file])
    trainer.state.clear()
    trainer.state |= record["state"]
    trainer.state |= {k: v.to(trainer.device) for k, v in files["state"].items()}
    trainer.updater.signals.load({k[7:]: trainer.state.pop(k) for k in [*trainer.state] if k.startswith("signal/")})


def load_networks(trainer: "Trainer", files: Files) -> None:
    """Sets networks, running averages and copies; the names must be those of `files`."""
    for name, tensors in _networks(trainer).items():
        checkpoint.load_strict(tensors, files[name], name)


def _load_optimiser(trainer: "Trainer", name: str, tensors: Mapping[str, Tensor]) -> None:
    state = trainer.updater.optimisers[name].state
    state.clear()
    named = dict(trainer.nets[name].named_parameters())
    for key, value in tensors.items():
        of, _, field = key.rpartition("/")
        if of not in named:
            raise CheckpointError(f"{name}.optim: {key!r} belongs to no parameter of {name}")
        p = named[of]
        # In the memory layout of the parameter: fused optimisers take the two element by element.
        held = torch.empty_like(p, dtype=value.dtype) if value.shape == p.shape else torch.empty_like(value, device=p.device)
        state[p][field] = held.copy_(value)
    counts = {len(fields) for fields in state.values()}
    if state and (len(counts) > 1 or len(state) != len(trainer.updater.parameters[name])):
        raise CheckpointError(f"{name}.optim lacks a part of the state of {name}'s parameters")


def resume(trainer: "Trainer", folder: Path) -> None:
    """Goes on from the newest whole checkpoint of a run; a damaged one is passed over aloud."""
    for path in reversed(checkpoint.saved(folder / "checkpoints")):
        try:
            checkpoint.read(path)
        except CheckpointError as error:
            say(f"{error}; going back to the checkpoint before it")
            continue
        restore(trainer, path)
        last = trainer.number == len(trainer.plan) - 1
        if last and trainer.index < trainer.stage.steps and f"stopped/{trainer.stage.name}" not in trainer.state:
            trainer.ended = False  # the last stage was made longer
        say(f"going on from {path}")
        return
    raise CheckpointError(f"{folder} holds no whole checkpoint; start again with another --out")


def check_same(trainer: "Trainer", folder: Path, fixed: Run) -> None:
    """Raises ConfigError that lists every setting of a resume that differs from the run's.

    Only a last stage whose schedules are constant may grow longer.
    """
    table = read_toml(folder / "config.toml")
    old_run, old_config = table.get("run", {}), table.get("config", {})
    before = {"recipe": table.get("recipe"), **old_config, **{k: v for k, v in old_run.items() if k not in FREE}}
    now_run, now_config = to_table(fixed), to_table(trainer.config)
    now = {"recipe": trainer.name, **now_config, **{k: v for k, v in now_run.items() if k not in FREE}}
    changed = differences(before, now)
    constant = all(trainer.spec(trainer.plan[-1], n).constant() for n in trainer.nets)
    grows = before.keys() == now.keys() and before.get("steps", 0) < now["steps"] and len(changed) == 1
    if changed and not (grows and constant and all(map(is_constant, trainer.averaged().values()))):
        raise ConfigError(f"{folder} was trained with other settings; resume with the same or start a new run: {'; '.join(changed)}")


def start_from(trainer: "Trainer", path: str) -> None:
    """Loads trained weights to start from: the exported networks, and the others from that run's newest checkpoint."""
    model = find_model(path)
    found = read_model(model)[2]
    for folder in checkpoint.saved(model.parent / "checkpoints")[-1:]:
        found = {k: v for k, v in checkpoint.read(folder)[0].items() if k in trainer.nets} | found
    for name in trainer.nets.keys() & found.keys():
        checkpoint.load_strict(trainer.nets[name].state_dict(), found[name], f"{model}, {name}")
    new = sorted(trainer.nets.keys() - found.keys())
    say(f"starting from {model}" + (f"; untrained: {', '.join(new)}" if new else ""))


def checkpoint_of(trainer: "Trainer", stage: str, which: str) -> Files:
    """Files of the "last" or the "best" checkpoint of a stage; the last where no best is chosen."""
    step: Any = trainer.state.get(f"{which}_step/{stage}", trainer.state.get(f"last_step/{stage}"))
    return checkpoint.read(trainer.folder / "checkpoints" / f"step-{step:09d}")[0]


def weights(trainer: "Trainer", network: str, stage: str, which: str) -> dict[str, Tensor]:
    files = checkpoint_of(trainer, stage, which)
    return files.get(f"{network}.ema", files[network])
