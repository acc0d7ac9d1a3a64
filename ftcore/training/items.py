"""Training items by number, and batches of them on the device (torch).

Everything about item i of a seed comes from a generator of its own: it is the same in any process, worker
or rank, and after a resume.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ftcore.config import SignalConfig
from ftcore.data import voxaug
from ftcore.data.library import Library
from ftcore.data.mixing import MixConfig, draw_item
from ftcore.data.voxaug import Plan, VoxAugConfig, draw_plan
from ftcore.errors import FtError
from ftcore.nn import spectral
from ftcore.training.config import Scale, TrainConfig


@dataclass(frozen=True)
class Draw:
    """An item as it leaves the worker: two crops and what shall happen to them."""

    seed: tuple[int, ...]
    """The run's and the item's number."""
    instrumental: Tensor
    """[2, samples]."""
    vocal: Tensor
    """[2, samples times the plan's stretch]."""
    instrumental_plan: Plan
    vocal_plan: Plan


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Spectrograms [B, 2C, F, T] (real parts, imaginary parts) at the scale of the config."""

    seeds: tuple[tuple[int, ...], ...]
    """One per item: of what is still to be drawn about it."""
    mixture: Tensor
    """What the network hears."""
    instrumental: Tensor
    """What it should answer."""
    presence: Tensor
    """[B, C, bands, T], 1 where the vocal is heard."""

    def halved(self) -> Batch:
        """Twice the items at half the frames; the items of the first half come first."""
        frames = self.mixture.shape[-1] // 2

        def cut(x: Tensor) -> Tensor:
            return torch.cat((x[..., :frames], x[..., frames : 2 * frames]))

        return Batch(
            seeds=tuple((*seed, half) for half in (0, 1) for seed in self.seeds),
            mixture=cut(self.mixture),
            instrumental=cut(self.instrumental),
            presence=cut(self.presence),
        )


Key = tuple[int, int]
"""An item's number and its frames."""


@dataclass(frozen=True, kw_only=True)
class Draws(Dataset[Draw | FtError]):
    """Item by key, read and varied as waves; a track that cannot be read is an error in the item's place.

    (Raised in a worker it would arrive wrapped into a report of many lines.)
    """

    instrumental: Library
    vocal: Library
    config: TrainConfig
    mix: MixConfig
    """The stage's, in place of the config's own."""

    def __getitem__(self, key: Key) -> Draw | FtError:
        try:
            return self.draw(*key)
        except FtError as error:
            return error

    def draw(self, number: int, frames: int) -> Draw:
        """The item itself. Raises FtError."""
        config, seed = self.config, (self.config.seed, number)
        parts = (config.voxaug.instrumental, config.voxaug.vocal)
        plans = [draw_plan(np.random.default_rng((*seed, 4, i)), part) for i, part in enumerate(parts)]
        samples = config.samples(frames)
        length = max(round(frames * plans[1].stretch) - 1, 1) * config.signal.hop
        rng, rate = np.random.default_rng(seed), config.signal.sample_rate
        item = draw_item(rng, self.instrumental, self.vocal, self.mix, rate, samples, length)
        return Draw(seed, torch.from_numpy(item.instrumental), torch.from_numpy(item.vocal), *plans)


@dataclass(frozen=True)
class Keys(Sampler[list[Key]]):
    """The items of each forward pass of one process, from the step after `done` on.

    Items are numbered through all passes and ranks, so that `world` processes with a batch of b see those
    that one process sees with a batch of world * b.
    """

    config: TrainConfig
    done: int
    rank: int = 0
    world: int = 1

    def __iter__(self) -> Iterator[list[Key]]:
        number = 0
        for step in range(1, self.config.steps + 1):
            phase = self.config.phase_at(step)
            for _ in range(phase.accumulate):
                first = number + self.rank * phase.batch
                number += self.world * phase.batch
                if step > self.done:
                    yield [(item, phase.frames) for item in range(first, first + phase.batch)]


def loaded(draws: Draws, keys: Keys, workers: int) -> Iterator[list[Draw]]:
    """The draws of each pass, made by `workers` processes ahead of time (0: when they are needed). Raises FtError."""
    source: Iterable[list[Draw | FtError]] = DataLoader(
        draws,
        batch_sampler=keys,
        num_workers=workers,
        collate_fn=list,
        # Ctrl-C reaches every process of the terminal: the main one decides when to stop
        worker_init_fn=_ignore_interrupts,
        # a loader draws from its generator when it starts: the global one must not notice a resumed run
        generator=torch.Generator(),
    )
    for drawn in source:
        good = [draw for draw in drawn if isinstance(draw, Draw)]
        for error in drawn:
            if isinstance(error, FtError):
                raise error
        yield good


def to_batch(
    draws: list[Draw], signal: SignalConfig, voxaug_config: VoxAugConfig, scale: Scale, bands: int, device: torch.device
) -> Batch:
    """Draws of equal frames as a batch on `device`: transformed, augmented, mixed, scaled."""
    advance = 2 * np.pi * signal.hop / signal.n_fft

    def transformed(waves: list[Tensor]) -> Tensor:
        return voxaug.by_parts(spectral.spectrogram(torch.stack(waves).to(device, non_blocking=True), signal))

    music = transformed([d.instrumental for d in draws])
    frames = music.shape[-1]
    waves = [d.vocal for d in draws]
    if any(d.vocal_plan.stretch != 1.0 for d in draws):
        voice = torch.stack([voxaug.stretch(transformed([w])[0], frames) for w in waves])
    else:
        voice = transformed(waves)
    music = voxaug.augment(music, [d.instrumental_plan for d in draws], advance)
    voice = voxaug.augment(voice, [d.vocal_plan for d in draws], advance)
    mixture = music + voice
    power = voxaug.power(mixture)
    peak = voxaug.peaks(power).clamp_min(1e-4)
    level = peak if scale == "peak" else power.mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp_min(1e-4)
    return Batch(
        seeds=tuple(d.seed for d in draws),
        mixture=mixture.flatten(1, 2).div_(level),
        instrumental=music.flatten(1, 2).div_(level),
        presence=voxaug.presence(voice, peak, bands, voxaug_config.presence),
    )


def _ignore_interrupts(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
