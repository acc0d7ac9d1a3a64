"""Pairs of rock and metal by bands that no file of DATA comes from, to see what a model does with other music.

    apt-get download fretsonfire-songs-muldjord fretsonfire-songs-sectoid
    for package in fretsonfire-songs-*.deb; do dpkg-deb -x $package SONGS; done
    python -m benchmarks.rock DATA SONGS WORK

DATA and WORK are those of `benchmarks/starter_data.py`. SONGS are eight songs of two bands (CC BY-SA 3.0 and
MIT), each as guitar.ogg and song.ogg, the rest; nobody has listened through whether someone sings there.
WORK/rock/unheard gets 24 pairs of them with voices that are held out, WORK/rock/heard with the singer of the one real
song: 10 s, the voice 5 dB under the music.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.starter_data import RATE, held_out, write_pairs


def main() -> None:
    """Write the pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for folder in ("data", "songs", "work"):
        parser.add_argument(folder, type=Path)
    args = parser.parse_args()
    rock, guitars = args.work / "rock", sorted(args.songs.rglob("guitar.ogg"))
    if not guitars:
        parser.error(f"{args.songs}: no guitar.ogg below it")
    music = [mixed(guitar.parent, rock) for guitar in guitars]
    write_pairs(rock / "unheard", {"instrumental": music, "vocal": held_out(args.data)["vocal"]})
    write_pairs(rock / "heard", {"instrumental": music, "vocal": sorted((args.data / "vocal").glob("eif_*"))})


def mixed(song: Path, folder: Path) -> Path:
    """The two tracks of a song in one file."""
    tracks = [soundfile.read(song / f"{part}.ogg", always_2d=True) for part in ("song", "guitar")]
    assert all(rate == RATE for _, rate in tracks)
    audio = np.sum([track for track, _ in tracks], axis=0)
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / f"{song.name}.flac"
    soundfile.write(out, audio * min(1.0, 0.99 / np.abs(audio).max()), RATE)
    return out


if __name__ == "__main__":
    main()
