"""Bins to bands and back, each band through linear maps of its own (after Luo & Yu 2023, band-split RNN).

Bands are narrow below, where voices and music have most to tell apart, and wide above. Axes: B batch, C channels,
T frames, F bins, K bands, W bins of the widest band.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

GROWTH = 3.0
"""Natural logarithm of how many times the highest band is as wide as the lowest."""


def band_bins(bins: int, bands: int) -> npt.NDArray[np.int64]:
    """[K, W]: the bins of each band, ascending, then `bins` where a band has fewer than W.

    Widths grow exponentially, and are 1 at least.
    """
    ideal = [bins * math.expm1(GROWTH * k / bands) / math.expm1(GROWTH) for k in range(bands + 1)]
    edges = [0]
    for k in range(1, bands + 1):
        edges.append(min(max(round(ideal[k]), edges[-1] + 1), bins - (bands - k)))
    first, end = np.array(edges[:-1])[:, None], np.array(edges[1:])[:, None]
    table = first + np.arange(np.max(end - first))
    return np.where(table < end, table, bins)


class BandSplit(nn.Module):
    """A linear map from the bins of each band."""

    def __init__(self, in_channels: int, out_channels: int, bins: int, bands: int) -> None:
        super().__init__()
        table = band_bins(bins, bands)
        self.bins: list[int] = table.flatten().tolist()
        heard = torch.tensor(table < bins)
        bound = heard * (in_channels * heard.sum(dim=1, keepdim=True)) ** -0.5  # [K, W]
        weight = torch.empty(bands, in_channels, table.shape[1], out_channels).uniform_(-1.0, 1.0)
        self.weight = nn.Parameter((weight * bound[:, None, :, None]).flatten(1, 2))

    def forward(self, x: Tensor) -> Tensor:
        """[B, Cin, T, F] -> [B, Cout, T, K]."""
        batch, frames = x.shape[0], x.shape[2]
        bands = len(self.weight)
        bins = torch.tensor(self.bins, device=x.device)
        x = pad(x, (0, 1)).index_select(3, bins).unflatten(3, (bands, -1))  # [B, Cin, T, K, W]
        y: Tensor = x.permute(3, 0, 2, 1, 4).reshape(bands, batch * frames, -1) @ self.weight
        return y.reshape(bands, batch, frames, -1).permute(1, 3, 2, 0)


class BandMerge(nn.Module):
    """A linear map from each band to its bins. Its input may come in parts along the channels."""

    def __init__(self, in_channels: int, out_channels: int, bins: int, bands: int) -> None:
        super().__init__()
        table = band_bins(bins, bands)
        self.slots: list[int] = np.flatnonzero(table < bins).tolist()
        self.weight = nn.Parameter(torch.empty(bands, in_channels, table.shape[1] * out_channels))
        self.bias = nn.Parameter(torch.empty(out_channels, 1, bins))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights drawn anew, and no bias."""
        bound = self.weight.shape[1] ** -0.5
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.zeros_(self.bias)

    def forward(self, *parts: Tensor) -> Tensor:
        """[B, Ci, T, K] each, together Cin channels -> [B, Cout, T, F]."""
        x = torch.cat(parts, dim=1)
        batch, _, frames, bands = x.shape
        y = x.permute(3, 0, 2, 1).reshape(bands, batch * frames, -1) @ self.weight
        y = y.reshape(bands, batch, frames, -1, len(self.bias)).permute(1, 4, 2, 0, 3).flatten(3)  # [B, Cout, T, K*W]
        return y.index_select(3, torch.tensor(self.slots, device=x.device)) + self.bias
