"""Scores of a network while it trains (torch)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ftcore.config import SignalConfig
from ftcore.errors import FtError
from ftcore.evaluation import Pair, find_pairs, load_pair, usdr
from ftcore.nn import spectral
from ftcore.nn.network import Generator


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
def score(network: Generator, pairs: list[Pair], signal: SignalConfig) -> dict[str, float]:
    """Mean uSDR over the pairs in dB, of each stem and as a gain over the mixture itself."""
    rows = []
    for pair in pairs:
        mixture = torch.from_numpy(pair.mixture)[None]
        x = spectral.instrumental(network, spectral.spectrogram(mixture, signal))
        instrumental = spectral.wave(x, signal, mixture.shape[-1])[0].numpy()
        estimates = {"vocals": pair.mixture - instrumental, "instrumental": instrumental}
        rows.append([usdr(truth, e) for s, truth in pair.stems.items() for e in (estimates[s], pair.mixture)])
    vocals_usdr, vocals_base, music_usdr, music_base = np.mean(rows, axis=0).tolist()
    return {
        "vocals_usdr": vocals_usdr,
        "vocals_usdr_gain": vocals_usdr - vocals_base,
        "instrumental_usdr": music_usdr,
        "instrumental_usdr_gain": music_usdr - music_base,
    }
