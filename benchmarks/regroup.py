"""A checkpoint whose bands are padded (as until commit b27374e), with bands in groups of one width.

    python -m benchmarks.regroup IN.safetensors OUT.safetensors

A bin takes its weights along into the band that holds it now, which may be the next one: edges have moved by up to a
third of a band. Some 100 steps of training make up for that.
"""

from __future__ import annotations

import json
import math
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
from safetensors import safe_open

from ftcore import checkpoint
from ftcore.checkpoint import Checkpoint
from ftcore.config import SignalConfig, network_config
from ftcore.nn.bands import GROUP, GROWTH, band_widths
from ftcore.nn.network import Generator


def main(source: Path, out: Path) -> None:
    """Convert."""
    with safe_open(source, "pt") as file:
        description = json.loads(file.metadata()["ft"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    config = network_config(description["network"])
    bins, bands = config.features, config.bands
    edges = [0]
    for k in range(1, bands + 1):
        ideal = bins * math.expm1(GROWTH * k / bands) / math.expm1(GROWTH)
        edges.append(min(max(round(ideal), edges[-1] + 1), bins - (bands - k)))
    band = np.searchsorted(edges, np.arange(bins), "right") - 1
    place = np.arange(bins) - np.array(edges)[band]
    split = tensors.pop("encoder.split.weight").unflatten(1, (config.spectral_channels, -1))[
        band, :, place
    ]  # [F, Cin, Cout]
    merge = tensors.pop("out.weight").unflatten(2, (-1, config.output_channels))[band, :, place]
    firsts = np.cumsum([0, *(GROUP * width for width in band_widths(bins, bands))])
    for group, (first, end) in enumerate(pairwise(firsts)):
        ours = split[first:end].unflatten(0, (GROUP, -1))  # [G, W, Cin, Cout]
        tensors[f"encoder.split.weights.{group}"] = ours.transpose(1, 2).flatten(1, 2).contiguous()
        ours = merge[first:end].unflatten(0, (GROUP, -1))
        tensors[f"out.weights.{group}"] = ours.permute(0, 2, 3, 1).flatten(2).contiguous()
    network = Generator(config)
    network.load_state_dict(tensors)
    signal = SignalConfig.from_dict(description["signal"])
    checkpoint.save(out, Checkpoint(network=network.eval(), signal=signal, provenance=description["provenance"]))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
