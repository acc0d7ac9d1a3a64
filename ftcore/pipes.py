"""Songs from standard input and stems to standard output, as WAV."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ftcore.errors import FtError, UsageError

UNKNOWN = 0x7FFFF000
"""From here on, a chunk's size in a WAV stream says that its writer did not know it."""


@contextmanager
def from_stdin() -> Iterator[Path]:
    """Standard input as a file: separating reads a song more than once. Raises FtError when there is nothing."""
    if sys.stdin.isatty():
        raise UsageError("- reads a song from a pipe: cat song.wav | ft separate - --stem vocals > vocals.wav")
    with tempfile.TemporaryDirectory(prefix="ft-") as folder:
        path = Path(folder) / "stdin.wav"
        try:
            with path.open("w+b") as file:
                shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
                _mend(file)
        except OSError as error:
            raise FtError(f"standard input: cannot be kept in {folder} ({error.strerror})") from None
        yield path


def to_stdout(path: Path) -> None:
    """Copy a finished file to standard output."""
    with path.open("rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer, 1 << 20)
    sys.stdout.buffer.flush()


def _mend(file: BinaryIO) -> None:
    """Write into a WAV header what its writer, into a pipe, could not know: how much data followed."""
    size = file.tell()
    file.seek(0)
    if file.read(4) != b"RIFF":
        return
    at = 12
    while at + 8 <= size:
        file.seek(at)
        name, length = file.read(4), int.from_bytes(file.read(4), "little")
        if name == b"data":
            if length == 0 or length >= UNKNOWN:
                file.seek(at + 4)
                file.write(min(size - at - 8, 0xFFFFFFFF).to_bytes(4, "little"))
            return
        at += 8 + length + length % 2
