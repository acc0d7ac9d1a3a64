"""Streaming separation: blocks of the mixture in, blocks of the vocals out, in bounded memory.

    blocks -> STFT -> windows -> network, by groups of channels -> postfilter -> ISTFT
                 (vocals = mixture - instrumental, in the spectrogram; then `lean`)

Every step is a generator that pulls from the one before; only the network works ahead, in threads. What comes
back is the vocals rather than the instrumental, so that whatever the model cannot hear (above its sample rate)
stays in the instrumental. Nothing is resampled: see `Grid`.

Axes: C channels of the file, G channel groups, A audio channels of the model, F bins with the Nyquist bin, T frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ftcore.config import SignalConfig
from ftcore.decoders import Block
from ftcore.equaliser import Equaliser, equalised
from ftcore.postfilter import postfiltered
from ftcore.runtime import Model
from ftcore.stft import Complex, Real, istft, stft

Index = npt.NDArray[np.intp]
"""[G, A]: which channel of the file stands where."""

Separated = Iterator[tuple[Block, Block]]
"""(mixture, vocals) blocks of the file, [channels, samples]."""

SMALL_PRIMES = 2 * 3 * 5 * 7 * 11 * 13 * 17 * 19 * 23 * 29 * 31
"""The product of the factors that the length of a fast Fourier transform may have."""


@dataclass(frozen=True, kw_only=True)
class Windowing:
    """How frames are cut for the network."""

    crop: int
    """Frames kept of each window."""
    pad: int
    """Frames of context on either side; beyond the song's ends they are zero."""
    batch: int = 1
    """Windows that go through the network at once."""
    ahead: int = 2
    """Batches of windows that are in the network or wait for it, while frames are read and handed on."""
    equalised: bool = False
    """Whether the network hears them with spectra nearer to a typical one (see `ftcore.equaliser`)."""

    def fitted(self, frames: int) -> Windowing:
        """As few windows as hold `frames`, all equally full; an even number, so that two processors end together."""
        count = -(-frames // self.crop)
        count += count % 2 if count > 1 else 0
        return replace(self, crop=max(-(-frames // max(count, 1)), 1))


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The spectrogram that a model sees of a song of any rate, which need not be resampled for it: transforms that are
    as long in seconds as the model's have the same bins and frames.
    """

    n_fft: int
    hop: int
    """Both in samples of the song."""
    bins: int
    """The model's bins: those of the song end below, and are zero from there on, or go on above, and are left out."""
    scale: float
    """What a longer transform sums up is larger by as much."""

    @classmethod
    def of(cls, signal: SignalConfig, rate: float) -> Grid:
        """For a song of so many samples per second. Its hop is rounded, to what transforms fast."""
        ratio = rate / signal.sample_rate
        hop = signal.hop if ratio == 1.0 else smooth(signal.hop * ratio)
        n_fft = 2 * round(signal.n_fft * hop / signal.hop / 2)
        return cls(n_fft=n_fft, hop=hop, bins=signal.n_fft // 2 + 1, scale=n_fft / signal.n_fft)

    def frames(self, blocks: Iterable[Block]) -> Iterator[Complex]:
        """Blocks of the song [C, samples] as the model's frames [C, F, T]."""
        for z in stft(blocks, self.n_fft, self.hop):
            yield _high(z, self.bins) / np.float32(self.scale)

    def waves(self, frames: Iterable[Complex]) -> Iterator[Block]:
        """The inverse."""
        return istft((z * np.float32(self.scale) for z in frames), self.n_fft, self.hop)


def smooth(size: float) -> int:
    """The nearest whole number within 2 % whose prime factors are all in `SMALL_PRIMES`, or else the nearest."""
    near = sorted(range(max(round(size * 0.98), 1), round(size * 1.02) + 2), key=lambda n: abs(n - size))
    return next((n for n in near if pow(SMALL_PRIMES, 32, n) == 0), near[0])


def _high(z: Complex, bins: int) -> Complex:
    """[C, F, T] with so many bins, those above cut off or zero."""
    return z[:, :bins] if bins <= z.shape[1] else np.pad(z, [(0, 0), (0, bins - z.shape[1]), (0, 0)])


def separate_blocks(
    blocks: Iterable[Block],
    *,
    rate: float,
    groups: Index,
    model: Model,
    pool: Executor,
    windowing: Windowing,
    aggression: float,
    postfilter: bool,
    peak: float = 1.0,
) -> Separated:
    """Yield (mixture, vocals) blocks, both [channels, samples]; together exactly as long as the input.

    `groups` of channels reach the model (see `channel_groups`), which runs in `pool`, whose threads are how many
    windows are in it at once. `aggression` in dB: see `lean`. `postfilter`: see `ftcore.postfilter`. `peak` is the
    song's largest spectral magnitude (see `song_peak`), for models that want it.
    """
    waiting: deque[Block] = deque()

    def remembered() -> Iterator[Block]:
        for block in blocks:
            waiting.append(block)
            yield block

    grid = Grid.of(model.info.signal, rate)
    separated = vocal_frames(grid.frames(remembered()), groups, model, pool, windowing, aggression, peak)
    vocals = postfiltered(separated, grid.hop / rate) if postfilter else (found for _, found in separated)
    yield from pair(waiting, grid.waves(vocals))


def song_peak(blocks: Iterable[Block], *, rate: float, model: Model) -> float:
    """The largest magnitude of the song's spectrogram (at least 1e-8)."""
    frames = Grid.of(model.info.signal, rate).frames(blocks)
    return max((float(np.abs(z).max()) for z in frames), default=0.0) or 1e-8


def channel_groups(channels: int, width: int) -> Index:
    """How a file's channels enter a model of `width` audio channels: the first ones together, the rest singly."""
    if channels < width:
        return single_groups(channels, width)
    return np.concatenate((np.arange(width)[None], single_groups(channels, width)[width:]))


def single_groups(channels: int, width: int) -> Index:
    """Every channel on its own: it stands in every place of its group."""
    return np.arange(channels)[:, None].repeat(width, axis=1)


def vocal_frames(
    frames: Iterable[Complex],
    groups: Index,
    model: Model,
    pool: Executor,
    windowing: Windowing,
    aggression: float,
    peak: float,
) -> Iterator[tuple[Complex, Complex]]:
    """Frames [C, F, T] of a mixture and its vocals, window by window, found with context on both sides.

    What is given to the pool, and not begun when the reader goes away, is taken back.
    """
    ahead: deque[Future[list[tuple[Complex, Complex]]]] = deque()
    bin_hz = model.info.signal.sample_rate / model.info.signal.n_fft
    equalisers = [Equaliser(bin_hz) if windowing.equalised else None for _ in groups]
    try:
        for part, kept in windows(frames, windowing):
            items = list(_items(part, groups, windowing, equalisers))
            ahead.append(pool.submit(_separate, part, kept, items, model, windowing, aggression, peak))
            if len(ahead) >= windowing.ahead:
                yield from ahead.popleft().result()
        while ahead:
            yield from ahead.popleft().result()
    finally:
        for future in ahead:
            future.cancel()


def windows(frames: Iterable[Complex], windowing: Windowing) -> Iterator[tuple[Complex, int]]:
    """Cut frames [C, F, T] into n * crop + 2 * pad each, n the batch or (at the end) what is left, and say how many
    of the n * crop in the middle are the song's.
    """
    crop, pad = windowing.crop, windowing.pad
    step = crop * windowing.batch
    held: list[Complex] = []  # in a row: `pad` frames of context, then the frames not yet separated
    for chunk in frames:
        held = [*held, chunk] if held else [np.zeros((*chunk.shape[:-1], pad), np.complex64), chunk]
        if sum(part.shape[-1] for part in held) >= step + 2 * pad:
            buffer = np.concatenate(held, axis=-1)
            while buffer.shape[-1] >= step + 2 * pad:
                yield buffer[..., : step + 2 * pad], step
                buffer = buffer[..., step:]
            held = [buffer]
    buffer = np.concatenate(held, axis=-1) if held else np.zeros(0, np.complex64)
    while buffer.shape[-1] > pad:
        left = min(buffer.shape[-1] - pad, step)
        size = -left % crop + left + 2 * pad
        yield np.pad(buffer, [(0, 0), (0, 0), (0, max(size - buffer.shape[-1], 0))])[..., :size], left
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


@dataclass(frozen=True, kw_only=True)
class _Item:
    """A window of a group of channels, for the network."""

    group: Index
    """[A]"""
    first: int
    """The frame that it begins at, which is context."""
    gains: Real | None
    """By which it is equalised (see `Equaliser.gains`)."""


def _items(z: Complex, groups: Index, windowing: Windowing, equalisers: Sequence[Equaliser | None]) -> Iterator[_Item]:
    """Of frames [C, F, n * crop + 2 * pad], but for silence, which has no voice: the side of a mono recording, say."""
    for first in range(0, z.shape[-1] - 2 * windowing.pad, windowing.crop):
        for group, equaliser in zip(groups, equalisers, strict=True):
            window = z[group, :-1, first : first + windowing.crop + 2 * windowing.pad]
            if window.any():
                yield _Item(group=group, first=first, gains=equaliser.gains(window) if equaliser else None)


def _separate(
    z: Complex, kept: int, items: Sequence[_Item], model: Model, windowing: Windowing, aggression: float, peak: float
) -> list[tuple[Complex, Complex]]:
    """[C, F, n * crop + 2 * pad] -> the first frames kept of the n * crop in the middle, crop by crop: the mixture's
    and the vocals'.
    """
    network, (crop, pad) = model.info.network, (windowing.crop, windowing.pad)
    size = crop + 2 * pad
    mixture = z[..., pad : z.shape[-1] - pad]
    vocals = np.zeros_like(mixture)
    if not network.is_complex:
        vocals[:, -1] = mixture[:, -1]  # as the original does: its mask is 0 there; else it is all instrumental
    scale = np.float32(1.0 / peak if network.normalisation == "song_peak" else 1.0)
    for i in range(0, len(items), windowing.batch):
        batch = items[i : i + windowing.batch]
        parts = ((z[item.group, :-1, item.first : item.first + size], item.gains) for item in batch)
        heard = np.stack([_heard(window, gains, network.is_complex) for window, gains in parts])
        y = model.run(scale * heard)[..., pad : pad + crop]
        for item, estimate in zip(batch, y, strict=True):
            found = mixture[item.group, :-1, item.first : item.first + crop]  # a copy
            if network.is_complex:
                found -= _music(estimate / scale, item.gains)
            else:
                found *= 1.0 - estimate
            for channel in np.unique(item.group):  # the mean over its places
                vocals[channel, :-1, item.first : item.first + crop] = found[item.group == channel].mean(axis=0)
    vocals = lean(vocals, mixture, aggression)
    crops = [slice(first, min(first + crop, kept)) for first in range(0, kept, crop)]
    return [(mixture[..., part], vocals[..., part]) for part in crops]


def _heard(window: Complex, gains: Real | None, is_complex: bool) -> Real:
    """[A, F, T] as networks take it: real parts, then imaginary parts [2 * A, F, T], or else magnitudes."""
    z = window if gains is None else equalised(window, gains)
    return np.concatenate((z.real, z.imag)) if is_complex else np.abs(z)


def _music(estimate: Real, gains: Real | None) -> Complex:
    """The inverse, of a complex estimate of the instrumental."""
    real, imaginary = np.split(estimate, 2)
    z: Complex = real + np.complex64(1j) * imaginary
    return z if gains is None else equalised(z, np.float32(1.0) / gains)


def pair(waiting: deque[Block], vocals: Iterable[Block]) -> Separated:
    """Match vocals with the mixture's blocks, oldest first, which `vocals` appends to `waiting` as it is read.

    Vocals past the end of the mixture are dropped.
    """
    for part in vocals:
        while waiting and part.shape[1]:
            mixture = waiting.popleft()
            count = min(mixture.shape[1], part.shape[1])
            if count < mixture.shape[1]:
                waiting.appendleft(mixture[:, count:])
            yield mixture[:, :count], part[:, :count]
            part = part[:, count:]
