"""Leave singers and their music out of training, to see what a model does with voices that it never heard.

    python -m benchmarks.strangers DATA WORK

For choices that neither the validation split nor the real song may make. DATA and WORK are those of
`benchmarks/starter_data.py`, whose training folders are prepared in WORK/cache (`docs/model.md`). WORK/strangers/FOLD
gets these libraries without what the fold leaves out, and `pairs`, 24 of them, of that. The first fold also gets
`songs`: eight crops of each song of the artist that it leaves out, as it was mixed, where the voice is at most 11 dB
below the music and no louder than it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.starter_data import RATE, SECONDS, sounds, write_pairs

FOLDS: dict[str, dict[str, tuple[str, ...]]] = {
    # produced songs of one artist, a man; their music
    "artist": {"vocal": ("eif_",), "instrumental": ("eif_",)},
    # house and trance vocals of women; two games' rock and electronic music
    "vocalists": {"vocal": ("producerspace_etv_",), "instrumental": ("opensurge_", "retux_")},
}
"""By fold, how the names of the files begin that are left out."""
LIBRARIES = {"vocal": ("vocal", "singers"), "instrumental": ("instrumental", "bands")}
CROPS, LEVELS = 8, (-11.0, 0.0)


def main(data: Path, work: Path) -> None:
    """Write every fold."""
    for name, starts in FOLDS.items():
        fold = work / "strangers" / name
        held: dict[str, list[Path]] = {}
        for kind, prefixes in starts.items():
            held[kind] = sorted(path for path in (data / kind).iterdir() if path.name.startswith(prefixes))
            for library in LIBRARIES[kind]:
                without(work / "cache" / f"train-{library}-44100", fold / f"train-{library}-44100", prefixes)
        write_pairs(fold / "pairs", held)
    write_songs(work / "strangers" / "artist" / "songs", data, FOLDS["artist"]["vocal"])


def without(library: Path, out: Path, prefixes: tuple[str, ...]) -> None:
    """A prepared library without some of its files; the audio is not copied."""
    out.mkdir(parents=True, exist_ok=True)
    header, *entries = (library / "index.jsonl").read_text().splitlines()
    kept = [entry for entry in entries if not Path(json.loads(entry)["source"]).name.startswith(prefixes)]
    for entry in kept:
        file = f"{json.loads(entry)['key']}.npy"
        (out / file).unlink(missing_ok=True)
        (out / file).symlink_to((library / file).resolve())
    (out / "index.jsonl").write_text("\n".join([header, *kept]) + "\n")
    print(f"{out}: {len(kept)} of {len(entries)} files")


def write_songs(folder: Path, data: Path, prefixes: tuple[str, ...]) -> None:
    """Crops of songs whose stems DATA holds under one name, that do not overlap and are not mostly without voice."""
    rng = np.random.default_rng(0)
    length = RATE * SECONDS
    for path in sorted(path for path in (data / "vocal").iterdir() if path.name.startswith(prefixes)):
        voice, music = (soundfile.read(data / kind / path.name, always_2d=True)[0] for kind in LIBRARIES)
        starts: list[int] = []
        for start in rng.integers(min(len(voice), len(music)) - length, size=2000):
            v, m = voice[start : start + length], music[start : start + length]
            if any(abs(start - other) < length for other in starts) or not sounds(v):
                continue
            if len(starts) == CROPS:
                break
            starts.append(int(start))
            level = 10 * np.log10(np.mean(v**2) / np.mean(m**2))
            if LEVELS[0] <= level <= LEVELS[1]:
                crop = folder / f"{path.stem}_{len(starts) - 1}"
                crop.mkdir(parents=True, exist_ok=True)
                scale = 1 / max(1.0, np.abs(v + m).max())
                soundfile.write(crop / "mixture.wav", (v + m) * scale, RATE, subtype="FLOAT")
                soundfile.write(crop / "instrumental.wav", m * scale, RATE, subtype="FLOAT")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
