"""The trainer: builds a method's networks, data and stages, and trains them in a run folder."""

import contextlib
import copy
import functools
import inspect
import re
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar, get_args

import torch
from torch import Tensor, nn

from multigen.config import Run, Settings, check_texts, to_table, write_toml
from multigen.console import if_slow, resume_option, say
from multigen.engine import distributed, memory_use, ranks, saving
from multigen.engine.batches import Batch, DataInfo, Source
from multigen.engine.budget import keep_schedule, may_grow, part_within, scaled, steps_message
from multigen.engine.callbacks import Callback
from multigen.engine.device import choose_device, choose_precision, to_layout
from multigen.engine.ema import average_like
from multigen.engine.evaluation import Evaluation, RunInfo
from multigen.engine.interrupts import deferred_interrupts
from multigen.engine.log import RunLog
from multigen.engine.loop import Loop
from multigen.engine.optimisers import Adam, Optimiser
from multigen.engine.plan import Stage, Step
from multigen.engine.randomness import key, seed_everything
from multigen.engine.schedules import Schedule
from multigen.engine.shown import USAGE, signature_for
from multigen.engine.state import TrainingState
from multigen.engine.time_left import TimeLeft
from multigen.engine.trial import choices_of, try_out
from multigen.engine.updater import Updater
from multigen.errors import CheckpointError, ConfigError, Interrupted
from multigen.memory import memory_errors
from multigen.storage.files import expanded, remedy, remove_leftovers
from multigen.storage.lines import optional
from multigen.storage.lock import locked
from multigen.storage.model_folder import write_model
from multigen.storage.run_folder import new_folder, remove_if_empty
from multigen.version import __version__

__all__ = ["Trainer"]

C = TypeVar("C")
ATOMIC_FILES = re.compile(
    r"(config\.toml|metrics\.jsonl|evaluation\.json|report\.html|README\.md|(samples|nearest|curves|comparison|step-\d+)\.\w+)"
)
"""Files of a run that are written atomically, under a temporary name first."""


class Trainer(Loop, Generic[C]):
    """Trains the networks of one method. A configuration has at least `batch` (rows of a global
    batch) and `steps`.

    A method overrides `networks`, `open_data` and `stages`, and any of the other methods that it
    needs. Networks and copies are also attributes, as losses use them: `self.G`.
    """

    name: ClassVar[str]
    """Name of the method, as in `python -m multigen.recipes.<name>`."""
    task: str = ""
    """Task of its models: a name of `multigen.catalogue.TASKS`."""
    config_type: ClassVar[type]
    """Class of its configuration: C."""
    exports: ClassVar[Sequence[str]] = ("G",)
    """Networks that inference needs; `optional`: those that it may use."""
    optional: ClassVar[Sequence[str]] = ()
    sizes: ClassVar[Sequence[str]] = ()
    """Fields of the configuration of which a smaller value needs less memory."""
    budget: ClassVar[Sequence[str]] = ("steps",)
    """Configuration fields that hold the stages' numbers of steps: `run.minutes` scales them."""
    validations: ClassVar[float] = 5.0
    """Estimated time of the evaluation, in validations."""
    data_info: DataInfo = DataInfo()
    """What opening the data has determined (classes, channels, vocabulary); `open_data` sets it."""
    held_out: str = ""
    """Fingerprint of the validation and test data, which `open_data` sets; empty: not compared."""
    files: Mapping[str, str] = {}
    """Fingerprints of other files that settings name, by setting, which `open_data` sets."""
    command: str = ""
    """The command that started the run, without measured options, to print how to repeat it."""
    paces: Sequence[float] = ()
    """Seconds of a step by stage, where a trial measured them."""
    untrained: Collection[str] = ()
    """Networks that the run that this one starts from has no weights of."""
    _claimed: Path | None = None
    __signature__: ClassVar[inspect.Signature]

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        for base in cls.__dict__.get("__orig_bases__", ()):
            if arguments := [a for a in get_args(base) if isinstance(a, type)]:
                cls.config_type = arguments[0]
        if "name" in cls.__dict__ and hasattr(cls, "config_type"):
            whole = signature_for(cls.__init__, cls.config_type)
            cls.__signature__ = whole.replace(parameters=[*whole.parameters.values()][1:])  # without self
            cls.__doc__ = (cls.__dict__.get("__doc__") or "").rstrip() + USAGE.format(
                cls.__name__, cls.config_type.__name__
            )

    # ---------------------------------------------------------------------------------- what a method states

    def networks(self) -> dict[str, nn.Module]:
        """Builds the networks, by name. `self.data` is already open."""
        raise NotImplementedError

    def open_data(self) -> Source:
        """Opens the training data; sets `data_info` where inference or a resume needs facts about
        them. Raises DataError with path and remedy."""
        raise NotImplementedError

    def stages(self) -> list[Stage]:
        """The stages of training, in order."""
        raise NotImplementedError

    def optimisers(self) -> Optimiser | Mapping[str, Optimiser]:
        """One description for all networks, or one for each by name."""
        return Adam()

    def averaged(self) -> Mapping[str, Schedule]:
        """Networks of which a running average is kept, with its decay."""
        return {}

    def forward(self, name: str, network: nn.Module, batch: Batch, step: Step) -> object:
        """Runs `network` as the losses do; needed where an averaged network has BatchNorm."""
        raise NotImplementedError(f"forward must run {name}: an averaged network with BatchNorm needs new statistics")

    def validate(self, nets: Mapping[str, nn.Module]) -> dict[str, float]:
        """Metrics on data that are neither training nor test data; they select the best
        checkpoint."""
        return {}

    def preview(self, nets: Mapping[str, nn.Module], folder: Path) -> None:
        """Writes samples to look at or listen to, named after `self.step`."""

    def score(self) -> Evaluation:
        """Evaluates the trained networks on test data, next to baselines."""
        return Evaluation()

    def drawn(self) -> int:
        """Random numbers that the losses draw for each row of a batch."""
        return 0

    def texts(self) -> dict[str, str]:
        """Text files that inference needs besides weights, by name, such as a vocabulary."""
        return {}

    def exported(self, name: str) -> dict[str, Tensor]:
        """A network's weights in the model folder; {} of an optional one that it does not hold."""
        return self.saved(name, self.plan[-1].name, "best")

    def default_callbacks(self) -> Sequence[Callback]:
        """Callbacks of every run of this trainer, besides those passed to it."""
        return ()

    # ---------------------------------------------------------------------------------- what a user calls

    def __init__(self, config: C, run: Run | None = None, callbacks: Sequence[Callback] = ()):
        self.config, self.run = config, run or Run()
        self.callbacks = [*callbacks, *self.default_callbacks()]

    def fit(self) -> Self:
        """Trains from the beginning or from `run.resume` to the end. Writes the run's folder.

        Raises Interrupted after Ctrl-C, SIGTERM or SIGHUP (a checkpoint is saved), TrainingError
        when gradients stay non-finite or another rank is lost, OutOfMemory.
        """
        if hasattr(self, "folder"):
            again = f"Run(resume={str(self.folder)!r})"
            raise ConfigError(f"fit() was called before; make a new trainer, to resume this run with {again}")
        # Claimed before anything is measured or opened: a folder in use is refused at once.
        with self.claimed() as folder, self._explained():
            self.prepare()
            self._begin_folder(folder)
            self.folder = folder
            own, attempt = folder if distributed.rank() == 0 else None, self.state.scalars["attempt"]
            self.log = RunLog(own, self.run.tensorboard, self.step, attempt)
            self.left = TimeLeft([stage.steps for stage in self.plan], self.paces, self.validations)
            try:
                self._train_and_export()
            except BaseException as error:
                self._call("on_error", error)
                raise
            finally:
                self.log.close()
                self.updater.streams.clear()  # ends their workers
        return self

    def evaluate(self) -> Evaluation:
        """Evaluates by `score`; callbacks write `evaluation.json` and complete the model card."""
        if not hasattr(self, "folder"):
            raise ConfigError("evaluate() before fit(): nothing is trained yet; call fit() first")
        say("evaluating the trained networks")
        with self.claimed(), self._explained():
            self.evaluation = self.score()
            self._call("on_evaluation", self.evaluation)
        return self.evaluation

    @contextlib.contextmanager
    def claimed(self) -> Iterator[Path]:
        """Locks the run's folder: no other process trains or evaluates in it meanwhile. `fit` and
        `evaluate` claim it themselves; claim it around both so that no other process comes between
        them.

        Raises ConfigError, on every rank, where another process holds it.
        """
        if self._claimed is not None:
            yield self._claimed
            return
        with self._explained(), contextlib.ExitStack() as stack:
            self._join()
            self._claimed = distributed.decided_by_first(lambda: self._claim(stack), self.device)
            try:
                yield self._claimed
            finally:
                self._claimed = None

    def _train_and_export(self) -> None:
        """Trains and writes the model folder. A signal after the last step ends the run then."""
        with deferred_interrupts() as signals:
            self._train(signals, time.monotonic() - self.state.scalars["seconds"])
            if not self.folder.is_dir():  # it may be on a disk that is gone, and is not made again
                raise CheckpointError(f"{self.folder} is gone; bring it back, or train again")
            if distributed.rank() == 0:
                data = to_table(self.data_info)
                weights = {name: w for name in (*self.exports, *self.optional) if (w := self.exported(name))}
                write_model(self.folder / "model", self.name, to_table(self.config), weights, self.texts(), data)
            self._call("on_end")
            if distributed.any_rank(bool(signals), self.device):
                raise Interrupted(
                    f"stopped before the evaluation; resume with: {resume_option(self.folder)}", *signals[:1]
                )

    def prepare(self) -> None:
        """Opens the data and builds everything; `fit` calls it. A trial on a copy first chooses
        what the run leaves open: precision, memory format, and with minutes the steps."""
        if hasattr(self, "plan"):
            return
        self._join()
        with if_slow("reading the data"):
            self.data = self.open_data()
        check_texts([to_table(settings) for settings in (self.config, self.data_info, self.run)])
        ranks.check_data(self.data_info, len(self.data))
        memory_use.check_batch(self.data, self.config.batch, self.drawn(), self.run.seed, self._less())  # pyright: ignore
        if (self.run.precision == "auto" or self.run.minutes or self.run.most_minutes) and not self.run.resume:
            self._try_out()
        with if_slow("building the networks"):
            self._build()

    def _build(self) -> None:
        """Builds networks, optimisers, running averages and stages from the configuration."""
        seed_everything(key(self.run.seed, "weights"), self.device)
        dtype = torch.float64 if self.precision == "fp64" else torch.float32
        self.nets = self.networks()
        for name, net in self.nets.items():
            to_layout(net.train().to(self.device, dtype), self.layout)
            setattr(self, name, torch.compile(net) if self.run.compile else net)
        self.untrained = saving.start(self.run, self.name, self.nets, self.exports)
        scalars = {"attempt": 0, "control/lr": 1.0, "seconds": 0.0}
        batch: int = self.config.batch  # pyright: ignore[reportAttributeAccessIssue]
        in_which = (self.run, self.device, self.precision, self.layout)
        self.updater = Updater(self.nets, self.data, batch, *in_which, scalars)
        self.averages = {name: average_like(self.nets[name]) for name in self.averaged()}
        self.state = TrainingState(self.nets, self.averages, self.updater, scalars)
        self.plan = [stage for stage in self.stages() if stage.steps]
        self.updater.check(self.plan)

    def _try_out(self) -> None:
        """Sets precision, memory format and steps by a trial on a copy with the same data."""
        run, config = self.run, self.config
        trial = copy.copy(self)
        trial.run = replace(run, workers=0, start="")
        trial._build()
        convolutional = any(p.dim() == 4 for net in trial.nets.values() for p in net.parameters())
        choices = choices_of(run, self.device, convolutional)
        result = try_out(trial, choices, run.minutes, timed=bool(run.minutes or run.most_minutes))
        steps = [stage.steps for stage in trial.plan]
        vars(trial).clear()  # its networks are in a circle of references, and would stay for a while
        self.precision, self.layout = result.choice.precision, result.choice.layout
        self.paces = result.seconds
        total = sum(n * seconds for n, seconds in zip(steps, result.seconds, strict=False))
        share = run.minutes * 60 / total if run.minutes else part_within(total, run.most_minutes)
        if run.minutes or share != 1:
            self.config = scaled(config, self.budget, share)
            steps = {field: getattr(self.config, field) for field in self.budget}
            say(steps_message(steps, run, result.choice, total, share, self.command))
            self.data = self.open_data()  # which may hold the configuration

    # ---------------------------------------------------------------------------------- its folder

    def _join(self) -> None:
        """Chooses the device and joins the other ranks, once. Options to measure keep their
        defaults."""
        if hasattr(self, "plan"):
            return
        self.device = choose_device(self.run.device)
        distributed.join(self.device)
        if self.run.resume:
            self.run = saving.with_recorded_choice(self.run)
        ranks.check_run(type(self), self.name, self.config, self.run, self.device)
        precision = choose_precision(self.run.precision, self.device)
        self.precision, self.layout = "fp32" if self.run.precision == "auto" else precision, self.run.layout

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns a lost rank or a lack of memory within it into an error with the remedy."""
        with distributed.lost_ranks(self._remedy), memory_errors(self._less()):
            yield

    def _remedy(self) -> str:
        """What to do when another rank is lost."""
        saved = hasattr(self, "folder") and (self.folder / "checkpoints").exists()
        return f"resume with: {resume_option(self.folder)}" if saved else "start all of them again"

    def _less(self) -> str:
        """What to do where memory is short."""
        return memory_use.what_to_lower(self.config, self.run, self.sizes)

    def _claim(self, stack: contextlib.ExitStack) -> Path:
        """Folder of a new run, or of the one to resume, locked until `stack` closes; a new one that
        is still empty is then removed."""
        if folder := getattr(self, "folder", None):
            stack.enter_context(locked(folder))
            return folder
        if self.run.resume:
            folder = saving.find_resumable(self.run.resume)
        else:
            existed = bool(self.run.out) and expanded(self.run.out).exists()
            folder = new_folder(self.run.out, self.name, time.time())
            if not existed:
                stack.callback(remove_if_empty, folder)
        stack.enter_context(locked(folder))
        if not self.run.resume and (folder / "config.toml").exists():  # another run began and ended here meanwhile
            raise ConfigError(
                f"{folder} holds a run already; resume it with {resume_option(folder)}, or choose another --out"
            )
        return folder

    def check_data(self) -> None:
        """Raises ConfigError where a resume finds other data, or other files, than the run began
        with. `open_data` may call it once their fingerprints are known, before what takes long."""
        if self.run.resume and self._claimed is not None:
            saving.check_data(self._claimed, self.data_info.fingerprint, self.held_out, self.files)

    def _begin_folder(self, folder: Path) -> None:
        """Restores the run to resume; writes the configuration, resolved, into the folder."""
        fixed = self.run.resolved(self.device.type, self.precision, self.layout)
        if self.run.resume:
            saving.check_same(folder, self.name, self.config, self.data_info, fixed, functools.partial(may_grow, self))
            self.check_data()
            then = saving.resume(self.state, folder, self.plan, self.enter).get("steps")
            if isinstance(then, int) and then < getattr(self.config, "steps", 0):
                keep_schedule(self, then)
        distributed.barrier()
        if distributed.rank() == 0:
            settings = {"config": self.config, "data": self.data_info, "run": fixed}.items()
            table = self.about() | {name: to_table(each) for name, each in settings}
            with optional(folder / "previews"):
                (folder / "previews").mkdir(exist_ok=True)
            remove_leftovers(folder, ATOMIC_FILES)
            remove_leftovers(folder / "previews", ATOMIC_FILES)
            try:
                write_toml(folder / "config.toml", table)
            except OSError as error:
                again = f"resume with: {resume_option(folder)}" if self.run.resume else "start again"
                raise CheckpointError(
                    f"{folder / 'config.toml'} cannot be written ({error.strerror}); {remedy(error)}, then {again}"
                ) from error

    def items(self) -> int:
        """Number of training items, as reported to users."""
        return len(self.data)

    def about(self) -> dict[str, Any]:
        """Facts for config.toml besides the settings; `title` begins the method's file."""
        doc = getattr(sys.modules.get(type(self).__module__), "__doc__", None) or ""
        return {
            "version": __version__,
            "method": self.name,
            "title": " ".join(doc.strip().partition("\n\n")[0].split()),
            "task": self.task,
            "items": self.items(),
            **({"held_out": self.held_out} if self.held_out else {}),
            **({"files": dict(self.files)} if self.files else {}),
            "parameters": sum(p.numel() for name in self.exports for p in self.nets[name].parameters()),
        }

    def run_info(self) -> RunInfo:
        """Facts about this run that records state."""
        steps, best = {s.name: s.steps for s in self.plan}, {s.name: s.best.metric for s in self.plan if s.best}
        return RunInfo(self.name, self.run.seed, steps, self.precision, self.state.scalars["seconds"], best)


setattr(Trainer.__init__, "__signature__", signature_for(Trainer.__init__, Settings))  # noqa: B010
