"""A second look at what a network found, which hears seconds at a time: which stem has been the louder one for longer?

An instrument comes back to its frequencies, and so does a singer: what is in doubt is likely of the stem that was
louder at that frequency lately.

A mask as that of generalised Wiener filtering (Liutkus and Badeau 2015, "Generalized Wiener filtering with fractional
power spectrograms", alpha = 1), of magnitudes that are weighted by their level over time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from ftcore.stft import Complex

MEMORY = 15.0
"""Seconds after which what was heard counts for 1 / e."""

Sums = npt.NDArray[np.float32]
"""[2, 2, F, 1]: over time, magnitudes and their squares, of either stem."""


def postfiltered(separated: Iterable[tuple[Complex, Complex]], frame: float) -> Iterator[Complex]:
    """The vocals of (mixture, vocals), [C, F, T] each, in frames so many seconds apart: the mean of what they were and
    of the mixture under a mask.

    The mask goes by all that was heard so far and by the T frames at hand. It is the same for the first two channels,
    whichever these are, and each one's own for further ones.
    """
    sums: dict[int, Sums] = {}
    for mixture, vocals in separated:
        filtered = np.empty_like(vocals)
        for first in (0, *range(2, len(mixture))):
            part = slice(first, first + (1 if first else 2))
            mask, sums[first] = _mask(mixture[part], vocals[part], sums.get(first), frame)
            filtered[part] = (vocals[part] + mask * mixture[part]) * np.float32(0.5)
        yield filtered


def _mask(mixture: Complex, vocals: Complex, before: Sums | None, frame: float) -> tuple[npt.NDArray[np.float32], Sums]:
    """For channels that are heard as one: the mask [F, T], and the sums with these frames."""
    magnitudes = np.stack([magnitude(vocals), magnitude(mixture - vocals)])
    sums = np.stack((magnitudes.sum(axis=-1, keepdims=True), np.square(magnitudes).sum(axis=-1, keepdims=True)))
    if before is not None:
        sums += before * np.float32(np.exp(-mixture.shape[-1] * frame / MEMORY))
    tiny = np.finfo(np.float32).tiny
    magnitudes *= sums[1] / np.maximum(sums[0], tiny)  # the level: a mean in which loud frames count for more
    return magnitudes[0] / np.maximum(magnitudes.sum(axis=0), tiny), sums


def magnitude(z: Complex) -> npt.NDArray[np.float32]:
    """[C, F, T] -> [F, T], the root of the mean of squares."""
    root: npt.NDArray[np.float32] = np.sqrt((np.square(z.real) + np.square(z.imag)).mean(axis=0))
    return root
