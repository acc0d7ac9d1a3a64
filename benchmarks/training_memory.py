"""What a training step holds in memory at its peak, computed without holding it (no GPU is needed).

Everything runs on fake tensors: shapes, dtypes and the autograd graph are real, storages are not. Counted are all
storages that operators make in forward, backward and loss until they are freed, with the gradients and what
checkpointing computes again. Not counted: cuDNN's workspaces, the allocator's fragmentation, the CUDA context and
the batch.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ftcore.config import NetworkConfig
from ftcore.nn.network import Generator, set_checkpointing


class Alive(TorchDispatchMode):
    """Bytes of storages that operators made and that are not freed yet, and the most there were."""

    def __init__(self, *before: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self.seen: dict[int, Any] = {x.untyped_storage()._cdata: None for x in before}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for x in tree_leaves(out):
            if isinstance(x, Tensor):
                self.made(x.untyped_storage())
        return out

    def made(self, storage: Any) -> None:
        """Count a storage until it is freed."""
        key, size = storage._cdata, storage.nbytes()
        if key in self.seen:
            return

        def freed(_: Any) -> None:
            self.now -= size
            del self.seen[key]

        self.seen[key] = weakref.ref(storage, freed)
        self.now += size
        self.peak = max(self.peak, self.now)


@contextlib.contextmanager
def as_on_cuda(half: bool) -> Iterator[None]:
    """What CUDA keeps otherwise than the CPU: bool masks of dropout; softmax and norms in float32 under autocast."""

    def dropout(x: Tensor, p: float, training: bool, inplace: bool = False) -> Tensor:
        return torch.native_dropout(x, p, True)[0] if training and p else x

    def in_full(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def full(x: Any) -> Any:
            return x.float() if isinstance(x, Tensor) else x

        def call(*args: Any, **kwargs: Any) -> Tensor:
            with torch.autocast("cpu", enabled=False):
                return function(*map(full, args), **{name: full(value) for name, value in kwargs.items()})

        return call if half else function

    with (
        mock.patch.object(functional, "dropout", dropout),
        mock.patch.object(functional, "layer_norm", in_full(functional.layer_norm)),
        mock.patch.object(Tensor, "softmax", in_full(Tensor.softmax)),
    ):
        yield


def peak_gb(config: NetworkConfig, batch: int, frames: int, *, half: bool, checkpointing: bool) -> float:
    """Of a supervised step in float32 or under bfloat16 autocast, with weights, AdamW's moments and the average."""
    with FakeTensorMode(), as_on_cuda(half):
        network = Generator(config).train()
        set_checkpointing(network, checkpointing)
        x, target = torch.randn(2, batch, config.spectral_channels, config.features, frames).unbind()

        def forward(x: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                y: Tensor = network(x)
            return y

        with Alive(x, target, *network.parameters()) as alive:
            torch.autograd.backward((network.estimate(x, forward) - target).abs().mean())
        held = 4 * 4 * sum(p.numel() for p in network.parameters())  # weights, two moments, average: 4 bytes each
    return float(round((alive.peak + held) / 1e9, 1))
