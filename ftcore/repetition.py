"""A look at what was found over a minute: music comes back, and what is sung over it is another line by then.

Where frames of the instrumental are alike, what only one of them holds is likely of the voice. That music repeats and
voices do not is the idea of REPET-SIM (Rafii and Pardo 2012, "Music/voice separation using the similarity matrix"),
which looks for it in mixtures; here it is looked for in what a network has left of them.

Axes: C channels, F bins, T frames at hand, M frames in which their likes are looked for, K frames that are alike.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import partial

import numpy as np

from ftcore.looks import changed, chunks
from ftcore.pipeline import Grid, Separated
from ftcore.postfilter import magnitude
from ftcore.stft import Complex, Real

BACK, AHEAD = 60.0, 15.0
"""Seconds before and after, in which frames that are like one are looked for."""
APART = 1.0
"""Seconds that they are away at least: what is held is no repetition."""
TOP = 8000.0
"""Hz up to which vocals change: above there is little of them, and all that is held back takes memory."""
COMPARED = (50.0, 4300.0)
"""Hz between which frames are compared, by the roots of their magnitudes."""
AROUND = 2
"""Frames on either side that are compared along with one."""
LIKES = 4
"""How many frames stand for what comes back."""
ALIKE, SAME = 0.80, 0.95
"""Cosines from which on frames count at all, and in full."""
CHUNK = 128
"""Frames that are looked at together."""
TINY = np.finfo(np.float32).tiny


def by_repetition(separated: Separated, grid: Grid, rate: int) -> Separated:
    """The same separation with other vocals up to `TOP`: the mixture under a mask.

    It works in frames of `grid`, which is of `rate` samples per second, and holds back `AHEAD` and up to two chunks.
    """
    top = min(round(TOP * grid.n_fft / rate), grid.n_fft // 2) + 1
    look = partial(_changes, per_second=rate / grid.hop, bin_hz=rate / grid.n_fft)
    return changed(separated, grid.n_fft, grid.hop, top, look)


def _changes(frames: Iterator[Complex], per_second: float, bin_hz: float) -> Iterator[Complex]:
    """Frames [2 * C, F, T] of mixture and vocals, so many a second, to what the vocals change by [C, F, T]."""
    compared = slice(round(COMPARED[0] / bin_hz), round(COMPARED[1] / bin_hz) + 1)
    ahead: deque[Complex] = deque()
    music: list[Real] = []  # magnitudes [F, T] of the instrumental, of what is ahead and what went before
    before = 0  # frames

    def following() -> Complex:
        nonlocal before
        mixture, vocals = np.split(ahead.popleft(), 2)
        count = mixture.shape[-1]
        repeated = _repeated(np.concatenate(music, axis=-1), before, count, per_second, compared)
        found = magnitude(vocals)
        left = np.minimum(repeated, magnitude(mixture))
        before += count
        while before - music[0].shape[-1] >= BACK * per_second:
            before -= music.pop(0).shape[-1]
        mask = found / np.maximum(found + left, TINY)
        change: Complex = mask * mixture - vocals
        return change

    for z in chunks(frames, CHUNK):
        ahead.append(z)
        mixture, vocals = np.split(z, 2)
        music.append(magnitude(mixture - vocals))
        if sum(part.shape[-1] for part in ahead) >= CHUNK + AHEAD * per_second:
            yield following()
    while ahead:
        yield following()


def _repeated(music: Real, first: int, count: int, per_second: float, compared: slice) -> Real:
    """What comes back of magnitudes [F, M], for `count` of their frames: [F, T]; where nothing does, just these."""
    here = slice(first, first + count)
    apart = np.abs(np.arange(music.shape[1]) - np.arange(first, first + count)[:, None]) >= APART * per_second  # [T, M]
    if apart.sum(axis=1).min() < LIKES:
        return music[:, here]
    frames = music.shape[1]
    roots = np.pad(np.sqrt(music[compared]), ((0, 0), (AROUND, AROUND)))
    products, squares = roots[:, first : first + count + 2 * AROUND].T @ roots, np.square(roots).sum(axis=0)
    around = range(2 * AROUND + 1)
    norms = np.sqrt(np.sum([squares[i : i + frames] for i in around], axis=0))
    cosines = np.sum([products[i : i + count, i : i + frames] for i in around], axis=0)
    cosines /= np.maximum(norms[here, None] * norms, TINY)
    cosines[~apart] = -1.0
    likes = np.argpartition(-cosines, LIKES - 1, axis=1)[:, :LIKES]  # [T, K]
    alike = np.take_along_axis(cosines, likes, axis=1).mean(axis=1)
    share = np.clip((alike - ALIKE) / (SAME - ALIKE), 0.0, 1.0).astype(np.float32)
    held = music[:, here]
    repeated: Real = held + share * (_median(*(music[:, like] for like in likes.T)) - held)
    return repeated


def _median(a: Real, b: Real, c: Real, d: Real) -> Real:
    """The mean of the middle two of four, elementwise."""
    low, high = np.maximum(np.minimum(a, b), np.minimum(c, d)), np.minimum(np.maximum(a, b), np.maximum(c, d))
    return (low + high) * np.float32(0.5)
