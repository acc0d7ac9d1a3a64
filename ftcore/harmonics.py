"""A look at the pitch of what was found: a single voice is at the harmonics of it, and what is beside them is music.

`ftcore.pitch` says which pitches are likely. Where no single pitch explains what was found lately, as with several
voices at once, little changes.

Axes: C channels, P pitches, F bins, T frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, partial

import numpy as np

from ftcore.looks import Lately, changed, odds_of_voice, window_of
from ftcore.pipeline import Separated
from ftcore.pitch import PITCHES, likely_pitches
from ftcore.postfilter import magnitude
from ftcore.stft import Complex, Real

MEMORY = 15.0
"""Seconds after which what was heard counts for 1 / e."""
TOP = 5500.0
"""Hz up to which vocals change."""
WIDTH = 1.6
"""Bins from a harmonic on which nothing is of the voice; one bin less, and all is."""
SINGLE = (0.62, 0.72)
"""Shares of the vocals' power on harmonics, lately, up to which several voices may sing, and from which on one does.
Power counts by the square of the vocals' share of the mixture: what is in doubt may well be music."""
ON = 4.0
"""What odds of voice to music are multiplied by on harmonics, which makes a mask."""
BESIDE, SHARE = (0.6, 0.05), (0.5, 0.8)
"""What odds are multiplied by beside harmonics, and how much of the vocals becomes the mixture under the mask: where
several may sing, and where one does."""


def by_harmonics(separated: Separated, rate: int) -> Separated:
    """The same separation with other vocals up to `TOP`: in part what they were, in part the mixture under a mask.

    `rate` is in samples per second. Held back are three chunks at most (4.5 s).
    """
    n_fft = window_of(rate)
    bin_hz = rate / n_fft
    bins = min(round(TOP / bin_hz), n_fft // 2) + 1
    return changed(separated, n_fft, n_fft // 2, bins, partial(_changes, bin_hz=bin_hz))


def _changes(frames: Iterator[Complex], bin_hz: float) -> Iterator[Complex]:
    """Frames [2 * C, F, T] of mixture and vocals, with bins so far apart, to what the vocals change by [C, F, T]."""
    explained = Lately(bin_hz, MEMORY)
    for z, likely in likely_pitches(frames, bin_hz):
        mixture, vocals = np.split(z, 2)
        on = on_harmonics(likely, z.shape[1], bin_hz)
        odds = odds_of_voice(mixture, vocals)
        power = np.square(magnitude(vocals) * odds / (1 + odds))
        single = np.interp(explained.mean((on * power).sum(axis=0), power.sum(axis=0)), SINGLE, (0.0, 1.0))
        yield change(mixture, vocals, odds, on, float(single))


def change(mixture: Complex, vocals: Complex, odds: Real, on: Real, single: float) -> Complex:
    """What vocals change by [C, F, T].

    By the odds of voice and how much bins are on harmonics [F, T], and by how sure it is that one voice sings, 0 to 1.
    """
    beside = BESIDE[0] ** (1 - single) * BESIDE[1] ** single
    share = SHARE[0] * (1 - single) + SHARE[1] * single
    odds = odds * np.float32(ON) ** on * np.float32(beside) ** (1 - on)
    difference: Complex = np.float32(share) * (odds / (1 + odds) * mixture - vocals)
    return difference


def on_harmonics(likely: Real, bins: int, bin_hz: float) -> Real:
    """How much each bin is on a harmonic of pitches that are so likely [P, T], 0 to 1: [F, T]."""
    on: Real = np.minimum(_near(bins, bin_hz).T @ likely, 1)
    return on


@lru_cache
def _near(bins: int, bin_hz: float) -> Real:
    """[P, F]: how near each bin is to a harmonic of each pitch, 0 to 1."""
    place, spacing = np.arange(bins), PITCHES[:, None] / bin_hz
    away = np.abs((place / spacing + 0.5) % 1.0 - 0.5) * spacing
    near = np.where(place < spacing / 2, 0.0, np.clip(WIDTH - away, 0.0, 1.0))
    return near.astype(np.float32)
