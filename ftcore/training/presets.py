"""Training runs by name. A preset is a base and what each stage changes in it."""

from __future__ import annotations

import dataclasses
from typing import Any

from ftcore.config import NetworkConfig, SignalConfig, overlay
from ftcore.data.mixing import MixConfig, PartMix
from ftcore.data.voxaug import PLAIN
from ftcore.errors import UsageError
from ftcore.training.config import AdversarialConfig, LossConfig, Phase, StageName, TrainConfig

ORIGINAL = TrainConfig()
"""The published recipe and network; its constants are the defaults."""

STARTER = TrainConfig(
    network=NetworkConfig(
        features=2048,
        bands=64,
        channels=16,
        multipliers=(3, 4, 6, 6),
        attention_maps=(4, 0, 4),
        heads=(1, 1, 1, 4),
        expansion=512,
        latent_layers=1,
        latent_expansion=2,
        embedding_scales=0,
        output="complex_mask",
        normalisation="window_rms",
        compression=0.5,
        dropout=0.0,
        decoder_dropout=(0.0, 0.0, 0.0),
    ),
    signal=SignalConfig(n_fft=4096, hop=2048, crop=144, pad=8, stereo="auto", tta=True, postfilter=True),
    mix=MixConfig(
        instrumental=PartMix(
            p_resample=1.0,  # else what is tuned to a piano's keys counts as music, and singers are in tune
            resample=(0.7, 1.4),
            p_another=0.3,
            p_drive=0.1,
            drive=20.0,
            p_equaliser=0.5,
            p_compress=0.2,
            p_swap=0.5,
            p_narrow=0.3,
            narrow=0.5,
        ),
        vocal=PartMix(
            p_resample=1.0,
            resample=(0.5, 1.3),
            p_formants=0.6,
            formants=(0.8, 1.1),
            p_another=0.25,
            p_double=0.25,
            p_equaliser=0.5,
            p_compress=0.4,
            p_drive=0.15,
            p_echo=0.15,
            p_reverb=0.5,
            p_swap=0.5,
            p_narrow=0.3,
        ),
        least_rms=0.01,
        levels=True,
        p_no_vocal=0.06,
        p_no_instrumental=0.03,
        p_master=0.3,
        p_limit=0.25,
        p_codec=0.1,
    ),
    voxaug=PLAIN,
    scale="rms",
    loss=LossConfig(l1=0.0, rmse=1.0, compressed=1.0),
    steps=4400,
    phases=(Phase(until=3300, frames=32, batch=8), Phase(until=4400, frames=64, batch=4)),
    p_halves=0.0,
    learning_rate=2e-3,
    warmup=100,
    decay_steps=0,
    decay_power=1.0,
    least_learning_rate=0.0,
    betas=(0.9, 0.99),
    clip=1.0,
    ema=0.998,
    validate_every=550,
    save_every=50,
)
"""The bundled model: small enough for two CPU cores, to train and to run."""

TINY = dataclasses.replace(
    STARTER,
    network=dataclasses.replace(
        STARTER.network,
        features=64,
        bands=16,
        channels=4,
        multipliers=(2, 3, 4),
        attention_maps=(0, 2),
        heads=(1, 1, 2),
        expansion=32,
        decoder_dropout=(0.0, 0.0),
    ),
    signal=SignalConfig(sample_rate=8000, n_fft=128, hop=64, crop=96, pad=16),
    mix=dataclasses.replace(STARTER.mix, p_codec=0.0),
    adversarial=AdversarialConfig(learning_rate=5e-3),
    steps=40,
    phases=(Phase(until=30, frames=64, batch=2), Phase(until=40, frames=96, batch=1, accumulate=2)),
    learning_rate=5e-3,
    warmup=4,
    ema=0.9,
    validate_every=20,
    save_every=10,
)
"""Seconds on any CPU: to try the way, not to separate music."""

PRESETS: dict[str, tuple[TrainConfig, dict[StageName, dict[str, Any]]]] = {
    "starter": (
        STARTER,
        {"fgan": {"learning_rate": 2e-4, "steps": 1000, "phases": [{"until": 1000, "frames": 64, "batch": 4}]}},
    ),
    "tiny": (TINY, {"fgan": {"learning_rate": 1e-3}}),
    "original": (ORIGINAL, {"pretrain": {"warmup": 12000}}),
}
"""Base, and by stage what differs."""


def preset(name: str, stage: StageName) -> TrainConfig:
    """A preset's config for a stage. Raises UsageError."""
    if name not in PRESETS:
        raise UsageError(f"no preset {name!r}; known: {', '.join(PRESETS)}")
    base, changes = PRESETS[name]
    return overlay(base, {"stage": stage, **changes.get(stage, {})})
