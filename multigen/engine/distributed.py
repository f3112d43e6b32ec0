"""Ranks: started by torchrun, joined by `torch.distributed` (gloo on CPUs, NCCL on GPUs). One
process is the default.

Networks are never wrapped. An update reduces its gradients once, as one flat tensor
(`reduce_gradients`), so losses may call any method of a network, and a penalty without gradient for
some parameter cannot misalign the ranks.
"""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import PrefixStore, Store, TCPStore  # pyright: ignore[reportPrivateImportUsage]

from multigen.errors import ConfigError, MultigenError, TrainingError

__all__ = [
    "all_rows",
    "all_sum",
    "any_rank",
    "barrier",
    "broadcast_buffers",
    "check_alike",
    "decided_by_first",
    "from_first",
    "join",
    "lost_ranks",
    "object_from_first",
    "rank",
    "reduce_gradients",
    "share",
    "shared_rows",
    "world",
]

T = TypeVar("T")
FIRST_NOTICE, NOTICE_EVERY = (
    5.0,
    60.0,
)  # seconds until a rank reports that it waits for others, and between further reports
# The longest time that ranks wait for each other, such as while the first evaluates; a rank that
# has ended is noticed at once.
TIMEOUT = timedelta(minutes=30)


def join(device: torch.device) -> None:
    """Joins the ranks that torchrun started. Does nothing for a single process, or when already
    joined.

    Raises ConfigError where the environment does not define the ranks, TrainingError where not all
    have joined within MULTIGEN_WAIT seconds (default 300).
    """
    if _setting("WORLD_SIZE", 1) == 1 or dist.is_initialized():
        return
    ranks, own, wait = _setting("WORLD_SIZE"), _setting("RANK"), _setting("MULTIGEN_WAIT", 300)
    host, port = os.environ.get("MASTER_ADDR", ""), _setting("MASTER_PORT")
    if not 0 <= own < ranks or not host or not 0 < port < 1 << 16:
        raise ConfigError(
            f"RANK {own} of WORLD_SIZE {ranks} at MASTER_ADDR {host!r}, MASTER_PORT {port}: expected a rank from 0 to "
            f"{ranks - 1}, a host and a port; start the ranks with torchrun, which sets them"
        )
    if device.type == "cuda":
        torch.cuda.set_device(device)
    store = _rendezvous(own, ranks, host, port, wait)
    with lost_ranks(lambda: "start all of them again"):
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=own, world_size=ranks, timeout=TIMEOUT)


def _setting(name: str, default: int | None = None) -> int:
    """An integer environment variable."""
    text = os.environ.get(name, "" if default is None else str(default))
    try:
        return int(text)
    except ValueError as error:
        start = "start the ranks with torchrun, which sets it" if default is None or name == "WORLD_SIZE" else "set one"
        raise ConfigError(f"{name} is {text!r}: expected a whole number; {start}") from error


def _rendezvous(own: int, ranks: int, host: str, port: int, wait: int) -> Store:
    """The store through which the ranks exchange their addresses, once all have joined. Reports
    after some seconds that it waits."""
    agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"  # torchrun's own, which has opened the store
    store: Store | None = None
    joined, reason = 0, ""
    began = time.monotonic()
    says = began + FIRST_NOTICE
    while joined < ranks:
        serves = own == 0 and not agent
        if store is None and (serves or not (reason := _unreachable(host, port))):
            store = _open_store(host, port, ranks, serves, wait)
            store.add("ranks", 1)
        with lost_ranks(lambda: "start all of them again", always=True):
            joined = store.add("ranks", 0) if store else 0
        status = f"{joined} joined" if store else f"this is rank {own}; {reason}"
        if joined < ranks and time.monotonic() > began + wait:
            raise TrainingError(
                f"not all of {ranks} ranks joined {host}:{port} within {wait} s ({status}); start them all, with the same "
                "MASTER_ADDR, MASTER_PORT and WORLD_SIZE, or set MULTIGEN_WAIT to more seconds"
            )
        if joined < ranks and time.monotonic() > says:
            sys.stderr.write(f"waiting for {ranks} ranks ({status}) at {host}:{port}\n")
            says += NOTICE_EVERY
        time.sleep(0.05 if joined < ranks else 0)
    assert store is not None
    return PrefixStore("group", store)


def _open_store(host: str, port: int, ranks: int, serves: bool, wait: int) -> Store:
    """The store at an address, which this rank opens if it `serves`. Each restart has its own
    prefix in it."""
    try:
        store = TCPStore(host, port, ranks, serves, timedelta(seconds=wait), wait_for_workers=False)
    except RuntimeError as error:
        raise ConfigError(
            f"MASTER_ADDR {host!r}, MASTER_PORT {port}: {_first_line(error)}; choose another port, the same for all ranks"
        ) from error
    return PrefixStore(f"multigen/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def _unreachable(host: str, port: int) -> str:
    """Why an address cannot be reached; "" if it can. torch's own attempts would print a warning
    each."""
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError as error:
        return str(error.strerror or error)
    return ""


@contextlib.contextmanager
def lost_ranks(remedy: Callable[[], str], always: bool = False) -> Iterator[None]:
    """Turns an error of the connection to other ranks within it into a TrainingError with the
    remedy.

    Args:
        always: treat any RuntimeError as one.
    """
    try:
        yield
    except RuntimeError as error:
        words = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer")
        if not (always or isinstance(error, dist.DistError) or (world() > 1 and any(w in str(error) for w in words))):
            raise
        reason = _first_line(error).rpartition("cc:")[2].partition("] ")[2].partition(". ")[0] or _first_line(error)
        raise TrainingError(f"another rank was lost ({reason}), whose own output says why; {remedy()}") from error


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:200].rstrip(".")


def check_alike(own: Mapping[str, object], remedy: str) -> None:
    """Raises ConfigError on all ranks where their values, by name, differ; does nothing in a single
    process."""
    if world() == 1:
        return
    gathered: list[Mapping[str, object]] = [{}] * world()
    dist.all_gather_object(gathered, own)
    for other, values in enumerate(gathered):
        for name in gathered[0]:
            if values.get(name) != gathered[0][name]:
                dist.barrier()  # no rank ends before all have seen the difference
                dist.destroy_process_group()
                raise ConfigError(
                    f"ranks differ: {name} is {gathered[0][name]!r} on rank 0, {values.get(name)!r} on rank {other}; {remedy}"
                )


def rank() -> int:
    """This process's rank; 0 in a single process."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """Number of ranks; 1 in a single process."""
    return dist.get_world_size() if dist.is_initialized() else 1


def barrier() -> None:
    """Waits for all ranks."""
    if world() > 1:
        dist.barrier()


def share(total: int, part: int, parts: int) -> slice:
    """Rows of a batch of `total` for part `part` of `parts`: contiguous; sizes differ by at most
    one."""
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


def all_rows(x: Tensor) -> tuple[Tensor, slice]:
    """The rows of the tensors (n, ...) of all ranks, in their order, and which of them are this
    rank's; differentiable. For terms that couple the rows of a batch."""
    if world() == 1:
        return x, slice(0, len(x))
    counts = torch.zeros(world(), device=x.device)
    counts[rank()] = len(x)
    numbers = [int(n) for n in all_sum(counts).tolist()]
    first = sum(numbers[: rank()])
    rest = sum(numbers) - first - len(x)
    whole = torch.cat([x.new_zeros(first, *x.shape[1:]), x, x.new_zeros(rest, *x.shape[1:])])
    return all_sum(whole), slice(first, first + len(x))


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether `flag` is true on any rank; all ranks get the same answer."""
    return flag if world() == 1 else all_sum(torch.tensor(float(flag), device=device)).item() > 0


def from_first(values: Sequence[float], device: torch.device) -> list[float]:
    """Rank 0's numbers, on every rank, so that all ranks decide alike."""
    if world() == 1:
        return list(values)
    shared = torch.tensor(values, dtype=torch.float64, device=device)
    dist.broadcast(shared, src=0)
    return shared.tolist()


def object_from_first(value: T, device: torch.device) -> T:
    """The object of rank 0, which is pickled, on every rank; `value` itself in a single process."""
    if world() == 1:
        return value
    shared = [value]
    dist.broadcast_object_list(shared, src=0, device=device)
    return shared[0]


def decided_by_first(decide: Callable[[], T], device: torch.device) -> T:
    """Calls `decide` on rank 0 alone; every rank gets what it returns, or raises the MultigenError
    that it raises."""
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
    """Sums `.grad` over the ranks in one reduction. A missing gradient counts as zeros, in a single
    process too."""
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
    """Copies rank 0's buffers to every rank: batch statistics are per rank until a checkpoint."""
    for buffer in [b for network in networks for b in network.buffers()] if world() > 1 else []:
        dist.broadcast(buffer, src=0)


def shared_rows(
    n: int, make: Callable[[slice], Sequence[Tensor]], device: torch.device | str = "cpu"
) -> Sequence[Tensor]:
    """Rows 0 to n - 1 of tensors (n, ...), divided among the ranks: each computes a part and all
    get the whole, so all ranks must call it.

    Not for work that some ranks may skip, because they have it in their cache.

    Args:
        make: computes the rows of a slice, without communication.
        device: where the ranks can exchange tensors: with NCCL, the rank's GPU.
    """
    if n < world() or world() == 1:
        return make(slice(0, n))
    own, results = share(n, rank(), world()), []
    for part in make(own):
        whole = torch.zeros(n, *part.shape[1:], dtype=part.dtype, device=device)
        whole[own] = part.to(device)
        results.append(all_sum(whole).to(part.device))
    return results
