"""Every family of networks, by its config."""

from __future__ import annotations

from ftcore.config import EarlyConfig, NetworkConfig
from ftcore.nn.early import EarlyNetwork
from ftcore.nn.network import Generator
from ftcore.nn.spectral import SpectralNetwork


def build(config: NetworkConfig | EarlyConfig) -> SpectralNetwork:
    """A network with fresh weights."""
    return EarlyNetwork(config) if isinstance(config, EarlyConfig) else Generator(config)
