"""Pairs of rock and metal by bands that no file of DATA comes from, to see what a model does with other music.

    apt-get download fretsonfire-songs-muldjord fretsonfire-songs-sectoid
    for package in fretsonfire-songs-*.deb; do dpkg-deb -x $package SONGS; done
    python -m benchmarks.rock DATA SONGS WORK

DATA and WORK are those of `benchmarks/starter_data.py`. SONGS are eight songs without voices, of two bands (CC BY-SA
3.0 and MIT), each as guitar.ogg and the rest. WORK/rock/unheard gets 24 pairs of them with voices that are held out,
WORK/rock/heard with the singer of the one real song: 10 s, the voice 5 dB under the music.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.starter_data import RATE, held_out, write_pairs


def main(data: Path, songs: Path, work: Path) -> None:
    """Write the pairs."""
    music = [mixed(guitar.parent, work / "rock") for guitar in sorted(songs.rglob("guitar.ogg"))]
    write_pairs(work / "rock" / "unheard", {"instrumental": music, "vocal": held_out(data)["vocal"]})
    write_pairs(work / "rock" / "heard", {"instrumental": music, "vocal": sorted((data / "vocal").glob("eif_*"))})


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
    main(*map(Path, sys.argv[1:]))
