"""Bins to bands and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ftcore.nn.bands import BandMerge, BandSplit, band_bins


@pytest.mark.parametrize(("bins", "bands"), [(2048, 64), (32, 16), (16, 16), (7, 3)])
def test_every_bin_is_in_one_band_and_bands_widen(bins: int, bands: int) -> None:
    table = band_bins(bins, bands)
    assert len(table) == bands
    assert np.array_equal(table[table < bins], np.arange(bins))
    widths = (table < bins).sum(axis=1)
    assert widths.min() > 0
    assert widths[-1] == widths.max() == table.shape[1]


def test_the_lowest_of_64_bands_is_a_twentieth_of_the_highest() -> None:
    widths = (band_bins(2048, 64) < 2048).sum(axis=1)
    assert widths[:4].tolist() == [5, 6, 5, 6]
    assert widths[-1] == 99


def test_a_band_hears_its_own_bins_only_and_goes_back_to_them() -> None:
    torch.manual_seed(0)
    split, merge, table = BandSplit(2, 3, 32, 8), BandMerge(3, 4, 32, 8), band_bins(32, 8)
    x = torch.randn(1, 2, 5, 32)
    for band, row in enumerate(table):
        bins = row[row < 32]
        only = torch.zeros_like(x)
        only[..., bins] = x[..., bins]
        y = split(only)
        assert y.shape == (1, 3, 5, 8)
        assert torch.allclose(y[..., band], split(x)[..., band])
        assert y.any(dim=(0, 1, 2)).nonzero().flatten().tolist() == [band]
        assert merge(y).any(dim=(0, 1, 2)).nonzero().flatten().tolist() == bins.tolist()


def test_the_maps_are_those_of_the_formula() -> None:
    torch.manual_seed(0)
    split, merge, table = BandSplit(2, 3, 32, 8), BandMerge(3, 4, 32, 8), band_bins(32, 8)
    x, row = torch.randn(2, 2, 5, 32), table[6]
    bins = row[row < 32]
    weight = split.weight[6].unflatten(0, (2, -1))[:, : len(bins)]  # [Cin, bins, Cout]
    assert split.weight[0].unflatten(0, (2, -1))[:, (table[0] < 32).sum() :].count_nonzero() == 0
    bands = split(x)
    assert torch.allclose(bands[..., 6], torch.einsum("bctf,cfo->bot", x[..., bins], weight), atol=1e-6)
    torch.nn.init.normal_(merge.bias)
    weight = merge.weight[6].unflatten(1, (-1, 4))[:, : len(bins)]  # [Cin, bins, Cout]
    expected = torch.einsum("bct,cfo->botf", bands[..., 6], weight) + merge.bias[:, :, bins]
    assert torch.allclose(merge(bands)[..., bins], expected, atol=1e-6)
    assert torch.equal(merge(bands[:, :1], bands[:, 1:]), merge(bands))
