"""A look at whether anyone sings: where a network is in doubt for seconds about all that it found, it found music.

Melodies that a voice could sing are taken for one where nobody does, though seldom with as little doubt as a voice.
How sure it is of voices differs from song to song; it shows in the song so far.

Axes: C channels, F bins, T frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import partial
from itertools import chain, pairwise

import numpy as np

from ftcore.looks import TINY, Lately, changed, chunks, odds_of_voice, window_of
from ftcore.pipeline import Separated
from ftcore.postfilter import magnitude
from ftcore.stft import Complex, Real

CHUNK = 32
"""Frames that are looked at together; as many before and after a frame count for how sure it is (3 s)."""
AHEAD = 10
"""Chunks after one that are known when it is looked at (15 s): songs begin with music."""
MEMORY = 60.0
"""Seconds after which what was heard counts for 1 / e."""
TOP = 5500.0
"""Hz up to which what was found is looked at."""
USUAL, ENOUGH = 0.7, 0.35
"""How sure is sure enough: so much of what the song's voice usually is, and at most that. Below, vocals are as much
quieter."""


def by_presence(separated: Separated, rate: int) -> Separated:
    """The same separation with quieter vocals where they are in doubt.

    `rate` is in samples per second. Held back are `AHEAD` and two more chunks at most (18 s).
    """
    n_fft = window_of(rate)
    return changed(separated, n_fft, n_fft // 2, n_fft // 2 + 1, partial(_changes, bin_hz=rate / n_fft))


def _changes(frames: Iterator[Complex], bin_hz: float) -> Iterator[Complex]:
    """Frames [2 * C, F, T] of mixture and vocals, with bins so far apart, to what the vocals change by [C, F, T]."""
    usual = Lately(bin_hz, MEMORY)
    enough = 0.0
    ahead: deque[tuple[Complex, Real]] = deque()

    def following() -> Complex:
        vocals, sure = ahead.popleft()
        change: Complex = (np.minimum(sure / (enough + TINY), 1) - 1) * vocals
        return change

    for vocals, power, sure in _sureness(frames, bin_hz):
        enough = min(USUAL * usual.mean(power * sure, power), ENOUGH)
        ahead.append((vocals, sure))
        if len(ahead) > AHEAD:
            yield following()
    while ahead:
        yield following()


def _sureness(frames: Iterator[Complex], bin_hz: float) -> Iterator[tuple[Complex, Real, Real]]:
    """In chunks: vocals [C, F, T], how much of their power is sure [T], and what share of it around each frame [T]."""
    before = np.zeros((2, CHUNK), np.float32)
    end = (np.empty((0, 0, 0), np.complex64), np.zeros((2, CHUNK), np.float32))
    for (vocals, here), (_, after) in pairwise(chain(_powers(frames, bin_hz), [end])):
        around = np.concatenate((before, here, after), axis=1)
        around = np.pad(around, ((0, 0), (0, 2 * CHUNK + here.shape[1] - around.shape[1])))
        sure, found = np.lib.stride_tricks.sliding_window_view(around, 2 * CHUNK + 1, axis=1).sum(axis=-1)
        yield vocals, here[0], sure / (found + TINY)
        before = here


def _powers(frames: Iterator[Complex], bin_hz: float) -> Iterator[tuple[Complex, Real]]:
    """In chunks: vocals [C, F, T], and their power up to `TOP` [2, T]: what of it is sure, and all of it.

    Power counts as sure by the square of the vocals' share of the mixture.
    """
    for z in chunks(frames, CHUNK):
        mixture, vocals = np.split(z, 2)
        low = slice(round(TOP / bin_hz) + 1)
        odds, found = odds_of_voice(mixture[:, low], vocals[:, low]), magnitude(vocals[:, low])
        yield vocals.copy(), np.square(np.stack((found * odds / (1 + odds), found))).sum(axis=1)
