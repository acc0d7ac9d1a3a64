"""Random pairs: any vocal and any instrumental, both varied as waves, so that their sum is known by parts.

A wave is float32 [2, samples]. Every draw comes from one generator per item, so item i of a seed is
the same in any process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import soxr
from scipy import signal

from ftcore.data.library import Library, Wave


@dataclass(frozen=True, kw_only=True)
class MixConfig:
    """What is done to crops as waves; a probability p_ is per part and item. The defaults change nothing."""

    least_rms: float = 0.0
    """Crops quieter than this are drawn anew, up to 8 times."""
    p_double: float = 0.0
    """A second crop of the same kind is added."""
    p_resample: float = 0.0
    """A vocal is played faster or slower: its pitch and formants move together."""
    resample: tuple[float, float] = (0.6, 1.3)
    """Range of that speed, every interval being equally likely: most voices at hand are women's."""
    p_equaliser: float = 0.0
    """A random smooth frequency response of up to +-`equaliser_db`."""
    equaliser_db: float = 8.0
    """Largest gain or cut of that response at its knots, in dB."""
    p_reverb: float = 0.0
    """A vocal gets a synthetic decaying reverberation."""
    p_swap: float = 0.0
    """Left and right change places."""
    p_narrow: float = 0.0
    """A part loses stereo width, vocals down to mono."""
    levels: bool = False
    """Bring the instrumental to a random level and the vocal to one of `level_db`; else both stay as recorded."""
    level_db: tuple[float, float] = (-12.0, 6.0)
    """Level of the vocal over the instrumental (RMS), in dB."""
    p_no_vocal: float = 0.0
    """The vocal is left out."""
    p_no_instrumental: float = 0.0
    """The instrumental is left out."""


class Item(NamedTuple):
    """The two parts of a mixture."""

    instrumental: Wave
    vocal: Wave


def draw_item(
    rng: np.random.Generator,
    instrumental: Library,
    vocal: Library,
    config: MixConfig,
    samples: int,
    vocal_samples: int | None = None,
) -> Item:
    """An instrumental crop of `samples` and an independently drawn vocal crop of `vocal_samples` (as many)."""
    music = _instrumental(rng, instrumental, config, samples)
    voice = _vocal(rng, vocal, config, samples if vocal_samples is None else vocal_samples)
    if config.levels:
        music *= _db(rng.uniform(-14.0, 0.0)) * 0.25 / max(_rms(music), 1e-4)
        voice *= _rms(music) * _db(rng.uniform(*config.level_db)) / max(_rms(voice), 1e-4)
    kind = rng.random()
    if kind < config.p_no_vocal:
        voice *= 0.0
    elif kind < config.p_no_vocal + config.p_no_instrumental:
        music *= 0.0
    return Item(music, voice)


def _instrumental(rng: np.random.Generator, library: Library, config: MixConfig, samples: int) -> Wave:
    def one() -> Wave:
        wave = library.crop(rng, samples, config.least_rms)
        return _equalise(rng, wave, config) if rng.random() < config.p_equaliser else wave

    music = one()
    if rng.random() < config.p_double:
        music = music + _balanced(rng, one(), music)
    return _turn(rng, music, config, 0.5)


def _vocal(rng: np.random.Generator, library: Library, config: MixConfig, samples: int) -> Wave:
    def one() -> Wave:
        if rng.random() >= config.p_resample:
            return library.crop(rng, samples, config.least_rms)
        speed = float(np.exp(rng.uniform(*np.log(config.resample))))
        wave = soxr.resample(library.crop(rng, int(samples * speed) + 8, config.least_rms).T, speed, 1.0, "LQ").T
        return np.ascontiguousarray(_fit(wave, samples))

    voice = one()
    if rng.random() < config.p_double:
        voice = voice + _balanced(rng, one(), voice)
    if rng.random() < config.p_equaliser:
        voice = _equalise(rng, voice, config)
    voice = _turn(rng, voice, config, 0.0)
    return _reverberate(rng, voice) if rng.random() < config.p_reverb else voice


def _balanced(rng: np.random.Generator, wave: Wave, other: Wave) -> Wave:
    """`wave` at -9..0 dB against `other`."""
    return wave * np.float32(_db(rng.uniform(-9.0, 0.0)) * _rms(other) / max(_rms(wave), 1e-4))


def _equalise(rng: np.random.Generator, wave: Wave, config: MixConfig) -> Wave:
    """Zero-phase filter whose gain in dB is a cubic through random knots, evenly spaced in log frequency."""
    count = int(rng.integers(4, 10))
    knots = rng.uniform(-config.equaliser_db, config.equaliser_db, count)
    spectrum = np.fft.rfft(wave)
    octave = np.log2(np.arange(1, spectrum.shape[1] + 1, dtype=np.float32))
    gain = np.interp(octave, np.linspace(8.0, octave[-1], count), knots)
    return np.fft.irfft(spectrum * 10 ** (gain / 20), wave.shape[1]).astype(np.float32)


def _turn(rng: np.random.Generator, wave: Wave, config: MixConfig, least: float) -> Wave:
    """Swap left and right, narrow to `least`..1 of the stereo width, each with its chance."""
    if rng.random() < config.p_swap:
        wave = wave[::-1]
    if rng.random() < config.p_narrow:
        middle = wave.mean(axis=0)
        wave = middle + np.float32(rng.uniform(least, 1.0)) * (wave - middle)
    return np.ascontiguousarray(wave)


def _reverberate(rng: np.random.Generator, wave: Wave, rate: int = 44100) -> Wave:
    """Add a stereo tail of decaying, darkening noise (0.15-1.2 s to -60 dB, after 0-40 ms)."""
    decay = rng.uniform(0.15, 1.2)
    length, delay = int(decay * rate), int(rng.uniform(0.0, 0.04) * rate)
    time = np.arange(length, dtype=np.float32) / rate
    tail = rng.standard_normal((2, length), np.float32) * np.exp(np.float32(-6.9 / decay) * time)
    tail = signal.lfilter([1 - (pole := rng.uniform(0.2, 0.85))], [1, -pole], tail).astype(np.float32)
    wet = signal.oaconvolve(wave, tail, axes=1)[:, : wave.shape[1]].astype(np.float32)
    wet = np.pad(wet, ((0, 0), (delay, 0)))[:, : wave.shape[1]]
    level = _db(rng.uniform(-24.0, -4.0)) * _rms(wave) / max(_rms(wet), 1e-5)
    mixed: Wave = (wave + level * wet).astype(np.float32)
    return mixed


def _fit(wave: Wave, samples: int) -> Wave:
    return np.pad(wave, ((0, 0), (0, max(samples - wave.shape[1], 0))))[:, :samples]


def _rms(wave: Wave) -> float:
    return float(np.sqrt(np.mean(np.square(wave))))


def _db(value: float) -> float:
    return float(10.0 ** (value / 20.0))
