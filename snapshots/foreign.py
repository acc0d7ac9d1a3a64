"""Reading files that other programs made (torch), without ever running what is in them."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from ftcore.errors import FtError


def load_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.pth` state dict, by name, on the CPU.

    Only zip-format files are read, since only there unsafe globals can be listed without running
    anything; any global beyond plain tensors is refused. Raises FtError.
    """
    _require_safe_torch()
    if not path.is_file():
        raise FtError(f"{path}: no such file")
    if not zipfile.is_zipfile(path):
        raise FtError(f"{path}: not a PyTorch checkpoint (zip format), or truncated")
    try:
        unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception as error:  # a damaged file can fail in any way here
        raise FtError(f"{path}: not a readable PyTorch checkpoint ({_first_line(error)})") from None
    if unsafe:
        raise FtError(f"{path}: refused, the file could run code: it needs {', '.join(sorted(unsafe))}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise FtError(f"{path}: not a readable PyTorch checkpoint ({_first_line(error)})") from None
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise FtError(f"{path}: not a state dict (a dictionary from names to tensors)")
    return state


def _require_safe_torch() -> None:
    version = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if version < (2, 10):
        raise FtError(
            f"torch {torch.__version__} has known holes in loading foreign files (CVE-2025-32434, CVE-2026-24747): "
            "pip install 'torch>=2.10'"
        )


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
