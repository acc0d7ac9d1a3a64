"""Libraries as training reads them: decoded tracks and an index, from which a random crop costs O(crop).

    CACHE/index.jsonl       a header line, then a line per source file (`Entry`)
    CACHE/KEY.npy           stereo int16 [samples, 2]; KEY = content hash and sample rate

No decoder is needed here: `ftcore.data.prepare` makes such a folder, on any machine.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ftcore.errors import FtError

Wave = npt.NDArray[np.float32]
"""Audio [2, samples] at full scale 1."""

INDEX = "index.jsonl"
FORMAT = 1
"""Version of the index; a reader refuses versions it does not know."""


@dataclass(frozen=True)
class Track:
    """One decoded file: stereo int16 [samples, 2] on disk."""

    path: Path
    samples: int

    def read(self, start: int, count: int) -> Wave:
        """Samples [start, start + count) as [2, count], zeros beyond the end. Raises FtError."""
        try:
            data = np.load(self.path, mmap_mode="r")[start : start + count]
        except (OSError, ValueError, EOFError):
            raise FtError(f"{self.path}: damaged or gone; prepare the library again") from None
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


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What the index knows of a source file."""

    source: str
    """Its absolute path when it was prepared."""
    size: int
    """Bytes."""
    mtime_ns: int
    """With `size`, tells whether the file has changed since."""
    key: str
    """Name of the decoded data, without suffix."""
    samples: int
    """Per channel, in the decoded data."""


def is_prepared(folder: Path) -> bool:
    """Whether a folder holds a prepared library (else it is a plain folder of audio)."""
    return (folder / INDEX).is_file()


def open_library(cache: Path, sample_rate: int) -> Library:
    """The library that was prepared into `cache`. Raises FtError, also when it is at another rate."""
    if not is_prepared(cache):
        raise FtError(f"{cache}: no prepared library ({INDEX}) in this folder")
    tracks = {entry.key: track_of(cache, entry) for entry in read_index(cache, sample_rate)}
    missing = sum(not track.path.is_file() for track in tracks.values())
    if missing:
        raise FtError(f"{cache}: {missing} of {len(tracks)} decoded tracks are missing; prepare it again")
    return Library(list(tracks.values()))


def track_of(cache: Path, entry: Entry) -> Track:
    """Where the data of an index entry lies."""
    return Track(cache / f"{entry.key}.npy", entry.samples)


def read_index(cache: Path, sample_rate: int) -> list[Entry]:
    """Entries of `cache`'s index, none if there is no index; a last line cut short does not count. Raises FtError."""
    try:
        lines = (cache / INDEX).read_text().splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError):
        raise FtError(f"{cache / INDEX}: cannot be read") from None
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            if number < len(lines):
                raise FtError(f"{cache / INDEX}: line {number} is damaged; prepare the library again") from None
    if not rows or rows[0].get("format") != FORMAT:
        raise FtError(f"{cache / INDEX}: not an index that this version of ft reads; prepare the library again")
    if rows[0]["sample_rate"] != sample_rate:
        raise FtError(f"{cache}: prepared at {rows[0]['sample_rate']} Hz, needed are {sample_rate} Hz")
    try:
        return [Entry(**row) for row in rows[1:]]
    except TypeError as error:
        raise FtError(f"{cache / INDEX}: damaged ({error}); prepare the library again") from None


def index_text(entries: Iterable[Entry], sample_rate: int) -> str:
    """The whole index."""
    header = json.dumps({"format": FORMAT, "sample_rate": sample_rate})
    return "".join(f"{line}\n" for line in (header, *map(index_line, entries)))


def index_line(entry: Entry) -> str:
    """One entry, without the line's end."""
    return json.dumps(dataclasses.asdict(entry))
