"""The training loop: batches in, a better generator out."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ftcore import checkpoint
from ftcore.atomic import write_bytes
from ftcore.data.library import Library
from ftcore.data.mixing import MixConfig
from ftcore.errors import FtError
from ftcore.evaluation import Pair
from ftcore.training import state as run_state
from ftcore.training.items import Mixtures, batches
from ftcore.training.loss import supervised_loss
from ftcore.training.state import RunState
from ftcore.training.validate import score


@dataclass
class Progress:
    """What a step reports."""

    step: int
    steps: int
    loss: float
    learning_rate: float
    seconds: float
    """Since the run began, pauses between its pieces not counted."""
    scores: dict[str, float] = field(default_factory=dict)


def fit(
    state: RunState,
    instrumental: Library,
    vocal: Library,
    validation: list[Pair],
    out: Path,
    *,
    workers: int = 1,
    provenance: dict[str, Any] | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    stop: Callable[[], bool] = lambda: False,
) -> RunState:
    """Train from `state` (fresh, or loaded from `out`) to the last step of its config.

    Writes into `out`: `last.safetensors` and, at the highest validation score, `best.safetensors` (weight
    averages), `state.safetensors` to resume from, `metrics.jsonl` and `config.json`. When `stop` says so the
    run is saved after the step at hand and left; resumed, it gives what it would have given undisturbed.
    Raises FtError when the loss is no longer finite.
    """
    config = state.config
    _begin(state, out)
    items = Mixtures(
        instrumental=instrumental,
        vocal=vocal,
        mix=MixConfig(samples=config.samples),
        seed=config.seed,
        count=config.steps * config.batch,
    )
    start = time.monotonic() - state.seconds
    for mixture, target in batches(items, config.batch, state.step, workers):
        for group in state.optimizer.param_groups:
            group["lr"] = config.learning_rate_at(state.step + 1)
        loss = supervised_loss(state.network, mixture, target, config)
        if not loss.isfinite():
            raise FtError(f"step {state.step + 1}: the loss is {loss.item()}; the last good weights are in {out}")
        loss.backward()
        nn.utils.clip_grad_norm_(state.network.parameters(), config.clip)
        state.optimizer.step()
        state.optimizer.zero_grad()
        state.step += 1
        _average(state)
        state.seconds = time.monotonic() - start

        progress = Progress(state.step, config.steps, loss.item(), config.learning_rate_at(state.step), state.seconds)
        stopping = stop() or state.step == config.steps
        if validation and (state.step % config.validate_every == 0 or state.step == config.steps):
            progress.scores = score(state.average, validation, config.signal)
        _write(state, progress, out, provenance or {}, stopping or state.step % config.save_every == 0)
        report(progress)
        if stopping:
            break
    return state


def _begin(state: RunState, out: Path) -> None:
    """Make the folder, note the config, and forget metrics of steps that a resumed run will do again."""
    out.mkdir(parents=True, exist_ok=True)
    write_bytes(out / "config.json", json.dumps(state.config.to_dict(), indent=1).encode())
    metrics = out / "metrics.jsonl"
    lines = metrics.read_text().splitlines()[: state.step] if metrics.exists() else []
    write_bytes(metrics, "".join(f"{line}\n" for line in lines).encode())


def _write(state: RunState, progress: Progress, out: Path, provenance: dict[str, Any], save: bool) -> None:
    """Metrics of a step; checkpoints where it is due or better than any before."""
    gain = progress.scores.get("vocals_usdr_gain", -float("inf"))
    saved = checkpoint.Checkpoint(
        network=state.average,
        signal=state.config.signal,
        provenance={**provenance, "step": state.step, "validation": progress.scores},
    )
    if gain > state.best:
        state.best = gain
        checkpoint.save(out / "best.safetensors", saved)
    with (out / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(dataclasses.asdict(progress)) + "\n")
    if save:
        checkpoint.save(out / "last.safetensors", saved)
        run_state.save(state, out)


@torch.no_grad()
def _average(state: RunState) -> None:
    """Move the weight average; it follows faster during the first steps."""
    decay = min(state.config.ema, (1 + state.step) / (10 + state.step))
    for mean, value in zip(state.average.parameters(), state.network.parameters(), strict=True):
        mean.lerp_(value, 1.0 - decay)
