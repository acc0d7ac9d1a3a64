"""What a training run is: frozen descriptions that are saved with it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from ftcore.config import NetworkConfig, SignalConfig, from_plain
from ftcore.errors import FtError

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of the supervised loss' terms; every spectrogram has the mixture at an RMS of 1.

    RMSE is per item, so its minimum is the highest SDR; L1 forgives large errors and prefers silence where
    it is unsure; the compressed term (Ephrat et al. 2018) listens to quiet bands as well as to loud ones.
    """

    l1: float = 0.0
    """L1 on the complex spectrogram."""
    wave_l1: float = 0.0
    """L1 on the wave."""
    rmse: float = 1.0
    """Root mean square error of the complex spectrogram."""
    compressed: float = 1.0
    """Root mean square error of the vocals' complex spectrogram, magnitudes to the power 0.5."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One supervised run."""

    network: NetworkConfig
    signal: SignalConfig
    steps: int = 1100
    """Optimiser steps; the learning rate reaches zero at the last."""
    batch: int = 4
    """Items per step."""
    frames: int = 128
    """Frames per item."""
    learning_rate: float = 1e-3
    """Peak of AdamW's learning rate."""
    warmup: int = 50
    """Steps of linear warm-up before the linear decay."""
    betas: tuple[float, float] = (0.9, 0.99)
    """AdamW's moments."""
    weight_decay: float = 0.01
    """AdamW's decoupled weight decay."""
    clip: float = 1.0
    """Largest gradient norm."""
    ema: float = 0.998
    """Decay of the weight average that is validated and saved."""
    loss: LossConfig = LossConfig()
    """What is minimised."""
    precision: Precision = "float32"
    """Of the network's products and convolutions; weights, norms and losses stay in float32."""
    seed: int = 0
    """Seeds the initial weights and every item."""
    validate_every: int = 100
    """Steps between validations."""
    save_every: int = 50
    """Steps between saves of `last` and of the state that a resumed run starts from."""

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            raise FtError(f"precision is {' or '.join(get_args(Precision))}, not {self.precision!r}")
        if not 0 < self.warmup < self.steps:
            raise FtError(f"{self.steps} steps leave no room for a warm-up of {self.warmup}")

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of a step, the first being 1: linear warm-up, then linear decay to zero."""
        done = step - 1
        decay = (self.steps - done) / (self.steps - self.warmup)
        return self.learning_rate * min(step / self.warmup, decay)

    @property
    def samples(self) -> int:
        """Samples per item."""
        return (self.frames - 1) * self.signal.hop

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_dict`, also after a trip through JSON. Raises FtError."""
        parts = {"network": NetworkConfig, "signal": SignalConfig, "loss": LossConfig}
        plain = {k: from_plain(parts[k], v) if k in parts else v for k, v in values.items()}
        return from_plain(cls, plain)
