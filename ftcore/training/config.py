"""What a training run is: frozen descriptions that are saved with it.

The defaults are the original's constants (the spec of `docs/training.md`); `presets.py` names other sets.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, Self, get_args

from ftcore.config import NetworkConfig, SignalConfig, from_plain
from ftcore.data.mixing import MixConfig
from ftcore.data.voxaug import VoxAugConfig
from ftcore.errors import FtError

StageName = Literal["pretrain", "supervised", "fgan"]
Precision = Literal["auto", "float32", "bfloat16"]
Scale = Literal["peak", "rms"]


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of the terms that measure how far an estimate is from its target, on the batch's scale.

    RMSE is per item, so its minimum is the highest SDR; L1 forgives large errors and prefers silence where
    it is unsure; the compressed term (Ephrat et al. 2018) listens to quiet bands as well as to loud ones.
    """

    l1: float = 1.0
    """L1 on the spectrogram's channels."""
    wave_l1: float = 0.0
    """L1 on the wave, at the mixture's scale."""
    rmse: float = 0.0
    """Root mean square error of the complex spectrogram."""
    compressed: float = 0.0
    """Root mean square error of the vocals' complex spectrogram, magnitudes to the power 0.5."""


@dataclass(frozen=True, kw_only=True)
class MaskConfig:
    """Which frames pretraining hides, and how often nothing is hidden."""

    spans: int = 16
    """Most spans per item; their number is uniform from 1."""
    span: tuple[float, float] = (0.01, 0.2)
    """Length of a span over the crop's."""
    p_none: float = 0.08
    """Share of items in which nothing is hidden."""
    p_vocal: float = 0.2
    """Share of items to which a vocal is added before."""


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig:
    """FrameGAN."""

    reconstruction: float = 100.0
    """Lambda: weight of the reconstruction loss against the adversarial one."""
    learning_rate: float = 1e-4
    """Peak learning rate of the discriminator; its schedule has the generator's shape."""
    clip: float = 0.5
    """Largest gradient norm of the discriminator."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A part of the curriculum."""

    until: int
    """Its last step."""
    frames: int
    """Frames per item."""
    batch: int
    """Items per forward pass and process."""
    accumulate: int = 1
    """Forward passes per step."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One run of one stage."""

    stage: StageName = "supervised"
    """`pretrain`, `supervised` or `fgan`."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    """The generator."""
    signal: SignalConfig = field(default_factory=SignalConfig)
    """The audio it works on."""
    mix: MixConfig = field(default_factory=MixConfig)
    """What is done to crops as waves, on the way to the device."""
    voxaug: VoxAugConfig = field(default_factory=VoxAugConfig)
    """What is done to them as spectrograms, on the device."""
    mask: MaskConfig = field(default_factory=MaskConfig)
    """Pretraining's."""
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    """FrameGAN's."""
    scale: Scale = "peak"
    """Items enter at 1 over the mixture's largest magnitude, or over the root mean square of its bins."""
    loss: LossConfig = field(default_factory=LossConfig)
    """What is minimised."""
    steps: int = 1108000
    """Optimiser steps; the last phase of the curriculum ends here."""
    phases: tuple[Phase, ...] = (
        Phase(until=900000, frames=256, batch=2, accumulate=4),
        Phase(until=1108000, frames=512, batch=1, accumulate=8),
    )
    """Crop sizes and batches by step."""
    p_halves: float = 0.5
    """A batch is cut in half along time (twice the items, half the frames), and with this chance once more."""
    learning_rate: float = 1e-4
    """Peak of AdamW's learning rate."""
    warmup: int = 8000
    """Steps of linear warm-up."""
    decay_steps: int = 1000000
    """Step at which the learning rate reaches `least_learning_rate`; 0: the last one."""
    decay_power: float = 0.1
    """Shape of the polynomial decay; 1 is linear."""
    least_learning_rate: float = 1e-12
    """Where the decay ends."""
    betas: tuple[float, float] = (0.5, 0.999)
    """AdamW's moments."""
    weight_decay: float = 0.01
    """AdamW's decoupled weight decay."""
    clip: float = 0.5
    """Largest gradient norm."""
    ema: float = 0.999
    """Decay of the weight average that is validated and saved."""
    precision: Precision = "auto"
    """Of the network's products and convolutions; weights, norms and losses stay in float32. `auto` is
    bfloat16 on CUDA, else float32."""
    checkpointing: bool = False
    """Activation checkpointing: only what blocks hand to each other waits in memory for the backward pass, which
    computes the rest once more. Slower; the results are the same."""
    seed: int = 0
    """Seeds the initial weights, every item and dropout."""
    patience: int = 20
    """Steps in a row whose gradients are not finite, before the run is given up; fewer are skipped."""
    validate_every: int = 5000
    """Steps between validations."""
    save_every: int = 500
    """Steps between saves of `last` and of the state that a resumed run starts from."""
    keep: int = 3
    """Newest numbered checkpoints that are kept, one being made at each validation."""

    def __post_init__(self) -> None:
        for name, kind in (("stage", StageName), ("precision", Precision), ("scale", Scale)):
            value = getattr(self, name)
            _check(value in get_args(kind), f"{name} is {' or '.join(get_args(kind))}, not {value!r}")
        _check(0 < self.warmup < self.last_decay_step, f"{self.steps} steps leave no room for {self.warmup} of warm-up")
        _check(bool(self.phases), "the curriculum needs a phase")
        _check(all(a.until < b.until for a, b in pairwise(self.phases)), "phases must follow each other")
        _check(all(p.batch > 0 and p.accumulate > 0 and p.frames > 1 for p in self.phases), "an empty phase")
        _check(self.validate_every > 0 and self.save_every > 0 and self.keep >= 0, "intervals must be positive")

    @property
    def last_decay_step(self) -> int:
        """Where the learning rate ends its way down."""
        return self.decay_steps or self.steps

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, the first being 1, over its peak: linear warm-up, then polynomial decay."""
        if step < self.warmup:
            return step / self.warmup
        left = max((self.last_decay_step - step + 1) / (self.last_decay_step - self.warmup + 1), 0.0)
        least = self.least_learning_rate / self.learning_rate
        return least + (1.0 - least) * float(left**self.decay_power)

    def phase_at(self, step: int) -> Phase:
        """The phase of a step, the first being 1; the last one goes on for ever."""
        return next((phase for phase in self.phases if step <= phase.until), self.phases[-1])

    def samples(self, frames: int) -> int:
        """Samples of a wave that has so many frames."""
        return (frames - 1) * self.signal.hop

    def with_steps(self, steps: int) -> Self:
        """The same run in another length: warm-up, decay and curriculum keep their shares.

        Phases that are left without a step drop out.
        """
        share = steps / self.steps
        phases = [dataclasses.replace(phase, until=round(phase.until * share)) for phase in self.phases]
        ends = [0, *(phase.until for phase in phases)]
        return dataclasses.replace(
            self,
            steps=steps,
            warmup=max(round(self.warmup * share), 1) if share < 1 else self.warmup,
            decay_steps=round(self.decay_steps * share),
            phases=tuple(phase for end, phase in zip(ends, phases, strict=False) if phase.until > end),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_dict`, also after a trip through JSON. Raises FtError."""
        return from_plain(cls, values)


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise FtError(f"impossible training: {message}")
