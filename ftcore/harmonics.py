"""A look at the pitch of what was found: a single voice is at the harmonics of it, and what is beside them is music.

How likely pitches are follows from harmonic sums (Hermes 1988, "Measurement of pitch by subharmonic summation"; what is
halfway between harmonics counts against a pitch) and from how pitches move: by the forwards-backwards algorithm of
hidden Markov models (Baum and others 1970), which here knows a second or two of the future. Where no single pitch
explains what was found lately, as with several voices at once, nothing changes.

Axes: C channels, P pitches, F bins, T frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, partial
from itertools import chain, pairwise

import numpy as np

from ftcore.looks import TINY, Lately, changed, chunks, odds_of_voice, window_of
from ftcore.pipeline import Separated
from ftcore.postfilter import magnitude
from ftcore.stft import Complex, Real

CHUNK = 32
"""Frames that are looked at together, once as many after them are known."""
MEMORY = 15.0
"""Seconds after which what was heard counts for 1 / e."""
PITCHES = 65.0 * 2 ** (np.arange(240) / 60)
"""Hz, every 20 cents."""
SUMMED, HARMONICS = 5000.0, 20
"""Hz up to which harmonics are summed, and how many at most."""
COMPRESSION = 2 / 3
"""The power of magnitudes that is summed."""
DECAY, BETWEEN = 0.8, 0.7
"""The weight of each harmonic beside the one before, and of what is halfway between them, which is taken away."""
SHARPNESS = 2.0
"""What a sum counts for as the logarithm of a likelihood."""
STEP, LEAP = np.exp(-0.5), 0.02
"""How likely a pitch of the next frame is for each 20 cents away, beside the same; and that it is any pitch at all."""
TOP = 5500.0
"""Hz up to which vocals change."""
WIDTH = 1.6
"""Bins from a harmonic on which nothing is of the voice; one bin less, and all is."""
ON, BESIDE, SHARE = 4.0, 0.05, 0.8
"""What odds of voice to music are multiplied by on harmonics and beside them, which makes a mask; and how much of the
vocals becomes the mixture under it."""
SINGLE = (0.72, 0.82)
"""Shares of the vocals' power on harmonics, lately, from which on vocals change at all, and by `SHARE`. Power counts by
the square of the vocals' share of the mixture: what is in doubt may well be music."""


def by_harmonics(separated: Separated, rate: int) -> Separated:
    """The same separation with other vocals up to `TOP`: in part what they were, in part the mixture under a mask.

    `rate` is in samples per second. Held back are two chunks at most (3 s).
    """
    n_fft = window_of(rate)
    bin_hz = rate / n_fft
    bins = min(round(TOP / bin_hz), n_fft // 2) + 1
    return changed(separated, n_fft, n_fft // 2, bins, partial(_changes, bin_hz=bin_hz))


def _changes(frames: Iterator[Complex], bin_hz: float) -> Iterator[Complex]:
    """Frames [2 * C, F, T] of mixture and vocals, with bins so far apart, to what the vocals change by [C, F, T]."""
    explained = Lately(bin_hz, MEMORY)
    for z, on in harmonic_bins(frames, bin_hz):
        mixture, vocals = np.split(z, 2)
        odds = odds_of_voice(mixture, vocals)
        power = np.square(magnitude(vocals) * odds / (1 + odds))
        single = np.interp(explained.mean((on * power).sum(axis=0), power.sum(axis=0)), SINGLE, (0.0, 1.0))
        yield np.float32(SHARE * single) * (masked(mixture, odds, on) - vocals)


def masked(mixture: Complex, odds: Real, on: Real) -> Complex:
    """The mixture [C, F, T] under a mask: by the odds of voice, and how much each bin is on harmonics [F, T]."""
    odds = odds * ON**on * BESIDE ** (1 - on)
    under: Complex = odds / (1 + odds) * mixture
    return under


def harmonic_bins(frames: Iterator[Complex], bin_hz: float) -> Iterator[tuple[Complex, Real]]:
    """The frames in chunks, and how much each bin is on harmonics of the vocals [F, T], 0 to 1."""
    before = np.full(len(PITCHES), 1 / len(PITCHES), np.float32)
    end = (np.empty((2, 0, 0), np.complex64), np.empty((len(PITCHES), 0), np.float32))
    for (z, strength), (_, following) in pairwise(chain(_strengths(frames, bin_hz), [end])):
        likely, before = probabilities(strength, following, before)
        yield z, on_harmonics(likely, z.shape[1], bin_hz)


def _strengths(frames: Iterator[Complex], bin_hz: float) -> Iterator[tuple[Complex, Real]]:
    """The frames in chunks, and how strong the harmonics of each pitch are in their vocals [P, T].

    In the mean of the channels, for what is at the sides is less often the voice that leads; beside how loud it is, in
    the mean of all bins, there and lately: who is silent has no pitch.
    """
    level = Lately(bin_hz, MEMORY)
    for z in chunks(frames, CHUNK):
        compressed = np.abs(z[len(z) // 2 :].mean(axis=0)) ** np.float32(COMPRESSION)
        here = compressed.mean(axis=0)
        usual = (here + level.mean(here, np.ones_like(here))) / 2
        yield z, combs(len(compressed), bin_hz) @ (compressed / (usual + TINY))


@lru_cache
def combs(bins: int, bin_hz: float) -> Real:
    """[P, F]: weights of the harmonics of each pitch, which add up to 1, and of what is halfway between them."""
    weights = np.zeros((len(PITCHES), bins), np.float32)
    highest = min(SUMMED, (bins - 2) * bin_hz)
    for row, pitch in zip(weights, PITCHES, strict=True):
        orders = np.arange(1, np.clip(int(highest / pitch), 1, HARMONICS) + 1)
        decay = DECAY**orders
        for offset, weight in ((0.0, 1.0), (0.5, -BETWEEN)):
            place = (orders - offset) * pitch / bin_hz
            low = place.astype(int)
            np.add.at(row, low, weight * decay / decay.sum() * (1 - (place - low)))
            np.add.at(row, low + 1, weight * decay / decay.sum() * (place - low))
    return weights


def probabilities(strength: Real, following: Real, before: Real) -> tuple[Real, Real]:
    """Of pitches in frames [P, T], by how strong they are in these [P, T] and in those that follow [P, any].

    `before` is the probabilities [P] in the frame before, by all frames up to it; also returned, for the last frame.
    """
    moves = _moves()
    here, after = (np.exp(SHARPNESS * (x - x.max(axis=0))) for x in (strength, following))
    forwards, backwards = np.empty_like(here), np.empty_like(here)
    for t in range(here.shape[1]):
        before = here[:, t] * (before @ moves)
        before /= before.sum()
        forwards[:, t] = before
    later = np.ones(len(here), np.float32)
    for t in reversed(range(after.shape[1])):
        later = moves @ (after[:, t] * later)
        later /= later.sum()
    for t in reversed(range(here.shape[1])):
        backwards[:, t] = later
        later = moves @ (here[:, t] * later)
        later /= later.sum()
    likely = forwards * backwards
    likely /= likely.sum(axis=0)
    return likely, before


@lru_cache
def _moves() -> Real:
    """[P, P]: how likely each pitch is to be another one in the next frame."""
    places = np.arange(len(PITCHES))
    moves = STEP ** np.abs(places[:, None] - places)
    all_moves: Real = ((1 - LEAP) * moves / moves.sum(axis=1, keepdims=True) + LEAP / len(places)).astype(np.float32)
    return all_moves


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
