"""Preallocated key-value cache for batched decoding with branching: a step does not copy earlier
tokens."""

from typing import Any

from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer

__all__ = ["BranchingKVCache"]


class Layer(DynamicLayer):
    """Keys and values of one layer: (capacity, heads, length, size) each; the first `rows` of them
    have read `read` tokens."""

    keys: Tensor  # pyright: ignore[reportIncompatibleVariableOverride]
    values: Tensor  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, capacity: int, length: int):
        super().__init__()
        self.capacity, self.length = capacity, length
        self.rows = self.read = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.keys, self.values = (
            new.new_empty(self.capacity, new.shape[1], self.length, new.shape[3]) for new in (key_states, value_states)
        )
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Stores those of the next tokens, (rows, heads, t, size); returns those of all tokens
        read."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        before, self.rows, self.read = self.read, len(key_states), self.read + key_states.shape[2]
        for part, new in ((self.keys, key_states), (self.values, value_states)):
            part[: self.rows, :, before : self.read] = new
        return self.keys[: self.rows, :, : self.read], self.values[: self.rows, :, : self.read]

    def get_seq_length(self) -> int:
        return self.read

    def branch(self, first: int, times: int) -> None:
        """Appends copies of the `first` rows, `times` times."""
        for part in (self.keys, self.values):
            read = part[:, :, : self.read]
            appended = read[self.rows : self.rows + times * first]
            appended.unflatten(0, (times, first)).copy_(read[:first])
        self.rows += times * first


class BranchingKVCache(Cache):
    """The cache of one network; a layer is added when it is first used.

    Args:
        capacity, length: rows and tokens that memory is allocated for.
    """

    layers: list[Layer]  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, capacity: int, length: int):
        super().__init__(layer_class_to_replicate=lambda: Layer(capacity, length))  # pyright: ignore[reportArgumentType]

    @property
    def nbytes(self) -> int:
        """Allocated bytes of all layers."""
        return sum(layer.keys.nbytes + layer.values.nbytes for layer in self.layers)

    def branch(self, first: int, times: int) -> None:
        for layer in self.layers:
            layer.branch(first, times)
