"""What comes back is music: what differs from it is found, what nothing is like stays as it was."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from ftcore import repetition
from ftcore.decoders import Block
from ftcore.pipeline import Grid
from ftcore.repetition import AHEAD, CHUNK, by_repetition
from tests.conftest import blocks

RATE = 8000
GRID = Grid(n_fft=256, hop=128, bins=129, scale=1.0)
LEAKING = 0.5
"""How much of the voice was found."""


def filtered(mixture: Block, vocals: Block, size: int = 1000) -> Block:
    done = list(by_repetition(blocks(mixture, vocals, size), GRID, RATE))
    np.testing.assert_array_equal(np.concatenate([m for m, _ in done], axis=1), mixture)
    return np.concatenate([v for _, v in done], axis=1)


def sweep(low: float, high: float, seconds: float) -> Block:
    """Stereo, no two frames of it alike."""
    phase = 2 * np.pi * np.cumsum(np.geomspace(low, high, int(seconds * RATE))) / RATE
    return (0.1 * np.stack((np.sin(phase), np.cos(phase)))).astype(np.float32)


def error_db(found: Block, voice: Block) -> float:
    return float(10 * np.log10(np.sum((found - voice) ** 2) / np.sum(voice**2)))


def song(repeats: int, seconds: float) -> tuple[Block, Block]:
    """(mixture, voice) of music that is the same again and again, and of a voice late in it that is not."""
    music = np.tile(sweep(100.0, 3000.0, seconds), repeats)
    voice = np.zeros_like(music)
    tone = np.sin(np.arange(RATE) * 2 * np.pi * 500 / RATE).astype(np.float32)
    voice[:, -2 * RATE : -RATE] = 0.02 * tone
    return music + voice, voice


def test_voices_that_were_left_in_music_are_found_where_it_comes_back() -> None:
    mixture, voice = song(6, 2.0)
    found = filtered(mixture, LEAKING * voice)
    assert error_db(LEAKING * voice, voice) == pytest.approx(-6.0, abs=0.1)
    assert error_db(found, voice) < -9.0
    assert not found[:, : -3 * RATE].any()


def test_what_is_too_far_away_counts_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    mixture, voice = song(6, 4.0)
    errors = []
    for back, ahead in ((60.0, 15.0), (1.0, 0.5)):
        monkeypatch.setattr(repetition, "BACK", back)
        monkeypatch.setattr(repetition, "AHEAD", ahead)
        errors.append(error_db(filtered(mixture, LEAKING * voice), voice))
    assert errors[0] < -16.0 < -6.5 < errors[1]


def test_where_nothing_comes_back_all_stays_as_it_was() -> None:
    mixture = sweep(100.0, 3000.0, 6.0)
    for share in np.array([0.0, 0.3, 1.0], np.float32):
        np.testing.assert_allclose(filtered(mixture, share * mixture), share * mixture, atol=1e-5)


def test_little_is_held_back() -> None:
    mixture, voice = song(12, 2.0)
    read = []

    def watched() -> Iterator[tuple[Block, Block]]:
        for block in blocks(mixture, voice):
            read.append(block[0].shape[1] / RATE)
            yield block

    next(by_repetition(watched(), GRID, RATE))
    assert AHEAD < sum(read) < AHEAD + 2 * CHUNK * GRID.hop / RATE
