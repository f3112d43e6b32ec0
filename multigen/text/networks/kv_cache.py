"""Keys and values of a transformer, in memory with room for the tokens and rows that follow: a step copies none of the others."""

from typing import Any

from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer

__all__ = ["Room"]


class Layer(DynamicLayer):
    """Of one layer of the network: (room, heads, length, size) each, of which the first `rows` have read `read` tokens."""

    keys: Tensor  # pyright: ignore[reportIncompatibleVariableOverride]
    values: Tensor  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, room: int, length: int):
        super().__init__()
        self.room, self.length = room, length
        self.rows = self.read = 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.keys, self.values = (
            new.new_empty(self.room, new.shape[1], self.length, new.shape[3]) for new in (key_states, value_states)
        )
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Takes those of the next tokens, (rows, heads, t, size); gives all that were read."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        before, self.rows, self.read = self.read, len(key_states), self.read + key_states.shape[2]
        for part, new in ((self.keys, key_states), (self.values, value_states)):
            part[: self.rows, :, before : self.read] = new
        return self.keys[: self.rows, :, : self.read], self.values[: self.rows, :, : self.read]

    def get_seq_length(self) -> int:
        return self.read

    def branch(self, first: int, times: int) -> None:
        """Behind the rows that are there come the `first` ones again, `times` times."""
        for part in (self.keys, self.values):
            read = part[:, :, : self.read]
            behind = read[self.rows : self.rows + times * first]
            behind.unflatten(0, (times, first)).copy_(read[:first])
        self.rows += times * first


class Room(Cache):
    """The cache of one network, of as many layers as it turns out to have.

    Args:
        room, length: for how many rows and tokens there is memory.
    """

    layers: list[Layer]  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, room: int, length: int):
        super().__init__(layer_class_to_replicate=lambda: Layer(room, length))  # pyright: ignore[reportArgumentType]

    @property
    def nbytes(self) -> int:
        """Of all layers that there are, with their room."""
        return sum(layer.keys.nbytes + layer.values.nbytes for layer in self.layers)

    def branch(self, first: int, times: int) -> None:
        for layer in self.layers:
            layer.branch(first, times)
