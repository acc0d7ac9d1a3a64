"""Make heavy rock and metal, of which there is next to none: riffs, muted strings, leads, cymbals, double kicks.

    python -m benchmarks.metal WORK [--songs 60] [--seed 11]

WORK is what `benchmarks/starter_data.py` wrote; `WORK/synthetic/metal` gets `metal_NNN.flac`, sixteen bars each.
The strings and drums are those of `benchmarks.band`; what is heavier is what is played on them, how often guitars are
doubled at both sides, the amplifiers, which add what loudspeakers do at 2 to 4 kHz, and how loud the mixture is made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import soundfile
from scipy import signal

from benchmarks.band import BARS, RATE, Mono, Rng, Track, drum, noise, play, string
from ftcore.data import effects
from ftcore.data.library import Wave

SCALES = (
    (0, 2, 3, 5, 7, 8, 10),
    (0, 2, 3, 5, 7, 8, 11),
    (0, 1, 3, 5, 7, 8, 10),
    (0, 2, 3, 5, 7, 9, 10),
    (0, 2, 4, 5, 7, 9, 11),
    (0, 3, 5, 6, 7, 10, 12),
)
"""Semitones over the key."""
KEYS = (82.4, 77.8, 73.4, 65.4, 61.7, 55.0, 49.0, 98.0, 110.0)
"""Lowest strings of guitars, in Hz."""
LENGTHS = ((1, 1, 2), (2, 2, 4), (1, 2, 3), (4, 8, 4), (2, 4, 6), (1, 1, 1), (2, 1, 1))
"""Of a riff's notes, in sixteenths."""
SNARES = {
    "back": (4, 12),
    "half": (8,),
    "double": (4, 12),
    "skank": (2, 6, 10, 14),
    "blast": tuple(range(1, 16, 2)),
}
STYLES = ("back", "back", "half", "double", "skank", "blast")


class Note(NamedTuple):
    """A place in a riff of two bars."""

    step: int
    """In sixteenths, as is the length."""
    length: int
    above: int
    """Semitones over the key."""
    kind: Literal["muted", "chord", "note"]


STACKS = {"muted": (0, 7), "chord": (0, 7, 12), "note": (0,)}
"""Semitones that sound together."""


class Riffs(NamedTuple):
    """What guitars and bass play."""

    all: list[list[Note]]
    order: list[int]
    """Which one, for every two bars."""


def cymbal(rng: Rng, seconds: float, decay: float, low: float) -> Mono:
    """Noise and dense partials that fit no series, above so many Hz."""
    time = np.arange(int(seconds * RATE)) / RATE
    wave = 0.6 * noise(rng, seconds, decay, low)
    for hertz in np.exp(rng.uniform(np.log(low * 0.6), np.log(15000), 60)):
        loud, phase = rng.uniform(0.02, 0.12), rng.uniform(0, 6)
        partial = loud * np.sin(2 * np.pi * hertz * time + phase) * np.exp(-time / decay / rng.uniform(0.3, 1.5))
        wave = wave + partial.astype(np.float32)
    struck: Mono = wave.astype(np.float32)
    return struck


def drums(rng: Rng, bar: float, samples: int) -> Wave:
    """Sixteen steps a bar, another beat and another cymbal every four bars."""
    track, sixteenth = Track(samples), bar / 16
    kick = drum(rng, rng.uniform(120, 300), rng.uniform(42, 65), rng.uniform(0.05, 0.14))
    click = noise(rng, 0.03, 0.004, 2500) * np.float32(rng.uniform(0, 1.0))
    kick[: len(click)] += click
    body = drum(rng, rng.uniform(220, 400), rng.uniform(160, 240), rng.uniform(0.05, 0.12))
    snare = noise(rng, 0.5, rng.uniform(0.05, 0.16), rng.uniform(400, 2000))
    snare[: len(body)] += np.float32(rng.uniform(0.7, 2)) * body[: len(snare)]
    hat = noise(rng, 0.3, rng.uniform(0.02, 0.08), rng.uniform(4500, 8000))
    loose = noise(rng, 0.8, rng.uniform(0.15, 0.35), rng.uniform(3500, 6000))
    crashes = [cymbal(rng, 2.5, rng.uniform(0.4, 1.1), rng.uniform(1200, 3000)) for _ in range(2)]
    ride = cymbal(rng, 1.2, rng.uniform(0.2, 0.6), rng.uniform(2000, 4000))
    toms = [drum(rng, f * 1.6, f, 0.18) for f in (rng.uniform(75, 95), rng.uniform(110, 135), rng.uniform(150, 180))]
    places = rng.uniform(-0.8, 0.8, 4)
    loud = rng.uniform(0.1, 0.5)
    rng.uniform()  # means nothing, but without it seeds would make other songs than those that were trained on
    for number in range(BARS):
        if number % 4 == 0:
            style, top = str(rng.choice(STYLES)), int(rng.integers(4))
            every = int(rng.choice([2, 2, 4, 4, 1]))
            free = rng.choice(np.arange(1, 16), int(rng.integers(2, 7)), replace=False).tolist()
            kicks = {
                "back": {0, *free} - {4, 12},
                "half": {0, *free} - {8},
                "double": set(range(16)),
                "skank": set(range(0, 16, 4)),
                "blast": set(range(0, 16, 2)),
            }[style]
        fill = number % 4 == 3 and rng.random() < 0.6
        for step in range(16):
            at = number * bar + step * sixteenth + rng.uniform(0, 0.005)
            force = rng.uniform(0.8, 1)
            if step == 0 and number % 4 == 0:
                track.add(crashes[int(rng.integers(2))], at, 0.5, float(places[0]))
            if fill and step >= int(rng.choice([8, 12])):
                struck = toms[int(rng.integers(3))] if rng.random() < 0.7 else snare
                track.add(struck, at, force, float(rng.uniform(-0.6, 0.6)))
                if step % 4 == 0:
                    track.add(kick, at, 1.2)
                continue
            if step in kicks:
                track.add(kick, at, 1.3 * force)
            if step in SNARES[style]:
                track.add(snare, at, 0.6 * force)
            if step % every == 0:
                cymbals = (hat, loose, ride, crashes[1])
                track.add(cymbals[top], at, loud * force * (0.6 if top == 3 else 1.0), float(places[1]))
    wave = effects.compress(rng, track.wave, RATE)
    if rng.random() < 0.7:
        dull = signal.butter(1, rng.uniform(5000, 12000), "lowpass", fs=RATE, output="sos")
        wave = signal.sosfilt(dull, wave).astype(np.float32)
    return effects.reverberate(rng, wave, RATE)


def amplifier(rng: Rng, wave: Wave, most: float) -> Wave:
    """One or two stages that clip, a cabinet, and the presence of its loudspeaker and microphone."""
    tight = signal.butter(1, rng.uniform(80, 500), "highpass", fs=RATE, output="sos")
    driven = signal.sosfilt(tight, wave / (effects.rms(wave) + 1e-6))
    driven = np.tanh(driven * most + rng.uniform(0, 0.3))
    if rng.random() < 0.5:
        driven = np.tanh(driven * rng.uniform(1, 4))
    low, high = rng.uniform(60, 130), rng.uniform(3000, 7500)
    driven = signal.sosfilt(signal.butter(2, [low, high], "bandpass", fs=RATE, output="sos"), driven)
    at, width, gain = rng.uniform(1800, 4200), rng.uniform(0.7, 1.6), effects.gain(rng.uniform(4, 16))
    driven = driven + (gain - 1) * signal.lfilter(*signal.iirpeak(at, width, fs=RATE), driven)
    return effects.equalise(rng, driven.astype(np.float32), 6.0, RATE)


def riff(rng: Rng, scale: tuple[int, ...]) -> list[Note]:
    """Two bars: the lowest string muted, single notes that wander, and chords."""
    notes: list[Note] = []
    rng.random()  # as in `drums`
    muted, single = rng.uniform(0, 0.9), rng.uniform(0, 0.5)
    lengths = LENGTHS[int(rng.integers(len(LENGTHS)))]
    step = degree = 0
    while step < 32:
        length, kind = int(min(rng.choice(lengths), 32 - step)), rng.random()
        if kind < muted:
            notes.append(Note(step, length, 0, "muted"))
        elif kind < muted + (1 - muted) * single:
            degree = int(np.clip(degree + rng.integers(-2, 3), -2, 9))
            notes.append(Note(step, length, scale[degree % 7] + 12 * (degree // 7), "note"))
        else:
            notes.append(Note(step, length, scale[int(rng.integers(7))], "chord"))
        step += length
    return notes


def rhythm(rng: Rng, bar: float, samples: int, key: float, riffs: Riffs, takes: int) -> Wave:
    """Guitars that play the riffs, as often as there are takes, at both sides where these are several."""
    bright, damping = rng.uniform(0.7, 1.2), rng.uniform(0.5, 2.0)
    most = float(np.exp(rng.uniform(np.log(2), np.log(60))))
    played = []
    for _ in range(takes):
        track, tuning = Track(samples), 2 ** (rng.uniform(-6, 6) / 1200)
        for pair, number in enumerate(riffs.order):
            for note in riffs.all[number]:
                dying = rng.uniform(12, 40) if note.kind == "muted" else damping
                for above in STACKS[note.kind]:
                    hertz = key * tuning * 2 ** ((note.above + above) / 12)
                    wave = string(rng, hertz, note.length * bar / 16, bright, dying)
                    at = pair * 2 * bar + note.step * bar / 16 + rng.uniform(0, 0.008)
                    track.add(wave, at, 0.3 * rng.uniform(0.8, 1))
        played.append(amplifier(rng, track.wave, most))
    width = rng.uniform(0.4, 1.0)
    places = [-width, width, -0.6 * width, 0.6 * width][:takes] if takes > 1 else [float(rng.uniform(-0.7, 0.7))]
    both: Wave = np.sum([effects.sides(place) * wave for place, wave in zip(places, played, strict=True)], axis=0)
    return both


def lead(rng: Rng, bar: float, samples: int, key: float, scale: tuple[int, ...]) -> Wave:
    """A melody on one string with bends and vibrato, sometimes in thirds, through an amplifier."""
    degree, at, octave = int(rng.integers(0, 14)), float(rng.integers(0, 2)) * bar * 2, float(rng.choice([2.0, 4.0]))
    thirds, depth, swing = rng.random() < 0.35, rng.uniform(0, 60), rng.uniform(4, 8)
    lengths = rng.choice([1, 1, 2, 2, 3, 4, 6, 8, 12], 5)
    number = np.arange(1, 25)[:, None]
    loud = np.sin(np.pi * number * rng.uniform(0.08, 0.3)) / number ** rng.uniform(0.7, 1.3)
    damping = rng.uniform(0.3, 1.5)
    voices = [np.zeros(samples, np.float32) for _ in range(2 if thirds else 1)]
    while at < BARS * bar:
        for _ in range(int(rng.integers(3, 16))):
            seconds = float(rng.choice(lengths)) * bar / 16
            count, first = int(seconds * RATE * rng.uniform(0.85, 1.02)), int(at * RATE)
            degree = int(np.clip(degree + rng.choice([-3, -2, -1, -1, 0, 1, 1, 2, 4]), -3, 16))
            at += seconds
            if first + count >= samples or count < 400:
                continue
            time = np.arange(count) / RATE
            bend = rng.choice([0, 0, 0, -2, -1, 1]) * np.exp(-time / rng.uniform(0.04, 0.15))
            cents = depth * np.minimum(time / 0.3, 1) * np.sin(2 * np.pi * swing * time + rng.uniform(0, 6))
            fade = np.minimum(1, np.minimum(time / 0.003, (time[-1] - time) / 0.01))
            for order, voice in enumerate(voices):
                place = degree + 2 * order
                hertz = key * octave * 2 ** ((scale[place % 7] + 12 * (place // 7)) / 12)
                phase = 2 * np.pi * np.cumsum(hertz * 2 ** ((bend + cents / 100) / 12)) / RATE
                most = int(min(24, 9000 // hertz))
                dying = np.exp(-damping * (1 + 0.15 * number[:most]) * time)
                partials = loud[:most] * dying * np.sin(number[:most] * phase)
                voice[first : first + count] += (partials.sum(axis=0) * fade).astype(np.float32)
        at += float(rng.choice([2, 4, 8, 16, 32])) * bar / 16
    gain = float(np.exp(rng.uniform(np.log(2), np.log(80))))
    wave: Wave = np.zeros((2, samples), np.float32)
    for voice in voices:
        sides = effects.sides(float(rng.uniform(-0.5, 0.5)))
        wave = (wave + sides * amplifier(rng, np.stack((voice, voice)), gain)).astype(np.float32)
    if rng.random() < 0.6:
        wave = effects.echo(rng, wave, RATE)
    if rng.random() < 0.7:
        wave = effects.reverberate(rng, wave, RATE)
    return wave


def bass(rng: Rng, bar: float, samples: int, key: float, riffs: Riffs) -> Wave:
    """The riffs' roots, an octave below."""
    track, bright, damping = Track(samples), rng.uniform(0.8, 1.4), rng.uniform(0.4, 2)
    for pair, number in enumerate(riffs.order):
        for note in riffs.all[number]:
            dying = rng.uniform(2, 10) if note.kind == "muted" else damping
            hertz = key / 2 * 2 ** (note.above / 12) * (2 if key < 50 else 1)
            wave = string(rng, hertz, note.length * bar / 16, bright, dying)
            track.add(wave, pair * 2 * bar + note.step * bar / 16, rng.uniform(0.8, 1))
    return effects.drive(rng, track.wave, float(rng.choice([0.5, 4, 20])))


def song(path: Path, seed: tuple[int, int]) -> None:
    """Write sixteen bars of one band."""
    rng = np.random.default_rng((seed[0], 7, seed[1]))
    bar = 240 / rng.uniform(80, 220)
    samples = int((BARS * bar + 1) * RATE)
    key = float(rng.choice(KEYS)) * 2 ** (rng.uniform(-0.5, 0.5) / 12)
    scale = SCALES[int(rng.integers(len(SCALES)))]
    made = [riff(rng, scale) for _ in range(int(rng.integers(2, 5)))]
    order = [int(rng.integers(len(made))) for _ in range(BARS // 4)]
    riffs = Riffs(made, [number for number in order for _ in range(2)])
    parts = [(drums(rng, bar, samples), 0), (bass(rng, bar, samples, key, riffs), -3)]
    parts.append((rhythm(rng, bar, samples, key, riffs, int(rng.choice([1, 2, 2, 2, 4]))), 0))
    if rng.random() < 0.5:
        parts.append((lead(rng, bar, samples, key, scale), -4))
    mixed: Wave = np.zeros((2, samples), np.float32)
    for wave, level in parts:
        mixed += wave * np.float32(effects.gain(level + rng.uniform(-4, 4)) / max(effects.rms(wave), 1e-6))
    mixed = effects.compress(rng, mixed, RATE)
    if rng.random() < 0.4:
        mixed = effects.drive(rng, mixed, 1.0)
    if rng.random() < 0.7:
        mixed, _ = effects.limit(rng, (mixed, np.zeros_like(mixed)), RATE)
    soundfile.write(path, (0.8 * mixed / np.abs(mixed).max()).T, RATE, subtype="PCM_16")


if __name__ == "__main__":
    play(__doc__, song, "metal/metal", 60, 11)
