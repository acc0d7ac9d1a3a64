"""`ft bench`: how fast a model is on this machine, and how much memory it takes."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ftcli.options import Device, Postfilter, Stereo, TestTimeAugmentation, separations
from ftcore import __version__
from ftcore.errors import FtError

if TYPE_CHECKING:
    from ftcore.separator import Separator

app = typer.Typer()

VERSION = 1
"""Version of the JSON that --json prints."""

RUNS = 3
"""Runs that count, after one that warms up."""


@app.command()
def bench(
    model: Annotated[
        str, typer.Option("--model", "-m", help="A name of `ft models list`, or an .onnx file.")
    ] = "starter",
    device: Device = "auto",
    stereo: Stereo = None,
    tta: TestTimeAugmentation = None,
    postfilter: Postfilter = None,
    seconds: Annotated[int, typer.Option(min=1, max=3600, help="Length of the song that is separated.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as one JSON document.")] = False,
) -> None:
    """Separate a made-up song a few times, from disk to disk as `ft separate` does, and measure."""
    from rich.console import Console
    from rich.status import Status

    from ftcore.memory import peak_bytes
    from ftcore.separator import Separator

    separator = Separator(model, device=device, stereo=stereo, tta=tta, postfilter=postfilter)
    with (
        tempfile.TemporaryDirectory(prefix="ft-bench-") as folder,
        Status("opening", console=Console(stderr=True, highlight=False)) as status,
    ):
        song = Path(folder) / "song.wav"
        write_song(song, seconds, separator.models[0].info.signal.sample_rate)
        factors = []
        for run in range(RUNS + 1):
            status.update(f"run {run} of {RUNS}" if run else "warming up")
            result = separator.separate_file(song, folder)
            if run:
                factors.append(result.elapsed / result.seconds)
    figures = describe(model, separator) | {
        "seconds": seconds,
        "real_time_factors": [round(factor, 5) for factor in factors],
        "real_time_factor": round(statistics.median(factors), 5),
        "peak_memory_bytes": peak_bytes(),
    }
    for line in [json.dumps(figures, indent=2)] if as_json else table(figures):
        typer.echo(line)


def write_song(path: Path, seconds: int, rate: int) -> None:
    """A stereo song of 16 bit that is the same on every machine: a few notes a second over noise.

    Written second by second, so that the song itself takes no memory. Raises FtError.
    """
    import numpy as np
    import soundfile

    rng = np.random.default_rng(0)
    time = np.arange(rate) / rate
    try:
        with soundfile.SoundFile(path, "w", rate, 2, "PCM_16") as file:
            for _ in range(seconds):
                notes = 110 * 2 ** (rng.integers(0, 36, 4) / 12)
                wave = sum(np.sin(2 * np.pi * k * note * time) / k for note in notes for k in range(1, 9))
                wave *= np.exp(-3 * time)
                file.write(0.05 * (wave[:, None] + 0.3 * rng.standard_normal((rate, 2))))
    except (OSError, soundfile.LibsndfileError) as error:
        raise FtError(f"{path}: cannot be written ({error})") from None


def describe(model: str, separator: Separator) -> dict[str, Any]:
    """What is measured, on what."""
    info, signal = separator.models[0].info, separator.signals[0]
    return {
        "version": VERSION,
        "ft": __version__,
        "model": model,
        "precision": info.precision,
        "provider": separator.provider,
        "windows_at_once": separator.models[0].workers,
        "processors": os.cpu_count(),
        "sample_rate": signal.sample_rate,
        "crop": signal.crop,
        "pad": signal.pad,
        "batch": separator.batch,
        "stereo": signal.stereo,
        "tta": signal.tta,
        "postfilter": signal.postfilter,
    }


def table(figures: dict[str, Any]) -> list[str]:
    """The figures for people, a line each."""
    peak, factors = figures["peak_memory_bytes"], figures["real_time_factors"]
    median = figures["real_time_factor"]
    rows = {
        "model": f"{figures['model']}, {figures['precision']}",
        "runs on": f"{figures['provider']}, {figures['processors']} processors",
        "song": f"{figures['seconds']} s of stereo at {figures['sample_rate']} Hz",
        "windows": f"crop {figures['crop']} frames, pad {figures['pad']}, batch {figures['batch']}, "
        f"{figures['windows_at_once']} at once{separations(figures['stereo'], figures['tta'], figures['postfilter'])}",
        "speed": f"{1 / median:.1f}x: real-time factor {median:.4f}, median of {len(factors)} runs, "
        f"from {min(factors):.4f} to {max(factors):.4f}",
        "memory": "not known" if peak is None else f"{peak / 1e6:.0f} MB at the peak",
    }
    return [f"{key:<8} {value}" for key, value in rows.items()]
