"""Formats that a trained model can be exported to, found through the `ft.exporters` entry points."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from ftcore.checkpoint import Checkpoint

Precision = Literal["fp32", "fp16"]


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


class Exporter(Protocol):
    """What an entry point of the group `ft.exporters` must name an instance of."""

    suffix: str
    """Of the files it writes, with the dot."""

    def export(self, checkpoint: Checkpoint, path: Path, *, precision: Precision) -> list[Parity]:
        """Write `path`, atomically, after checking it against the original.

        Raises FtError, leaving no file, when it cannot be written or is not the same network.
        """
        ...
