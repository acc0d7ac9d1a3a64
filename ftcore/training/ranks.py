"""Several processes that train one network: torchrun's environment, and what they must agree on (torch)."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from ftcore.errors import UsageError


@dataclass(frozen=True)
class Ranks:
    """This process among its fellows; alone, nothing is communicated."""

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def wrap(self, network: nn.Module) -> nn.Module:
        """A network whose gradients are averaged over the ranks."""
        return DistributedDataParallel(network) if self.world > 1 else network

    def any(self, flag: bool) -> bool:
        """Whether the flag is up on any rank; every rank must ask."""
        if self.world == 1:
            return flag
        flags = torch.tensor(float(flag), device=self.device)
        distributed.all_reduce(flags, distributed.ReduceOp.MAX)
        return bool(flags.item())

    @contextmanager
    def leader_first(self) -> Iterator[None]:
        """The first rank passes through the block before the others enter it."""
        if self.world > 1 and not self.leads:
            distributed.barrier()
        yield
        if self.world > 1 and self.leads:
            distributed.barrier()


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Join the processes that torchrun started, if it did. Raises UsageError for a device that is not there."""
    world, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    chosen = find_device(device, local)
    if world == 1:
        yield Ranks(device=chosen)
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Ranks(distributed.get_rank(), world, chosen)
    finally:
        gc.collect()  # a wrapped network in a cycle would keep the group's threads, which abort Python's exit
        distributed.destroy_process_group()


def find_device(name: str, local: int) -> torch.device:
    """`auto` (CUDA where there is one), `cpu`, `cuda` (the local rank's) or `cuda:N`. Raises UsageError."""
    cuda = torch.cuda.is_available()
    if name == "auto":
        name = "cuda" if cuda else "cpu"
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdigit()):
        raise UsageError(f"no device {name!r}; known: auto, cpu, cuda, cuda:N")
    if kind == "cpu":
        return torch.device("cpu")
    index = int(number) if number else local
    if not cuda or index >= torch.cuda.device_count():
        count = torch.cuda.device_count() if cuda else 0
        raise UsageError(
            f"--device {name}: torch {torch.__version__} sees {count or 'no'} CUDA device{'s' * (count > 1)}"
        )
    return torch.device("cuda", index)
