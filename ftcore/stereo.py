"""How the two channels of stereo reach a network: together, or their mid and side each on its own.

A network that hears them together goes by where things stand: most voices are in the middle, so what is at both sides
counts as music. One that hears mid and side apart finds voices anywhere, and takes wide music for voices. Which of the
two to believe shows in their vocals: where those are wider than the whole song, the voice is at both sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ftcore.decoders import Block
from ftcore.ensemble import aligned
from ftcore.pipeline import Separated

NARROW = -14.0
"""Least side over mid, in dB, that a song counts as having: beside a nearly mono one all vocals would be wide."""
DOUBT = 2.0
"""Vocals so many dB narrower than the song are taken from the one separation, so many dB wider from the other."""
MEMORY = 15.0
"""Seconds after which what was heard counts for 1 / e."""
QUIET = 1e-3
"""RMS of a second in the middle that is taken to have gone before the song."""


def mid_side(blocks: Iterable[Block]) -> Iterator[Block]:
    """Blocks of left and right [2, samples] as their mid and side."""
    for left, right in blocks:
        yield np.stack(((left + right) / 2, (left - right) / 2))


def left_right(block: Block) -> Block:
    """The inverse."""
    mid, side = block
    return np.stack((mid + side, mid - side))


def by_width(separations: Sequence[Separated], rate: int) -> Separated:
    """One separation out of two of the same song in stereo, of channels together and of mid and side apart.

    Of the second there is the more the wider the mean of their vocals was, beside the song, in the last seconds
    (see `MEMORY`) of `rate` samples.
    """
    before = np.array([[QUIET**2 * rate], [0.0]] * 2)
    for mixture, (together, apart) in aligned(separations):
        parts = [(x[0] + x[1], x[0] - x[1]) for x in ((together + apart) / 2, mixture)]
        energy = faded(np.concatenate(parts), before, rate)
        vocals, song = energy[1::2] / np.maximum(energy[::2], 1e-12)
        wider = 10.0 * np.log10(np.maximum(vocals, 1e-12) / np.maximum(song, 10.0 ** (NARROW / 10.0)))
        share = np.clip(0.5 + wider / (2.0 * DOUBT), 0.0, 1.0).astype(np.float32)
        yield mixture, together + share * (apart - together)
        before = energy[:, -1:]


def faded(waves: Block, before: npt.NDArray[np.float64], rate: int) -> npt.NDArray[np.float64]:
    """Energy [N, samples] of waves up to each sample, older samples counting less; before them there was [N, 1]."""
    kept = np.exp(-np.arange(1, waves.shape[1] + 1) / (MEMORY * rate))
    energy: npt.NDArray[np.float64] = kept * (before + np.cumsum(waves.astype(np.float64) ** 2 / kept, axis=1))
    return energy
