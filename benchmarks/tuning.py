"""How much of what is recorded lies on the keys of a piano.

    python -m benchmarks.tuning FILE...

Of the first minute of each file, spectral peaks between 100 and 1000 Hz; each, as an angle between two keys at 440 Hz,
is a vector as long as it is loud. The length of their mean is 1 where all lie at one place between two keys, and 0
where they lie anywhere; its angle, in cents, says at which. Printed is the mean over the files.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soundfile

WINDOW, LOWEST, HIGHEST, SECONDS = 16384, 100.0, 1000.0, 60
"""Samples; Hz; seconds of each file."""


def main() -> None:
    """Measure files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    args = parser.parse_args()
    try:
        mean = complex(np.mean([tuning(path) for path in args.files]))
    except soundfile.LibsndfileError as error:
        raise SystemExit(str(error)) from None
    print(f"{len(args.files)} files: {abs(mean):.2f} at {np.angle(mean) / (2 * np.pi) * 100:+.0f} cents")


def tuning(path: Path) -> complex:
    """The mean vector of a file; 0 of one without peaks."""
    with soundfile.SoundFile(path) as file:
        rate = file.samplerate
        wave = file.read(SECONDS * rate, always_2d=True).mean(axis=1)
    low, high = int(LOWEST * WINDOW / rate), int(HIGHEST * WINDOW / rate)
    vector, loudness = 0j, 0.0
    for start in range(0, len(wave) - WINDOW, WINDOW // 2):
        size = np.abs(np.fft.rfft(wave[start : start + WINDOW] * np.hanning(WINDOW)))
        before, here, after = size[low - 1 : high - 1], size[low:high], size[low + 1 : high + 1]
        for peak in low + np.flatnonzero((here > before) & (here > after) & (here > 0.1 * here.max())):
            if size[peak] > 4 * np.median(size[max(peak - 20, 0) : peak + 20]):
                a, b, c = np.log(size[peak - 1 : peak + 2] + 1e-12)
                hertz = (peak + 0.5 * (a - c) / (a - 2 * b + c)) * rate / WINDOW  # the top of a parabola
                vector += size[peak] * np.exp(2j * np.pi * 12 * np.log2(hertz / 440.0))
                loudness += size[peak]
    return vector / loudness if loudness else 0j


if __name__ == "__main__":
    main()
