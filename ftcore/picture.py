"""Spectrograms as pictures, one above the other; needs matplotlib, which nothing else does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ftcore import audio
from ftcore.atomic import replacing
from ftcore.audio import AudioInfo
from ftcore.decoders import Block
from ftcore.errors import FtError
from ftcore.separator import Stem
from ftcore.stft import stft

N_FFT = 2048

LOWEST_HZ, HIGHEST_HZ = 40.0, 16000.0
OCTAVE_TICKS = (50, 100, 200, 500, 1000, 2000, 5000, 10000)
"""Of musical pictures."""

COLUMNS = 1600
"""Of a picture, at most, however long the song."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One picture of the column."""

    title: str
    values: npt.NDArray[np.floating]
    """[bins, frames], bottom row first."""
    unit: str = "dB"
    """Of the values: dB (-80 to 0) or anything else (0 to 1)."""
    top_khz: float
    """Frequency at the upper edge."""


def level(blocks: Iterable[Block], samples: int) -> npt.NDArray[np.floating]:
    """Levels in dB [bins, up to COLUMNS] of the mono sum of blocks [channels, samples]; a full-scale sine reaches 0."""
    size = min(N_FFT, 2 ** int(np.log2(max(samples, 16))))
    hop = size // 4
    pool = -(-(samples // hop + 1) // COLUMNS)  # frames per column
    power = np.zeros((size // 2 + 1, -(-(samples // hop + 1) // pool)))
    done = 0
    for frames in stft((block.mean(axis=0)[None] for block in blocks), size, hop):
        for i, column in enumerate((done + np.arange(frames.shape[-1])) // pool):
            power[:, column] += np.square(np.abs(frames[0, :, i])) / pool
        done += frames.shape[-1]
    decibels: npt.NDArray[np.floating] = 10 * np.log10(power / (size / 4) ** 2 + 1e-14)
    return decibels


def stems(info: AudioInfo, paths: Mapping[Stem, Path], path: Path) -> None:
    """Draw a song, or the section of it that `info` says, and its stems' files. Raises FtError."""
    sources: dict[str, AudioInfo] = {"mixture": info, **{stem: audio.probe(file) for stem, file in paths.items()}}
    panels = [
        Panel(title=title, values=level(audio.read_blocks(each), each.samples), top_khz=each.rate / 2000)
        for title, each in sources.items()
    ]
    panels[0] = replace(panels[0], title=info.path.name)
    columns(panels, info.seconds, path, musical=True)


def waves(panels: Mapping[str, Block], rate: int, path: Path) -> None:
    """Draw waves [channels, samples], the lower 8 kHz where there are as many. Raises FtError."""
    seconds = max(wave.shape[-1] for wave in panels.values()) / rate
    drawn = [Panel(title=t, values=level([w], w.shape[-1]), top_khz=rate / 2000) for t, w in panels.items()]
    columns(drawn, seconds, path)


def columns(panels: list[Panel], seconds: float, path: Path, *, up_to_khz: float = 8.0, musical: bool = False) -> None:
    """Draw panels that share their time axis into a PNG file. Raises FtError.

    Frequencies up to `up_to_khz` or, where it is `musical`, from 40 Hz to 16 kHz in equal steps for equal intervals.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise FtError("pictures need matplotlib: pip install matplotlib") from None
    figure = Figure(figsize=(9, 2.6 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, panel in zip(axes, panels, strict=True):
        limits = (-80, 0) if panel.unit == "dB" else (0, 1)
        image = axis.imshow(
            _octaves(panel) if musical else panel.values,
            origin="lower",
            aspect="auto",
            interpolation="nearest",
            cmap="magma",
            vmin=limits[0],
            vmax=limits[1],
            extent=(0, seconds, 0, 1 if musical else panel.top_khz),
        )
        if musical:
            axis.set(title=panel.title, ylabel="Hz", yticks=_height(OCTAVE_TICKS, panel), yticklabels=OCTAVE_TICKS)
        else:
            axis.set(title=panel.title, ylabel="kHz", ylim=(0, min(up_to_khz, panel.top_khz)))
        figure.colorbar(image, ax=axis, label=panel.unit)
    axes[-1].set_xlabel("seconds")
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=80)


def _range(panel: Panel) -> tuple[float, float]:
    """Lowest and highest frequency of a musical picture, in Hz."""
    return LOWEST_HZ, min(HIGHEST_HZ, 1000 * panel.top_khz)


def _octaves(panel: Panel, rows: int = 400) -> npt.NDArray[np.floating]:
    """The panel's values at frequencies in equal ratios, [rows, frames]."""
    bins = np.geomspace(*_range(panel), rows) / (1000 * panel.top_khz) * (len(panel.values) - 1)
    low = np.minimum(bins.astype(int), len(panel.values) - 2)
    part = (bins - low)[:, None]
    values: npt.NDArray[np.floating] = (1 - part) * panel.values[low] + part * panel.values[low + 1]
    return values


def _height(hertz: Sequence[float], panel: Panel) -> list[float]:
    """Where frequencies lie between the lower edge, 0, and the upper one, 1."""
    low, high = np.log(_range(panel))
    return [float((np.log(f) - low) / (high - low)) for f in hertz]
