"""The adversarial engine: alternating updates in stages, saved and resumed bit for bit. It knows no modality."""

from multigen.config import Run
from multigen.engine import schedules
from multigen.engine.batches import Batch, Rows, Source, TensorSource
from multigen.engine.callbacks import Callback
from multigen.engine.optimisers import SGD, Adam, AdamW, RMSprop
from multigen.engine.plan import Best, Control, Copy, Decision, EarlyStop, Pool, Stage, Step, Terms, Update
from multigen.engine.trainer import Trainer

__all__ = [
    "SGD", "Adam", "AdamW", "Batch", "Best", "Callback", "Control", "Copy", "Decision", "EarlyStop", "Pool", "RMSprop", "Rows",
    "Run", "Source", "Stage", "Step", "TensorSource", "Terms", "Trainer", "Update", "schedules",
]  # fmt: skip
