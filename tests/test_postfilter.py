"""The second look: doubt goes to the stem that was louder, what is sure stays, what is long past is forgotten."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ftcore import Separator
from ftcore.postfilter import MEMORY, postfiltered
from ftcore.runtime import OnnxModel
from ftcore.stft import Complex
from tests.conftest import noise

FRAME = 0.05
"""Seconds between frames."""

SHARES = np.array([0.0, 0.25, 0.5, 1.0])
"""How much of each frequency is the voice's."""

HALVES = np.full(4, 0.5)


def tones(shares: npt.NDArray[np.float64], channels: int = 2) -> tuple[Complex, Complex]:
    """(mixture, vocals) of 10 frames: steady tones, each of another level and phase."""
    wave = np.exp(1j * np.arange(4 * channels)) * np.arange(1, 4 * channels + 1)
    mixture = wave.reshape(channels, 4, 1).repeat(10, axis=-1).astype(np.complex64)
    return mixture, (mixture * shares[:, None]).astype(np.complex64)


def test_doubt_goes_to_the_stem_that_was_louder_at_that_frequency() -> None:
    _, found = postfiltered([tones(SHARES), tones(HALVES)], FRAME)
    mixture, vocals = tones(HALVES)
    kept = np.exp(-10 * FRAME / MEMORY)
    voice, music = ((kept * share**2 + 0.25) / (kept * share + 0.5) for share in (SHARES, 1.0 - SHARES))
    mask = voice / (voice + music)
    np.testing.assert_allclose(found, (vocals + mask[:, None] * mixture) / 2, rtol=1e-5)
    assert mask[2] == 0.5
    assert all(below < above for below, above in pairwise(mask))


def test_what_is_sure_stays_and_silence_is_silent() -> None:
    for share in (0.0, 1.0):
        song = [tones(np.full(4, share))] * 3
        for (_, vocals), found in zip(song, postfiltered(song, FRAME), strict=True):
            np.testing.assert_allclose(found, vocals, rtol=1e-6)
    silence = np.zeros((2, 4, 10), np.complex64)
    before, between, after = postfiltered([(silence, silence), tones(SHARES), (silence, silence)], FRAME)
    assert not before.any()
    assert np.isfinite(between).all()
    assert not after.any()


def test_what_is_long_past_counts_no_more() -> None:
    first, second = tones(SHARES), tones(HALVES)
    (alone,) = postfiltered([second], FRAME)
    for seconds, forgotten in ((MEMORY, False), (100 * MEMORY, True)):
        _, found = postfiltered([first, second], seconds / 10)
        assert np.allclose(found, alone, rtol=1e-5) == forgotten


def test_mid_and_side_are_heard_as_left_and_right_are() -> None:
    def turned(z: Complex) -> Complex:
        return np.stack((z[0] + z[1], z[0] - z[1])).astype(np.complex64)

    song = [tones(SHARES), tones(HALVES)]
    found = postfiltered([(turned(mixture), turned(vocals)) for mixture, vocals in song], FRAME)
    for apart, together in zip(found, postfiltered(song, FRAME), strict=True):
        np.testing.assert_allclose(apart, turned(together), atol=1e-5)


def test_further_channels_are_heard_alone() -> None:
    mixture, vocals = tones(SHARES, channels=4)
    vocals[2] = 0.0
    (found,) = postfiltered([(mixture, vocals)], FRAME)
    for part in (slice(0, 2), slice(2, 3), slice(3, 4)):
        (expected,) = postfiltered([(mixture[part], vocals[part])], FRAME)
        np.testing.assert_array_equal(found[part], expected)


def test_a_model_may_ask_for_it_and_batches_do_not_matter(tiny_model: Path) -> None:
    wave, model = noise(20000, 2), OnnxModel(tiny_model)
    without, filtered = (Separator(model, crop=20, postfilter=on).separate(wave, 8000) for on in (False, True))
    assert np.abs(without["vocals"] - filtered["vocals"]).max() > 1e-3
    np.testing.assert_allclose(filtered["vocals"] + filtered["instrumental"], wave, atol=1e-6)
    model.info = replace(model.info, signal=replace(model.info.signal, postfilter=True))
    for options, expected in (({"batch": 3}, filtered), ({"postfilter": False}, without)):
        found = Separator(model, crop=20, **options).separate(wave, 8000)
        np.testing.assert_allclose(found["vocals"], expected["vocals"], atol=1e-5)
