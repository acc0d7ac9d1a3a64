"""Where one pitch explains what was found: what is on its harmonics comes back, what is beside them goes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from ftcore import harmonics
from ftcore.decoders import Block
from ftcore.harmonics import (
    BETWEEN,
    CHUNK,
    PITCHES,
    by_harmonics,
    combs,
    harmonic_bins,
    on_harmonics,
    probabilities,
)
from ftcore.looks import SECONDS
from ftcore.stft import Real
from tests.conftest import blocks, noise

RATE = 16000
BINS, BIN_HZ = 512, 1 / SECONDS
FLAT = np.full(len(PITCHES), 1 / len(PITCHES), np.float32)
LENGTH = 6
"""Seconds."""


def voice(hz: float, semitones: float = 1.0, seconds: float = LENGTH) -> Block:
    """Stereo: a buzz in the middle that glides up and down again."""
    time = np.arange(int(seconds * RATE)) / RATE
    pitch = hz * 2 ** (semitones / 12 * np.sin(2 * np.pi * time / 3))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    buzz = np.sum([0.05 * 0.8**n * np.sin(n * phase + n) for n in range(1, 15)], axis=0, dtype=np.float32)
    return np.stack((buzz, buzz))


def filtered(mixture: Block, vocals: Block) -> Block:
    return np.concatenate([v for _, v in by_harmonics(blocks(mixture, vocals), RATE)], axis=1)


def error_db(found: Block, truth: Block) -> float:
    return float(10 * np.log10(np.sum((found - truth) ** 2) / np.sum(truth**2)))


def share(found: Block, part: Block) -> float:
    """How much of a part is in what was found."""
    return float(np.sum(found * part) / np.sum(part * part))


def likely(strength: Real) -> Real:
    return probabilities(strength, strength[:, :0], FLAT)[0]


@pytest.mark.parametrize("hz", [110.0, 330.0])
def test_music_beside_a_voice_leaves_it_and_what_is_missing_of_it_comes_back(hz: float) -> None:
    sung, music = voice(hz), noise(LENGTH * RATE, 2) / np.float32(4)
    found = np.float32(0.6) * sung + np.float32(0.3) * music
    looked = filtered(sung + music, found)
    assert error_db(looked, sung) < error_db(found, sung) - 2.0
    assert share(looked, sung) > 0.67  # 0.6 were found
    assert share(looked, music) < 0.23  # in place of 0.3


def test_several_voices_at_once_stay_as_they_were() -> None:
    stacked = voice(150.0, 0.0) + voice(197.0, 0.0) + voice(233.0, 0.0) + voice(311.0, 0.0)
    music = noise(LENGTH * RATE, 2) / np.float32(4)
    np.testing.assert_array_equal(filtered(stacked + music, stacked), stacked)


def test_music_that_is_left_tells_little_of_how_many_sing() -> None:
    """A third of the power found is of music, which is in doubt everywhere: still a single voice."""
    sung, music = voice(220.0), noise(LENGTH * RATE, 2)
    left = np.float32(0.35) * music
    assert 0.3 < np.sum(left**2) / np.sum((sung + left) ** 2) < 0.45
    looked = filtered(sung + music, sung + left)
    assert share(looked, music) < 0.25


def test_who_is_in_the_middle_is_followed() -> None:
    frames = np.zeros((4, BINS, CHUNK), np.complex64)
    for n in range(1, 12):
        middle, side = (round(n * hz / BIN_HZ) for hz in (220.0, 311.0))
        frames[2:, middle] += 0.85**n
        frames[2:, side] += 3 * 0.85**n * np.array([[1], [-1]])
    ((_, on),) = harmonic_bins(iter([frames]), BIN_HZ)
    assert on[[round(n * 220.0 / BIN_HZ) for n in range(1, 6)]].min() > 0.8
    assert on[[round(n * 311.0 / BIN_HZ) for n in (1, 2, 3)]].max() < 0.1


def test_trust_in_pitch_fades(monkeypatch: pytest.MonkeyPatch) -> None:
    """After noise, of which no pitch explains much, a voice changes once it is remembered for longer."""
    sung = np.concatenate((noise(LENGTH * RATE, 2), voice(220.0)), axis=1)
    music = noise(sung.shape[1], 2, seed=1) / np.float32(8)
    changes = []
    for memory in (100.0, 0.5):
        monkeypatch.setattr(harmonics, "MEMORY", memory)
        found = filtered(sung + music, sung * np.float32(0.7))
        changes.append(np.abs(found - sung * np.float32(0.7))[:, -2 * RATE :].max())
    assert changes[0] == 0.0
    assert changes[1] > 0.01


@pytest.mark.parametrize("hz", [82.0, 220.0, 440.0])
def test_harmonic_sums_are_largest_at_the_pitch(hz: float) -> None:
    spectrum = np.zeros(BINS, np.float32)
    for n in range(1, 12):
        spectrum[round(n * hz / BIN_HZ)] += 0.85**n
    best = PITCHES[(combs(BINS, BIN_HZ) @ spectrum).argmax()]
    assert 1200 * abs(np.log2(best / hz)) < 60


def test_weights_of_harmonics_add_up_at_any_rate() -> None:
    for bins in (100, BINS):
        weights = combs(bins, BIN_HZ)
        np.testing.assert_allclose(np.where(weights > 0, weights, 0).sum(axis=1), 1.0, atol=1e-5)
        np.testing.assert_allclose(np.where(weights < 0, weights, 0).sum(axis=1), -BETWEEN, atol=1e-5)


def test_pitches_move_in_small_steps_and_the_future_counts() -> None:
    strength = np.zeros((len(PITCHES), 20), np.float32)
    strength[100] = 2.0
    strength[100, 9] = 0.0
    strength[180, 9] = 2.0  # an octave and more away, for one frame
    np.testing.assert_array_equal(likely(strength).argmax(axis=0), 100)
    beginning = strength[:, 9:]
    np.testing.assert_array_equal(likely(beginning).argmax(axis=0), 100)
    assert likely(beginning[:, :1]).argmax() == 180  # nothing tells yet


def test_pieces_know_what_went_before_and_what_follows() -> None:
    strength = np.random.default_rng(0).random((len(PITCHES), 30), np.float32) * 3
    first, before = probabilities(strength[:, :12], strength[:, 12:], FLAT)
    rest, _ = probabilities(strength[:, 12:], strength[:, :0], before)
    np.testing.assert_allclose(np.concatenate((first, rest), axis=1), likely(strength), atol=1e-5)
    np.testing.assert_allclose(likely(strength).sum(axis=0), 1.0, atol=1e-5)


def test_on_harmonics() -> None:
    only = np.zeros((len(PITCHES), 1), np.float32)
    only[120] = 1.0
    on = on_harmonics(only, BINS, BIN_HZ)[:, 0]
    spacing = PITCHES[120] / BIN_HZ
    for n in range(1, 10):
        assert on[round(n * spacing)] == 1.0
        assert on[round((n - 0.5) * spacing)] == 0.0
    assert on[0] == 0.0


def test_little_is_held_back() -> None:
    mixture, read = voice(200.0, seconds=20), []

    def watched() -> Iterator[tuple[Block, Block]]:
        for block in blocks(mixture, mixture):
            read.append(block[0].shape[1] / RATE)
            yield block

    next(by_harmonics(watched(), RATE))
    assert sum(read) < (2 * CHUNK + 3) * SECONDS / 2
