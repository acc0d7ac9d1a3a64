"""Vocals are quieter where they are in doubt for seconds, beside what they usually are; never where they are sure."""

from __future__ import annotations

import numpy as np
import pytest

from ftcore import presence
from ftcore.decoders import Block
from ftcore.looks import SECONDS
from ftcore.presence import AHEAD, CHUNK, ENOUGH, USUAL, by_presence
from tests.conftest import blocks, noise

RATE = 8000
PART = 8
"""Seconds of each part of a song."""


def song(*shares: float) -> tuple[Block, Block]:
    """(mixture, vocals): of one part after the other, so much is found as vocals, and the rest is left."""
    mixture = noise(PART * len(shares) * RATE, 2)
    return mixture, mixture * np.repeat(np.array(shares, np.float32), PART * RATE)


def kept(mixture: Block, vocals: Block) -> list[float]:
    """How much of the vocals is left in the middle of each part."""
    done = list(by_presence(blocks(mixture, vocals), RATE))
    np.testing.assert_array_equal(np.concatenate([m for m, _ in done], axis=1), mixture)
    found = np.concatenate([v for _, v in done], axis=1)
    middles = [slice((n + 3) * RATE, (n + 5) * RATE) for n in range(0, mixture.shape[1] // RATE, PART)]
    return [float((found * vocals)[:, m].sum() / np.square(vocals[:, m]).sum()) for m in middles]


def test_what_is_in_doubt_after_a_voice_is_quieter() -> None:
    """Noise that is found with a share s is sure by s squared."""
    assert USUAL * 0.36 < ENOUGH
    assert kept(*song(0.6, 0.3, 0.6)) == pytest.approx([1.0, 0.09 / (USUAL * 0.36), 1.0], abs=0.02)


def test_what_is_sure_stays_beside_what_is_surer() -> None:
    assert ENOUGH < 0.7**2 < USUAL
    assert kept(*song(1.0, 0.7)) == pytest.approx([1.0, 1.0], abs=0.02)
    assert kept(*song(1.0, 0.5)) == pytest.approx([1.0, 0.25 / ENOUGH], abs=0.02)


def test_where_all_is_in_doubt_nothing_changes() -> None:
    mixture, vocals = song(0.3, 0.3)
    found = np.concatenate([v for _, v in by_presence(blocks(mixture, vocals), RATE)], axis=1)
    assert np.abs(found - vocals).max() < 1e-6 * np.abs(vocals).max()


def test_music_before_the_first_voice_is_known_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert AHEAD * CHUNK * SECONDS / 2 > PART
    assert kept(*song(0.3, 0.9)) == pytest.approx([0.09 / ENOUGH, 1.0], abs=0.02)
    monkeypatch.setattr(presence, "AHEAD", 0)
    assert kept(*song(0.3, 0.9)) == pytest.approx([1.0, 1.0], abs=0.02)


def test_what_was_sure_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = []
    for memory in (60.0, 1.0):
        monkeypatch.setattr(presence, "MEMORY", memory)
        changed.append(kept(*song(0.6, 0.3, 0.3, 0.3))[-1])
    assert changed[0] < 0.5
    assert changed[1] == pytest.approx(1.0, abs=0.02)
