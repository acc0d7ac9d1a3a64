"""Whether anyone sings, and at which pitch: a small network looks at what was found and at the rest of the mixture.

It sees both at multiples of each pitch (as Bittner and others 2017, "Deep salience representations for F0 estimation
in polyphonic music"), and says how strong that pitch is and how much of what was found is of a voice. How likely
pitches are follows from the former and from how pitches move: by the forwards-backwards algorithm of hidden Markov
models (Baum and others 1970), which here knows a second or two of the future. `benchmarks/voice_network.py` trains the
network; its weights are `voice.npz`, and whoever changes what it sees (here, or `SECONDS` in `ftcore.looks`) trains it
anew.

Axes: C channels, P pitches, L places on the axis of log-frequency, F bins, T frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ftcore.looks import TINY, Lately, chunks, in_context
from ftcore.stft import Complex, Real

CHUNK = 32
"""Frames that are looked at together, once as many after them are known."""
MEMORY = 15.0
"""Seconds after which how loud a song was counts for 1 / e."""
LOWEST, OCTAVE = 65.0, 60
"""Hz of the lowest pitch, and pitches an octave: every 20 cents."""
PITCHES = LOWEST * 2 ** (np.arange(240) / OCTAVE)
"""Hz."""
MULTIPLES = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0)
"""Of a pitch, at which the network looks: what is between harmonics speaks against it."""
PLACES = np.round(OCTAVE * np.log2(MULTIPLES)).astype(int) - round(OCTAVE * np.log2(MULTIPLES[0]))
"""Of these multiples of the lowest pitch, on the axis of log-frequency."""
TOP = 5500.0
"""Hz up to which it looks."""
COMPRESSION = 2 / 3
"""The power of magnitudes that the network sees."""
STEP, LEAP = np.exp(-0.5), 0.02
"""How likely a pitch of the next frame is for each 20 cents away, beside the same; and that it is any pitch at all."""


def voices(frames: Iterable[Complex], bin_hz: float) -> Iterator[tuple[Complex, Real, Real]]:
    """Frames [2 * C, F, T] of mixture and vocals in chunks; how likely each pitch is [P, T]; and what is of a voice.

    The last is a share of the vocals [T], 0 to 1. `bin_hz` is how far bins are apart. Held back are three chunks.
    """
    layers = network().over_time
    summed_up = (((z, strength), summary) for z, strength, summary in summaries(frames, bin_hz))
    before = np.full(len(PITCHES), 1 / len(PITCHES), np.float32)
    end = ((np.empty((2, 0, 0), np.complex64), np.empty((len(PITCHES), 0), np.float32)), np.empty(0, np.float32))
    for ((z, strength), summary), ((_, following), _) in pairwise(chain(in_context(summed_up, around(layers)), [end])):
        likely, before = probabilities(strength, following, before)
        yield z, likely, sung(layers, summary)


def low_bins(bin_hz: float) -> slice:
    """The bins up to `TOP`."""
    return slice(round(TOP / bin_hz) + 1)


def summaries(frames: Iterable[Complex], bin_hz: float) -> Iterator[tuple[Complex, Real, Real]]:
    """The frames in chunks; how strong each pitch is in these [P, T]: the logarithm of a likelihood; and a summary."""
    layers = network().over_pitches
    for z, seen in in_context(views(frames, bin_hz), around(layers)):
        yield z, *heard(layers, seen)


def views(frames: Iterable[Complex], bin_hz: float) -> Iterator[tuple[Complex, Real]]:
    """The frames in chunks, and what the network sees of these [2, L, T]: the vocals, and the rest of the mixture.

    Of the mean of the channels, for what is at the sides is less often the voice that leads; beside how loud the
    mixture is, in the mean of all bins, there and lately.
    """
    level = Lately(bin_hz, MEMORY)
    for z in chunks(frames, CHUNK):
        mixture, vocals = (part[:, low_bins(bin_hz)].mean(axis=0) for part in np.split(z, 2))
        here = _compressed(mixture).mean(axis=0)
        usual = (here + level.mean(here, np.ones_like(here))) / 2
        parts = (_compressed(vocals), _compressed(mixture - vocals))
        yield z, np.stack([_on_log_axis(part, bin_hz) for part in parts]) / (usual + TINY)


def _compressed(z: Complex) -> Real:
    magnitudes: Real = np.abs(z) ** np.float32(COMPRESSION)
    return magnitudes


def _on_log_axis(values: Real, bin_hz: float) -> Real:
    """Values of bins [F, T] on the axis of log-frequency [L, T], and 0 where there are no bins."""
    places = LOWEST * MULTIPLES[0] / bin_hz * 2 ** (np.arange(PLACES[-1] + len(PITCHES)) / OCTAVE)
    low = np.minimum(places.astype(int), len(values) - 2)
    part = (places - low)[:, None].astype(np.float32)
    there = (places <= len(values) - 1)[:, None]
    between: Real = np.where(there, values[low] * (1 - part) + values[low + 1] * part, np.float32(0))
    return between


class Layer(NamedTuple):
    """A convolution over pitches, which are padded, and frames, which are not."""

    weight: Real
    """[channels out, channels in, pitches, frames]"""
    bias: Real
    """[channels out, 1, 1]"""
    apart: int = 1
    """How many frames lie between those that it takes, and one more."""

    @property
    def around(self) -> int:
        """Frames on either side that it takes."""
        frames: int = self.weight.shape[-1]
        return frames // 2 * self.apart

    def __call__(self, x: Real) -> Real:
        """[channels in, P, T] to [channels out, P, less frames]."""
        out, _, across, along = self.weight.shape
        pitches, frames = x.shape[1], x.shape[2] - 2 * self.around
        x = np.pad(x, ((0, 0), (across // 2, across // 2), (0, 0)))
        total = np.zeros((out, pitches * frames), np.float32)
        for t in range(along):
            first = t * self.apart
            rows = [x[:, p : p + pitches, first : first + frames] for p in range(across)]
            weight = self.weight[..., t].transpose(0, 2, 1).reshape(out, -1)
            total += weight @ np.concatenate(rows).reshape(weight.shape[1], -1)
        return total.reshape(out, pitches, frames) + self.bias

    def added(self, x: Real) -> Real:
        """What comes out, rectified, and what went in."""
        same: Real = x[..., self.around : x.shape[-1] - self.around] + _positive(self(x))
        return same


class Network(NamedTuple):
    """Layers, of which the last of either part has no rectifier."""

    over_pitches: list[Layer]
    over_time: list[Layer]


@lru_cache
def network() -> Network:
    """What ships."""
    with np.load(Path(__file__).with_name("voice.npz")) as file:
        over_time = file["apart"]
        arrays = [file[f"arr_{n}"].astype(np.float32) for n in range(len(file.files) - 1)]
    layers = [Layer(weight, bias[:, None, None]) for weight, bias in zip(arrays[::2], arrays[1::2], strict=True)]
    first = len(layers) - len(over_time)
    last = [layer._replace(apart=int(apart)) for layer, apart in zip(layers[first:], over_time, strict=True)]
    return Network(layers[:first], last)


def around(layers: list[Layer]) -> int:
    """Frames on either side that they take one after the other."""
    return sum(layer.around for layer in layers)


def heard(layers: list[Layer], seen: Real) -> tuple[Real, Real]:
    """How strong each pitch is [P, T], by what the network sees [2, L, as many frames more as it takes on either side].

    And a summary [3 * channels, 1, T] of what else it found: in the mean of all pitches, at most, and at strong ones.
    """
    first, second, *middle, last = layers
    x = np.concatenate([seen[:, place : place + len(PITCHES)] for place in PLACES])
    x = _positive(second(_positive(first(x))))
    for layer in middle:
        x = layer.added(x)
    strength: Real = last(x)[0]
    likely = np.exp(strength - strength.max(axis=0))
    parts = (x.mean(axis=1), x.max(axis=1), (x * (likely / likely.sum(axis=0))).sum(axis=1))
    return strength, np.concatenate(parts)[:, None]


def sung(layers: list[Layer], summary: Real) -> Real:
    """How much of what was found is of a voice [T], by a summary [channels, 1, as many frames more on either side]."""
    first, *middle, last = layers
    x = _positive(first(summary))
    for layer in middle:
        x = layer.added(x)
    share: Real = 1 / (1 + np.exp(-last(x)[0, 0]))
    return share


def _positive(x: Real) -> Real:
    rectified: Real = np.maximum(x, 0)
    return rectified


def probabilities(strength: Real, following: Real, before: Real) -> tuple[Real, Real]:
    """Of pitches in frames [P, T], by how strong they are in these [P, T] and in those that follow [P, any].

    `before` is the probabilities [P] in the frame before, by all frames up to it; also returned, for the last frame.
    """
    moves = _moves()
    here, after = (np.exp(x - x.max(axis=0)) for x in (strength, following))
    forwards, backwards = np.empty_like(here), np.empty_like(here)
    for t in range(here.shape[1]):
        before = here[:, t] * (before @ moves)
        before /= before.sum()
        forwards[:, t] = before
    later = np.ones(len(here), np.float32)
    for t in reversed(range(after.shape[1])):
        later = moves @ (after[:, t] * later)
        later /= later.sum()
    for t in reversed(range(here.shape[1])):
        backwards[:, t] = later
        later = moves @ (here[:, t] * later)
        later /= later.sum()
    likely = forwards * backwards
    likely /= likely.sum(axis=0)
    return likely, before


@lru_cache
def _moves() -> Real:
    """[P, P]: how likely each pitch is to be another one in the next frame."""
    places = np.arange(len(PITCHES))
    moves = STEP ** np.abs(places[:, None] - places)
    all_moves: Real = ((1 - LEAP) * moves / moves.sum(axis=1, keepdims=True) + LEAP / len(places)).astype(np.float32)
    return all_moves
