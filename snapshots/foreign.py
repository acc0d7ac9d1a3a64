"""Reading files that other programs made (torch), without ever running what is in them."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ftcore.errors import FtError
from ftcore.runtime import first_line

StateDict = dict[str, Tensor]

WRAPPERS = re.compile(r"^((module|_orig_mod)\.)+")
"""What DataParallel and torch.compile put before every name."""

DEPTH = 4
"""How deep inside other training state a state dict is looked for."""


def load_state_dicts(path: Path) -> dict[str, StateDict]:
    """Every dictionary from names to tensors in a `.pth` file, on the CPU, by its place in the file.

    The place is "" for the file itself, else the keys that lead there, joined by dots. Only zip-format
    files are read, since only there unsafe globals can be listed without running anything; any global
    beyond plain tensors is refused, and so is whatever would take more memory than the file itself.
    Raises FtError.
    """
    _require_safe_torch()
    _check_archive(path)
    try:
        unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception as error:  # a damaged file can fail in any way here
        raise FtError(f"{path}: not a readable PyTorch checkpoint ({first_line(error)})") from None
    if unsafe:
        raise FtError(f"{path}: refused, the file could run code: it needs {', '.join(sorted(unsafe))}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        raise FtError(f"{path}: not a readable PyTorch checkpoint ({first_line(error)})") from None
    found = dict(_state_dicts(content, "", DEPTH, set()))
    if not found:
        raise FtError(f"{path}: no state dict inside (a dictionary from names to tensors)")
    for state in found.values():
        for name, tensor in state.items():
            _check_tensor(path, name, tensor)
    return found


def _check_archive(path: Path) -> None:
    """Refuse what is no archive as torch writes them: every part stored as it is, none twice."""
    if not path.is_file():
        raise FtError(f"{path}: no such file")
    size = path.stat().st_size
    if size == 0:
        raise FtError(f"{path}: an empty file")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except Exception:  # a damaged file can fail in any way here
        raise FtError(f"{path}: not a PyTorch checkpoint (zip format), or truncated") from None
    packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if packed or sum(entry.file_size for entry in entries) > size:
        raise FtError(f"{path}: refused, its parts would unpack to more than the file itself; torch writes none such")


def _state_dicts(content: Any, place: str, depth: int, seen: set[int]) -> Iterator[tuple[str, StateDict]]:
    if not isinstance(content, dict) or id(content) in seen:  # a pickle may hold one thing in many places
        return
    seen.add(id(content))
    state = {WRAPPERS.sub("", k): v for k, v in content.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if state:
        yield place, state
    if depth:
        for key, value in content.items():
            yield from _state_dicts(value, f"{place}.{key}" if place else str(key), depth - 1, seen)


def _check_tensor(path: Path, name: str, tensor: Tensor) -> None:
    """Refuse tensors that a file cannot hold as they are: without storage, sparse, or repeating a few values."""
    plain = tensor.device.type == "cpu" and tensor.layout == torch.strided and not tensor.is_quantized
    if not plain or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise FtError(f"{path}: refused, {name} is no plain tensor (it claims more values than the file holds)")


def _require_safe_torch() -> None:
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if version < (2, 10):
        raise FtError(
            f"torch {torch.__version__} has known holes in loading foreign files (CVE-2025-32434, CVE-2026-24747): "
            "pip install 'torch>=2.10'"
        )
