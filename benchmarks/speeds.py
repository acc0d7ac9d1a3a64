"""What a model makes of mixtures whose voice, music or both are played at another speed.

    python -m benchmarks.speeds WORK --real PAIRS [--model starter]

WORK is what `benchmarks/starter_data.py` wrote; PAIRS are real songs. At another speed no recording is one that was
trained on, and voices are in another range: a model that gains more there does not know the range they were in, one
that gains less knows the recordings, not music or voices. Half a semitone off, tones lie between the keys of a piano: a
model to which that matters knows instruments by their tuning, which singers who are in tune share. Figures are gains in
vocals uSDR over the mixture itself, in dB, means over the pairs, each through the shipped pipeline without --tta.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import mean

import numpy as np
import soxr

from ftcore.errors import FtError
from ftcore.evaluation import Pair, find_pairs, load_pair, usdr
from ftcore.separator import Separator

SEMITONES = (-3.0, -1.5, -1.0, -0.5, 0.5, 1.0, 1.5, 3.0)
PLAYED = {"voice": ("vocals",), "music": ("instrumental",), "both": ("vocals", "instrumental")}


def main() -> None:
    """Measure a model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--real", type=Path, required=True, help="a folder of pairs")
    parser.add_argument("--model", default="starter")
    args = parser.parse_args()
    try:
        tables(Separator(args.model, tta=False), (args.work / "validation", args.work / "seen", args.real))
    except FtError as error:
        raise SystemExit(str(error)) from None


def tables(separator: Separator, folders: tuple[Path, ...]) -> None:
    """Print a table per folder of pairs. Raises FtError."""
    for folder in folders:
        pairs = [load_pair(track) for track in find_pairs(folder)]
        print(f"{folder.name}: {mean(gain(separator, pair) for pair in pairs):.2f} as it is")
        print(f"| semitones | {' | '.join(f'{each:+g}' for each in SEMITONES)} |")
        for name, stems in PLAYED.items():
            gains = (mean(gain(separator, pair, stems, 2 ** (up / 12)) for pair in pairs) for up in SEMITONES)
            print(f"| {name} | {' | '.join(f'{each:.2f}' for each in gains)} |", flush=True)


def gain(separator: Separator, pair: Pair, stems: tuple[str, ...] = (), speed: float = 1.0) -> float:
    """Gain in vocals uSDR, in dB, of a pair of which these stems are played at a speed; what is longer is cut."""
    waves = {stem: soxr.resample(wave.T, speed, 1.0).T if stem in stems else wave for stem, wave in pair.stems.items()}
    samples = min(wave.shape[1] for wave in waves.values())
    voice, music = (np.ascontiguousarray(waves[stem][:, :samples]) for stem in ("vocals", "instrumental"))
    mixture = voice + music
    return usdr(voice, separator.separate(mixture, pair.rate)["vocals"]) - usdr(voice, mixture)


if __name__ == "__main__":
    main()
