"""Several separations of one song, made one: other models, or the same one at another speed.

Axes: N separations, C channels of the file, F bins, T frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from ftcore.decoders import Block
from ftcore.pipeline import Separated, pair
from ftcore.stft import Complex, istft, stft

Ensemble = Literal["mean", "min", "max"]

N_FFT, HOP = 2048, 512
"""Spectrogram on which min and max choose, in samples."""


def combine(separations: Sequence[Separated], how: Ensemble) -> Separated:
    """One separation out of several of the same song.

    `mean` averages the vocals; `min` and `max` take, at every time and frequency, those of the smallest or
    largest magnitude: less of other instruments in the vocals, or less of the voice in the instrumental.
    """
    if len(separations) == 1:
        yield from separations[0]
        return
    if how == "mean":
        for mixture, vocals in aligned(separations):
            yield mixture, vocals.mean(axis=0)
        return
    waiting: deque[Block] = deque()

    def remembered() -> Iterator[Block]:
        for mixture, vocals in aligned(separations):
            waiting.append(mixture)
            yield vocals

    chosen = (_choose(frames, how) for frames in stft(remembered(), N_FFT, HOP))
    yield from pair(waiting, istft(chosen, N_FFT, HOP))


def aligned(separations: Sequence[Separated]) -> Iterator[tuple[Block, Block]]:
    """Blocks of the same samples: the mixture [C, samples] and all vocals [N, C, samples]."""
    held = [next(s) for s in separations]
    while True:
        count = min(mixture.shape[1] for mixture, _ in held)
        yield held[0][0][:, :count], np.stack([vocals[:, :count] for _, vocals in held])
        for i, (mixture, vocals) in enumerate(held):
            held[i] = (mixture[:, count:], vocals[:, count:])
            while held[i][0].shape[1] == 0:
                following = next(separations[i], None)
                if following is None:  # all end together: each is as long as the song
                    return
                held[i] = following


def _choose(frames: Complex, how: Ensemble) -> Complex:
    """[N, C, F, T] -> [C, F, T]."""
    magnitude = np.abs(frames)
    index = magnitude.argmin(axis=0) if how == "min" else magnitude.argmax(axis=0)
    chosen: Complex = np.take_along_axis(frames, index[None], axis=0)[0]
    return chosen
