"""What decodes audio files: libsndfile, and for what it cannot read FFmpeg, its libraries (PyAV) or its program.

A decoder is opened with `opened` and then says what it found and hands out blocks. The libraries are imported
where a file is opened: a prepared library trains on a machine that has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from ftcore.errors import FtError

if TYPE_CHECKING:
    import soundfile

Block = npt.NDArray[np.float32]
BitDepth = Literal["16", "24", "32f"]

SNDFILE = frozenset(
    {".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aiff", ".aif", ".aifc", ".w64", ".rf64", ".caf", ".au"}
)
"""Suffixes of what libsndfile reads, in lower case."""

FFMPEG = frozenset({".m4a", ".m4b", ".aac", ".mp4", ".webm", ".mka", ".wma", ".ac3", ".ape", ".wv"})
"""Suffixes of what needs FFmpeg's libraries."""

INSTALL = "pip install 'frame-transformer[m4a]'"

CONTAINERS = (
    "mov,matroska,webm,aac,asf,ac3,eac3,ape,wv,avi,flv,mpeg,mpegts,ogg,wav,w64,flac,mp3,aiff,caf,au,amr,dts,tta,tak,"
    "mpc,mpc8,mlp,truehd,loas,dsf,voc"
)
"""FFmpeg's formats that hold audio. Its others would follow a playlist to other files, or play a script for hours."""

BLOCK = 1 << 16
"""Samples per block, at most."""

MOST_CHANNELS = 64
"""Beyond any recording there is: what says so is a damaged header, and every channel takes memory."""

LOUDEST = 1e10
"""Full scale being 1, and 2**31 where integers were stored as floats. Far beyond, spectra overflow."""


class Decoder(Protocol):
    """An open audio file."""

    rate: int
    channels: int
    bit_depth: BitDepth
    """The depth that holds what the file holds (16 for lossy formats)."""

    @property
    def samples(self) -> int:
        """Per channel, as the file says."""
        ...

    @property
    def truncated(self) -> bool:
        """Whether the file shows that its end is missing. (Others show it by holding fewer samples than they say.)"""
        ...

    def blocks(self) -> Iterator[Block]:
        """All samples, [channels, up to BLOCK] at a time. Raises DecodingError."""
        ...


class DecodingError(Exception):
    """The data cannot be decoded; the text says why, in the decoder's words."""


@contextmanager
def opened(path: Path) -> Iterator[Decoder]:
    """The decoder of a file. Raises FtError, naming the file, when there is none."""
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except PermissionError:
        raise FtError(f"{path}: no permission to read it") from None
    except OSError as error:
        raise FtError(f"{path}: cannot be opened ({error.strerror})") from None
    if empty:
        raise FtError(f"{path}: is empty (0 bytes)")
    if path.suffix.lower() in FFMPEG:
        with _open_container(path) as decoder:
            yield decoder
        return
    import soundfile

    from ftcore import ffmpeg

    if path.suffix.lower() == ".raw":  # libsndfile would want to be told what is in it
        raise FtError(f"{path}: raw samples say neither rate nor channels; convert it to wav")
    try:
        sound = soundfile.SoundFile(path)
    except soundfile.LibsndfileError as error:
        if path.suffix.lower() in SNDFILE or not (_has_av() or ffmpeg.found()):
            raise FtError(f"{path}: not readable as audio ({reason(error)})") from None
        with _open_container(path) as decoder:  # any other suffix: a video, perhaps
            yield decoder
        return
    with sound:
        _check_channels(path, sound.channels)
        yield SoundDecoder(sound)


class SoundDecoder:
    """Through libsndfile."""

    def __init__(self, file: soundfile.SoundFile) -> None:
        self._file = file
        self.rate, self.channels, self.samples = file.samplerate, file.channels, file.frames
        if file.subtype in ("FLOAT", "DOUBLE"):
            self.bit_depth: BitDepth = "32f"
        else:
            self.bit_depth = "24" if file.subtype in ("PCM_24", "PCM_32") else "16"
        shrunk = re.search(r"^\s*(?:data|SSND) : (\d+) \(should be (\d+)\)", file.extra_info, re.MULTILINE)
        self.truncated = bool(shrunk) or (file.format == "OGG" and not _ogg_is_complete(Path(file.name)))

    def blocks(self) -> Iterator[Block]:
        """All samples."""
        import soundfile

        while True:
            try:
                block = self._file.read(BLOCK, dtype="float32", always_2d=True).T
            except soundfile.LibsndfileError as error:
                raise DecodingError(reason(error)) from None
            if block.shape[1] == 0:
                return
            yield _plausible(np.ascontiguousarray(block))


class ContainerDecoder:
    """Through PyAV: the first audio stream of a container."""

    def __init__(self, container: Any, stream: Any) -> None:
        self._container, self._stream = container, stream
        self.rate, self.channels = stream.rate, stream.channels
        codec, held = stream.codec_context.name, stream.codec_context.format.name
        depths: dict[str, BitDepth] = {"s32": "24", "flt": "32f", "dbl": "32f"}
        lossless = codec in ("alac", "flac", "ape", "wavpack", "tta") or codec.startswith("pcm_")
        self.bit_depth: BitDepth = depths.get(held[:3], "16") if lossless else "16"
        # of these containers, only MP4's header counts samples, and leaves out what fills the codec's last frame
        self._known: int | None = None
        if "mp4" in container.format.name and stream.duration is not None:
            self._known = round(stream.duration * stream.time_base * stream.rate)

    @cached_property
    def samples(self) -> int:
        """Per channel; decodes everything once where the header does not say."""
        if self._known is not None:
            return self._known
        counted = 0
        with suppress(DecodingError):  # reading will meet it again, and say where
            for block in self.blocks():
                counted += block.shape[1]
        return counted

    @property
    def truncated(self) -> bool:
        """Whether less can be decoded than the header says."""
        promised = self._container.duration
        if self._known is not None or not promised or self._container.format.name == "aac":  # that only guesses it
            return False
        return bool(self.samples / self.rate < promised / 1e6 - 0.5)

    def blocks(self) -> Iterator[Block]:
        """All samples."""
        import av

        left = self._known
        packed = av.AudioResampler(format="flt")  # PyAV 18 reads beyond its memory at the ninth plane
        try:
            self._container.seek(0)
            for frame in self._container.decode(self._stream):
                if (frame.sample_rate, frame.layout.nb_channels) != (self.rate, self.channels):
                    raise DecodingError("its rate or channels are not those of the header")
                for part in packed.resample(frame):
                    samples = part.to_ndarray().reshape(-1, self.channels).T
                    block = np.ascontiguousarray(samples[:, :left], np.float32)
                    if left is not None:
                        left -= block.shape[1]
                    if block.shape[1]:
                        yield _plausible(block)
        except av.FFmpegError as error:
            raise DecodingError(str(error.strerror)) from None
        except (ValueError, IndexError):  # PyAV's words for another sample format midway, and for another stream
            raise DecodingError("its streams or their sample format change") from None


@contextmanager
def _open_container(path: Path) -> Iterator[Decoder]:
    from ftcore import ffmpeg

    if not _has_av():
        if not ffmpeg.found():
            raise FtError(
                f"{path}: reading {path.suffix} needs PyAV or ffmpeg: {INSTALL}; or convert it to flac or wav"
            )
        try:
            program = ffmpeg.ProgramDecoder(path)
        except DecodingError as error:
            raise FtError(f"{path}: not readable as audio ({error})") from None
        _check_channels(path, program.channels)
        yield program
        return
    import av

    try:
        with av.open(str(path), metadata_errors="ignore", options={"format_whitelist": CONTAINERS}) as container:
            if not container.streams.audio:
                raise FtError(f"{path}: has no audio in it")
            stream = container.streams.audio[0]
            codec = stream.codec_context
            if codec is None or codec.format is None or not stream.rate or not stream.channels:
                raise FtError(f"{path}: not readable as audio (nothing decodes its codec)")
            _check_channels(path, stream.channels)
            yield ContainerDecoder(container, stream)
    except av.FFmpegError as error:
        raise FtError(f"{path}: not readable as audio ({error.strerror})") from None


def _check_channels(path: Path, channels: int) -> None:
    if channels > MOST_CHANNELS:
        raise FtError(f"{path}: says that it has {channels} channels; {MOST_CHANNELS} are accepted")


def _plausible(block: Block) -> Block:
    """The block, unless it holds finite samples beyond LOUDEST. (Whether others are welcome is the caller's matter.)"""
    if LOUDEST < np.abs(block).max() < np.inf:
        raise DecodingError("samples far beyond full scale")
    return block


def _has_av() -> bool:
    return find_spec("av") is not None


def reason(error: soundfile.LibsndfileError) -> str:
    """libsndfile's words for what went wrong."""
    return str(error.error_string).strip().rstrip(".")


def _ogg_is_complete(path: Path) -> bool:
    """Whether the last page of an Ogg file carries the end-of-stream flag and lies fully in the file.

    libsndfile reads a file cut short without a word (RFC 3533, section 6: page layout).
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(size - (1 << 17), 0))
        tail = file.read()
    page = tail.rfind(b"OggS")
    header = tail[page : page + 27]
    if page < 0 or len(header) < 27 or not header[5] & 4:
        return False
    segments = tail[page + 27 : page + 27 + header[26]]
    return len(segments) == header[26] and len(tail) - page >= 27 + header[26] + sum(segments)
