"""Every model that can be named: those of installed packages, and the user's own."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from ftcore import plugins
from ftcore.atomic import make_folder
from ftcore.errors import FtError, UsageError
from snapshots.manifest import Manifest, sha256

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What a user's model may be called: it becomes a folder."""

MODEL, CHECKPOINT, MANIFEST = "model.onnx", "model.safetensors", "manifest.json"
"""The files of a user's model."""


def cache_folder() -> Path:
    """Where ft keeps what is the user's: `FT_CACHE_DIR`, else the platform's cache directory."""
    return Path(os.environ.get("FT_CACHE_DIR") or platformdirs.user_cache_dir("ft", appauthor=False)).expanduser()


def known_models() -> tuple[dict[str, Manifest], list[FtError]]:
    """Every model by name, installed ones first, and what is wrong with those that cannot be loaded."""
    models: dict[str, Manifest] = {}
    broken: list[FtError] = []
    for name, entry in plugins.discover("ft.models").items():
        try:
            models[name] = plugins.load(entry)
        except FtError as error:
            broken.append(error)
    for folder in _user_folders():
        try:
            models.setdefault(folder.name, _read(folder))
        except FtError as error:
            broken.append(error)
    return models, broken


def find_model(name: str) -> Path:
    """The exported file for a model's name or path. Raises FtError when there is none."""
    if installed := plugins.discover("ft.models").get(name):
        manifest: Manifest = plugins.load(installed)  # without importing any other
        return manifest.checked_path()
    path = Path(name)
    models, _ = known_models()
    if name in models:
        return models[name].checked_path()
    if path.suffix == ".safetensors":
        raise FtError(f"{name}: a checkpoint; export it first: ft export onnx {name} -o {path.with_suffix('.onnx')}")
    if path.suffix in (".pth", ".pt", ".ckpt"):
        raise FtError(f"{name}: a PyTorch file; import it first: ft snapshots import {name}")
    if path.is_file():
        return path
    raise FtError(f"no model {name!r}: known are {', '.join(models) or 'none'}, or give the path of an .onnx file")


@contextmanager
def registering(name: str, *, summary: str, licence: str, overwrite: bool = False) -> Iterator[Path]:
    """Yield a folder for MODEL (and CHECKPOINT); afterwards it is the user's model of that name.

    When the body fails, nothing is registered and nothing is left. Raises UsageError for a name that
    cannot be one, FtError where the name is taken or the folder cannot be written.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot be the name of a model: letters, digits, dots, dashes, at most 64")
    if name in plugins.discover("ft.models"):
        raise UsageError(f"{name!r} is the name of an installed model; choose another with --name")
    models = cache_folder() / "models"
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
            if target.exists():
                target.rename(Path(temporary) / "replaced")
            folder.rename(target)
    except OSError as error:
        raise FtError(f"{target}: cannot be written ({error.strerror or error})") from None


def _user_folders() -> list[Path]:
    models = cache_folder() / "models"
    try:
        return sorted(f for f in models.iterdir() if NAME.fullmatch(f.name) and f.is_dir())
    except OSError:
        return []  # none yet, or unreadable, which `ft doctor` says


def _read(folder: Path) -> Manifest:
    try:
        values = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        sha, summary, licence = (str(values[key]) for key in ("sha256", "summary", "licence"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FtError(
            f"model {folder.name}: {folder / MANIFEST} is damaged ({type(error).__name__}); delete that folder"
        ) from None
    return Manifest(name=folder.name, path=folder / MODEL, sha256=sha, summary=summary, licence=licence)
