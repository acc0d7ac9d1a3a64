"""Formats that a trained model can be exported to, found through the `ft.exporters` entry points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from ftcore.checkpoint import Checkpoint

Precision = Literal["fp32", "fp16", "int8"]
"""Of the weights inside. There is no bf16: onnxruntime has no convolutions in it for a CPU."""


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How far the exported network is from the original one on one random input."""

    batch: int
    frames: int
    error: float
    """Largest difference to a float64 run of the original, over that run's largest magnitude."""
    snr_db: float
    """Power of the float64 run over that of the difference, in dB."""
    original_snr_db: float
    """The same for the original in float32: what rounding alone does."""

    def __str__(self) -> str:
        return (
            f"batch {self.batch}, {self.frames} frames: largest error {self.error:.1e} of the peak, "
            f"{self.snr_db:.0f} dB SNR against float64 (torch in float32: {self.original_snr_db:.0f} dB)"
        )


@dataclass(frozen=True, kw_only=True)
class MusicSnr:
    """How far stems of an excerpt of music are from those of the original in float32, in dB."""

    vocals_db: float
    instrumental_db: float

    def __str__(self) -> str:
        return f"vocals {self.vocals_db:.1f} dB, instrumental {self.instrumental_db:.1f} dB SNR against fp32 on music"


class Exporter(Protocol):
    """What an entry point of the group `ft.exporters` must name an instance of."""

    suffix: str
    """Of the files it writes, with the dot."""

    def export(self, checkpoint: Checkpoint, path: Path, *, precision: Precision) -> Sequence[Parity | MusicSnr]:
        """Write `path`, atomically, after checking it against the original.

        Raises FtError, leaving no file, when it cannot be written, is not the same network, or is a precision that
        the format or the network does not take. What is returned is printed, a line each.
        """
        ...
