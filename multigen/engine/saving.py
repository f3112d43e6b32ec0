"""Saves and restores the whole state of a run, and loads the weights that a run or a stage starts
from."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from multigen.config import Run, differences, differing, from_table, read_config, to_table
from multigen.console import say
from multigen.engine import checkpoint, distributed
from multigen.engine.plan import Stage
from multigen.engine.state import TrainingState
from multigen.errors import CheckpointError, ConfigError
from multigen.storage.model_folder import find_model, read_model
from multigen.storage.run_folder import find_run

__all__ = [
    "check_data",
    "check_same",
    "checkpoint_of",
    "find_resumable",
    "load_networks",
    "not_finite",
    "restore",
    "resume",
    "save",
    "start",
    "with_recorded_choice",
]

Files = dict[str, dict[str, Tensor]]


def save(state: TrainingState, run_folder: Path, config: Mapping[str, Any], keep: int) -> Path:
    """Writes a checkpoint between two steps, and removes old ones that nothing refers to. Returns
    its folder.

    Args:
        config: the configuration as a table, which is recorded.
        keep: number of newest checkpoints to keep, besides the best and the last of each stage.
    """
    distributed.broadcast_buffers([*state.nets.values(), *state.averages.values()])
    folder = run_folder / "checkpoints" / f"step-{state.step:09d}"
    updater = state.updater
    meters = {"meter": updater.meter} | {f"signal/{control}": meter for control, meter in updater.signals.items()}
    means = {f"{meter}/{name}": pair for meter, m in meters.items() for name, pair in m.gather().items()}
    if distributed.rank() == 0:
        files = _networks(state) | {f"{n}.optim": _optimiser(state, n) for n in state.updater.optimisers}
        scalars = state.scalars | means
        files["state"] = {k: v for k, v in scalars.items() if isinstance(v, Tensor)}
        record = {"step": state.step, "stage": state.number, "index": state.index, "ended": state.ended}
        record |= {"config": dict(config), "versions": _versions(state.updater.device)}
        record["state"] = {k: v for k, v in scalars.items() if not isinstance(v, Tensor)}
        checkpoint.write(folder, files, record)
        always = {f"step-{v:09d}" for k, v in state.scalars.items() if k.startswith(("best_step/", "last_step/"))}
        checkpoint.prune(folder.parent, keep, always)
    distributed.barrier()
    return folder


def not_finite(state: TrainingState) -> str:
    """Which tensor of a state is not finite, as "D.features.2.running_mean holds NaN"; "" if all
    are finite. Covers networks, running averages, copies, optimisers and the tensors that losses
    store. One transfer from the device."""
    masks = {  # may hold infinities
        f"{name}.{key}"
        for name, net in _kinds(state).items()
        for key, _ in net.named_buffers()
        if not key.endswith(("running_mean", "running_var"))
    }
    files = _networks(state) | {f"{n}.optim": _optimiser(state, n) for n in state.updater.optimisers}
    files["state"] = {k: v for k, v in state.scalars.items() if isinstance(v, Tensor)}
    tensors = {f"{file}.{name}": t for file, tensors in files.items() for name, t in tensors.items()}
    return checkpoint.not_finite(tensors, lambda name: name in masks or name.startswith("state."))


def start(run: Run, method: str, nets: Mapping[str, nn.Module], needed: Collection[str]) -> Collection[str]:
    """Loads the weights that a run starts from, if any; returns the networks that have none there.
    `needed`: those that inference needs.

    Raises CheckpointError where weights do not fit, or a network is not finite.
    """
    untrained = _start_from(run.start, method, nets, needed) if run.start and not run.resume else ()
    for name, net in nets.items():
        if bad := checkpoint.not_finite({f"{name}.{key}": p for key, p in net.named_parameters()}):
            raise CheckpointError(f"{bad} before training; check the weights that {name} starts from")
    return untrained


def _versions(device: torch.device) -> dict[str, Any]:
    """What the last bits of results depend on besides the seed: another number of threads adds in
    another order, for example."""
    gpu = {"GPU": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}
    instructions = torch.backends.cpu.get_cpu_capability()
    return {"torch": torch.__version__, "threads": torch.get_num_threads(), "instructions": instructions} | gpu


def _networks(state: TrainingState) -> Files:
    return {name: net.state_dict() for name, net in _kinds(state).items()}


def _kinds(state: TrainingState) -> dict[str, nn.Module]:
    """Networks, running averages and copies by the names of their files."""
    kinds = {"": state.nets, ".ema": state.averages, ".copy": state.copies}
    return {name + kind: net for kind, nets in kinds.items() for name, net in nets.items()}


def _optimiser(state: TrainingState, name: str) -> dict[str, Tensor]:
    """State of a network's optimiser as PARAMETER/KEY: by the names of the parameters, never by
    position."""
    parameters, saved = state.updater.named_parameters[name].items(), state.updater.optimisers[name].state
    return {f"{n}/{k}": v for n, p in parameters for k, v in saved.get(p, {}).items() if isinstance(v, Tensor)}


def restore(state: TrainingState, folder: Path, plan: Sequence[Stage], enter: Callable[[Stage], None]) -> None:
    """Restores the whole state from the checkpoint `folder`. Raises CheckpointError for a damaged
    or foreign one.

    `enter` begins a stage: it makes the copies, optimisers and controls whose values are then set.
    """
    files, record = checkpoint.read(folder)
    if not 0 <= record["stage"] < len(plan):
        raise CheckpointError(f"{folder} belongs to a method with other stages; resume a run of the same method")
    state.step, state.number = record["step"], record["stage"]
    state.index, state.ended = record["index"], record["ended"]
    state.updater.optimisers.clear()
    for stage in plan[: state.number + 1]:
        enter(stage)
    optimisers = {f"{name}.optim": name for name in state.updater.optimisers}
    if wrong := sorted((_networks(state).keys() | optimisers.keys() | {"state"}) ^ files.keys()):
        raise CheckpointError(f"{folder} belongs to other networks: {', '.join(wrong)} missing or left over")
    load_networks(state, files, str(folder))
    if bad := checkpoint.not_finite(files["state"], lambda name: True):
        raise CheckpointError(f"{folder}, state: {bad}; remove this checkpoint to resume from the one before it")
    for file, name in optimisers.items():
        _load_optimiser(state, name, files[file])
    state.scalars.clear()
    state.scalars |= record["state"]
    state.scalars |= {k: v.to(state.updater.device) for k, v in files["state"].items()}
    _fill_meters(state)


def _fill_meters(state: TrainingState) -> None:
    """Moves the pending sums of means from the scalars back to their meters."""
    updater = state.updater
    updater.meter.sums.clear()
    for key in [k for k in state.scalars if k.startswith(("meter/", "signal/"))]:
        kind, _, name = key.partition("/")
        control, _, signal = name.partition("/")
        meter, name = (updater.meter, name) if kind == "meter" else (updater.signals[control], signal)
        # The sums over all ranks now belong to the first rank, as after `Meter.gather`.
        meter.sums[name] = state.scalars.pop(key) * (distributed.rank() == 0)


def load_networks(state: TrainingState, files: Files, what: str) -> None:
    """Loads networks, running averages and copies; their names must be those of `files`."""
    for name, tensors in _networks(state).items():
        checkpoint.load_strict(tensors, files[name], f"{what}, {name}")


def _load_optimiser(state: TrainingState, name: str, tensors: Mapping[str, Tensor]) -> None:
    parameters, slots = state.updater.named_parameters[name], state.updater.optimisers[name].state
    fields = {key.rpartition("/")[2] for key in tensors}
    if wrong := sorted({f"{n}/{field}" for n in parameters for field in fields} ^ tensors.keys()):
        raise CheckpointError(f"{name}.optim does not fit the parameters of {name}: {wrong[:5]} missing or left over")
    if bad := checkpoint.not_finite(tensors):
        raise CheckpointError(f"{name}.optim: {bad}; remove this checkpoint to resume from the one before it")
    slots.clear()
    for key, value in tensors.items():
        of, _, field = key.rpartition("/")
        # In the memory format of the parameter: fused optimisers process both element by element.
        like = parameters[of] if value.dim() else value
        if value.shape != like.shape:
            raise CheckpointError(f"{name}.optim: {key} has shape {tuple(value.shape)}, expected {tuple(like.shape)}")
        if value.dtype != like.dtype or not value.is_floating_point():  # step counters are floats too
            raise CheckpointError(f"{name}.optim: {key} is of {value.dtype}, expected {parameters[of].dtype}")
        slots[parameters[of]][field] = torch.empty_like(like, dtype=value.dtype, device=state.updater.device).copy_(
            value
        )


def resume(
    state: TrainingState, run_folder: Path, plan: Sequence[Stage], enter: Callable[[Stage], None]
) -> dict[str, Any]:
    """Restores the newest intact checkpoint of a run; a damaged one is skipped with a warning.
    Returns the configuration that it was saved with; empty without any."""
    paths = checkpoint.saved(run_folder / "checkpoints")
    for path in reversed(paths):
        try:
            _, record = checkpoint.read(path)
        except CheckpointError as error:
            say(f"{error}; going back to the checkpoint before it")
            continue
        restore(state, path, plan, enter)
        for damaged in paths[paths.index(path) + 1 :] if distributed.rank() == 0 else ():  # no longer among the newest
            checkpoint.rename(damaged, f"damaged-{damaged.name}")
        stage, last = plan[state.number], state.number == len(plan) - 1
        if last and state.index < stage.steps and f"stopped/{stage.name}" not in state.scalars:
            state.ended = False  # the last stage was made longer
        say(f"resuming from {path}")
        then, now = record.get("versions", {}), _versions(state.updater.device)
        if changed := [f"{name} {then[name]} -> {now[name]}" for name in now if then.get(name, now[name]) != now[name]]:
            say(f"{', '.join(changed)}: the last bits may differ from those of a run that was never stopped")
        return record.get("config", {})
    if paths:
        raise CheckpointError(f"{run_folder} holds no whole checkpoint; start again with another --out")
    say(f"{run_folder} has no checkpoint yet; starting at its beginning")
    return {}


def find_resumable(path: str) -> Path:
    """The run at `path`, or the newest there. Raises CheckpointError where there is none, or an
    earlier version trained it."""
    folder = find_run(path)
    table = read_config(folder / "config.toml")
    if not {"method", "config"} <= table.keys():
        raise CheckpointError(f"{folder}/config.toml is not that of a run; give a run's folder, or a folder of runs")
    if "version" not in table:
        raise CheckpointError(
            f"{folder} was trained by multigen 0.1.0, and this version cannot resume its checkpoints; start a new run from its "
            f"weights: --from {folder} --config {folder / 'config.toml'}"
        )
    return folder


def with_recorded_choice(run: Run) -> Run:
    """The options of a resume, without minutes; precision and memory format are the run's where the
    options leave them open."""
    if run.minutes:
        planned = "a resumed run keeps the steps that it was planned with; to train for longer, give more --steps"
        say(f"minutes {run.minutes:g} is left out: {planned}")
        run = replace(run, minutes=0.0)
    folder = find_resumable(run.resume)
    run = replace(run, resume=str(folder))  # so that the newest run is sought, and named, once
    options, default, path = to_table(run), to_table(Run()), folder / "config.toml"
    names = [name for name in ("precision", "layout") if options[name] == default[name]]
    table = read_config(path).get("run", {}) if names else {}
    return from_table(run, {n: table[n] for n in names if n in table}, f"{path}, run")


def check_same(
    run_folder: Path, method: str, config: Any, data: Any, run: Run, may_grow: Callable[[int], bool]
) -> None:
    """Raises ConfigError that lists every setting of a resume that differs from the run's.

    `may_grow(steps)` says whether a run that was planned with so many steps may have more.
    """
    changed, steps = differences(run_folder / "config.toml", method, config, run)
    if changed and not (steps and may_grow(steps)):
        settings = "; ".join(changed)
        raise ConfigError(f"{run_folder} has other settings; resume with the same or start a new run: {settings}")
    before = to_table(type(data)()) | read_config(run_folder / "config.toml").get("data", {})
    if other := differing(before, to_table(data)):  # fields that an earlier version lacked have their defaults
        raise ConfigError(
            f"{run_folder} was trained on other data, which differ in {', '.join(other)}; resume with the data it was "
            "trained on, or start a new run"
        )


def check_data(run_folder: Path, fingerprint: str, held_out: str, files: Mapping[str, str]) -> None:
    """Raises ConfigError where data, or files that settings name, are not those that a run began
    with.

    Args:
        fingerprint, held_out: of the training data, and of the validation and test data; empty: not
            compared.
        files: fingerprints by setting. One that the run did not record is not compared.
    """
    table = read_config(run_folder / "config.toml")
    before = table.get("data", {}).get("fingerprint", "")
    if before and fingerprint and before != fingerprint:
        raise ConfigError(
            f"{run_folder} was trained on other data, which differ in fingerprint; resume with the data it was "
            "trained on, or start a new run"
        )
    before = table.get("held_out", "")
    if before and held_out and before != held_out:
        raise ConfigError(
            f"{run_folder} had other validation or test data than there are now; resume with the same, or start a new run"
        )
    recorded = table.get("files", {})
    for setting in files if isinstance(recorded, dict) else ():
        if recorded.get(setting, files[setting]) != files[setting]:
            raise ConfigError(
                f"{run_folder} began with another content of the file that {setting} names; resume with the same file, or "
                "start a new run"
            )


def checkpoint_of(state: TrainingState, run_folder: Path, stage: str, which: str) -> Files:
    """Files of the "last" or the "best" checkpoint of a stage; the last where no best is chosen."""
    step: Any = state.scalars.get(f"{which}_step/{stage}", state.scalars.get(f"last_step/{stage}"))
    return checkpoint.read(run_folder / "checkpoints" / f"step-{step:09d}")[0]


def _start_from(path: str, method: str, nets: Mapping[str, nn.Module], needed: Collection[str]) -> Collection[str]:
    """Loads trained weights to start from: the model's, and other networks' from its run's newest
    checkpoint. Of another method's run these may be networks of another kind, which are left out.

    Says and returns which networks have none. Raises CheckpointError where weights do not fit.
    """
    folder = find_model(path)
    model = read_model(folder, needed, nets)
    if library := model.config.get("library"):
        raise CheckpointError(
            f"{path}: a network of the library {library} ({model.config.get('architecture')}), which is used and not trained; "
            "give a run, or leave it out"
        )
    weights = model.weights
    for saved in checkpoint.saved(folder.parent / "checkpoints")[-1:]:
        weights = {**checkpoint.read(saved, nets.keys() - weights.keys())[0], **weights}
    new = set(nets.keys() - weights.keys())
    for name in nets.keys() & weights.keys():
        try:
            checkpoint.load_strict(nets[name].state_dict(), weights[name], f"{folder}, {name}")
        except CheckpointError as error:
            if model.method != method and not (name in model.weights and name in needed):
                new.add(name)
                continue
            other = "; train with the settings of its run: --config RUN/config.toml" if "; " not in str(error) else ""
            raise CheckpointError(f"{error}{other}") from error
    say(f"starting from {folder}" + (f"; untrained: {', '.join(sorted(new))}" if new else ""))
    return new
