"""The streaming transforms equal torch's on the whole signal, however it is cut."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from ftcore.stft import AT_ONCE, istft, stft
from tests.conftest import noise


def cut(x: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (x[..., i : i + size] for i in range(0, x.shape[-1], size))


@pytest.mark.parametrize("samples", [1, 2, 5, 64, 256, 257, 511, 512, 1000, 9999])
@pytest.mark.parametrize("hop", [256, 128, 100])
def test_round_trip_and_independence_of_the_cuts(samples: int, hop: int) -> None:
    x = noise(samples, 2)
    whole = np.concatenate(list(stft(cut(x, samples), 512, hop)), axis=-1)
    pieces = np.concatenate(list(stft(cut(x, 97), 512, hop)), axis=-1)
    assert whole.shape == (2, 257, 1 + samples // hop)
    np.testing.assert_allclose(pieces, whole, atol=1e-5)
    y = np.concatenate(list(istft(cut(whole, 3), 512, hop)), axis=-1)
    assert y.shape[-1] >= samples
    inside = (whole.shape[-1] - 1) * hop  # past the last frame's centre the output may fade
    np.testing.assert_allclose(y[:, :inside], x[:, :inside], atol=1e-6)


def test_another_number_of_bins() -> None:
    """Bins that are missing are zero, those above are left out; and many frames at once are the same as a few."""
    z = np.concatenate(list(stft([noise(30000, 2)], 512, 256)), axis=-1)
    assert z.shape[-1] > 3 * AT_ONCE
    low = z.copy()
    low[:, 100:] = 0
    more = np.pad(z, ((0, 0), (0, 43), (0, 0)), constant_values=1)
    for given, meant in ((z[:, :100], low), (more, z)):
        wave, same = (np.concatenate(list(istft(frames, 512, 256)), axis=-1) for frames in ([given], cut(meant, 5)))
        np.testing.assert_array_equal(wave, same)


@pytest.mark.parametrize("samples", [300, 1024, 5001])
def test_frames_are_those_of_torch(samples: int) -> None:
    x = noise(samples, 2)
    window = torch.hann_window(512)
    expected = torch.stft(torch.from_numpy(x), 512, 256, window=window, return_complex=True).numpy()
    np.testing.assert_allclose(np.concatenate(list(stft(cut(x, 333), 512, 256)), axis=-1), expected, atol=1e-4)


def test_the_tail_fades_instead_of_blowing_up() -> None:
    z = np.concatenate(list(stft([noise(1000, 1)], 512, 256)), axis=-1)
    error = (1e-3 * np.random.default_rng(0).standard_normal(z.shape)).astype(np.complex64)
    y = np.concatenate(list(istft([error], 512, 256)), axis=-1)
    assert np.abs(y).max() < 1e-3
