"""Effects do what they are named after, to waves whose answer is known."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest

from ftcore.data import effects
from ftcore.data.library import Wave
from ftcore.errors import FtError

RATE = 16000
SHORT = 700
"""Samples, fewer than echoes wait."""


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def tone(hertz: float, samples: int = RATE) -> Wave:
    wave = np.sin(2 * np.pi * hertz * np.arange(samples) / RATE)
    both: Wave = np.stack((wave, 0.5 * wave)).astype(np.float32)
    return both


def impulse(samples: int = RATE) -> Wave:
    wave = np.zeros((2, samples), np.float32)
    wave[:, 100] = 1.0
    return wave


def vowel() -> Wave:
    """A voice of 100 Hz whose loudest harmonics are around 1000 Hz."""
    tones = [tone(100 * n) / (1 + ((100 * n - 1000) / 200) ** 2) for n in range(1, 60)]
    voice: Wave = np.sum(tones, axis=0, dtype=np.float32)
    return voice


def loudest(wave: Wave) -> float:
    """Frequency in Hz."""
    hertz = np.fft.rfftfreq(wave.shape[1], 1 / RATE)
    return float(hertz[np.argmax(np.abs(np.fft.rfft(wave[0])))])


def correlation(a: Wave, b: Wave) -> float:
    """Of two waves [samples]."""
    return float(np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b)))


EFFECTS: dict[str, Callable[[Wave], Wave]] = {
    "formants": lambda wave: effects.move_formants(wave, 0.8, RATE),
    "double": lambda wave: effects.double(generator(), wave, RATE),
    "widen": lambda wave: effects.widen(generator(), wave, RATE),
    "equalise": lambda wave: effects.equalise(generator(), wave, 8.0, RATE),
    "compress": lambda wave: effects.compress(generator(), wave, RATE),
    "drive": lambda wave: effects.drive(generator(), wave, 10.0),
    "echo": lambda wave: effects.echo(generator(), wave, RATE),
    "reverberate": lambda wave: effects.reverberate(generator(), wave, RATE),
    "limit": lambda wave: effects.limit(generator(), (wave, 0.5 * wave), RATE)[0],
    "master": lambda wave: effects.master(generator(), (wave, 0.5 * wave), 6.0, RATE)[1],
    "encode": lambda wave: effects.encode(generator(), wave, RATE),
}


@pytest.mark.parametrize("name", list(EFFECTS))
@pytest.mark.parametrize("samples", [SHORT, RATE - 1])
def test_shape_and_silence_stay(name: str, samples: int) -> None:
    wave = generator(1).standard_normal((2, samples)).astype(np.float32)
    changed = EFFECTS[name](wave.copy())
    assert (changed.shape, str(changed.dtype)) == (wave.shape, "float32")
    assert np.isfinite(changed).all()
    assert samples == SHORT or np.abs(changed - wave).max() > 1e-3
    assert np.abs(EFFECTS[name](np.zeros_like(wave))).max() < 1e-3


def test_formants_move_under_a_pitch_that_stays() -> None:
    assert loudest(vowel()) == 1000
    moved = effects.move_formants(vowel(), 0.8, RATE)
    assert loudest(moved) == pytest.approx(800, abs=100)
    assert loudest(effects.move_formants(vowel(), 1.5, RATE)) == pytest.approx(1500, abs=100)
    spectrum = np.abs(np.fft.rfft(moved[0]))
    assert spectrum[750] < 0.01 * spectrum[800]
    assert effects.rms(moved[:, -100:]) > 0.1 * effects.rms(moved)


def test_faster_is_higher_and_shorter() -> None:
    played = effects.faster(tone(500.0), 1.25)
    assert played.shape[1] == RATE / 1.25
    assert loudest(played) == pytest.approx(625, abs=2)


def test_doubles_are_late_and_aside() -> None:
    doubled = effects.double(generator(), impulse(), RATE) - impulse()
    places = np.flatnonzero(np.abs(doubled).max(axis=0) > 0.05)
    assert places.min() > 100 + 0.004 * RATE
    assert places.max() < 100 + 0.042 * RATE
    assert np.abs(doubled[0] - doubled[1]).max() > 0.01


def test_what_is_widened_is_another_take_at_either_side() -> None:
    middle = np.repeat(generator(1).standard_normal((1, RATE)).astype(np.float32), 2, axis=0)
    alike = []
    for seed in range(8):
        wide = effects.widen(generator(seed), middle, RATE)
        alike.append(correlation(wide[0], wide[1]))
        assert correlation(wide[0], middle[0]) == pytest.approx(correlation(wide[1], middle[0]), abs=0.05)
    assert max(alike) < 0.6
    assert min(alike) < 0.2


def test_compression_brings_loud_and_quiet_together() -> None:
    wave = tone(500.0, 2 * RATE) * np.repeat([1.0, 0.1], RATE).astype(np.float32)
    for seed in range(5):
        loud, quiet = np.split(effects.compress(generator(seed), wave, RATE), 2, axis=1)
        assert 1.5 < effects.rms(loud) / effects.rms(quiet[:, RATE // 2 :]) < 9.5


def test_drive_adds_overtones_and_keeps_the_level() -> None:
    driven = effects.drive(generator(), tone(500.0), 20.0)
    assert effects.rms(driven) == pytest.approx(effects.rms(tone(500.0)), rel=1e-3)
    spectrum = np.abs(np.fft.rfft(driven[0]))
    assert spectrum[1500] > 0.05 * spectrum[500]


def test_echoes_come_late_and_fade() -> None:
    late = (effects.echo(generator(3), impulse(3 * RATE), RATE) - impulse(3 * RATE))[0]
    first = int(np.argmax(np.abs(late)))
    assert 0.08 * RATE <= first - 100 <= 0.5 * RATE
    assert late[:first].max() < 1e-6
    assert 0 < np.abs(late[first + 100 :]).max() < np.abs(late).max()


def test_a_limiter_turns_both_parts_down_alike() -> None:
    music, voice = tone(100.0), impulse()
    limited = effects.limit(generator(), (music, voice), RATE)
    before, after = np.abs(music + voice).max(), np.abs(limited[0] + limited[1]).max()
    assert effects.gain(-8.1) < after / before < effects.gain(-0.9)
    assert limited[1][0, 100] == pytest.approx(limited[0][0, 100] / music[0, 100])


def test_mastering_filters_both_parts_alike() -> None:
    parts = (impulse(), 0.3 * np.roll(impulse(), 50, axis=1))
    music, voice = effects.master(generator(), parts, 6.0, RATE)
    assert np.roll(music, 50, axis=1) * 0.3 == pytest.approx(voice, abs=1e-5)


def test_a_codec_keeps_every_sample_in_place() -> None:
    wave = vowel() + 0.1 * generator(2).standard_normal((2, RATE)).astype(np.float32)
    coded = effects.encode(generator(), wave, RATE)
    error = [effects.rms(coded - np.roll(wave, shift, axis=1)) for shift in (-1, 0, 1)]
    assert 0.01 < error[1] / effects.rms(wave) < 0.3
    assert error[1] < min(error[0], error[2])


def test_without_libsndfile_a_codec_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(FtError, match=r"mix\.p_codec=0"):
        effects.encode(generator(), vowel(), RATE)
