"""Models that ship with ft or are known to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ftcore.errors import FtError

if TYPE_CHECKING:
    import torch


def load_network(path: str | Path, kind: str | None = None) -> torch.nn.Module:
    """A network from a `.pth` state dict with the original's parameter names, in eval mode.

    Every hyper-parameter is inferred from the tensors' shapes. `forward([B, C, F, T])` of the result
    gives the raw output, before the sigmoid. `kind` names the family where it is known: "gen", the
    generator (the only family so far); None recognises it. Needs torch. Raises FtError for a file
    that is unsafe, damaged or of another network.
    """
    from snapshots import foreign, original

    if kind not in (None, "gen"):
        raise FtError(f"unknown kind of network {kind!r}; known: gen")
    path = Path(path)
    state = foreign.load_state_dict(path)
    try:
        return original.build_generator(state)
    except FtError as error:
        raise FtError(f"{path}: {error}") from None
