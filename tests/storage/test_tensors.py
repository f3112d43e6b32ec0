"""Safetensors files as bytes, against the safetensors package."""

import pytest
import torch
from safetensors.torch import save

from multigen.storage.tensors import KINDS, to_bytes, to_parts


def test_the_bytes_are_those_of_safetensors() -> None:
    tensors = {f"z{i % 3}/{i}": torch.ones(i % 4, 3).to(getattr(torch, kind)) for i, kind in enumerate(KINDS)}
    tensors |= {f'{name}"é': torch.randn(2, n + 1) for n, name in enumerate("bqa")}
    tensors["scalar"] = torch.tensor(3.0, requires_grad=True)
    assert to_bytes(tensors) == save(tensors)
    transposed = torch.arange(6.0).view(2, 3).T
    assert to_bytes({"t": transposed}) == save({"t": transposed.contiguous()})
    assert to_bytes({}) == save({})


def test_parts_are_the_tensors_themselves() -> None:
    """No copy of their memory."""
    weight = torch.zeros(4)
    _, part = to_parts({"weight": weight})
    weight[0] = 1
    assert bytes(part) == weight.numpy().tobytes()


def test_types_that_no_file_of_ours_has_are_refused() -> None:
    with pytest.raises(ValueError, match="type complex64, expected one of int64, "):
        to_bytes({"z": torch.zeros(2, dtype=torch.complex64)})
