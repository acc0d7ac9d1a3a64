"""Exported files that somebody has, as the user's own models."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from ftcore.errors import FtError, UsageError
from ftcore.runtime import OnnxModel
from snapshots.manifest import sha256
from snapshots.registry import CARD, MODEL, refuse_checkpoint, registering, slug

UNSTATED = "not stated in the file"


def add_model(
    file: Path,
    *,
    name: str | None = None,
    expected: str | None = None,
    card: Path | None = None,
    overwrite: bool = False,
) -> str:
    """Copy an exported model, and its card, to the user's models; the name that it got.

    `expected` is the SHA-256 that the file must have, in hex of either case. The card is Markdown: `card`,
    else a file beside the model with its stem. Raises FtError for a file that is not a model of ft or not
    the expected one, UsageError for a name or hash that cannot be one; then nothing is registered.
    """
    refuse_checkpoint(file)
    if expected is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", expected):
        raise UsageError(f"--sha256 {expected}: a SHA-256 has 64 hexadecimal digits")
    digest = _digest(file)
    if expected is not None and digest != expected.lower():
        raise FtError(f"{file}: has SHA-256 {digest}, expected {expected.lower()}; download it again")
    info = OnnxModel(file, "cpu").info
    text = _card(file, card)
    name = name or slug(file)
    licence = str(info.provenance.get("licence", UNSTATED))
    with registering(name, summary=f"added from {file.name}", licence=licence, overwrite=overwrite) as folder:
        shutil.copyfile(file, folder / MODEL)
        _check_copy(folder / MODEL, file, digest)
        if text is not None:
            (folder / CARD).write_text(text, encoding="utf-8")
    return name


def _digest(file: Path) -> str:
    if not file.is_file():
        raise FtError(f"{file}: no such model file")
    try:
        return sha256(file)
    except OSError as error:
        raise FtError(f"{file}: cannot be read ({error.strerror})") from None


def _card(file: Path, card: Path | None) -> str | None:
    """The text of the model card, if there is one. Raises FtError where it cannot be read."""
    path = card or file.with_suffix(".md")
    if card is None and not path.is_file():
        return None
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise FtError(f"{path}: this model card cannot be read ({reason})") from None


def _check_copy(copy: Path, file: Path, digest: str) -> None:
    """Raise FtError unless the copy is what was checked, and opens without whatever else lies beside the file."""
    if sha256(copy) != digest:
        raise FtError(f"{file}: changed while it was read; add it again once it is complete")
    try:
        OnnxModel(copy, "cpu")
    except FtError:
        raise FtError(f"{file}: opens, but its copy does not; export it as one file, its weights inside") from None
