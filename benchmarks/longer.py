"""Pairs of 90 s, in which music comes back as it does in songs; in those of 10 s hardly any does.

    python -m benchmarks.longer DATA WORK

DATA and WORK are those of `benchmarks/starter_data.py`. WORK/longer/music gets a pair of every held-out piece that is
long enough, WORK/longer/rock one of every song of `benchmarks/rock.py`, where that was run. The voices are those of
WORK/validation, 10 s each, one after the other with pauses of 4 s; where they sing they are 5 dB under the music.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from benchmarks.starter_data import RATE, held_out, level, write_pair

SECONDS, PAUSE = 90, 4


def main() -> None:
    """Write the pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for folder in ("data", "work"):
        parser.add_argument(folder, type=Path)
    args = parser.parse_args()
    phrases = sorted((args.work / "validation").glob("*/vocals.wav"))
    if not phrases:
        parser.error(f"{args.work}: no validation/*/vocals.wav below it; benchmarks/starter_data.py makes them")
    sources = {"music": held_out(args.data)["instrumental"], "rock": sorted((args.work / "rock").glob("*.flac"))}
    for name, paths in sources.items():
        rng, following = np.random.default_rng(0), itertools.cycle(phrases)
        long_enough = [path for path in paths if soundfile.info(path).duration >= SECONDS]
        for item, path in enumerate(long_enough):
            start = int(rng.integers(soundfile.info(path).frames - SECONDS * RATE + 1))
            music, _ = soundfile.read(path, SECONDS * RATE, start, always_2d=True)
            write_pair(args.work / "longer" / name / f"{item:03}", music, sung(following, music))


def sung(phrases: Iterator[Path], music: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The next phrases with pauses before and between them, as long as the music [samples, 2]."""
    voice = np.zeros_like(music)
    place = PAUSE * RATE
    while place < len(voice):
        phrase, _ = soundfile.read(next(phrases), len(voice) - place, always_2d=True)
        voice[place : place + len(phrase)] = phrase * level(phrase, music)
        place += len(phrase) + PAUSE * RATE
    return voice


if __name__ == "__main__":
    main()
