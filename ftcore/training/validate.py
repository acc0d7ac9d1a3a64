"""Scores of a network while it trains (torch)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ftcore.audio import Block
from ftcore.config import SignalConfig
from ftcore.errors import FtError
from ftcore.evaluation import Pair, find_pairs, load_pair, usdr
from ftcore.nn import spectral
from ftcore.nn.network import Generator
from ftcore.training.config import TrainConfig
from ftcore.training.masking import hide


def load_pairs(folder: Path, sample_rate: int) -> list[Pair]:
    """Every pair of a folder, at the rate and with the two channels that the network sees. Raises FtError."""
    pairs = [load_pair(track) for track in find_pairs(folder)]
    for pair in pairs:
        if pair.rate != sample_rate or len(pair.mixture) != 2:
            raise FtError(
                f"{folder / pair.name}: {pair.rate} Hz, {len(pair.mixture)} channels; "
                f"pairs to validate on must be {sample_rate} Hz stereo"
            )
    return pairs


@torch.no_grad()
def instrumental(network: Generator, pair: Pair, signal: SignalConfig) -> Block:
    """The network's instrumental of a whole pair [2, samples], in one window."""
    mixture = _wave(network, pair)
    x = spectral.spectrogram(mixture, signal)
    peak = _peak(x) if network.config.normalisation == "song_peak" else 1.0
    x = spectral.instrumental(network, x / peak) * peak
    wave: Block = spectral.wave(x, signal, mixture.shape[-1])[0].cpu().numpy()
    return wave


def score(network: Generator, pairs: list[Pair], signal: SignalConfig) -> dict[str, float]:
    """Mean uSDR over the pairs in dB, of each stem and as a gain over the mixture itself."""
    rows = []
    for pair in pairs:
        music = instrumental(network, pair, signal)
        estimates = {"vocals": pair.mixture - music, "instrumental": music}
        rows.append([usdr(truth, e) for s, truth in pair.stems.items() for e in (estimates[s], pair.mixture)])
    vocals_usdr, vocals_base, music_usdr, music_base = np.mean(rows, axis=0).tolist()
    return {
        "vocals_usdr_gain": vocals_usdr - vocals_base,
        "vocals_usdr": vocals_usdr,
        "instrumental_usdr_gain": music_usdr - music_base,
        "instrumental_usdr": music_usdr,
    }


@torch.no_grad()
def reconstruction(network: Generator, pairs: list[Pair], config: TrainConfig) -> float:
    """Mean L1 between the pairs' mixtures, at a peak of 1, and what the network makes of hidden frames."""
    losses = []
    for number, pair in enumerate(pairs):
        x = spectral.spectrogram(_wave(network, pair), config.signal)
        x = spectral.heard(network.config.is_complex, x / _peak(x))
        estimate = network.reconstruct(hide(x, ((config.seed, number),), config.mask))
        losses.append((estimate - x).abs().mean().item())
    return float(np.mean(losses))


def _wave(network: Generator, pair: Pair) -> Tensor:
    return torch.from_numpy(pair.mixture)[None].to(next(network.parameters()).device)


def _peak(x: Tensor) -> Tensor:
    """The largest magnitude of a complex spectrogram."""
    return spectral.heard(False, x).amax().clamp_min(1e-4)
