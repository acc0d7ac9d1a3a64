"""What is known of each model by name, without opening it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ftcore import plugins
from ftcore.errors import FtError


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
    """SPDX identifier of the weights' licence."""
    card: Path | None = None
    """The model card: data, command, seed, scores, cost, limits."""

    def checked_path(self) -> Path:
        """The file, its hash verified. Raises FtError showing both hashes when it differs."""
        try:
            actual = hashlib.sha256(self.path.read_bytes()).hexdigest()
        except OSError as error:
            raise FtError(f"model {self.name}: {self.path} cannot be read ({error.strerror})") from None
        if actual != self.sha256:
            raise FtError(f"model {self.name}: {self.path} has SHA-256 {actual}, expected {self.sha256}; reinstall it")
        return self.path


def known_models() -> tuple[dict[str, Manifest], list[FtError]]:
    """Every installed model by name, and what is wrong with those that cannot be loaded."""
    models: dict[str, Manifest] = {}
    broken: list[FtError] = []
    for name, entry in plugins.discover("ft.models").items():
        try:
            manifest = plugins.load(entry)
            if not isinstance(manifest, Manifest):
                raise FtError(f"plugin {name!r} of {plugins.package(entry)} is no model manifest")
            models[name] = manifest
        except FtError as error:
            broken.append(error)
    return models, broken


def find_model(name: str) -> Path:
    """The exported file for a model's name or path. Raises FtError when there is none."""
    path = Path(name)
    models, _ = known_models()
    if name in models:
        return models[name].checked_path()
    if path.suffix in (".safetensors", ".pth", ".ckpt"):
        raise FtError(f"{name}: a checkpoint; export it first: ft export onnx {name} -o {path.with_suffix('.onnx')}")
    if path.is_file():
        return path
    raise FtError(f"no model {name!r}: known are {', '.join(models) or 'none'}, or give the path of an .onnx file")
