"""The mean of the weights of several checkpoints of one network.

    python -m benchmarks.mean CHECKPOINT CHECKPOINT ... OUT.safetensors

What was trained further on other data forgets less when it is averaged with where it came from (Wortsman et al. 2022,
"Robust fine-tuning of zero-shot models").
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from ftcore import checkpoint
from ftcore.checkpoint import Checkpoint


def main(paths: list[Path], out: Path) -> None:
    """Write the mean, with the provenance of the last one but for its scores."""
    checkpoints = [checkpoint.load(path) for path in paths]
    last = checkpoints[-1]
    if any(each.network.config != last.network.config or each.signal != last.signal for each in checkpoints):
        raise SystemExit("the checkpoints are not of one network")
    states = [each.network.state_dict() for each in checkpoints]
    mean = {name: torch.stack([state[name] for state in states]).mean(dim=0) for name in states[-1]}
    last.network.load_state_dict(mean)
    told = {name: value for name, value in last.provenance.items() if name != "validation"}
    provenance = {**told, "mean_of": [path.name for path in paths]}
    checkpoint.save(out, Checkpoint(network=last.network, signal=last.signal, provenance=provenance))


if __name__ == "__main__":
    main([Path(path) for path in sys.argv[1:-1]], Path(sys.argv[-1]))
