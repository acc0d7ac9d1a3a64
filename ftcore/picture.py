"""Spectrograms as pictures, one above the other; needs matplotlib, which nothing else does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ftcore.atomic import replacing
from ftcore.errors import FtError
from ftcore.stft import stft

N_FFT, HOP = 2048, 512


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


def level(wave: npt.NDArray[np.float32], rate: int) -> npt.NDArray[np.floating]:
    """Levels in dB [bins, frames] of the mono sum of [channels, samples]; a full-scale sine reaches 0."""
    size = min(N_FFT, 2 ** int(np.log2(max(wave.shape[-1], 16))))
    frames = np.concatenate(list(stft([wave.mean(axis=0)[None]], size, size // 4)), axis=-1)[0]
    decibels: npt.NDArray[np.floating] = 20 * np.log10(np.abs(frames) / (size / 4) + 1e-7)
    return decibels


def waves(panels: Mapping[str, npt.NDArray[np.float32]], rate: int, path: Path) -> None:
    """Draw waves [channels, samples], the lower 8 kHz where there are as many. Raises FtError."""
    seconds = max(wave.shape[-1] for wave in panels.values()) / rate
    columns([Panel(title=t, values=level(w, rate), top_khz=rate / 2000) for t, w in panels.items()], seconds, path)


def columns(panels: list[Panel], seconds: float, path: Path, up_to_khz: float = 8.0) -> None:
    """Draw panels that share their time axis into a PNG file. Raises FtError."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise FtError("pictures need matplotlib: pip install matplotlib") from None
    figure = Figure(figsize=(9, 2.6 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axis, panel in zip(axes, panels, strict=True):
        limits = (-80, 0) if panel.unit == "dB" else (0, 1)
        image = axis.imshow(
            panel.values,
            origin="lower",
            aspect="auto",
            interpolation="nearest",
            cmap="magma",
            vmin=limits[0],
            vmax=limits[1],
            extent=(0, seconds, 0, panel.top_khz),
        )
        axis.set(title=panel.title, ylabel="kHz", ylim=(0, min(up_to_khz, panel.top_khz)))
        figure.colorbar(image, ax=axis, label=panel.unit)
    axes[-1].set_xlabel("seconds")
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=80)
