"""Windows of a song as networks were taught to hear songs: equalised, half of the way to what is typical of these.

A network knows voices and instruments by their sound and by their place, and recordings are brighter or duller, wider
or narrower than those it knows. How loud each third of an octave is, of mid and side beside the whole, is known before
anything is found; what is found is equalised back. It is the recording that counts, not the moment: music in which
nobody sings lacks what voices have, and brought to what is typical would sound as if it had them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ftcore.stft import Complex, Real

Decibels = npt.NDArray[np.float64]

CENTRES = 1000.0 * 2.0 ** (np.arange(-8, 13) / 3)
"""Hz, of bands of a third of an octave, 157 Hz to 16 kHz. Below and above, gains are those of the outermost bands."""
TYPICAL = np.array(
    [  # mid, side
        [17.1, 4.9], [16.2, 4.3], [16.0, 5.9], [14.7, 5.9], [14.2, 4.9], [12.6, 3.4], [12.0, 1.4],
        [9.6, -1.6], [7.3, -3.2], [4.8, -5.5], [1.8, -8.1], [-1.4, -12.7], [-4.0, -14.7], [-6.1, -17.4],
        [-8.3, -20.7], [-10.6, -23.8], [-11.7, -25.9], [-12.4, -28.5], [-14.7, -32.5], [-20.0, -39.9], [-31.8, -50.7],
    ]
).T  # fmt: skip
"""dB of a bin in each band, of mid and of side, beside the mean of the bands of mid: the medians of mixtures that the
bundled model was trained on (`benchmarks/spectrum.py`)."""
SHARE = 0.5
"""How far of the way to them."""
MOST = 12.0
"""dB for which a band counts as away from them at most: bands may be empty."""
NEIGHBOURS = (0.25, 0.5, 0.25)
"""What each band and those beside it count for in how far one is away."""


@dataclass
class Equaliser:
    """Gains for the windows of a song, one after the other: in dB, the mean of what each window so far would have."""

    bin_hz: float
    """How far bins are apart, the first at 0 Hz."""
    total: Decibels | float = 0.0
    count: int = 0

    def gains(self, window: Complex) -> Real:
        """Of each bin, of mid and side [2, F], for the next window [2, F, T].

        Of a window that does not have two channels, of all of them together [1, F].
        """
        self.total = self.total + decibels(window, self.bin_hz)
        self.count += 1
        gains: Real = (10.0 ** (self.total / self.count / 20.0)).astype(np.float32)
        return gains


def decibels(window: Complex, bin_hz: float) -> Decibels:
    """Gains [2, F] or [1, F] by a window alone."""
    measured = levels(window, bin_hz)
    bins = window.shape[1]
    _, held = bands(bins, bin_hz)
    if not held.any():
        return np.zeros((len(measured), bins))
    away = TYPICAL[: len(measured), held] - measured
    away = np.clip(away - np.median(away[0]), -MOST, MOST)
    smoothed = [np.convolve(np.pad(row, 1, mode="edge"), NEIGHBOURS, "valid") for row in away]
    return SHARE * np.array([np.interp(np.arange(bins) * bin_hz, CENTRES[held], row) for row in smoothed])


def equalised(window: Complex, by: Real) -> Complex:
    """A window [A, F, T] with gains [2, F] of mid and side, or [1, F]."""
    if len(by) == 1:
        return window * by[..., None]
    alike, crossed = (by[0] + by[1])[:, None] / 2, (by[0] - by[1])[:, None] / 2
    both: Complex = alike * window
    both += crossed * window[::-1]
    return both


def levels(window: Complex, bin_hz: float) -> Decibels:
    """dB of a bin of mid and side in each band that holds any [2, bands], or of all channels together [1, bands]."""
    if len(window) == 2:
        power = np.square(np.abs((window[0] + window[1], window[0] - window[1]))).mean(axis=-1)
    else:
        power = np.square(np.abs(window)).mean(axis=(0, -1))[None]
    weights, _ = bands(window.shape[1], bin_hz)
    decibels: Decibels = 10.0 * np.log10(power @ weights.T + 1e-10 * power.mean(axis=-1, keepdims=True) + 1e-30)
    return decibels


@lru_cache
def bands(bins: int, bin_hz: float) -> tuple[Real, npt.NDArray[np.bool_]]:
    """What each bin weighs in bands that hold any and end below the last one [bands, F], and which these are."""
    frequencies, edge = np.arange(bins) * bin_hz, 2 ** (1 / 6)
    inside = (CENTRES[:, None] / edge <= frequencies) & (frequencies < CENTRES[:, None] * edge)
    held = inside.any(axis=1) & (CENTRES * edge <= bins * bin_hz)
    weights: Real = (inside[held] / inside[held].sum(axis=1, keepdims=True)).astype(np.float32)
    return weights, held
