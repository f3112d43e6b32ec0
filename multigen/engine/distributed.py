"""Ranks: started by torchrun, joined by `torch.distributed` (gloo on CPUs, NCCL on GPUs). One process is the default.

Networks are never wrapped. An update reduces its gradients once, as one flat tensor (`reduce_gradients`), so losses may
call any method of a network, and a penalty without gradient for some parameter cannot misalign the ranks.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from multigen.errors import MultigenError

__all__ = [
    "all_sum",
    "any_rank",
    "barrier",
    "broadcast_buffers",
    "decided_by_first",
    "from_first",
    "join",
    "object_from_first",
    "rank",
    "reduce_gradients",
    "share",
    "shared_rows",
    "world",
]

T = TypeVar("T")


def join(device: torch.device) -> None:
    """Joins the ranks that torchrun started. Does nothing for a single process, or when already joined."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")


def rank() -> int:
    """This process's number, 0 alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """Number of ranks, 1 alone."""
    return dist.get_world_size() if dist.is_initialized() else 1


def barrier() -> None:
    """Waits for all ranks."""
    if world() > 1:
        dist.barrier()


def share(total: int, part: int, parts: int) -> slice:
    """Rows of a batch of `total` that fall to `part` of `parts`: contiguous, sizes differ by one at most."""
    return slice(total * part // parts, total * (part + 1) // parts)


class _AllSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        total = x.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, *grads: Tensor) -> Tensor:
        # Every rank's loss depends on x through the sum, so their gradients add up.
        return all_sum(grads[0])


def all_sum(x: Tensor) -> Tensor:
    """Sum of `x` over the ranks, any shape; differentiable; `x` itself in a single process."""
    return _AllSum.apply(x) if world() > 1 else x  # pyright: ignore[reportReturnType]


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether `flag` is true on any rank; all ranks get the same answer."""
    return flag if world() == 1 else all_sum(torch.tensor(float(flag), device=device)).item() > 0


def from_first(values: Sequence[float], device: torch.device) -> list[float]:
    """Rank 0's numbers, on every rank: what is decided from them is decided alike."""
    if world() == 1:
        return list(values)
    shared = torch.tensor(values, dtype=torch.float64, device=device)
    dist.broadcast(shared, src=0)
    return shared.tolist()


def object_from_first(value: T, device: torch.device) -> T:
    """Rank 0's object, which can be pickled, on every rank; `value` itself in a single process."""
    if world() == 1:
        return value
    shared = [value]
    dist.broadcast_object_list(shared, src=0, device=device)
    return shared[0]


def decided_by_first(decide: Callable[[], T], device: torch.device) -> T:
    """What `decide` returns on rank 0, where alone it is called, on every rank; an error of ours that it raises likewise."""
    result: T | MultigenError | None = None
    if rank() == 0:
        try:
            result = decide()
        except MultigenError as error:
            result = error
    result = object_from_first(result, device)
    if isinstance(result, MultigenError):
        raise result
    return cast(T, result)


def reduce_gradients(parameters: Sequence[Tensor]) -> list[Tensor]:
    """Sums `.grad` over the ranks in one reduction. A missing gradient counts as zeros, in a single process too."""
    for p in [p for p in parameters if p.grad is None]:
        p.grad = torch.zeros_like(p)
    gradients = [p.grad for p in parameters if p.grad is not None]
    if world() > 1:
        flat = torch.cat([g.reshape(-1) for g in gradients])
        dist.all_reduce(flat)
        for g, total in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            g.copy_(total.view(g.shape))
    return gradients


def broadcast_buffers(networks: Iterable[nn.Module]) -> None:
    """Gives every rank rank 0's buffers: batch statistics are each rank's own until a checkpoint."""
    for buffer in [b for network in networks for b in network.buffers()] if world() > 1 else []:
        dist.broadcast(buffer, src=0)


def shared_rows(
    n: int, make: Callable[[slice], Sequence[Tensor]], device: torch.device | str = "cpu"
) -> Sequence[Tensor]:
    """Rows 0 to n - 1 of tensors (n, ...), of which each rank makes a part: all get the whole, so all must ask for it.

    What only some ranks may compute, since it may be in the cache of the others, is not for it.

    Args:
        make: gives the rows of a slice, without a word to other ranks.
        device: where the ranks can exchange them: with NCCL, the rank's GPU.
    """
    if n < world() or world() == 1:
        return make(slice(0, n))
    mine, found = share(n, rank(), world()), []
    for part in make(mine):
        whole = torch.zeros(n, *part.shape[1:], dtype=part.dtype, device=device)
        whole[mine] = part.to(device)
        found.append(all_sum(whole).to(part.device))
    return found
