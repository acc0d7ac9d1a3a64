"""Bins to bands and back, each band through linear maps of its own (after Luo & Yu 2023, band-split RNN).

Bands are narrow below, where voices and music have most to tell apart, and wide above. Four neighbours each are
equally wide, so that a group of them is one product of matrices. A band can reach a few bins into its neighbours, so
that a tone at its edge is not torn apart. Axes: B batch, C channels, T frames, F bins, K bands, G bands of a group, W
bins of each of these, R ("overlap") bins that it reaches beyond them on either side.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from ftcore.config import BAND_GROUP as GROUP
from ftcore.errors import FtError

GROWTH = 3.0
"""Natural logarithm of how many times the highest band is as wide as the lowest, were no two of them equal."""


def band_widths(bins: int, bands: int, overlap: int = 0) -> list[int]:
    """W of each group, from the lowest: it grows exponentially, and is 1 at least. Raises FtError where the overlap is
    more than half of the narrowest.
    """
    groups, room = bands // GROUP, bins // GROUP
    edges = [0]
    for group in range(1, groups + 1):
        ideal = room * math.expm1(GROWTH * group / groups) / math.expm1(GROWTH)
        edges.append(min(max(round(ideal), edges[-1] + 1), room - (groups - group)))
    widths = [end - first for first, end in pairwise(edges)]
    if 2 * overlap > min(widths):
        most = f"at most half of the narrowest band, which has {min(widths)} bins"
        raise FtError(f"impossible configuration: band_overlap must be {most}")
    return widths


class BandSplit(nn.Module):
    """A linear map from the bins of each band, and those that it reaches."""

    def __init__(self, in_channels: int, out_channels: int, bins: int, bands: int, overlap: int = 0) -> None:
        super().__init__()
        self.widths, self.overlap = band_widths(bins, bands, overlap), overlap
        self.weights = nn.ParameterList(
            uniform_weight(in_channels * (width + 2 * overlap), out_channels) for width in self.widths
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, Cin, T, F] -> [B, Cout, T, K]."""
        batch, frames, twice = x.shape[0], x.shape[2], 2 * self.overlap
        x = nn.functional.pad(x, (self.overlap, self.overlap)) if self.overlap else x
        groups, first = [], 0
        for width, weight in zip(self.widths, self.weights, strict=True):
            after = first + GROUP * width
            bands = x[..., first:after].unflatten(3, (GROUP, width))
            if self.overlap:  # the first 2R of W + 2R bins, and W from there on
                higher = x[..., first + twice : after + twice].unflatten(3, (GROUP, width))
                bands = torch.cat((bands[..., :twice], higher), dim=4)
            bands = bands.permute(3, 0, 2, 1, 4)  # [G, B, T, Cin, W + 2R]
            groups.append(bands.reshape(GROUP, batch * frames, -1) @ weight)
            first = after
        y: Tensor = torch.cat(groups).unflatten(1, (batch, frames))  # [K, B, T, Cout]
        return y.permute(1, 3, 2, 0)


class BandMerge(nn.Module):
    """A linear map from each band to its bins and those that it reaches, summed where bands overlap. Its input may come
    in parts along the channels.
    """

    def __init__(self, in_channels: int, out_channels: int, bins: int, bands: int, overlap: int = 0) -> None:
        super().__init__()
        self.overlap = overlap
        self.weights = nn.ParameterList(
            uniform_weight(in_channels, out_channels * (width + 2 * overlap))
            for width in band_widths(bins, bands, overlap)
        )
        self.bias = nn.Parameter(torch.zeros(out_channels, 1, bins))

    def forward(self, *parts: Tensor) -> Tensor:
        """[B, Ci, T, K] each, together Cin channels -> [B, Cout, T, F]."""
        x = torch.cat(parts, dim=1)
        batch, _, frames, _ = x.shape
        bands = x.permute(3, 0, 2, 1).flatten(1, 2)  # [K, B * T, Cin]
        groups = []
        for group, weight in zip(bands.split(GROUP), self.weights, strict=True):
            y = (group @ weight).reshape(GROUP, batch, frames, len(self.bias), -1)
            groups.append(y.permute(1, 3, 2, 0, 4))  # [B, Cout, T, G, W + 2R]
        return overlap_add(groups, self.overlap) + self.bias


def overlap_add(groups: list[Tensor], overlap: int) -> Tensor:
    """Bands side by side, summed where they overlap: [..., G, W + 2R] each, from the lowest -> [..., F]."""
    if not overlap:
        return torch.cat([group.flatten(3) for group in groups], dim=3)
    joined, below = [], torch.zeros_like(groups[0][..., :1, : 2 * overlap])
    for group in groups:
        own, beyond = group[..., : -2 * overlap], group[..., -2 * overlap :]
        below = torch.cat((below, beyond), dim=3)  # what each band gets from the one below it, then the next group
        joined.append((own + nn.functional.pad(below[..., :-1, :], (0, own.shape[4] - 2 * overlap))).flatten(3))
        below = below[..., -1:, :]
    return torch.cat((*joined, below.flatten(3)), dim=3)[..., overlap:-overlap]


def uniform_weight(inputs: int, outputs: int) -> nn.Parameter:
    """[G, inputs, outputs], drawn from U(-1/sqrt(inputs), 1/sqrt(inputs))."""
    bound = inputs**-0.5
    return nn.Parameter(torch.empty(GROUP, inputs, outputs).uniform_(-bound, bound))
