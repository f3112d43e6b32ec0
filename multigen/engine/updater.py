"""One update: freeze, batch, loss, backward, one reduction over the ranks, the non-finite check,
clipping, the step."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from multigen.config import Run
from multigen.engine import distributed
from multigen.engine.batches import Batch, Source, Stream, TensorSource
from multigen.engine.device import autocast, to_network
from multigen.engine.log import Meter
from multigen.engine.optimisers import Optimiser
from multigen.engine.plan import DrawKey, Pool, Stage, Step, Terms, Update
from multigen.engine.randomness import key, seed_everything
from multigen.errors import ConfigError

__all__ = ["Updater"]


class Updater:
    """Fires updates. Has one optimiser per network and one stream of batches per update of the
    stage."""

    def __init__(
        self,
        nets: Mapping[str, nn.Module],
        source: Source,
        batch: int,
        run: Run,
        device: torch.device,
        precision: str,
        layout: str,
        scalars: dict,
    ):
        self.source, self.batch, self.run, self.device = source, batch, run, device
        self.precision, self.layout = precision, layout
        self.scalars: dict[str, Any] = scalars  # those of the training state
        self.dtype = torch.float64 if precision == "fp64" else torch.float32
        # Weights that were frozen when the network was built are never trained.
        self.named_parameters = {
            n: {k: p for k, p in net.named_parameters() if p.requires_grad} for n, net in nets.items()
        }
        self.parameters = {n: [*parameters.values()] for n, parameters in self.named_parameters.items()}
        self.optimisers, self.specs = dict[str, torch.optim.Optimizer](), dict[str, Optimiser]()
        self.meter, self.signals = Meter(), dict[str, Meter]()
        self.streams = dict[str, Stream]()
        self.rows = distributed.share(batch, distributed.rank(), distributed.world())
        if self.rows.stop - self.rows.start < run.accumulate:
            parts = f"{distributed.world()} ranks x {run.accumulate} micro-batches"
            raise ConfigError(f"batch {batch}: too small for {parts}")

    def check(self, plan: Sequence[Stage]) -> None:
        """Raises ConfigError for an update of any stage that cannot be made of micro-batches, where
        they are asked for."""
        for update in (update for stage in plan for update in stage.updates):
            if update.couples and self.run.accumulate > 1:
                raise ConfigError(f"update {update.name!r} couples rows: accumulate {self.run.accumulate}, expected 1")

    def enter(self, stage: Stage, specs: Mapping[str, Optimiser]) -> None:
        """Prepares a stage: its streams, and fresh optimisers where a network has none or the stage
        requires it."""
        for name in dict.fromkeys(n for update in stage.updates for n in update.trains):
            fresh = name in stage.optim if isinstance(stage.optim, Mapping) else stage.optim is not None
            if fresh or name not in self.optimisers:
                self.specs[name] = specs[name]
                self.optimisers[name] = specs[name].build(self.parameters[name])
        lazy = {u.name: u.every / (u.every + 1) if u.lazy else 1.0 for u in stage.updates}
        self.lazy = {n: math.prod(lazy[u.name] for u in stage.updates if n in u.trains) for n in self.optimisers}
        self.signals, self.streams = {c.name: Meter() for c in stage.controls}, {}
        self._readers: dict[str, list[Meter]] = {}  # signal -> the meters of the controls that read it
        for control in stage.controls:
            for name in control.reads:
                self._readers.setdefault(name, []).append(self.signals[control.name])
        self._trained: tuple[str, ...] | None = None
        self._constant, self._factors = {n: self.specs[n].constant() for n in self.optimisers}, dict[str, float]()

    def set_hyperparameters(self, progress: float) -> None:
        """Sets the optimisers' hyper-parameters: schedules times the learning-rate controls of the
        run and of each network."""
        for name, optimiser in self.optimisers.items():
            factor = self.scalars["control/lr"] * self.scalars[f"rate/{name}"]
            if self._constant[name] and factor == self._factors.get(name):
                continue
            self._factors[name] = factor
            settings = self.specs[name].settings(progress, self.lazy[name])
            settings["lr"] *= factor
            optimiser.param_groups[0].update(settings)

    def fire(self, stage: Stage, update: Update, index: int, progress: float) -> None:
        """All firings of `update` in step `index` of the stage; none when it is not due."""
        if index % update.every:
            return
        if self._trained != (trained := tuple(update.trains)):
            self._trained = trained
            for name, parameters in self.parameters.items():
                for p in parameters:
                    p.requires_grad_(name in trained)
        fired = f"fired/{update.name}"  # counted, since a control may change the repeats while batches stay consecutive
        for repeat in range(self.scalars.get(f"repeat/{update.name}", update.repeat)):
            draw_key = (self.run.seed, self.scalars["attempt"], stage.name, update.name, index, repeat)
            number = self.scalars.get(fired, 0)
            if update.name not in self.streams or isinstance(update.data, Pool):
                self._open_stream(stage, update, number, self.step_at(draw_key, progress, slice(0, self.batch)))
            parameters = [p for name in update.trains for p in self.parameters[name]]
            batch = self.move(self.streams[update.name].at(number))
            self._apply(update, parameters, self._gradients(update, batch, parameters, draw_key, progress))
            self.scalars[fired] = number + 1

    def step_at(self, draw_key: DrawKey, progress: float, rows: slice) -> Step:
        return Step(draw_key, progress, rows, self.batch, self.device, self.dtype, self._log)

    def move(self, batch: Batch) -> Batch:
        """A batch as networks expect it: on the device, images in the run's memory format."""
        return {name: to_network(t, self.device, self.dtype, self.layout) for name, t in batch.items()}

    def _log(self, name: str, value: Tensor, weight: Tensor | int) -> None:
        """Adds a mean over `weight` rows (or tokens) to the log, and to the signals of the controls
        that read it."""
        self.meter.add(name, value, weight)
        self._signal(name, value, weight)

    def _signal(self, name: str, value: Tensor, weight: Tensor | int) -> None:
        """Adds a value to the signals of the controls that read it; one that is not finite has no
        weight."""
        for meter in self._readers.get(name, ()):
            finite = value.isfinite()
            meter.add(name, torch.where(finite, value, torch.zeros_like(value)), weight * finite.double())

    def _open_stream(self, stage: Stage, update: Update, number: int, step: Step) -> None:
        """Opens an update's stream of batches. A pool is refilled when due, entirely on every rank
        from the same draws; it is part of the state."""
        source = update.data
        if isinstance(source, Pool):
            if number % source.every and update.name in self.streams:
                return
            if number % source.every == 0:
                seed_everything(key(*step.draw_key, "pool"), self.device)
                with torch.no_grad(), autocast(self.device, self.precision):
                    filled = source.fill(step)
                self.scalars |= {f"pool/{update.name}/{k}": t.detach() for k, t in filled.items()}
            prefix = f"pool/{update.name}/"
            source = TensorSource({k.removeprefix(prefix): t for k, t in self.scalars.items() if k.startswith(prefix)})
        name, pin = (self.run.seed, stage.name, update.name), self.device.type == "cuda"
        self.streams[update.name] = Stream(source or self.source, self.batch, self.rows, name, self.run.workers, pin)

    def _gradients(
        self, update: Update, batch: Batch, parameters: Sequence[Tensor], draw_key: DrawKey, progress: float
    ):
        """The gradients of the update's loss over the global batch, also left in `.grad`; the same
        on every rank."""
        for p in parameters:
            p.grad = None
        parts, first, local = self.run.accumulate, self.rows.start, self.rows.stop - self.rows.start
        pending: dict[str, tuple[Tensor, list[Tensor]]] = {}
        for part in range(parts):
            own = distributed.share(local, part, parts)
            step = self.step_at(draw_key, progress, slice(first + own.start, first + own.stop))
            seed_everything(key(*draw_key, "global", distributed.rank(), part), self.device)
            with autocast(self.device, self.precision):
                terms = update.loss({k: t[own] for k, t in batch.items()} if parts > 1 else batch, step)
            self._backward(update, terms, own.stop - own.start, parameters, pending)
        for count, gradients in pending.values():
            total = distributed.all_sum(count).clamp(min=1)
            for p, g in zip(parameters, gradients, strict=True):
                p.grad = g / total if p.grad is None else p.grad + g / total
        return distributed.reduce_gradients(parameters)

    def _backward(self, update: Update, terms: Terms, rows: int, parameters: Sequence[Tensor], pending: dict) -> None:
        factor = update.every if update.lazy else 1
        if self.precision == "fp16":  # a scale for each update: one overflow must not change another's gradient
            factor = factor * self.scalars.setdefault(f"scale/{update.name}", torch.tensor(2.0**16, device=self.device))
        total: Tensor | None = None
        for name, term in terms.items():
            if isinstance(term, tuple):
                value, count = term[0], torch.as_tensor(term[1], device=self.device, dtype=self.dtype)
                self._log(f"{update.name}/{name}", value.detach() / count.clamp(min=1), count)
                if self.run.accumulate > 1:  # the count is known after the last micro-batch only
                    new = torch.autograd.grad(value * factor, parameters, retain_graph=True, materialize_grads=True)
                    counted, sums = pending.get(name, (0.0, [0.0] * len(new)))
                    pending[name] = (counted + count, [a + b for a, b in zip(sums, new, strict=True)])
                    continue
                term = value / distributed.all_sum(count).clamp(min=1)
            else:
                self._log(f"{update.name}/{name}", term.detach(), rows)
                term = term if rows == self.batch else term * (rows / self.batch)
            total = term if total is None else total + term
        if total is not None and total.requires_grad:
            (total if isinstance(factor, int) and factor == 1 else total * factor).backward()

    def _apply(self, update: Update, parameters: Sequence[Tensor], gradients: list[Tensor]) -> None:
        """Checks, clips and steps. A gradient that is not finite is dropped with its batch, and
        counted."""
        if self.precision == "fp16":
            torch._foreach_div_(gradients, self.scalars[f"scale/{update.name}"])  # pyright: ignore[reportPrivateImportUsage]
        norm = nn.utils.get_total_norm(gradients, foreach=True)
        self._signal(f"{update.name}/gradient_norm", norm, 1)
        # Known at once on a CPU; elsewhere it stays on the device until a logging step.
        bad = not math.isfinite(norm.item()) if self.device.type == "cpu" else ~torch.isfinite(norm)
        self.scalars[f"nonfinite/{update.name}"] = (self.scalars.get(f"nonfinite/{update.name}", 0) + bad) * bad
        self.scalars["dropped"] = self.scalars.get("dropped", 0) + bad
        if self.precision == "fp16":
            self._adapt_scale(update.name, torch.as_tensor(bad, device=self.device))
        # Well below the limit the factor is exactly 1, and a CPU knows the norm already.
        if update.clip_norm and (self.device.type != "cpu" or norm.item() > 0.999 * update.clip_norm):
            nn.utils.clip_grads_with_norm_(parameters, update.clip_norm, norm, foreach=True)
        for optimiser in (self.optimisers[name] for name in update.trains):
            if isinstance(bad, Tensor) and optimiser.defaults.get("fused"):
                # The kernel itself drops the step: no wait for the device.
                optimiser.found_inf, optimiser.grad_scale = bad.float(), None  # pyright: ignore
                optimiser.step()
            elif not bad:
                optimiser.step()
        if update.after is not None:
            with torch.no_grad():
                update.after()

    def _adapt_scale(self, name: str, bad: Tensor) -> None:
        """fp16's usual rule: halve on overflow, double after 2,000 good steps."""
        good = (self.scalars.get(f"good/{name}", 0) + 1) * ~bad
        factor = torch.where(bad, 0.5, torch.where(good >= 2000, 2.0, 1.0))
        self.scalars[f"scale/{name}"] = (self.scalars[f"scale/{name}"] * factor).clamp(min=2.0**-14)
        self.scalars[f"good/{name}"] = good * (good < 2000)
