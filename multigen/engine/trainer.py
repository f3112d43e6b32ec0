"""The trainer: a method states its networks, data and stages; the loop, saving, logging and recovery are here, once."""

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import torch
from torch import Tensor, nn

from multigen.config import Run, to_table, write_toml
from multigen.console import say
from multigen.engine import checkpoint, distributed, saving
from multigen.engine.batches import Batch, Source, Stream
from multigen.engine.budget import scaled_to
from multigen.engine.callbacks import Callback
from multigen.engine.device import choose_device, choose_precision
from multigen.engine.ema import Follower, average_like, reestimate_statistics
from multigen.engine.evaluation import Evaluation, RunInfo
from multigen.engine.interrupts import heard
from multigen.engine.log import RunLog
from multigen.engine.optimisers import Adam, Optimiser
from multigen.engine.plan import Stage, Step
from multigen.engine.randomness import key, seed_everything
from multigen.engine.saving import start_from
from multigen.engine.schedules import Schedule, value_at
from multigen.engine.updater import Updater
from multigen.errors import Interrupted, TrainingError
from multigen.storage.model_folder import write_model
from multigen.storage.run_folder import find_run, new_folder
from multigen.version import __version__

__all__ = ["Trainer"]

C = TypeVar("C")
# Dropped gradients of one update in a row that send a run back to its last checkpoint, and returns before it is given up.
IN_A_ROW, RETURNS = 5, 3


class Trainer(Generic[C]):
    """Trains the networks of one method. A configuration has at least `batch` (rows of a global batch) and `steps`.

    A method overrides `networks`, `open_data` and `stages`, and what it needs of the rest. Each network and each copy of a stage
    is also an attribute by its name, as losses use them: `self.G`.
    """

    name: ClassVar[str]
    """Name of the method, as in `python -m multigen.recipes.<name>`."""
    noun: ClassVar[str] = "items"
    """What it is trained on and makes, in the plural; `multigen.catalogue.USES` says how models are used that do."""
    exports: ClassVar[Sequence[str]] = ("G",)
    """Networks that inference needs."""
    budget: ClassVar[Sequence[str]] = ("steps",)
    """Fields of the configuration that are the steps of stages: `run.minutes` scales them."""

    # ---------------------------------------------------------------------------------- what a method states

    def networks(self) -> dict[str, nn.Module]:
        """Networks by name. `self.data` is open already."""
        raise NotImplementedError

    def open_data(self) -> Source:
        """Training data. Raises DataError with path and remedy."""
        raise NotImplementedError

    def stages(self) -> list[Stage]:
        """What is trained, in which order."""
        raise NotImplementedError

    def optimisers(self) -> Optimiser | Mapping[str, Optimiser]:
        """One description for all networks, or one for each by name."""
        return Adam()

    def averaged(self) -> Mapping[str, Schedule]:
        """Networks of which a running average is kept, with its decay."""
        return {}

    def forward(self, name: str, network: nn.Module, batch: Batch, step: Step) -> object:
        """Runs `network` as the losses do; asked for when an averaged network has BatchNorm."""
        raise NotImplementedError(f"forward must run {name}: an averaged network with BatchNorm needs new statistics")

    def validate(self, nets: Mapping[str, nn.Module]) -> dict[str, float]:
        """Figures on data that is neither training nor test data; they choose the best checkpoint."""
        return {}

    def preview(self, nets: Mapping[str, nn.Module], folder: Path) -> None:
        """Writes something to look at or listen to, named after `self.step`."""

    def score(self) -> Evaluation:
        """Measures what was trained on test data, beside its baselines."""
        return Evaluation()

    def texts(self) -> dict[str, str]:
        """Text files that inference needs besides weights, by name, such as a vocabulary."""
        return {}

    def default_callbacks(self) -> Sequence[Callback]:
        """Callbacks of every run of this trainer, besides those it is given."""
        return ()

    # ---------------------------------------------------------------------------------- what a user calls

    def __init__(self, config: C, run: Run | None = None, callbacks: Sequence[Callback] = ()):
        self.config, self.run = config, run or Run()
        self.callbacks = [*callbacks, *self.default_callbacks()]
        self.number = self.index = self.step = 0  # stage, steps within it, steps in all
        self.ended = self._entered = False

    def fit(self) -> Self:
        """Trains to the end, or goes on with `run.resume`. Writes the run's folder, with the model in it.

        Raises Interrupted after Ctrl-C or SIGTERM (a checkpoint is saved), TrainingError when gradients stay non-finite.
        """
        self.prepare()
        self.folder = self._claim_folder()
        self.log = RunLog(self.folder if distributed.rank() == 0 else None, self.run.tensorboard, self.step)
        try:
            with heard() as asked:
                self._train(asked, time.monotonic() - self.state["seconds"])
            if distributed.rank() == 0:
                weights = {name: self.saved(name, self.plan[-1].name, "best") for name in self.exports}
                write_model(self.folder / "model", self.name, to_table(self.config), weights, self.texts())
            self._call("on_end")
        except BaseException as error:
            self._call("on_error", error)
            raise
        finally:
            self.log.close()
            self.updater.streams.clear()  # ends their workers
        return self

    def evaluate(self) -> Evaluation:
        """Measures the run by `score`; callbacks write `evaluation.json` and complete the model card."""
        self.evaluation = self.score()
        self._call("on_evaluation", self.evaluation)
        return self.evaluation

    def control(self, name: str) -> float:
        """Present value of a control."""
        return self.state[f"control/{name}"]

    def saved(self, network: str, stage: str, which: str) -> dict[str, Tensor]:
        """Weights of `network` (its running average, if kept) at the "last" or the "best" step of a stage; the last where
        no best is chosen."""
        files = saving.checkpoint_of(self, stage, which)
        return files.get(f"{network}.ema", files[network])

    @property
    def stage(self) -> Stage:
        return self.plan[self.number]

    @contextlib.contextmanager
    def inference(self) -> Iterator[dict[str, nn.Module]]:
        """Networks as they are sampled and validated: running averages where kept, evaluation mode, no gradients."""
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

    def prepare(self) -> None:
        """Opens the data and builds everything; `fit` does it itself."""
        if hasattr(self, "plan"):
            return
        self.device = choose_device(self.run.device)
        self.precision = choose_precision(self.run.precision, self.device)
        distributed.join(self.device)
        self.data = self.open_data()
        seed_everything(key(self.run.seed, "weights"), self.device)
        dtype = torch.float64 if self.precision == "fp64" else torch.float32
        self.nets = self.networks()
        for name, net in self.nets.items():
            net.train().to(self.device, dtype, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
            setattr(self, name, torch.compile(net) if self.run.compile else net)
        if self.run.start and not self.run.resume:
            start_from(self.run.start, self.nets)
        self.averages = {name: average_like(self.nets[name]) for name in self.averaged()}
        self.updater = Updater(self.nets, self.data, self.config.batch, self.run, self.device, self.precision)  # pyright: ignore[reportAttributeAccessIssue]
        self.state: dict[str, Any] = self.updater.state
        self.state |= {"attempt": 0, "control/lr": 1.0, "seconds": 0.0}
        self.plan = [stage for stage in self.stages() if stage.steps]

    # ---------------------------------------------------------------------------------- the loop

    def _claim_folder(self) -> Path:
        """Folder of a new run or of the resumed one, which is restored; the configuration, resolved, is written there."""
        fixed = self.run.resolved(self.device.type, self.precision)
        if self.run.resume:
            folder = find_run(self.run.resume)
            saving.check_same(self, folder, fixed)
            saving.resume(self, folder)
        else:
            folder = new_folder(self.run.out, self.name, distributed.from_first([time.time()], self.device)[0])
            if self.run.minutes:
                self.config = scaled_to(self, self.run.minutes)
                self.plan = [stage for stage in self.stages() if stage.steps]
        distributed.barrier()
        if distributed.rank() == 0:
            (folder / "previews").mkdir(parents=True, exist_ok=True)
            table = {**self.about(), "config": to_table(self.config), "run": to_table(fixed)}
            write_toml(folder / "config.toml", table)
        return folder

    def enter(self, stage: Stage) -> None:
        """Begins a stage: copies, optimisers, running averages, controls."""
        self.updater.enter(stage, {name: self.spec(stage, name) for name in self.nets})
        self.copies = {name: average_like(self.nets[c.source]).train() for name, c in stage.copies.items()}
        vars(self).update(self.copies)
        copies = [(self.copies[name], self.nets[c.source], c.follow) for name, c in stage.copies.items() if c.follow]
        self._followed = [(Follower(copy, network), share) for copy, network, share in copies]
        self._averaged = [(Follower(self.averages[n], self.nets[n]), decay) for n, decay in self.averaged().items()]
        for follower, _ in [] if stage.keep_ema else self._averaged:
            self.state["averaged"] = 0
            follower.move(1.0)
        self.state |= {f"control/{control.name}": control.start for control in stage.controls} | {"waited": 0}
        self._entered = True

    def spec(self, stage: Stage, network: str) -> Optimiser:
        """Description of a network's optimiser in a stage."""
        given = (s if isinstance(s, Optimiser) else (s or {}).get(network) for s in (stage.optim, self.optimisers()))
        return next((spec for spec in given if spec is not None), Adam())

    def _train(self, asked: Sequence[int], began: float) -> None:
        while self.number < len(self.plan):
            if not self._entered:
                saving.start(self, self.stage)
                self.enter(self.stage)
                if self.step == 0:
                    self._save()
            self.log.begin(self.stage.name, self.stage.steps, self.index)
            self._since = (time.monotonic(), self.step)
            while not self.ended:
                self.advance(self.index)
                self.index, self.step = self.index + 1, self.step + 1
                self._call("on_step")
                self.state["seconds"] = time.monotonic() - began
                self._between_steps()
                # Ranks are signalled at different moments; they agree every few steps.
                if (distributed.world() == 1 or self.step % 10 == 0) and distributed.any_rank(bool(asked), self.device):
                    self._save()
                    raise Interrupted(f"stopped at step {self.step}; go on with: --resume {self.folder}", *asked[:1])
            self.number, self.index, self.ended, self._entered = self.number + 1, 0, False, False

    def advance(self, index: int) -> None:
        """One step: a pass over the stage's updates."""
        stage = self.stage
        progress = index / stage.steps
        self.updater.set_hyperparameters(progress, self.state["control/lr"])
        for update in stage.updates:
            self.updater.fire(stage, update, index, progress)
        n = self.state["averaged"] = self.state.get("averaged", 0) + 1
        for follower, decay in self._averaged:
            # The first steps weigh more: a short run is not held back by its initial weights.
            follower.move(1 - min(value_at(decay, progress), n / (9 + n)))
        for follower, share in self._followed:
            follower.move(share)

    def _between_steps(self) -> None:
        self.ended = self.index >= self.stage.steps
        self._adjust_controls()
        if self._due(self.run.log_every) and self._log_and_recover():
            return
        improved = self._due(self.run.validate_every) and self._validate()
        if self._due(self.run.preview_every):
            with self.inference() as nets:
                if distributed.rank() == 0:
                    self.preview(nets, self.folder / "previews")
        if self.ended:
            self.state[f"last_step/{self.stage.name}"] = self.step
        if improved or self._due(self.run.save_every):
            self._save()

    def _due(self, every: int) -> bool:
        return self.ended or self.index % every == 0

    def _save(self) -> None:
        self._call("on_checkpoint", saving.save(self))

    def _log_and_recover(self) -> bool:
        """Logs; True when too many gradients in a row were not finite and the run went back to its last checkpoint."""
        now = time.monotonic()
        speed = (self.step - self._since[1]) * self.updater.batch / max(now - self._since[0], 1e-9)
        self._since = (now, self.step)
        dropped = {"dropped": float(self.state["dropped"])} if self.state.get("dropped") else {}
        self.log.metrics(self.step, self.index, self.updater.meter.read() | dropped, speed)
        bad = [u.name for u in self.stage.updates if self.state.get(f"nonfinite/{u.name}", 0) >= IN_A_ROW]
        if not bad:
            return False
        change = {"attempt": self.state["attempt"] + 1, "control/lr": self.state["control/lr"] / 2}
        what = f"update {bad[0]!r}: {IN_A_ROW} or more gradients in a row were not finite at step {self.step}"
        if change["attempt"] > RETURNS:
            raise TrainingError(f"{what}, after {RETURNS} returns; lower the learning rate or try --precision fp32")
        folder = checkpoint.saved(self.folder / "checkpoints")[-1]  # one is saved before the first step
        saving.restore(self, folder)
        self.state |= change | {k: 0 for k in self.state if k.startswith("nonfinite/")}
        self._since = (now, self.step)
        say(f"{what}; going back to {folder.name} with {change['control/lr']:g} of the learning rate")
        self.log.event(self.step, control="lr", value=change["control/lr"], reason=what)
        return True

    def _adjust_controls(self) -> None:
        for control in [c for c in self.stage.controls if self.index % c.every == 0]:
            old = self.control(control.name)
            value, reason = control.rule(old, self.updater.signals[control.name].read())
            self.state[f"control/{control.name}"] = value
            if value != old:
                self.log.event(self.step, control=control.name, value=value, reason=reason)

    def _validate(self) -> bool:
        """Validates; True when this is the best of the stage so far. May end the stage."""
        with self.inference() as nets:
            found = self.validate(nets)
        metrics = dict(zip(found, distributed.from_first(list(found.values()), self.device), strict=True))
        self._call("on_evaluate", metrics)
        if metrics:
            self.log.event(self.step, validation=metrics)
        until, best, stage = self.stage.until, self.stage.best, self.stage.name
        if (tracks := until or best) is None:
            return False
        value = tracks.of(metrics, stage)
        improved = tracks.better(value, self.state.get(f"best_value/{stage}"))
        if improved:
            self.state |= {f"best_value/{stage}": value, f"best_step/{stage}": self.step}
        waited = self.state["waited"] = 0 if improved else self.state.get("waited", 0) + 1
        if until is not None and waited >= until.patience:
            self.ended, self.state[f"stopped/{stage}"] = True, self.step
            say(f"{stage}: no better {until.metric} in {waited} validations")
            if until.restore:
                saving.load_networks(self, saving.checkpoint_of(self, stage, "best"), f"best of {stage}")
        return improved

    # ---------------------------------------------------------------------------------- smaller things

    def items(self) -> int:
        """Number of training items, as people count them."""
        return len(self.data)

    def about(self) -> dict[str, Any]:
        """What config.toml says of the run besides its settings; `title` is the first line of the method's file."""
        doc = getattr(sys.modules.get(type(self).__module__), "__doc__", None)
        return {
            "version": __version__,
            "recipe": self.name,
            "title": (doc or "").strip().partition("\n")[0],
            "makes": self.noun,
            "items": self.items(),
            "parameters": sum(p.numel() for name in self.exports for p in self.nets[name].parameters()),
        }

    def run_info(self) -> RunInfo:
        """What records state of this run."""
        steps = {stage.name: stage.steps for stage in self.plan}
        return RunInfo(self.name, self.run.seed, steps, self.precision, self.state["seconds"])

    def _forward(self, name: str, network: nn.Module, i: int) -> object:
        """One forward pass on batch `i` of a stream that serves nothing but batch statistics."""
        stream = Stream(self.data, self.updater.batch, self.updater.rows, (self.run.seed, "statistics"))
        step = self.updater.step_at((self.run.seed, 0, "statistics", name, i, 0), 0.0, self.updater.rows)
        seed_everything(key(*step.place, distributed.rank()), self.device)
        return self.forward(name, network, self.updater.move(stream.at(i)), step)

    def _call(self, hook: str, *arguments: object) -> None:
        for callback in self.callbacks:
            getattr(callback, hook)(self, *arguments)
