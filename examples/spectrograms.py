"""Draw a mixture and its stems, one spectrogram above the other.

ft separate examples/lets_go_fishin_excerpt.ogg -o stems
python examples/spectrograms.py examples/lets_go_fishin_excerpt.ogg stems -o docs/spectrograms.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ftcore import audio, picture


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
    read = {title: audio.read(path) for title, path in panels.items()}
    picture.waves({title: wave for title, (_, wave) in read.items()}, read["mixture"][0].rate, args.out)


if __name__ == "__main__":
    main()
