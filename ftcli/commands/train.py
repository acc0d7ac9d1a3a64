"""`ft train`: a network from folders of music and of vocals."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ftcore.errors import FtError, UsageError

if TYPE_CHECKING:
    from ftcore.data.library import Library
    from ftcore.training.config import TrainConfig
    from ftcore.training.fit import Progress
    from ftcore.training.state import RunState

app = typer.Typer()


@app.command()
def train(
    instrumental: Annotated[
        list[Path],
        typer.Option(help="Music without voices: a folder of audio, or a prepared library (repeatable)."),
    ],
    vocal: Annotated[list[Path], typer.Option(help="Voices alone, likewise (repeatable).")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the run: checkpoints and metrics.")],
    preset: Annotated[str | None, typer.Option(help="Named configuration; default: starter.")] = None,
    validation: Annotated[
        Path | None, typer.Option(help="Folder of pairs: a folder per track with mixture.* and instrumental.*.")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Where decoded audio is kept; default: OUT/cache.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps, instead of the preset's.")] = None,
    precision: Annotated[
        Literal["float32", "bfloat16"] | None,
        typer.Option(help="Of products and convolutions; bfloat16 is faster where the processor knows it."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights and items, instead of the preset's.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that draw items.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in OUT, with its settings.")] = False,
) -> int:
    """Train a network on folders of instrumental music and of vocals (supervised, random pairs).

    Ctrl-C or SIGTERM saves the run after the step at hand; --resume then goes on as if nothing had happened.
    """
    try:
        from ftcore.training.fit import fit
        from ftcore.training.validate import load_pairs
    except ImportError as error:
        raise FtError(f"training needs {error.name}: pip install 'frame-transformer[train]'") from None
    overrides = {"steps": steps, "precision": precision, "seed": seed}
    state = begin(out, preset, {k: v for k, v in overrides.items() if v is not None}, resume)
    rate = state.config.signal.sample_rate
    cache = cache or out / "cache"
    music, voices = library(instrumental, cache / "instrumental", rate), library(vocal, cache / "vocal", rate)
    pairs = load_pairs(validation, rate) if validation else []
    with stop_signals() as received:
        fit(state, music, voices, pairs, out, workers=workers, report=show, stop=lambda: bool(received))
    if state.step < state.config.steps:
        typer.echo(f"{out}: stopped and saved after step {state.step}; --resume goes on", err=True)
        return 128 + received[0]
    typer.echo(f"{out}: last.safetensors" + (" and best.safetensors" if pairs else ""))
    return 0


def begin(out: Path, preset: str | None, overrides: dict[str, Any], resume: bool) -> RunState:
    """A new run in `out`, or the one that is there."""
    from ftcore.training import state
    from ftcore.training.presets import PRESETS

    if resume:
        if preset or overrides:
            given = ", ".join(f"--{name}" for name in (["preset"] if preset else []) + list(overrides))
            raise UsageError(f"--resume keeps the run's settings; leave out {given}")
        return state.load(out)
    if (out / state.NAME).exists():
        raise UsageError(f"{out} holds a run already: --resume goes on with it, or choose another --out")
    name = preset or "starter"
    if name not in PRESETS:
        raise UsageError(f"no preset {name!r}; known: {', '.join(PRESETS)}")
    config: TrainConfig = PRESETS[name]
    if "steps" in overrides:
        overrides = {**overrides, "warmup": min(config.warmup, max(overrides["steps"] // 10, 1))}
    return state.RunState.fresh(dataclasses.replace(config, **overrides))


def show(progress: Progress) -> None:
    """A line for every tenth step and for every validation."""
    scores = "".join(f", {name} {value:.2f} dB" for name, value in progress.scores.items())
    if scores or progress.step % 10 == 0:
        line = f"step {progress.step}/{progress.steps}, loss {progress.loss:.4f}, {progress.seconds:.0f} s{scores}"
        typer.echo(line, err=True)


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """Collect the first SIGINT or SIGTERM instead of dying from it; a second one acts as usual."""
    received: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: object) -> None:
        received.append(number)
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in before:
        signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def library(folders: list[Path], cache: Path, rate: int) -> Library:
    """Prepared libraries as they are, plain folders decoded into `cache`, all as one."""
    from ftcli.app import fail
    from ftcli.commands.data import prepared
    from ftcore.data.library import Library, is_prepared, open_library

    problems: list[str] = []
    parts = [open_library(folder, rate) for folder in folders if is_prepared(folder)]
    if plain := [folder for folder in folders if not is_prepared(folder)]:
        parts.append(prepared(plain, cache, rate, problems))
    for problem in problems:
        fail(f"left out: {problem}", 1)
    return Library([track for part in parts for track in part.tracks])
