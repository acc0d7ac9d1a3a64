"""Bins to bands and back."""

from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
import torch

from ftcore.nn.bands import BandMerge, BandSplit, band_widths


def ranges(bins: int, bands: int) -> list[range]:
    """The bins of each band."""
    widths = [width for width in band_widths(bins, bands) for _ in range(4)]
    return [range(first, end) for first, end in pairwise(accumulate(widths, initial=0))]


@pytest.mark.parametrize(("bins", "bands"), [(2048, 64), (1024, 64), (32, 16), (16, 16), (8, 4)])
def test_every_bin_is_in_one_band_and_bands_widen(bins: int, bands: int) -> None:
    widths = band_widths(bins, bands)
    assert len(ranges(bins, bands)) == bands
    assert ranges(bins, bands)[-1].stop == bins
    assert min(widths) > 0
    assert widths == sorted(widths)


def test_the_lowest_of_64_bands_is_a_fifteenth_of_the_highest() -> None:
    assert band_widths(2048, 64) == [6, 6, 8, 10, 12, 14, 17, 20, 25, 30, 36, 44, 52, 64, 76, 92]


def test_a_band_hears_its_own_bins_only_and_goes_back_to_them() -> None:
    torch.manual_seed(0)
    split, merge = BandSplit(2, 3, 32, 8), BandMerge(3, 4, 32, 8)
    x = torch.randn(1, 2, 32, 5)
    for band, bins in enumerate(ranges(32, 8)):
        only = torch.zeros_like(x)
        only[:, :, bins] = x[:, :, bins]
        y = split(only)
        assert y.shape == (1, 3, 5, 8)
        assert torch.allclose(y[..., band], split(x)[..., band])
        assert y.any(dim=(0, 1, 2)).nonzero().flatten().tolist() == [band]
        assert merge(y).any(dim=(0, 1, 3)).nonzero().flatten().tolist() == list(bins)


def test_the_maps_are_those_of_the_formula() -> None:
    torch.manual_seed(0)
    split, merge = BandSplit(2, 3, 32, 8), BandMerge(3, 4, 32, 8)
    x, bins = torch.randn(2, 2, 32, 5), ranges(32, 8)[6]
    bands = split(x)
    weight = split.weights[1][2].unflatten(0, (2, -1))  # [Cin, W, Cout]
    assert torch.allclose(bands[..., 6], torch.einsum("bcwt,cwo->bot", x[:, :, bins], weight), atol=1e-6)
    torch.nn.init.normal_(merge.bias)
    weight = merge.weights[1][2].unflatten(1, (4, -1))  # [Cin, Cout, W]
    expected = torch.einsum("bct,cow->bowt", bands[..., 6], weight) + merge.bias[:, 0, bins, None]
    assert torch.allclose(merge(bands)[:, :, bins], expected, atol=1e-6)
    assert torch.equal(merge(bands[:, :1], bands[:, 1:]), merge(bands))
