"""Random pairs: any vocal and any instrumental, both varied as waves, so that their sum is known by parts.

A wave is float32 [2, samples]. Every draw comes from one generator per item, so item i of a seed is
the same in any process.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ftcore.data import effects
from ftcore.data.effects import Range
from ftcore.data.library import Library, Wave


@dataclass(frozen=True, kw_only=True)
class PartMix:
    """What is done to crops of one part; p_ is a chance per crop. The defaults change nothing."""

    p_resample: float = 0.0
    """Played faster or slower: pitch and formants move together."""
    resample: Range = (0.6, 1.3)
    """Range of that speed, every interval being equally likely: most voices at hand are women's."""
    p_formants: float = 0.0
    """Of what is played at another speed, formants go back to where they were, or to where others have them."""
    formants: Range = (0.9, 1.1)
    """That is, to so many times where they were."""
    p_another: float = 0.0
    """A second crop is added, at -9..0 dB."""
    p_double: float = 0.0
    """Further takes of the same are added, a little out of tune and late."""
    p_equaliser: float = 0.0
    """A random smooth frequency response of up to +-`equaliser_db`."""
    equaliser_db: float = 8.0
    """Largest gain or cut of that response at its knots, in dB."""
    p_compress: float = 0.0
    """Dynamic range compression."""
    p_drive: float = 0.0
    """Saturation."""
    drive: float = 2.0
    """Strongest drive, times the RMS: 2 is warm, 30 is a metal guitar."""
    p_echo: float = 0.0
    """A few fading repeats."""
    p_reverb: float = 0.0
    """A synthetic decaying reverberation."""
    p_swap: float = 0.0
    """Left and right change places."""
    p_narrow: float = 0.0
    """Loses stereo width."""
    narrow: float = 0.0
    """Least width then; 0 is mono."""
    p_wide: float = 0.0
    """Two takes of it are at the two sides, as of choirs and doubled voices."""
    p_pan: float = 0.0
    """Moved to a side."""


@dataclass(frozen=True, kw_only=True)
class MixConfig:
    """How crops become a mixture. The defaults change nothing."""

    instrumental: PartMix = field(default_factory=PartMix)
    """What is done to music."""
    vocal: PartMix = field(default_factory=PartMix)
    """What is done to voices."""
    least_rms: float = 0.0
    """Crops quieter than this are drawn anew, up to 8 times."""
    levels: bool = False
    """Bring the instrumental to a random level and the vocal to one of `level_db`; else both stay as recorded."""
    level_db: Range = (-12.0, 6.0)
    """Level of the vocal over the instrumental (RMS), in dB."""
    p_no_vocal: float = 0.0
    """The vocal is left out."""
    p_no_instrumental: float = 0.0
    """The instrumental is left out."""
    p_master: float = 0.0
    """The same equaliser on both parts, and sometimes a low pass."""
    p_limit: float = 0.0
    """What a limiter does to the mixture, as a gain on both parts."""
    p_codec: float = 0.0
    """The mixture has been through a lossy codec; what that changed counts as instrumental."""


class Item(NamedTuple):
    """The two parts of a mixture."""

    instrumental: Wave
    vocal: Wave


def draw_item(
    rng: np.random.Generator,
    instrumental: Library,
    vocal: Library,
    config: MixConfig,
    rate: int,
    samples: int,
    vocal_samples: int | None = None,
) -> Item:
    """An instrumental crop of `samples` and an independently drawn vocal crop of `vocal_samples` (as many).

    rate: samples per second of both. What is done to the mixture as a whole is left out where the two differ in length.
    """
    music = _part(rng, instrumental, config.instrumental, config.least_rms, rate, samples)
    voice = _part(rng, vocal, config.vocal, config.least_rms, rate, vocal_samples or samples)
    if config.levels:
        music *= effects.gain(rng.uniform(-14.0, 0.0)) * 0.25 / max(effects.rms(music), 1e-4)
        voice *= effects.rms(music) * effects.gain(rng.uniform(*config.level_db)) / max(effects.rms(voice), 1e-4)
    kind = rng.random()
    if kind < config.p_no_vocal:
        voice *= 0.0
    elif kind < config.p_no_vocal + config.p_no_instrumental:
        music *= 0.0
    if music.shape == voice.shape:
        music, voice = _finished(rng, (music, voice), config, rate)
    return Item(music, voice)


def _part(
    rng: np.random.Generator, library: Library, config: PartMix, least_rms: float, rate: int, samples: int
) -> Wave:
    def crop() -> Wave:
        if rng.random() >= config.p_resample:
            return library.crop(rng, samples, least_rms)
        speed = float(np.exp(rng.uniform(*np.log(config.resample))))
        wave = effects.faster(library.crop(rng, int(samples * speed) + 8, least_rms), speed)
        wave = effects.fit(wave, samples)
        if rng.random() < config.p_formants:
            wave = effects.move_formants(wave, float(rng.uniform(*config.formants)) / speed, rate)
        return wave

    def happens(chance: float) -> bool:
        return bool(rng.random() < chance)

    wave = crop()
    if happens(config.p_double):
        wave = effects.double(rng, wave, rate)
    if happens(config.p_another):
        other = crop()
        level = effects.gain(rng.uniform(-9.0, 0.0)) * effects.rms(wave) / max(effects.rms(other), 1e-4)
        wave = wave + np.float32(level) * other
    if happens(config.p_drive):
        wave = effects.drive(rng, wave, config.drive)
    if happens(config.p_equaliser):
        wave = effects.equalise(rng, wave, config.equaliser_db, rate)
    if happens(config.p_compress):
        wave = effects.compress(rng, wave, rate)
    if happens(config.p_swap):
        wave = wave[::-1]
    if happens(config.p_narrow):
        middle = wave.mean(axis=0)
        wave = middle + np.float32(rng.uniform(config.narrow, 1.0)) * (wave - middle)
    if happens(config.p_wide):
        wave = effects.widen(rng, wave, rate)
    if happens(config.p_pan):
        wave = wave * effects.sides(rng.uniform(-1.0, 1.0))
    if happens(config.p_echo):
        wave = effects.echo(rng, wave, rate)
    if happens(config.p_reverb):
        wave = effects.reverberate(rng, wave, rate)
    return np.ascontiguousarray(wave)


def _finished(rng: np.random.Generator, parts: tuple[Wave, Wave], config: MixConfig, rate: int) -> tuple[Wave, Wave]:
    """What happens to a mixture on its way to the listener."""
    if rng.random() < config.p_master:
        parts = effects.master(rng, parts, 6.0, rate)
    if rng.random() < config.p_limit:
        parts = effects.limit(rng, parts, rate)
    if rng.random() < config.p_codec:
        music, voice = parts
        parts = effects.encode(rng, music + voice, rate) - voice, voice
    return parts
