"""Bins to bands and back, each band through linear maps of its own (after Luo & Yu 2023, band-split RNN).

Bands are narrow below, where voices and music have most to tell apart, and wide above. Four neighbours each are
equally wide, so that a group of them is one product of matrices. Axes: B batch, C channels, T frames, F bins, K bands,
G bands of a group, W bins of each of these.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from ftcore.config import BAND_GROUP as GROUP

GROWTH = 3.0
"""Natural logarithm of how many times the highest band is as wide as the lowest, were no two of them equal."""


def band_widths(bins: int, bands: int) -> list[int]:
    """W of each group, from the lowest: it grows exponentially, and is 1 at least."""
    groups, room = bands // GROUP, bins // GROUP
    edges = [0]
    for group in range(1, groups + 1):
        ideal = room * math.expm1(GROWTH * group / groups) / math.expm1(GROWTH)
        edges.append(min(max(round(ideal), edges[-1] + 1), room - (groups - group)))
    return [end - first for first, end in pairwise(edges)]


class BandSplit(nn.Module):
    """A linear map from the bins of each band."""

    def __init__(self, in_channels: int, out_channels: int, bins: int, bands: int) -> None:
        super().__init__()
        widths = band_widths(bins, bands)
        self.group_bins = [GROUP * width for width in widths]
        self.weights = nn.ParameterList(uniform_weight(in_channels * width, out_channels) for width in widths)

    def forward(self, x: Tensor) -> Tensor:
        """[B, Cin, F, T] -> [B, Cout, T, K]."""
        batch, _, _, frames = x.shape
        groups = []
        for part, weight in zip(x.split(self.group_bins, dim=2), self.weights, strict=True):
            bands = part.unflatten(2, (GROUP, -1)).permute(2, 1, 3, 0, 4)  # [G, Cin, W, B, T]
            groups.append(weight.transpose(1, 2) @ bands.reshape(GROUP, -1, batch * frames))
        y: Tensor = torch.cat(groups).flatten(1).t().unflatten(0, (-1, batch, frames))  # [Cout, B, T, K]
        return y.transpose(0, 1)


class BandMerge(nn.Module):
    """A linear map from each band to its bins. Its input may come in parts along the channels."""

    def __init__(self, in_channels: int, out_channels: int, bins: int, bands: int) -> None:
        super().__init__()
        self.weights = nn.ParameterList(
            uniform_weight(in_channels, out_channels * width) for width in band_widths(bins, bands)
        )
        self.bias = nn.Parameter(torch.zeros(out_channels, 1, bins))

    def forward(self, *parts: Tensor) -> Tensor:
        """[B, Ci, T, K] each, together Cin channels -> [B, Cout, F, T]."""
        x = torch.cat(parts, dim=1)
        batch, _, frames, _ = x.shape
        bands = x.transpose(0, 1).flatten(0, 2).t().unflatten(1, (-1, batch * frames))  # [K, Cin, B * T]
        groups = []
        for group, weight in zip(bands.split(GROUP), self.weights, strict=True):
            y = (weight.transpose(1, 2) @ group).reshape(GROUP, len(self.bias), -1, batch, frames)
            groups.append(y.permute(3, 1, 0, 2, 4).flatten(2, 3))  # [B, Cout, G * W, T]
        return torch.cat(groups, dim=2) + self.bias.transpose(1, 2)


def uniform_weight(inputs: int, outputs: int) -> nn.Parameter:
    """[G, inputs, outputs], drawn from U(-1/sqrt(inputs), 1/sqrt(inputs))."""
    bound = inputs**-0.5
    return nn.Parameter(torch.empty(GROUP, inputs, outputs).uniform_(-bound, bound))
