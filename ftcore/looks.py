"""A further look at the vocals of a song: in a spectrogram of its own, once they are whole again.

Axes: C channels, F bins, T frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TypeVar

import numpy as np

from ftcore.decoders import Block
from ftcore.pipeline import Separated, pair, smooth
from ftcore.postfilter import magnitude
from ftcore.stft import Complex, Real, istft, stft

Part = TypeVar("Part")

SECONDS = 4096 / 44100
"""A window: short enough for pitches that move, long enough to tell harmonics apart."""
TINY = 1e-9


def window_of(rate: int) -> int:
    """Samples of a window, of so many per second; it hops by half of them."""
    return 2 * smooth(rate * SECONDS / 2)


def changed(
    separated: Separated, n_fft: int, hop: int, bins: int, look: Callable[[Iterator[Complex]], Iterator[Complex]]
) -> Separated:
    """The same separation with other vocals in the lowest bins, as many as that.

    `look` turns frames [2 * C, F, T] of mixture and vocals into what the vocals change by [C, F, T], frame by frame but
    in pieces of any length.
    """
    waiting: deque[Block] = deque()

    def both() -> Iterator[Block]:
        for block in separated:
            waiting.append(np.concatenate(block))
            yield waiting[-1]

    changes = look(z[:, :bins] for z in stft(both(), n_fft, hop))
    for block, change in pair(waiting, istft(changes, n_fft, hop)):
        mixture, vocals = np.split(block, 2)
        yield mixture, vocals + change


def chunks(frames: Iterable[Complex], size: int) -> Iterator[Complex]:
    """Frames [..., T] so many at a time; the last ones are what is left."""
    held: list[Complex] = []
    count = 0
    for z in frames:
        while count + z.shape[-1] >= size:
            part, z = np.split(z, [size - count], axis=-1)
            yield np.concatenate((*held, part), axis=-1)
            held, count = [], 0
        held.append(z)
        count += z.shape[-1]
    if count:
        yield np.concatenate(held, axis=-1)


def in_context(parts: Iterable[tuple[Part, Real]], around: int) -> Iterator[tuple[Part, Real]]:
    """Chunks and values of them [..., T]: the same chunks, and values of as many frames more before and after them.

    These are 0 before the first and after the last. One chunk is held back, so none but the last may have fewer frames
    than are `around`.
    """
    before: Real | None = None
    for this, following in pairwise(chain(parts, [None])):
        assert this is not None
        part, here = this
        silence = np.zeros((*here.shape[:-1], around), np.float32)
        after = silence if following is None else np.concatenate((following[1], silence), axis=-1)[..., :around]
        both = np.concatenate((silence if before is None else before, here), axis=-1)
        yield part, np.concatenate((both, after), axis=-1)
        before = both[..., both.shape[-1] - around :]


@dataclass
class Lately:
    """A mean of what was heard, in frames of half a window, the older the less."""

    bin_hz: float
    memory: float
    """Seconds after which what was heard counts for 1 / e."""
    total: float = 0.0
    weight: float = 0.0

    def mean(self, values: Real, weights: Real) -> float:
        """With these frames' values, which are multiplied by their weights already."""
        kept = float(np.exp(-len(values) / (2 * self.bin_hz * self.memory)))
        self.total = kept * self.total + float(values.sum())
        self.weight = kept * self.weight + float(weights.sum())
        return self.total / (self.weight + TINY)


def odds_of_voice(mixture: Complex, vocals: Complex) -> Real:
    """How many times as loud as the rest of the mixture [C, F, T] the vocals found are [F, T]."""
    odds: Real = magnitude(vocals) / (magnitude(mixture - vocals) + TINY)
    return odds
