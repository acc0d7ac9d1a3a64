"""Voices are played at the speed at which they are in tune with music, and not at others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ftcore.data.library import Library, Track, Wave
from ftcore.data.mixing import MixConfig, PartMix, draw_item
from ftcore.data.tuning import GRID, most_in_tune, pitches

RATE = 16000
CHORD = (220.0, 277.18, 329.63)


def notes(*hertz: float, seconds: float = 1.0, harmonics: int = 6) -> Wave:
    """A note at each of these frequencies, with harmonics and a little noise, on both channels."""
    time = np.arange(int(RATE * seconds)) / RATE
    mono = sum(np.sin(2 * np.pi * n * pitch * time) / n for pitch in hertz for n in range(1, harmonics + 1))
    noise = 1e-3 * np.random.default_rng(0).standard_normal((2, len(time)))
    wave: Wave = ((mono + noise) * 0.1).astype(np.float32)
    return wave


def test_what_stands_out_is_the_harmonics_however_loud() -> None:
    found = pitches(notes(220.0), RATE)
    places = [int(np.argmin(np.abs(GRID / (220.0 * n) - 1))) for n in range(1, 7)]
    assert found.shape == GRID.shape
    assert (found[places] > 2.0).all()
    between = [int(np.argmin(np.abs(GRID / (220.0 * (n + 0.5)) - 1))) for n in range(1, 6)]
    assert found[between].max() < 0.5 * found[places].min()
    assert np.allclose(pitches(notes(220.0) * np.float32(0.5), RATE)[places], found[places], rtol=0.05)
    assert pitches(np.zeros((2, 800), np.float32), RATE).max() < 1e-9


@pytest.mark.parametrize("rate", [4000, RATE])
def test_no_pitch_is_found_above_half_the_rate(rate: int) -> None:
    found = pitches(np.random.default_rng(0).standard_normal((2, 3000)).astype(np.float32), rate)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("sung", [200.0, 250.0, 311.0])
def test_a_note_is_brought_into_a_chord(sung: float) -> None:
    speeds = np.exp(np.linspace(np.log(0.5), np.log(1.3), 83)).tolist()  # 20 cents apart
    speed = most_in_tune(pitches(notes(sung), RATE), speeds, pitches(notes(*CHORD), RATE))
    away = min(abs(1200 * np.log2(sung * speed * octave / note)) for note in CHORD for octave in (1, 2))
    assert away <= 20


def test_the_first_speed_where_nothing_is_heard() -> None:
    silence = np.zeros_like(GRID)
    assert most_in_tune(pitches(notes(220.0), RATE), [0.9, 0.8, 1.2], silence) == 0.9


def test_items_have_voices_in_tune(tmp_path: Path) -> None:
    def library(name: str, wave: Wave) -> Library:
        np.save(tmp_path / f"{name}.npy", (wave.T * 32767).astype(np.int16))
        return Library([Track(tmp_path / f"{name}.npy", wave.shape[1])])

    music, voices = library("music", notes(*CHORD, seconds=3)), library("voice", notes(207.65, seconds=3))

    def likeness(chance: float) -> float:
        mix = MixConfig(vocal=PartMix(p_resample=1.0, resample=(0.5, 1.3), p_in_tune=chance))
        found = []
        for seed in range(12):
            item = draw_item(np.random.default_rng(seed), music, voices, mix, RATE, 8000)
            assert item.vocal.shape == (2, 8000)
            assert np.abs(item.vocal[:, -100:]).max() > 0.01  # to the end, at any speed
            played, sung = pitches(item.instrumental, RATE), pitches(item.vocal, RATE)
            found.append(played @ sung / np.linalg.norm(played) / np.linalg.norm(sung))
        return float(np.mean(found))

    assert likeness(1.0) > 1.5 * likeness(0.0)
