"""Audio files as streams of blocks, float32 [channels, samples] at full scale 1.

What decodes the files is in `ftcore.decoders`, what writes stems in `ftcore.encoders`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ftcore import decoders
from ftcore.decoders import BitDepth
from ftcore.decoders import Block as Block
from ftcore.errors import FtError

SUFFIXES = decoders.SNDFILE | decoders.FFMPEG
"""Suffixes, in lower case, by which folders are searched."""

RATES = range(8_000, 192_001)
"""Sample rates that are accepted, in Hz."""


@dataclass(frozen=True)
class AudioInfo:
    """What is known of a file before it is read."""

    path: Path
    rate: int
    channels: int
    samples: int
    """Per channel, as the header says."""
    bit_depth: BitDepth
    """The depth that holds what the file holds (16 for lossy formats)."""
    first: int = 0
    """The first sample to read, where only a part of the file is wanted."""
    whole: bool = True
    """Whether that is the whole file, which must then hold no more than its header says."""

    @property
    def seconds(self) -> float:
        """Length by the header."""
        return self.samples / self.rate

    def section(self, start: float = 0.0, duration: float | None = None) -> AudioInfo:
        """The part from `start` seconds on, at most `duration` long. Raises FtError where nothing is left."""
        first = round(start * self.rate)
        left = self.samples - first
        samples = left if duration is None else min(left, round(duration * self.rate))
        if first < 0 or samples <= 0:
            raise FtError(f"{self.path}: is {self.seconds:.1f} s long, so nothing is left of that part of it")
        return replace(self, first=first, samples=samples, whole=samples == self.samples)


def probe(path: Path) -> AudioInfo:
    """Look at a file's header. Raises FtError with one readable line."""
    if path.is_dir():
        raise FtError(f"{path}: is a folder, not an audio file")
    if not path.exists():
        raise FtError(f"{path}: no such file")
    with decoders.opened(path) as decoder:
        if decoder.truncated:
            raise FtError(f"{path}: is truncated, the end of the file is missing; get it again or repair it first")
        info = AudioInfo(path, decoder.rate, decoder.channels, decoder.samples, decoder.bit_depth)
    if info.samples <= 0:
        raise FtError(f"{path}: holds no audio samples")
    if info.rate not in RATES:
        raise FtError(f"{path}: {info.rate} Hz is outside {RATES.start} to {RATES.stop - 1} Hz")
    return info


def read_blocks(info: AudioInfo) -> Iterator[Block]:
    """All samples of the file, or of its section, in blocks. Raises FtError if it holds other than promised."""
    done, end = 0, info.first + info.samples
    with decoders.opened(info.path) as decoder:
        try:
            for block in decoder.blocks():
                part = block[:, max(info.first - done, 0) : end - done]
                if not np.isfinite(part).all():
                    raise FtError(f"{info.path}: holds NaN or infinite samples near {done / info.rate:.1f} s")
                done += block.shape[1]
                if part.shape[1]:
                    yield part
                if done >= end and not info.whole:
                    break
        except decoders.DecodingError as error:
            raise FtError(f"{info.path}: damaged after {done / info.rate:.1f} s ({error})") from None
    if done < end or (done > end and info.whole):
        raise FtError(
            f"{info.path}: is truncated or damaged: {done / info.rate:.1f} s could be read of {end / info.rate:.1f} s"
        )


def read(path: Path) -> tuple[AudioInfo, Block]:
    """A whole file, [channels, samples]. Raises FtError like `probe` and `read_blocks`."""
    info = probe(path)
    return info, np.concatenate(list(read_blocks(info)), axis=1)


def find(folder: Path) -> list[Path]:
    """The audio files below a folder, by suffix in any case, sorted. Raises FtError when there are none."""
    if not folder.is_dir():
        raise FtError(f"{folder}: no such folder")
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise FtError(f"{folder}: no audio files in this folder")
    return found
