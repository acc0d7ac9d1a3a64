"""From plain folders of audio to a library: what is wrong with which file, and the decoded cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

from ftcore import audio
from ftcore.atomic import replacing, write_bytes
from ftcore.audio import Block
from ftcore.data.library import INDEX, Entry, Library, Wave, index_line, index_text, read_index, track_of
from ftcore.errors import FtError

SILENT = 10 ** (-60 / 20)
"""Peak below which a file is called silent."""

CLIPPED = 1e-4
"""Share of samples in flat tops (three or more in a row at the file's peak) from which a file is called clipped."""

Report = Callable[[str], None]


def check(folders: Iterable[Path], least_seconds: float) -> Iterator[tuple[Path, float, list[str]]]:
    """(file, seconds, what is wrong with it) for every audio file below `folders`. Raises FtError for bad folders."""
    first_of: dict[str, Path] = {}
    for path in _files(folders):
        try:
            key = content_hash(path)
            info, wave = audio.read(path)
        except FtError as error:
            yield path, 0.0, [str(error).removeprefix(f"{path}: ")]
            continue
        defects = defects_of(wave, info.seconds, least_seconds)
        if key in first_of:
            defects.append(f"is a copy of {first_of[key]}")
        first_of.setdefault(key, path)
        yield path, info.seconds, defects


def defects_of(wave: Block, seconds: float, least_seconds: float) -> list[str]:
    """What is wrong with audio [channels, samples] that could be read."""
    defects = []
    peak = float(np.abs(wave).max(initial=0.0))
    if seconds < least_seconds:
        defects.append(f"is short: {seconds:.2f} s, a crop takes {least_seconds:.2f} s")
    if peak < SILENT:
        defects.append(f"is silent (peak {20 * np.log10(max(peak, 1e-9)):.0f} dB)")
    elif peak >= 0.9 and (share := _flat_tops(wave, peak)) > CLIPPED:
        defects.append(f"is clipped ({share:.2%} of its samples)")
    return defects


def prepare(
    folders: Iterable[Path],
    cache: Path,
    sample_rate: int,
    *,
    problem: Report = lambda line: None,
    progress: Callable[[int, int, Path], None] = lambda done, count, path: None,
) -> Library:
    """Decode every audio file below `folders` into `cache`, once, and open it as a library.

    Stopped at any moment it goes on where it was; files that have not changed are not even read again.
    A file that cannot be decoded and the second copy of a file are named to `problem` and left out.
    Raises FtError for a bad folder, for a cache at another rate or that cannot be written, and when
    nothing is left.
    """
    files = list(_files(folders))
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FtError(f"{cache}: cannot make this folder ({error.strerror})") from None
    known = {entry.source: entry for entry in read_index(cache, sample_rate)}
    write_bytes(cache / INDEX, index_text(known.values(), sample_rate).encode())
    entries: dict[str, Entry] = {}
    for number, path in enumerate(files):
        progress(number, len(files), path)
        try:
            entry = _prepare_file(path, cache, sample_rate, known)
        except FtError as error:
            problem(str(error))
            continue
        if entry.key in entries:
            problem(f"{path}: is a copy of {entries[entry.key].source}; it counts once")
            continue
        entries[entry.key] = entry
    if not entries:
        raise FtError(f"{', '.join(map(str, folders))}: none of {len(files)} files can be used")
    write_bytes(cache / INDEX, index_text(entries.values(), sample_rate).encode())
    return Library([track_of(cache, entry) for entry in entries.values()])


def content_hash(path: Path) -> str:
    """SHA-256 of a file, in hex. Raises FtError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FtError(f"{path}: cannot be read ({error.strerror})") from None


def _prepare_file(path: Path, cache: Path, sample_rate: int, known: dict[str, Entry]) -> Entry:
    """Decode one file unless its data is there; note it in the index at once."""
    source, stat = str(path.resolve()), path.stat()
    entry = known.get(source)
    if (
        entry
        and (entry.size, entry.mtime_ns) == (stat.st_size, stat.st_mtime_ns)
        and track_of(cache, entry).path.exists()
    ):
        return entry
    key = f"{content_hash(path)[:16]}-{sample_rate}"
    data = cache / f"{key}.npy"
    if data.exists():
        samples = len(np.load(data, mmap_mode="r"))
    else:
        decoded = _decode(path, sample_rate)
        samples = len(decoded)
        with replacing(data) as part, part.open("wb") as file:
            np.save(file, decoded)
    entry = Entry(source=source, size=stat.st_size, mtime_ns=stat.st_mtime_ns, key=key, samples=samples)
    try:
        with (cache / INDEX).open("a") as index:
            index.write(index_line(entry) + "\n")
    except OSError as error:
        raise FtError(f"{cache / INDEX}: cannot be written ({error.strerror})") from None
    return entry


def _decode(path: Path, sample_rate: int) -> npt.NDArray[np.int16]:
    """A file as stereo int16 [samples, 2]; mono is doubled, of more channels the first two stay."""
    info, wave = audio.read(path)
    if info.rate != sample_rate:
        wave = soxr.resample(wave.T, info.rate, sample_rate).T
    stereo: Wave = (wave[[0, 0]] if info.channels == 1 else wave[:2]).T
    decoded: npt.NDArray[np.int16] = np.clip(np.rint(stereo * np.float32(32768)), -32768, 32767).astype(np.int16)
    return decoded


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    """Audio files below the folders, each once; raises FtError for a folder without any."""
    seen: set[Path] = set()
    for folder in folders:
        for path in audio.find(folder):
            if path.resolve() not in seen:
                seen.add(path.resolve())
                yield path


def _flat_tops(wave: Block, peak: float) -> float:
    """Share of samples that lie in runs of three or more at (99.9 % of) the peak."""
    top = np.abs(wave) >= 0.999 * peak
    run = top[:, :-2] & top[:, 1:-1] & top[:, 2:]
    return float(run.sum() / max(wave.size, 1))
