"""`ft train`: a network from folders of music and of vocals."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ftcore.errors import FtError, UsageError

if TYPE_CHECKING:
    from ftcore.data.library import Library

app = typer.Typer()


@app.command()
def train(
    instrumental: Annotated[
        list[Path],
        typer.Option(help="Music without voices: a folder of audio, or a prepared library (repeatable)."),
    ],
    vocal: Annotated[list[Path], typer.Option(help="Voices alone, likewise (repeatable).")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the run: checkpoints and metrics.")],
    preset: Annotated[str, typer.Option(help="Named configuration.")] = "starter",
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
) -> None:
    """Train a network on folders of instrumental music and of vocals (supervised, random pairs)."""
    try:
        from ftcore.training.fit import Progress, fit
        from ftcore.training.presets import PRESETS
        from ftcore.training.validate import load_pairs
    except ImportError as error:
        raise FtError(f"training needs {error.name}: pip install 'frame-transformer[train]'") from None
    if preset not in PRESETS:
        raise UsageError(f"no preset {preset!r}; known: {', '.join(PRESETS)}")
    config = PRESETS[preset]
    if steps is not None:
        config = dataclasses.replace(config, steps=steps, warmup=min(config.warmup, max(steps // 10, 1)))
    if precision is not None:
        config = dataclasses.replace(config, precision=precision)
    if seed is not None:
        config = dataclasses.replace(config, seed=seed)
    rate = config.signal.sample_rate
    cache = cache or out / "cache"
    music = library(instrumental, cache / "instrumental", rate)
    voices = library(vocal, cache / "vocal", rate)
    pairs = load_pairs(validation, rate) if validation else []

    def report(progress: Progress) -> None:
        scores = "".join(f", {name} {value:.2f} dB" for name, value in progress.scores.items())
        if scores or progress.step % 10 == 0:
            line = f"step {progress.step}/{progress.steps}, loss {progress.loss:.4f}, {progress.seconds:.0f} s{scores}"
            typer.echo(line, err=True)

    fit(config, music, voices, pairs, out, workers=workers, report=report)
    typer.echo(f"{out}: last.safetensors" + (" and best.safetensors" if pairs else ""))


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
