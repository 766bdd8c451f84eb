"""Several processes in one run of stage 2: each takes some of the languages, gradients are summed (torch.distributed).

    torchrun --nproc-per-node 2 --no-python sublingual joint models/en models/static --gates static ...

The result is that of one process but for rounding, and for dropout, which each process draws for itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sublingual.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """Which process this is of how many. Every method but `owns` and `share` is called by all of them, or by none."""

    rank: int = 0
    size: int = 1

    def owns(self, i: int) -> bool:
        """Whether the i-th language is this process's."""
        return i % self.size == self.rank

    def share(self, batches: Sequence[list[T]]) -> list[list[T]]:
        """Returns the batches of this process's languages, empty ones in place of the others'."""
        return [batch if self.owns(i) else [] for i, batch in enumerate(batches)]

    def summed(self, values: Sequence[float], *, device: torch.device) -> list[float]:
        """Returns the sums over processes."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=device)
        dist.all_reduce(total)
        return total.tolist()

    def sum_gradients_(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sums the gradients over processes, in place; one that no process has stays None."""
        if self.size == 1:
            return
        own = list(parameters)
        has = torch.tensor([float(p.grad is not None) for p in own], device=own[0].device)
        dist.all_reduce(has)
        for p, n in zip(own, has.tolist(), strict=True):
            if n:
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad
                dist.all_reduce(p.grad)

    def from_owner(self, i: int, gradients: Sequence[Tensor | None], like: Sequence[Tensor]) -> list[Tensor | None]:
        """Returns the gradients that the owner of the i-th language has; a None of the owner's comes as zeros."""
        if self.size == 1:
            return list(gradients)
        own = [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, like, strict=True)]
        for gradient in own:
            dist.broadcast(gradient, src=i % self.size)
        return list(own)

    def gathered(self, tensor: Tensor) -> list[Tensor]:
        """Returns every process's tensor, on the CPU; all have one shape and type."""
        if self.size == 1:
            return [tensor]
        found: list[Tensor | None] = [None] * self.size
        dist.all_gather_object(found, tensor.cpu())
        return [each for each in found if each is not None]

    def any(self, number: int | None) -> int | None:
        """Returns the number where any process has one (the highest), else None."""
        if self.size == 1:
            return number
        found: list[int | None] = [None] * self.size
        dist.all_gather_object(found, number)
        return max((each for each in found if each is not None), default=None)


ALONE = Ranks()


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Joins the processes that torchrun started, and leaves them at the end; alone where it did not start this one.

    Raises ConfigError for a half-set environment.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise ConfigError(
            f"WORLD_SIZE is {size}, but {', '.join(missing)} is not set; start several processes by torchrun"
        )
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), size)
    finally:
        dist.destroy_process_group()


def local_device(name: str) -> str:
    """Returns the device's name for this process: `auto` is a GPU of its own, where torchrun says which."""
    local = os.environ.get("LOCAL_RANK")
    return f"cuda:{local}" if name == "auto" and local is not None and torch.cuda.is_available() else name
