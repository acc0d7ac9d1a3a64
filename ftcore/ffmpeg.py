"""Decoding through the `ffmpeg` program, where it is installed and its libraries (PyAV) are not."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import IO

import numpy as np

from ftcore.decoders import BLOCK, CONTAINERS, BitDepth, Block, DecodingError


def found() -> bool:
    """Whether there is such a program."""
    return shutil.which("ffmpeg") is not None


class ProgramDecoder:
    """The first audio stream of a file, which ffmpeg writes into a pipe as WAV of floats."""

    bit_depth: BitDepth = "16"  # most of what needs ffmpeg is lossy; its WAV does not say
    truncated = False  # then it fails while it decodes

    def __init__(self, path: Path) -> None:
        """Raises DecodingError where ffmpeg cannot open the file."""
        self._path = path
        with self._decoding() as (rate, channels, _):
            self.rate, self.channels = rate, channels

    @cached_property
    def samples(self) -> int:
        """Per channel; decodes everything once."""
        counted = 0
        with suppress(DecodingError):  # reading will meet it again, and say where
            for block in self.blocks():
                counted += block.shape[1]
        return counted

    def blocks(self) -> Iterator[Block]:
        """All samples."""
        size = BLOCK * self.channels * 4
        with self._decoding() as (_, _, pipe):
            while data := pipe.read(size):
                whole = len(data) - len(data) % (4 * self.channels)
                yield np.frombuffer(data[:whole], "<f4").reshape(-1, self.channels).T.astype(np.float32)

    @contextmanager
    def _decoding(self) -> Iterator[tuple[int, int, IO[bytes]]]:
        """(rate, channels, what the samples can be read from) of a run of ffmpeg."""
        inputs = ["-format_whitelist", CONTAINERS, "-i", f"file:{self._path}"]
        command = ["ffmpeg", "-nostdin", "-v", "error", "-xerror", *inputs, "-map", "0:a:0"]
        command += ["-c:a", "pcm_f32le", "-f", "wav", "-"]
        with tempfile.TemporaryFile() as said:
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said) as process:
                assert process.stdout is not None
                header = _header(process.stdout)
                if header is not None:
                    yield (*header, process.stdout)
                at_end = process.stdout.read(1) == b""  # else whoever reads has enough; ffmpeg ends with its pipe
            if header is None or (at_end and process.returncode):
                said.seek(0)
                words = said.read().decode(errors="replace").strip().splitlines() or ["ffmpeg does not say why"]
                raise DecodingError(re.sub(r"^(\[[^\]]*\] *)+", "", words[0]))


def _header(pipe: IO[bytes]) -> tuple[int, int] | None:
    """(rate, channels) of a WAV stream, read up to its samples; None where there is none."""
    if len(pipe.read(12)) < 12:
        return None
    rate = channels = 0
    while len(chunk := pipe.read(8)) == 8:
        name, size = struct.unpack("<4sI", chunk)
        if name == b"data":
            return rate, channels
        content = pipe.read(size + size % 2)
        if name == b"fmt ":
            channels, rate = struct.unpack_from("<HI", content, 2)
    return None
