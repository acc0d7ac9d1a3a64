"""Audio files as streams: read in blocks, write complete or not at all.

A block is float32 [channels, samples] at full scale 1. What decodes the files is in `ftcore.decoders`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from ftcore import decoders
from ftcore.atomic import replacing
from ftcore.decoders import BLOCK as BLOCK
from ftcore.decoders import BitDepth as BitDepth
from ftcore.decoders import Block as Block
from ftcore.errors import FtError

Format = Literal["wav", "flac", "ogg"]

SUFFIXES = decoders.SNDFILE | decoders.FFMPEG
"""Suffixes, in lower case, by which folders are searched."""

RATES = range(8_000, 192_001)
"""Sample rates that are accepted, in Hz."""

INTEGER_BITS = {"16": 16, "24": 24}


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

    @property
    def seconds(self) -> float:
        """Length by the header."""
        return self.samples / self.rate


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
    """All samples of the file, in blocks. Raises FtError if it holds other than its header promised."""
    done = 0
    with decoders.opened(info.path) as decoder:
        try:
            for block in decoder.blocks():
                if not np.isfinite(block).all():
                    raise FtError(f"{info.path}: holds NaN or infinite samples near {done / info.rate:.1f} s")
                done += block.shape[1]
                yield block
        except decoders.DecodingError as error:
            raise FtError(f"{info.path}: damaged after {done / info.rate:.1f} s ({error})") from None
    if done != info.samples:
        raise FtError(
            f"{info.path}: is truncated or damaged: {done / info.rate:.1f} s could be read of {info.seconds:.1f} s"
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


class Spool:
    """A stem on its way to disk: float32 samples in a nameless temporary file in `folder`.

    They are encoded once the peak of all stems is known. The file vanishes with the process.
    """

    def __init__(self, folder: Path, channels: int) -> None:
        self.folder = folder
        self.channels = channels
        self.peak = 0.0
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by __exit__)

    def write(self, block: Block) -> None:
        """Append [channels, samples]. Raises FtError when the disk is full."""
        self.peak = max(self.peak, float(np.abs(block).max(initial=0.0)))
        try:
            self._file.write(np.ascontiguousarray(block.T).tobytes())
        except OSError as error:
            raise FtError(f"{self.folder}: cannot be written ({error.strerror})") from None

    def blocks(self) -> Iterator[Block]:
        """Everything written so far, [channels, samples] at a time."""
        self._file.seek(0)
        while data := self._file.read(BLOCK * self.channels * 4):
            yield np.frombuffer(data, np.float32).reshape(-1, self.channels).T

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()


def encode(
    spool: Spool, path: Path, *, rate: int, samples: int, file_format: Format, bit_depth: BitDepth, gain: float
) -> None:
    """Write a spooled stem, times `gain`, as an audio file. Raises FtError."""
    import soundfile

    subtype = "VORBIS" if file_format == "ogg" else {"16": "PCM_16", "24": "PCM_24", "32f": "FLOAT"}[bit_depth]
    container = file_format.upper()
    if container == "WAV" and samples * spool.channels * 4 > 4_000_000_000:
        container = "RF64"  # a plain WAV header counts to 4 GiB
    bits = INTEGER_BITS.get(bit_depth) if file_format != "ogg" else None
    try:
        with soundfile.SoundFile(path, "w", rate, spool.channels, subtype, format=container) as file:
            for block in spool.blocks():
                file.write(_quantise(block * np.float32(gain), bits).T)
        complete = soundfile.info(path).frames == samples
    except soundfile.LibsndfileError as error:
        raise FtError(
            f"cannot write {file_format}, {rate} Hz, {spool.channels} channels ({decoders.reason(error)})"
        ) from None
    except AssertionError:  # how soundfile says that less was written than given
        complete = False
    if not complete:
        raise FtError(f"{path.parent}: cannot be written (No space left on device?)")


def write_preview(path: Path, wave: Block, rate: int) -> None:
    """A [channels, samples] wave as 16-bit FLAC; what exceeds full scale is clipped. Raises FtError."""
    import soundfile

    with replacing(path) as part:
        try:
            soundfile.write(part, wave.T, rate)
        except (soundfile.LibsndfileError, AssertionError):
            raise FtError(f"{path}: cannot be written (No space left on device?)") from None


def full_scale(file_format: Format, bit_depth: BitDepth) -> float:
    """The largest sample value that the output format can hold."""
    if file_format != "ogg" and bit_depth == "32f":
        return float("inf")
    return 1.0 - 2.0 ** (1 - INTEGER_BITS.get(bit_depth, 16))


def _quantise(block: Block, bits: int | None) -> npt.NDArray[np.float32 | np.int32]:
    """Integers left-aligned in 32 bits, on the same grid as libsndfile reads them; floats stay."""
    if bits is None:
        return block
    scale = 2 ** (bits - 1)
    whole = np.clip(np.rint(block.astype(np.float64) * scale), -scale, scale - 1)
    shifted: npt.NDArray[np.int32] = whole.astype(np.int32) << (32 - bits)
    return shifted
