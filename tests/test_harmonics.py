"""Where one pitch explains what was found: what is on its harmonics comes back, what is beside them goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from ftcore import harmonics
from ftcore.decoders import Block
from ftcore.harmonics import by_voice, on_harmonics
from ftcore.looks import SECONDS, chunks
from ftcore.stft import Complex, Real
from ftcore.voice import CHUNK, PITCHES
from tests.conftest import blocks, noise

RATE = 16000
BINS, BIN_HZ = 512, 1 / SECONDS
LENGTH = 6
"""Seconds."""


def voice(hz: float, semitones: float = 1.0, seconds: float = LENGTH) -> Block:
    """Stereo: a buzz in the middle that glides up and down again."""
    time = np.arange(int(seconds * RATE)) / RATE
    pitch = hz * 2 ** (semitones / 12 * np.sin(2 * np.pi * time / 3))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    buzz = np.sum([0.05 * 0.8**n * np.sin(n * phase + n) for n in range(1, 15)], axis=0, dtype=np.float32)
    return np.stack((buzz, buzz))


def chords(seconds: float) -> Block:
    """Stereo: two a second, struck and dying away."""
    time = np.arange(int(seconds * RATE)) / RATE
    wave = np.zeros(len(time))
    for n in range(int(2 * seconds)):
        since = np.maximum(time - n / 2, 0)
        for hz in 220.0 * 2 ** (n % 4 / 6) * np.array([1.0, 5 / 4, 3 / 2]):
            partials = sum(0.04 * 0.6**k * np.sin(2 * np.pi * k * hz * since) for k in range(1, 8))
            wave += np.exp(-4 * since) * partials
    return np.stack((wave, wave)).astype(np.float32)


def filtered(mixture: Block, vocals: Block) -> Block:
    return np.concatenate([v for _, v in by_voice(blocks(mixture, vocals), RATE)], axis=1)


def saying(sung: Real) -> Callable[[Iterator[Complex], float], Iterator[tuple[Complex, Real, Real]]]:
    """In place of `voices`: every pitch is as likely, and so much of what was found is a voice's [T]."""

    def voices(frames: Iterator[Complex], bin_hz: float) -> Iterator[tuple[Complex, Real, Real]]:
        for n, z in enumerate(chunks(frames, CHUNK)):
            likely = np.full((len(PITCHES), z.shape[-1]), 1 / len(PITCHES), np.float32)
            yield z, likely, sung[n * CHUNK :][: z.shape[-1]]

    return voices


def error_db(found: Block, truth: Block) -> float:
    return float(10 * np.log10(np.sum((found - truth) ** 2) / np.sum(truth**2)))


def share(found: Block, part: Block) -> float:
    """How much of a part is in what was found."""
    return float(np.sum(found * part) / np.sum(part * part))


@pytest.mark.parametrize("hz", [110.0, 165.0, 330.0])
def test_music_beside_a_voice_leaves_it_and_what_is_missing_of_it_comes_back(hz: float) -> None:
    sung, music = voice(hz), noise(LENGTH * RATE, 2) / np.float32(4)
    found = np.float32(0.6) * sung + np.float32(0.3) * music
    looked = filtered(sung + music, found)
    assert error_db(looked, sung) < error_db(found, sung) - 2.0
    assert share(looked, sung) > 0.67  # 0.6 were found
    assert share(looked, music) < 0.23  # in place of 0.3


def test_music_that_was_found_goes_where_nobody_sings(monkeypatch: pytest.MonkeyPatch) -> None:
    sung = np.concatenate((voice(200.0, seconds=8), np.zeros((2, 8 * RATE), np.float32)), axis=1)
    time = np.arange(16 * RATE) / RATE
    whistle = np.tile((0.02 * np.sin(2 * np.pi * 7000 * time)).astype(np.float32), (2, 1))
    music = np.concatenate((chords(8) / np.float32(2), chords(8)), axis=1) + whistle
    left = np.float32(0.3) * music
    found = sung + left
    song, pause = slice(RATE, 7 * RATE), slice(9 * RATE, 15 * RATE)
    looked = filtered(sung + music, found)
    assert share(looked[:, song], sung[:, song]) > 0.95
    assert np.sum(looked[:, pause] ** 2) < 0.4 * np.sum(found[:, pause] ** 2)
    assert share(looked[:, song], whistle[:, song]) == pytest.approx(0.3, abs=0.01)  # no pitch is looked for there
    assert share(looked[:, pause], whistle[:, pause]) < 0.2
    monkeypatch.setattr(harmonics, "ENOUGH", 1e-6)
    assert np.sum(filtered(sung + music, found)[:, pause] ** 2) > 0.6 * np.sum(found[:, pause] ** 2)


def test_a_moment_without_a_voice_is_no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second in which nothing is a voice's stays as loud as it was; in two seconds vocals are quieter."""
    sung = np.ones(8 * CHUNK, np.float32)
    sung[CHUNK : CHUNK + 20] = sung[5 * CHUNK : 5 * CHUNK + 44] = 0
    monkeypatch.setattr(harmonics, "voices", saying(sung))
    monkeypatch.setattr(harmonics, "SHARE", (0.0, 0.0))  # no mask
    found = noise(round(8 * CHUNK * SECONDS / 2 * RATE) - RATE, 2)
    looked = filtered(found * np.float32(2), found)

    def kept(frame: int) -> float:
        around = slice(round((frame - 2) * SECONDS / 2 * RATE), round((frame + 2) * SECONDS / 2 * RATE))
        return share(looked[:, around], found[:, around])

    assert kept(CHUNK + 10) == pytest.approx(1.0, abs=0.01)
    assert kept(5 * CHUNK + 22) == pytest.approx((2 * CHUNK + 1 - 44) / (2 * CHUNK + 1) / harmonics.ENOUGH, abs=0.1)
    assert kept(3 * CHUNK) == pytest.approx(1.0, abs=0.01)


def test_nothing_changes_where_nobody_hears(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found in a song of 96 kHz is of nobody: tones of 20 and 30 kHz."""
    monkeypatch.setattr(harmonics, "voices", saying(np.zeros(100, np.float32)))
    time = np.arange(2 * 96000) / 96000
    low, high = (np.tile(np.sin(2 * np.pi * hz * time), (2, 1)).astype(np.float32) for hz in (20000, 30000))
    looked = np.concatenate([v for _, v in by_voice(blocks(low + high, low + high), 96000)], axis=1)
    assert share(looked, high) > 0.99
    assert share(looked, low) < 0.01


def test_several_voices_at_once_lose_less_than_a_single_one_would(monkeypatch: pytest.MonkeyPatch) -> None:
    stacked = voice(150.0, 0.0) + voice(197.0, 0.0) + voice(233.0, 0.0) + voice(311.0, 0.0)
    music = noise(LENGTH * RATE, 2) / np.float32(4)
    looked = filtered(stacked + music, stacked)
    monkeypatch.setattr(harmonics, "SINGLE", (-1.0, 0.0))
    as_single = filtered(stacked + music, stacked)
    assert error_db(looked, stacked) < error_db(as_single, stacked) - 6.0


def test_a_voice_at_the_sides_is_more_readily_taken_for_another() -> None:
    """More is left there of a second voice than in the middle, where one is thought to sing; not so of a mono song."""
    lead, second = voice(200.0, 0.0), np.float32(0.8) * voice(267.0, 0.0)
    stereo = noise(LENGTH * RATE, 2) / np.float32(4)
    mono, sides = stereo.mean(axis=0, keepdims=True).repeat(2, axis=0), np.array([[1], [-1]], np.float32)
    middle, aside, in_mono = (
        share(filtered(lead + another + music, lead + another)[:, -2 * RATE :], another[:, -2 * RATE :])
        for another, music in ((second, stereo), (sides * second, stereo), (second, mono))
    )
    assert middle < 0.7
    assert min(aside, in_mono) > 0.9


def test_music_that_is_left_tells_little_of_how_many_sing() -> None:
    """A third of the power found is of music, which is in doubt everywhere: still a single voice."""
    sung, music = voice(220.0), noise(LENGTH * RATE, 2)
    left = np.float32(0.35) * music
    assert 0.3 < np.sum(left**2) / np.sum((sung + left) ** 2) < 0.45
    looked = filtered(sung + music, sung + left)
    assert share(looked, music) < 0.25


def test_trust_in_pitch_fades(monkeypatch: pytest.MonkeyPatch) -> None:
    """After noise, of which no pitch explains much, music beside a voice goes once it is remembered for longer."""
    sung = np.concatenate((noise(LENGTH * RATE, 2), voice(220.0)), axis=1)
    music = noise(sung.shape[1], 2, seed=1) / np.float32(8)
    left = []
    for memory in (100.0, 0.5):
        monkeypatch.setattr(harmonics, "MEMORY", memory)
        found = filtered(sung + music, sung * np.float32(0.7) + music * np.float32(0.3))
        left.append(share(found[:, -2 * RATE :], music[:, -2 * RATE :]))
    assert left[1] < 0.7 * left[0]


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

    next(by_voice(watched(), RATE))
    assert sum(read) < (5 * CHUNK + 3) * SECONDS / 2
