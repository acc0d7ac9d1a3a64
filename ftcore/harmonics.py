"""A look at the voice: where nobody sings it is music, and so is what is beside the harmonics of a single voice.

`ftcore.voice` says whether anyone sings and which pitches are likely. Where no single pitch explains what was found
lately, as with several voices at once, little changes for the latter; voices in the middle are more readily taken for
one than others.

Axes: C channels, P pitches, F bins, T frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, partial

import numpy as np

from ftcore.looks import TINY, Lately, changed, in_context, odds_of_voice, window_of
from ftcore.pipeline import Separated
from ftcore.postfilter import magnitude
from ftcore.stft import Complex, Real
from ftcore.voice import CHUNK, PITCHES, low_bins, voices

TOP = 24000.0
"""Hz up to which vocals change: what is above nobody hears, and it takes memory."""
MEMORY = 15.0
"""Seconds after which what was heard counts for 1 / e."""
ENOUGH = 0.5
"""The share of what was found, of a chunk before to one after (3 s), that is a voice's and from which on vocals stay as
loud as they are. Below, they are as much quieter."""
WIDTH = 1.6
"""Bins from a harmonic on which nothing is of the voice; one bin less, and all is."""
SINGLE = (0.65, 0.75)
"""Shares of the vocals' power on harmonics, lately, up to which several voices may sing, and from which on one does.
Power counts by the square of the vocals' share of the mixture: what is in doubt may well be music."""
SIDES, ALONE, MONO = (0.05, 0.1), 0.2, 0.01
"""Doubles and backing voices are at the sides. Where less of that power than the first share differs between channels,
`ALONE` less on harmonics is enough for a single voice; from the second share on it is not. Nor is it in mono, which
tells nothing: the mixture's own share counts in full from `MONO` on."""
ON = 4.0
"""What odds of voice to music are multiplied by on harmonics, which makes a mask."""
BESIDE, SHARE = (0.6, 0.05), (0.5, 0.8)
"""What odds are multiplied by beside harmonics, and how much of the vocals becomes the mixture under the mask: where
several may sing, and where one does."""


def by_voice(separated: Separated, rate: int) -> Separated:
    """The same separation with other vocals: quieter where nobody sings, in part the mixture under a mask at low bins.

    `rate` is in samples per second. Held back are five chunks at most (7.5 s).
    """
    n_fft = window_of(rate)
    bins = min(round(TOP * n_fft / rate), n_fft // 2) + 1
    return changed(separated, n_fft, n_fft // 2, bins, partial(_changes, bin_hz=rate / n_fft))


def _changes(frames: Iterator[Complex], bin_hz: float) -> Iterator[Complex]:
    """Frames [2 * C, F, T] of mixture and vocals, with bins so far apart, to what the vocals change by [C, F, T]."""
    low = low_bins(bin_hz)
    alone = Alone(bin_hz)
    for z, likely, share in _shares(frames, bin_hz):
        mixture, found = np.split(z, 2)
        vocals = np.minimum(share / np.float32(ENOUGH), 1) * found
        difference: Complex = vocals - found
        mixture, vocals = mixture[:, low], vocals[:, low]
        on = on_harmonics(likely, vocals.shape[1], bin_hz)
        odds = odds_of_voice(mixture, vocals)
        difference[:, low] += change(mixture, vocals, odds, on, alone.surely(mixture, vocals, odds, on))
        yield difference


def _shares(frames: Iterator[Complex], bin_hz: float) -> Iterator[tuple[Complex, Real, Real]]:
    """In chunks: the frames, how likely each pitch is [P, T], and what share of the power around each is a voice's."""
    powers = (((z, likely), power) for z, likely, power in _powers(frames, bin_hz))
    for (z, likely), power in in_context(powers, CHUNK):
        of_voice, found = np.lib.stride_tricks.sliding_window_view(power, 2 * CHUNK + 1, axis=1).sum(axis=-1)
        yield z, likely, of_voice / (found + TINY)


def _powers(frames: Iterator[Complex], bin_hz: float) -> Iterator[tuple[Complex, Real, Real]]:
    """In chunks: the frames, how likely each pitch is [P, T], and the power of the vocals' low bins [2, T].

    Of the power, first what is a voice's, then all.
    """
    for z, likely, sung in voices(frames, bin_hz):
        _, vocals = np.split(z[:, low_bins(bin_hz)], 2)
        found = np.square(magnitude(vocals)).sum(axis=0)
        yield z, likely, np.stack((sung * found, found))


class Alone:
    """Whether one voice sings, by what was heard lately."""

    def __init__(self, bin_hz: float) -> None:
        """Nothing was heard. Bins are so far apart."""
        self._explained, self._apart, self._stereo = (Lately(bin_hz, MEMORY) for _ in range(3))

    def surely(self, mixture: Complex, vocals: Complex, odds: Real, on: Real) -> float:
        """How surely, 0 to 1: with frames [C, F, T] heard now, their odds and how much bins are on harmonics [F, T]."""
        weight = np.square(odds / (1 + odds))
        power, sides = (weight * part for part in power_and_sides(vocals))
        total = power.sum(axis=0)
        explained = self._explained.mean((on * power).sum(axis=0), total)
        apart = self._apart.mean(sides.sum(axis=0), total)
        power, sides = power_and_sides(mixture)
        stereo = min(self._stereo.mean(sides.sum(axis=0), power.sum(axis=0)) / MONO, 1.0)
        less = stereo * np.interp(apart, SIDES, (ALONE, 0.0))
        return float(np.interp(explained + less, SINGLE, (0.0, 1.0)))


def power_and_sides(z: Complex) -> tuple[Real, Real]:
    """Of frames [C, F, T] the power, and that of what is not the same in all channels [F, T]."""
    power = np.square(magnitude(z))
    return power, power - np.square(np.abs(z.mean(axis=0)))


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
