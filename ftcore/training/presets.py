"""Training runs by name."""

from __future__ import annotations

from ftcore.config import NetworkConfig, SignalConfig
from ftcore.training.fit import TrainConfig

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

PRESETS = {"starter": STARTER}
