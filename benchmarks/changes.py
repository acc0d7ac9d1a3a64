"""What a model makes of mixtures whose voice, music or both are changed: what it goes by beside what they are.

    python -m benchmarks.changes WORK --real PAIRS [--model starter] [--stereo joint] [--only NAME ...]

WORK is what `benchmarks/starter_data.py` wrote; PAIRS are real songs. At another speed no recording is one that was
trained on, and voices are in another range: a model that gains more there does not know the range they were in, one
that gains less knows the recordings, not music or voices. Half a semitone off, tones lie between the keys of a piano: a
model to which that matters knows instruments by their tuning, which singers who are in tune share. The other changes
are what studios do, `wide` for one: a model that gains much less from voices that are at both sides takes what is wide
for music. Figures are gains in vocals uSDR over the mixture itself, in dB, means over the pairs, each through the
shipped pipeline without --tta; what is changed keeps its level.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import mean
from typing import get_args

import numpy as np
import soxr
from scipy import signal

from ftcore.config import Stereo
from ftcore.data import effects
from ftcore.data.library import Wave
from ftcore.errors import FtError
from ftcore.evaluation import Pair, find_pairs, load_pair, usdr
from ftcore.separator import STEMS, Separator, Stem

Change = Callable[[np.random.Generator, Wave, int], Wave]

SEMITONES = (-3.0, -1.5, -1.0, -0.5, 0.5, 1.0, 1.5, 3.0)
CHANGED: dict[str, tuple[Stem, ...]] = {
    "voice": ("vocals",),
    "music": ("instrumental",),
    "both": ("vocals", "instrumental"),
}


def played(semitones: float, _: np.random.Generator, wave: Wave, rate: int) -> Wave:
    """Faster and higher, or slower and lower."""
    resampled: Wave = soxr.resample(wave.T, 2 ** (semitones / 12), 1.0).T
    return resampled


def narrow(_: np.random.Generator, wave: Wave, rate: int) -> Wave:
    """The same left and right."""
    return np.repeat(wave.mean(axis=0, keepdims=True), 2, axis=0)


def dull(_: np.random.Generator, wave: Wave, rate: int) -> Wave:
    """Nothing above 3 kHz."""
    filtered: Wave = signal.sosfilt(signal.butter(8, 3000, fs=rate, output="sos"), wave).astype(np.float32)
    return filtered


CHANGES: dict[str, Change] = {f"{up:+g} semitones": partial(played, up) for up in SEMITONES}
CHANGES |= {
    "mono": narrow,
    "wide": effects.widen,
    "doubled": effects.double,
    "reverberant": effects.reverberate,
    "with echo": effects.echo,
    "compressed": effects.compress,
    "driven": lambda rng, wave, rate: effects.drive(rng, wave, 20.0),
    "equalised": lambda rng, wave, rate: effects.equalise(rng, wave, 8.0, rate),
    "formants higher": lambda rng, wave, rate: effects.move_formants(wave, 1.1, rate),
    "dull": dull,
}


def main() -> None:
    """Measure a model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--real", type=Path, required=True, help="a folder of pairs")
    parser.add_argument("--model", default="starter")
    parser.add_argument("--stereo", choices=get_args(Stereo), default="joint")
    parser.add_argument("--only", nargs="+", choices=list(CHANGES), default=list(CHANGES), metavar="NAME")
    args = parser.parse_args()
    try:
        separator = Separator(args.model, stereo=args.stereo, tta=False)
        tables(separator, (args.work / "validation", args.work / "seen", args.real), args.only)
    except FtError as error:
        raise SystemExit(str(error)) from None


def tables(separator: Separator, folders: tuple[Path, ...], names: list[str]) -> None:
    """Print a table per folder of pairs. Raises FtError."""
    for folder in folders:
        pairs = [load_pair(track) for track in find_pairs(folder)]
        print(f"{folder.name}: {mean(gain(separator, pair) for pair in pairs):.2f} as it is")
        print(f"| | {' | '.join(CHANGED)} |")
        for name in names:
            gains = (
                mean(gain(separator, pair, stems, CHANGES[name], seed) for seed, pair in enumerate(pairs))
                for stems in CHANGED.values()
            )
            print(f"| {name} | {' | '.join(f'{each:.2f}' for each in gains)} |", flush=True)


def gain(
    separator: Separator, pair: Pair, stems: tuple[Stem, ...] = (), change: Change | None = None, seed: int = 0
) -> float:
    """Gain in vocals uSDR, in dB, of a pair of which these stems are changed; what is longer than the other is cut."""
    waves = dict(pair.stems)
    for stem in stems:
        assert change
        wave = np.ascontiguousarray(change(np.random.default_rng(seed), waves[stem], pair.rate))
        waves[stem] = wave * np.float32(effects.rms(waves[stem]) / max(effects.rms(wave), 1e-9))
    samples = min(wave.shape[1] for wave in waves.values())
    voice, music = (np.ascontiguousarray(waves[stem][:, :samples]) for stem in STEMS)
    mixture = voice + music
    return usdr(voice, separator.separate(mixture, pair.rate)["vocals"]) - usdr(voice, mixture)


if __name__ == "__main__":
    main()
