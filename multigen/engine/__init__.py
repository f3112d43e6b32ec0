"""The adversarial engine: alternating updates in stages, saved and resumed bit for bit. It knows no
modality."""

from multigen.config import Run
from multigen.engine import schedules
from multigen.engine.batches import Batch, DataInfo, Rows, Source, TensorSource
from multigen.engine.callbacks import Callback
from multigen.engine.optimisers import SGD, Adam, AdamW, Optimiser, RMSprop
from multigen.engine.plan import Best, Control, Copy, Decision, EarlyStop, Pool, Stage, Step, Terms, Update
from multigen.engine.schedules import Cosine, Linear, Schedule, Steps, WarmUp, value_at
from multigen.engine.trainer import Trainer

__all__ = [
    "SGD", "Adam", "AdamW", "Batch", "Best", "Callback", "Control", "Copy", "Cosine", "DataInfo", "Decision", "EarlyStop",
    "Linear", "Optimiser", "Pool", "RMSprop", "Rows", "Run", "Schedule", "Source", "Stage", "Step", "Steps", "TensorSource",
    "Terms", "Trainer", "Update", "WarmUp", "schedules", "value_at",
]  # fmt: skip
