"""Make singers of spoken, shouted and sung syllables: melodies in every range, harmonies, doubles, backing vocals.

    pip install pyworld-prebuilt
    python -m benchmarks.singing WORK [--minutes 90] [--seed 0] [--men 0.5]

WORK is what `benchmarks/starter_data.py` wrote; `WORK/synthetic/vocal` gets `sung_SEED_NNN.flac` and
`invented_SEED_NNN.flac`, each so many minutes, and `WORK/synthetic/backing` a third as many of
`backing_SEED_NNN.flac`: those of another seed join them. For the first, dry recordings of single voices are analysed
into pitch, spectral envelope and aperiodicity, and synthesised again along a melody (the WORLD vocoder, Morise et al.
2016): syllables keep their consonants, vowels are held as long as the note, formants move with the size of the singer,
not with the pitch. Most voices at hand are women's or speak; half of these singers (`--men`) are men, and all sing,
each in one of the `STYLES`. For the second, voices of nobody sing, made of random formants. Backing vocals are held
vowels of both in chords, soft, wide and often dark, as behind the lead of pop songs. The licences of the recordings go
on to what is made of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyworld
import soundfile
from scipy import signal

from ftcore.data import effects

DRY: tuple[str, ...] = ("utsu_", "erithacus_", "producerspace_dvs", "producerspace_computer", "producerspace_hollywood")
DRY += ("producerspace_scifi", "producerspace_sq", "producerspace_shv")
"""How the names of recordings begin that hold one voice at a time and no reverberation."""

RATE, FRAME_MS, SECONDS = 44100, 5.0, 60
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 7, 10))
"""Major, minor, and both pentatonics, in semitones."""

VOWELS = (
    (730, 1090, 2440), (570, 840, 2410), (440, 1020, 2240), (300, 870, 2240), (640, 1190, 2390),
    (490, 1350, 1690), (660, 1720, 2410), (530, 1840, 2480), (390, 1990, 2550), (270, 2290, 3010),
)  # fmt: skip
"""The first three formants of English vowels, in Hz (men's means of Peterson & Barney 1952)."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Voice:
    """A recording, taken apart: a row per frame."""

    pitch: Array
    """Hz; 0 where there is none."""
    envelope: npt.NDArray[np.float32]
    """Logarithm of the power spectrum without the pitch."""
    breath: npt.NDArray[np.float32]
    """Share of noise in each bin."""
    syllables: list[tuple[int, int, int, int]]
    """First frame, where the vowel begins and ends, last frame."""


@dataclass(frozen=True)
class Style:
    """What a singer does with tones."""

    glide: tuple[float, float] = (15.0, 60.0)
    """Time constants in ms with which pitch goes from note to note."""
    vibrato: float = 0.5
    """Semitones at most, as all pitches here."""
    drift: float = 0.15
    jitter: float = 0.1
    """From frame to frame."""
    scoop: float = 0.0
    """How far below its pitch a note begins."""
    fall: float = 0.0
    """How far it sinks before a rest."""
    breath: float = 0.0
    """Share of noise in what has none of its own, at most."""
    tilt: tuple[float, float] = (-2.0, 2.0)
    """dB per octave above 500 Hz."""
    ring: float = 0.0
    """dB around 3 kHz at most, the singer's formant."""
    growl: float = 0.0
    """How much every other (or third) period is weaker, at most."""
    register: tuple[float, float] = (1.0, 1.0)
    """Around which multiple of the singer's middle."""
    spoken: bool = False
    """Short notes, close together in pitch: rap."""


STYLES = (
    Style(),
    Style(scoop=3.0, fall=3.0, vibrato=0.8),
    Style(glide=(2.0, 8.0), vibrato=0.05, drift=0.02, jitter=0.02),  # pitch correction
    Style(glide=(40.0, 120.0), vibrato=0.0, scoop=2.0, fall=5.0, drift=0.4, spoken=True),
    Style(ring=12.0, tilt=(0.0, 4.0), vibrato=0.9, scoop=2.0),  # belting
    Style(breath=0.6, tilt=(-5.0, -1.0), scoop=1.5, jitter=0.2),  # airy
    Style(breath=0.3, tilt=(-6.0, -2.0), register=(1.5, 2.0)),  # head voice
    Style(growl=0.9, jitter=0.5, tilt=(0.0, 5.0), breath=0.4, scoop=3.0, fall=3.0),  # rasp and growl
)
CHOIR = tuple(style for style in STYLES if style.breath or style == Style())
"""Those of backing vocals."""


@dataclass(frozen=True)
class Note:
    """A tone, or a rest."""

    frames: int
    degree: int | None
    """Of the scale, 0 being the singer's middle; None in a rest."""


@cache
def voice(path: Path) -> Voice:
    """Analyse a recording, the first 90 s of it."""
    audio, rate = soundfile.read(path, stop=90 * RATE, always_2d=True)
    assert rate == RATE
    wave = np.ascontiguousarray(audio.mean(axis=1))
    pitch, times = pyworld.dio(wave, RATE, f0_floor=60.0, f0_ceil=900.0, frame_period=FRAME_MS)
    pitch = pyworld.stonemask(wave, pitch, times, RATE)
    power = pyworld.cheaptrick(wave, pitch, times, RATE)
    breath = pyworld.d4c(wave, pitch, times, RATE)
    voiced, loud = np.flatnonzero(np.diff(np.pad(pitch > 0, 1).astype(int))), power.sum(axis=1)
    heard = loud > loud.max() * 1e-6
    syllables = []
    for begin, end in zip(voiced[::2], voiced[1::2], strict=True):
        if end - begin >= 12:
            before, after = heard[max(begin - 30, 0) : begin][::-1], heard[end : end + 20]
            first, last = begin - int(np.cumprod(before).sum()), end + int(np.cumprod(after).sum())
            syllables.append((first, int(begin), int(end), last))
    return Voice(pitch, np.log(power + 1e-14).astype(np.float32), breath.astype(np.float32), syllables)


def invented(rng: np.random.Generator) -> Voice:
    """The voice of nobody: 40 syllables of a throat, a mouth and a breath that are drawn.

    A vowel is a row of resonances (formants), a voiced consonant a dull one, an unvoiced one a band of noise.
    """
    bins = np.arange(1025) * RATE / 2048
    throat, tilt, narrow = rng.uniform(0.85, 1.2), rng.uniform(0.6, 2.0), rng.uniform(0.7, 1.6)
    breathy, above = rng.uniform(0.0, 0.15), rng.uniform(2000, 9000)

    def spectrum(formants: Array) -> Array:
        high = np.arange(3500, 11000, 1050) * throat * rng.uniform(0.95, 1.05)
        log = -tilt * np.log(1 + (bins / 300) ** 2)
        for place in (*formants * throat, *high):
            width = narrow * (50 + 0.04 * place)
            log -= np.log((1 - (bins / place) ** 2) ** 2 + (bins * width / place**2) ** 2)
        level: Array = log - np.log(np.exp(log).mean())
        return level

    vowels = [spectrum(np.array(f) * rng.uniform(0.93, 1.07, 3)) for f in VOWELS]
    air = np.clip(breathy + ((bins / above) ** 2) * rng.uniform(0.1, 0.6), 0.0, 0.95)
    pitch, envelope, breath, syllables = [], [], [], []
    frame = 0
    for _ in range(40):
        first, kind = frame, rng.random()
        if kind < 0.35:  # hiss or burst
            centre, width, length = rng.uniform(1500, 9000), rng.uniform(500, 4000), int(rng.integers(6, 30))
            noise = -(((bins - centre) / width) ** 2) / 2 + rng.uniform(-3.0, 1.0)
            rows = noise + np.log(np.hanning(length + 2)[1:-1, None] + 1e-3)
            pitch.append(np.zeros(length))
            envelope.append(rows)
            breath.append(np.ones_like(rows))
            frame += length
        begin, length = frame, int(rng.integers(40, 300))
        one, other = (vowels[int(rng.integers(len(vowels)))] for _ in range(2))
        dull = spectrum(np.array([rng.uniform(220, 350), rng.uniform(900, 1500), rng.uniform(2000, 2700)])) - 2.5
        way = np.clip((np.arange(length) - rng.uniform(0, length)) / rng.uniform(10, 60), 0, 1)[:, None]
        rows = one + way * (other - one) if rng.random() < 0.5 else np.repeat(one[None], length, axis=0)
        for part in (slice(None), slice(None, None, -1)):
            if rng.random() < 0.5:  # a nasal or a liquid before or after
                share = np.clip(1.5 - np.arange(length) / rng.uniform(6, 20), 0, 1)[:, None]
                rows[part] = rows[part] + share * (dull - rows[part])
        edge = np.minimum(np.arange(length) + 1, np.arange(length)[::-1] + 1) / rng.uniform(2, 12)
        envelope.append(rows + 2 * np.log(np.minimum(edge, 1.0))[:, None])
        pitch.append(np.full(length, 150.0))
        breath.append(np.repeat(air[None], length, axis=0))
        frame += length
        syllables.append((first, begin, frame, frame))
    # synthesis takes the level of a power spectrum of samples between -1 and 1
    power = np.concatenate(envelope) + np.log(1e-5)
    return Voice(np.concatenate(pitch), power.astype(np.float32), np.concatenate(breath).astype(np.float32), syllables)


def melody(rng: np.random.Generator, spoken: bool) -> tuple[list[Note], tuple[int, ...]]:
    """Phrases of notes with rests between them, and the scale whose degrees they are."""
    scale = SCALES[rng.integers(len(SCALES))]
    if spoken:
        lengths, steps, most, line = [0.25, 0.25, 0.25, 0.5], [-1, 0, 0, 0, 1], 2, (8, 24)
    else:
        lengths, steps = [0.25, 0.5, 0.5, 0.5, 1.0, 1.0, 2.0], [-3, -2, -1, -1, 0, 1, 1, 2, 3, 4]
        most, line = 6, (3, 11)
    beat, notes, degree, left = 60.0 / rng.uniform(65, 150), [], 0, SECONDS * 1000 / FRAME_MS
    while left > 0:
        for _ in range(rng.integers(*line)):
            degree = int(np.clip(degree + rng.choice(steps), 1 - most, most))
            seconds = beat * float(rng.choice(lengths))
            notes.append(Note(max(int(seconds * 1000 / FRAME_MS), 20), degree))
        notes.append(Note(int(beat * rng.choice([0.5, 1.0, 2.0]) * 1000 / FRAME_MS), None))
        left = SECONDS * 1000 / FRAME_MS - sum(note.frames for note in notes)
    return notes, scale


def syllable_frames(
    rng: np.random.Generator, notes: list[Note], syllables: list[tuple[int, int, int, int]]
) -> Iterator[Array]:
    """For each note the frames of the recording that sound in it, fractional; none in a rest.

    A long vowel goes on through several notes, 1.5 s at most; a short one is held.
    """
    begin = end = last = 0
    for note in notes:
        if note.degree is None:
            begin = end
            yield np.zeros(0)
            continue
        onset = np.zeros(0)
        if end - begin < 12:
            first, begin, whole, last = syllables[rng.integers(len(syllables))]
            end = min(whole, begin + int(rng.integers(60, 300)))
            last = last if end == whole else end
            onset = np.arange(first, begin)[-note.frames // 3 :].astype(float)
        frames = note.frames - len(onset)
        wanted = frames * rng.uniform(0.5, 1.2)
        if end - begin < 1.3 * wanted:
            tail = np.arange(end, last)[: frames // 4].astype(float)
            held = np.linspace(begin, end - 1, frames - len(tail))
            begin = end
        else:
            held, tail = np.linspace(begin, begin + wanted, frames), np.zeros(0)
            begin += int(wanted)
        yield np.concatenate((onset, held, tail))


def sing(
    rng: np.random.Generator,
    voice: Voice,
    notes: list[Note],
    sounding: list[Array],
    scale: tuple[int, ...],
    style: Style,
    middle: float,
    size: float,
    above: int,
) -> Array:
    """One part of a melody: around `middle` Hz, formants times `size`, `above` so many degrees of the scale."""
    target, frames, gain = [], [], []
    vibrato, bend = np.zeros(0), np.zeros(0)
    depth, speed = rng.uniform(0.0, style.vibrato), rng.uniform(4.6, 6.6)
    rests = [note.degree is None for note in notes]
    for note, at, last in zip(notes, sounding, [*rests[1:], True], strict=True):
        length = note.frames
        octave, degree = divmod((note.degree or 0) + above, len(scale))
        target.append(np.full(length, 12.0 * octave + scale[degree] if note.degree is not None else np.nan))
        ahead = np.arange(length)
        below = rng.uniform(0, style.scoop) * (rng.random() < 0.4) * np.exp(-ahead / rng.uniform(6, 30))
        sinking = rng.uniform(0, style.fall) * (last and rng.random() < 0.6)
        below = below + sinking * np.exp(-ahead[::-1] / rng.uniform(10, 40))
        bend = np.concatenate((bend, -below))
        frames.append(at if len(at) else np.full(length, -1.0))
        gain.append(np.full(length, rng.uniform(-3.0, 3.0)))
        seconds = np.arange(length) * FRAME_MS / 1000
        swing = np.sin(2 * np.pi * speed * seconds + rng.uniform(0, 6.28)) * np.clip((seconds - 0.2) / 0.3, 0, 1)
        vibrato = np.concatenate((vibrato, depth * swing))
    at, semitone, level = np.concatenate(frames), np.concatenate(target), np.concatenate(gain)
    known = np.flatnonzero(~np.isnan(semitone))
    semitone = np.interp(np.arange(len(at)), known, semitone[known])
    glide = np.exp(-FRAME_MS / rng.uniform(*style.glide))
    drift = np.convolve(rng.standard_normal(len(at)), np.hanning(81) / 6.0, "same") * rng.uniform(0, style.drift)
    jitter = rng.standard_normal(len(at)) * rng.uniform(0, style.jitter)
    semitone = smoothed(semitone, glide) + vibrato + bend + drift + jitter
    low = np.clip(at.astype(int), 0, len(voice.pitch) - 2)
    part = (at - low)[:, None].astype(np.float32)
    bins = voice.envelope.shape[1]
    source = np.minimum(np.arange(bins) / size, bins - 1.0)
    down = np.minimum(source.astype(int), bins - 2)
    across = (source - down).astype(np.float32)

    def read(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        line = rows[low] + np.clip(part, 0, 1) * (rows[low + 1] - rows[low])
        moved: npt.NDArray[np.float32] = line[:, down] + across * (line[:, down + 1] - line[:, down])
        return moved

    silent = at < 0
    pitch = np.where((voice.pitch[low] > 0) & ~silent, middle * 2 ** (semitone / 12), 0.0)
    level = smoothed(np.where(silent, -80.0, level), np.exp(-FRAME_MS / 15.0))
    hertz = np.maximum(np.arange(bins) * RATE / 2 / (bins - 1), 500.0)
    colour = rng.uniform(*style.tilt) * np.log2(hertz / 500.0)
    colour += rng.uniform(0, style.ring) * np.exp(-((np.log2(hertz / rng.uniform(2500, 3500)) / 0.3) ** 2))
    power = np.exp(read(voice.envelope).astype(np.float64)) * 10 ** ((level[:, None] + colour) / 10)
    power = np.maximum(power, np.finfo(np.float64).tiny)  # WORLD takes its logarithm
    airy = rng.uniform(0, style.breath) * np.clip(hertz / 4000.0, 0.3, 1.0)
    breath = np.clip(read(voice.breath).astype(np.float64), airy + 1e-3, 1.0)
    wave: Array = pyworld.synthesize(pitch, np.ascontiguousarray(power), np.ascontiguousarray(breath), RATE, FRAME_MS)
    if style.growl:
        wave *= growl(rng, pitch, len(wave), style.growl)
    return wave


def growl(rng: np.random.Generator, pitch: Array, samples: int, most: float) -> Array:
    """Gains that make every other or third period weaker, now more, now less."""
    frame = np.arange(samples) / (RATE * FRAME_MS / 1000)
    phase = 2 * np.pi * np.cumsum(np.interp(frame, np.arange(len(pitch)), pitch)) / RATE
    slow = smoothed(rng.standard_normal(len(pitch)), np.exp(-FRAME_MS / 300)) * 8
    depth = rng.uniform(0.2, most) * np.clip(0.5 + np.interp(frame, np.arange(len(slow)), slow), 0, 1)
    gains: Array = 1 - depth * (0.5 + 0.5 * np.sin(phase / rng.integers(2, 4)))
    return gains


def smoothed(values: Array, pole: float) -> Array:
    """A one-pole low pass, which starts at the first value."""
    done: Array = signal.lfilter([1 - pole], [1, -pole], values, zi=[pole * values[0]])[0]
    return done


def recorded(rng: np.random.Generator, sources: list[Path]) -> Voice:
    """The voice of any recording with at least 8 syllables."""
    while len((found := voice(sources[rng.integers(len(sources))])).syllables) < 8:
        pass
    return found


def song(path: Path, sources: list[Path], seed: tuple[int, int], *, men: float) -> None:
    """Write one a cappella of a minute, sung by one of the recordings, or without any by an invented voice.

    men: how likely the singer is one.
    """
    rng = np.random.default_rng(seed)
    singer = recorded(rng, sources) if sources else invented(rng)
    own = float(np.median(singer.pitch[singer.pitch > 0]))
    low = rng.random() < men
    middle = rng.uniform(95.0, 200.0) if low else rng.uniform(190.0, 400.0)
    size = {(True, True): (0.92, 1.06), (True, False): (0.76, 0.92), (False, True): (1.04, 1.2)}.get(
        (low, own < 190), (0.92, 1.1)
    )
    alpha, style = rng.uniform(*size), STYLES[rng.integers(len(STYLES))]
    middle *= rng.uniform(*style.register)
    notes, scale = melody(rng, style.spoken)
    sounding = list(syllable_frames(rng, notes, singer.syllables))
    lead = sing(rng, singer, notes, sounding, scale, style, middle, alpha, 0)
    mixed = np.stack((lead, lead))
    kind = rng.random()
    others = [] if kind < 0.5 else [0] * int(rng.integers(1, 3)) if kind < 0.7 else harmonies(rng, scale)
    for above in others:
        other = sing(rng, singer, notes, sounding, scale, style, middle, alpha * rng.uniform(0.96, 1.04), above)
        delay, pan, gain = int(rng.uniform(0, 0.03) * RATE), rng.uniform(-1, 1), 10 ** (rng.uniform(-10, -1) / 20)
        other = gain * np.pad(other, (delay, 0))[: len(lead)]
        mixed += other * effects.sides(pan)
    write(path, mixed)


def harmonies(rng: np.random.Generator, scale: tuple[int, ...]) -> list[int]:
    """Degrees of one to three other parts: thirds, fifths and octaves, roughly."""
    degrees = [2, -2, 4, -3, len(scale), -len(scale)]
    return [int(degree) for degree in rng.choice(degrees, int(rng.integers(1, 4)), replace=False)]


def chords(rng: np.random.Generator) -> list[Note]:
    """A progression of long chords (their lowest notes), now and then with a rest."""
    beat, notes, degree, left = 60.0 / rng.uniform(65, 150), [], 0, SECONDS * 1000 / FRAME_MS
    while left > 0:
        degree = int(np.clip(degree + rng.choice([-3, -2, -1, 0, 1, 2, 3]), -4, 4))
        notes.append(Note(int(beat * rng.choice([2.0, 4.0, 4.0, 8.0]) * 1000 / FRAME_MS), degree))
        if rng.random() < 0.2:
            notes.append(Note(int(beat * rng.choice([1.0, 2.0, 4.0]) * 1000 / FRAME_MS), None))
        left = SECONDS * 1000 / FRAME_MS - sum(note.frames for note in notes)
    return notes


def held(rng: np.random.Generator, notes: list[Note], syllables: list[tuple[int, int, int, int]]) -> list[Array]:
    """For each note frames of the middle of one vowel, to and fro at about their own speed; none in a rest."""
    sounding = []
    for note in notes:
        _, begin, end, _ = syllables[rng.integers(len(syllables))]
        way = np.cumsum(rng.uniform(0.3, 1.0, note.frames)) + rng.uniform(0, end - begin)
        inside = 0.5 * (end - begin)
        at = begin + 0.5 * inside + np.abs((way % (2 * inside)) - inside)
        sounding.append(at if note.degree is not None else np.zeros(0))
    return sounding


def backing(path: Path, sources: list[Path], seed: tuple[int, int]) -> None:
    """Write a minute of backing vocals: chords of two to four voices, of recordings or invented."""
    rng = np.random.default_rng((*seed, 1))
    notes, scale = chords(rng), SCALES[rng.integers(2)]
    middle, attack = rng.uniform(110.0, 330.0), rng.uniform(30.0, 250.0)
    style = CHOIR[rng.integers(len(CHOIR))]
    dark = signal.butter(2, rng.uniform(1200, 5000), fs=RATE, output="sos") if rng.random() < 0.5 else None
    swell = np.concatenate([np.full(n.frames, 0.0 if n.degree is None else rng.uniform(0.5, 1.0)) for n in notes])
    swell = smoothed(swell, np.exp(-FRAME_MS / attack))
    length = int(len(swell) * FRAME_MS / 1000 * RATE)
    mixed = np.zeros((2, length))
    for above in rng.choice([0, 2, 4, len(scale), -len(scale)], int(rng.integers(2, 5)), replace=False):
        singer = recorded(rng, sources) if rng.random() < 0.5 else invented(rng)
        size, sounding = rng.uniform(0.85, 1.15), held(rng, notes, singer.syllables)
        wave = sing(rng, singer, notes, sounding, scale, style, middle, size, above)
        wave = np.pad(wave, (int(rng.uniform(0, 0.05) * RATE), length))[:length]
        wave *= np.interp(np.arange(length), np.arange(len(swell)) * FRAME_MS / 1000 * RATE, swell)
        pan, gain = rng.uniform(-1, 1), 10 ** (rng.uniform(-9, 0) / 20) / max(np.sqrt(np.mean(wave**2)), 1e-6)
        mixed += gain * wave * effects.sides(pan)
    write(path, mixed if dark is None else signal.sosfilt(dark, mixed))


def write(path: Path, wave: Array) -> None:
    """A stereo wave [2, samples] as a file, its peak at 0.7."""
    soundfile.write(path, (0.7 * wave / max(np.abs(wave).max(), 1e-6)).T, RATE, subtype="PCM_16")


def main() -> None:
    """Sing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--minutes", type=int, default=90)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--men", type=float, default=0.5, help="share of men among those who sing songs")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    if not 0.0 <= args.men <= 1.0:
        parser.error(f"--men {args.men}: a share is from 0 to 1")
    folder = args.work / "train" / "vocal"
    sources = sorted(path for path in folder.glob("*") if path.name.startswith(DRY))
    if not sources:
        parser.error(f"{folder}: no dry recordings")
    leads, choirs = (args.work / "synthetic" / name for name in ("vocal", "backing"))
    for made in (leads, choirs):
        made.mkdir(parents=True, exist_ok=True)
    songs = args.minutes * 60 // SECONDS
    kinds: tuple[tuple[Path, Callable[[Path, list[Path], tuple[int, int]], None], list[Path], int], ...] = (
        (leads / "sung", partial(song, men=args.men), sources, songs),
        (leads / "invented", partial(song, men=args.men), [], songs),
        (choirs / "backing", backing, sources, songs // 3),
    )
    with ProcessPoolExecutor(args.processes) as pool:
        jobs = [
            pool.submit(sung, stem.with_name(f"{stem.name}_{args.seed}_{n:03}.flac"), voices, (args.seed, n))
            for stem, sung, voices, count in kinds
            for n in range(count)
        ]
        for job in jobs:
            job.result()


if __name__ == "__main__":
    main()
