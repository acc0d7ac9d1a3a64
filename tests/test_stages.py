"""The three stages: what they hide, what they minimise, where their gradients go."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ftcore.data.library import Library
from ftcore.nn.network import Discriminator, Generator
from ftcore.training.config import LossConfig, MaskConfig, TrainConfig
from ftcore.training.items import Batch
from ftcore.training.loss import distance
from ftcore.training.masking import hide
from ftcore.training.presets import TINY as TINY_RUN
from ftcore.training.stages import STAGES, Loss, Player
from ftcore.training.state import RunState
from tests.conftest import TINY, TINY_SIGNAL, wake

CONFIG = dataclasses.replace(TINY_RUN, network=TINY, signal=TINY_SIGNAL)


def spectrograms(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Mixture and instrumental at an RMS of 1 and of 0.8 per bin."""
    torch.manual_seed(seed)
    music, voice = torch.randn(2, 4, 32, 40) * 0.8, torch.randn(2, 4, 32, 40) * 0.6
    return (music + voice) / 2**0.5, music / 2**0.5


def batch() -> Batch:
    mixture, music = spectrograms()
    presence = torch.zeros(2, 2, 4, 40)
    presence[..., 10:30] = 1.0
    return Batch(seeds=((0, 0), (0, 1)), mixture=mixture, instrumental=music, presence=presence)


def players(**networks: nn.Module) -> dict[str, Player]:
    return {name: Player(network, network, network) for name, network in networks.items()}


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (LossConfig(l1=0.0, rmse=1.0), 0.6),
        (LossConfig(l1=0.0, rmse=3.0), 1.8),
        (LossConfig(l1=1.0), 0.6 / np.pi**0.5),
        (LossConfig(l1=0.0, wave_l1=1.0), 0.6 * (2 / np.pi) ** 0.5),
        (LossConfig(l1=0.0, compressed=1.0), (0.6 * np.pi**0.5 / 2) ** 0.5),
    ],
    ids=["rmse", "weighted", "l1", "wave", "compressed"],
)
def test_loss_terms_of_an_estimate_that_changes_nothing(weights: LossConfig, expected: float) -> None:
    """The error is then the vocal: noise at 0.6 of the mixture's RMS."""
    mixture, music = spectrograms()
    if weights.wave_l1:  # the error must be the spectrogram of a wave
        from ftcore.nn import spectral

        vocal = spectral.spectrogram(torch.randn(2, 2, 39 * TINY_SIGNAL.hop) * 0.6, TINY_SIGNAL) / 24**0.5
        music = mixture - vocal
    assert distance(mixture, music, mixture, weights, TINY_SIGNAL).item() == pytest.approx(expected, rel=0.05)


def test_hidden_spans() -> None:
    x = torch.rand(200, 2, 8, 100)
    seeds = tuple((0, i) for i in range(200))
    y = hide(x, seeds, MaskConfig())
    assert torch.equal(y, hide(x, seeds, MaskConfig()))
    hidden = (y != x).any(dim=1).any(dim=1).float()  # [B, T]
    untouched = (hidden.sum(dim=1) == 0).float().mean().item()
    assert untouched == pytest.approx(0.08, abs=0.05)
    assert 0.3 < hidden.mean() < 0.8
    one = MaskConfig(spans=1, span=(0.1, 0.1), p_none=0.0)
    shares = (hide(x, seeds, one) != x).any(dim=1).any(dim=1).float().sum(dim=1)
    assert set(shares.tolist()) == {10.0}
    assert torch.equal(hide(x, seeds, MaskConfig(p_none=1.0)), x)


def test_every_fill_is_used_and_blended() -> None:
    x = torch.full((1, 1, 4, 20), 3.0)
    config = MaskConfig(spans=1, span=(1.0, 1.0), p_none=0.0)
    results = [hide(x, ((0, i),), config) for i in range(300)]
    constant = [y[0, 0, 0, 0].item() for y in results if (y == y[0, 0, 0, 0]).all()]
    assert len(results) - len(constant) == pytest.approx(300 / 7, abs=20)  # the noise
    same = sum(value == pytest.approx(3.0) for value in constant)
    assert same == pytest.approx(3 * 300 / 7, abs=35)  # mean, min and max of a constant
    towards_zero = [value for value in constant if value < 1.0]  # zeros and variance reach below the ones
    assert min(towards_zero) < 0.3
    assert all(0.0 <= value <= 3.0001 for value in constant)


def test_pretraining_looks_at_the_unmasked_mixture() -> None:
    generator = Generator(TINY)
    wake(generator)
    data = batch()
    (loss,) = STAGES["pretrain"].losses(players(generator=generator), data, CONFIG)
    expected = (generator.reconstruct(hide(data.mixture, data.seeds, CONFIG.mask)) - data.mixture).abs().mean()
    assert loss.value.item() == pytest.approx(expected.item())
    changed = dataclasses.replace(data, instrumental=torch.zeros_like(data.instrumental))
    (same,) = STAGES["pretrain"].losses(players(generator=generator), changed, CONFIG)
    assert same.value.item() == loss.value.item()


def steps(generator: Generator, critic: Discriminator, config: TrainConfig) -> Iterator[Loss]:
    return STAGES["fgan"].losses(players(generator=generator, discriminator=critic), batch(), config)


def networks() -> tuple[Generator, Discriminator]:
    torch.manual_seed(0)
    generator = Generator(TINY)
    wake(generator)
    return generator, Discriminator.from_generator(generator)


def test_each_fgan_loss_reaches_its_own_network_only() -> None:
    generator, critic = networks()
    losses = steps(generator, critic, CONFIG)
    found = next(losses)
    assert found.player == "discriminator"
    found.value.backward()
    assert all(p.grad is not None for p in critic.parameters())
    assert all(p.grad is None for p in generator.parameters())
    assert 0 <= found.metrics["d_accuracy"] <= 1
    assert found.metrics["presence"].item() == 0.5

    before = [p.grad.clone() for p in critic.parameters() if p.grad is not None]
    fooled = next(losses)
    assert fooled.player == "generator"
    fooled.value.backward()
    assert all(p.grad is not None for p in generator.parameters())
    assert all(torch.equal(p.grad, b) for p, b in zip(critic.parameters(), before, strict=True) if p.grad is not None)
    assert next(losses, None) is None
    assert all(p.requires_grad for p in critic.parameters())


def test_the_adversarial_term_alone_changes_the_generator() -> None:
    """The original detached the estimate here: its generator never heard of the discriminator."""
    generator, critic = networks()
    torch.nn.init.normal_(critic.head.weight, std=1.0)
    alone = dataclasses.replace(CONFIG, adversarial=dataclasses.replace(CONFIG.adversarial, reconstruction=0.0))
    before = copy.deepcopy(generator.state_dict())
    optimizer = torch.optim.SGD(generator.parameters(), 0.05)
    history = []
    for _ in range(8):
        *_, loss = steps(generator, critic, alone)
        optimizer.zero_grad()
        loss.value.backward()
        optimizer.step()
        history.append(loss.metrics["g_fooled"].item())
    assert history[-1] < history[0]
    assert any(not torch.equal(v, before[k]) for k, v in generator.state_dict().items() if k.startswith("encoder"))


def test_the_generator_meets_the_discriminator_after_its_step() -> None:
    generator, critic = networks()
    untouched = [loss.value.item() for loss in steps(generator, critic, CONFIG)]
    losses = steps(generator, critic, CONFIG)
    assert next(losses).value.item() == untouched[0]
    assert critic.head.bias is not None
    with torch.no_grad():
        critic.head.bias += 5.0
    assert next(losses).value.item() > untouched[1] + 3.0


def test_the_discriminator_starts_from_the_generator(libraries: dict[str, Library]) -> None:
    generator, _ = networks()
    state = RunState.fresh(dataclasses.replace(CONFIG, stage="fgan"), start=generator)
    critic = state.networks["discriminator"]
    assert isinstance(critic, Discriminator)
    for name, value in generator.encoder.state_dict().items():
        assert torch.equal(value, critic.encoder.state_dict()[name])
        assert torch.equal(value, state.networks["generator"].state_dict()[f"encoder.{name}"])
    assert set(RunState.fresh(CONFIG).networks) == {"generator"}
