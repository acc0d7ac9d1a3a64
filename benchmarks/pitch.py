"""What the pitch of the voice would be worth: the vocals of a model, weighed again by how near bins are to harmonics.

    python -m benchmarks.pitch PAIRS [-m MODEL]

PAIRS are folders of mixture, vocals and instrumental, as for `ft evaluate`. Prints the gain of the vocals' uSDR over
what the model found, by the pitch of the true voice and by that of what was found. `docs/model.md` holds the table.

Axes: P pitches, F bins, T frames.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ftcore.decoders import Block
from ftcore.errors import FtError
from ftcore.evaluation import find_pairs, load_pair, usdr
from ftcore.postfilter import magnitude
from ftcore.separator import Separator
from ftcore.stft import Complex, istft, stft

Real = npt.NDArray[np.float32]

SECONDS = 4096 / 44100
"""A spectrogram's window; it hops by half of it."""
STEP = 20
"""Cents between pitches."""
PITCHES = 65.0 * 2 ** (np.arange(240) * STEP / 1200)
"""Hz."""
HARMONICS, DECAY, HALFWAY = 20, 0.85, 0.7
"""How many are summed, their weight beside the one before, and that of what is halfway between them, taken away."""
SUMMED, TOP = 5000.0, 5500.0
"""Hz up to which harmonics are summed, and up to which vocals change."""
VOICED = 2.0
"""Sum of harmonics above which a frame of the true voice has a pitch."""
WIDTH = 1.6
"""Bins from a harmonic on which nothing is of the voice."""


RULES = (
    ("true pitch, odds times e^2 and e^-3", True, (np.exp(2.0), np.exp(-3.0), 0.6)),
    ("pitch of what was found, times 4 and 0.35", False, (4.0, 0.35, 0.5)),
    ("pitch of what was found, times 4 and 0.5", False, (4.0, 0.5, 0.5)),
)
"""Name, whether the pitch is that of the true voice, and what `weighed` takes: on, beside, share."""


def main() -> None:
    """Print a line for each rule."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("-m", "--model", default="starter")
    args = parser.parse_args()
    try:
        gains = np.mean(measure(args.pairs, args.model), axis=0)
    except FtError as error:
        raise SystemExit(str(error)) from None
    for (name, *_), gain in zip(RULES, gains, strict=True):
        print(f"{name:42} {gain:+.2f} dB")


def measure(pairs: Path, model: str) -> list[list[float]]:
    """By pair and rule: the gain in dB over what the model found. Raises FtError."""
    separator = Separator(model)
    gains = []
    for track in find_pairs(pairs):
        pair = load_pair(track)
        truth, found = pair.stems["vocals"], separator.separate(pair.mixture, pair.rate)["vocals"]
        mixture, vocals = spectrogram(pair.mixture, pair.rate), spectrogram(found, pair.rate)
        true = on_voice(one_pitch(sums(spectrogram(truth, pair.rate))))
        likely = on_voice(probabilities(sums(vocals)))
        before = usdr(truth, found)
        row = []
        for _, is_true, rule in RULES:
            change = weighed(mixture, vocals, true if is_true else likely, *rule) - vocals
            row.append(usdr(truth, found + wave(change, pair.rate)[:, : found.shape[1]]) - before)
        gains.append(row)
    return gains


def spectrogram(x: Block, rate: int) -> Complex:
    """[C, samples] -> [C, F, T]."""
    half = round(rate * SECONDS / 2)
    return np.concatenate(list(stft([x], 2 * half, half)), axis=-1)


def wave(z: Complex, rate: int) -> Block:
    """The inverse, and some samples more."""
    half = round(rate * SECONDS / 2)
    return np.concatenate(list(istft([z], 2 * half, half)), axis=-1)


def sums(z: Complex) -> Real:
    """Of a voice [C, F, T]: how strong the harmonics of each pitch are, [P, T]."""
    roots = np.sqrt(magnitude(z))
    roots /= (roots.mean(axis=0) + roots.mean()) / 2 + 1e-9
    weights = np.zeros((len(PITCHES), len(roots)), np.float32)
    for row, pitch in zip(weights, PITCHES, strict=True):
        orders = np.arange(1, min(HARMONICS, int(SUMMED / pitch)) + 1)
        decay = DECAY ** (orders - 1)
        for offset, sign in ((0.0, 1.0), (0.5, -HALFWAY)):
            bins = (orders - offset) * pitch * SECONDS
            low = bins.astype(int)
            np.add.at(row, low, sign * decay / decay.sum() * (1 - (bins - low)))
            np.add.at(row, low + 1, sign * decay / decay.sum() * (bins - low))
    summed: Real = weights @ roots
    return summed


def one_pitch(strength: Real) -> Real:
    """The best path through [P, T] (Viterbi), as probabilities of 0 and 1; none where its sum is below `VOICED`."""
    pitches, frames = strength.shape
    distance = np.abs(np.arange(pitches)[:, None] - np.arange(pitches))
    cost = 0.05 * np.where(distance <= 8, distance, 22)  # per step; any leap costs as much as 22
    best, came = strength[:, 0], np.zeros((frames, pitches), int)
    for t in range(1, frames):
        candidates = best - cost  # [to, from]
        came[t] = candidates.argmax(axis=1)
        best = candidates.max(axis=1) + strength[:, t]
    path = [int(best.argmax())]
    for t in range(frames - 1, 0, -1):
        path.append(int(came[t][path[-1]]))
    chosen = np.zeros_like(strength)
    chosen[path[::-1], np.arange(frames)] = 1.0
    chosen[strength <= VOICED] = 0.0
    return chosen


def probabilities(strength: Real) -> Real:
    """Of each pitch at each time, [P, T], given all of them (forwards and backwards)."""
    pitches, frames = strength.shape
    moves = np.exp(-0.5 * np.abs(np.arange(pitches)[:, None] - np.arange(pitches)))
    moves = moves / moves.sum(axis=1, keepdims=True) * 0.98 + 0.02 / pitches  # a leap anywhere
    here = np.exp(strength - strength.max(axis=0))
    forwards, backwards = np.ones((2, pitches, frames))
    forwards[:, 0] = here[:, 0]
    for t in range(1, frames):
        forwards[:, t] = here[:, t] * (forwards[:, t - 1] @ moves)
        forwards[:, t] /= forwards[:, t].sum()
    for t in range(frames - 2, -1, -1):
        backwards[:, t] = moves @ (here[:, t + 1] * backwards[:, t + 1])
        backwards[:, t] /= backwards[:, t].sum()
    both = forwards * backwards
    likely: Real = (both / both.sum(axis=0)).astype(np.float32)
    return likely


def on_voice(likely: Real) -> Real:
    """Of pitches that are so likely [P, T]: how much each bin up to `TOP` is on a harmonic, 0 to 1, [F, T]."""
    bins = np.arange(round(TOP * SECONDS))
    near = np.empty((len(PITCHES), len(bins)), np.float32)
    for row, pitch in zip(near, PITCHES * SECONDS, strict=True):  # in bins
        away = np.abs((bins / pitch + 0.5) % 1.0 - 0.5) * pitch
        row[:] = np.where(bins < pitch / 2, 0.0, np.clip(WIDTH - away, 0.0, 1.0))
    on: Real = np.minimum(near.T @ likely, 1.0)
    return on


def weighed(mixture: Complex, vocals: Complex, voice: Real, on: float, beside: float, share: float) -> Complex:
    """Vocals [C, F, T] of which a share is the mixture under a mask: the odds of what was found, times `on` where bins
    are on the voice [F, T], and times `beside` where they are not."""
    low = slice(len(voice))
    odds = magnitude(vocals[:, low]) / (magnitude((mixture - vocals)[:, low]) + 1e-9)
    odds *= on**voice * beside ** (1.0 - voice)
    changed = vocals.copy()
    changed[:, low] += np.float32(share) * (odds / (1.0 + odds) * mixture[:, low] - vocals[:, low])
    return changed


if __name__ == "__main__":
    main()
