"""What a trainer saves and restores: everything that its future depends on, by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from multigen.config import Run, differences, differing, read_toml, to_table
from multigen.console import say
from multigen.engine import checkpoint, distributed
from multigen.engine.budget import may_grow
from multigen.errors import CheckpointError, ConfigError
from multigen.storage.model_folder import find_model, read_model

if TYPE_CHECKING:
    from multigen.engine.plan import Stage
    from multigen.engine.trainer import Trainer

__all__ = ["check_same", "checkpoint_of", "load_networks", "restore", "resume", "save", "start", "start_from"]

Files = dict[str, dict[str, Tensor]]


def save(trainer: "Trainer") -> Path:
    """Writes a checkpoint between two steps, and removes the old ones that nothing refers to."""
    distributed.broadcast_buffers([*trainer.nets.values(), *trainer.averages.values()])
    folder = trainer.folder / "checkpoints" / f"step-{trainer.step:09d}"
    meters = trainer.updater.signals.items()
    signals = {f"signal/{control}/{name}": pair for control, m in meters for name, pair in m.gather().items()}
    if distributed.rank() == 0:
        files = _networks(trainer) | {f"{n}.optim": _optimiser(trainer, n) for n in trainer.updater.optimisers}
        state = trainer.state | signals
        files["state"] = {k: v for k, v in state.items() if isinstance(v, Tensor)}
        record = {"step": trainer.step, "stage": trainer.number, "index": trainer.index, "ended": trainer.ended}
        record |= {"config": to_table(trainer.config), "versions": {"torch": torch.__version__}}
        record["state"] = {k: v for k, v in state.items() if not isinstance(v, Tensor)}
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
    named, state = trainer.updater.named[name].items(), trainer.updater.optimisers[name].state
    return {f"{n}/{k}": v for n, p in named for k, v in state.get(p, {}).items() if isinstance(v, Tensor)}


def restore(trainer: "Trainer", folder: Path) -> None:
    """Sets everything to what `folder` holds. Raises CheckpointError for a damaged or foreign checkpoint."""
    files, record = checkpoint.read(folder)
    if not 0 <= record["stage"] < len(trainer.plan):
        raise CheckpointError(f"{folder} belongs to a method with other stages; give a run of {trainer.name}")
    trainer.step, trainer.number = record["step"], record["stage"]
    trainer.index, trainer.ended = record["index"], record["ended"]
    trainer.updater.optimisers.clear()
    for stage in trainer.plan[: trainer.number + 1]:
        trainer.enter(stage)
    optimisers = {f"{name}.optim": name for name in trainer.updater.optimisers}
    if wrong := sorted((_networks(trainer).keys() | optimisers.keys() | {"state"}) ^ files.keys()):
        raise CheckpointError(f"{folder} belongs to other networks: {', '.join(wrong)} missing or left over")
    load_networks(trainer, files, str(folder))
    for file, name in optimisers.items():
        _load_optimiser(trainer, name, files[file])
    trainer.state.clear()
    trainer.state |= record["state"]
    trainer.state |= {k: v.to(trainer.device) for k, v in files["state"].items()}
    # What all ranks had heard together is one rank's from here on, as after `Meter.gather`.
    for key, control, name in [(k, *k.split("/", 2)[1:]) for k in trainer.state if k.startswith("signal/")]:
        trainer.updater.signals[control].held[name] = trainer.state.pop(key) * (distributed.rank() == 0)


def load_networks(trainer: "Trainer", files: Files, what: str) -> None:
    """Sets networks, running averages and copies; the names must be those of `files`."""
    for name, tensors in _networks(trainer).items():
        checkpoint.load_strict(tensors, files[name], f"{what}, {name}")


def start(trainer: "Trainer", stage: "Stage") -> None:
    """Sets the networks that begin a stage as an earlier one had them."""
    for name, (earlier, which) in stage.starts.items():
        checkpoint.load_strict(trainer.nets[name].state_dict(), trainer.saved(name, earlier, which), name)


def _load_optimiser(trainer: "Trainer", name: str, tensors: Mapping[str, Tensor]) -> None:
    named, state = trainer.updater.named[name], trainer.updater.optimisers[name].state
    fields = {key.rpartition("/")[2] for key in tensors}
    if wrong := sorted({f"{n}/{field}" for n in named for field in fields} ^ tensors.keys()):
        raise CheckpointError(f"{name}.optim does not fit the parameters of {name}: {wrong[:5]} missing or left over")
    state.clear()
    for key, value in tensors.items():
        of, _, field = key.rpartition("/")
        # In the memory layout of the parameter: fused optimisers take the two element by element.
        like = named[of] if value.dim() else value
        if value.shape != like.shape:
            raise CheckpointError(f"{name}.optim: {key} has shape {tuple(value.shape)}, expected {tuple(like.shape)}")
        state[named[of]][field] = torch.empty_like(like, dtype=value.dtype, device=trainer.device).copy_(value)


def resume(trainer: "Trainer", folder: Path) -> None:
    """Goes on from the newest whole checkpoint of a run; a damaged one is passed over aloud."""
    paths = checkpoint.saved(folder / "checkpoints")
    for path in reversed(paths):
        try:
            checkpoint.read(path)
        except CheckpointError as error:
            say(f"{error}; going back to the checkpoint before it")
            continue
        restore(trainer, path)
        for damaged in paths[paths.index(path) + 1 :] if distributed.rank() == 0 else ():  # no longer among the newest
            damaged.rename(damaged.with_name(f"damaged-{damaged.name}"))
        last = trainer.number == len(trainer.plan) - 1
        if last and trainer.index < trainer.stage.steps and f"stopped/{trainer.stage.name}" not in trainer.state:
            trainer.ended = False  # the last stage was made longer
        say(f"going on from {path}")
        return
    if paths:
        raise CheckpointError(f"{folder} holds no whole checkpoint; start again with another --out")
    say(f"{folder} has no checkpoint yet; starting at its beginning")


def check_same(trainer: "Trainer", folder: Path, fixed: Run) -> None:
    """Raises ConfigError that lists every setting of a resume that differs from the run's.

    Only a last stage whose schedules are constant may grow longer.
    """
    table = read_toml(folder / "config.toml")
    if "version" not in table:
        raise CheckpointError(
            f"{folder} was trained by multigen 0.1.0, and this version cannot resume its checkpoints; start a new run from its "
            f"weights: --from {folder} --config {folder / 'config.toml'}"
        )
    changed, steps = differences(folder / "config.toml", trainer.name, trainer.config, fixed)
    if changed and not (steps and may_grow(trainer, steps)):
        raise ConfigError(f"{folder} has other settings; resume with the same or start a new run: {'; '.join(changed)}")
    if other := differing(table.get("data", {}), to_table(trainer.data_info)):
        raise ConfigError(
            f"{folder} was trained on other data, which differ in {', '.join(other)}; resume with the data it was trained on, or "
            "start a new run"
        )


def checkpoint_of(trainer: "Trainer", stage: str, which: str) -> Files:
    """Files of the "last" or the "best" checkpoint of a stage; the last where no best is chosen."""
    step: Any = trainer.state.get(f"{which}_step/{stage}", trainer.state.get(f"last_step/{stage}"))
    return checkpoint.read(trainer.folder / "checkpoints" / f"step-{step:09d}")[0]


def start_from(path: str, nets: "Mapping[str, nn.Module]") -> None:
    """Loads trained weights to start from: the model's, and other networks' from its run's newest checkpoint.

    Says which networks have none. Raises CheckpointError where weights do not fit.
    """
    from multigen.engine import checkpoint

    model = find_model(path)
    found = read_model(model).weights
    for folder in checkpoint.saved(model.parent / "checkpoints")[-1:]:
        found = checkpoint.read(folder)[0] | found
    for name in nets.keys() & found.keys():
        try:
            checkpoint.load_strict(nets[name].state_dict(), found[name], f"{model}, {name}")
        except CheckpointError as error:
            raise CheckpointError(f"{error}; train with the settings of its run: --config RUN/config.toml") from error
    new = sorted(nets.keys() - found.keys())
    say(f"starting from {model}" + (f"; untrained: {', '.join(new)}" if new else ""))
