"""Low-rank adapters (LoRA): Hu et al. 2022, arXiv:2106.09685. Each linear layer W of a frozen model
becomes W + s B A with small trained A and B."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from multigen.errors import ConfigError
from multigen.text.networks.generators import Transformer

__all__ = ["EXTRA", "Adapted"]

EXTRA = "pip install 'multigen[lm]'"


class Adapted(Transformer):
    """A pretrained model with adapters, the only weights that are trained.

    They are also the only ones in its state: the frozen weights are not in checkpoints, and copies
    share them.

    Args:
        G: the pretrained model, which is changed in place. Its output layer has no adapter.
        rank: rows of A; s is 2.
    """

    def __init__(self, G: Transformer, rank: int):
        try:
            from peft import LoraConfig, inject_adapter_in_model  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise ConfigError(f"lora_rank {rank} needs the package peft ({error}); {EXTRA}") from error
        from transformers.pytorch_utils import Conv1D

        nn.Module.__init__(self)
        transposed = any(isinstance(module, Conv1D) for module in G.modules())  # of GPT-2
        about = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", fan_in_fan_out=transposed)
        self.model: Any = inject_adapter_in_model(about, G.model)
        self.start, self.cache = G.start, G.cache

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The adapters alone."""
        return {name: tensor for name, tensor in super().state_dict(*args, **kwargs).items() if ".lora_" in name}

    def merged(self) -> dict[str, Tensor]:
        """The state of a `Transformer` without adapters that writes the same."""
        state = {n.replace(".base_layer", ""): t for n, t in super().state_dict().items() if ".lora_" not in n}
        for name, module in self.named_modules():
            layer: Any = module
            if hasattr(layer, "get_delta_weight"):
                state[f"{name}.weight"] = state[f"{name}.weight"] + layer.get_delta_weight("default").detach()
        return state

    @property
    def width(self) -> int:
        """H of `features`."""
        return self.model.config.hidden_size

    @torch.no_grad()
    def features(self, tokens: Tensor) -> Tensor:
        """Last hidden states of the frozen model, without adapters, once it has read each token of
        (B, T): (B, T, H)."""
        layers: list[Any] = [module for module in self.modules() if hasattr(module, "get_delta_weight")]
        try:
            for layer in layers:
                layer._disable_adapters = True  # `enable_adapters(False)` would freeze them too
            begun = torch.cat([torch.full_like(tokens[:, :1], self.start), tokens], 1)
            return self.model.base_model(input_ids=begun, use_cache=False).last_hidden_state[:, 1:]
        finally:
            for layer in layers:
                layer._disable_adapters = False

    def __deepcopy__(self, memo: dict[int, Any]) -> "Adapted":
        memo |= {id(p): p for name, p in self.named_parameters() if ".lora_" not in name}
        new = self.__class__.__new__(self.__class__)
        memo[id(self)] = new
        new.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return new
