"""Projection: the code of a trained generator whose image is nearest to a given one.

Karras et al. 2020, arXiv:1912.04958, appendix D, without its optimisation of the noise inputs.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from multigen.console.bar import bar
from multigen.image.perceptual import PerceptualDistance, open_perceptual
from multigen.image.synthesis.spaces import Codes, Space

__all__ = ["project"]

CANDIDATES = 256  # samples, the nearest of which is where the search begins
PART = 16  # of them are compared at once, and images projected
SMALLEST = 32  # pixels, for the perceptual distance; smaller images are enlarged
RATE = 0.1  # learning rate of the codes
RAMP, DECAY = 0.05, 0.25  # shares of the steps in which the rate rises, and falls
NOISE = 0.05  # deviation of the noise on the codes at first, which ends after 3/4 of the steps
PIXELS = 10.0  # weight of the mean squared error, of images in 0..1


def project(
    space: Space,
    images: Tensor,
    each_layer: bool = False,
    steps: int = 500,
    seed: int = 0,
    label: str | int | None = None,
) -> Codes:
    """The codes whose images are nearest to images uint8 (n, C, H, W), by a perceptual distance and
    the squared error.

    Args:
        each_layer: of styles, search one for each layer (w+), which comes nearer and edits worse.
        steps: of Adam; 0: the nearest of 256 samples.
        seed: of these samples and of the noise.
        label: the class of the images; None: that of the nearest sample.
    """
    if len(images) > PART:
        found = [project(space, part, each_layer, steps, seed, label) for part in images.split(PART)]
        numbers = [part.labels for part in found if part.labels is not None]
        return Codes(torch.cat([part.codes for part in found]), torch.cat(numbers) if numbers else None)
    distance = open_perceptual("efficientnet_lite0").to(space.device, torch.float32)
    targets = _to_rgb(images.to(space.device).float() / 255)
    with torch.no_grad():
        features = distance.features(targets)
    codes, labels = _nearest(space, distance, features, targets, seed, label)
    codes = codes if each_layer or codes.dim() == 2 else codes[:, :1]
    layers = space.layers
    random = torch.Generator().manual_seed(seed)

    def legal(codes: Tensor) -> Tensor:
        codes = space.legal(codes)
        return codes if codes.dim() == 2 else codes.expand(-1, layers, -1)

    codes = codes.detach().clone().requires_grad_()
    optimiser = torch.optim.Adam([codes], RATE, (0.9, 0.999))
    spread = NOISE * space.spread
    with bar("projection", steps) as progress:
        for step in range(steps):
            along = step / steps
            optimiser.param_groups[0]["lr"] = RATE * _rate(along)
            noise = torch.randn(codes.shape, generator=random).to(codes) * spread * max(0.0, 1 - along / 0.75) ** 2
            fake = _to_rgb((space.images(legal(codes + noise), labels).float() + 1) / 2)
            loss = _error(distance, fake, distance.features(fake), targets, features).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            progress.advance(1)
    with torch.no_grad():
        return Codes(legal(codes), labels)


def _rate(along: float) -> float:
    """The learning rate's share at a share of the steps."""
    down = min(1.0, (1 - along) / DECAY)
    return (0.5 - 0.5 * math.cos(math.pi * down)) * min(1.0, (along + 1e-3) / RAMP)


def _nearest(
    space: Space,
    distance: PerceptualDistance,
    features: list[Tensor],
    targets: Tensor,
    seed: int,
    label: str | int | None,
) -> Codes:
    """The code and label of the sample nearest to each image, of `CANDIDATES`."""
    codes, labels = space.draw(CANDIDATES, seed, label)
    errors = list[Tensor]()
    with torch.no_grad():
        for part in torch.arange(CANDIDATES, device=space.device).split(PART):
            fake = _to_rgb((space.images(codes[part], None if labels is None else labels[part]).float() + 1) / 2)
            own = distance.features(fake)
            each = [
                _error(distance, fake, own, targets[i : i + 1], [f[i : i + 1] for f in features])
                for i in range(len(targets))
            ]
            errors.append(torch.stack(each, 1))  # (part, n)
    best = torch.cat(errors).argmin(0)  # (n,)
    return Codes(codes[best], None if labels is None else labels[best])


def _error(
    distance: PerceptualDistance, fake: Tensor, own: list[Tensor], targets: Tensor, features: list[Tensor]
) -> Tensor:
    """(n,) how far images (n, 3, H, W) in 0..1 are from the targets (1 or n, 3, H, W), by the
    features of both."""
    targets, features = targets.expand_as(fake), [x.expand_as(y) for x, y in zip(features, own, strict=True)]
    return distance.between(own, features) + PIXELS * (fake - targets).square().mean((1, 2, 3))


def _to_rgb(images: Tensor) -> Tensor:
    """(n, C, H, W) in 0..1 -> (n, 3, H', W'), at least `SMALLEST` pixels; without opacity."""
    images = images[:, :3] if images.shape[1] > 2 else images[:, :1].expand(-1, 3, -1, -1)
    factor = -(-SMALLEST // min(images.shape[2:]))
    return images if factor == 1 else interpolate(images, scale_factor=factor, mode="bilinear")
