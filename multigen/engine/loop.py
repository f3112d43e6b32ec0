"""The training loop: stages, steps, and logging, controls, recovery and saving between steps."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from multigen.config import Run, to_table
from multigen.console import if_slow, resume_option, say
from multigen.engine import checkpoint, controls, distributed, saving
from multigen.engine.batches import Batch, Source, Stream, TensorSource
from multigen.engine.callbacks import Callback
from multigen.engine.device import to_layout
from multigen.engine.ema import EMAUpdater, average_like, reestimate_statistics
from multigen.engine.log import RunLog
from multigen.engine.optimisers import Adam, Optimiser
from multigen.engine.plan import Pool, Stage, Step
from multigen.engine.randomness import key, seed_everything
from multigen.engine.schedules import Schedule, value_at
from multigen.engine.shown import described, html_of
from multigen.engine.state import TrainingState
from multigen.engine.time_left import TimeLeft
from multigen.engine.trial import Choice
from multigen.engine.updater import Updater
from multigen.errors import CheckpointError, DataError, Interrupted, TrainingError
from multigen.storage.lines import optional

__all__ = ["Loop"]

# Consecutive non-finite gradients of one update after which the run rolls back to its last
# checkpoint, and the number of rollbacks after which it ends with an error.
MAX_NONFINITE_STREAK, MAX_ROLLBACKS = 5, 3


class Loop:
    """Trains the stages in order. `Trainer` builds and documents its attributes."""

    config: Any
    run: Run
    callbacks: list[Callback]
    device: torch.device
    data: Source
    nets: dict[str, nn.Module]
    averages: dict[str, nn.Module]
    updater: Updater
    state: TrainingState
    plan: list[Stage]
    folder: Path
    log: RunLog
    left: TimeLeft
    precision: str
    layout: str
    _entered = False
    _postponed: frozenset[str] = frozenset()  # actions that fell due while gradients were not finite

    def optimisers(self) -> Optimiser | Mapping[str, Optimiser]:
        raise NotImplementedError

    def averaged(self) -> Mapping[str, Schedule]:
        raise NotImplementedError

    def forward(self, name: str, network: nn.Module, batch: Batch, step: Step) -> object:
        raise NotImplementedError

    def validate(self, nets: Mapping[str, nn.Module]) -> dict[str, float]:
        raise NotImplementedError

    def preview(self, nets: Mapping[str, nn.Module], folder: Path) -> None:
        raise NotImplementedError

    # ---------------------------------------------------------------------------------- position
    # and networks

    def __repr__(self) -> str:
        return described(self)

    def _repr_html_(self) -> str:
        return html_of(self)

    @property
    def stage(self) -> Stage:
        """The current stage."""
        return self.plan[self.state.number]

    @property
    def index(self) -> int:
        """Steps done in the current stage."""
        return self.state.index

    @property
    def step(self) -> int:
        """Steps done in all stages."""
        return self.state.step

    @property
    def copies(self) -> dict[str, nn.Module]:
        """Copies of networks that the current stage has taken, by name."""
        return self.state.copies

    def control(self, name: str) -> float:
        """Current value of a control."""
        return self.state.scalars[f"control/{name}"]

    def saved(self, network: str, stage: str, which: str) -> dict[str, Tensor]:
        """Weights of `network` (its running average, if kept) at the "last" or the "best" step of a
        stage; the last where the stage selects no best."""
        files = saving.checkpoint_of(self.state, self.folder, stage, which)
        return files.get(f"{network}.ema", files[network])

    @contextlib.contextmanager
    def inference(self) -> Iterator[dict[str, nn.Module]]:
        """Networks as they are sampled and validated: running averages where kept, evaluation mode,
        no gradients."""
        for name, average in self.averages.items():
            reestimate_statistics(average, lambda network, i, name=name: self._forward(name, network, i))
        distributed.broadcast_buffers([*self.nets.values(), *self.averages.values()])
        nets = {name: self.averages.get(name, net).eval() for name, net in self.nets.items()}
        try:
            with torch.no_grad():
                yield nets
        finally:
            for net in self.nets.values():
                net.train()

    def _forward(self, name: str, network: nn.Module, i: int) -> object:
        """One forward pass on batch `i` of a stream of its own for batch statistics."""
        stream = Stream(self.data, self.updater.batch, self.updater.rows, (self.run.seed, "statistics"))
        step = self.updater.step_at((self.run.seed, 0, "statistics", name, i, 0), 0.0, self.updater.rows)
        seed_everything(key(*step.draw_key, distributed.rank()), self.device)
        return self.forward(name, network, self.updater.move(stream.at(i)), step)

    # ---------------------------------------------------------------------------------- stages and steps

    def enter(self, stage: Stage) -> None:
        """Begins a stage: copies, optimisers, running averages, controls."""
        state = self.state
        state.updater.enter(stage, {name: self.spec(stage, name) for name in state.nets})
        state.copies = {name: average_like(state.nets[c.source]).train() for name, c in stage.copies.items()}
        vars(self).update(state.copies)
        following = {name: c for name, c in stage.copies.items() if c.follow}
        self._followed = [(EMAUpdater(state.copies[n], state.nets[c.source]), c.follow) for n, c in following.items()]
        self._averaged = [(EMAUpdater(state.averages[n], state.nets[n]), decay) for n, decay in self.averaged().items()]
        for average, _ in self._averaged:
            average.move(1.0)
        state.scalars |= {"averaged": 0, "waited": 0}
        controls.begin(stage, state.scalars, state.nets)
        self._entered = True

    def use(self, choice: Choice) -> None:
        """Trains in this precision and memory format from now on; the weights keep their dtype."""
        self.precision, self.updater.precision = choice.precision, choice.precision
        if choice.layout == self.layout:
            return
        self.layout, self.updater.layout = choice.layout, choice.layout
        for net in (*self.nets.values(), *self.averages.values(), *self.copies.values()):
            to_layout(net, self.layout)
        for optimiser in self.updater.optimisers.values():  # fused ones take state and parameter element by element
            for p, slots in optimiser.state.items():
                like_p = {k: t for k, t in slots.items() if isinstance(t, Tensor) and t.shape == p.shape}
                slots |= {k: torch.empty_like(p).copy_(t) for k, t in like_p.items()}

    def spec(self, stage: Stage, network: str) -> Optimiser:
        """Description of a network's optimiser in a stage."""
        specs = (s if isinstance(s, Optimiser) else (s or {}).get(network) for s in (stage.optim, self.optimisers()))
        return next((spec for spec in specs if spec is not None), Adam())

    def _train(self, signals: Sequence[int], began: float) -> None:
        state = self.state
        while state.number < len(self.plan):
            if not self._entered:
                for name, (earlier, which) in self.stage.starts.items():
                    checkpoint.load_strict(state.nets[name].state_dict(), self.saved(name, earlier, which), name)
                self.enter(self.stage)
                if state.step == 0:
                    self._save()
            self.log.begin(self.stage.name, self.stage.steps, state.index)
            self.left.begin(state.number, state.index)
            self._since = (time.monotonic(), state.step)
            while not state.ended:
                self.advance(state.index)
                state.index, state.step = state.index + 1, state.step + 1
                self._call("on_step")
                state.scalars["seconds"] = time.monotonic() - began
                self._between_steps()
                # Ranks are signalled at different moments; they agree every few steps.
                agreed = distributed.world() == 1 or state.step % 10 == 0
                if agreed and distributed.any_rank(bool(signals), self.device):
                    sound = not self._dropping() and not self._broken()
                    if sound:
                        self._save()
                    what = "" if sound else ", not saved since its gradients are not finite"
                    raise Interrupted(
                        f"stopped at step {state.step}{what}; resume with: {resume_option(self.folder)}", *signals[:1]
                    )
            state.number, state.index, state.ended, self._entered = state.number + 1, 0, False, False

    def advance(self, index: int) -> None:
        """One step: a pass over the stage's updates."""
        stage = self.stage
        # A stage that a resume has made longer keeps its schedules, which end where they ended.
        planned: Any = self.state.scalars.get(f"planned/{stage.name}", stage.steps)
        progress = min(index / planned, 1.0)
        self.updater.set_hyperparameters(progress)
        for update in stage.updates:
            self.updater.fire(stage, update, index, progress)
        n = self.state.scalars["averaged"] = self.state.scalars["averaged"] + 1
        for average, decay in self._averaged:
            # A smaller decay at first, so that initial weights do not dominate a short run's
            # average.
            average.move(1 - min(value_at(decay, progress), n / (9 + n)))
        for lagged, share in self._followed:
            lagged.move(share)

    # ---------------------------------------------------------------------------------- between two steps

    def _between_steps(self) -> None:
        self.state.ended = self.index >= self.stage.steps
        if self._adjust_controls() or (self._due(self.run.log_every) and self._log_and_recover()):
            return  # an earlier checkpoint is restored
        run = self.run
        every = {"validation": run.validate_every, "preview": run.preview_every, "checkpoint": run.save_every}
        due = self._postponed | {what for what, steps in every.items() if self._due(steps)}
        # Postponed until gradients are finite again, or until a rollback.
        self._postponed = due if due and not self.state.ended and self._dropping() else frozenset()
        if not due or self._postponed or self._recover_weights():
            return
        improved = "validation" in due and self._validate()
        if "preview" in due or self.state.ended:
            with self.inference() as nets:
                if distributed.rank() == 0 and self.folder.is_dir():  # if gone, the next save raises
                    with optional(self.folder / "previews"):
                        self.preview(nets, self.folder / "previews")
        if self.state.ended:
            self.state.scalars[f"last_step/{self.stage.name}"] = self.step
        if improved or "checkpoint" in due or self.state.ended:
            self._save()

    def _due(self, every: int) -> bool:
        return self.state.ended or self.index % every == 0

    def _save(self) -> None:
        self.log.flush()
        distributed.decided_by_first(self._check_folder, self.device)  # which writes there
        self._call("on_checkpoint", saving.save(self.state, self.folder, to_table(self.config), self.run.keep))

    def _check_folder(self) -> None:
        """Raises CheckpointError where another folder has taken the place of the run's."""
        if self.folder.is_dir() and not any((self.folder / name).exists() for name in ("config.toml", "checkpoints")):
            raise CheckpointError(
                f"{self.folder} is another folder now, without the run's config.toml; bring the run back, or choose another --out"
            )

    def _log_and_recover(self) -> bool:
        """Logs; True when too many consecutive non-finite gradients rolled the run back."""
        now = time.monotonic()
        speed = (self.step - self._since[1]) * self.updater.batch / max(now - self._since[0], 1e-9)
        self._since = (now, self.step)
        dropped = {"dropped": float(self.state.scalars["dropped"])} if self.state.scalars.get("dropped") else {}
        self.log.metrics(self.step, self.index, self.updater.meter.read() | dropped, speed, self.left.after(self.index))
        for update in self.stage.updates:
            streak, fired = (int(self.state.scalars.get(f"{what}/{update.name}", 0)) for what in ("nonfinite", "fired"))
            # At the end of a short stage fewer suffice, if they are at least half of all.
            if streak >= MAX_NONFINITE_STREAK or (
                self.state.ended and (0 < streak == fired or 1 < streak >= fired / 2)
            ):
                number = min(streak, MAX_NONFINITE_STREAK)
                more = " or more" if streak >= number == MAX_NONFINITE_STREAK else ""
                of = f"update {update.name!r} of {' and '.join(update.trains)}"
                self._lower_rate(f"{of}: {number}{more} gradients in a row were not finite at step {self.step}")
                return True
        return False

    def _dropping(self) -> bool:
        """Whether any update's last gradient was not finite."""
        return any(int(self.state.scalars.get(f"nonfinite/{update.name}", 0)) for update in self.stage.updates)

    def _recover_weights(self) -> bool:
        """True when the run was rolled back because its state was not finite."""
        if broken := self._broken():
            self._lower_rate(f"{broken} at step {self.step}")
        return bool(broken)

    def _broken(self) -> str:
        """Which tensor of the state is not finite, and its updates; "" if none. Alike on all
        ranks."""
        bad = saving.not_finite(self.state)
        if distributed.any_rank(bool(bad), self.device):
            bad = bad or "a buffer of another rank is not finite"
            trains = [u.name for u in self.stage.updates if bad.partition(".")[0] in u.trains]
            return bad + (f" after update {' and '.join(map(repr, trains))}" if trains else "")
        return ""

    def _lower_rate(self, what: str) -> None:
        """Goes back to the last checkpoint with half the learning rate. Raises DataError where the
        data are not finite."""
        if distributed.any_rank(self._data_not_finite(), self.device):
            raise DataError(f"{what}: the training data hold NaN or infinities; correct them, or leave those items out")
        lr = self.state.scalars["control/lr"] / 2
        folder = checkpoint.saved(self.folder / "checkpoints")[-1]  # one is saved before the first step
        line = {"control": "lr", "value": lr, "reason": what}
        fp32 = "" if self.updater.precision in ("fp32", "fp64") else " or try --precision fp32"
        self._go_back(folder, {"control/lr": lr}, line, f"{what}, now {lr:g} of the learning rate", fp32)

    def _data_not_finite(self) -> bool:
        """Whether data of this stage are not finite: all if in memory, else the last batches."""
        for update in self.stage.updates:
            source = self.data if update.data is None else update.data
            if isinstance(source, TensorSource):
                batches = [source.tensors]
            elif isinstance(source, Pool) or update.name not in self.updater.streams:
                continue
            else:
                fired = self.state.scalars.get(f"fired/{update.name}", 0)
                last = range(max(fired - MAX_NONFINITE_STREAK, 0), fired)
                batches = [self.updater.streams[update.name][number] for number in last]
            if any(checkpoint.not_finite(batch) for batch in batches):
                return True
        return False

    def _adjust_controls(self) -> bool:
        """Applies the rules that are due; True when one of them rolled the run back."""
        scalars, stage = self.state.scalars, self.stage
        for control in [c for c in stage.controls if self.index % c.every == 0]:
            decision = controls.decide(control, stage, self.state)
            settings = controls.settings_of(decision, control)
            line = controls.changes_of(decision, control, stage, scalars)
            if decision.rollback:
                best = scalars.get(f"best_step/{stage.name}")
                newest = checkpoint.saved(self.folder / "checkpoints")[-1]
                folder = newest if best is None else newest.with_name(f"step-{best:09d}")
                what = f"control {control.name!r} at step {self.step}: {decision.reason}"
                self._go_back(folder, settings, line, what, " or let the rule ask for fewer rollbacks")
                return True
            if line:
                self.log.event(self.step, **line)
            scalars |= settings
        return False

    def _go_back(self, folder: Path, settings: dict[str, Any], line: dict[str, Any], what: str, remedy: str) -> None:
        """Rolls back to a checkpoint for another attempt, with other draws and `settings` as
        scalars.

        Logs `line`, prints `what` happened, and saves, so that attempts count across resumes.
        Raises TrainingError, with the remedy, after the last rollback that is allowed.
        """
        state, step, number = self.state, self.step, self.state.number
        counters = {"attempt": state.scalars["attempt"] + 1, "seconds": state.scalars["seconds"]}
        if counters["attempt"] > MAX_ROLLBACKS:
            raise TrainingError(f"{what}, after {MAX_ROLLBACKS} rollbacks; lower the learning rate{remedy}")
        saving.restore(state, folder, self.plan, self.enter)
        distributed.barrier()  # all have read what the first rank is about to replace
        state.scalars |= counters | {name: 0 for name in state.scalars if name.startswith("nonfinite/")}
        # A stage without a checkpoint begins again, and then sets its own scalars.
        state.scalars |= settings if state.number == number else {controls.NEXT_STAGE: settings}
        if distributed.rank() == 0:
            checkpoint.drop_newer(folder)
        self._postponed = frozenset()
        self._since = (time.monotonic(), state.step)
        say(f"{what}; going back to {folder.name}")
        self.log.event(state.step, **line, rollback=step)
        self._save()

    def _validate(self) -> bool:
        """Validates; True when this is the best of the stage so far. May end the stage."""
        began = time.monotonic()
        with self.inference() as nets, if_slow("measuring on the validation data"):
            values = self.validate(nets)
        if values:
            self.left.validation = time.monotonic() - began
        metrics = dict(zip(values, distributed.from_first(list(values.values()), self.device), strict=True))
        self.state.scalars |= {f"validation/{name}": value for name, value in metrics.items()}
        self._call("on_evaluate", metrics)
        if metrics:
            self.log.event(self.step, validation=metrics, seconds=round(self.state.scalars["seconds"], 1))
        until, best, stage = self.stage.until, self.stage.best, self.stage.name
        if (tracks := until or best) is None:
            return False
        value = tracks.of(metrics, stage)
        improved = tracks.better(value, self.state.scalars.get(f"best_value/{stage}"))
        if improved:
            self.state.scalars |= {f"best_value/{stage}": value, f"best_step/{stage}": self.step}
        waited = self.state.scalars["waited"] = 0 if improved else self.state.scalars.get("waited", 0) + 1
        if until is not None and waited >= until.patience:
            self.state.ended, self.state.scalars[f"stopped/{stage}"] = True, self.step
            say(f"{stage}: no better {until.metric} in {waited} validations")
            if until.restore:
                best_files = saving.checkpoint_of(self.state, self.folder, stage, "best")
                saving.load_networks(self.state, best_files, f"best of {stage}")
        return improved

    def _call(self, hook: str, *arguments: object) -> None:
        for callback in self.callbacks:
            getattr(callback, hook)(self, *arguments)
