"""Make rock and pop bands, of which there is little to be had: drums, bass, clean and distorted guitars, organs.

    python -m benchmarks.band WORK [--songs 100] [--seed 0]

WORK is what `benchmarks/starter_data.py` wrote; `WORK/synthetic/instrumental` gets `band_NNN.flac`. Every song has a
tempo, a key, four chords and instruments of its own. Strings are sums of decaying harmonics, drums decaying tones
and noise: crude to the ear, but what drums and bass do to a spectrogram, and how distortion thickens it, is there.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
from scipy import signal

from ftcore.data import effects
from ftcore.data.library import Wave

RATE, BARS = 44100, 16
PROGRESSIONS = ((0, 7, 9, 5), (9, 5, 0, 7), (0, 5, 7, 5), (0, 9, 5, 7), (0, 10, 5, 0), (9, 7, 5, 4), (0, 3, 5, 10))
"""Roots of four chords, in semitones over the key."""

Rng = np.random.Generator
Mono = np.ndarray[tuple[int], np.dtype[np.float32]]


class Track:
    """A mono or stereo recording that notes are added to."""

    def __init__(self, samples: int) -> None:
        self.wave: Wave = np.zeros((2, samples), np.float32)

    def add(self, note: Mono, start: float, level: float = 1.0, pan: float = 0.0) -> None:
        """A note at a time in seconds; pan -1 is left."""
        at = int(start * RATE)
        note = note[: max(self.wave.shape[1] - at, 0)]
        self.wave[:, at : at + len(note)] += np.float32(level) * effects.sides(pan) * note


def string(rng: Rng, hertz: float, seconds: float, bright: float, damping: float) -> Mono:
    """A plucked string: harmonics that start as the place of the plectrum says, the high ones dying first."""
    number = np.arange(1, min(int(9000 / hertz), 36) + 1)[:, None]
    time = np.arange(int(seconds * RATE), dtype=np.float32) / RATE
    loud = np.sin(np.pi * number * rng.uniform(0.1, 0.3)) / number**bright
    angle = 2 * np.pi * hertz * number * (1 + 2e-5 * number**2) * time + rng.uniform(0, 6.28, number.shape)
    wave = (loud * np.exp(-damping * (1 + 0.15 * number) * time) * np.sin(angle)).sum(axis=0)
    fade = np.minimum(1.0, np.minimum(time / 0.002, (seconds - time) / 0.01))
    plucked: Mono = (wave * fade).astype(np.float32)
    return plucked


def organ(rng: Rng, hertz: float, seconds: float, bright: float) -> Mono:
    """Steady harmonics."""
    number = np.arange(1, 9)[:, None]
    time = np.arange(int(seconds * RATE), dtype=np.float32) / RATE
    loud = rng.uniform(0.2, 1.0, number.shape) / number**bright
    wave = (loud * np.sin(2 * np.pi * hertz * number * time)).sum(axis=0)
    held: Mono = (wave * np.minimum(1.0, np.minimum(time / 0.02, (seconds - time) / 0.05))).astype(np.float32)
    return held


def noise(rng: Rng, seconds: float, decay: float, low: float) -> Mono:
    """Decaying noise above so many Hz."""
    wave = rng.standard_normal(int(seconds * RATE)) * np.exp(-np.arange(int(seconds * RATE)) / RATE / decay)
    high: Mono = signal.sosfilt(signal.butter(2, low, "highpass", fs=RATE, output="sos"), wave).astype(np.float32)
    return high


def drum(rng: Rng, high: float, low: float, decay: float) -> Mono:
    """A tone that falls from one frequency to another while it dies."""
    time = np.arange(int(5 * decay * RATE)) / RATE
    angle = 2 * np.pi * np.cumsum(low + (high - low) * np.exp(-time / rng.uniform(0.01, 0.04))) / RATE
    return (np.sin(angle) * np.exp(-time / decay)).astype(np.float32)


def drums(rng: Rng, bar: float, samples: int) -> Wave:
    """Sixteen steps a bar: a backbeat with variations, hats or a ride, a fill now and then."""
    track, sixteenth = Track(samples), bar / 16
    kick = drum(rng, rng.uniform(100, 220), rng.uniform(42, 65), rng.uniform(0.06, 0.2))
    body = drum(rng, rng.uniform(220, 330), rng.uniform(160, 220), rng.uniform(0.04, 0.1))
    snare = noise(rng, 0.5, rng.uniform(0.05, 0.14), rng.uniform(500, 2000))
    snare[: len(body)] += np.float32(rng.uniform(0.5, 2.0)) * body[: len(snare)]
    hat, open_hat = (noise(rng, 0.8, decay, rng.uniform(5000, 8000)) for decay in (rng.uniform(0.015, 0.05), 0.2))
    crash = noise(rng, 2.5, rng.uniform(0.5, 1.0), 2500)
    toms = [drum(rng, f * 1.6, f, 0.16) for f in (rng.uniform(75, 95), rng.uniform(110, 135), rng.uniform(150, 180))]
    kicks = {0, *rng.choice(np.arange(1, 16), int(rng.integers(1, 5)), replace=False).tolist()} - {4, 12}
    every, loud_hat, pan = int(rng.choice([1, 2, 2, 2, 4])), rng.uniform(0.1, 0.5), rng.uniform(-0.4, 0.4)
    for number in range(BARS):
        fill = number % 4 == 3 and rng.random() < 0.6
        for step in range(16):
            at = number * bar + step * sixteenth + rng.uniform(0, 0.006)
            force = rng.uniform(0.8, 1.0)
            if step == 0 and number % 8 == 0:
                track.add(crash, at, 0.4, -pan)
            if fill and step >= 12:
                track.add(toms[int(rng.integers(3))], at, force, rng.uniform(-0.6, 0.6))
                continue
            if step in kicks:
                track.add(kick, at, 1.4 * force)
            if step in (4, 12):
                track.add(snare, at, 0.6 * force)
            elif rng.random() < 0.04:
                track.add(snare, at, 0.15)
            if step % every == 0:
                track.add(open_hat if rng.random() < 0.06 else hat, at, loud_hat * force, pan)
    wave = effects.compress(rng, track.wave, RATE)
    return effects.reverberate(rng, wave, RATE)


def bass(rng: Rng, bar: float, samples: int, roots: list[float]) -> Wave:
    """A string an octave or two below the chords, on eighths or longer notes."""
    track, bright, damping = Track(samples), rng.uniform(0.9, 1.6), rng.uniform(0.4, 2.0)
    pattern = [step for step in range(8) if step == 0 or rng.random() < rng.choice([0.3, 0.95])]
    for number in range(BARS):
        root = roots[number % 4]
        for step, then in zip(pattern, [*pattern[1:], 8], strict=True):
            jump = rng.choice([1.0, 1.0, 1.0, 1.0, 1.5, 2.0])
            note = string(rng, root / 4 * jump, (then - step) * bar / 8, bright, damping)
            track.add(note, number * bar + step * bar / 8, rng.uniform(0.8, 1.0))
    return effects.drive(rng, track.wave, rng.choice([0.5, 4.0]))


def guitar(rng: Rng, bar: float, samples: int, roots: list[float], distorted: bool) -> Wave:
    """Power chords through an amplifier, twice, left and right; or strummed or picked chords."""
    track = Track(samples)
    bright, damping = rng.uniform(0.8, 1.3), rng.uniform(0.5, 2.5)
    strikes = [step for step in range(8) if step == 0 or rng.random() < rng.choice([0.25, 0.7, 1.0])]
    picked = not distorted and rng.random() < 0.4
    for pan in (-1.0, 1.0) if distorted else (rng.uniform(-0.6, 0.6),):
        tuning = 2 ** (rng.uniform(-6, 6) / 1200)
        for number in range(BARS):
            root = roots[number % 4] / (2 if distorted else 1)
            third = 3 if number % 4 % 2 else 4
            steps = [0, 7, 12] if distorted else [0, 7, 12, 12 + third, 19]
            for step, then in zip(strikes, [*strikes[1:], 8], strict=True):
                seconds = (then - step) * bar / 8
                chosen = [int(rng.choice(steps))] if picked else steps
                for order, above in enumerate(chosen):
                    note = string(rng, root * tuning * 2 ** (above / 12), seconds, bright, damping)
                    late = order * rng.uniform(0.0, 0.012) + rng.uniform(0, 0.008)
                    track.add(note, number * bar + step * bar / 8 + late, 0.3, pan)
    if not distorted:
        return track.wave
    level = effects.rms(track.wave) + 1e-6
    wave = np.tanh(track.wave * np.float32(np.exp(rng.uniform(np.log(3), np.log(40))) / level))
    cabinet = signal.butter(2, [rng.uniform(70, 120), rng.uniform(3500, 6000)], "bandpass", fs=RATE, output="sos")
    return effects.equalise(rng, signal.sosfilt(cabinet, wave).astype(np.float32), 6.0, RATE)


def keys(rng: Rng, bar: float, samples: int, roots: list[float]) -> Wave:
    """Held chords."""
    track, bright = Track(samples), rng.uniform(0.5, 1.5)
    for number in range(BARS):
        for above in (0, 4 if number % 2 else 3, 7, 12):
            track.add(organ(rng, roots[number % 4] * 2 ** (above / 12), bar, bright), number * bar)
    return effects.reverberate(rng, track.wave, RATE)


def song(path: Path, seed: tuple[int, int]) -> None:
    """Write sixteen bars of one band."""
    rng = np.random.default_rng(seed)
    bar = 240.0 / rng.uniform(75, 170)
    samples = int((BARS * bar + 1.0) * RATE)
    key = 2 ** (rng.uniform(0, 12) / 12) * 110.0
    roots = [key * 2 ** (step / 12) / (2 if step > 6 else 1) for step in PROGRESSIONS[rng.integers(len(PROGRESSIONS))]]
    rock = rng.random() < 0.5
    parts = [(drums(rng, bar, samples), 0.0), (bass(rng, bar, samples, roots), -2.0)]
    if rock or rng.random() < 0.2:
        parts.append((guitar(rng, bar, samples, roots, True), -2.0))
    if not rock or rng.random() < 0.3:
        parts.append((guitar(rng, bar, samples, roots, False), -4.0))
    if rng.random() < 0.4:
        parts.append((keys(rng, bar, samples, roots), -8.0))
    mixed = sum(
        wave * np.float32(effects.gain(level + rng.uniform(-5, 3)) / max(effects.rms(wave), 1e-6))
        for wave, level in parts
    )
    mixed = effects.compress(rng, np.asarray(mixed), RATE)
    soundfile.write(path, (0.8 * mixed / np.abs(mixed).max()).T, RATE, subtype="PCM_16")


def play(about: str | None, write: Callable[[Path, tuple[int, int]], None], stem: str, songs: int, seed: int) -> None:
    """The command that writes songs to WORK/synthetic.

    write: of a song, at a path, from two numbers: the option --seed and the song's own.
    stem: a folder and how the names of the files in it begin.
    songs, seed: what the options are by default.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--songs", type=int, default=songs)
    parser.add_argument("--seed", type=int, default=seed)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    paths = [args.work / "synthetic" / f"{stem}_{n:03}.flac" for n in range(args.songs)]
    (args.work / "synthetic" / stem).parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(args.processes) as pool:
        jobs = [pool.submit(write, path, (args.seed, n)) for n, path in enumerate(paths)]
        for job in jobs:
            job.result()


if __name__ == "__main__":
    play(__doc__, song, "instrumental/band", 100, 0)
