"""A checkpoint's network made wider and deeper, with the same output.

    python -m benchmarks.grow CHECKPOINT OUT.safetensors --multipliers 4 6 8 6 --latent-layers 3 [--seed 0]

New channels of the U-Net begin at random and are read with weights of zero (Chen et al. 2016, "Net2Net"); new latent
blocks follow the old ones and begin by adding next to nothing. The last level keeps its width, over which the latent
blocks' norms go.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import torch
from torch import Tensor, nn

from ftcore import checkpoint
from ftcore.checkpoint import Checkpoint
from ftcore.config import NetworkConfig
from ftcore.errors import FtError
from ftcore.nn.families import build
from ftcore.nn.network import Generator
from ftcore.nn.transformer import ConvolutionalTransformerEncoder


def main() -> None:
    """Write the larger network, and say how far its output is from the smaller one's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--multipliers", type=int, nargs="+", required=True)
    parser.add_argument("--latent-layers", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    try:
        small = checkpoint.load(args.checkpoint)
        assert isinstance(small.network, Generator)
        config = dataclasses.replace(
            small.network.config, multipliers=tuple(args.multipliers), latent_layers=args.latent_layers
        )
        network = grown(small.network, config)
        provenance = {**small.provenance, "grown_from": args.checkpoint.name}
        checkpoint.save(args.out, Checkpoint(network=network, signal=small.signal, provenance=provenance))
    except FtError as error:
        raise SystemExit(str(error)) from None
    x = torch.randn(1, config.spectral_channels, config.features, 32)
    with torch.no_grad():
        old, new = small.network.eval()(x), network.eval()(x)
    millions = sum(p.numel() for p in network.parameters()) / 1e6
    print(f"{millions:.2f} M parameters; relative difference {float((new - old).norm() / old.norm()):.1e}")


def grown(small: nn.Module, config: NetworkConfig) -> Generator:
    """A network of a config that is wider on levels but the last, or has more latent blocks. Raises FtError."""
    assert isinstance(small, Generator)
    less = [new < old for new, old in zip(config.multipliers, small.config.multipliers, strict=False)]
    if any(less) or config.levels != small.config.levels or config.latent_layers < small.config.latent_layers:
        raise FtError("a network grows: as many levels, none narrower, no fewer latent blocks")
    network = build(config)
    assert isinstance(network, Generator)
    if config.level_channels(config.levels - 1) != small.config.level_channels(config.levels - 1):
        raise FtError("the last level keeps its width: norms of the latent blocks go over all its channels")
    inputs, source = inputs_of(small.config, config), small.state_dict()
    for name, tensor in network.state_dict().items():
        if name not in source:  # of a latent block that is new
            continue
        old = source[name]
        where = [torch.arange(length) for length in old.shape]
        part, _, weight = name.partition(".frame.body.")
        if weight.startswith("norm"):
            where[0] = inputs[part]
        elif weight in ("conv1.weight", "identity.weight"):
            where[1] = inputs[part]
        elif name.startswith("out.weights"):
            where[1] = inputs["out"]
        if weight in ("conv1.weight", "identity.weight", "conv2.weight") or name.endswith("embed.weight"):
            tensor[: len(old)] = 0.0  # what was there reads nothing of what is new
        elif name.startswith("out.weights"):
            tensor.zero_()
        tensor[torch.meshgrid(*where, indexing="ij")] = old
    for block in network.encoder.latent[small.config.latent_layers :]:
        assert isinstance(block, ConvolutionalTransformerEncoder)
        quieten(block)
    return network


def inputs_of(old: NetworkConfig, new: NetworkConfig) -> dict[str, Tensor]:
    """For each module that reads several levels, where the channels that it read are among those that it reads."""
    parts = [
        [(old.level_channels(i), new.level_channels(i)), (maps, maps)]
        for i, maps in enumerate((*new.attention_maps, 0))
    ]
    read = {"encoder.levels.0": parts[0][:1], "out": parts[0]}
    for level in range(1, new.levels):
        read[f"encoder.levels.{level}"] = parts[level - 1]
    for number, level in enumerate(reversed(range(new.levels - 1))):
        read[f"decoder.{number}"] = parts[level + 1] + parts[level]
    places = {}
    for module, widths in read.items():
        first, found = 0, []
        for before, now in widths:
            found.append(torch.arange(first, first + before))
            first += now
        places[module] = torch.cat(found)
    return places


def quieten(block: ConvolutionalTransformerEncoder) -> None:
    """Let a block add nothing, or where a squared ReLU would not learn from zero, next to nothing."""
    for layer in (block.glu[0], block.conv2[1], block.attn.o_proj, block.conv4):
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
    for layer in (block.conv1a, block.conv1b[1]):
        for parameter in layer.parameters():
            parameter.data *= 0.1


if __name__ == "__main__":
    main()
