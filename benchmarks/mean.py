"""The mean of the weights of several checkpoints of one network, or one with other defaults.

    python -m benchmarks.mean CHECKPOINT ... OUT.safetensors
        [--crop FRAMES --pad FRAMES --stereo WAY --tta --postfilter]

What was trained further on other data forgets less when it is averaged with where it came from (Wortsman et al. 2022,
"Robust fine-tuning of zero-shot models"). How to separate by default is what the last one says, or the options do.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, get_args

import torch

from ftcore import checkpoint
from ftcore.checkpoint import Checkpoint
from ftcore.config import Stereo, overlay
from ftcore.errors import FtError


def main() -> None:
    """Write the mean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("out", type=Path)
    parser.add_argument("--crop", type=int)
    parser.add_argument("--pad", type=int)
    parser.add_argument("--stereo", choices=get_args(Stereo))
    for name in ("--tta", "--postfilter"):
        parser.add_argument(name, action=argparse.BooleanOptionalAction)
    args = vars(parser.parse_args())
    checkpoints, out = args.pop("checkpoints"), args.pop("out")
    try:
        average(checkpoints, out, {name: value for name, value in args.items() if value is not None})
    except FtError as error:
        raise SystemExit(str(error)) from None


def average(paths: list[Path], out: Path, defaults: dict[str, Any]) -> None:
    """Write the mean, with the provenance of the last one but for its scores, and other defaults. Raises FtError."""
    checkpoints = [checkpoint.load(path) for path in paths]
    last = checkpoints[-1]
    signal = overlay(last.signal, defaults)
    for path, each in zip(paths, checkpoints, strict=True):
        if each.network.config.without_dropout() != last.network.config.without_dropout():
            raise FtError(f"{path}: another network than that of {paths[-1]}")
        if overlay(each.signal, defaults) != signal:
            raise FtError(f"{path}: separates otherwise than {paths[-1]}; say how the mean shall, with options")
    states = [each.network.state_dict() for each in checkpoints]
    mean = {name: torch.stack([state[name] for state in states]).mean(dim=0) for name in states[-1]}
    last.network.load_state_dict(mean)
    told = {name: value for name, value in last.provenance.items() if name != "validation"}
    provenance = told | ({"mean_of": [path.name for path in paths]} if len(paths) > 1 else {})
    checkpoint.save(out, Checkpoint(network=last.network, signal=signal, provenance=provenance))


if __name__ == "__main__":
    main()
