"""What writes stems: first as they come, then, once their peak is known, in the format that was asked for."""

from __future__ import annotations

import contextlib
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from ftcore import decoders
from ftcore.atomic import part_prefix, replacing
from ftcore.decoders import BLOCK, BitDepth, Block
from ftcore.errors import FtError
from ftcore.resampling import resample

Format = Literal["wav", "flac", "ogg", "opus", "mp3"]

BITS = {"16": 16, "24": 24}


@dataclass(frozen=True, kw_only=True)
class Container:
    """What a format can hold, and how libsndfile calls it."""

    name: str
    subtypes: dict[str, str]
    """By bit depth; lossy formats have one, under ""."""
    rates: tuple[int, ...] = ()
    """The only sample rates that it knows, ascending; empty = any."""
    channels: int = 8
    settings: dict[str, Any]
    """How well lossy formats encode: on music about 240 kbit/s (mp3), 200 (ogg and opus)."""

    @property
    def depths(self) -> tuple[str, ...]:
        """Bit depths to choose from; none for lossy formats."""
        return tuple(depth for depth in self.subtypes if depth)

    def rate(self, wanted: int) -> int:
        """The sample rate to write at: as wanted, else the next higher one, else the highest."""
        if not self.rates or wanted in self.rates:
            return wanted
        return next((rate for rate in self.rates if rate > wanted), self.rates[-1])


SYSTEM = 2
"""libsndfile's code for whatever the operating system refused."""

PCM = {"16": "PCM_16", "24": "PCM_24"}
FORMATS: dict[Format, Container] = {
    "wav": Container(name="WAV", subtypes={**PCM, "32f": "FLOAT"}, channels=1024, settings={}),
    "flac": Container(name="FLAC", subtypes=PCM, settings={}),
    "ogg": Container(name="OGG", subtypes={"": "VORBIS"}, channels=255, settings={"compression_level": 0.2}),
    "opus": Container(
        name="OGG",
        subtypes={"": "OPUS"},
        rates=(8000, 12000, 16000, 24000, 48000),
        settings={"compression_level": 0.6},
    ),
    "mp3": Container(
        name="MP3",
        subtypes={"": "MPEG_LAYER_III"},
        rates=(8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
        channels=2,
        settings={"compression_level": 0.0, "bitrate_mode": "VARIABLE"},
    ),
}


class Spool:
    """A stem on its way to disk: float32 samples under a temporary name in `folder`.

    Its header (AU, of "unknown" length) holds while the file grows, so that a stem can be listened to before
    it is finished. It is encoded once the peak of all stems is known, and deleted when done or on any error.
    """

    def __init__(self, folder: Path, name: str, *, rate: int, channels: int) -> None:
        self.folder, self.rate, self.channels = folder, rate, channels
        self.peak = 0.0
        try:
            self._file = tempfile.NamedTemporaryFile(  # noqa: SIM115 (closed by __exit__)
                dir=folder, prefix=f"{part_prefix()}{name}-", suffix=".part.au"
            )
        except OSError as error:
            raise FtError(f"{folder}: cannot be written ({error.strerror})") from None
        header = struct.pack(">4s5I", b".snd", 24, 0xFFFFFFFF, 6, rate, channels)  # 6: 32-bit float
        self._file.write(header)  # kept in a buffer until samples follow

    def write(self, block: Block) -> None:
        """Append [channels, samples]. Raises FtError when the disk is full."""
        self.peak = max(self.peak, float(np.abs(block).max(initial=0.0)))
        try:
            self._file.write(block.T.astype(">f4").tobytes())
        except OSError as error:
            raise FtError(f"{self.folder}: cannot be written ({error.strerror})") from None

    def blocks(self) -> Iterator[Block]:
        """Everything written so far, [channels, samples] at a time."""
        self._file.seek(24)
        while data := self._file.read(BLOCK * self.channels * 4):
            yield np.frombuffer(data, ">f4").reshape(-1, self.channels).T.astype(np.float32)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(OSError):  # what a full disk has no room for is not wanted any more
            self._file.close()


def encode(spool: Spool, path: Path, *, samples: int, file_format: Format, bit_depth: BitDepth, gain: float) -> None:
    """Write a spooled stem of `samples`, times `gain`, as an audio file at its format's rate. Raises FtError."""
    import soundfile

    container = FORMATS[file_format]
    rate = container.rate(spool.rate)
    bits = BITS.get(bit_depth) if container.depths else None
    name = container.name
    if name == "WAV" and samples * spool.channels * 4 > 4_000_000_000:
        name = "RF64"  # a plain WAV header counts to 4 GiB
    written = 0
    try:
        subtype = container.subtypes[bit_depth if container.depths else ""]
        with soundfile.SoundFile(path, "w", rate, spool.channels, subtype, format=name, **container.settings) as file:
            for block in resample((block * np.float32(gain) for block in spool.blocks()), spool.rate, rate):
                file.write(_quantise(block, bits).T)
                written += block.shape[1]
        complete = soundfile.info(path).frames == written
    except soundfile.LibsndfileError as error:
        if error.code == SYSTEM:
            raise FtError(f"{path.parent}: cannot be written (No space left on device?)") from None
        raise FtError(
            f"cannot write {file_format}, {rate} Hz, {spool.channels} channels ({decoders.reason(error)})"
        ) from None
    except AssertionError:  # how soundfile says that less was written than given
        complete = False
    if not complete:
        raise FtError(f"{path.parent}: cannot be written (No space left on device?)")


def check_format(file_format: Format, channels: int) -> None:
    """Raise FtError where a format cannot hold so many channels."""
    most = FORMATS[file_format].channels
    if channels > most:
        raise FtError(f"{file_format} holds at most {most} channels, not {channels}; use --format wav")


def full_scale(file_format: Format, bit_depth: BitDepth) -> float:
    """The largest sample value that the output format can hold."""
    if FORMATS[file_format].depths and bit_depth == "32f":
        return float("inf")
    return 1.0 - 2.0 ** (1 - BITS.get(bit_depth, 16))


def write_preview(path: Path, wave: Block, rate: int) -> None:
    """A [channels, samples] wave as 16-bit FLAC; what exceeds full scale is clipped. Raises FtError."""
    import soundfile

    with replacing(path) as part:
        try:
            soundfile.write(part, wave.T, rate)
        except (soundfile.LibsndfileError, AssertionError):
            raise FtError(f"{path}: cannot be written (No space left on device?)") from None


def _quantise(block: Block, bits: int | None) -> npt.NDArray[np.float32 | np.int32]:
    """Integers left-aligned in 32 bits, on the same grid as libsndfile reads them; floats stay."""
    if bits is None:
        return block
    scale = 2 ** (bits - 1)
    whole = np.clip(np.rint(block.astype(np.float64) * scale), -scale, scale - 1)
    shifted: npt.NDArray[np.int32] = whole.astype(np.int32) << (32 - bits)
    return shifted
