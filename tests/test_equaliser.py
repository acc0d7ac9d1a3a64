"""The network hears windows with a spectrum nearer to a typical one, and what it finds is equalised back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ftcore.equaliser import CENTRES, MOST, SHARE, TYPICAL, Equaliser, bands, decibels, equalised, levels
from ftcore.pipeline import Windowing, channel_groups, separate_blocks
from ftcore.separator import Separator
from ftcore.stft import Complex, Real
from tests.conftest import noise
from tests.test_ensemble import Scaled

BINS, BIN_HZ = 2048, 44100 / 4096


def window(mid_db: Any = 0.0, side_db: Any = 0.0) -> Complex:
    """[2, F, T]: noise of a typical spectrum, but for so many dB at frequencies of bands."""
    rng = np.random.default_rng(0)
    shape = (2, BINS, 60)
    z = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    for part, db in zip(
        z, TYPICAL + np.array([np.broadcast_to(x, CENTRES.shape) for x in (mid_db, side_db)]), strict=True
    ):
        part *= 10 ** (np.interp(np.arange(BINS) * BIN_HZ, CENTRES, db)[:, None] / 20)
    mid, side = z
    return np.stack((mid + side, mid - side)).astype(np.complex64)


def gains(z: Complex, bin_hz: float = BIN_HZ) -> Real:
    return Equaliser(bin_hz).gains(z)


def at_centres(rows: Any) -> Any:
    return rows[:, np.round(CENTRES / BIN_HZ).astype(int)]


def test_what_is_typical_stays() -> None:
    np.testing.assert_allclose(at_centres(decibels(window(), BIN_HZ))[:, :-2], 0.0, atol=0.2)


def test_duller_and_wider_comes_half_of_the_way() -> None:
    duller = np.linspace(5.0, -5.0, len(CENTRES))
    inner = slice(1, -1)  # the outermost have one neighbour
    found = at_centres(decibels(window(duller, duller + 6.0), BIN_HZ))
    np.testing.assert_allclose(found[0, inner], -duller[inner] / 2, atol=0.6)
    np.testing.assert_allclose(found[1, inner], -duller[inner] / 2 - 3.0, atol=0.6)
    z = window(duller, duller + 6.0)
    heard = equalised(z, gains(z))
    np.testing.assert_allclose(at_centres(decibels(heard, BIN_HZ))[:, inner], found[:, inner] / 2, atol=0.6)


def test_a_single_band_counts_for_half_and_its_neighbours_for_the_rest() -> None:
    z = window()
    low, high = 1000 / 2 ** (1 / 6), 1000 * 2 ** (1 / 6)
    z[:, round(low / BIN_HZ) : round(high / BIN_HZ)] *= 10 ** (8 / 20)
    found = at_centres(decibels(z, BIN_HZ))[0, list(CENTRES).index(1000.0) - 2 :][:5]
    np.testing.assert_allclose(found, [0.0, -1.0, -2.0, -1.0, 0.0], atol=0.3)


def test_all_windows_so_far_count_alike() -> None:
    brighter, duller = (window(np.linspace(-x, x, len(CENTRES))) for x in (5.0, -5.0))
    equaliser = Equaliser(BIN_HZ)
    first = equaliser.gains(brighter)
    np.testing.assert_array_equal(first, gains(brighter))
    np.testing.assert_allclose(equaliser.gains(100 * duller), np.sqrt(first * gains(duller)), rtol=1e-5)
    np.testing.assert_allclose(equaliser.gains(brighter), np.cbrt(first**2 * gains(duller)), rtol=1e-5)


def test_how_loud_a_window_is_does_not_matter() -> None:
    z = window(np.linspace(5.0, -5.0, len(CENTRES)))
    np.testing.assert_allclose(gains(z), gains(100 * z), rtol=1e-4)


def test_what_is_missing_counts_for_so_much_at_most() -> None:
    z = window()
    z[:, round(6000 / BIN_HZ) :] = 0  # as of a telephone
    z[1] = z[0]  # in one channel
    for found in (decibels(z, BIN_HZ), decibels(np.zeros_like(z), BIN_HZ)):
        assert np.abs(found).max() <= SHARE * MOST + 1e-6
    assert decibels(z, BIN_HZ)[0, -1] > 0.9 * SHARE * MOST
    assert np.abs(decibels(z, BIN_HZ)[0, : round(4000 / BIN_HZ)]).max() < 1.0


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_back_again(channels: int) -> None:
    rng = np.random.default_rng(0)
    z = (rng.standard_normal((channels, BINS, 5)) + 1j * rng.standard_normal((channels, BINS, 5))).astype("c8")
    by = gains(z)
    assert by.shape == (2 if channels == 2 else 1, BINS)
    there = equalised(z, by)
    assert np.abs(there - z).max() > 1.0
    assert np.abs(equalised(there, np.float32(1.0) / by) - z).max() < 1e-5


def test_bands_need_bins() -> None:
    assert bands(BINS, BIN_HZ)[1].all()
    assert bands(8, 500.0)[1].sum() < len(CENTRES)
    assert levels(np.ones((2, 8, 3), np.complex64), 500.0).shape == (2, bands(8, 500.0)[1].sum())
    np.testing.assert_array_equal(gains(np.ones((2, 1, 3), np.complex64), 10.0), 1.0)


class Listening(Scaled):
    """Keeps how loud each bin was, of what it heard."""

    def __init__(self, model: Path, share: float) -> None:
        super().__init__(model, share)
        self.heard: list[Any] = []

    def run(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        self.heard.append(np.square(x).mean(axis=(0, 1, 3)))
        return super().run(x)

    def brightness(self) -> float:
        """Power of the upper half of the bins beside that of the lower one."""
        lower, upper = np.split(np.mean(self.heard, axis=0), 2)
        return float(upper.sum() / lower.sum())


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_what_is_found_is_equalised_back(channels: int, tiny_model: Path) -> None:
    song = noise(16000, channels)  # brighter than is typical
    found, brightness = [], []
    for equal in (False, True):
        model = Listening(tiny_model, 0.3)
        with ThreadPoolExecutor(1) as pool:
            separated = separate_blocks(
                iter([song]),
                rate=8000,
                groups=channel_groups(channels, 2),
                model=model,
                pool=pool,
                windowing=Windowing(crop=20, pad=2, equalised=equal),
                aggression=0.0,
                postfilter=False,
            )
            found.append(np.concatenate([v for _, v in separated], axis=1))
        brightness.append(model.brightness())
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)
    assert np.abs(found[0]).max() > 0.1 * np.abs(song).max()
    assert brightness[1] < 0.5 * brightness[0]


def test_songs_are_equalised_with_tta(tiny_model: Path) -> None:
    brightness = []
    for tta in (False, True):
        model = Listening(tiny_model, 0.3)
        Separator(model, tta=tta).separate(noise(16000, 2), 8000)
        brightness.append(model.brightness())
    assert brightness[1] < 0.5 * brightness[0]
