"""The three stages: which networks take part, what each minimises, and what tells that it got better (torch).

`fit` runs any of them. A stage is data (which libraries, how often a vocal is mixed in), losses and scores;
its schedule is its config.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from ftcore.data.mixing import MixConfig
from ftcore.evaluation import Pair
from ftcore.nn import spectral
from ftcore.nn.network import Generator
from ftcore.training import validate
from ftcore.training.config import StageName, TrainConfig
from ftcore.training.items import Batch
from ftcore.training.loss import distance
from ftcore.training.masking import hide


@dataclass(frozen=True)
class Player:
    """A network that a stage trains."""

    network: nn.Module
    forward: Callable[[Tensor], Tensor]
    """The network in the run's precision, compiled and distributed as asked."""
    direct: Callable[[Tensor], Tensor]
    """The network in the run's precision, for gradients that pass through it to another."""


Players = Mapping[str, Player]


@dataclass(frozen=True)
class Loss:
    """What one player minimises on a batch."""

    player: str
    value: Tensor
    metrics: dict[str, Tensor] = field(default_factory=dict)
    """Scalars to be logged, without gradients."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What `fit` needs to know."""

    source: str
    """The library that takes the instrumental's place."""
    mix: Callable[[TrainConfig], MixConfig]
    """How its crops are mixed with vocals."""
    losses: Callable[[Players, Batch, TrainConfig], Iterator[Loss]]
    """Losses of a batch in their order; each is computed after the step of the one before."""
    score: Callable[[Generator, list[Pair], TrainConfig], dict[str, float]]
    """Figures of the weight average; the first decides which one is the best, greater being better."""
    discriminates: bool = False
    """Whether a discriminator takes part."""


def pretrain_losses(players: Players, batch: Batch, config: TrainConfig) -> Iterator[Loss]:
    """L1 between the whole spectrogram and its reconstruction from one in which frames are hidden."""
    generator = players["generator"]
    assert isinstance(generator.network, Generator)
    target = spectral.heard(generator.network.config.is_complex, batch.mixture)
    estimate = generator.network.reconstruct(hide(target, batch.seeds, config.mask), generator.forward)
    yield Loss("generator", (estimate - target).abs().mean())


def supervised_losses(players: Players, batch: Batch, config: TrainConfig) -> Iterator[Loss]:
    """Distance between the instrumental and its estimate."""
    generator = players["generator"]
    assert isinstance(generator.network, Generator)
    estimate = spectral.instrumental(generator.network, batch.mixture, generator.forward)
    yield Loss("generator", distance(estimate, batch.instrumental, batch.mixture, config.loss, config.signal))


def fgan_losses(players: Players, batch: Batch, config: TrainConfig) -> Iterator[Loss]:
    """FrameGAN: the discriminator finds the frames where vocals were; the generator leaves it nothing to find."""
    generator, critic = players["generator"], players["discriminator"]
    assert isinstance(generator.network, Generator)
    estimate = spectral.instrumental(generator.network, batch.mixture, generator.forward)
    heard = spectral.heard(generator.network.config.is_complex, estimate)
    logits = critic.forward(heard.detach()).float()
    found = cross_entropy(logits, batch.presence)
    correct = ((logits.detach() > 0) == (batch.presence > 0.5)).float().mean()
    yield Loss("discriminator", found, {"d_accuracy": correct, "presence": batch.presence.mean()})

    critic.network.requires_grad_(False)  # the gradient passes through to the generator and leaves nothing here
    try:
        logits = critic.direct(heard).float()
        fooled = cross_entropy(logits, torch.zeros_like(logits))
        accurate = distance(estimate, batch.instrumental, batch.mixture, config.loss, config.signal)
        metrics = {"g_accurate": accurate.detach(), "g_fooled": fooled.detach()}
        yield Loss("generator", config.adversarial.reconstruction * accurate + fooled, metrics)
    finally:  # after the backward pass: with checkpointing it computes the critic again, and as it was
        critic.network.requires_grad_(True)


def separation_score(network: Generator, pairs: list[Pair], config: TrainConfig) -> dict[str, float]:
    """Gain of the vocals' uSDR first."""
    return validate.score(network, pairs, config.signal)


def reconstruction_score(network: Generator, pairs: list[Pair], config: TrainConfig) -> dict[str, float]:
    """Minus the pretraining loss on the pairs' mixtures, the same frames being hidden at each validation."""
    return {"minus_l1": -validate.reconstruction(network, pairs, config)}


STAGES: dict[StageName, Stage] = {
    "pretrain": Stage(
        source="pretrain",
        mix=lambda config: dataclasses.replace(config.mix, p_no_vocal=1.0 - config.mask.p_vocal, p_no_instrumental=0.0),
        losses=pretrain_losses,
        score=reconstruction_score,
    ),
    "supervised": Stage(
        source="instrumental", mix=lambda config: config.mix, losses=supervised_losses, score=separation_score
    ),
    "fgan": Stage(
        source="instrumental",
        mix=lambda config: config.mix,
        losses=fgan_losses,
        score=separation_score,
        discriminates=True,
    ),
}
