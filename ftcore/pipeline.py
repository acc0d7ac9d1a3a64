"""Streaming separation: blocks of the mixture in, blocks of the vocals out, in bounded memory.

    blocks -> resample -> groups -> STFT -> windows -> network -> ISTFT -> ungroup -> resample
                              (vocals = mixture - instrumental, in the spectrogram; then `lean`)

Every step is a generator that pulls from the one before; only the network works ahead, in threads. What comes
back is the vocals rather than the instrumental, so that whatever the model cannot hear (above its sample rate)
stays in the instrumental.

Axes: G channel groups, A audio channels of the model, F bins with the Nyquist bin, T frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ftcore.decoders import Block
from ftcore.resampling import resample
from ftcore.runtime import Model
from ftcore.stft import Complex, istft, stft

Index = npt.NDArray[np.intp]
"""[G, A]: which channel of the file stands where."""

Separated = Iterator[tuple[Block, Block]]
"""(mixture, vocals) blocks of the file, [channels, samples]."""


@dataclass(frozen=True, kw_only=True)
class Windowing:
    """How frames are cut for the network."""

    crop: int
    """Frames kept of each window."""
    pad: int
    """Frames of context on either side; beyond the song's ends they are zero."""
    batch: int = 1
    """Windows that go through the network at once."""

    def fitted(self, frames: int) -> Windowing:
        """As few windows as hold `frames`, all equally full; an even number, so that two processors end together."""
        count = -(-frames // self.crop)
        count += count % 2 if count > 1 else 0
        return replace(self, crop=max(-(-frames // max(count, 1)), 1))


def separate_blocks(
    blocks: Iterable[Block],
    *,
    rate: int,
    channels: int,
    model: Model,
    pool: Executor,
    windowing: Windowing,
    aggression: float,
    peak: float = 1.0,
) -> Separated:
    """Yield (mixture, vocals) blocks, both [channels, samples]; together exactly as long as the input.

    The model runs in `pool`, whose threads are how many windows are in it at once. `aggression` in dB: see `lean`.
    `peak` is the song's largest spectral magnitude (see `song_peak`), for models that want it.
    """
    signal = model.info.signal
    groups = channel_groups(channels, model.info.network.audio_channels)
    waiting: deque[Block] = deque()

    def remembered() -> Iterator[Block]:
        for block in blocks:
            waiting.append(block)
            yield block

    mixture = stft(_grouped(remembered(), rate, signal.sample_rate, groups), signal.n_fft, signal.hop)
    frames = vocal_frames(mixture, model, pool, windowing, aggression, peak)
    estimates = istft(frames, signal.n_fft, signal.hop)
    vocals = resample((ungroup(v, groups, channels) for v in estimates), signal.sample_rate, rate)
    yield from pair(waiting, vocals)  # resampling may round the length down


def song_peak(blocks: Iterable[Block], *, rate: int, channels: int, model: Model) -> float:
    """The largest magnitude of the song's spectrogram at the model's rate (at least 1e-8)."""
    signal = model.info.signal
    groups = channel_groups(channels, model.info.network.audio_channels)
    frames = stft(_grouped(blocks, rate, signal.sample_rate, groups), signal.n_fft, signal.hop)
    return max((float(np.abs(z).max()) for z in frames), default=0.0) or 1e-8


def channel_groups(channels: int, width: int) -> Index:
    """How a file's channels enter a model of `width` audio channels: the first ones together, the rest singly.

    A channel on its own stands in every place of its group.
    """
    together = [tuple(range(width))] if channels >= width else []
    singles = [(c,) * width for c in range(width if together else 0, channels)]
    return np.array(together + singles, np.intp)


def ungroup(x: Block, groups: Index, channels: int) -> Block:
    """[G, A, samples] -> [channels, samples]: the mean over the places of each channel."""
    return np.stack([x[groups == c].mean(axis=0) for c in range(channels)])


def vocal_frames(
    frames: Iterable[Complex], model: Model, pool: Executor, windowing: Windowing, aggression: float, peak: float
) -> Iterator[Complex]:
    """The vocals' frames [G, A, F, T] of a mixture's, window by window with context on both sides.

    The pool is given one window more than the model has workers, and in the meantime frames are read and handed on.
    """
    ahead: deque[Future[Complex]] = deque()
    for part, kept in windows(frames, windowing):
        ahead.append(pool.submit(_separate, part, kept, model, windowing, aggression, peak))
        if len(ahead) > model.workers:
            yield ahead.popleft().result()
    while ahead:
        yield ahead.popleft().result()


def windows(frames: Iterable[Complex], windowing: Windowing) -> Iterator[tuple[Complex, int]]:
    """Cut frames [G, A, F, T] into n * crop + 2 * pad each, n the batch or (at the end) what is left, and say how many
    of the n * crop in the middle are the song's.
    """
    crop, pad = windowing.crop, windowing.pad
    step = crop * windowing.batch
    buffer: Complex | None = None  # `pad` frames of context, then the frames not yet separated
    for chunk in frames:
        if buffer is None:
            buffer = np.zeros((*chunk.shape[:-1], pad), np.complex64)
        buffer = np.concatenate((buffer, chunk), axis=-1)
        while buffer.shape[-1] >= step + 2 * pad:
            yield buffer[..., : step + 2 * pad], step
            buffer = buffer[..., step:]
    while buffer is not None and buffer.shape[-1] > pad:
        left = min(buffer.shape[-1] - pad, step)
        size = -left % crop + left + 2 * pad
        part = np.pad(buffer, [(0, 0)] * 3 + [(0, max(size - buffer.shape[-1], 0))])
        yield part[..., :size], left
        buffer = buffer[..., left:]


def lean(vocals: Complex, mixture: Complex, aggression: float) -> Complex:
    """Vocals V of a mixture V + I as if their share |V| / (|V| + |I|) were that of |V| made louder by so many dB.

    Where a network is sure of either stem nothing changes; where it is in doubt the vocals get more (less, below 0).
    It is what one does to a probability when the prior odds change.
    """
    if aggression == 0.0:
        return vocals
    factor = np.float32(10.0 ** (aggression / 20.0))
    voice, music = np.abs(vocals), np.abs(mixture - vocals)
    both = np.maximum(factor * voice + music, np.finfo(np.float32).tiny)
    leaning: Complex = vocals * (factor * (voice + music) / both)
    return leaning


def _separate(z: Complex, kept: int, model: Model, windowing: Windowing, aggression: float, peak: float) -> Complex:
    """[G, A, F, n * crop + 2 * pad] -> the first frames kept of the n * crop in the middle, of the vocals."""
    network, (crop, pad) = model.info.network, (windowing.crop, windowing.pad)
    starts = range(0, z.shape[-1] - 2 * pad, crop)
    cut = _joined([z[..., s : s + crop + 2 * pad] for s in starts], 0)  # [n * G, A, F, T]
    scale = np.float32(1.0 / peak if network.normalisation == "song_peak" else 1.0)
    middle = cut[..., pad : pad + crop]
    vocals = np.zeros_like(middle)  # no voice reaches the Nyquist bin: the instrumental keeps it
    for i in range(0, len(cut), windowing.batch):
        batch = slice(i, i + windowing.batch)
        if not cut[batch].any():  # silence has no voice: the side of a mono recording, say
            continue
        bins = cut[batch, :, :-1]
        x = np.concatenate((bins.real, bins.imag), axis=1) if network.is_complex else np.abs(bins)
        x *= scale
        y = model.run(x)[..., pad : pad + crop]
        if network.is_complex:
            real, imaginary = np.split(y, 2, axis=1)
            vocals[batch, :, :-1].real = middle[batch, :, :-1].real - real / scale
            vocals[batch, :, :-1].imag = middle[batch, :, :-1].imag - imaginary / scale
        else:
            vocals[batch, :, :-1] = middle[batch, :, :-1] * (1.0 - y)
            vocals[batch, :, -1] = middle[batch, :, -1]  # as the original does: its mask is 0 there
    return _joined(np.split(lean(vocals, middle, aggression), len(starts)), -1)[..., :kept]


def _joined(parts: list[Complex], axis: int) -> Complex:
    """Arrays in a row; one alone is not copied."""
    return np.concatenate(parts, axis) if len(parts) > 1 else parts[0]


def _grouped(blocks: Iterable[Block], rate: int, target: int, groups: Index) -> Iterator[Block]:
    return (block[groups] for block in resample(blocks, rate, target))


def pair(waiting: deque[Block], vocals: Iterable[Block]) -> Separated:
    """Match vocals with the mixture's blocks, oldest first, which `vocals` appends to `waiting` as it is read.

    Vocals past the end of the mixture are dropped; where they fall short there are none.
    """
    for part in vocals:
        while waiting and part.shape[1]:
            mixture = waiting.popleft()
            count = min(mixture.shape[1], part.shape[1])
            if count < mixture.shape[1]:
                waiting.appendleft(mixture[:, count:])
            yield mixture[:, :count], part[:, :count]
            part = part[:, count:]
    for mixture in waiting:
        yield mixture, np.zeros_like(mixture)
