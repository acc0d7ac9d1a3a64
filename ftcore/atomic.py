"""Files appear complete or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ftcore.errors import FtError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in `path`'s folder; rename it to `path` on success, else delete it.

    The temporary name keeps the suffix, starts with a dot and is unique to this process, so a reader
    never meets a half-written `path` and a failed writer leaves nothing. Raises FtError where the
    folder cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=".ft-", suffix=f".part{path.suffix}", dir=path.parent)
    except OSError as error:
        raise FtError(f"{path.parent}: cannot write here ({error.strerror})") from None
    os.close(handle)
    part = Path(name)
    try:
        part.chmod(0o666 & ~_umask())  # mkstemp makes private files
        yield part
        part.replace(path)
    except OSError as error:
        raise FtError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        part.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file, atomically. Raises FtError."""
    with replacing(path) as part:
        part.write_bytes(data)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents. Raises FtError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FtError(f"{folder}: cannot make this folder ({error.strerror})") from None
    if not os.access(folder, os.W_OK):
        raise FtError(f"{folder}: this folder cannot be written")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
