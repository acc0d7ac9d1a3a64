"""A further look at the vocals of a song: in a spectrogram of its own, once they are whole again.

Axes: C channels, F bins, T frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from ftcore.decoders import Block
from ftcore.pipeline import Separated, pair
from ftcore.stft import Complex, istft, stft


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

    above = n_fft // 2 + 1 - bins
    changes = look(z[:, :bins] for z in stft(both(), n_fft, hop))
    whole = (np.pad(z, ((0, 0), (0, above), (0, 0))) for z in changes)
    for block, change in pair(waiting, istft(whole, n_fft, hop)):
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
