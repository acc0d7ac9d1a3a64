"""By the width of the voice: which of two separations is believed, and how soon; blocks do not matter."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from ftcore.decoders import Block
from ftcore.pipeline import Separated
from ftcore.stereo import DOUBT, MEMORY, NARROW, by_width, left_right, mid_side
from tests.conftest import noise

RATE = 1000


def tones(width_db: float, seconds: float) -> Block:
    """A steady tone in the middle, and one at the sides that is `width_db` louder."""
    n = np.arange(round(seconds * RATE))
    mid, side = np.sin(n), 10.0 ** (width_db / 20.0) * np.cos(n)
    return np.stack((mid + side, mid - side)).astype(np.float32)


def share(vocals: Block, song: Block, size: int = 1 << 16) -> npt.NDArray[np.float32]:
    """How much [samples] of the second of two separations there is: twice the vocals, where the first has them once."""

    def blocks(gain: float, size: int) -> Separated:
        return ((song[:, i : i + size], gain * vocals[:, i : i + size]) for i in range(0, song.shape[1], size))

    parts = list(by_width([blocks(1.0, size), blocks(2.0, 700)], RATE))
    np.testing.assert_array_equal(np.concatenate([m for m, _ in parts], axis=1), song)
    found = np.concatenate([v for _, v in parts], axis=1)
    level = np.abs(vocals).sum(axis=0)
    return np.where(level > 0.0, np.abs(found).sum(axis=0) / np.where(level > 0.0, level, 1.0) - 1.0, 0.0)


@pytest.mark.parametrize(
    ("voice_db", "song_db", "expected"),
    [
        (-5.0, -5.0, 0.5),
        (-5.0 + DOUBT / 2, -5.0, 0.75),
        (-5.0 + DOUBT, -5.0, 1.0),
        (20.0, -5.0, 1.0),
        (-5.0 - DOUBT, -5.0, 0.0),
        (-60.0, -5.0, 0.0),
        (NARROW - DOUBT, -40.0, 0.0),
        (NARROW, -40.0, 0.5),
        (NARROW + DOUBT, -40.0, 1.0),
    ],
)
def test_vocals_wider_than_the_song_are_at_both_sides(voice_db: float, song_db: float, expected: float) -> None:
    found = share(tones(voice_db, 10.0), tones(song_db, 10.0))
    np.testing.assert_allclose(found[2000:], expected, atol=0.02)


def test_mono_and_silence() -> None:
    mono = noise(3000, 1).repeat(2, axis=0)
    assert not share(mono, mono).any()
    assert not share(0 * mono, mono).any()
    assert not share(0 * mono, 0 * mono).any()
    assert not share(mono, noise(3000, 2)).any()


def test_hours_of_silence_stay_silent() -> None:
    silence = np.zeros((2, 200), np.float32)
    parts = [vocals for _, vocals in by_width([iter([(silence, silence)] * 100) for _ in range(2)], 1)]
    assert not np.concatenate(parts, axis=1).any()


def test_what_is_long_past_counts_no_more() -> None:
    """After a minute the other is found out within the memory's length, and nothing jumps."""
    for first, then in ((-30.0, 0.0), (0.0, -30.0)):
        vocals = np.concatenate((tones(first, 60.0), tones(then, 5.0 * MEMORY)), axis=1)
        found = share(vocals, tones(-10.0, 60.0 + 5.0 * MEMORY))
        assert found[59 * RATE] == pytest.approx(float(first == 0.0), abs=1e-6)
        assert found[-1] == pytest.approx(float(then == 0.0), abs=1e-6)
        assert np.abs(np.diff(found[RATE:])).max() < 0.01


@pytest.mark.parametrize("size", [1, 37, 1000])
def test_blocks_do_not_matter(size: int) -> None:
    vocals, song = tones(-10.0, 2.5), noise(2500, 2)
    np.testing.assert_allclose(share(vocals, song, size), share(vocals, song), atol=1e-5)


def test_mid_and_side_come_back() -> None:
    wave = noise(100, 2)

    def blocks() -> Iterator[Block]:
        yield wave

    (apart,) = mid_side(blocks())
    np.testing.assert_allclose(apart, [wave.mean(axis=0), (wave[0] - wave[1]) / 2], atol=1e-6)
    np.testing.assert_allclose(left_right(apart), wave, atol=1e-6)
