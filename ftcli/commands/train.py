"""`ft train`, `ft pretrain`, `ft fgan`: one stage of training, from folders of music and of vocals."""

from __future__ import annotations

import inspect
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ftcore.errors import FtError, UsageError

if TYPE_CHECKING:
    from ftcore.checkpoint import Checkpoint
    from ftcore.training.fit import Progress

Stage = Literal["pretrain", "supervised", "fgan"]
INSIST = "\n\nCtrl-C or SIGTERM saves the run after the step at hand; --resume then goes on as if nothing had happened."


def train(
    instrumental: Annotated[
        list[Path], typer.Option(help="Music without voices: a folder of audio, or a prepared library (repeatable).")
    ],
    vocal: Annotated[list[Path], typer.Option(help="Voices alone, likewise (repeatable).")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the run: checkpoints, metrics, config.")],
    stage: Annotated[Stage, typer.Option(help="Which of the three stages.")] = "supervised",
    preset: Annotated[str, typer.Option(help="Named configuration: starter, original, tiny.")] = "starter",
    config: Annotated[
        Path | None, typer.Option(help="TOML file (or a run's config.json) with settings in place of the preset's.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="One setting, e.g. loss.l1=1.0 (repeatable)."),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps; warm-up and curriculum scale with them.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights and items.")] = None,
    precision: Annotated[
        Literal["auto", "float32", "bfloat16"] | None, typer.Option(help="Of products and convolutions.")
    ] = None,
    checkpointing: Annotated[
        bool | None,
        typer.Option("--checkpointing", help="Compute activations twice instead of keeping them: less memory, slower."),
    ] = None,
    init: Annotated[
        Path | None, typer.Option(help="Checkpoint to start from; its network takes the place of the preset's.")
    ] = None,
    pretrain_data: Annotated[
        list[Path] | None, typer.Option(help="Any audio, for stage pretrain; default: the instrumentals (repeatable).")
    ] = None,
    validation: Annotated[
        Path | None, typer.Option(help="Folder of pairs: a folder per track with mixture.* and instrumental.*.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out, with its settings.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    compiled: Annotated[bool, typer.Option("--compile", help="Compile the networks (torch.compile).")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes that draw items.")] = 1,
    cache: Annotated[Path | None, typer.Option(help="Where decoded audio is kept; default: OUT/cache.")] = None,
) -> int:
    """Train a network on folders of instrumental music and of vocals."""
    from ftcli.commands.data import library

    try:
        from ftcore.training import ranks as training_ranks
        from ftcore.training import state as run_state
        from ftcore.training.fit import Data, fit
        from ftcore.training.run import Run
        from ftcore.training.settings import resolve
        from ftcore.training.stages import STAGES
        from ftcore.training.state import RunState
        from ftcore.training.validate import load_pairs
    except ImportError as error:
        raise FtError(f"training needs {error.name}: pip install 'frame-transformer[train]'") from None
    start = starting(stage, init, resume)
    with stop_signals() as received, training_ranks.joined(device) as ranks:
        if resume:
            given = {
                "--config": config,
                "--set": settings,
                "--steps": steps,
                "--seed": seed,
                "--precision": precision,
                "--checkpointing": checkpointing,
            }
            if wrong := ", ".join(name for name, value in given.items() if value is not None):
                raise UsageError(f"--resume keeps the run's settings; leave out {wrong}")
            state = run_state.load(out, ranks.device)
            if state.config.stage != stage:
                raise UsageError(f"{out} holds a run of stage {state.config.stage}, not {stage}")
        else:
            if (out / run_state.NAME).exists():
                raise UsageError(f"{out} holds a run already: --resume goes on with it, or choose another --out")
            values = {"seed": seed, "precision": precision, "checkpointing": checkpointing}
            resolved = resolve(stage, preset, start, config, settings or [], steps, values)
            state = RunState.fresh(resolved, ranks.device, start.network if start else None)
        source, rate = STAGES[stage].source, state.config.signal.sample_rate
        folders = {"vocal": vocal, source: pretrain_data or instrumental if source == "pretrain" else instrumental}
        with ranks.leader_first():
            base = cache or out / "cache"
            libraries = {kind: library(chosen, base / kind, rate) for kind, chosen in folders.items()}
        pairs = load_pairs(validation, rate) if validation else []
        data = Data(libraries=libraries, validation=pairs, workers=workers)
        provenance = {"init": str(init.name)} if init else {}
        with shown(ranks.leads) as show:
            run = Run(out, pairs, provenance, show)
            if ranks.leads:
                run.begin(state)
            report = run.written if ranks.leads else lambda state, progress, last: None
            try:
                fit(state, data, ranks=ranks, compiled=compiled, report=report, stop=lambda: bool(received))
            except FtError:
                if ranks.leads:
                    run.rescue(state)
                raise
            finally:
                run.close()
    if state.step < state.config.steps:
        if ranks.leads:
            typer.echo(f"{out}: stopped and saved after step {state.step}; --resume goes on", err=True)
        sys.exit(128 + received[0] if received else 1)
    if ranks.leads:
        typer.echo(f"{out}: last.safetensors" + (" and best.safetensors" if pairs else ""))
    return 0


def command(stage: Stage | None, text: str) -> typer.Typer:
    """`train` with its stage to be chosen, or given."""
    app = typer.Typer()
    if stage is None:
        app.command(help=text + INSIST)(train)
        return app

    def one_stage(**values: Any) -> int:
        return train(stage=stage, **values)

    whole = inspect.signature(train, eval_str=True)
    rest = [parameter for name, parameter in whole.parameters.items() if name != "stage"]
    one_stage.__signature__ = whole.replace(parameters=rest)  # type: ignore[attr-defined]
    app.command(help=text + INSIST)(one_stage)
    return app


app = command(None, "Train a network on folders of instrumental music and of vocals, in one of three stages.")
pretrain_app = command("pretrain", "Stage 1: learn music from any audio, by filling in hidden frames.")
fgan_app = command("fgan", "Stage 3: train against a discriminator that looks for frames with vocals (FrameGAN).")


def starting(stage: Stage, init: Path | None, resume: bool) -> Checkpoint | None:
    """The checkpoint that a new run starts from."""
    if init is None:
        if stage == "fgan" and not resume:
            raise UsageError("stage fgan starts from a supervised checkpoint: --init RUN/best.safetensors")
        return None
    if resume:
        raise UsageError("--resume goes on with the run's own weights; leave out --init")
    from ftcore import checkpoint
    from ftcore.nn.network import Generator

    found = checkpoint.load(init)
    if not isinstance(found.network, Generator):
        raise UsageError(
            f"{init}: V1 and V2b are kept to separate with, not to train; training starts from a generator"
        )
    if found.provenance.get("stage") == "pretrain" and stage != "pretrain":
        found.network.reset_output()
    return found


@contextmanager
def shown(leads: bool) -> Iterator[Callable[[Progress], None]]:
    """A live line in a terminal; else a line for every tenth step and for every validation."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("ETA"), TimeRemainingColumn())
    live = leads and sys.stderr.isatty()
    with Bars(*columns, console=Console(stderr=True, highlight=False), disable=not live, transient=True) as bars:
        task = bars.add_task("first step", total=None)
        before = [0, 0.0]  # step and seconds of the last report, for the speed

        def show(progress: Progress) -> None:
            steps, seconds = progress.step - before[0], progress.seconds - before[1]
            before[:] = [progress.step, progress.seconds]
            speed = steps * progress.items / seconds if seconds > 0 else 0.0
            line = f"step {progress.step}/{progress.steps}, loss {progress.loss:.4f}, lr {progress.learning_rate:.1e}"
            bars.update(task, completed=progress.step, total=progress.steps, description=f"{line}, {speed:.1f} items/s")
            scores = "".join(f", {name} {value:.2f}" for name, value in progress.scores.items())
            if scores or (not live and progress.step % 10 == 0):
                skipped = f", {progress.skipped} steps skipped" if progress.skipped else ""
                bars.console.print(
                    f"{line}, {progress.seconds:.0f} s{skipped}{scores}", markup=False, highlight=False, soft_wrap=True
                )

        yield show


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
