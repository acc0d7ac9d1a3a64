"""Training items by number (torch)."""

from __future__ import annotations

import signal
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from ftcore.data.library import Library
from ftcore.data.mixing import MixConfig, draw_item


@dataclass(frozen=True, kw_only=True)
class Mixtures(Dataset[tuple[Tensor, Tensor]]):
    """Item i is the same for a seed in every process: (mixture, instrumental), each [2, samples]."""

    instrumental: Library
    vocal: Library
    mix: MixConfig
    seed: int
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        item = draw_item(np.random.default_rng((self.seed, index)), self.instrumental, self.vocal, self.mix)
        return torch.from_numpy(item.mixture), torch.from_numpy(item.instrumental)


def batches(items: Mixtures, batch: int, done: int, workers: int) -> DataLoader[tuple[Tensor, Tensor]]:
    """Batches of consecutive items, those of the first `done` steps left out."""
    rest = Subset(items, range(done * batch, len(items)))
    # Ctrl-C reaches every process of the terminal: the main one decides when to stop
    # a generator of its own: a loader draws from it when it starts, and dropout must not notice a resumed run
    return DataLoader(rest, batch, num_workers=workers, worker_init_fn=_ignore_interrupts, generator=torch.Generator())


def _ignore_interrupts(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
