"""Every model that can be named: those of installed packages, and the user's own."""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint
from pathlib import Path

import platformdirs

from ftcore import plugins
from ftcore.atomic import make_folder
from ftcore.errors import FtError, Mendable, UsageError
from snapshots.manifest import Manifest, removal, sha256

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What a user's model may be called: it becomes a folder."""

DEFAULT = "starter"
"""The model that separates unless another one is named."""

MODEL, CHECKPOINT, MANIFEST, CARD = "model.onnx", "model.safetensors", "manifest.json", "README.md"
"""The files of a user's model; only the first and the third are always there."""


def cache_folder() -> Path:
    """Where ft keeps what is the user's: `FT_CACHE_DIR`, else the platform's cache directory."""
    return Path(os.environ.get("FT_CACHE_DIR") or platformdirs.user_cache_dir("ft", appauthor=False)).expanduser()


def models_folder() -> Path:
    """Where each of the user's models has a folder of its name."""
    return cache_folder() / "models"


def slug(path: Path) -> str:
    """A name for the model in a file, from the file's own."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip(".-_")[:64] or "imported"


def known_models() -> tuple[dict[str, Manifest], list[Mendable]]:
    """Every model by name, installed ones first, and what is wrong with those that cannot be loaded."""
    models: dict[str, Manifest] = {}
    broken: list[Mendable] = []
    for name, entry in plugins.discover("ft.models").items():
        try:
            models[name] = _installed(entry)
        except FtError as error:
            package = plugins.package(entry)
            broken.append(Mendable(str(error), f"pip install --upgrade {package}, or pip uninstall {package}"))
    for folder in _user_folders():
        try:
            models.setdefault(folder.name, _read(folder))
        except Mendable as error:
            broken.append(error)
    return models, broken


def find_manifest(name: str) -> Manifest:
    """What is known of a model. Raises UsageError for an unknown name, Mendable for a damaged manifest."""
    models, _ = known_models()
    if name in models:
        return models[name]
    if folder := _user_folder(name):
        return _read(folder)
    raise UsageError(_unknown(name, models))


def find_model(name: str) -> Path:
    """The exported file for a model's name or path. Raises FtError when there is none."""
    if installed := plugins.discover("ft.models").get(name):
        return _installed(installed).checked_path()  # without importing any other
    path = Path(name)
    models, _ = known_models()
    if name in models or _user_folder(name):
        return find_manifest(name).checked_path()
    refuse_checkpoint(path)
    if path.is_file():
        return path
    raise FtError(f"{_unknown(name, models)}, or the path of an .onnx file")


def refuse_checkpoint(path: Path) -> None:
    """Raise FtError for a file that must be exported or imported first, saying how."""
    if path.suffix == ".safetensors":
        raise FtError(f"{path}: a checkpoint; export it first: ft export onnx {path} -o {path.with_suffix('.onnx')}")
    if path.suffix in (".pth", ".pt", ".ckpt"):
        raise FtError(f"{path}: a PyTorch file; import it first: ft snapshots import {path}")


def remove(name: str) -> Path:
    """Remove one of the user's models, all of it at once; its former folder.

    Raises UsageError for an unknown name and for an installed model, FtError where it cannot be removed.
    """
    folder = _user_folder(name)
    if folder is None:
        if entry := plugins.discover("ft.models").get(name):
            raise UsageError(f"{name!r} is installed with {plugins.package(entry)}; only your own can be removed")
        raise UsageError(_unknown(name, known_models()[0]))
    try:
        with tempfile.TemporaryDirectory(prefix=".ft-", dir=folder.parent) as aside:
            folder.rename(Path(aside) / name)  # gone at once, and deleted after that
    except OSError as error:
        raise FtError(f"{folder}: cannot be removed ({error.strerror or error})") from None
    return folder


@contextmanager
def registering(name: str, *, summary: str, licence: str, overwrite: bool = False) -> Iterator[Path]:
    """Yield a folder for MODEL (and CHECKPOINT, CARD); afterwards it is the user's model of that name.

    When the body fails, nothing is registered and nothing is left. Raises UsageError for a name that
    cannot be one, FtError where the name is taken or the folder cannot be written.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot be the name of a model: letters, digits, dots, dashes, at most 64")
    if name in plugins.discover("ft.models"):
        raise UsageError(f"{name!r} is the name of an installed model; choose another with --name")
    models = models_folder()
    target = models / name
    if target.exists() and not overwrite:
        raise FtError(f"{target}: there is a model {name!r} already; choose another --name, or --overwrite it")
    make_folder(models)
    try:
        with tempfile.TemporaryDirectory(prefix=".ft-", dir=models) as temporary:
            folder = Path(temporary) / name
            folder.mkdir()
            yield folder
            values = {"sha256": sha256(folder / MODEL), "summary": summary, "licence": licence}
            (folder / MANIFEST).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
            if overwrite and target.exists():
                target.rename(Path(temporary) / "replaced")
            folder.rename(target)
    except OSError as error:
        raise FtError(f"{target}: cannot be written ({error.strerror or error})") from None


def _unknown(name: str, models: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, models)
    hint = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    return f"no model {name!r}; {hint}known: {', '.join(models) or 'none'}"


def _user_folder(name: str) -> Path | None:
    folder = models_folder() / name
    return folder if NAME.fullmatch(name) and folder.is_dir() else None


def _installed(entry: EntryPoint) -> Manifest:
    manifest: Manifest = plugins.load(entry)
    return dataclasses.replace(manifest, package=plugins.package(entry))


def _user_folders() -> list[Path]:
    try:
        return sorted(f for f in models_folder().iterdir() if _user_folder(f.name))
    except OSError:
        return []  # none yet, or unreadable, which `ft doctor` says


def _read(folder: Path) -> Manifest:
    try:
        values = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        sha, summary, licence = (str(values[key]) for key in ("sha256", "summary", "licence"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"model {folder.name}: {folder / MANIFEST} is damaged ({type(error).__name__})"
        raise Mendable(problem, removal(folder.name)) from None
    card = folder / CARD
    return Manifest(
        name=folder.name,
        path=folder / MODEL,
        sha256=sha,
        summary=summary,
        licence=licence,
        card=card if card.is_file() else None,
    )
