"""A look at the pitch of what was found: a voice is at the harmonics of it, music beside them as well.

How likely each pitch is follows from harmonic sums (Noll 1969; Hermes 1988, "Measurement of pitch by subharmonic
summation"; those halfway between count against a pitch) and from how pitches move (the forwards-backwards algorithm,
Baum and others 1970), a second or two into the future.

Axes: C channels, P pitches, F bins, T frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from itertools import chain, pairwise

import numpy as np
import numpy.typing as npt

from ftcore.looks import changed, chunks
from ftcore.pipeline import Separated, smooth
from ftcore.postfilter import magnitude
from ftcore.stft import Complex

Real = npt.NDArray[np.float32]

SECONDS = 4096 / 44100
"""A spectrogram's window, twice its hop: short enough for pitches that move, and long enough to tell harmonics apart."""
CHUNK = 32
"""Frames that are looked at together, when as many after them are known."""
MEMORY = 15.0
"""Seconds after which what was heard counts for 1 / e."""
PITCHES = 65.0 * 2 ** (np.arange(240) * 20 / 1200)
"""Hz, every 20 cents."""
LEAP, STAY = 0.02, np.exp(-0.5)
"""From frame to frame: how likely any pitch is to come next, and each step of 20 cents beside the one before."""
HARMONICS, DECAY, BETWEEN = 20, 0.85, 0.7
"""How many are summed, their weight beside the one before, and that of what is halfway between them, taken away."""
SUMMED, TOP = 5000.0, 5500.0
"""Hz up to which harmonics are summed, and up to which vocals change."""
WIDTH = 1.6
"""Bins from a harmonic on which nothing is of the voice."""
ON, BESIDE = 4.0, 0.5
"""What the odds of voice to music are multiplied by at harmonics, and beside them."""
SHARE = 0.5
"""How much of the vocals is the mixture under the mask."""
TINY = 1e-9


def by_harmonics(separated: Separated, rate: int) -> Separated:
    """The same separation with other vocals up to `TOP`: a `SHARE` is the mixture under a mask, the rest what they were.

    `rate` is in samples per second. Held back are two chunks at most.
    """
    hop = smooth(rate * SECONDS / 2)
    bins = min(round(TOP * 2 * hop / rate), hop) + 1
    return changed(separated, 2 * hop, hop, bins, partial(_changes, bin_hz=rate / hop / 2))


def _changes(frames: Iterable[Complex], bin_hz: float) -> Iterator[Complex]:
    """Frames [2 * C, F, T] of mixture and vocals, whose bins are so far apart, to what the vocals change by [C, F, T]."""
    forwards = np.full(len(PITCHES), 1 / len(PITCHES), np.float32)
    end = (np.empty((2, 0, 0), np.complex64), np.empty((len(PITCHES), 0), np.float32))
    for (z, strength), (_, following) in pairwise(chain(_strengths(frames, bin_hz), [end])):
        likely, forwards = probabilities(strength, following, forwards)
        mixture, vocals = np.split(z, 2)
        odds = magnitude(vocals) / (magnitude(mixture - vocals) + TINY)
        voice = on_voice(likely, z.shape[1], bin_hz)
        odds *= ON**voice * BESIDE ** (1 - voice)
        yield np.float32(SHARE) * (odds / (1 + odds) * mixture - vocals)


def _strengths(frames: Iterable[Complex], bin_hz: float) -> Iterator[tuple[Complex, Real]]:
    """The frames in chunks, each with how strong the harmonics of each pitch are in its vocals [P, T], beside how loud
    they are there and were lately."""
    total = count = 0.0
    for z in chunks(frames, CHUNK):
        roots = np.sqrt(magnitude(z[len(z) // 2 :]))
        levels = roots.mean(axis=0)
        kept = np.exp(-len(levels) / (2 * bin_hz * MEMORY))  # a frame lasts for half a window
        total, count = kept * total + levels.sum(), kept * count + len(levels)
        yield z, combs(len(roots), bin_hz) @ (roots / ((levels + total / count) / 2 + TINY))


@lru_cache
def combs(bins: int, bin_hz: float) -> Real:
    """[P, F]: weights of magnitudes at the harmonics of each pitch, which add up to 1, and at what is halfway between."""
    weights = np.zeros((len(PITCHES), bins), np.float32)
    highest = min(SUMMED, (bins - 2) * bin_hz)
    for row, pitch in zip(weights, PITCHES, strict=True):
        orders = np.arange(1, max(min(HARMONICS, int(highest / pitch)), 1) + 1)
        decay = DECAY ** (orders - 1)
        decay /= decay.sum()
        for offset, weight in ((0.0, 1.0), (0.5, -BETWEEN)):
            place = (orders - offset) * pitch / bin_hz
            low = place.astype(int)
            np.add.at(row, low, weight * decay * (1 - (place - low)))
            np.add.at(row, low + 1, weight * decay * (place - low))
    return weights


def probabilities(strength: Real, following: Real, before: Real) -> tuple[Real, Real]:
    """Of each pitch in each frame, [P, T], given what is known of all: the strengths of pitches there [P, T] and in
    frames that follow [P, any], and the probabilities in the frame before, given those up to it [P].

    Also the latter for the last frame.
    """
    moves = _moves()
    here = np.exp(strength - strength.max(axis=0))
    forwards, backwards = np.empty_like(here), np.empty_like(here)
    for t in range(here.shape[1]):
        before = here[:, t] * (before @ moves)
        before /= before.sum()
        forwards[:, t] = before
    after = np.ones(len(here), np.float32)
    for x in np.exp(following - following.max(axis=0)).T[::-1]:
        after = moves @ (x * after)
        after /= after.sum()
    for t in reversed(range(here.shape[1])):
        backwards[:, t] = after
        after = moves @ (here[:, t] * after)
        after /= after.sum()
    likely = forwards * backwards
    return likely / likely.sum(axis=0), before


@lru_cache
def _moves() -> Real:
    """[P, P]: how likely each pitch is to become another one in the next frame."""
    steps = np.abs(np.subtract.outer(np.arange(len(PITCHES)), np.arange(len(PITCHES))))
    moves = STAY**steps
    moves = (1 - LEAP) * moves / moves.sum(axis=1, keepdims=True) + LEAP / len(PITCHES)
    return moves.astype(np.float32)


def on_voice(likely: Real, bins: int, bin_hz: float) -> Real:
    """How much each bin is on a harmonic of pitches that are so likely [P, T], 0 to 1: [F, T]."""
    on: Real = np.minimum(_near(bins, bin_hz).T @ likely, 1)
    return on


@lru_cache
def _near(bins: int, bin_hz: float) -> Real:
    """[P, F], 0 to 1."""
    place, spacing = np.arange(bins), PITCHES[:, None] / bin_hz
    away = np.abs((place / spacing + 0.5) % 1.0 - 0.5) * spacing
    near = np.where(place < spacing / 2, 0.0, np.clip(WIDTH - away, 0.0, 1.0))
    return near.astype(np.float32)
