"""`ft export npz`: the weights as NumPy arrays, for who ports the network to another framework."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exporters import Parity, Precision
from ftcore.atomic import replacing
from ftcore.errors import FtError, UsageError

if TYPE_CHECKING:  # it needs torch, which only who exports has
    from ftcore.checkpoint import Checkpoint

DESCRIPTION = "ft"
"""Name of the array that holds the description as JSON; all others have the names of the weights."""

DTYPES = {"fp32": np.float32, "fp16": np.float16}
"""By the precisions that this format knows."""


class NpzExporter:
    """See `exporters.Exporter`: this is all that one must have."""

    suffix = ".npz"

    def export(self, checkpoint: Checkpoint, path: Path, *, precision: Precision) -> list[Parity]:
        """Write every weight under its name, and the description; then read all of it back.

        There is nothing to run in such a file, hence no parity to report. Raises FtError, leaving no
        file, when it cannot be written, differs when read back, or holds a weight too large for fp16.
        """
        if precision not in DTYPES:
            raise UsageError(f"npz knows {' and '.join(DTYPES)}, not {precision}")
        description = {
            "network": checkpoint.network.config.to_dict(),
            "signal": checkpoint.signal.to_dict(),
            "provenance": checkpoint.provenance,
            "precision": precision,
        }
        arrays: dict[str, Any] = {DESCRIPTION: np.array(json.dumps(description, sort_keys=True))}
        for name, tensor in checkpoint.network.state_dict().items():
            with np.errstate(over="ignore"):  # said below
                arrays[name] = tensor.numpy().astype(DTYPES[precision])
            if not np.isfinite(arrays[name]).all():
                raise FtError(f"{name} holds values that {precision} cannot hold")
        with replacing(path) as part:
            with part.open("wb") as file:  # given a name, NumPy would add its own suffix to it
                np.savez(file, **arrays)
            with np.load(part) as read:
                if any(not np.array_equal(read[name], array) for name, array in arrays.items()):
                    raise FtError(f"{path}: what was written differs from the checkpoint")
        return []


exporter = NpzExporter()
