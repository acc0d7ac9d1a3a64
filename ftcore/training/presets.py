"""Training runs by name."""

from __future__ import annotations

from ftcore.config import NetworkConfig, SignalConfig
from ftcore.training.config import TrainConfig

STARTER = TrainConfig(
    network=NetworkConfig(
        fold=8,
        channels=8,
        multipliers=(3, 4, 5, 6, 8),
        attention_maps=(0, 4, 0, 4),
        heads=(1, 1, 1, 1, 4),
        expansion=512,
        latent_layers=1,
        latent_expansion=2,
        embedding_scales=0,
        output="complex_mask",
        normalisation="window_rms",
        compression=0.5,
        dropout=0.0,
        decoder_dropout=(0.0, 0.0, 0.0, 0.0),
    ),
    signal=SignalConfig(crop=96, pad=16),
    steps=4500,
    validate_every=500,
)
"""The bundled model: small enough for two CPU cores, to train and to run."""

TINY = TrainConfig(
    network=NetworkConfig(
        features=64,
        fold=4,
        channels=4,
        multipliers=(2, 3, 4),
        attention_maps=(2, 2),
        heads=(1, 1, 2),
        expansion=32,
        latent_layers=1,
        latent_expansion=2,
        embedding_scales=0,
        output="complex_mask",
        normalisation="window_rms",
        compression=0.5,
        dropout=0.0,
        decoder_dropout=(0.0, 0.0),
    ),
    signal=SignalConfig(sample_rate=8000, n_fft=128, hop=64, crop=96, pad=16),
    steps=40,
    warmup=4,
    batch=2,
    frames=64,
    learning_rate=5e-3,
    ema=0.9,
    validate_every=20,
    save_every=10,
)
"""Seconds on any CPU: to try the way, not to separate music."""

PRESETS = {"starter": STARTER, "tiny": TINY}
