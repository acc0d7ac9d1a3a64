"""The training loop of every stage: batches in, better networks out (torch)."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from ftcore.data.library import Library
from ftcore.errors import FtError
from ftcore.evaluation import Pair
from ftcore.nn.network import Discriminator, Generator, set_checkpointing
from ftcore.training.config import Phase, Precision
from ftcore.training.items import Batch, Draws, Keys, loaded, to_batch
from ftcore.training.ranks import Ranks
from ftcore.training.stages import STAGES, Player, Players, Stage
from ftcore.training.state import RunState


@dataclass
class Progress:
    """What a step reports."""

    step: int
    steps: int
    loss: float
    """The generator's."""
    learning_rate: float
    waited: float
    """Seconds of this step that went by until its items were on the device."""
    metrics: dict[str, float]
    """What else the stage measures."""
    scores: dict[str, float] = field(default_factory=dict)
    """Of the weight average, at validations."""
    seconds: float = 0.0
    """Since the run began, pauses between its pieces not counted."""
    items: int = 0
    """Items of this step, over all ranks."""
    skipped: int = 0
    """Steps so far that were left out, since a gradient was not finite."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """What a run learns from."""

    libraries: dict[str, Library]
    """`vocal`, and the stage's source (`instrumental` or `pretrain`)."""
    validation: list[Pair] = field(default_factory=list)
    """Real pairs, never augmented; none: no scores."""
    workers: int = 1
    """Processes that draw items."""


Report = Callable[[RunState, Progress, bool], None]
"""Told of every step, on every rank; the last argument says whether the run ends or stops here."""


def fit(
    state: RunState,
    data: Data,
    *,
    ranks: Ranks | None = None,
    compiled: bool = False,
    report: Report = lambda state, progress, last: None,
    stop: Callable[[], bool] = lambda: False,
) -> RunState:
    """Train from `state` (fresh or loaded) to the last step of its config, or to the step at which `stop` says so.

    A run that was stopped, saved and loaded gives what it would have given undisturbed, bit for bit on a CPU.
    Steps whose gradients are not finite are skipped. Raises FtError after `config.patience` of them in a row.
    """
    config, ranks = state.config, ranks or Ranks()
    stage = STAGES[config.stage]
    for network in state.networks.values():
        set_checkpointing(network, config.checkpointing)
    players = {name: _player(network, config.precision, ranks, compiled) for name, network in state.networks.items()}
    batches = _batches(state, data, stage, ranks)
    start = time.monotonic() - state.seconds
    in_a_row = 0
    for step in range(state.step + 1, config.steps + 1):
        phase = config.phase_at(step)
        dice = np.random.default_rng((config.seed, step, 2, ranks.rank))  # dropout's: nothing of it need be saved
        torch.manual_seed(int(dice.integers(2**62)))
        progress, finite = _step(state, stage, players, batches, phase, step)
        state.step = step
        if finite:
            in_a_row = 0
            _average(state)
        else:
            state.skipped, in_a_row = state.skipped + 1, in_a_row + 1
        if in_a_row == config.patience:
            raise FtError(f"step {step}: no finite gradient for {in_a_row} steps; the last good weights are kept")
        last = ranks.any(stop()) or step == config.steps
        if ranks.leads and data.validation and (step % config.validate_every == 0 or step == config.steps):
            progress.scores = stage.score(state.average, data.validation, config)
        state.seconds = time.monotonic() - start
        progress.seconds, progress.skipped = state.seconds, state.skipped
        progress.items = phase.batch * phase.accumulate * ranks.world
        report(state, progress, last)
        if last:
            break
    return state


def _step(
    state: RunState, stage: Stage, players: Players, batches: Iterator[Batch], phase: Phase, step: int
) -> tuple[Progress, bool]:
    """One optimiser step of every player; also tells whether all gradients were finite."""
    config = state.config
    rates = {
        "generator": config.learning_rate * config.rate_at(step),
        "discriminator": config.adversarial.learning_rate * config.rate_at(step),
    }
    clips = {"generator": config.clip, "discriminator": config.adversarial.clip}
    metrics: dict[str, float] = defaultdict(float)
    finite, waited = True, 0.0
    cuts = np.random.default_rng((config.seed, step, 3))  # the same on every rank
    for turn in range(phase.accumulate):
        before = time.monotonic()
        batch = next(batches)
        waited += time.monotonic() - before
        for _ in range(2):
            if cuts.random() >= config.p_halves:
                break
            batch = batch.halved()
        for loss in stage.losses(players, batch, config):
            (loss.value / phase.accumulate).backward()
            for name, value in {loss.player: loss.value, **loss.metrics}.items():
                metrics[name] += value.item() / phase.accumulate
            if turn == phase.accumulate - 1:
                network, optimizer = state.networks[loss.player], state.optimizers[loss.player]
                finite &= _update(network, optimizer, rates[loss.player], clips[loss.player])
    loss_of_generator = metrics.pop("generator")
    return Progress(step, config.steps, loss_of_generator, rates["generator"], waited, dict(metrics)), finite


def _update(network: nn.Module, optimizer: torch.optim.Optimizer, rate: float, clip: float) -> bool:
    """Clip and step, unless a gradient is not finite; ranks agree on that, since they share their gradients."""
    norm = nn.utils.clip_grad_norm_(network.parameters(), clip)
    finite = bool(norm.isfinite())
    if finite:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    optimizer.zero_grad()
    return finite


def _batches(state: RunState, data: Data, stage: Stage, ranks: Ranks) -> Iterator[Batch]:
    """Batches on the device, from the first step that is to be done."""
    config, generator = state.config, state.networks["generator"]
    assert isinstance(generator, Generator)
    draws = Draws(
        instrumental=data.libraries[stage.source], vocal=data.libraries["vocal"], config=config, mix=stage.mix(config)
    )
    bands = Discriminator.bands_of(generator.config)
    for drawn in loaded(draws, Keys(config, state.step, ranks.rank, ranks.world), data.workers):
        yield to_batch(drawn, config.signal, config.voxaug, config.scale, bands, ranks.device)


def _player(network: nn.Module, precision: Precision, ranks: Ranks, compiled: bool) -> Player:
    device = ranks.device
    half = precision == "bfloat16" or (precision == "auto" and device.type == "cuda")

    def in_precision(module: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def call(x: Tensor) -> Tensor:
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                return module(x)

        return call

    shared = ranks.wrap(network)
    return Player(network, in_precision(torch.compile(shared) if compiled else shared), in_precision(network))


@torch.no_grad()
def _average(state: RunState) -> None:
    """Move the weight average; it follows faster during the first steps."""
    decay = min(state.config.ema, (1 + state.step) / (10 + state.step))
    for mean, value in zip(state.average.parameters(), state.networks["generator"].parameters(), strict=True):
        mean.lerp_(value, 1.0 - decay)
