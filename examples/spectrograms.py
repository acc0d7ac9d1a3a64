"""Draw a mixture and its stems, one spectrogram above the other.

ft separate examples/lets_go_fishin_excerpt.ogg -o stems
python examples/spectrograms.py examples/lets_go_fishin_excerpt.ogg stems -o docs/spectrograms.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import soundfile

from ftcore.stft import stft


def level(path: Path) -> tuple[np.ndarray[tuple[int, int], np.dtype[np.float64]], float, float]:
    """Levels in dB [bins, frames] of the mono sum, with the rate and the length in seconds."""
    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    frames = np.concatenate(list(stft([audio.mean(axis=1)[None]], 2048, 512)), axis=-1)[0]
    return 20 * np.log10(np.abs(frames) / 512 + 1e-7), rate, len(audio) / rate


def main() -> None:
    """Draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mixture", type=Path)
    parser.add_argument("stems", type=Path, help="folder with {track}_vocals.wav and {track}_instrumental.wav")
    parser.add_argument("-o", "--out", type=Path, default=Path("spectrograms.png"))
    args = parser.parse_args()
    panels = {
        "mixture": args.mixture,
        "vocals": args.stems / f"{args.mixture.stem}_vocals.wav",
        "instrumental": args.stems / f"{args.mixture.stem}_instrumental.wav",
    }
    figure, axes = plt.subplots(3, 1, figsize=(9, 8), sharex=True, layout="constrained")
    for axis, (title, path) in zip(axes, panels.items(), strict=True):
        values, rate, seconds = level(path)
        image = axis.imshow(
            values, origin="lower", aspect="auto", cmap="magma", vmin=-80, vmax=0, extent=(0, seconds, 0, rate / 2000)
        )
        axis.set(title=title, ylabel="kHz", ylim=(0, 8))
    axes[-1].set_xlabel("seconds")
    figure.colorbar(image, ax=axes, label="dB", shrink=0.6)
    figure.savefig(args.out, dpi=80)


if __name__ == "__main__":
    main()
