"""Looks at a whole song, in streams: what every one of them has to hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from ftcore.decoders import Block
from ftcore.harmonics import by_voice
from ftcore.looks import changed, chunks, in_context
from ftcore.pipeline import Grid, Separated
from ftcore.repetition import by_repetition
from ftcore.stft import Complex
from tests.conftest import blocks, noise

RATE = 8000
Look = Callable[[Separated], Separated]


def repetition(separated: Separated) -> Separated:
    return by_repetition(separated, Grid(n_fft=256, hop=128, bins=129, scale=1.0), RATE)


def harmonics(separated: Separated) -> Separated:
    return by_voice(separated, RATE)


def seen(look: Look, mixture: Block, vocals: Block, size: int = 1000) -> Block:
    """The vocals; the mixture has to be what it was."""
    done = list(look(blocks(mixture, vocals, size)))
    np.testing.assert_array_equal(np.concatenate([m for m, _ in done], axis=1), mixture)
    return np.concatenate([v for _, v in done], axis=1)


@pytest.mark.parametrize("look", [repetition, harmonics])
@pytest.mark.parametrize("samples", [1, 100, 300, 5000])
def test_short_songs_and_silence(look: Look, samples: int) -> None:
    mixture, vocals = noise(samples, 1), noise(samples, 1) / np.float32(2)
    looked = seen(look, mixture, vocals)
    assert looked.shape == vocals.shape and np.isfinite(looked).all()
    if look is not harmonics:  # which gives noise to the music
        np.testing.assert_allclose(looked, vocals, atol=1e-6)
    assert not seen(look, np.zeros_like(mixture), np.zeros_like(mixture)).any()


@pytest.mark.parametrize("look", [repetition, harmonics])
def test_blocks_and_channels_do_not_matter(look: Look) -> None:
    """With a buzz that comes and goes, for longer than any look is held back, and is drowned in the end."""
    time = np.arange(24 * RATE) / RATE
    buzz = np.sum([0.1 * 0.8**n * np.sin(2 * np.pi * 150 * n * time + n) for n in range(1, 20)], axis=0)
    vocals = (np.stack((buzz, buzz)) * (np.sin(np.pi * time) > 0)).astype(np.float32)
    mixture = vocals + noise(vocals.shape[1], 2) * np.where(time < 18, 0.05, 10.0).astype(np.float32)
    whole = seen(look, mixture, vocals, mixture.shape[1])
    assert np.abs(whole - vocals).max() > 1e-3
    np.testing.assert_allclose(seen(look, mixture, vocals, 777), whole, atol=1e-6)
    four = seen(look, np.concatenate((mixture, mixture)), np.concatenate((vocals, vocals)))
    np.testing.assert_allclose(four, np.concatenate((whole, whole)), atol=1e-5)


def test_what_changes_is_in_the_lowest_bins() -> None:
    def louder(frames: Iterator[Complex]) -> Iterator[Complex]:
        for z in frames:
            mixture, vocals = np.split(z, 2)
            assert mixture.shape[1] == 17
            yield vocals

    time = np.arange(RATE) / RATE
    low, high = (np.sin(2 * np.pi * hz * time)[None].astype(np.float32) for hz in (500, 3000))
    found = seen(lambda separated: changed(separated, 64, 32, 17, louder), low + high, low + high)
    middle = slice(100, -100)
    expected = np.float32(2) * low + high
    np.testing.assert_allclose(found[:, middle], expected[:, middle], atol=1e-3)


def test_frames_by_chunks() -> None:
    z = np.arange(20, dtype=np.complex64).reshape(2, 10)
    sizes = [(3, 7), (10,), (1,) * 10, (4, 0, 6)]
    for split in sizes:
        given = np.split(z, np.cumsum(split)[:-1], axis=1)
        found = list(chunks(iter(given), 4))
        assert [part.shape[1] for part in found] == [4, 4, 2]
        np.testing.assert_array_equal(np.concatenate(found, axis=1), z)
    assert list(chunks(iter([z[:, :0]]), 4)) == []


@pytest.mark.parametrize("frames", [1, 4, 5, 8, 11])
@pytest.mark.parametrize("around", [0, 3, 4])
def test_chunks_in_context(frames: int, around: int) -> None:
    values = np.arange(1, 2 * frames + 1, dtype=np.float32).reshape(2, frames)
    begins = range(0, frames, 4)
    whole = np.pad(values, ((0, 0), (around, around)))
    seen = list(in_context(((n, values[:, n : n + 4]) for n in begins), around))
    assert [n for n, _ in seen] == list(begins)
    for n, context in seen:
        np.testing.assert_array_equal(context, whole[:, n : min(n + 4, frames) + 2 * around])
