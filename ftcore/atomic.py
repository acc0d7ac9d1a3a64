"""Files appear complete or not at all."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ftcore.errors import FtError


@contextmanager
def replacing(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Yield a temporary path in `path`'s folder; rename it to `path` on success, else delete it.

    The temporary name keeps the suffix, starts with a dot and is unique to this process, so a reader
    never meets a half-written `path` and a failed writer leaves nothing. Without `overwrite` a file that
    somebody else made meanwhile is kept. Raises FtError for that, and where the folder cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=part_prefix(), suffix=f".part{path.suffix}", dir=path.parent)
    except OSError as error:
        raise FtError(f"{path.parent}: cannot write here ({error.strerror})") from None
    os.close(handle)
    part = Path(name)
    try:
        part.chmod(0o666 & ~_umask())  # mkstemp makes private files
        yield part
        if overwrite:
            part.replace(path)
        else:
            _place(part, path)
    except FileExistsError:
        raise FtError(f"{path}: exists already") from None
    except OSError as error:
        raise FtError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        part.unlink(missing_ok=True)


def part_prefix() -> str:
    """How this process's temporary names begin: `.ft-`, the machine, the process."""
    return f".ft-{_machine()}-{os.getpid()}-"


def sweep(folder: Path) -> None:
    """Delete what processes of this machine that were killed left in a folder."""
    with contextlib.suppress(OSError):
        for part in folder.glob(f".ft-{_machine()}-*.part*"):
            owner = re.match(r"\.ft-[0-9a-f]+-(\d+)-", part.name)
            if owner and not _is_running(int(owner[1])):
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


def _place(part: Path, path: Path) -> None:
    """Give a file its name unless that is taken. Raises FileExistsError."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if path.exists():
            raise FileExistsError from None
        part.replace(path)


def _machine() -> str:
    """Tells machines that share a folder apart."""
    return f"{zlib.crc32(platform.node().encode()):08x}"


def _is_running(pid: int) -> bool:
    if sys.platform == "win32":  # where a file in use cannot be deleted anyway
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
