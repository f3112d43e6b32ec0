"""Networks of other projects, recognised by the names and shapes of their tensors: SRVGGNetCompact,
RRDBNet, SPAN."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from multigen.console import counted
from multigen.errors import CheckpointError
from multigen.storage.ncnn import Layer, read_ncnn
from multigen.storage.pth import read_pth
from multigen.storage.tensors import load_tensors

__all__ = ["SUFFIXES", "from_layers", "read_foreign", "recognise"]

SUFFIXES = (".pth", ".safetensors", ".param", ".bin")
"""Suffixes of supported files; ncnn has a pair, .param and .bin, in one folder."""
Weights = Mapping[str, Tensor]
BLOCK = re.compile(r"(?:model\.1\.sub|RRDB_trunk|body)\.(\d+)\.(?:RDB|rdb)(\d)\.conv(\d)(?:\.0)?\.(weight|bias)")
"""A convolution of RRDBNet's blocks by the three naming schemes: ESRGAN's first release, its last,
and Real-ESRGAN's."""
OTHER = {
    "trunk_conv": "conv_body",
    "HRconv": "conv_hr",
    "upconv1": "conv_up1",
    "upconv2": "conv_up2",
    "upconv3": "conv_up3",
}
"""Names of ESRGAN's last release -> Real-ESRGAN's."""


def read_foreign(path: Path) -> dict[str, Tensor]:
    """The tensors in a file, or in the pair .param and .bin; floating-point ones in float32. Raises
    CheckpointError for an unsupported or unreadable file."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise CheckpointError(
            f"{path}: weights are read from {', '.join(SUFFIXES)}; export or convert it to one of these"
        )
    if suffix in (".param", ".bin"):
        param, path = path.with_suffix(".param"), path.with_suffix(".bin")
        weights = from_layers(read_ncnn(param, path), str(param))
    else:
        weights = read_pth(path) if suffix == ".pth" else load_tensors(path)
    return {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}


def recognise(weights: Weights, where: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(settings of `RealESRGANConfig`, with which `generator` builds it; weights as our network
    names them) of a network. Raises CheckpointError for an unknown one."""
    _check_channels(weights, where)
    try:
        if "conv_1.sk.weight" in weights:
            return _span(weights)
        if any(BLOCK.fullmatch(name) for name in weights):
            return _rrdb(weights)
        if "body.0.weight" in weights:
            return _srvgg(weights)
    except (LookupError, ValueError) as error:
        raise CheckpointError(
            f"{where}: the shapes of its tensors do not fit together ({error}); copy it again"
        ) from error
    names = ", ".join(sorted(weights)[:3])
    raise CheckpointError(
        f"{where} is no network that is known here: its tensors are {names}, ...; expected SRVGGNetCompact, RRDBNet (ESRGAN, "
        "Real-ESRGAN) or SPAN"
    )


def _check_channels(weights: Weights, where: str) -> None:
    """Raises CheckpointError for a network whose images are not RGB."""
    for name in ("conv_1.sk.weight", "body.0.weight", "conv_first.weight", "model.0.weight"):
        first = weights.get(name)
        if first is not None and first.dim() == 4 and first.shape[1] not in (3, 12, 48):  # 12, 48: pixels as channels
            raise CheckpointError(
                f"{where}: a network of images of {counted(first.shape[1], 'channels')}; expected 3, RGB"
            )


def _srvgg(weights: Weights) -> tuple[dict[str, Any], dict[str, Tensor]]:
    last = max(int(name.split(".")[1]) for name in weights if re.fullmatch(r"body\.\d+\.weight", name))
    settings = {"generator": "srvgg", "scale": _scale(weights[f"body.{last}.weight"]), "blocks": last // 2 - 1}
    return {**settings, "width": weights["body.0.weight"].shape[0]}, dict(weights)


def _span(weights: Weights) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if "no_norm" in weights:
        raise ValueError("a SPAN without normalisation of its input")
    blocks = sum(re.fullmatch(r"block_\d+\.c1_r\.sk\.weight", name) is not None for name in weights)
    width = weights["conv_1.sk.weight"].shape[0]
    settings = {"generator": "span", "scale": _scale(weights["upsampler.0.weight"]), "blocks": blocks, "width": width}
    # Merged weights follow from the others.
    return settings, {name: value for name, value in weights.items() if ".eval_conv." not in name}


def _scale(last: Tensor) -> int:
    """The scale of a network that ends with a convolution (3 scale^2, C, 3, 3) and a pixel
    shuffle."""
    scale = math.isqrt(last.shape[0] // 3)
    if 3 * scale**2 != last.shape[0]:
        raise ValueError(f"{last.shape[0]} channels before the pixel shuffle")
    return scale


def _rrdb(weights: Weights) -> tuple[dict[str, Any], dict[str, Tensor]]:
    named = {}
    # The first release numbers layers: 0, 1 the body, then convolutions to enlarge, the last but one, the last.
    numbers = sorted({int(name.split(".")[1]) for name in weights if re.fullmatch(r"model\.\d+\.(weight|bias)", name)})
    numbered = dict(zip(numbers[-2:], ("conv_hr", "conv_last"), strict=False))
    numbered |= {0: "conv_first"} | {n: f"conv_up{i}" for i, n in enumerate(numbers[1:-2], 1)}
    for name, value in weights.items():
        layer, _, kind = name.rpartition(".")
        if block := BLOCK.fullmatch(name):
            name = "body.{}.rdb{}.conv{}.{}".format(*block.groups())
        elif re.fullmatch(r"model\.1\.sub\.\d+", layer):
            name = f"conv_body.{kind}"
        elif re.fullmatch(r"model\.\d+", layer):
            name = f"{numbered[int(layer.split('.')[1])]}.{kind}"
        else:
            name = f"{OTHER.get(layer, layer)}.{kind}"
        named[name] = value
    width, channels = named["conv_first.weight"].shape[:2]
    unshuffle = math.isqrt(channels // 3)
    doublings = sum(re.fullmatch(r"conv_up\d\.weight", name) is not None for name in named)
    if 3 * unshuffle**2 != channels or unshuffle > 2**doublings:
        raise ValueError(f"{channels} channels of the input, enlarged {2**doublings} times")
    blocks = 1 + max(int(name.split(".")[1]) for name in named if name.startswith("body."))
    settings = {"generator": "rrdb", "scale": 2**doublings // unshuffle, "blocks": blocks, "width": width}
    return settings | {"growth": named["body.0.rdb1.conv1.weight"].shape[0], "unshuffle": unshuffle}, named


def from_layers(layers: Sequence[Layer], where: str) -> dict[str, Tensor]:
    """The tensors of layers, named as in SRVGGNetCompact where there are PReLUs, and as in RRDBNet
    where there are none."""
    convs = [layer for layer in layers if layer.kind == "Convolution"]
    tails = ("conv_body", "conv_up1", "conv_up2", "conv_up3", "conv_hr", "conv_last")
    blocks, rest = divmod(len(convs) - 4, 15)
    if len(convs) < len(layers):
        names = [f"body.{i}" for i in range(len(layers))]
    elif blocks < 1 or rest > 3:
        raise CheckpointError(
            f"{where}: {len(convs)} convolutions are no network that is known here; give another file"
        )
    else:
        body = [f"body.{i}.rdb{j}.conv{k}" for i in range(blocks) for j in range(1, 4) for k in range(1, 6)]
        names = ["conv_first", *body, *tails[: 1 + rest], *tails[-2:]]
    named = {}
    for name, layer in zip(names, layers, strict=True):
        named[f"{name}.weight"] = torch.from_numpy(layer.weight)
        if layer.bias is not None:
            named[f"{name}.bias"] = torch.from_numpy(layer.bias)
    return named
