"""Scores on pairs of mixture and stems (torch)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ftcore import audio
from ftcore.config import SignalConfig
from ftcore.data.library import Wave
from ftcore.errors import FtError
from ftcore.nn import spectral
from ftcore.nn.network import Generator


@dataclass(frozen=True)
class Pair:
    """A mixture and its true instrumental, both [2, samples]; the vocals are their difference."""

    name: str
    mixture: Wave
    instrumental: Wave


def load_pairs(folder: Path, sample_rate: int) -> list[Pair]:
    """One pair per subfolder of `folder`, from its `mixture.*` and `instrumental.*`. Raises FtError."""
    if not folder.is_dir():
        raise FtError(f"{folder}: no such folder")
    pairs = [
        Pair(track.name, _read(track, "mixture", sample_rate), _read(track, "instrumental", sample_rate))
        for track in sorted(p for p in folder.iterdir() if p.is_dir())
    ]
    if not pairs:
        raise FtError(f"{folder}: no folders with mixture.* and instrumental.* in it")
    return pairs


def usdr(reference: Wave, estimate: Wave) -> float:
    """uSDR of a whole track in dB: `10 log10(sum s^2 / sum (s - e)^2)` (Mitsufuji et al. 2022)."""
    noise = float(np.sum(np.square(reference - estimate, dtype=np.float64)))
    power = float(np.sum(np.square(reference, dtype=np.float64)))
    return float(10.0 * np.log10((power + 1e-9) / (noise + 1e-9)))


@torch.no_grad()
def score(network: Generator, pairs: list[Pair], signal: SignalConfig) -> dict[str, float]:
    """Mean uSDR over the pairs in dB, of each stem and as a gain over the mixture itself."""
    rows = []
    for pair in pairs:
        mixture = torch.from_numpy(pair.mixture)[None]
        x = spectral.instrumental(network, spectral.spectrogram(mixture, signal))
        estimate = spectral.wave(x, signal, mixture.shape[-1])[0].numpy()
        vocals = pair.mixture - pair.instrumental
        rows.append(
            (
                usdr(vocals, pair.mixture - estimate),
                usdr(vocals, pair.mixture),
                usdr(pair.instrumental, estimate),
                usdr(pair.instrumental, pair.mixture),
            )
        )
    vocals_usdr, vocals_base, music_usdr, music_base = np.mean(rows, axis=0).tolist()
    return {
        "vocals_usdr": vocals_usdr,
        "vocals_usdr_gain": vocals_usdr - vocals_base,
        "instrumental_usdr": music_usdr,
        "instrumental_usdr_gain": music_usdr - music_base,
    }


def _read(folder: Path, stem: str, sample_rate: int) -> Wave:
    found = sorted(folder.glob(f"{stem}.*"))
    if not found:
        raise FtError(f"{folder}: no {stem}.* in it")
    info, wave = audio.read(found[0])
    if info.rate != sample_rate or info.channels != 2:
        raise FtError(f"{info.path}: {info.rate} Hz, {info.channels} channels; pairs must be {sample_rate} Hz stereo")
    return wave
