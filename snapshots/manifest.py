"""What is known of a model without opening it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ftcore.errors import FtError, Mendable


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One exported model that can be named on the command line."""

    name: str
    path: Path
    """The exported file."""
    sha256: str
    """Hash of the file, in lower-case hex."""
    summary: str
    """One line: what it is good for."""
    licence: str
    """SPDX identifier of the weights' licence, or what is known of it."""
    card: Path | None = None
    """The model card: data, command, seed, scores, cost, limits."""
    package: str | None = None
    """The distribution that it is installed with, which the registry fills in; None = the user's own."""

    @property
    def fix(self) -> str:
        """The command that mends it when its file is not what it should be."""
        if self.package is None:
            return f"{removal(self.name)}, then add or import it again"
        return f"pip install --force-reinstall --no-deps {self.package}"

    def __post_init__(self) -> None:
        for path in (self.path, self.card or self.path):
            if not isinstance(path, Path):
                raise FtError(f"model {self.name}: {path!r} is no pathlib.Path")

    def checked_path(self) -> Path:
        """The file, its hash verified. Raises Mendable showing both hashes when it differs."""
        try:
            actual = sha256(self.path)
        except OSError as error:
            raise Mendable(f"model {self.name}: {self.path} cannot be read ({error.strerror})", self.fix) from None
        if actual != self.sha256:
            problem = f"model {self.name}: {self.path} has SHA-256 {actual}, expected {self.sha256}"
            raise Mendable(problem, self.fix)
        return self.path


def removal(name: str) -> str:
    """The command that removes one of the user's models."""
    return f"ft models remove {name}"


def sha256(path: Path) -> str:
    """Hash of a file, in lower-case hex. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
