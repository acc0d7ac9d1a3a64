"""Voices in tune with music: singers share their pitches with what they sing over, random pairs do not.

A wave is float32 [2, samples].
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ftcore.data.library import Wave

Pitches = npt.NDArray[np.float64]
"""How much sound at each of `GRID` stands out [280]."""

PER_OCTAVE = 60
GRID = 100.0 * 2 ** (np.arange(280) / PER_OCTAVE)
"""Hz, every 20 cents up to 2.5 kHz."""
AROUND = 31
"""Points of it, half an octave, in whose mean what stands out does so."""
TINY = 1e-9


def pitches(wave: Wave, rate: int) -> Pitches:
    """How much sound at each pitch is louder than around it, as a logarithm of magnitudes; 0 where it is not.

    rate: samples per second.
    """
    mono = wave.mean(axis=0) * np.hanning(wave.shape[1])
    n_fft = 2 << (len(mono) - 1).bit_length()
    below = np.concatenate(([0.0], np.cumsum(np.abs(np.fft.rfft(mono, n_fft)) ** 2)))
    edges = GRID * 2 ** (np.array([[-0.5], [0.5]]) / PER_OCTAVE) * n_fft / rate
    low, high = np.minimum(edges, n_fft // 2).astype(int)
    high = np.maximum(high, low + 1)
    loud = np.log((below[high] - below[low]) / (high - low) + TINY) / 2
    stands_out: Pitches = np.maximum(loud - ndimage.uniform_filter1d(loud, AROUND, mode="nearest"), 0.0)
    return stands_out


def most_in_tune(voice: Pitches, speeds: Iterable[float], music: Pitches) -> float:
    """At which of these speeds the pitches of a voice are most like those of music, by the cosine."""

    def likeness(speed: float) -> float:
        higher = round(PER_OCTAVE * np.log2(speed))  # points
        sung = voice[max(-higher, 0) : len(voice) - max(higher, 0)]
        played = music[max(higher, 0) : len(music) - max(-higher, 0)]
        return float(sung @ played / (np.linalg.norm(sung) * np.linalg.norm(played) + TINY))

    return max(speeds, key=likeness)
