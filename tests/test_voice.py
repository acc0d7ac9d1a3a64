"""Whether anyone sings, and at which pitch: what the network sees and says, and how pitches move."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import voice_network
from ftcore import voice
from ftcore.looks import SECONDS
from ftcore.stft import Complex, Real
from ftcore.voice import (
    CHUNK,
    MULTIPLES,
    PITCHES,
    PLACES,
    Layer,
    around,
    heard,
    network,
    probabilities,
    sung,
    views,
    voices,
)

BINS, BIN_HZ = 512, 1 / SECONDS
LOWEST_SEEN = voice.LOWEST * MULTIPLES[0]
FLAT = np.full(len(PITCHES), 1 / len(PITCHES), np.float32)


def tones(hz: float, frames: int = CHUNK, louder: float = 1.0) -> Complex:
    """Harmonics of a voice in the middle: [2, F, T]."""
    z = np.zeros((2, BINS, frames), np.complex64)
    for n in range(1, 12):
        place = n * hz / BIN_HZ
        for bin_ in range(int(place) - 1, int(place) + 3):  # as a window spreads them
            z[:, bin_] += louder * 0.85**n * max(1 - abs(bin_ - place) / 2, 0)
    return z


def hiss(frames: int = CHUNK) -> Complex:
    rng = np.random.default_rng(0)
    return (0.05 * (rng.normal(size=(2, BINS, frames)) + 1j * rng.normal(size=(2, BINS, frames)))).astype(np.complex64)


def pitch_found(mixture: Complex, vocals: Complex) -> Real:
    """The likeliest in each frame, in Hz."""
    chunks = voices(iter([np.concatenate((mixture, vocals))]), BIN_HZ)
    return np.concatenate([PITCHES[likely.argmax(axis=0)] for _, likely, _ in chunks])


def likely(strength: Real) -> Real:
    return probabilities(strength, strength[:, :0], FLAT)[0]


@pytest.mark.parametrize("hz", [110.0, 220.0, 440.0])
def test_a_voice_has_its_pitch(hz: float) -> None:
    found = pitch_found(tones(hz) + hiss(), tones(hz))
    assert np.abs(1200 * np.log2(found / hz)).max() <= 60


def test_who_is_in_the_middle_is_followed() -> None:
    aside = tones(311.0, louder=3.0) * np.array([1, -1], np.complex64)[:, None, None]
    found = pitch_found(tones(220.0) + aside + hiss(), tones(220.0) + aside)
    assert np.abs(1200 * np.log2(found / 220.0)).max() <= 60


def test_a_voice_that_is_mostly_missed_still_has_its_pitch() -> None:
    """The rest of the mixture tells as well."""
    missed = tones(220.0)
    missed[:, round(500 / BIN_HZ) :] = 0
    found = pitch_found(tones(220.0) + hiss(), missed)
    assert np.abs(1200 * np.log2(found / 220.0)).max() <= 60


def test_the_network_sees_both_parts_at_multiples_of_pitches() -> None:
    ((_, seen),) = views(iter([np.concatenate((tones(330.0), tones(330.0) * 0.6))]), BIN_HZ)
    vocals, rest = seen[..., 0]
    np.testing.assert_allclose(rest, vocals * (0.4 / 0.6) ** voice.COMPRESSION, rtol=1e-3, atol=1e-6)
    row = int(np.abs(PITCHES - 330.0).argmin())
    for multiple, place in zip(MULTIPLES, PLACES, strict=True):
        low, here, high = (vocals[place + row + away] for away in (-3, 0, 3))
        if multiple == round(multiple) and multiple <= 8:
            assert here > 0.9 * max(low, high), multiple


def test_nothing_is_seen_above_the_highest_frequency() -> None:
    ((_, seen),) = views(iter([np.ones((4, 100, 3), np.complex64)]), BIN_HZ)
    top = LOWEST_SEEN * 2 ** (np.arange(seen.shape[1]) / voice.OCTAVE) > 99 * BIN_HZ
    assert top.any()
    np.testing.assert_array_equal(seen[:, top], 0)
    assert (seen[0, ~top] > 0).all()


def test_what_is_above_the_top_is_not_seen() -> None:
    low = round(voice.TOP / BIN_HZ) + 1
    z = np.ones((4, low + 100, 3), np.complex64)
    louder = z.copy()
    louder[:, low:] *= 100
    ((_, seen),) = views(iter([z]), BIN_HZ)
    ((_, same),) = views(iter([louder]), BIN_HZ)
    np.testing.assert_array_equal(same, seen)


def test_a_layer_is_a_convolution() -> None:
    rng = np.random.default_rng(0)
    layer = Layer(rng.normal(size=(2, 3, 5, 3)).astype(np.float32), np.array([[[1.0]], [[2.0]]], np.float32))
    x = rng.normal(size=(3, 9, 7)).astype(np.float32)
    padded = np.pad(x, ((0, 0), (2, 2), (0, 0)))
    y = layer(x)
    assert y.shape == (2, 9, 7 - 2 * layer.around)
    for out, p, t in ((0, 0, 0), (1, 4, 2), (0, 8, 4)):
        expected = np.sum(layer.weight[out] * padded[:, p : p + 5, t : t + 3]) + layer.bias[out, 0, 0]
        assert y[out, p, t] == pytest.approx(expected, abs=1e-4)


def test_a_layer_may_take_frames_that_are_apart() -> None:
    weight = np.array([1.0, 10.0, 100.0], np.float32).reshape(1, 1, 1, 3)
    layer = Layer(weight, np.zeros((1, 1, 1), np.float32), apart=4)
    assert layer.around == 4
    x = np.arange(12, dtype=np.float32).reshape(1, 1, 12)
    np.testing.assert_array_equal(
        layer(x)[0, 0], [x[0, 0, t] + 10 * x[0, 0, t + 4] + 100 * x[0, 0, t + 8] for t in range(4)]
    )
    np.testing.assert_array_equal(layer.added(x), x[..., 4:8] + layer(x))


def test_strengths_do_not_depend_on_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    seen = rng.random((2, PLACES[-1] + len(PITCHES), 50), np.float32)
    layers = network().over_pitches
    whole = heard(layers, np.pad(seen, ((0, 0), (0, 0), (around(layers),) * 2)))
    pieces = np.split(seen, [20, 40], axis=-1)
    monkeypatch.setattr(voice, "views", lambda frames, bin_hz: ((np.empty(0), piece) for piece in pieces))
    _, *found = zip(*voice.summaries(iter([]), BIN_HZ), strict=True)
    for part, expected in zip(found, whole, strict=True):
        np.testing.assert_allclose(np.concatenate(part, axis=-1), expected, atol=1e-4)


def test_shares_do_not_depend_on_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = network().over_time
    rng = np.random.default_rng(2)
    frames = 2 * CHUNK + 10
    summary = rng.random((layers[0].weight.shape[1], 1, frames), np.float32)
    strength = rng.random((len(PITCHES), frames), np.float32)
    whole = sung(layers, np.pad(summary, ((0, 0), (0, 0), (around(layers),) * 2)))
    assert whole.shape == (frames,) and whole.std() > 1e-3 and ((whole > 0) & (whole < 1)).all()
    pieces = [(np.empty(0), strength[:, n : n + CHUNK], summary[..., n : n + CHUNK]) for n in range(0, frames, CHUNK)]
    monkeypatch.setattr(voice, "summaries", lambda frames, bin_hz: iter(pieces))
    shares = np.concatenate([share for *_, share in voices(iter([]), BIN_HZ)])
    np.testing.assert_allclose(shares, whole, atol=1e-5)


def test_what_is_trained_says_the_same_as_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    trained = voice_network.Network()
    trained(torch.rand(4, 2, PLACES[-1] + len(PITCHES), 40))  # for means and variances
    layers = trained.layers()
    voice_network.save(tmp_path / "voice.npz", layers)
    monkeypatch.setattr(voice, "__file__", str(tmp_path / "voice.py"))
    written = network.__wrapped__()
    edge = around(written.over_pitches) + around(written.over_time)
    assert edge == voice_network.SILENCE == around(written.over_pitches) + voice_network.EDGE
    seen = torch.rand(1, 2, PLACES[-1] + len(PITCHES), 2 * edge + 20)
    with torch.inference_mode():
        expected, logarithm = trained(seen)
    strength, summary = heard(written.over_pitches, seen[0].numpy())
    inner = slice(around(written.over_pitches), -around(written.over_pitches))
    np.testing.assert_allclose(strength, expected[0, :, inner], atol=5e-3)  # written in 16 bits
    share = sung(written.over_time, summary)
    np.testing.assert_allclose(share, logarithm.sigmoid()[0, edge:-edge], atol=5e-3)


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
