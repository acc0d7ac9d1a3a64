"""Streaming STFT and its inverse in NumPy, equal to the transform of the whole signal at once.

Periodic Hann window, centred frames, edges continued by reflection, 1 + samples // hop frames: the
convention of torch.stft. The inverse also covers the samples past the last frame's centre.

Axes: ... any leading axes (groups, channels), F = n_fft/2 + 1 bins, T frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Real = npt.NDArray[np.float32]
Complex = npt.NDArray[np.complex64]

FLOOR = 0.1
"""Least divisor of the overlap-add. Only the last frame reaches the samples past its centre, with ever
less weight; dividing by that would blow up errors, so that there the output fades out instead."""

AT_ONCE = 32
"""Frames that are turned back together: their waves take memory."""


def stft(blocks: Iterable[Real], n_fft: int, hop: int) -> Iterator[Complex]:
    """Turn blocks [..., samples] into frames [..., F, T], each as soon as it is complete."""
    half = n_fft // 2
    buffer: Real | None = None
    started, received = False, 0
    for block in blocks:
        received += block.shape[-1]
        buffer = block if buffer is None else np.concatenate((buffer, block), axis=-1)
        if not started and buffer.shape[-1] > half:
            buffer, started = _reflect(buffer, half, 0), True
        if started:
            # half + 1 samples are kept back: the reflection at the end needs them
            frames, buffer = _analyse(buffer, buffer.shape[-1] - half - 1, n_fft, hop)
            if frames.shape[-1]:
                yield frames
    if buffer is not None and received:
        buffer = _reflect(buffer, 0 if started else half, half)
        yield _analyse(buffer, buffer.shape[-1], n_fft, hop)[0]


def istft(frames: Iterable[Complex], n_fft: int, hop: int) -> Iterator[Real]:
    """Turn frames [..., F, T] back into blocks [..., samples], by weighted overlap-add.

    F may differ from n_fft/2 + 1: bins that are missing are zero, those above are left out. Yields
    (total T - 1) * hop + n_fft/2 samples in all: at least as many as `stft` was given.
    """
    window = hann(n_fft)
    total: Real | None = None  # what later frames can still add to, from the first sample not yet yielded
    weight = np.zeros(n_fft, np.float32)
    skip = n_fft // 2  # samples before the start of the signal
    for z in (part[..., i : i + AT_ONCE] for part in frames for i in range(0, part.shape[-1], AT_ONCE)):
        ready = z.shape[-1] * hop
        if total is None:
            total = np.zeros((*z.shape[:-2], n_fft), np.float32)
        total = _grow(total, ready)
        weight = _grow(weight, ready)
        waves = np.fft.irfft(np.ascontiguousarray(z.swapaxes(-1, -2)), n_fft).astype(np.float32, copy=False)
        for i in range(z.shape[-1]):
            total[..., i * hop : i * hop + n_fft] += waves[..., i, :] * window
            weight[i * hop : i * hop + n_fft] += window**2
        if ready > skip:
            yield _divide(total[..., skip:ready], weight[skip:ready])
        total, weight, skip = total[..., ready:], weight[ready:], max(skip - ready, 0)
    if total is not None:
        end = n_fft - hop  # where the last frame ends
        yield _divide(total[..., skip:end], weight[skip:end])


@lru_cache
def hann(n_fft: int) -> Real:
    """The periodic Hann window."""
    return (0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)


def _analyse(buffer: Real, end: int, n_fft: int, hop: int) -> tuple[Complex, Real]:
    """(frames that end at or before index `end`, the samples that later frames need)."""
    count = max((end - n_fft) // hop + 1, 0)
    if count == 0:
        return np.zeros((*buffer.shape[:-1], n_fft // 2 + 1, 0), np.complex64), buffer
    view = np.lib.stride_tricks.sliding_window_view(buffer, n_fft, axis=-1)
    # told to divide by n_fft, NumPy stays in single precision (138 dB SNR), which takes a quarter of the time
    frames = np.fft.rfft(view[..., : count * hop : hop, :] * (hann(n_fft) * n_fft), norm="forward")
    return frames.swapaxes(-1, -2).astype(np.complex64, copy=False), buffer[..., count * hop :]


def _divide(total: Real, weight: Real) -> Real:
    return np.divide(total, np.maximum(weight, FLOOR), dtype=np.float32)


def _reflect(x: Real, before: int, after: int) -> Real:
    return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(before, after)], mode="reflect")


def _grow(x: Real, samples: int) -> Real:
    return np.concatenate((x, np.zeros((*x.shape[:-1], samples), np.float32)), axis=-1)
