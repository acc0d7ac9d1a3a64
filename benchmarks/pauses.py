"""How much music is left in the vocals where nobody sings, which uSDR of songs that are sung throughout does not show.

    python -m benchmarks.pauses WORK [-m MODEL]

WORK is that of `benchmarks/longer.py`. In its songs of 90 s the voice is silenced for 20 s at a time: at the beginning,
in the middle, at the end. Prints the gain in the vocals' uSDR of the whole song over the mixture's, and how loud
vocals are beside the mixture in the pause, but for 2 s at either end; means over songs, in dB.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ftcore.audio import Block
from ftcore.errors import FtError
from ftcore.evaluation import find_pairs, load_pair, usdr
from ftcore.separator import Separator

PAUSES = {"beginning": (0, 20), "middle": (35, 55), "end": (70, 90)}
"""Seconds."""
EDGE = 2
"""Seconds."""


def main() -> None:
    """Print a line for each set and pause."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("-m", "--model", default="starter")
    args = parser.parse_args()
    try:
        separator = Separator(args.model)
        for name in ("rock", "music"):
            tracks = find_pairs(args.work / "longer" / name)
            for place, pause in PAUSES.items():
                gain, left = np.mean([measure(separator, track, *pause) for track in tracks], axis=0)
                print(
                    f"{name:5}  pause at the {place:9}  gain {gain:5.2f}  vocals in the pause {left:6.2f}", flush=True
                )
    except FtError as error:
        raise SystemExit(str(error)) from None


def measure(separator: Separator, track: Path, begin: int, end: int) -> tuple[float, float]:
    """Both figures of a track whose voice is silent from `begin` to `end`, in seconds."""
    pair = load_pair(track)
    truth, rate = pair.stems["vocals"].copy(), pair.rate
    truth[:, begin * rate : end * rate] = 0
    mixture = pair.instrumental + truth
    found = separator.separate(mixture, rate)["vocals"]
    pause = slice((begin + EDGE) * rate, (end - EDGE) * rate)
    return usdr(truth, found) - usdr(truth, mixture), level(found[:, pause]) - level(mixture[:, pause])


def level(wave: Block) -> float:
    """The mean power in dB."""
    return float(10 * np.log10(np.square(wave, dtype=np.float64).mean() + 1e-12))


if __name__ == "__main__":
    main()
