"""A folder of audio as an indexed cache from which a random crop costs O(crop)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

from ftcore import audio
from ftcore.atomic import replacing, write_bytes
from ftcore.errors import FtError

Wave = npt.NDArray[np.float32]
"""Audio [2, samples] at full scale 1."""


@dataclass(frozen=True)
class Track:
    """One decoded file: stereo int16 [samples, 2] on disk."""

    path: Path
    samples: int

    def read(self, start: int, count: int) -> Wave:
        """Samples [start, start + count) as [2, count], zeros beyond the end."""
        data = np.load(self.path, mmap_mode="r")[start : start + count]
        wave = np.zeros((2, count), np.float32)
        wave[:, : len(data)] = data.T
        return wave / np.float32(32768)


class Library:
    """Tracks from which crops are drawn, each second of audio being equally likely."""

    def __init__(self, tracks: list[Track]) -> None:
        if not tracks:
            raise FtError("an empty library: no audio was found")
        self.tracks = tracks
        self.ends = np.cumsum([track.samples for track in tracks])

    def crop(self, rng: np.random.Generator, count: int, least_rms: float = 0.0) -> Wave:
        """A random crop [2, count]; shorter tracks are padded with silence.

        Crops quieter than `least_rms` are drawn anew, a few times: pauses are no material to be
        brought to a level.
        """
        for _ in range(8):
            at = int(rng.integers(self.ends[-1]))
            track = self.tracks[int(np.searchsorted(self.ends, at, side="right"))]
            start = int(rng.integers(max(track.samples - count, 0) + 1))
            wave = track.read(start, count)
            if np.mean(np.square(wave)) >= least_rms**2:
                break
        return wave


def prepare(folders: list[Path], cache: Path, sample_rate: int) -> Library:
    """Decode every audio file below `folders` into `cache`, once, and open it.

    The cache is keyed by file content and rate: what is there already is not decoded again.
    Raises FtError for a missing or empty folder and for a file that cannot be decoded.
    """
    cache.mkdir(parents=True, exist_ok=True)
    return Library([_prepare_file(path, cache, sample_rate) for folder in folders for path in audio.find(folder)])


def _prepare_file(path: Path, cache: Path, sample_rate: int) -> Track:
    key = hashlib.sha256(path.read_bytes()).hexdigest()[:16] + f"-{sample_rate}"
    data_path, info_path = cache / f"{key}.npy", cache / f"{key}.json"
    if info_path.exists():
        return Track(data_path, json.loads(info_path.read_text())["samples"])
    info, wave = audio.read(path)
    if info.rate != sample_rate:
        wave = soxr.resample(wave.T, info.rate, sample_rate).T
    stereo = (wave[[0, 0]] if info.channels == 1 else wave[:2]).T
    with replacing(data_path) as part, part.open("wb") as file:
        np.save(file, np.clip(np.rint(stereo * 32767), -32768, 32767).astype(np.int16))
    write_bytes(info_path, json.dumps({"samples": len(stereo), "source": path.name}).encode())
    return Track(data_path, len(stereo))
