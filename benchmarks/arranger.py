"""Make music of sampled instruments: bands, duos and small orchestras of all styles, with melodies but no voices.

    apt-get install fluidsynth fluid-soundfont-gm musescore-general-soundfont
    pip install mido
    python -m benchmarks.arranger WORK [--songs 100] [--seed 0]

`WORK/synthetic/arranged` gets `arranged_SEED_NNN.flac`: sixteen bars each, with a tempo, a tuning, a key, a scale,
chords, and one to eight parts: drums, bass, chords that are held, struck or broken, distorted guitars, a solo or two.
Both sound fonts are under the MIT licence (parts are public domain).
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import mido
import numpy as np
import soundfile
from scipy import signal

from ftcore.data import effects
from ftcore.data.library import Wave

RATE, BARS, STEPS, TICKS = 44100, 16, 16, 120
FONTS = ("/usr/share/sounds/sf2/FluidR3_GM.sf2", "/usr/share/sounds/sf3/MuseScore_General.sf3")
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 9, 10), (0, 2, 4, 5, 7, 9, 10))
CHORDS = ((0, 4, 5, 3), (5, 3, 0, 4), (0, 3, 4, 3), (0, 5, 3, 4), (0, 6, 3, 0), (0, 0, 3, 4), (1, 4, 0, 0))
CHORDS += ((0, 2, 3, 4),)
"""Degrees of the scale."""

KITS = (0, 0, 0, 8, 8, 16, 16, 24, 25, 32, 40)
BASSES = (32, 33, 33, 33, 34, 34, 35, 36, 37, 38, 39, 38, 43, 58)
HELD = (16, 17, 18, 19, 20, 21, 23, 48, 48, 49, 50, 51, 61, 62, 63, 81, 88, 89, 90, 92, 93, 94, 95, 44, 55)
STRUCK = (0, 0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 15, 24, 24, 25, 25, 26, 27, 27, 28, 45, 46, 104, 105, 106, 107, 108)
STRUCK += (98, 99)
SOLO = (0, 4, 11, 22, 24, 25, 26, 27, 29, 30, 40, 40, 41, 42, 56, 57, 58, 59, 60, 64, 65, 65, 66, 67, 68, 69, 70, 71)
SOLO += (72, 73, 73, 74, 75, 77, 78, 79, 80, 81, 82, 83, 84, 86, 87, 104, 109, 110, 111)
"""General MIDI programs, from 0; choirs, voices and the lead that sounds like one (52 to 54, 85, 91) are left out."""

Rng = np.random.Generator


@dataclass
class Part:
    """Notes of one instrument: start and length in steps, key, velocity."""

    program: int
    level: float
    """dB."""
    notes: list[tuple[float, float, int, int]] = field(default_factory=list)
    drums: bool = False
    amplifier: bool = False
    sings: bool = False
    """Bends and vibrato."""

    def add(self, start: float, length: float, key: int, velocity: float) -> None:
        """One note."""
        self.notes.append((start, max(length, 0.2), int(np.clip(key, 12, 115)), int(np.clip(velocity, 20, 127))))


def drums(rng: Rng) -> Part:
    """A pattern of two bars, with fills."""
    part = Part(int(rng.choice(KITS)), 0.0, drums=True)
    backbeat = rng.random() < 0.8
    snares = {4, 12} if backbeat else set(rng.choice(16, int(rng.integers(0, 4)), replace=False).tolist())
    house = rng.random() < 0.25
    kicks = [{0, 4, 8, 12} if house else {0, *rng.choice(16, int(rng.integers(1, 5)), replace=False)} for _ in range(2)]
    snare, hat = int(rng.choice([37, 38, 38, 38, 40, 39])), int(rng.choice([42, 42, 42, 44, 51, 46, 70, 54]))
    every, swing = int(rng.choice([1, 2, 2, 2, 4])), rng.choice([0.0, 0.0, 0.3])
    loud = rng.uniform(50, 110)
    for bar in range(BARS):
        fill = bar % 4 == 3 and rng.random() < 0.6
        for step in range(STEPS):
            at = bar * STEPS + step + (swing if step % 2 else 0.0)
            if bar % 8 == 0 and step == 0:
                part.add(at, 4, int(rng.choice([49, 57, 55])), 100)
            if fill and step >= 10:
                if rng.random() < 0.8:
                    part.add(at, 1, int(rng.choice([41, 43, 45, 47, 48, 50, snare])), rng.uniform(80, 127))
                continue
            if step in kicks[bar % 2]:
                part.add(at, 1, 36, rng.uniform(90, 127))
            if step in snares:
                part.add(at, 1, snare, rng.uniform(90, 127))
            elif rng.random() < 0.05:
                part.add(at, 1, snare, rng.uniform(25, 50))
            if step % every == 0:
                part.add(at, 1, 46 if hat == 42 and rng.random() < 0.06 else hat, loud * rng.uniform(0.7, 1.1))
            if rng.random() < 0.02:
                part.add(at, 1, int(rng.integers(54, 82)), rng.uniform(50, 100))
    return part


def pitches(scale: Sequence[int], key: int, degree: int, of: Sequence[int]) -> list[int]:
    """Keys of a chord: `of` are degrees over its root."""
    return [key + 12 * ((degree + d) // len(scale)) + scale[(degree + d) % len(scale)] for d in of]


def bass(rng: Rng, scale: Sequence[int], key: int, chords: Sequence[int]) -> Part:
    """Roots, fifths and octaves in a rhythm."""
    part = Part(int(rng.choice(BASSES)), -1.0)
    density = rng.choice([0.15, 0.4, 0.95])
    rhythm = [step for step in range(0, STEPS, 2) if step == 0 or rng.random() < density]
    short = rng.uniform(0.5, 1.0)
    for bar in range(BARS):
        for step, then in zip(rhythm, [*rhythm[1:], STEPS], strict=True):
            above = int(rng.choice([0, 0, 0, 0, 4, 7, 2]))
            note = pitches(scale, key - 24, chords[bar % 4], [above])[0]
            part.add(bar * STEPS + step, (then - step) * short, note, rng.uniform(80, 115))
    return part


def comping(rng: Rng, scale: Sequence[int], key: int, chords: Sequence[int], held: bool) -> Part:
    """Chords, held, struck or broken."""
    part = Part(int(rng.choice(HELD if held else STRUCK)), -4.0)
    of = [0, 2, 4, 7] if rng.random() < 0.6 else [0, 2, 4, 6, 8]
    kind = "held" if held else rng.choice(["struck", "broken"])
    rhythm = [step for step in range(0, STEPS, 2) if step == 0 or rng.random() < rng.choice([0.2, 0.5, 0.9])]
    shift, strum, every = 12 * int(rng.integers(-1, 2)), rng.uniform(0.0, 0.12), int(rng.choice([1, 2, 2, 4]))
    for bar in range(BARS):
        chord, at = pitches(scale, key + shift, chords[bar % 4], of), bar * STEPS
        if kind == "held":
            for note in chord:
                part.add(at, STEPS, note, rng.uniform(60, 90))
        elif kind == "struck":
            for step, then in zip(rhythm, [*rhythm[1:], STEPS], strict=True):
                for order, note in enumerate(chord):
                    part.add(at + step + order * strum, (then - step) * rng.uniform(0.5, 1), note, rng.uniform(60, 110))
        else:
            for step in range(0, STEPS, every):
                part.add(at + step, every * rng.uniform(0.8, 3), int(rng.choice(chord)), rng.uniform(60, 110))
    return part


def power(rng: Rng, scale: Sequence[int], key: int, chords: Sequence[int]) -> Part:
    """Roots and fifths of a distorted guitar: its own, or a clean one through an amplifier."""
    own = rng.random() < 0.5
    part = Part(int(rng.choice([29, 30])) if own else int(rng.choice([25, 26, 27, 28])), -2.0, amplifier=not own)
    rhythm = [step for step in range(0, STEPS, 2) if step == 0 or rng.random() < rng.choice([0.2, 0.7, 1.0])]
    for bar in range(BARS):
        root = pitches(scale, key - 12, chords[bar % 4], [0])[0]
        for step, then in zip(rhythm, [*rhythm[1:], STEPS], strict=True):
            for above in (0, 7, 12):
                part.add(bar * STEPS + step, (then - step) * rng.uniform(0.6, 1), root + above, rng.uniform(90, 120))
    return part


def solo(rng: Rng, scale: Sequence[int], key: int) -> Part:
    """A melody as voices have it, with rests."""
    part = Part(int(rng.choice(SOLO)), -2.0, sings=rng.random() < 0.7)
    degree, at, shift = 0, float(rng.integers(0, 32)), 12 * int(rng.integers(-1, 2))
    lengths = rng.choice([1, 2, 2, 3, 4, 4, 6, 8, 16], 5)
    while at < BARS * STEPS:
        for _ in range(int(rng.integers(3, 14))):
            degree = int(np.clip(degree + rng.choice([-3, -2, -1, -1, 0, 1, 1, 2, 4]), -6, 9))
            length = float(rng.choice(lengths))
            note = pitches(scale, key + shift, degree, [0])[0]
            part.add(at, length * rng.uniform(0.7, 1.02), note, rng.uniform(70, 120))
            at += length
        at += float(rng.choice([2, 4, 8, 16]))
    return part


def play(rng: Rng, part: Part, tempo: float, cents: float, samples: int) -> Wave:
    """A part, by fluidsynth."""
    track, channel = mido.MidiTrack(), 9 if part.drums else 0
    file = mido.MidiFile(ticks_per_beat=4 * TICKS)
    file.tracks.append(track)
    begin = mido.Message("program_change", program=part.program, channel=channel)
    events: list[tuple[float, int, mido.Message]] = [(0.0, 0, begin)]
    for start, length, key, velocity in part.notes:
        late = rng.uniform(0.0, 0.12)
        events.append((start + late, 2, mido.Message("note_on", note=key, velocity=velocity, channel=channel)))
        events.append((start + length + late, 1, mido.Message("note_off", note=key, velocity=0, channel=channel)))
    bend = int(cents * 8192 / 200) if not part.drums else 0
    if part.sings:
        depth, swing, scoop = rng.uniform(0, 1200), rng.uniform(3.0, 8.0), rng.uniform(0, 4000)
        for start, length, _, _ in part.notes:
            for at in np.arange(0.0, length, 0.25):
                curve = -scoop * np.exp(-at / 0.4) + depth * np.sin(at * swing * 0.7) * min(at / 3, 1.0)
                pitch = int(np.clip(bend + curve, -8192, 8191))
                events.append((start + at, 0, mido.Message("pitchwheel", pitch=pitch, channel=channel)))
    else:
        events.append((0.0, 0, mido.Message("pitchwheel", pitch=bend, channel=channel)))
    track.append(mido.MetaMessage("set_tempo", tempo=int(60e6 / tempo)))
    now = 0
    for at, _, message in sorted(events, key=lambda event: event[:2]):
        ticks = max(int(at * TICKS), 0)
        track.append(message.copy(time=ticks - now))
        now = ticks
    with tempfile.TemporaryDirectory() as folder:
        score, wave = Path(folder) / "part.mid", Path(folder) / "part.wav"
        file.save(score)
        font = FONTS[int(rng.integers(len(FONTS)))]
        wet = "1" if rng.random() < 0.5 else "0"
        options = f"-ni -q -r {RATE} -g 0.4 -R {wet} -C {wet} -o synth.dynamic-sample-loading=1 -T wav -O float"
        command = ["fluidsynth", *options.split(), "-F", str(wave), font, str(score)]
        subprocess.run(command, check=True, capture_output=True)
        audio, rate = soundfile.read(wave, dtype="float32", always_2d=True)
    assert rate == RATE
    played = np.ascontiguousarray(np.pad(audio.T, ((0, 0), (0, samples)))[:, :samples])
    if part.amplifier:
        level = effects.rms(played) + 1e-6
        driven = np.tanh(played * np.float32(np.exp(rng.uniform(np.log(3), np.log(40))) / level))
        cabinet = signal.butter(2, [rng.uniform(70, 120), rng.uniform(3500, 6000)], "bandpass", fs=RATE, output="sos")
        played = signal.sosfilt(cabinet, driven).astype(np.float32)
    return played


def song(path: Path, seed: tuple[int, int]) -> None:
    """Write sixteen bars."""
    rng = np.random.default_rng(seed)
    tempo, cents, key = rng.uniform(65, 175), rng.uniform(-50, 50), int(rng.integers(53, 65))
    scale, chords = SCALES[int(rng.integers(len(SCALES)))], CHORDS[int(rng.integers(len(CHORDS)))]
    samples = int((BARS * 240.0 / tempo + 1.5) * RATE)
    parts = [drums(rng)] if rng.random() < 0.85 else []
    if rng.random() < 0.9:
        parts.append(bass(rng, scale, key, chords))
    for chance, held in ((0.6, True), (0.8, False), (0.3, False)):
        if rng.random() < chance:
            parts.append(comping(rng, scale, key, chords, held))
    rock = rng.random() < 0.4
    if rock:
        parts.append(power(rng, scale, key, chords))
    for chance in (0.6, 0.2):
        if rng.random() < chance:
            parts.append(solo(rng, scale, key))
    if not parts:
        parts.append(comping(rng, scale, key, chords, False))
    mixed = np.zeros((2, samples), np.float32)
    for part in parts:
        wave = play(rng, part, tempo, cents, samples)
        if rock and part.level == -2.0 and not part.sings and not part.drums:  # twice, left and right
            other = play(rng, part, tempo, cents + rng.uniform(-6, 6), samples)
            wave = np.stack((wave.mean(axis=0), other.mean(axis=0)))
        elif rng.random() < 0.5 and not part.drums:
            wave = wave.mean(axis=0) * effects.sides(rng.uniform(-0.8, 0.8))
        mixed += wave * np.float32(effects.gain(part.level + rng.uniform(-6, 3)) / max(effects.rms(wave), 1e-6))
    mixed = effects.compress(rng, mixed, RATE)
    soundfile.write(path, (0.8 * mixed / np.abs(mixed).max()).T, RATE, subtype="PCM_16")


def main() -> None:
    """Play."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--songs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    folder = args.work / "synthetic" / "arranged"
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(args.processes) as pool:
        paths = [folder / f"arranged_{args.seed}_{n:03}.flac" for n in range(args.songs)]
        jobs = [pool.submit(song, path, (args.seed, n)) for n, path in enumerate(paths)]
        for job in jobs:
            job.result()


if __name__ == "__main__":
    main()
