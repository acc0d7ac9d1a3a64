"""Models that ship with ft or are known to it, and what reads the original author's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ftcore.errors import FtError

if TYPE_CHECKING:
    from ftcore.nn.spectral import SpectralNetwork


def load_network(path: str | Path, kind: str | None = None) -> SpectralNetwork:
    """A network from a `.pth` file with the original's parameter names, in eval mode.

    Every hyper-parameter is inferred from the tensors' shapes. `forward([B, C, F, T])` of the result
    gives the raw output, before the sigmoid. `kind` names the family where it is known: "gen" (the
    generator, which gan-v1 is one of), "v1" or "v2b"; None recognises it. The state dict may stand
    alone or among other training state, with or without DataParallel's prefixes. Needs torch. Raises
    FtError for a file that is unsafe, damaged or of another network.
    """
    from snapshots import foreign, original

    if kind is not None and kind not in original.FAMILIES:
        raise FtError(f"unknown kind of network {kind!r}; known: {', '.join(original.FAMILIES)}")
    path = Path(path)
    errors = []
    for place, state in foreign.load_state_dicts(path).items():
        recognised = kind or original.recognise({name: tensor.shape for name, tensor in state.items()})
        where = f" (its {place!r})" if place else ""
        try:
            if recognised is None:
                raise FtError(f"no network of the original code; it holds {original.sample(state)}")
            return original.build(state, recognised)
        except FtError as error:
            errors.append((len(state), f"{path}{where}: {error}"))
    raise FtError(max(errors)[1])  # of the largest, most likely the network
