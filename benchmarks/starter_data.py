"""Split openly licensed audio into training folders and validation pairs, by source.

    python benchmarks/starter_data.py DATA WORK

DATA holds `manifest.csv` (columns file, source_repo) and the audio it names, below `instrumental/` and
`vocal/`. WORK gets `train/instrumental` and `train/vocal` (links) from all sources but the held-out
ones; of these once more `train/bands` and `train/singers`, which songs are made of, so that training can
hear them more often than piano, ambient music and speech. `validation/NNN` are mixture, instrumental and
vocals of the held-out ones: 24 items of 10 s, the voice 5 dB under the music (RMS), seed 0. `seen/NNN` are
as many of the others: what a network does no better than there it could not learn, what it does better it
learned by heart.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

HELD_OUT = {
    # singing: a solo singer, a choir tool's voices, single male notes
    "mir-dataset-loaders/mirdata",
    "MTG/sms-tools",
    "vocobox/human-voice-dataset",
    # music: rock and pop productions, orchestral and electronic game music, hip-hop beats, mixed examples
    "thePegasusai/OpenSource-V0.01-Productions-",
    "thelaui/M.A.R.S.",
    "gm3/cc0-beats",
    "librosa/data",
}
BANDS = ("eif_", "opensurge_", "retux_", "sonicpi_", "helena_")
SINGERS = ("eif_", "producerspace_shv_", "producerspace_etv_")
"""How the names of such files begin."""
RATE, SECONDS, ITEMS, VOICE_DB = 44100, 10, 24, -5.0


def crop(rng: np.random.Generator, files: list[Path]) -> npt.NDArray[np.float64]:
    """A crop [samples, 2] of a random file that is not mostly silent."""
    while True:
        audio, rate = soundfile.read(files[rng.integers(len(files))], always_2d=True)
        assert rate == RATE and audio.shape[1] == 2
        start = int(rng.integers(max(len(audio) - RATE * SECONDS, 0) + 1))
        part: npt.NDArray[np.float64] = audio[start : start + RATE * SECONDS]
        if len(part) == RATE * SECONDS and sounds(part):
            return part


def sounds(part: npt.NDArray[np.float64]) -> bool:
    """Whether more than 0.7 of the tenths of a second of a crop [samples, 2] are not silent."""
    loud = np.abs(part).max(axis=1).reshape(-1, RATE // 10).max(axis=1)
    return bool(np.mean(loud > 0.01) > 0.7)


def main(data: Path, work: Path) -> None:
    """Write the split."""
    held = held_out(data)
    for kind in held:
        folder, starts = {"instrumental": ("bands", BANDS), "vocal": ("singers", SINGERS)}[kind]
        for path in sorted(set(manifest(data, kind)) - set(held[kind])):
            for name in (folder, kind) if path.name.startswith(starts) else (kind,):
                link = work / "train" / name / path.name
                link.parent.mkdir(parents=True, exist_ok=True)
                link.unlink(missing_ok=True)
                link.symlink_to(path.resolve())
    write_pairs(work / "validation", held)
    write_pairs(work / "seen", {kind: sorted((work / "train" / kind).iterdir()) for kind in held})


def manifest(data: Path, kind: str) -> dict[Path, str]:
    """The files of a kind, and where each comes from."""
    rows = csv.DictReader((data / "manifest.csv").open())
    return {data / row["file"]: row["source_repo"] for row in rows if row["file"].startswith(f"{kind}/")}


def held_out(data: Path) -> dict[str, list[Path]]:
    """The files by kind that nothing is trained on."""
    kinds = ("instrumental", "vocal")
    return {kind: sorted(path for path, source in manifest(data, kind).items() if source in HELD_OUT) for kind in kinds}


def write_pairs(folder: Path, files: dict[str, list[Path]]) -> None:
    """Random pairs of music and voice, in a folder each."""
    rng = np.random.default_rng(0)
    for item in range(ITEMS):
        music, voice = crop(rng, files["instrumental"]), crop(rng, files["vocal"])
        write_pair(folder / f"{item:03}", music, voice * level(voice, music))


def level(voice: npt.NDArray[np.float64], music: npt.NDArray[np.float64]) -> float:
    """What brings a voice to `VOICE_DB` beside the music (RMS)."""
    return float(10 ** (VOICE_DB / 20) * np.sqrt(np.mean(music**2) / np.mean(voice**2)))


def write_pair(folder: Path, music: npt.NDArray[np.float64], voice: npt.NDArray[np.float64]) -> None:
    """A mixture and its parts, [samples, 2] each, turned down together where one would clip."""
    scale = min(1.0, 0.99 / max(np.abs(music + voice).max(), np.abs(music).max(), np.abs(voice).max()))
    folder.mkdir(parents=True, exist_ok=True)
    for stem, audio in (("mixture", music + voice), ("instrumental", music), ("vocals", voice)):
        soundfile.write(folder / f"{stem}.wav", audio * scale, RATE, subtype="FLOAT")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
